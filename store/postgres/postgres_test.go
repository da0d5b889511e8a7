package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

func TestEverythingInOneBatch(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	ctx := t.Context()
	lease, err := s.Acquire(ctx, "shard/1", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "in", Key: "k", Dedup: time.Hour, Envelope: store.Envelope{RequestID: "r1", Data: []byte("one")}}}})
	got, err := s.Receive(ctx, store.ReceiveRequest{Queue: "in", Owner: "me", Max: 10, Ordered: true})
	if err != nil || len(got) != 1 || string(got[0].Data) != "one" || got[0].Attempts != 1 {
		t.Fatalf("Receive = %+v, %v", got, err)
	}
	r := commit(t, s, &store.Batch{
		Fence:     store.Fence{Lease: "shard/1", Epoch: lease.Epoch},
		Appends:   []store.Append{{Stream: "account/1", Expected: store.NoStream, Events: []store.Event{{Type: "opened", Data: []byte("x")}, {Type: "paid", Data: make([]byte, 9000)}}}},
		Snapshots: []store.Snapshot{{Stream: "account/1", Position: 2, Data: []byte("state")}},
		Cursors:   []store.Cursor{{Scope: "account/1", Producer: "p", Seq: 7}},
		Sets:      []store.Set{{Key: "config", Value: []byte("v")}},
		Acks:      []store.Ack{{Receipt: got[0].Receipt, AnswerType: "ok", Answer: []byte("done")}},
		Puts:      []store.Put{{Queue: "out", Priority: store.High, Envelope: store.Envelope{Data: []byte("two")}}},
	})
	if !slices.Equal(r.Heads, []store.Position{2}) || !slices.Equal(r.Versions, []int64{1}) || len(r.Puts) != 1 {
		t.Errorf("Result = %+v", r)
	}
	n := 0
	for e, err := range s.Read(ctx, "account/1", 0) {
		if n++; err != nil || e.Position != store.Position(n) || e.Time.IsZero() {
			t.Errorf("event %d = %v at %v, %v", n, e.Type, e.Position, err)
		}
	}
	if n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if a, err := s.Answer(ctx, "in", "r1"); err != nil || !a.Done || string(a.Data) != "done" {
		t.Errorf("Answer = %+v, %v", a, err)
	}
	if found, err := s.Check(ctx); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}

// One group of many batches, of which some are refused: the others are not.
func TestGroupKeepsRefusalsApart(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	const n = 400
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for i := range n {
		wg.Go(func() {
			name := store.Stream(fmt.Sprintf("s/%d", i/2))
			_, err := s.Commit(context.Background(), &store.Batch{Appends: []store.Append{{Stream: name, Events: []store.Event{{}}}}})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won[string(name)]++
			case !errors.Is(err, store.ErrWrongPosition):
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if len(won) != n/2 {
		t.Errorf("%d streams began, want %d", len(won), n/2)
	}
	for name, k := range won {
		if k != 1 {
			t.Errorf("%s: %d appends to a new stream succeeded, want 1", name, k)
		}
	}
}

// A message that another process puts wakes this one, long before the poll.
func TestNotificationBetweenStores(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	o := postgres.Options{Schema: schema, PollInterval: time.Hour}
	a, b := openAt(t, postgrestest.Shared(t), o), openAt(t, postgrestest.Shared(t), o)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := make(chan error, 1)
	go func() {
		for i := range 3 {
			m, err := store.Receive(ctx, a, store.ReceiveRequest{Queue: "q"})
			if err == nil && (len(m) != 1 || string(m[0].Data) != fmt.Sprint(i)) {
				err = fmt.Errorf("received %+v, want %d", m, i)
			}
			got <- err
		}
	}()
	for i := range 3 {
		commit(t, b, &store.Batch{Puts: []store.Put{{Queue: "q", Delay: time.Duration(i) * 20 * time.Millisecond, Envelope: store.Envelope{Data: []byte(fmt.Sprint(i))}}}})
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}

func TestHoldRunsOut(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "q"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range 3 {
		m, err := store.Receive(ctx, s, store.ReceiveRequest{Queue: "q", Hold: 30 * time.Millisecond})
		if err != nil || len(m) != 1 || m[0].Attempts != i+1 {
			t.Fatalf("receive %d: %+v, %v", i, m, err)
		}
	}
}

// Requests whose time is over do not stay. Req F10
func TestExpiredRequestsAreRemoved(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	srv := postgrestest.Shared(t)
	s := openAt(t, srv, postgres.Options{Schema: schema})
	ctx := t.Context()
	const n = 100
	last := ""
	for i := range n {
		last = fmt.Sprint("r", i)
		commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "q", Dedup: time.Millisecond, Envelope: store.Envelope{RequestID: last}}}})
		got, err := s.Receive(ctx, store.ReceiveRequest{Queue: "q"})
		if err != nil || len(got) != 1 {
			t.Fatalf("Receive = %+v, %v", got, err)
		}
		commit(t, s, &store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
	}
	for {
		_, err := s.Answer(ctx, "q", last)
		if errors.Is(err, store.ErrNoRequest) {
			break // its time is over, as that of all before
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "q", Dedup: time.Hour, Envelope: store.Envelope{RequestID: "new"}}}})
	if left := beside(t, srv, "SELECT count(*)::int FROM "+schema+".request"); left > 5 {
		t.Errorf("%d requests are left of %d whose time is over, want few", left, n)
	}
	if a, err := s.Answer(ctx, "q", "new"); err != nil || a.Done {
		t.Errorf("Answer = %+v, %v", a, err)
	}
}
