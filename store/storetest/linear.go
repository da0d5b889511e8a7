package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/troupe-dev/troupe/store"
)

// Linearizability checks with porcupine that conditional appends and leases,
// used by many at once, look as if each happened at one moment between its call
// and its return.
func Linearizability(t *testing.T, open Opener) {
	t.Helper()
	rnd := seeded(t)
	seeds := make([]uint64, 8)
	for i := range seeds {
		seeds[i] = rnd.Uint64()
	}
	t.Run("append", func(t *testing.T) {
		t.Parallel()
		linear(t, open, seeds, appendModel, appendOnce)
	})
	t.Run("lease", func(t *testing.T) {
		t.Parallel()
		linear(t, open, seeds, leaseModel, leaseOnce)
	})
}

// linear lets clients do random operations and checks the history.
func linear(t *testing.T, open Opener, seeds []uint64, model porcupine.Model, once func(*harness, *rand.Rand, int) (any, any)) {
	t.Helper()
	h := newHarness(t, open)
	h.reopen()
	const each = 25
	var history results[porcupine.Operation]
	start := time.Now()
	var wg sync.WaitGroup
	for client, seed := range seeds {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 2))
			for range each {
				call := time.Since(start).Nanoseconds()
				in, out := once(h, rnd, client)
				history.add(porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: time.Since(start).Nanoseconds()})
			}
		})
	}
	wg.Wait()
	if got, _ := porcupine.CheckOperationsVerbose(model, history.all, time.Minute); got != porcupine.Ok {
		t.Errorf("the history of %d operations is %s, want %s", len(history.all), got, porcupine.Ok)
	}
}

// Of a stream a client appends at a position, or asks for the head.
type (
	appendIn struct {
		stream   store.Stream
		read     bool
		expected store.Position
	}
	appendOut struct {
		ok     bool
		head   store.Position // after it, or as it is
		failed error
	}
)

func appendOnce(h *harness, rnd *rand.Rand, _ int) (input, output any) {
	in := appendIn{stream: store.Stream(fmt.Sprint("s", rnd.IntN(2))), read: rnd.IntN(4) == 0}
	head, err := h.s.Head(h.Context(), in.stream)
	if errors.Is(err, store.ErrUnknownStream) {
		err = nil
	}
	if in.read || err != nil {
		return in, appendOut{true, head, err}
	}
	if in.expected = head; rnd.IntN(3) == 0 {
		in.expected = store.Any
	}
	r, err := h.s.Commit(h.Context(), &store.Batch{Appends: []store.Append{appendOf(in.stream, in.expected, "x")}})
	if data := (*store.PositionError)(nil); errors.As(err, &data) {
		return in, appendOut{head: data.Actual}
	}
	if err != nil {
		return in, appendOut{failed: err}
	}
	return in, appendOut{true, r.Heads[0], nil}
}

var appendModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[store.Stream][]porcupine.Operation{}
		for _, op := range history {
			s := op.Input.(appendIn).stream
			by[s] = append(by[s], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range by {
			all = append(all, ops)
		}
		return all
	},
	Init: func() any { return store.NoStream },
	Step: func(state, input, output any) (bool, any) {
		head, in, out := state.(store.Position), input.(appendIn), output.(appendOut)
		switch {
		case out.failed != nil:
			return false, head
		case in.read:
			return out.head == head, head
		case out.ok:
			return (in.expected == store.Any || in.expected == head) && out.head == head+1, head + 1
		default:
			return in.expected != store.Any && in.expected != head && out.head == head, head
		}
	},
}

// Of a lease a client does what owners do, and writes under a fence.
type (
	leaseIn struct {
		verb  string
		owner string
		epoch store.Epoch
	}
	leaseOut struct {
		ok     bool
		epoch  store.Epoch // that was acquired
		failed error
	}
	leaseState struct {
		owner string
		epoch store.Epoch
	}
)

func leaseOnce(h *harness, rnd *rand.Rand, client int) (input, output any) {
	const name = store.LeaseName("l")
	ctx := h.Context()
	in := leaseIn{owner: fmt.Sprint("client", client)}
	now, err := h.s.Holder(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNoLease) {
		return in, leaseOut{failed: err}
	}
	in.verb = []string{"acquire", "acquire", "renew", "release", "release", "write"}[rnd.IntN(6)]
	if in.verb == "release" && rnd.IntN(2) == 0 && now.Owner != "" {
		in.owner = now.Owner // so that the lease changes hands often
	}
	if in.epoch = max(1, now.Epoch); in.verb == "write" && in.epoch > 1 && rnd.IntN(2) == 0 {
		in.epoch-- // that of an earlier owner
	}
	lease := store.Lease{Name: name, Owner: in.owner, Epoch: in.epoch}
	var out leaseOut
	switch in.verb {
	case "acquire":
		var got store.Lease
		got, err = h.s.Acquire(ctx, name, in.owner, hold)
		out.epoch = got.Epoch
	case "renew":
		_, err = h.s.Renew(ctx, lease, hold)
	case "release":
		err = h.s.Release(ctx, lease)
	default:
		_, err = h.s.Commit(ctx, &store.Batch{
			Fence:   store.Fence{Lease: name, Epoch: in.epoch},
			Appends: []store.Append{appendOf("s", store.Any, "x")},
		})
	}
	out.ok = err == nil
	if err != nil && !errors.Is(err, store.ErrLeaseHeld) && !errors.Is(err, store.ErrStaleEpoch) {
		out.failed = err
	}
	return in, out
}

var leaseModel = porcupine.Model{
	Init: func() any { return leaseState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(leaseState), input.(leaseIn), output.(leaseOut)
		if out.failed != nil {
			return false, s
		}
		mine := s.owner == in.owner && s.epoch == in.epoch
		switch in.verb {
		case "acquire":
			if s.owner != "" && s.owner != in.owner {
				return !out.ok, s
			}
			return out.ok && out.epoch == s.epoch+1, leaseState{in.owner, s.epoch + 1}
		case "renew":
			return out.ok == mine, s
		case "release":
			if mine {
				return out.ok, leaseState{"", s.epoch}
			}
			return !out.ok, s
		default:
			return out.ok == (s.owner != "" && s.epoch == in.epoch), s
		}
	},
}
