package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/troupe-dev/troupe/store"
)

var concurrencyTests = []test{
	{"one of many wins an expected position", race},
	{"a batch that fails does not fail its neighbours", neighbours},
	{"workers share a queue", workers},
	{"readers while others write", readers},
	{"requests at the same time", func(h *harness) {
		var puts results[store.PutResult]
		h.parallel(16, func(int) error {
			r, err := h.s.Commit(h.Context(), &store.Batch{Puts: []store.Put{{Queue: "q", Dedup: hold, Envelope: store.Envelope{RequestID: "r"}}}})
			if err == nil {
				puts.add(r.Puts[0])
			}
			return err
		})
		firsts := 0
		for _, p := range puts.all {
			if !p.Duplicate {
				firsts++
			}
			equal(h, "id", p.ID, puts.all[0].ID)
		}
		equal(h, "first puts", firsts, 1)
		h.stats("q", 1, 0, 0)
	}},
}

// results is a slice that many append to.
type results[T any] struct {
	mu  sync.Mutex
	all []T
}

func (r *results[T]) add(x T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, x)
}

// parallel runs f many times at once and fails the test with the first error.
func (h *harness) parallel(n int, f func(i int) error) {
	h.Helper()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	h.must(errors.Join(errs...))
}

func race(h *harness) {
	const rounds, racers = 20, 8
	for round := range rounds {
		var wins results[int]
		h.parallel(racers, func(i int) error {
			_, err := h.s.Commit(h.Context(), &store.Batch{Appends: []store.Append{appendOf("a", store.Position(round), strconv.Itoa(i))}})
			switch {
			case err == nil:
				wins.add(i)
			case !errors.Is(err, store.ErrWrongPosition):
				return err
			}
			return nil
		})
		if len(wins.all) != 1 {
			h.Fatalf("round %d: %d appends at the same position", round, len(wins.all))
		}
		if got := h.events("a", store.Position(round+1)); !same(got, []string{strconv.Itoa(wins.all[0])}) {
			h.Fatalf("round %d: %q is in the stream, but %d won", round, got, wins.all[0])
		}
	}
}

func neighbours(h *harness) {
	const writers, each = 16, 30
	h.parallel(writers, func(i int) error {
		s := store.Stream(fmt.Sprint("s", i))
		for n := range each {
			b := store.Batch{
				Appends: []store.Append{appendOf(s, store.Position(n), "x")},
				Sets:    []store.Set{{Key: string(s), Expected: int64(n), Value: []byte("v")}},
			}
			if _, err := h.s.Commit(h.Context(), &b); err != nil {
				return fmt.Errorf("%s, batch %d: %w", s, n, err)
			}
			// The same again is refused, half-way through.
			b.Appends[0].Expected = store.Any
			if _, err := h.s.Commit(h.Context(), &b); !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("%s, batch %d again: %w", s, n, err)
			}
		}
		return nil
	})
	for i := range writers {
		equal(h, "events", len(h.events(store.Stream(fmt.Sprint("s", i)), 0)), each)
	}
}

// workers checks that each message is handled once, in order within its key,
// while many put and many receive. What a worker does and its acknowledgement
// are one batch.
func workers(h *harness) {
	const senders, each, workers = 4, 50, 4
	ctx, stop := context.WithCancel(h.Context())
	defer stop()
	handled := make(chan string, senders*each)
	work := func(i int) error {
		r := store.ReceiveRequest{Queue: "q", Max: 1 + i*3, Hold: hold, Ordered: true, Owner: fmt.Sprint("worker", i)}
		for {
			got, err := store.Receive(ctx, h.s, r)
			if err != nil && ctx.Err() != nil {
				return nil //nolint:nilerr // the end that was asked for
			}
			if err != nil {
				return err
			}
			for _, m := range got {
				n, err := strconv.ParseUint(string(m.Data), 10, 64)
				if err != nil {
					return err
				}
				_, err = h.s.Commit(h.Context(), &store.Batch{
					Acks:    []store.Ack{{Receipt: m.Receipt}},
					Cursors: []store.Cursor{{Scope: "done", Producer: store.Producer(m.Key), Seq: n}},
					Appends: []store.Append{appendOf(store.Stream("done/"+m.Key), store.Position(n-1), string(m.Data))},
				})
				if err != nil {
					return err
				}
				handled <- m.Key
			}
		}
	}
	var wg sync.WaitGroup
	failed := make([]error, workers)
	for i := range workers {
		wg.Go(func() { failed[i] = work(i) })
	}
	h.parallel(senders, func(i int) error {
		for n := range each {
			_, err := h.s.Commit(h.Context(), &store.Batch{Puts: []store.Put{{
				Queue: "q", Key: fmt.Sprint(i), Envelope: store.Envelope{Data: fmt.Append(nil, n+1)},
			}}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for range senders * each {
		<-handled
	}
	stop()
	wg.Wait()
	h.must(errors.Join(failed...))
	for i := range senders {
		equal(h, "handled", len(h.events(store.Stream(fmt.Sprint("done/", i)), 0)), each)
	}
	h.stats("q", 0, 0, 0)
}

// readers checks that what is read is never torn, and that what is acknowledged
// can be read.
func readers(h *harness) {
	const writers, batches = 4, 60
	h.parallel(2*writers, func(i int) error {
		s := store.Stream(fmt.Sprint("s", i/2))
		if i%2 == 0 {
			for n := range batches {
				_, err := h.s.Commit(h.Context(), &store.Batch{
					Appends:   []store.Append{appendOf(s, store.Position(2*n), "x", string(pattern(3000)))},
					Snapshots: []store.Snapshot{{Stream: s, Position: store.Position(2*n + 2), Data: pattern(5000)}},
				})
				if err != nil {
					return err
				}
				head, err := h.s.Head(h.Context(), s)
				if err != nil {
					return err
				}
				if head != store.Position(2*n+2) {
					return fmt.Errorf("head = %d after appending up to %d", head, 2*n+2)
				}
			}
			return nil
		}
		for seen := 0; seen < 2*batches; {
			n := 0
			for e, err := range h.s.Read(h.Context(), s, 0) {
				if errors.Is(err, store.ErrUnknownStream) {
					break
				}
				if err != nil {
					return err
				}
				n++
				if e.Position != store.Position(n) {
					return fmt.Errorf("position %d in place of %d", e.Position, n)
				}
			}
			if n%2 != 0 || n < seen {
				return fmt.Errorf("%d events are visible after %d", n, seen)
			}
			seen = n
			if _, err := h.s.Snapshot(h.Context(), s); err != nil && !errors.Is(err, store.ErrNoSnapshot) {
				return err
			}
		}
		return nil
	})
}
