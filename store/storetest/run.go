package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// An Opener opens a store. The same place means the same store: an embedded
// engine takes it as a folder, which exists; a server's engine as a name. The
// limits are to be used as they are. The suite closes what it opens, and opens a
// place again only after that.
type Opener func(tb testing.TB, place string, l store.Limits) store.Store

// Run runs the suite, each test with a store of its own and in parallel.
func Run(t *testing.T, open Opener) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Journal", journalTests}, {"Batch", batchTests}, {"Queue", queueTests}, {"Submit", submitTests}, {"Lease", leaseTests},
		{"Letter", letterTests}, {"Metadata", metadataTests}, {"Life", lifeTests}, {"Concurrency", concurrencyTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range g.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					h := newHarness(t, open)
					h.s = h.reopen()
					test.f(h)
				})
			}
		})
	}
	t.Run("Model", func(t *testing.T) {
		t.Parallel()
		Model(t, open, 2000)
	})
	t.Run("Linearizability", func(t *testing.T) {
		t.Parallel()
		Linearizability(t, open)
	})
}

type test struct {
	name string
	f    func(*harness)
}

// A harness is a test with its store.
type harness struct {
	*testing.T
	open   Opener
	place  string
	limits store.Limits
	s      store.Store
}

func newHarness(t *testing.T, open Opener) *harness {
	return &harness{T: t, open: open, place: t.TempDir()}
}

// reopen closes the store, if it is open, and opens it again.
func (h *harness) reopen() store.Store {
	h.Helper()
	if h.s != nil {
		h.must(h.s.Close())
	}
	s := h.open(h.T, h.place, h.limits)
	h.s = s
	h.Cleanup(func() {
		if err := s.Close(); err != nil {
			h.Errorf("Close: %v", err)
		}
	})
	return s
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// commit commits a batch that must succeed.
func (h *harness) commit(b store.Batch) store.Result {
	h.Helper()
	r, err := h.s.Commit(h.Context(), &b)
	h.must(err)
	return r
}

// refused commits a batch that must fail with an error that is target, has its
// code, and says something.
func (h *harness) refused(b store.Batch, target *fault.Error) error {
	h.Helper()
	r, err := h.s.Commit(h.Context(), &b)
	h.is(err, target)
	if len(r.Heads)+len(r.Puts)+len(r.Versions)+len(r.Letters) > 0 {
		h.Errorf("a refused batch has a result: %+v", r)
	}
	return err
}

// is checks that an error is a sentinel, with its code.
func (h *harness) is(err error, target *fault.Error) {
	h.Helper()
	if !errors.Is(err, target) {
		h.Fatalf("error = %v, want %v", err, target)
	}
	if got := fault.CodeOf(err); got != target.Code {
		h.Errorf("error %v has the code %v, want %v", err, got, target.Code)
	}
	if f := fault.From(err); f.Target == "" && target != store.ErrClosed {
		h.Errorf("error %v does not say what it is about", err)
	}
}

// append appends events with these payloads.
func (h *harness) append(s store.Stream, expected store.Position, data ...string) store.Position {
	h.Helper()
	return h.commit(store.Batch{Appends: []store.Append{appendOf(s, expected, data...)}}).Heads[0]
}

func appendOf(s store.Stream, expected store.Position, data ...string) store.Append {
	a := store.Append{Stream: s, Expected: expected}
	for _, d := range data {
		a.Events = append(a.Events, store.Event{Type: "t", Data: []byte(d)})
	}
	return a
}

// events reads a stream and returns the payloads, checking the rest.
func (h *harness) events(s store.Stream, from store.Position) []string {
	h.Helper()
	var out []string
	next := from
	for e, err := range h.s.Read(h.Context(), s, from) {
		h.must(err)
		if next == 0 {
			next = e.Position
		}
		if e.Position != next || e.Stream != s {
			h.Fatalf("read position %d of %s, want %d of %s", e.Position, e.Stream, next, s)
		}
		if e.Time.IsZero() {
			h.Errorf("event %d of %s has no time", e.Position, s)
		}
		next++
		out = append(out, string(e.Data))
	}
	return out
}

func (h *harness) readError(s store.Stream, from store.Position) error {
	h.Helper()
	for _, err := range h.s.Read(h.Context(), s, from) {
		if err != nil {
			return err
		}
	}
	return nil
}

// put puts messages without a key.
func (h *harness) put(q store.Queue, data ...string) []store.MessageID {
	h.Helper()
	var b store.Batch
	for _, d := range data {
		b.Puts = append(b.Puts, store.Put{Queue: q, Envelope: store.Envelope{Type: "t", Data: []byte(d)}})
	}
	var ids []store.MessageID
	for _, p := range h.commit(b).Puts {
		ids = append(ids, p.ID)
	}
	return ids
}

// receive receives messages and checks their payloads.
func (h *harness) receive(r store.ReceiveRequest, want ...string) []store.Message {
	h.Helper()
	if r.Max == 0 {
		r.Max = 100
	}
	got, err := h.s.Receive(h.Context(), r)
	h.must(err)
	if !same(payloads(got), want) {
		h.Fatalf("received %q, want %q", payloads(got), want)
	}
	return got
}

// await receives messages when there are some.
func (h *harness) await(r store.ReceiveRequest) []store.Message {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	got, err := store.Receive(ctx, h.s, r)
	h.must(err)
	return got
}

func payloads(all []store.Message) []string {
	var out []string
	for _, m := range all {
		out = append(out, string(m.Data))
	}
	return out
}

func same(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// equal checks two values.
func equal[T comparable](h *harness, what string, got, want T) {
	h.Helper()
	if got != want {
		h.Errorf("%s = %v, want %v", what, got, want)
	}
}

// seeded returns a source of randomness, and prints its seed if the test fails.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("STORETEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("STORETEST_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat it: STORETEST_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}
