package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

// Req W3: runs that a schedule or trigger starts write into directories of their
// own, and go when they are old.
func TestRunsOfSchedulesAreTidiedUp(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Runs.Keep = 1
	d := loadDefinition(t, t.TempDir(), `name: copy
nodes:
  - {id: in, type: source.csv, with: {path: data.csv, extra: ignore, columns: {name: string}}}
  - {id: out, type: sink.csv, from: in, with: {path: out.csv}}
`)
	n := startNode(t, c, Options{Workflow: d})
	var ids []string
	for range 3 {
		run, err := n.Runs().engine.Start(t.Context(), "copy", workflow.StartOptions{Trigger: "schedule daily"})
		if err != nil {
			t.Fatal(err)
		}
		info, err := run.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if dir := filepath.Join(n.Runs().dir, run.ID()); info.Start.OutputDir != dir {
			t.Errorf("the run writes into %s, want %s", info.Start.OutputDir, dir)
		}
		ids = append(ids, run.ID())
	}
	n.Runs().tidy(t.Context())
	for i, id := range ids {
		_, err := os.Stat(filepath.Join(n.Runs().dir, id, "out.csv"))
		if i < 2 && !errors.Is(err, os.ErrNotExist) || i == 2 && err != nil {
			t.Errorf("run %d of 3: %v", i+1, err)
		}
	}
}
