// Package workflowtest runs workflows in tests of node types.
//
//	files := workflowtest.Files{"w.yaml": definition, "rain.csv": rows}
//	info, err := files.Run(t, registry, t.TempDir())
package workflowtest

import (
	"context"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/workflow"
)

// Files are those beside a definition, by their names.
type Files map[string]string

// FS is a file system with the files.
func (f Files) FS() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// Load checks the definition in the file w.yaml.
func (f Files) Load(r *workflow.Registry) (*workflow.Definition, error) {
	return workflow.LoadFS(f.FS(), "w.yaml", workflow.LoadOptions{Registry: r})
}

// Run runs the definition in the file w.yaml to its end. Sinks write below dir.
// A definition that is not valid fails the test; how the run ended is the result.
func (f Files) Run(tb testing.TB, r *workflow.Registry, dir string) (workflow.RunInfo, error) {
	tb.Helper()
	d, err := f.Load(r)
	if err != nil {
		tb.Fatal(err)
	}
	return Run(tb, d, dir)
}

// Run runs a definition to its end.
func Run(tb testing.TB, d *workflow.Definition, dir string) (workflow.RunInfo, error) {
	tb.Helper()
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	defer func() {
		if err := sys.Stop(context.Background()); err != nil {
			tb.Error(err)
		}
	}()
	run, err := workflow.Start(tb.Context(), sys, d, workflow.StartOptions{OutputDir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	return run.Wait(tb.Context())
}
