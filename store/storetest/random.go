package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Model runs random operations on a store and on a model of it, opens the store
// again now and then, and fails at the first difference. An engine whose messages
// stay held when a store is opened again must be opened so that they are not;
// Run does without holding any across.
func Model(t *testing.T, open Opener, steps int) {
	t.Helper()
	w := &walk{harness: newHarness(t, open), rnd: seeded(t), m: newModel()}
	w.reopen()
	for w.step = range steps {
		switch n := w.rnd.IntN(100); {
		case n < 70:
			w.batch()
		case n < 85:
			w.receive()
		case n < 94:
			w.lease()
		case n < 98:
			w.compare()
		default:
			w.restart()
		}
		if t.Failed() {
			t.Fatalf("in step %d", w.step)
		}
	}
	w.compare()
}

// A walk is a random walk.
type walk struct {
	*harness
	rnd  *rand.Rand
	m    *model
	step int
	last []store.Receipt // some that were good once
}

func (w *walk) one(of ...string) string { return of[w.rnd.IntN(len(of))] }

func (w *walk) stream() store.Stream { return store.Stream(w.one("a", "b", "c/1", "c/2")) }

func (w *walk) queue() store.Queue { return store.Queue(w.one("q", "q/1")) }

// data is a payload, in a few cases a large one.
func (w *walk) data() []byte {
	n := w.rnd.IntN(200)
	if w.rnd.IntN(10) == 0 {
		n = store.BlobThreshold - 2 + w.rnd.IntN(5000)
	}
	return fmt.Appendf(pattern(n), "%d", w.step)
}

// batch commits a random batch, some of which must be refused.
func (w *walk) batch() {
	w.Helper()
	var b store.Batch
	for range 1 + w.rnd.IntN(4) {
		w.add(&b)
	}
	if w.rnd.IntN(8) == 0 {
		name := store.LeaseName(w.one("l1", "l2"))
		b.Fence = store.Fence{Lease: name, Epoch: max(1, w.m.leases[name].Epoch-store.Epoch(w.rnd.IntN(2)))}
	}
	got, err := w.s.Commit(w.Context(), &b)
	result := &got
	if err != nil {
		result = nil
	}
	next, want := w.m.apply(&b, result)
	var sentinel *fault.Error
	switch {
	case want != nil && !errors.As(want, &sentinel):
		w.Errorf("%v", want)
	case (err == nil) != (want == nil), want != nil && !errors.Is(err, want):
		w.Errorf("batch %+v\ngave %v, want %v", describe(&b), err, want)
	default:
		w.m = next
	}
}

// describe leaves payloads out of a batch that is printed.
func describe(b *store.Batch) store.Batch {
	c := *b
	c.Puts = slices.Clone(b.Puts)
	for i := range c.Puts {
		c.Puts[i].Data = nil
	}
	c.Snapshots = slices.Clone(b.Snapshots)
	for i := range c.Snapshots {
		c.Snapshots[i].Data = nil
	}
	c.Appends = nil
	for _, a := range b.Appends {
		c.Appends = append(c.Appends, store.Append{Stream: a.Stream, Expected: a.Expected, Events: make([]store.Event, len(a.Events))})
	}
	return c
}

// add adds a random change to a batch.
func (w *walk) add(b *store.Batch) {
	head := func(s store.Stream) store.Position { return store.Position(len(w.m.streams[s].events)) }
	switch w.rnd.IntN(12) {
	case 0, 1, 2:
		s := w.stream()
		a := store.Append{Stream: s, Expected: store.Any}
		if w.rnd.IntN(3) > 0 {
			a.Expected = max(0, head(s)-store.Position(w.rnd.IntN(8)/7))
		}
		for range w.rnd.IntN(4) {
			a.Events = append(a.Events, store.Event{Type: "t", Data: w.data()})
		}
		b.Appends = append(b.Appends, a)
	case 3:
		s := w.stream()
		b.Snapshots = append(b.Snapshots, store.Snapshot{Stream: s, Position: max(1, head(s)-store.Position(w.rnd.IntN(3))), Data: w.data()})
	case 4:
		s := w.stream()
		through := max(1, head(s)-store.Position(w.rnd.IntN(4)))
		if w.rnd.IntN(8) == 0 {
			through = store.Everything
		}
		b.Trims = append(b.Trims, store.Trim{Stream: s, Through: through})
	case 5:
		c := store.Cursor{Scope: w.one("s", "t"), Producer: store.Producer(w.one("p", "q", "r"))}
		c.Seq = max(1, w.m.cursors[c.Scope][c.Producer]+w.rnd.Uint64N(8))
		c.Forget = w.rnd.IntN(10) == 0
		b.Cursors = append(b.Cursors, c)
	case 6:
		key := w.one("k1", "k2", "k3")
		s := store.Set{Key: key, Value: w.data(), Expected: w.m.entries[key].Version, Delete: w.rnd.IntN(5) == 0}
		if w.rnd.IntN(8) == 0 {
			s.Expected = int64(w.rnd.IntN(4)) - 1
		}
		b.Sets = append(b.Sets, s)
	case 7, 8:
		w.addReceipt(b)
	case 9:
		w.addLetter(b)
	default:
		p := store.Put{
			Queue: w.queue(), Key: w.one("", "x", "y"), Priority: []store.Priority{store.Normal, store.High}[w.rnd.IntN(2)],
			Envelope: store.Envelope{Type: "t", Data: w.data(), RequestID: strconv.Itoa(w.rnd.IntN(200))},
		}
		if w.rnd.IntN(2) == 0 {
			p.Dedup = hold
		}
		if w.rnd.IntN(10) == 0 {
			p.Delay = hold
		}
		b.Puts = append(b.Puts, p)
	}
}

// addReceipt adds something that takes a receipt, now and then an old one.
func (w *walk) addReceipt(b *store.Batch) {
	var good []store.Receipt
	for _, m := range w.m.messages {
		if m.receipt != (store.Receipt{}) {
			good = append(good, m.receipt)
		}
	}
	slices.SortFunc(good, func(a, b store.Receipt) int { return int(a.ID - b.ID) })
	if w.rnd.IntN(8) == 0 {
		good = w.last
	}
	if len(good) == 0 {
		return
	}
	r := good[w.rnd.IntN(len(good))]
	switch w.rnd.IntN(4) {
	case 0:
		n := store.Nack{Receipt: r, Reason: w.one("", "why"), Uncounted: w.rnd.IntN(2) == 0}
		if w.rnd.IntN(6) == 0 {
			n.Delay = hold
		}
		b.Nacks = append(b.Nacks, n)
	case 1:
		b.Buries = append(b.Buries, store.Bury{Receipt: r, Reason: "buried"})
	default:
		b.Acks = append(b.Acks, store.Ack{Receipt: r, Answer: []byte(w.one("", "yes"))})
	}
}

func (w *walk) addLetter(b *store.Batch) {
	id := pick(w.rnd.IntN, w.m.letters)
	if id == 0 || w.rnd.IntN(3) == 0 {
		b.LetterAdds = append(b.LetterAdds, store.Letter{ErrorMessage: "added", Envelope: store.Envelope{Data: w.data()}})
		return
	}
	l := w.m.letters[id]
	if w.rnd.IntN(8) == 0 {
		l.Version += int64(w.rnd.IntN(2))
	}
	if w.rnd.IntN(2) == 0 {
		b.LetterDeletes = append(b.LetterDeletes, store.LetterDelete{ID: id, Version: l.Version})
		if l.Queue != "" {
			b.Puts = append(b.Puts, l.Put())
		}
		return
	}
	l.ID, l.ErrorMessage = id, "edited"
	b.LetterEdits = append(b.LetterEdits, l)
}

func (w *walk) receive() {
	w.Helper()
	r := store.ReceiveRequest{Queue: w.queue(), Max: 1 + w.rnd.IntN(5), Hold: hold, Ordered: w.rnd.IntN(2) == 0}
	got, err := w.s.Receive(w.Context(), r)
	w.must(err)
	var ids []store.MessageID
	for _, m := range got {
		ids = append(ids, m.ID)
		if len(w.last) < 20 {
			w.last = append(w.last, m.Receipt)
		} else {
			w.last[w.rnd.IntN(20)] = m.Receipt
		}
	}
	if want := w.m.receive(r); !slices.Equal(ids, want) {
		w.Errorf("received %v, want %v, by %+v", ids, want, r)
		return
	}
	w.m.received(got)
	for _, m := range got {
		w.same(m)
	}
}

// same compares a message with that of the model.
func (w *walk) same(m store.Message) {
	w.Helper()
	want, found := w.m.messages[m.ID]
	if !found || m.Queue != want.put.Queue || m.Key != want.put.Key || m.Priority != want.put.Priority || string(m.Data) != string(want.put.Data) ||
		m.RequestID != want.put.RequestID || m.Attempts != want.attempts || m.LastError != want.lastError ||
		m.Until.IsZero() == (want.delayed || want.receipt != store.Receipt{}) {
		m.Data, want.put.Data = nil, nil
		w.Errorf("message %+v, want %+v", m, want)
	}
}

func (w *walk) lease() {
	w.Helper()
	ctx := w.Context()
	name, owner := store.LeaseName(w.one("l1", "l2")), w.one("x", "y")
	now := w.m.leases[name]
	switch w.rnd.IntN(3) {
	case 0:
		got, err := w.s.Acquire(ctx, name, owner, hold)
		if now.Owner != "" && now.Owner != owner {
			w.is(err, store.ErrLeaseHeld)
			return
		}
		w.must(err)
		equal(w.harness, "epoch", got.Epoch, now.Epoch+1)
		w.m.leases[name] = got
	case 1:
		mine := store.Lease{Name: name, Owner: owner, Epoch: now.Epoch}
		_, err := w.s.Renew(ctx, mine, hold)
		if now.Owner == owner {
			w.must(err)
		} else {
			w.is(err, store.ErrStaleEpoch)
		}
	default:
		err := w.s.Release(ctx, store.Lease{Name: name, Owner: owner, Epoch: now.Epoch})
		if now.Owner == owner {
			w.must(err)
			now.Owner = ""
			w.m.leases[name] = now
		} else {
			w.is(err, store.ErrStaleEpoch)
		}
	}
}

// restart opens the store again. What is held is given back before: how soon it
// comes back after a crash is the engine's affair.
func (w *walk) restart() {
	w.Helper()
	var b store.Batch
	for _, m := range w.m.messages {
		if m.receipt != (store.Receipt{}) {
			b.Nacks = append(b.Nacks, store.Nack{Receipt: m.receipt})
		}
	}
	w.commit(b)
	var err error
	if w.m, err = w.m.apply(&b, &store.Result{}); err != nil {
		w.Fatal(err)
	}
	w.reopen()
	w.compare()
}
