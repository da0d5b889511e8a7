package workflowtest

import (
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
)

// Files are a definition, in w.yaml, and the files beside it, by their names.
//
//	files := workflowtest.Files{"w.yaml": definition, "rain.csv": rows}
//	info, err := files.Run(t, registry, t.TempDir())
type Files map[string]string

// FS is a file system with the files.
func (f Files) FS() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// Load checks the definition.
func (f Files) Load(r *workflow.Registry) (*workflow.Definition, error) {
	return workflow.LoadFS(f.FS(), "w.yaml", workflow.LoadOptions{Registry: r})
}

// Run runs the definition to its end. Sinks write below dir. A definition that
// is not valid fails the test; how the run ended is the result.
func (f Files) Run(tb testing.TB, r *workflow.Registry, dir string) (workflow.RunInfo, error) {
	tb.Helper()
	d, err := f.Load(r)
	if err != nil {
		tb.Fatal(err)
	}
	return Run(tb.Context(), d, workflow.EngineOptions{Registry: r, OutputDir: dir, Files: f.FS()})
}
