package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// inLab runs f in a bubble that ends with every goroutine, so that a run that
// leaks one fails its test. Logs go nowhere but into the returned buffer.
func inLab(t *testing.T, text string, l *lab, f func(t *testing.T, start func(options StartOptions) *Run)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		f(t, func(options StartOptions) *Run {
			r, err := Start(t.Context(), sys, d, options)
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if stats := sys.Stats(); stats.Actors != 0 {
			t.Errorf("%d actors are left", stats.Actors)
		}
	})
}

// figures prints what a run did, node by node.
func figures(info RunInfo) string {
	var b strings.Builder
	for _, n := range info.Nodes {
		fmt.Fprintf(&b, "%s %s: %d in, %d out, %d set aside, %d filtered, %d held, %d made, %d batches\n",
			n.ID, n.State, n.RowsIn, n.RowsOut, n.Rejected, n.Filtered, n.Held, n.Made, n.Batches)
	}
	for _, e := range info.Edges {
		fmt.Fprintf(&b, "%s.%s > %s: %d\n", e.From, e.Handle, e.To, e.Rows)
	}
	return b.String()
}

const diamond = `
name: diamond
batch_rows: 10
nodes:
  - {id: one, type: source.rows, with: {columns: {n: int}, rows: 100, reject_every: 9}}
  - {id: two, type: source.rows, with: {columns: {n: int}, rows: 25}}
  - {id: big, type: filter, from: [one, two], with: {where: n > 20}}
  - {id: ratio, type: compute, from: [big, big.else], with: {set: {r: 100 / (n - 50)}}}
  - {id: sum, type: sum, from: big, with: {column: n}}
  - {id: rows, type: sink.memory, from: ratio}
  - {id: again, type: sink.memory, from: ratio}
  - {id: total, type: sink.memory, from: sum}
`

// Req W1, W7: several sources and sinks, fan-out, fan-in and handles; every
// row is accounted for.
func TestRun(t *testing.T) {
	t.Parallel()
	l := &lab{}
	inLab(t, diamond, l, func(t *testing.T, start func(StartOptions) *Run) {
		r := start(StartOptions{})
		info, err := r.Wait(t.Context())
		if err != nil || info.State != StateCompleted {
			t.Fatalf("%s: %v", info.State, err)
		}
		const want = `one completed: 100 in, 89 out, 11 set aside, 0 filtered, 0 held, 0 made, 9 batches
two completed: 25 in, 25 out, 0 set aside, 0 filtered, 0 held, 0 made, 3 batches
big completed: 114 in, 114 out, 0 set aside, 0 filtered, 0 held, 0 made, 12 batches
ratio completed: 114 in, 113 out, 1 set aside, 0 filtered, 0 held, 0 made, 13 batches
sum completed: 76 in, 1 out, 0 set aside, 0 filtered, 76 held, 1 made, 9 batches
rows completed: 113 in, 113 out, 0 set aside, 0 filtered, 0 held, 0 made, 13 batches
again completed: 113 in, 113 out, 0 set aside, 0 filtered, 0 held, 0 made, 13 batches
total completed: 1 in, 1 out, 0 set aside, 0 filtered, 0 held, 0 made, 1 batches
one.out > big: 89
two.out > big: 25
big.out > ratio: 76
big.else > ratio: 38
big.out > sum: 76
ratio.out > rows: 113
ratio.out > again: 113
sum.out > total: 1
`
		if got := figures(info); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if info.RowsIn() != 125 || info.RowsOut() != 227 || info.RejectedTotal != 12 || len(info.Rejects) != 12 {
			t.Errorf("%d in, %d out, %d rejects of which %d kept", info.RowsIn(), info.RowsOut(), info.RejectedTotal, len(info.Rejects))
		}
		if got := info.Rejects[11]; got != (Reject{Node: "ratio", File: "one.csv", Line: 51, Column: "r", Reason: "division by zero", Raw: "50"}) {
			t.Errorf("the last reject is %+v", got)
		}
		for _, s := range l.sinks {
			if got := strings.Join(s.told, " "); got != "open prepare commit" {
				t.Errorf("%s was told to %s", s.node, got)
			}
		}
		if len(l.sinks["rows"].rows) != 113 || fmt.Sprint(l.sinks["total"].rows) != "[[76 4388]]" {
			t.Errorf("rows: %d, total: %v", len(l.sinks["rows"].rows), l.sinks["total"].rows)
		}
		if info.Nodes[5].Artifact == nil || info.Nodes[5].Artifact.Path != "rows" || !strings.HasSuffix(info.Nodes[2].ActorPath, "/big") {
			t.Errorf("node: %+v", info.Nodes[5])
		}
		if fmt.Sprint(len(l.closed)) != "2" {
			t.Errorf("closed sources: %v", l.closed)
		}
	})
}

// Req W5: what happens is kept in order, and published.
func TestRunHistory(t *testing.T) {
	t.Parallel()
	l := &lab{}
	inLab(t, line(50, ""), l, func(t *testing.T, start func(StartOptions) *Run) {
		r := start(StartOptions{})
		info, err := r.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range r.History() {
			if e.RunID != info.ID || e.Workflow != "line" || e.At.IsZero() {
				t.Errorf("event %+v", e)
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(e.Type, " ", e.Node, " ", e.Rows)))
		}
		first, last := got[0], got[len(got)-1]
		if first != "WorkflowStarted  0" || last != "WorkflowCompleted  50" || len(got) != 8 {
			t.Errorf("history: %q", got)
		}
	})
}

// line is source → filter → sink over some rows.
func line(rows int, source string) string {
	return fmt.Sprintf(`
name: line
batch_rows: 10
queue_batches: 3
nodes:
  - {id: in, type: source.rows, with: {columns: {n: int}, rows: %d%s}}
  - {id: keep, type: filter, from: in, with: {where: n > 0}}
  - {id: out, type: sink.memory, from: keep}
`, rows, source)
}

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
			inLab(t, tc.text, tc.lab, func(t *testing.T, start func(StartOptions) *Run) {
				r := start(StartOptions{})
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
				h := r.History()
				if last := h[len(h)-1]; last.Type != WorkflowFailed || last.Error != tc.want {
					t.Errorf("the last event is %+v", last)
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
	inLab(t, diamond, l, func(t *testing.T, start func(StartOptions) *Run) {
		info, err := start(StartOptions{}).Wait(t.Context())
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
	inLab(t, diamond, l, func(t *testing.T, start func(StartOptions) *Run) {
		info, err := start(StartOptions{}).Wait(t.Context())
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

// Req W1: a run is cancelled by Cancel, by its context and by the end of the
// system, wherever its nodes are blocked.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(r *Run, cancel context.CancelFunc, sys *actor.System){
		"Cancel":  func(r *Run, _ context.CancelFunc, _ *actor.System) { r.Cancel() },
		"context": func(_ *Run, cancel context.CancelFunc, _ *actor.System) { cancel() },
		"system":  func(_ *Run, _ context.CancelFunc, sys *actor.System) { go sys.Stop(context.Background()) },
	} {
		for _, blocked := range []string{"in", "keep", "out"} {
			t.Run(name+" while blocked in "+blocked, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					block := func(ctx context.Context, node string) error {
						if node == blocked {
							<-ctx.Done()
							return ctx.Err()
						}
						return nil
					}
					l := &lab{
						read:  func(ctx context.Context, node string, _ int) error { return block(ctx, node) },
						apply: func(ctx context.Context, node string, _ Batch) error { return block(ctx, node) },
						write: func(ctx context.Context, node string, _ Batch) error { return block(ctx, node) },
					}
					d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(10_000, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
					if err != nil {
						t.Fatal(err)
					}
					sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					r, err := Start(ctx, sys, d, StartOptions{})
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if s := r.Info().State; s != StateRunning {
						t.Fatalf("the run is %s", s)
					}
					began := time.Now()
					how(r, cancel, sys)
					info, err := r.Wait(context.Background())
					if info.State != StateCancelled || fault.CodeOf(err) != fault.Canceled {
						t.Errorf("%s: %v", info.State, err)
					}
					if took := time.Since(began); took > 0 {
						t.Errorf("it took %s", took)
					}
					if got := strings.Join(l.sinks["out"].told, " "); got != "open abort" {
						t.Errorf("the sink was told to %s", got)
					}
					if len(l.closed) != 1 {
						t.Error("the source was not closed")
					}
					if err := sys.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A cancel that comes while sinks are being committed is too late.
func TestCancelWhileCommitting(t *testing.T) {
	t.Parallel()
	l := &lab{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		l.tell = func(ctx context.Context, node, what string) error {
			if node == "rows" && what == "commit" {
				cancel()
				synctest.Wait()
			}
			return ctx.Err()
		}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(diamond)}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := Start(ctx, sys, d, StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := r.Wait(context.Background()); err != nil || info.State != StateCompleted {
			t.Errorf("%s: %v", info.State, err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Req W7: backpressure. While the sink is blocked, the source does not run
// ahead further than the queues between them hold.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	l := &lab{}
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l.write = func(ctx context.Context, _ string, _ Batch) error {
			<-gate
			return nil
		}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(100_000, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := Start(context.Background(), sys, d, StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			synctest.Wait()
			info := r.Info()
			ahead := info.Nodes[0].Batches - info.Nodes[2].RowsOut/10
			// Two queues of three, the batch in the hands of each of the three nodes,
			// and the sink's being counted when it is written.
			if ahead < 4 || ahead > 2*3+3 {
				t.Fatalf("the source is %d batches ahead:\n%s", ahead, figures(info))
			}
			gate <- struct{}{}
		}
		close(gate)
		if info, err := r.Wait(context.Background()); err != nil || info.RowsOut() != 100_000 {
			t.Errorf("%d rows, %v", info.RowsOut(), err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
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
	r, err := Start(t.Context(), sys, d, StartOptions{})
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

// The rows that are set aside are kept in memory up to a bound, and all of
// them in a file.
func TestRejects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "rejects: rejects.csv\n" + line(50, ", reject_every: 2")
	l := &lab{}
	inLab(t, text, l, func(t *testing.T, start func(StartOptions) *Run) {
		info, err := start(StartOptions{OutputDir: dir, RejectsKept: 3}).Wait(t.Context())
		if err != nil || info.RejectedTotal != 25 || len(info.Rejects) != 3 {
			t.Fatalf("%d rejects, %d kept, %v", info.RejectedTotal, len(info.Rejects), err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "rejects.csv"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) != 27 || lines[0] != "node,file,line,column,reason,raw" || lines[2] != "in,in.csv,5,n,not a number,x4" {
			t.Errorf("the file is %s", text)
		}
	})
}

// A run that fails leaves no file of rejects, not even a temporary one.
func TestRejectsOfAFailedRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inLab(t, "rejects: sub/rejects.csv\n"+line(50, ", fail_at: 30, reject_every: 2"), &lab{}, func(t *testing.T, start func(StartOptions) *Run) {
		if _, err := start(StartOptions{OutputDir: dir}).Wait(t.Context()); err == nil {
			t.Error("the run is completed")
		}
		left, err := os.ReadDir(filepath.Join(dir, "sub"))
		if err != nil || len(left) != 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}

func TestRejectsFileInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := &lab{}
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte("rejects: .\n" + line(50, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(context.Background())
	if _, err := Start(t.Context(), sys, d, StartOptions{OutputDir: dir}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("got %v", err)
	}
}

func TestSinksThatWriteTheSame(t *testing.T) {
	t.Parallel()
	a := Artifact{Type: "sqlite", Path: "/a", Table: "t"}
	for _, tc := range []struct {
		b    Artifact
		want bool
	}{
		{Artifact{Type: "sqlite", Path: "/a", Table: "t"}, true},
		{Artifact{Type: "sqlite", Path: "/a", Table: "u"}, false},
		{Artifact{Type: "csv", Path: "/a"}, true},
		{Artifact{Type: "csv", Path: "/b"}, false},
	} {
		if a.overlaps(tc.b) != tc.want {
			t.Errorf("%v and %v overlap: %t", a, tc.b, !tc.want)
		}
	}
	r := newRun(&Definition{Nodes: []Node{{ID: "a"}, {ID: "b"}}}, StartOptions{})
	if err := r.claim(r.nodes[0], a); err != nil {
		t.Error(err)
	}
	err := r.claim(r.nodes[1], a)
	if err == nil || !strings.Contains(err.Error(), `the node "a" is written there as well`) && !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("got %v", err)
	}
}

// Req W1: the engine counts for itself, so that a lost row is found whoever
// lost it.
func TestConservation(t *testing.T) {
	t.Parallel()
	build := func() ([]*nodeTrack, []*edgeTrack) {
		nodes := []*nodeTrack{{node: Node{ID: "in", Role: RoleSource}}, {node: Node{ID: "f", Role: RoleTransform}}, {node: Node{ID: "out", Role: RoleSink}}}
		edges := []*edgeTrack{{edge: Edge{From: "in", To: "f"}}, {edge: Edge{From: "f", To: "out"}}}
		nodes[0].rowsIn.Store(10)
		nodes[0].rowsOut.Store(8)
		nodes[0].rejected.Store(2)
		nodes[1].rowsIn.Store(8)
		nodes[1].rowsOut.Store(4)
		nodes[1].held.Store(3)
		nodes[1].filtered.Store(2)
		nodes[1].made.Store(1)
		nodes[2].rowsIn.Store(4)
		nodes[2].rowsOut.Store(4)
		for i, n := range []int64{8, 4} {
			edges[i].sent.Store(n)
			edges[i].received.Store(n)
		}
		return nodes, edges
	}
	nodes, edges := build()
	if err := checkConservation(nodes, edges); err != nil {
		t.Errorf("a run that adds up: %v", err)
	}
	for name, spoil := range map[string]func(nodes []*nodeTrack, edges []*edgeTrack){
		"from in to f 8 rows were sent and 7 received":                                   func(n []*nodeTrack, e []*edgeTrack) { e[0].received.Add(-1) },
		"f took 8 rows, made 1, and accounts for 4 out, 0 set aside, 1 filtered, 3 held": func(n []*nodeTrack, e []*edgeTrack) { n[1].filtered.Add(-1) },
		"in took 10 rows, made 0, and accounts for 8 out, 1 set aside":                   func(n []*nodeTrack, e []*edgeTrack) { n[0].rejected.Add(-1) },
		"out took 3 rows of the 4 that arrived":                                          func(n []*nodeTrack, e []*edgeTrack) { n[2].rowsIn.Add(-1); n[2].rowsOut.Add(-1) },
		"f gave out 3 rows of which 4 were sent":                                         func(n []*nodeTrack, e []*edgeTrack) { n[1].rowsOut.Add(-1); n[1].filtered.Add(1) },
	} {
		nodes, edges := build()
		spoil(nodes, edges)
		err := checkConservation(nodes, edges)
		if fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Subscribers see that something has changed, at the latest the end.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	inLab(t, line(1000, ""), &lab{}, func(t *testing.T, start func(StartOptions) *Run) {
		r := start(StartOptions{})
		changes, cancel := r.Subscribe()
		defer cancel()
		seen := int64(-1)
		for info := r.Info(); !info.State.Final(); info = r.Info() {
			<-changes
			if out := info.RowsOut(); out < seen {
				t.Errorf("rows go back from %d to %d", seen, out)
			} else {
				seen = out
			}
		}
		late, cancelLate := r.Subscribe()
		defer cancelLate()
		<-late
	})
}

// Req W9, O1: the snapshot has the keys that the console and scripts read.
func TestRunInfoJSON(t *testing.T) {
	t.Parallel()
	inLab(t, line(4, ", reject_every: 3"), &lab{}, func(t *testing.T, start func(StartOptions) *Run) {
		info, err := start(StartOptions{}).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		info.ID, info.Nodes[0].ActorPath, info.Nodes[1].ActorPath, info.Nodes[2].ActorPath = "ID", "P", "P", "P"
		got, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"id":"ID","workflow":"line","state":"completed","started":"2000-01-01T00:00:00Z","finished":"2000-01-01T00:00:00Z",` +
			`"nodes":[{"id":"in","type":"source.rows","role":"source","state":"completed","actor_path":"P","rows_in":4,"rows_out":3,` +
			`"rejected":1,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0},` +
			`{"id":"keep","type":"filter","role":"transform","state":"completed","actor_path":"P","rows_in":3,"rows_out":3,` +
			`"rejected":0,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0},` +
			`{"id":"out","type":"sink.memory","role":"sink","state":"completed","actor_path":"P","rows_in":3,"rows_out":3,` +
			`"rejected":0,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0,"artifact":{"type":"memory","path":"out"}}],` +
			`"edges":[{"from":"in","handle":"out","to":"keep","rows":3},{"from":"keep","handle":"out","to":"out","rows":3}],` +
			`"rejects":[{"node":"in","file":"in.csv","line":4,"column":"n","reason":"not a number","raw":"x3"}],"rejected_total":1}`
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestRunIDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	last := ""
	for i := range 1000 {
		id := newRunID(now.Add(time.Duration(i) * 250 * time.Nanosecond))
		if id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s is no UUID of version 7", id)
		}
		last = id
	}
}

func TestStartWithAnEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(1, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		sys := actor.NewSystem(actor.Options{})
		if _, err := Start(ctx, sys, d, StartOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
