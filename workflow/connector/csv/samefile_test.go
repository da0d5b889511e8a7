package csv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// A run never takes the place of a file that it reads, or of its own
// definition, by whatever name.
func TestSinkOverSource(t *testing.T) {
	t.Parallel()
	const (
		content = "id\n1\n2\n"
		head    = "name: w\n"
		source  = "nodes:\n  - {id: in, type: source.csv, with: {path: in.csv, columns: {id: int}}}\n"
	)
	sink := func(id, path string) string {
		return "  - {id: " + id + ", type: sink.csv, from: in, with: {path: " + path + "}}\n"
	}
	for _, tt := range []struct {
		name, text, want string
	}{
		{"the same", head + source + sink("out", "in.csv"), `"in"`},
		{"by another path", head + source + sink("out", "sub/../in.csv"), `"in"`},
		{"by a symbolic link", head + source + sink("out", "link.csv"), `"in"`},
		{"by a second name", head + source + sink("out", "hard.csv"), `"in"`},
		{"through a directory", head + source + sink("out", "dirlink/in.csv"), `"in"`},
		{"rejects", head + "rejects: in.csv\n" + source + sink("out", "out.csv"), "set aside"},
		{"definition", head + source + sink("out", "w.yaml"), "it is the definition of the workflow"},
		{"two sinks of one link", head + source + sink("a", "dirlink/new.csv") + sink("b", "new.csv"), "writes it"},
		{"rejects by a link", head + "rejects: dirlink/new.csv\n" + source + sink("a", "new.csv"), "set aside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{"in.csv": content, "w.yaml": tt.text} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for link, to := range map[string]string{"link.csv": "in.csv", "dirlink": "."} {
				if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
					t.Skip(err)
				}
			}
			if err := os.Link(filepath.Join(dir, "in.csv"), filepath.Join(dir, "hard.csv")); err != nil {
				t.Skip(err)
			}
			err := runFile(t, filepath.Join(dir, "w.yaml"), dir)
			if fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), `"out"`) {
				t.Errorf("got %v", err)
			}
			for name, text := range map[string]string{"in.csv": content, "hard.csv": content, "w.yaml": tt.text} {
				got, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil || string(got) != text {
					t.Errorf("%s is %q, %v", name, got, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "new.csv")); err == nil {
				t.Error("new.csv was written")
			}
		})
	}
}

// runFile loads and runs a definition to its end.
func runFile(t *testing.T, file, dir string) error {
	t.Helper()
	registry := workflow.NewRegistry()
	Register(registry)
	definition, err := workflow.LoadFile(file, workflow.LoadOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	_, err = workflowtest.Run(t.Context(), definition, workflow.EngineOptions{Registry: registry, OutputDir: dir})
	return err
}
