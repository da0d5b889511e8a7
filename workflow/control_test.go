package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Req W6: an attempt that fails for a time is repeated, with the same key; one
// that fails for good is not, and its failure is that of the run.
func TestRetry(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	keys := map[string]bool{}
	var mu sync.Mutex
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		mu.Lock()
		keys[task.Key] = true
		mu.Unlock()
		switch {
		case text == "bad":
			return nil, fault.New(fault.InvalidArgument, "", "no such place")
		case tries.Add(1) < 3:
			return nil, fault.New(fault.Unavailable, "", "not now")
		}
		return nil, nil
	})
	r := s.start(`
name: w
nodes:
  - {id: shaky, type: task.play, retry: {max: 3, initial: 1ms}}
  - {id: bad, type: task.play, after: shaky, with: {text: bad}, retry: {max: 3, initial: 1ms}}
  - {id: never, type: task.play, after: bad}
`, StartOptions{})
	info, err := s.wait(r)
	if fault.CodeOf(err) != fault.InvalidArgument || err.Error() != "bad: no such place (INVALID_ARGUMENT)" {
		t.Errorf("got %v", err)
	}
	if got, want := states(info), "failed shaky:completed bad:failed never:pending"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(keys) != 2 || tries.Load() != 3 {
		t.Errorf("keys %v, %d tries", keys, tries.Load())
	}
	const want = "1 WorkflowStarted \n2 NodeStarted shaky\n3 NodeRetried shaky (not now (UNAVAILABLE))\n4 NodeStarted shaky #2\n" +
		"5 NodeRetried shaky #2 (not now (UNAVAILABLE))\n6 NodeStarted shaky #3\n7 NodeCompleted shaky #3\n8 NodeStarted bad\n" +
		"9 NodeFailed bad (no such place (INVALID_ARGUMENT))\n10 WorkflowFailed  (bad: no such place (INVALID_ARGUMENT))\n"
	if got := s.history(r); got != want {
		t.Errorf("history:\n%s", got)
	}
}

// Req W6: a failure that the definition deals with is none of the run.
func TestFailureHandled(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(_ context.Context, task *Task, _ string) (json.RawMessage, error) {
		if task.Node == "try" {
			return nil, errors.New("broken")
		}
		return nil, nil
	})
	r := s.start(`
name: w
output: steps.try.error
nodes:
  - {id: try, type: task.play}
  - {id: fine, type: task.play, after: try}
  - {id: mend, type: task.play, after: try.failed}
  - {id: both, type: task.play, after: [fine, mend]}
`, StartOptions{})
	info, err := s.wait(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := states(info), "completed try:failed fine:skipped mend:completed both:completed"; got != want || string(info.Output) != `"broken"` {
		t.Errorf("got %s with %s, want %s", got, info.Output, want)
	}
}

// Req W6: what was done is undone, the last first, when a later node fails.
func TestCompensation(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var said []string
	var undo atomic.Int64
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		if text == "unbook flight 7" && undo.Add(1) == 1 {
			return nil, fault.New(fault.Unavailable, "", "line busy") // is tried again
		}
		mu.Lock()
		said = append(said, text)
		mu.Unlock()
		if text == "pay" {
			return nil, fault.New(fault.FailedPrecondition, "", "no money")
		}
		return json.RawMessage(`7`), nil
	})
	r := s.start(`
name: w
nodes:
  - {id: hotel, type: task.play, with: {text: hotel}, undo: {type: task.play, with: {text: "unbook hotel"}}}
  - {id: flight, type: task.play, after: hotel, with: {text: flight}, undo: {type: task.play, with: {text: "unbook flight ${{ steps.flight.output }}"}}}
  - {id: pay, type: task.play, after: flight, with: {text: pay}, undo: {type: task.play, with: {text: "repay"}}}
`, StartOptions{})
	if _, err := s.wait(r); err == nil || !strings.HasPrefix(err.Error(), "pay: no money") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(said, ", "); got != "hotel, flight, pay, unbook flight 7, unbook hotel" {
		t.Errorf("%s\n%s", got, s.history(r))
	}
	if err := r.Retry(context.Background()); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("a run that was undone is retried: %v", err)
	}
}

// Req W6: cancel interrupts what is under way, and nothing more is begun.
func TestCancelRun(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	s := newStage(t, func(ctx context.Context, task *Task, _ string) (json.RawMessage, error) {
		if task.Node == "long" {
			close(begun)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return nil, nil
	})
	r := s.start(`
name: w
nodes:
  - {id: long, type: task.play}
  - {id: wait, type: wait, with: {signal: never}}
  - {id: next, type: task.play, after: long}
`, StartOptions{})
	<-begun
	if err := r.Cancel(context.Background(), "not wanted any more"); err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(r)
	if fault.CodeOf(err) != fault.Canceled || info.Error != "not wanted any more" {
		t.Errorf("%v: %s", err, info.Error)
	}
	if got, want := states(info), "cancelled long:cancelled wait:cancelled next:pending"; got != want {
		t.Errorf("got %s, want %s\n%s", got, want, s.history(r))
	}
	if err := r.Cancel(context.Background(), ""); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("a second cancel: %v", err)
	}
}

// Req W6: a failed run goes on from the node that failed; what was completed is
// not done again.
func TestRetryRun(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	s := newStage(t, func(_ context.Context, task *Task, _ string) (json.RawMessage, error) {
		if task.Node == "second" && broken.Load() {
			return nil, errors.New("broken")
		}
		return json.Marshal(task.Node)
	})
	r := s.start(`
name: w
output: steps.third.output
nodes:
  - {id: first, type: task.play}
  - {id: second, type: task.play, after: first}
  - {id: third, type: task.play, after: second}
`, StartOptions{})
	if _, err := s.wait(r); err == nil {
		t.Fatal("the run did not fail")
	}
	broken.Store(false)
	if err := r.Retry(context.Background()); err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(r)
	if err != nil || string(info.Output) != `"third"` {
		t.Errorf("%v\n%s", err, s.history(r))
	}
	if got := strings.Join(s.calls, ","); got != "first/0,second/0,second/0,third/0" {
		t.Errorf("called: %s", got)
	}
	again, err := r.Rerun(context.Background(), RerunOptions{From: "third"})
	if err != nil {
		t.Fatal(err)
	}
	if info, err = s.wait(again); err != nil || info.Start.RerunOf != r.ID() {
		t.Errorf("%v, %+v", err, info.Start)
	}
	if got := strings.Join(s.calls[4:], " "); got != "third/0" {
		t.Errorf("rerun called: %s", got)
	}
	if _, err := r.Rerun(context.Background(), RerunOptions{From: "thrid"}); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), `"third"`) {
		t.Errorf("got %v", err)
	}
}

// Req W6: signals that come early are kept; one that is repeated has one effect;
// what waits for them outlives the process.
func TestSignals(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	ctx := context.Background()
	r := s.start(`
name: w
output: "[steps.one.output, steps.two.output]"
nodes:
  - {id: one, type: wait, with: {signal: paid}}
  - {id: two, type: wait, after: one, with: {signal: paid}}
`, StartOptions{})
	for range 2 { // the second is a repetition
		if err := r.Signal(ctx, "paid", json.RawMessage(`{"cents": 5}`), "request-1"); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	s.open()
	r, err := s.engine.Run(ctx, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	info, err := r.Info(ctx)
	if err != nil || len(info.Waits) != 1 || info.Waits[0].Node != "two" {
		t.Fatalf("%+v, %v\n%s", info.Waits, err, s.history(r))
	}
	if err := r.Signal(ctx, "early", nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.Signal(ctx, "paid", json.RawMessage(`7`), ""); err != nil {
		t.Fatal(err)
	}
	if info, err = s.wait(r); err != nil || string(info.Output) != `[{"cents":5},7]` {
		t.Errorf("%s, %v\n%s", info.Output, err, s.history(r))
	}
	if err := r.Signal(ctx, "paid", nil, ""); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("a signal to a run that has ended: %v", err)
	}
	if err := r.Signal(ctx, "paid", json.RawMessage(`{`), ""); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("a payload that is no JSON: %v", err)
	}
}

// Req W2, W6: approvals go on by what was answered, or by the end of their time.
func TestApproval(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStage(t, nil)
	const text = `
name: w
nodes:
  - {id: sum, type: value, with: {output: "40 + 2"}}
  - {id: ask, type: approval, after: sum, with: {title: "Pay ${{ steps.sum.output }}?", timeout: %s}}
  - {id: pay, type: task.play, after: ask.approved}
  - {id: drop, type: task.play, after: ask.rejected}
  - {id: late, type: task.play, after: ask.timeout}
`
	for _, tc := range []struct {
		timeout string
		answer  *Approval
		want    string
	}{
		{"1h", &Approval{Approved: true, By: "ada"}, "pay/0"},
		{"1h", &Approval{By: "ada", Comment: "too much"}, "drop/0"},
		{"5ms", nil, "late/0"},
	} {
		s.calls = nil
		r := s.start(fmt.Sprintf(text, tc.timeout), StartOptions{})
		if tc.answer != nil {
			info, err := r.Info(ctx)
			if err != nil || len(info.Waits) != 1 || info.Waits[0].For != "approval" || info.Waits[0].Title != "Pay 42?" {
				t.Fatalf("%+v, %v", info.Waits, err)
			}
			if err := r.Approve(ctx, "ask", nil, *tc.answer); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.wait(r); err != nil {
			t.Error(err)
		}
		if got := strings.Join(s.calls, " "); got != tc.want {
			t.Errorf("called %s, want %s\n%s", got, tc.want, s.history(r))
		}
	}
}

// Req W6: a sleep ends at its time, also when it begins in the middle of a run,
// and when the process has ended meanwhile.
func TestSleep(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	r := s.start(`
name: w
nodes:
  - {id: first, type: task.play}
  - {id: nap, type: sleep, after: first, with: {for: 2ms}}
  - {id: long, type: sleep, after: nap, with: {for: 150ms}}
  - {id: last, type: task.play, after: long}
`, StartOptions{})
	changes, stop := r.Changes()
	for {
		info, err := r.Info(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if info.Nodes[2].State != StatePending {
			break
		}
		<-changes
	}
	stop()
	s.close()
	s.open()
	r, err := s.engine.Run(context.Background(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := s.wait(r); err != nil || states(info) != "completed first:completed nap:completed long:completed last:completed" {
		t.Errorf("%s: %v\n%s", states(info), err, s.history(r))
	}
}

// Bad input: what is too large for a record fails the node and says so.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	big := json.RawMessage(`"` + strings.Repeat("x", 1<<19) + `"`)
	s := newStage(t, func(context.Context, *Task, string) (json.RawMessage, error) { return big, nil })
	for nodes, want := range map[string]string{
		"  - id: all\n    type: foreach\n    with: {items: 'lists.range(10)'}\n    do:\n      - {id: one, type: task.play}\n":         "all: what the items gave out has",
		"  - {id: one, type: task.play}\n  - {id: v, type: value, after: one, with: {output: steps.one.output + steps.one.output}}\n": "v: the expression cannot be evaluated: steps.one.output + steps.one.output: the output has 1048578 bytes",
	} {
		_, err := s.wait(s.start("name: w\nnodes:\n"+nodes, StartOptions{}))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %.200v, want %s", err, want)
		}
	}
}

// Req W6: a loop hands each iteration what the one before gave out, and has a
// bound.
func TestLoop(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
		return json.RawMessage(text), nil
	})
	const text = `
name: w
output: steps.again.output
nodes:
  - id: again
    type: loop
    with: {while: "iteration == 0 || last < 100", max: %d}
    do:
      - {id: double, type: task.play, with: {text: "${{ iteration == 0 ? 3 : last * 2 }}"}}
`
	r := s.start(fmt.Sprintf(text, 10), StartOptions{})
	info, err := s.wait(r)
	if err != nil || string(info.Output) != "192" || info.Nodes[1].Counts.Completed != 7 {
		t.Errorf("%s, %v\n%s", info.Output, err, s.history(r))
	}
	r = s.start(fmt.Sprintf(text, 3), StartOptions{})
	if _, err = s.wait(r); err == nil || !strings.Contains(err.Error(), "still true after 3 iterations") {
		t.Errorf("got %v", err)
	}
}

// Req W2, W6: a workflow is a node of another one; its failure is that node's.
func TestSubWorkflow(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
		if text == "2" {
			return nil, errors.New("two is bad")
		}
		return json.RawMessage(text), nil
	})
	s.deploy(`
name: child
inputs: {n: {type: int}}
output: steps.work.output * 10
nodes:
  - {id: work, type: task.play, with: {text: "${n}"}}
`[1:])
	r := s.start(`
name: parent
output: steps.all.output
nodes:
  - id: all
    type: foreach
    with: {items: "[1, 2, 3]", tolerate: 1}
    do:
      - {id: one, type: workflow, with: {workflow: child, inputs: {n: "${{ item }}"}}}
`, StartOptions{})
	info, err := s.wait(r)
	if err != nil || string(info.Output) != "[10,null,30]" {
		t.Fatalf("%s, %v\n%s", info.Output, err, s.history(r))
	}
	children, err := s.engine.Runs(context.Background(), RunFilter{Parent: r.ID()})
	if err != nil || len(children) != 3 {
		t.Errorf("children: %+v, %v", children, err)
	}
}

// Req W3, W6: a paused run begins nothing; resumed it goes on.
func TestPause(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	gate := make(chan struct{})
	s := newStage(t, func(_ context.Context, task *Task, _ string) (json.RawMessage, error) {
		if task.Node == "first" {
			<-gate
		}
		return nil, nil
	})
	r := s.start("name: w\nnodes:\n  - {id: first, type: task.play}\n  - {id: second, type: task.play, after: first}\n", StartOptions{})
	if err := r.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	close(gate)
	changes, stop := r.Changes()
	defer stop()
	for {
		info, err := r.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.Nodes[0].State == StateCompleted {
			if got := states(info); got != "paused first:completed second:pending" {
				t.Errorf("got %s", got)
			}
			break
		}
		<-changes
	}
	if err := r.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if info, err := s.wait(r); err != nil {
		t.Errorf("%s: %v", states(info), err)
	}
}

// Req F8, W6: a task that takes too long, or says nothing for too long, ends with
// DEADLINE_EXCEEDED.
func TestTimeoutAndHeartbeat(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(ctx context.Context, task *Task, text string) (json.RawMessage, error) {
		if text == "beat" {
			for range 5 {
				task.Heartbeat()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return nil, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, tc := range []struct{ settings, want string }{
		{"timeout: 20ms", "n: the task took longer than 20ms (DEADLINE_EXCEEDED)"},
		{"heartbeat: 20ms", "n: nothing was heard of the task for 20ms (DEADLINE_EXCEEDED)"},
		{"heartbeat: 10s, with: {text: beat}", ""},
	} {
		r := s.start("name: w\nnodes:\n  - {id: n, type: task.play, retry: {max: -1}, "+tc.settings+"}\n", StartOptions{})
		_, err := s.wait(r)
		if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
			t.Errorf("%s: got %s, want %s", tc.settings, got, tc.want)
		}
	}
}

// Req W6: so many of a key at a time, in all runs.
func TestConcurrencyLimit(t *testing.T) {
	t.Parallel()
	var inside, most atomic.Int64
	pair := make(chan struct{}) // each of two that are inside lets the other go on
	s := newStage(t, func(context.Context, *Task, string) (json.RawMessage, error) {
		n := inside.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer inside.Add(-1)
		select {
		case pair <- struct{}{}:
		case <-pair:
		case <-time.After(hang):
			return nil, errors.New("alone")
		}
		return nil, nil
	})
	v := s.deploy(`
name: w
nodes:
  - id: all
    type: foreach
    with: {items: "[1, 2, 3, 4, 5, 6, 7, 8]", parallel: 8}
    do:
      - {id: one, type: task.play, concurrency: {limit: 2, key: "customer ${{ run.key }}"}}
`[1:])
	var runs []*Run
	for range 3 {
		r, err := s.engine.Start(context.Background(), v.Workflow, StartOptions{Key: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	for _, r := range runs {
		if _, err := s.wait(r); err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d at a time, want 2", most.Load())
	}
}

// Req W3: a start that is repeated with the same request id gives the same run.
func TestStartOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	v := s.deploy("name: w\nnodes:\n  - {id: n, type: task.play}\n")
	ids := map[string]bool{}
	for range 3 {
		r, err := s.engine.Start(context.Background(), v.Workflow, StartOptions{RequestID: "order-1"})
		if err != nil {
			t.Fatal(err)
		}
		ids[r.ID()] = true
		if _, err := s.wait(r); err != nil {
			t.Error(err)
		}
	}
	if len(ids) != 1 || len(s.calls) != 1 {
		t.Errorf("runs %v, calls %v", ids, s.calls)
	}
}

// Req W10: runs stay pinned to the version they began with; activating an older
// one is a rollback.
func TestVersions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStage(t, nil)
	text := func(output string) string {
		return "name: w\noutput: \"'" + output + "'\"\nnodes:\n  - {id: hold, type: wait, with: {signal: go}}\n"
	}
	pinned := s.start(text("one"), StartOptions{})
	if v := s.deploy(text("one")); v.Version != 1 {
		t.Errorf("the same text is version %d", v.Version)
	}
	second := s.start(text("two"), StartOptions{})
	if err := s.engine.Activate(ctx, "w", 1); err != nil {
		t.Fatal(err)
	}
	third, err := s.engine.Start(ctx, "w", StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	s.open()
	for want, r := range map[string]*Run{"one": pinned, "two": second, "one again": third} {
		if r, err = s.engine.Run(ctx, r.ID()); err != nil {
			t.Fatal(err)
		}
		if err := r.Signal(ctx, "go", nil, ""); err != nil {
			t.Fatal(err)
		}
		info, err := s.wait(r)
		if err != nil || string(info.Output) != `"`+strings.Fields(want)[0]+`"` {
			t.Errorf("%s: %s, %v", want, info.Output, err)
		}
	}
	versions, err := s.engine.Versions(ctx, "w")
	if err != nil || len(versions) != 2 || versions[0].Active || !versions[1].Active {
		t.Errorf("%+v, %v", versions, err)
	}
	for name, version := range map[string]int64{"w": 9, "v": 0} {
		if _, err := s.engine.Start(ctx, name, StartOptions{Version: version}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s %d: %v", name, version, err)
		}
	}
}

// Req W9: runs are listed newest first, by state, key and page, and pruned.
func TestRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStage(t, nil)
	var ids []string
	for i := range 5 {
		r := s.start(fmt.Sprintf("name: w%d\nnodes:\n  - {id: hold, type: wait, with: {signal: go}}\n", i%2), StartOptions{Key: fmt.Sprint("k", i)})
		ids = append(ids, r.ID())
		if i < 3 {
			if err := r.Signal(ctx, "go", nil, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := s.wait(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(f RunFilter) string {
		runs, err := s.engine.Runs(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range runs {
			for i, id := range ids {
				if id == r.ID {
					out = append(out, fmt.Sprint(i))
				}
			}
		}
		return strings.Join(out, "")
	}
	for want, f := range map[string]RunFilter{
		"43210": {}, "420": {Workflow: "w0"}, "43": {States: []State{StateRunning}}, "2": {Key: "k2"}, "32": {After: ids[4], Limit: 2}, "210": {States: []State{StateCompleted}},
	} {
		if got := list(f); got != want {
			t.Errorf("%+v: got %s, want %s", f, got, want)
		}
	}
	removed, err := s.engine.Prune(ctx, "w0", 1)
	if err != nil || len(removed) != 1 || removed[0] != ids[0] || list(RunFilter{}) != "4321" {
		t.Errorf("removed %v, left %s: %v", removed, list(RunFilter{}), err)
	}
	if _, err := s.engine.Run(ctx, ids[0]); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a run that was removed: %v", err)
	}
}
