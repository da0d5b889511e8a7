package node

import (
	"context"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

// The workflow of the demonstration is valid and completes, and its schedule stays
// as somebody has changed it.
func TestDemoFlow(t *testing.T) {
	t.Parallel()
	config := DefaultConfig()
	config.HTTP.Port, config.DataDir, config.Demo = 0, t.TempDir(), DemoConfig{}
	start := func() *Node {
		n, err := New(config, Options{Demo: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := start()
	run, err := n.Runs().Launch(t.Context(), DemoFlow, workflow.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := run.Wait(t.Context()); err != nil || string(info.Nodes[len(info.Nodes)-1].Output) != "[3,5,8,13,21]" {
		t.Errorf("%+v, %v", info.Nodes, err)
	}
	if _, err := n.Runs().Engine().PauseSchedule(t.Context(), DemoFlow, "in my way"); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	n = start()
	s, err := n.Runs().Engine().Schedule(t.Context(), DemoFlow)
	if err != nil || !s.Paused || s.Comment != "in my way" {
		t.Errorf("%+v, %v", s.Schedule, err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
