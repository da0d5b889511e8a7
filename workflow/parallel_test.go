package workflow

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/fault"
)

// Req W7: a node works on several batches at a time, and rows leave in their
// order.
func TestParallelKeepsOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var done []int64
	third := make(chan struct{})
	l := &lab{}
	l.apply = func(ctx context.Context, _ string, b Batch) error {
		n := b.Rows[0][0].Int()
		switch n {
		case 1: // waits for one that comes after it: alone it would wait for ever
			select {
			case <-third:
			case <-ctx.Done():
				return ctx.Err()
			}
		case 3:
			close(third)
		}
		mu.Lock()
		defer mu.Unlock()
		done = append(done, n)
		return nil
	}
	text := "name: x\nbatch_rows: 1\nnodes:\n  - {id: in, type: source.rows, with: {columns: {n: int}, rows: 50}}\n" +
		"  - {id: f, type: filter, from: in, parallel: 3, with: {where: n != 7}}\n  - {id: out, type: sink.memory, from: f}\n"
	inLab(t, text, l, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{}).Wait(t.Context())
		if err != nil || info.RowsOut() != 49 {
			t.Fatalf("%d rows, %v", info.RowsOut(), err)
		}
		if len(done) != 50 || done[0] == 1 {
			t.Errorf("they were worked on in the order %v", done)
		}
		last := int64(0)
		for _, row := range l.sinks["out"].rows {
			if n := row[0].Int(); n <= last {
				t.Errorf("row %d comes after row %d", n, last)
			} else {
				last = n
			}
		}
	})
}

// A panic and an error beside the node's own goroutine fail the run as any other.
func TestParallelFails(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"panic", "error"} {
		l := &lab{}
		l.apply = func(_ context.Context, _ string, b Batch) error {
			switch {
			case b.Rows[0][0].Int() != 20:
			case what == "panic":
				panic("boom")
			default:
				return fmt.Errorf("boom")
			}
			return nil
		}
		text := "name: x\nbatch_rows: 1\nnodes:\n  - {id: in, type: source.rows, with: {columns: {n: int}, rows: 50}}\n" +
			"  - {id: f, type: filter, from: in, parallel: 4, with: {where: n > 0}}\n  - {id: out, type: sink.memory, from: f}\n"
		inLab(t, text, l, func(t *testing.T, start func(flowOptions) flowRun) {
			info, err := start(flowOptions{}).Wait(t.Context())
			if err == nil || !strings.Contains(err.Error(), "boom") || info.State != StateFailed {
				t.Errorf("%s: %s, %v", what, info.State, err)
			}
		})
	}
}

// Req W7: what happens to rows for which there is no room.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const rows = 30
	for _, overflow := range []string{"wait", "drop", "fail"} {
		read := make(chan struct{}) // closed when the source has read almost all
		var once sync.Once
		l := &lab{}
		l.read = func(_ context.Context, _ string, sofar int) error {
			if sofar == rows-5 {
				once.Do(func() { close(read) })
			}
			return nil
		}
		l.apply = func(ctx context.Context, _ string, _ Batch) error {
			if overflow == "wait" {
				return nil
			}
			select {
			case <-read:
			case <-ctx.Done():
				return ctx.Err()
			}
			return nil
		}
		text := fmt.Sprintf("name: x\nbatch_rows: 1\nqueue_batches: 2\nnodes:\n  - {id: in, type: source.rows, with: {columns: {n: int}, rows: %d}}\n"+
			"  - {id: f, type: filter, from: in, overflow: %s, with: {where: n > 0}}\n  - {id: out, type: sink.memory, from: f}\n", rows, overflow)
		inLab(t, text, l, func(t *testing.T, start func(flowOptions) flowRun) {
			info, err := start(flowOptions{}).Wait(t.Context())
			f := info.Nodes[1]
			switch overflow {
			case "wait":
				if err != nil || f.RowsIn != rows || f.Dropped != 0 {
					t.Errorf("%s: %d rows, %d dropped, %v", overflow, f.RowsIn, f.Dropped, err)
				}
			case "drop":
				if err != nil || f.Dropped < rows/2 || f.RowsIn+f.Dropped != rows || info.RowsOut() != f.RowsIn {
					t.Errorf("%s: %d rows, %d dropped, %v", overflow, f.RowsIn, f.Dropped, err)
				}
			case "fail":
				if fault.CodeOf(err) != fault.ResourceExhausted || !strings.Contains(err.Error(), `2 batches wait in front of node "f"`) {
					t.Errorf("%s: %v", overflow, err)
				}
			}
		})
	}
}

// Settings that a node cannot have are mistakes of the definition.
func TestRowSettingsAreChecked(t *testing.T) {
	t.Parallel()
	l := &lab{}
	r := l.registry()
	for setting, want := range map[string]string{
		"id: s, type: sum, from: in, parallel: 2, with: {column: n}":          "a sum cannot work on several batches at a time; set it at nodes that look at each row alone",
		"id: s, type: filter, from: in, parallel: 65, with: {where: n > 0}":   "65 is out of range; expected 1 to 64",
		"id: s, type: filter, from: in, overflow: dorp, with: {where: true}":  `unknown overflow "dorp"; did you mean "drop"?`,
		"id: s, type: source.rows, overflow: drop, with: {columns: {n: int}}": "no rows come into a source.rows",
	} {
		text := "name: x\nnodes:\n  - {id: in, type: source.rows, with: {columns: {n: int}}}\n  - {" + setting + "}\n  - {id: out, type: sink.memory, from: [s]}\n  - {id: rest, type: sink.memory, from: in}\n"
		_, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: r})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
