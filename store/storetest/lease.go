package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/store"
)

var leaseTests = []test{
	{"acquire, renew, release", leaseLife},
	{"a lease runs out", func(h *harness) {
		ctx := h.Context()
		old, err := h.s.Acquire(ctx, "l", "a", time.Millisecond)
		h.must(err)
		taken := h.takeOver("l", "b")
		equal(h, "epoch", taken.Epoch, old.Epoch+1)
		_, err = h.s.Renew(ctx, old, hold)
		h.is(err, store.ErrStaleEpoch)
		h.is(h.s.Release(ctx, old), store.ErrStaleEpoch)
	}},
	{"a lease that has run out can be renewed until it is taken", func(h *harness) {
		ctx := h.Context()
		l, err := h.s.Acquire(ctx, "l", "a", time.Millisecond)
		h.must(err)
		h.tick()
		renewed, err := h.s.Renew(ctx, l, hold)
		h.must(err)
		equal(h, "epoch", renewed.Epoch, l.Epoch)
		_, err = h.s.Acquire(ctx, "l", "b", hold)
		h.is(err, store.ErrLeaseHeld)
	}},
	{"fence", fence},
	{"fence with epochs from elsewhere", func(h *harness) {
		batch := func(e store.Epoch, raise bool) store.Batch {
			return store.Batch{Fence: store.Fence{Lease: "shard/1", Epoch: e, Raise: raise}, Appends: []store.Append{appendOf("s", store.Any, "x")}}
		}
		h.refused(batch(5, false), store.ErrStaleEpoch)
		h.commit(batch(5, true))
		h.commit(batch(5, true))
		h.reopen()
		h.refused(batch(4, true), store.ErrStaleEpoch)
		h.commit(batch(9, true))
		h.refused(batch(5, true), store.ErrStaleEpoch)
		// A batch that is refused raises nothing.
		bad := batch(20, true)
		bad.Appends[0].Expected = 77
		h.refused(bad, store.ErrWrongPosition)
		h.commit(batch(9, true))
		l, err := h.s.Acquire(h.Context(), "shard/1", "me", hold)
		h.must(err)
		equal(h, "epoch", l.Epoch, 10)
		h.refused(batch(9, true), store.ErrStaleEpoch)
		h.commit(batch(10, false))
	}},
	{"bad requests", func(h *harness) {
		ctx := h.Context()
		for _, c := range []struct {
			name  store.LeaseName
			owner string
			ttl   time.Duration
		}{{"", "a", hold}, {"l", "", hold}, {"l", "a", 0}, {"l", "a", -1}, {"l", "a", 25 * time.Hour}, {"l\n", "a", hold}} {
			_, err := h.s.Acquire(ctx, c.name, c.owner, c.ttl)
			h.is(err, store.ErrInvalid)
		}
		_, err := h.s.Holder(ctx, "never")
		h.is(err, store.ErrNoLease)
		_, err = h.s.Renew(ctx, store.Lease{Name: "never", Owner: "a", Epoch: 1}, hold)
		h.is(err, store.ErrStaleEpoch)
	}},
}

func leaseLife(h *harness) {
	ctx := h.Context()
	l, err := h.s.Acquire(ctx, "l", "a", hold)
	h.must(err)
	if l.Name != "l" || l.Owner != "a" || l.Epoch != 1 || time.Until(l.Until) < hold/2 {
		h.Errorf("lease = %+v", l)
	}
	_, err = h.s.Acquire(ctx, "l", "b", hold)
	h.is(err, store.ErrLeaseHeld)
	if data := (*store.HeldError)(nil); !errors.As(err, &data) || data.Lease.Owner != "a" || data.Lease.Epoch != 1 || data.Lease.Until.IsZero() {
		h.Errorf("the error's data are %+v", data)
	}
	h.reopen()
	l, err = h.s.Renew(ctx, l, hold)
	h.must(err)
	equal(h, "epoch", l.Epoch, 1)
	again, err := h.s.Acquire(ctx, "l", "a", hold) // after a restart of its owner
	h.must(err)
	equal(h, "epoch", again.Epoch, 2)
	_, err = h.s.Renew(ctx, l, hold)
	h.is(err, store.ErrStaleEpoch)
	if data := (*store.EpochError)(nil); !errors.As(err, &data) || data.Epoch != 1 || data.Actual != 2 {
		h.Errorf("the error's data are %+v", data)
	}
	h.must(h.s.Release(ctx, again))
	h.is(h.s.Release(ctx, again), store.ErrStaleEpoch)
	held, err := h.s.Holder(ctx, "l")
	h.must(err)
	equal(h, "owner", held.Owner, "")
	equal(h, "epoch", held.Epoch, 2)
	h.reopen()
	other, err := h.s.Acquire(ctx, "l", "b", hold)
	h.must(err)
	equal(h, "epoch", other.Epoch, 3)
	held, err = h.s.Holder(ctx, "l")
	h.must(err)
	if held.Owner != "b" || held.Epoch != 3 || !held.Until.Equal(other.Until) {
		h.Errorf("holder = %+v, want %+v", held, other)
	}
}

// tick waits until a few milliseconds have passed by the engine's clock.
func (h *harness) tick() {
	h.Helper()
	h.commit(store.Batch{Puts: []store.Put{{Queue: "clock", Delay: 20 * time.Millisecond}}})
	h.await(store.ReceiveRequest{Queue: "clock", Hold: hold})
}

// takeOver acquires a lease that is about to run out.
func (h *harness) takeOver(name store.LeaseName, owner string) store.Lease {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	for {
		l, err := h.s.Acquire(ctx, name, owner, hold)
		if err == nil {
			return l
		}
		h.is(err, store.ErrLeaseHeld)
		h.tick()
	}
}

func fence(h *harness) {
	ctx := h.Context()
	write := func(l store.Lease) store.Batch {
		return store.Batch{
			Fence:   store.Fence{Lease: l.Name, Epoch: l.Epoch},
			Appends: []store.Append{appendOf("s", store.Any, "x")},
		}
	}
	a, err := h.s.Acquire(ctx, "l", "a", time.Millisecond)
	h.must(err)
	h.tick()
	h.commit(write(a)) // it has run out, but nobody has taken it
	b := h.takeOver("l", "b")
	err = h.refused(write(a), store.ErrStaleEpoch)
	if data := (*store.EpochError)(nil); !errors.As(err, &data) || data.Lease != "l" || data.Epoch != a.Epoch || data.Actual != b.Epoch {
		h.Errorf("the error's data are %+v", data)
	}
	h.commit(write(b))
	h.reopen()
	h.refused(write(a), store.ErrStaleEpoch)
	h.commit(write(b))
	h.refused(write(store.Lease{Name: "l", Epoch: b.Epoch + 1}), store.ErrStaleEpoch)
	h.refused(write(store.Lease{Name: "unknown", Epoch: 1}), store.ErrStaleEpoch)
	h.must(h.s.Release(ctx, b))
	h.refused(write(b), store.ErrStaleEpoch)
	equal(h, "events", len(h.events("s", 0)), 3)
	// A fence alone is a question.
	c, err := h.s.Acquire(ctx, "l", "c", hold)
	h.must(err)
	h.commit(store.Batch{Fence: store.Fence{Lease: "l", Epoch: c.Epoch}})
	h.refused(store.Batch{Fence: store.Fence{Lease: "l", Epoch: b.Epoch}}, store.ErrStaleEpoch)
}
