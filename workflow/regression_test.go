package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// The defects that the system had which this one replaces, each with its test.
// Two of the eight are elsewhere: string substitution where SQL parameters were
// promised is TestParametersAreBound of workflow/connector/sql, unbounded labels
// of metrics TestMetricsOfRunsAreBounded of telemetry.

// Req W3: cron that fires at the wrong hour. It took no notice of the zone, and
// counted the days of the week from the wrong one.
func TestCronFiresAtTheRightHour(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, zone, after, want string }{
		{"0 6 * * MON-FRI", "Europe/Berlin", "2026-11-20 07:00:00", "2026-11-23 06:00:00 +0100"},
		{"0 6 * * 1-5", "Asia/Tokyo", "2026-11-20 07:00:00", "2026-11-23 06:00:00 +0900"},
		{"0 6 * * 0", "America/Los_Angeles", "2026-11-20 07:00:00", "2026-11-22 06:00:00 -0800"},
		{"0 6 * * 7", "America/Los_Angeles", "2026-11-20 07:00:00", "2026-11-22 06:00:00 -0800"},
		{"0 6 * * SUN", "Asia/Kolkata", "2026-11-20 07:00:00", "2026-11-22 06:00:00 +0530"},
		{"0 6 * * FRI-SUN", "UTC", "2026-11-21 07:00:00", "2026-11-22 06:00:00 +0000"},
		{"0 0 12 13 * FRI", "UTC", "2026-11-12 13:00:00", "2026-11-13 12:00:00 +0000, 2026-11-20 12:00:00 +0000"}, // either
		{"0 0 12 */13 * FRI", "UTC", "2026-01-15 13:00:00", "2026-02-27 12:00:00 +0000"},                          // both
		{"0 9 L * ?", "UTC", "2028-02-01 00:00:00", "2028-02-29 09:00:00 +0000, 2028-03-31 09:00:00 +0000"},
		{"0 9 LW * *", "UTC", "2026-01-01 00:00:00", "2026-01-30 09:00:00 +0000, 2026-02-27 09:00:00 +0000, 2026-03-31 09:00:00 +0000"},
		{"0 9 1W * *", "UTC", "2026-07-30 00:00:00", "2026-08-03 09:00:00 +0000, 2026-09-01 09:00:00 +0000"},
		{"0 9 31W * *", "UTC", "2026-05-02 00:00:00", "2026-05-29 09:00:00 +0000, 2026-07-31 09:00:00 +0000"},
		{"0 9 * * 5L", "UTC", "2026-11-01 00:00:00", "2026-11-27 09:00:00 +0000, 2026-12-25 09:00:00 +0000"},
		{"0 9 * * TUE#3", "UTC", "2026-11-01 00:00:00", "2026-11-17 09:00:00 +0000, 2026-12-15 09:00:00 +0000"},
		{"0 0 29 2 *", "UTC", "2096-03-01 00:00:00", "2104-02-29 00:00:00 +0000"}, // 2100 is no leap year
		{"0 6 1 1 *", "Europe/Berlin", "2096-06-01 00:00:00", "2097-01-01 06:00:00 +0100, 2098-01-01 06:00:00 +0100, 2099-01-01 06:00:00 +0100, 2100-01-01 06:00:00 +0100"},
		{"59 59 23 31 12 *", "UTC", "1969-06-01 00:00:00", "1969-12-31 23:59:59 +0000, 1970-12-31 23:59:59 +0000"},
		{"5/20 * * * *", "UTC", "2026-01-01 00:06:00", "2026-01-01 00:25:00 +0000, 2026-01-01 00:45:00 +0000, 2026-01-01 01:05:00 +0000"},
		{"10,20-22,40-50/5 0 0 * * *", "UTC", "2026-01-01 00:00:11", "2026-01-01 00:00:20 +0000, 2026-01-01 00:00:21 +0000, 2026-01-01 00:00:22 +0000, 2026-01-01 00:00:40 +0000"},
		{"  @Hourly ", "UTC", "2026-01-01 00:00:00", "2026-01-01 01:00:00 +0000"},
	} {
		got := strings.Join(cronTimes(t, c.expression, c.zone, c.after, strings.Count(c.want, ",")+1), ", ")
		if got != c.want {
			t.Errorf("%s in %s after %s:\n got %s\nwant %s", c.expression, c.zone, c.after, got, c.want)
		}
	}
}

// Req W1: only the first source and sink run. The old system looked for "the"
// source and "the" sink of a graph, and left out the others without a word.
func TestEverySourceAndSinkRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	var text strings.Builder
	text.WriteString("name: x\nnodes:\n")
	for i := range 5 {
		fmt.Fprintf(&text, "  - {id: in%d, type: source.rows, with: {columns: {n: int}, rows: %d}}\n", i, 10+i)
		fmt.Fprintf(&text, "  - {id: out%d, type: sink.memory, from: [in%d, shared]}\n", i, i)
	}
	text.WriteString("  - {id: shared, type: source.rows, with: {columns: {n: int}, rows: 100}}\n")
	info, err := s.wait(s.start(text.String(), StartOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if got := len(s.lab.sinks[fmt.Sprint("out", i)].rows); got != 110+i {
			t.Errorf("out%d has %d rows", i, got)
		}
	}
	if info.RowsIn() != 160 {
		t.Errorf("%d rows were read", info.RowsIn())
	}
}

// Req W1: sources and sinks confused by type name. What a node was, a source or a
// sink, was guessed from words in the name of its type.
func TestRolesAreNotGuessedFromNames(t *testing.T) {
	t.Parallel()
	l := &lab{}
	r := l.registry()
	r.Add(
		SinkType[emptyConfig]{Name: "sink.source", Doc: "A sink.", Plan: l.planSink},
		SourceType[columnsConfig]{Name: "source.sink", Doc: "A source.", Plan: l.planSource},
		TransformType[whereConfig]{Name: "sourcesink", Doc: "Neither.", Side: []string{"else"}, Plan: l.planFilter},
	)
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte("name: sink\nnodes:\n  - {id: sink, type: source.sink, with: {columns: {n: int}, rows: 3}}\n" +
		"  - {id: task, type: sourcesink, from: sink, with: {where: n > 1}}\n  - {id: source, type: sink.source, from: task}\n")}}, "w.yaml", LoadOptions{Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Role{RoleSource, RoleTransform, RoleSink} {
		if d.Nodes[i].Role != want {
			t.Errorf("%s is a %s", d.Nodes[i].ID, d.Nodes[i].Role)
		}
	}
	for name, add := range map[string]func(){
		"sink.x":   func() { r.Add(SourceType[columnsConfig]{Name: "sink.x", Doc: "A source.", Plan: l.planSource}) },
		"source.x": func() { r.Add(SinkType[emptyConfig]{Name: "source.x", Doc: "A sink.", Plan: l.planSink}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			add()
		}()
	}
}

// Req W4: an empty workflow after recovery. The old system stored that a run had
// begun and not what it was a run of, so that after a restart it went through no
// nodes at all, and called that a success.
func TestRecoveredRunHasItsWorkflow(t *testing.T) {
	t.Parallel()
	reached, first := make(chan struct{}), sync.Once{}
	s := newStage(t, func(ctx context.Context, task *Task, _ string) (json.RawMessage, error) {
		var err error
		first.Do(func() {
			close(reached)
			<-ctx.Done()
			err = ctx.Err()
		})
		return json.RawMessage(`"` + task.Node + `"`), err
	})
	r := s.start(`
name: kept
inputs: {tag: {type: string}}
output: steps.after.output + inputs.tag
nodes:
  - {id: work, type: task.play}
  - {id: in, type: source.rows, after: work, with: {columns: {n: int}, rows: 4}}
  - {id: out, type: sink.memory, from: in}
  - {id: after, type: task.play, after: out}
`, StartOptions{Inputs: map[string]string{"tag": "!"}})
	<-reached
	s.close()
	s.open()
	s.deploy("name: kept\nnodes: [{id: other, type: task.play}]\n") // not what the run is of
	r, err := s.engine.Run(context.Background(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(r)
	if err != nil || string(info.Output) != `"after!"` || info.RowsOut() != 4 || states(info) != "completed work:completed in:completed out:completed after:completed" {
		t.Errorf("%s, %s, %d rows, %v", states(info), info.Output, info.RowsOut(), err)
	}
	d, err := r.Definition(context.Background())
	if err != nil || len(d.Nodes) != 4 || d.Nodes[3].ID != "after" {
		t.Errorf("its definition is %+v, %v", d, err)
	}
}

// Req W5: a failed run recorded as completed. The old system wrote "completed"
// whenever the loop over the nodes had ended, whatever had ended it.
func TestFailedRunIsRecordedAsFailed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		lab  func(l *lab)
	}{
		"a task":         {"nodes: [{id: x, type: task.play, with: {text: fail}}, {id: y, type: task.play, after: x}]", nil},
		"the last task":  {"nodes: [{id: y, type: task.play}, {id: x, type: task.play, after: y, with: {text: fail}}]", nil},
		"a source":       {"nodes: [{id: x, type: source.rows, with: {columns: {n: int}, rows: 9, fail_at: 5}}, {id: y, type: sink.memory, from: x}]", nil},
		"a sink":         {"nodes: [{id: y, type: source.rows, with: {columns: {n: int}, rows: 9}}, {id: x, type: sink.memory, from: y}]", failAt("commit")},
		"a sub-workflow": {"nodes: [{id: x, type: workflow, with: {workflow: below}}, {id: y, type: task.play, after: x}]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
				if text == "fail" {
					return nil, fault.New(fault.InvalidArgument, "test", "it must fail")
				}
				return nil, nil
			})
			if c.lab != nil {
				c.lab(&s.lab)
			}
			s.deploy("name: below\nnodes: [{id: z, type: task.play, with: {text: fail}}]\n")
			r := s.start("name: failing\n"+c.text+"\n", StartOptions{})
			info, err := s.wait(r)
			if err == nil || info.State != StateFailed || info.Error == "" {
				t.Errorf("it ended %s, %q, %v", info.State, info.Error, err)
			}
			s.close()
			s.open() // what is on disk counts
			ctx := context.Background()
			if r, err = s.engine.Run(ctx, r.ID()); err != nil {
				t.Fatal(err)
			}
			var types []EventType
			for event, err := range r.History(ctx, 0) {
				if err != nil {
					t.Fatal(err)
				}
				types = append(types, event.Type)
			}
			if slices.Contains(types, WorkflowCompleted) || types[len(types)-1] != WorkflowFailed {
				t.Errorf("its history is %v", types)
			}
			completed, err := s.engine.Runs(ctx, RunFilter{Workflow: "failing", States: []State{StateCompleted}})
			failed, err2 := s.engine.Runs(ctx, RunFilter{Workflow: "failing", States: []State{StateFailed}})
			if err := errors.Join(err, err2); err != nil || len(completed) != 0 || len(failed) != 1 || failed[0].Error == "" {
				t.Errorf("completed: %v, failed: %+v, %v", completed, failed, err)
			}
		})
	}
}

func failAt(what string) func(l *lab) {
	return func(l *lab) {
		l.tell = func(_ context.Context, _, told string) error {
			if told == what {
				return errors.New("the disk is gone")
			}
			return nil
		}
	}
}

// Req W4: ids that collide within a millisecond. Those of the old system were the
// time in milliseconds.
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
	seen := sync.Map{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				if id := newRunID(now); id == "" || swap(&seen, id) {
					t.Errorf("%s is there twice", id)
				}
			}
		})
	}
	all.Wait()
}

// swap reports whether an id is known, and makes it known.
func swap(known *sync.Map, id string) bool {
	_, there := known.LoadOrStore(id, true)
	return there
}
