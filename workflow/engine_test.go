package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// stage has an engine on a real store, and tasks that the test plays.
type stage struct {
	t        *testing.T
	path     string
	store    store.Store
	sys      *actor.System
	engine   *Engine
	lab      lab
	every    int // events from one snapshot to the next; 0: as by default
	mu       sync.Mutex
	calls    []string                   // keys of the attempts, in the order in which they began
	commit   func(b *store.Batch) error // called before each commit of an engine, if it is not nil
	play     func(ctx context.Context, t *Task, text string) (json.RawMessage, error)
	registry *Registry
}

type playConfig struct {
	Text string `yaml:"text" doc:"What to do."`
}

func newStage(t *testing.T, play func(ctx context.Context, t *Task, text string) (json.RawMessage, error)) *stage {
	t.Helper()
	s := &stage{t: t, path: filepath.Join(t.TempDir(), "s.db"), play: play}
	s.registry = s.lab.registry()
	s.registry.Add(TaskType[playConfig]{
		Name: "task.play", Doc: "Does what the test says.",
		Run: func(ctx context.Context, task *Task, c playConfig) (json.RawMessage, error) {
			s.mu.Lock()
			s.calls = append(s.calls, task.Key[37:])
			s.mu.Unlock()
			if s.play == nil {
				return json.Marshal(c.Text)
			}
			return s.play(ctx, task, c.Text)
		},
	})
	s.open()
	t.Cleanup(func() {
		s.replayAll()
		s.close()
	})
	return s
}

// watchedStore asks the test before it commits.
type watchedStore struct {
	store.Store
	stage *stage
}

func (w watchedStore) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	w.stage.mu.Lock()
	ask := w.stage.commit
	w.stage.mu.Unlock()
	if ask != nil {
		if err := ask(b); err != nil {
			return store.Result{}, err
		}
	}
	return w.Store.Commit(ctx, b)
}

func (s *stage) open() {
	s.t.Helper()
	var err error
	if s.store, err = sqlite.Open(context.Background(), s.path, sqlite.Options{}); err != nil {
		s.t.Fatal(err)
	}
	s.sys = actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	s.engine, err = Open(context.Background(), s.sys, watchedStore{s.store, s}, EngineOptions{Registry: s.registry, Files: fstest.MapFS{}, OutputDir: s.t.TempDir(), SnapshotEvery: s.every})
	if err != nil {
		s.t.Fatal(err)
	}
}

// close stops the engine as at the end of a process.
func (s *stage) close() {
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) deploy(text string) Version {
	s.t.Helper()
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: s.registry, Open: true})
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := s.engine.Deploy(context.Background(), d, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *stage) start(text string, o StartOptions) *Run {
	s.t.Helper()
	v := s.deploy(text)
	r, err := s.engine.Start(context.Background(), v.Workflow, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// hang is a net for what does not come; a slow disk may take its time.
const hang = 5 * time.Minute

func (s *stage) wait(r *Run) (RunInfo, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	info, err := r.Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatalf("the run does not end: %s\n%s", states(info), s.history(r))
	}
	return info, err
}

func states(info RunInfo) string {
	var out []string
	for _, n := range info.Nodes {
		out = append(out, n.ID+":"+string(n.State))
	}
	return string(info.State) + " " + strings.Join(out, " ")
}

func (s *stage) history(r *Run) string {
	s.t.Helper()
	var b strings.Builder
	for e, err := range r.History(context.Background(), 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %s %s", e.Seq, e.Type, Instance(e.Node, e.Iteration))
		if e.Attempt > 1 {
			fmt.Fprintf(&b, " #%d", e.Attempt)
		}
		if e.Handle != "" && e.Handle != doneHandle {
			fmt.Fprintf(&b, " > %s", e.Handle)
		}
		if e.Error != "" {
			fmt.Fprintf(&b, " (%s)", e.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Req W1, W4, W6: nodes run in the order in which they depend on each other,
// and see what those before them gave out.
func TestTasks(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	r := s.start(`
name: greet
inputs: {who: {type: string, default: world}}
output: steps.last.output
nodes:
  - {id: first, type: task.play, with: {text: "hello ${who}"}}
  - {id: pick, type: branch, after: first, with: {cases: {short: size(steps.first.output) < 8}}}
  - {id: brief, type: task.play, after: pick.short, with: {text: brief}}
  - {id: long, type: task.play, after: pick.else, with: {text: "${{ steps.first.output }}!"}}
  - {id: last, type: value, after: [brief, long], with: {output: "{'said': steps.long.output, 'brief': steps.brief.state}"}}
`, StartOptions{})
	info, err := s.wait(r)
	if err != nil {
		t.Fatal(err, s.history(r))
	}
	if got, want := string(info.Output), `{"brief":"skipped","said":"hello world!"}`; got != want {
		t.Errorf("output %s, want %s", got, want)
	}
	if got, want := states(info), "completed first:completed pick:completed brief:skipped long:completed last:completed"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := strings.Join(s.calls, " "); got != "first/0 long/0" {
		t.Errorf("called: %s", got)
	}
}

// Req W4: after the end of the process a run goes on where it was, and what was
// completed is not done again.
func TestGoesOnAfterTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	var once sync.Once
	s := newStage(t, func(ctx context.Context, task *Task, _ string) (json.RawMessage, error) {
		if task.Node != "second" {
			return nil, nil
		}
		first := false
		once.Do(func() {
			first = true
			close(reached)
		})
		if first {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return json.RawMessage(`2`), nil
	})
	r := s.start(`
name: steps
output: steps.second.output
nodes:
  - {id: first, type: task.play}
  - {id: second, type: task.play, after: first}
  - {id: third, type: task.play, after: second}
`, StartOptions{})
	<-reached
	s.close()
	s.open()
	again, err := s.engine.Run(context.Background(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(again)
	if err != nil || string(info.Output) != "2" {
		t.Errorf("%s: %v", info.Output, err)
	}
	if got := strings.Join(s.calls, ","); got != "first/0,second/0,second/0,third/0" {
		t.Errorf("called: %s\n%s", got, s.history(again))
	}
}

// Req W4: rows that flow when the process ends are no failure: the flow is run
// again, and its sinks have the rows once.
func TestFlowGoesOnAfterTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	s := newStage(t, nil)
	var once sync.Once
	s.lab.write = func(ctx context.Context, _ string, _ Batch) error {
		first := false
		once.Do(func() {
			first = true
			close(reached)
		})
		if first {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	r := s.start(`
name: rows
nodes:
  - {id: in, type: source.rows, with: {columns: {n: int}, rows: 10}}
  - {id: out, type: sink.memory, from: in}
  - {id: last, type: task.play, after: out}
`, StartOptions{})
	<-reached
	s.close()
	s.open()
	r, err := s.engine.Run(context.Background(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(r)
	if err != nil || info.RowsOut() != 10 {
		t.Errorf("%s: %v\n%s", states(info), err, s.history(r))
	}
}

// Req W4: a store that cannot commit for a time is waited for, and what was done
// meanwhile is not done again; when a commit is refused for good, the run is read
// again and goes on from what is recorded.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		calls string
	}{
		"for a time": {store.Failure(store.ErrDiskFull, "test", "", nil), "first/0,second/0"},
		"for good":   {store.Failure(store.ErrInvalid, "test", "", nil), "first/0,first/0,second/0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			failures := 1
			s.mu.Lock()
			s.commit = func(b *store.Batch) error {
				for _, a := range b.Appends {
					for _, e := range a.Events {
						if e.Type == string(NodeCompleted) && failures > 0 {
							failures--
							return tc.err
						}
					}
				}
				return nil
			}
			s.mu.Unlock()
			r := s.start("name: w\nnodes:\n  - {id: first, type: task.play}\n  - {id: second, type: task.play, after: first}\n", StartOptions{})
			if info, err := s.wait(r); err != nil {
				t.Errorf("%s: %v", states(info), err)
			}
			if got := strings.Join(s.calls, ","); got != tc.calls || failures != 0 {
				t.Errorf("called %s, want %s\n%s", got, tc.calls, s.history(r))
			}
		})
	}
}

// Req W7: rows flow as a step of a run, between tasks.
func TestFlowAsAStep(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	r := s.start(`
name: mixed
nodes:
  - {id: before, type: task.play}
  - {id: in, type: source.rows, after: before, with: {columns: {n: int}, rows: 50, reject_every: 10}}
  - {id: keep, type: filter, from: in, with: {where: n > 20}}
  - {id: out, type: sink.memory, from: keep}
  - {id: behind, type: task.play, after: out}
`, StartOptions{})
	info, err := s.wait(r)
	if err != nil {
		t.Fatal(err)
	}
	if info.RowsOut() != 27 || info.RejectedTotal != 5 || len(info.Rejects) != 5 || info.Edges[1].Rows != 27 {
		t.Errorf("%s\n%s", figures(info), s.history(r))
	}
	if got := s.history(r); !strings.HasSuffix(got, "NodeCompleted in\n6 NodeStarted behind\n7 NodeCompleted behind\n8 WorkflowCompleted \n") {
		t.Errorf("history:\n%s", got)
	}
}

// Req W6: a foreach runs its nodes for each item, so many at a time, and gives
// out the results in the order of the items.
func TestForeach(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	active, most := 0, 0
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		mu.Lock()
		active++
		most = max(most, active)
		mu.Unlock()
		defer func() {
			mu.Lock()
			active--
			mu.Unlock()
		}()
		if text == "3" {
			return nil, fault.New(fault.InvalidArgument, "", "three is bad")
		}
		return json.RawMessage(text), nil
	})
	r := s.start(`
name: fan
output: steps.all.output
nodes:
  - id: all
    type: foreach
    with: {items: "[1, 2, 3, 4, 5, 6, 7]", parallel: 2, tolerate: 1}
    do:
      - {id: one, type: task.play, with: {text: "${{ item }}"}}
      - {id: twice, type: value, after: one, with: {output: steps.one.output * 2 + index * 100}}
`, StartOptions{})
	info, err := s.wait(r)
	if err != nil {
		t.Fatal(err, s.history(r))
	}
	if got := string(info.Output); got != "[2,104,null,308,410,512,614]" {
		t.Errorf("output %s\n%s", got, s.history(r))
	}
	if most > 2 {
		t.Errorf("%d were under way at a time", most)
	}
	if c := info.Nodes[1].Counts; c == nil || c.Completed != 6 || c.Failed != 1 {
		t.Errorf("counts %+v", c)
	}
}
