package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// queue is a source whose input grows: each attempt finds one row more.
type queue struct {
	mu    sync.Mutex
	ready int      // rows in the input
	did   []string // what happened, in order
	// acknowledge, if not nil, is called for each acknowledgement.
	acknowledge func(n int) error
}

func (q *queue) note(format string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.did = append(q.did, fmt.Sprintf(format, args...))
}

func (q *queue) count(what string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.did {
		if strings.HasPrefix(d, what) {
			n++
		}
	}
	return n
}

func (q *queue) register(r *Registry) {
	schema := MustSchema(Column{"n", KindInt})
	r.Add(SourceType[emptyConfig]{Name: "source.queue", Doc: "Takes rows from a queue.", Plan: func(*Check, emptyConfig) SourcePlan {
		return SourcePlan{Schema: schema, New: func(env *Env) (Source, error) { return &queueSource{queue: q, env: env, schema: schema}, nil }}
	}})
	r.Add(SourceType[emptyConfig]{Name: "source.posts", Doc: "Takes rows that are sent to it.", Plan: func(*Check, emptyConfig) SourcePlan {
		return SourcePlan{Schema: schema, Receives: true, New: func(env *Env) (Source, error) { return &postSource{env: env, schema: schema, queue: q}, nil }}
	}})
}

type queueSource struct {
	queue  *queue
	env    *Env
	schema Schema
	end    int
}

func (s *queueSource) Open(ctx context.Context) error {
	s.queue.mu.Lock()
	s.queue.ready++
	found := s.queue.ready
	s.queue.mu.Unlock()
	if s.env.Journal.Len() == 0 {
		if err := s.env.Journal.Append(ctx, fmt.Append(nil, found)); err != nil {
			return err
		}
	}
	known, err := s.env.Journal.Entry(ctx, 0)
	if err != nil {
		return err
	}
	s.queue.note("open %d of %d %s", found, s.env.Journal.Len(), known)
	return json.Unmarshal(known, &s.end)
}

func (s *queueSource) Read(context.Context, int) (Batch, []Reject, error) {
	b := Batch{Schema: s.schema}
	for i := range s.end {
		b.Rows = append(b.Rows, Row{Int(int64(i))})
	}
	return b, nil, io.EOF
}

func (s *queueSource) Close() error { return nil }

func (s *queueSource) Acknowledge(context.Context) error {
	s.queue.note("acknowledge %d", s.end)
	if s.queue.acknowledge == nil {
		return nil
	}
	return s.queue.acknowledge(s.queue.count("acknowledge"))
}

// postSource gives out the numbers that are sent to it.
type postSource struct {
	env    *Env
	schema Schema
	queue  *queue
	next   int
}

func (s *postSource) Open(context.Context) error { return nil }

func (s *postSource) Read(ctx context.Context, _ int) (Batch, []Reject, error) {
	b := Batch{Schema: s.schema}
	entry, err := s.env.Journal.Entry(ctx, s.next)
	switch {
	case err != nil:
		return b, nil, err
	case len(entry) == 0:
		return b, nil, io.EOF
	}
	s.next++
	var n int64
	if err := json.Unmarshal(entry, &n); err != nil {
		return b, nil, err
	}
	b.Rows = append(b.Rows, Row{Int(n)})
	return b, nil, nil
}

func (s *postSource) Close() error { return nil }

// Req W7: a source acknowledges after the sinks have committed. If that fails,
// the work is done again with the rows of the first time, although there are more
// by then.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	q := &queue{ready: 4}
	q.register(s.registry)
	s.lab.tell = func(_ context.Context, node, what string) error {
		q.note("%s %s", node, what)
		return nil
	}
	q.acknowledge = func(n int) error {
		if n == 1 {
			return fault.New(fault.Unavailable, "", "nobody answers")
		}
		return nil
	}
	r := s.start("name: x\nnodes:\n  - {id: in, type: source.queue, retry: {max: 2, initial: 1ms}}\n  - {id: out, type: sink.memory, from: in}\n", StartOptions{})
	info, err := s.wait(r)
	want := []string{
		"open 5 of 1 5", "out open", "out prepare", "out commit", "acknowledge 5",
		"open 6 of 1 5", "out open", "out prepare", "out commit", "acknowledge 5",
	}
	slices.Sort(q.did[:2]) // nodes open at the same time
	slices.Sort(q.did[5:7])
	if err != nil || info.RowsOut() != 5 || !slices.Equal(q.did, want) {
		t.Errorf("%v, %d rows\ngot  %q\nwant %q", err, info.RowsOut(), q.did, want)
	}
}

// Req W2, W4: rows that are sent to a run are there again when it is taken up by
// another process.
func TestRowsBySignals(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	q := &queue{}
	q.register(s.registry)
	written := make(chan int64, 10)
	s.lab.write = func(_ context.Context, _ string, b Batch) error {
		written <- b.Rows[0][0].Int()
		return nil
	}
	r := s.start("name: x\nnodes:\n  - {id: in, type: source.posts}\n  - {id: out, type: sink.memory, from: in}\n", StartOptions{})
	ctx := t.Context()
	send := func(payload, request string) {
		t.Helper()
		if err := r.Signal(ctx, RowsSignal("in", nil), json.RawMessage(payload), request); err != nil {
			t.Fatal(err)
		}
	}
	send("1", "first")
	send("1", "first") // the answer to it was lost
	if n := <-written; n != 1 {
		t.Fatalf("wrote %d", n)
	}
	s.close()
	s.open()
	var err error
	if r, err = s.engine.Run(ctx, r.ID()); err != nil {
		t.Fatal(err)
	}
	send("2", "")
	for want := range int64(2) {
		if n := <-written; n != want+1 {
			t.Errorf("wrote %d; want %d", n, want+1)
		}
	}
	for name, code := range map[string]fault.Code{"rows/out": fault.NotFound, "rows/none": fault.NotFound, "rows/in[1]": fault.NotFound} {
		if err := r.Signal(ctx, name, json.RawMessage("3"), ""); fault.CodeOf(err) != code {
			t.Errorf("%s: %v", name, err)
		}
	}
	send("", "")
	late := r.Signal(ctx, RowsSignal("in", nil), json.RawMessage("3"), "")
	info, err := s.wait(r)
	if err != nil || info.RowsOut() != 2 {
		t.Errorf("%v, %d rows", err, info.RowsOut())
	}
	if fault.CodeOf(late) != fault.FailedPrecondition {
		t.Errorf("a signal after the end: %v", late)
	}
}

// Req W6: nodes that move rows compete for a limit as tasks do.
func TestConcurrencyOfFlows(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	var mu sync.Mutex
	inside, most := 0, 0
	s.lab.tell = func(_ context.Context, _, what string) error {
		mu.Lock()
		defer mu.Unlock()
		switch what {
		case "open":
			inside++
			most = max(most, inside)
		case "commit":
			inside--
		}
		return nil
	}
	text := "name: x\nnodes:\n  - {id: in, type: source.rows, concurrency: {limit: 1, key: \"all ${{ run.key }}\"}, with: {columns: {n: int}, rows: 3}}\n  - {id: out, type: sink.memory, from: in}\n"
	var runs []*Run
	for range 5 {
		runs = append(runs, s.start(text, StartOptions{Key: "one"}))
	}
	for _, r := range runs {
		if _, err := s.wait(r); err != nil {
			t.Error(err)
		}
	}
	if most != 1 {
		t.Errorf("%d at a time", most)
	}
}

// A flow that waits for its turn ends with its run.
func TestFlowThatWaitsIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	entered := make(chan struct{})
	s.lab.read = func(ctx context.Context, _ string, _ int) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	text := "name: x\nnodes:\n  - {id: in, type: source.rows, concurrency: {limit: 1}, with: {columns: {n: int}, rows: 3}}\n  - {id: out, type: sink.memory, from: in}\n"
	first := s.start(text, StartOptions{})
	<-entered
	second := s.start(text, StartOptions{})
	for _, r := range []*Run{second, first} {
		if err := r.Cancel(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if info, err := s.wait(r); info.State != StateCancelled {
			t.Errorf("%s, %v", info.State, err)
		}
	}
}
