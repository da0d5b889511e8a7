package workflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Req W1: a failure anywhere fails the run with the node and the place, and
// no sink keeps anything.
func TestRunFailures(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	at := func(wanted string) func(context.Context, string, Batch) error {
		return func(_ context.Context, node string, b Batch) error {
			if node == wanted && b.Lines[0] > 40 {
				return boom
			}
			return nil
		}
	}
	tell := func(node, what string) func(context.Context, string, string) error {
		return func(_ context.Context, n, w string) error {
			if n == node && w == what {
				return boom
			}
			return nil
		}
	}
	for name, tc := range map[string]struct {
		text string
		lab  *lab
		node string // that failed
		want string
		code fault.Code
		told string // to the sink "out"
	}{
		"source fails": {line(100, ", fail_at: 45"), &lab{}, "in",
			`node "in" (source.rows) cannot read: line 46: the disk is gone (UNKNOWN)`, fault.Unknown, "open abort"},
		"transform fails": {line(100, ""), &lab{apply: at("keep")}, "keep",
			`node "keep" (filter) failed on a batch of 10 rows from in.csv:42 on: boom (UNKNOWN)`, fault.Unknown, "open abort"},
		"sink fails": {line(100, ""), &lab{write: at("out")}, "out",
			`node "out" (sink.memory) cannot write a batch of 10 rows from in.csv:42 on: boom (UNKNOWN)`, fault.Unknown, "open abort"},
		"open fails": {line(100, ""), &lab{tell: tell("out", "open")}, "out",
			`node "out" (sink.memory) cannot be opened: boom (UNKNOWN)`, fault.Unknown, "open abort"},
		"prepare fails": {line(100, ""), &lab{tell: tell("out", "prepare")}, "out",
			`node "out" (sink.memory) cannot finish its output: boom (UNKNOWN)`, fault.Unknown, "open prepare abort"},
		"commit fails": {line(100, ""), &lab{tell: tell("out", "commit")}, "out",
			`node "out" (sink.memory) cannot commit its output: boom (UNKNOWN)`, fault.Unknown, "open prepare commit abort"},
		"panic": {line(100, ""), &lab{apply: func(context.Context, string, Batch) error { panic("ouch") }}, "keep",
			`node "keep" (filter): panic: ouch (INTERNAL)`, fault.Internal, "open abort"},
		"panic in open": {line(100, ""), &lab{tell: func(context.Context, string, string) error { panic("ouch") }}, "out",
			`node "out" (sink.memory): panic: ouch (INTERNAL)`, fault.Internal, "open abort"},
		"abort fails": {line(100, ", fail_at: 45"), &lab{tell: tell("out", "abort")}, "in",
			`node "in" (source.rows) cannot read: line 46: the disk is gone (UNKNOWN); then node "out" (sink.memory) cannot undo its output: boom (UNKNOWN)`,
			fault.Unknown, "open abort"},
		"rows vanish": {line(100, ""), &lab{tamper: func(_ string, o *Output) { o.Batch.Rows = o.Batch.Rows[1:] }}, "keep",
			`node "keep" (filter) failed on a batch of 10 rows from in.csv:2 on: of 10 rows it accounts for 9: ` +
				`9 out, 0 out by other handles, 0 set aside, 0 filtered, 0 held (INTERNAL)`, fault.Internal, "open abort"},
		"another schema": {line(100, ""), &lab{tamper: func(_ string, o *Output) { o.Batch.Schema = MustSchema(Column{"m", KindInt}) }}, "keep",
			`node "keep" (filter) gave out a batch that is wrong: its columns are m int; promised were n int (UNKNOWN)`, fault.Unknown, "open abort"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLab(t, tc.text, tc.lab, func(t *testing.T, start func(flowOptions) flowRun) {
				r := start(flowOptions{})
				info, err := r.Wait(t.Context())
				if err == nil || err.Error() != tc.want || info.Error != tc.want || fault.CodeOf(err) != tc.code {
					t.Errorf("got %v\nwant %s", err, tc.want)
				}
				if info.State != StateFailed || r.node(tc.node).state != StateFailed {
					t.Errorf("run %s, node %s", info.State, r.node(tc.node).state)
				}
				for _, n := range info.Nodes {
					if !n.State.Final() {
						t.Errorf("%s is %s", n.ID, n.State)
					}
				}
				if got := strings.Join(tc.lab.sinks["out"].told, " "); got != tc.told {
					t.Errorf("the sink was told to %s, want %s", got, tc.told)
				}
				if len(tc.lab.closed) != 1 && name != "open fails" && name != "panic in open" {
					t.Error("the source was not closed")
				}
			})
		})
	}
}

// Req W1: one failing sink aborts all, also those that were fine.
func TestFailingSinkAbortsAll(t *testing.T) {
	t.Parallel()
	l := &lab{}
	l.tell = func(_ context.Context, node, what string) error {
		if node == "again" && what == "prepare" {
			return &fault.Error{Code: fault.ResourceExhausted, Message: "the disk is full"}
		}
		return nil
	}
	inLab(t, diamond, l, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{}).Wait(t.Context())
		if fault.CodeOf(err) != fault.ResourceExhausted || info.ErrorCode != fault.ResourceExhausted {
			t.Errorf("got %v", err)
		}
		for _, s := range l.sinks {
			if s.told[len(s.told)-1] != "abort" || strings.Contains(strings.Join(s.told, " "), "commit") {
				t.Errorf("%s was told to %v", s.node, s.told)
			}
		}
	})
}

// Req W1: sinks are committed one after the other; when a later one fails, the
// error says which ones stand.
func TestSecondCommitFails(t *testing.T) {
	t.Parallel()
	l := &lab{}
	l.tell = func(_ context.Context, node, what string) error {
		if node == "again" && what == "commit" {
			return errors.New("no")
		}
		return nil
	}
	inLab(t, diamond, l, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{}).Wait(t.Context())
		if err == nil || !strings.Contains(err.Error(), "committed before it failed: rows") {
			t.Errorf("got %v", err)
		}
		if fmt.Sprint(l.sinks["rows"].told, l.sinks["again"].told, l.sinks["total"].told) !=
			"[open prepare commit] [open prepare commit abort] [open prepare abort]" {
			t.Errorf("%v %v %v", l.sinks["rows"].told, l.sinks["again"].told, l.sinks["total"].told)
		}
		if info.Nodes[5].State != StateCompleted || info.Nodes[6].State != StateFailed || info.Nodes[7].State != StateCancelled {
			t.Errorf("states: %s", figures(info))
		}
	})
}

// Req A6, F7: a panic in a node is logged with its stack.
func TestPanicIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := &lab{apply: func(context.Context, string, Batch) error { panic("ouch") }}
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(10, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	r, err := startFlowRun(t.Context(), sys, d, flowOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(t.Context()); err == nil {
		t.Error("the run is completed")
	}
	if err := sys.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "ouch") || !strings.Contains(log.String(), "rowTransform") {
		t.Errorf("the log is %s", log.String())
	}
}
