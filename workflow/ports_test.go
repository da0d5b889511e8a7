package workflow

import (
	"fmt"
	"testing"
)

// Req W1: rows come in by named inputs, each with columns of its own, and the
// node is told when each of them ends.
func TestNamedInputs(t *testing.T) {
	t.Parallel()
	l := &lab{}
	inLab(t, namedInputs, l, func(t *testing.T, start func(flowOptions) flowRun) {
		r := start(flowOptions{})
		info, err := r.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(l.sinks["out"].rows); got != 30 {
			t.Errorf("%d rows", got)
		}
		if got := fmt.Sprint(l.sinks["out"].rows[7][0], l.sinks["out"].rows[7][1]); got != "7 8" {
			t.Errorf("row 7 is %s", got)
		}
		for _, e := range info.Edges {
			if want := map[string]string{"a": "left", "b": "right", "c": "right", "both": ""}[e.From]; e.Input != want {
				t.Errorf("the edge from %s leads into %q, want %q", e.From, e.Input, want)
			}
		}
	})
}

const namedInputs = `
name: pairs
nodes:
  - {id: a, type: source.rows, with: {columns: {n: int}, rows: 30}}
  - {id: b, type: source.rows, with: {columns: {m: int}, rows: 20}}
  - {id: c, type: source.rows, with: {columns: {m: int}, rows: 10}}
  - {id: both, type: pairs, from: {left: a, right: [b, c]}}
  - {id: out, type: sink.memory, from: both}
`
