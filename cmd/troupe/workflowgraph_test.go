package main

import (
	"strings"
	"testing"
)

// Req W1: a definition can be drawn from the command line.
func TestWorkflowGraph(t *testing.T) {
	t.Parallel()
	dir, file := workflowDir(t, goodDefinition)
	r := troupe(t, "workflow", "graph", file)
	r.expect(t, exitOK)
	if !strings.HasPrefix(r.stdout, "<svg ") || !strings.Contains(r.stdout, ">adults</text>") {
		t.Errorf("got %s", r.stdout)
	}
	r = troupe(t, "workflow", "graph", "-o", "mermaid", file)
	r.expect(t, exitOK)
	if !strings.Contains(r.stdout, "flowchart LR\n") || !strings.Contains(r.stdout, "n0 --> n1\n") {
		t.Errorf("got %s", r.stdout)
	}
	open := write(t, dir, "open.yaml", strings.Replace(goodDefinition, "default: 18, ", "", 1))
	troupe(t, "workflow", "graph", open).expect(t, exitOK)
	wrong := write(t, dir, "wrong.yaml", strings.Replace(goodDefinition, "from: adults", "from: adult", 1))
	r = troupe(t, "workflow", "graph", wrong)
	r.expect(t, exitInvalid)
	if !strings.Contains(r.stderr, `did you mean "adults"?`) {
		t.Errorf("got %s", r.stderr)
	}
	r = troupe(t, "workflow", "graph", "-o", "png", file)
	r.expect(t, exitUsage)
	if !strings.Contains(r.stderr, "want svg or mermaid") {
		t.Errorf("got %s", r.stderr)
	}
	troupe(t, "workflow", "grap").expect(t, exitUsage)
}
