package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// gated is an ordinary actor that handles messages while its gate is open.
func gated(t *testing.T, sys *actor.System, capacity int, gate <-chan struct{}, l *ledger) actor.Ref[note] {
	t.Helper()
	ref, err := actor.Spawn(sys, actor.Spec[note]{
		Name: "slow", Mailbox: actor.Mailbox{Capacity: capacity},
		New: func() actor.Behavior[note] {
			return actor.BehaviorFunc[note](func(_ *actor.Context[note], n note) error {
				<-gate
				l.add(n)
				return nil
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func spillFor(t *testing.T, sys *actor.System, ref actor.Ref[note], s store.Store) actor.Ref[note] {
	t.Helper()
	spilling, err := durable.Spill(sys, ref, s, durable.SpillSpec[note]{Queue: "spilled", Codec: noteType})
	if err != nil {
		t.Fatal(err)
	}
	return spilling
}

// Req A3: a mailbox that spills to disk takes more than it holds, keeps the order
// of each sender, and goes back to memory when the burst is over.
func TestSpill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, sys := newMemory(), newSystem(t)
		gate := make(chan struct{})
		var l ledger
		ref := spillFor(t, sys, gated(t, sys, 8, gate, &l), s)
		synctest.Wait() // what an earlier process left is known to be nothing
		const senders, each = 4, 100
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for n := range each {
					if err := ref.Tell(durable.WithSender(t.Context(), fmt.Sprint(i)), note{fmt.Sprint(i), n}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := queued(t, s, "spilled"); n < senders*each-8-64-8 {
			t.Errorf("%d on disk", n)
		}
		if err := ref.TryTell(note{"x", 0}); !errors.Is(err, actor.ErrMailboxFull) {
			t.Errorf("TryTell: %v", err)
		}
		close(gate)
		time.Sleep(time.Minute)
		synctest.Wait()
		byFrom := map[string][]int{}
		for _, n := range l.all() {
			byFrom[n.From] = append(byFrom[n.From], n.N)
		}
		for from, numbers := range byFrom {
			if len(numbers) != each || !slices.IsSorted(numbers) {
				t.Errorf("sender %s: %v", from, numbers)
			}
		}
		commits := s.commits
		if err := ref.Tell(t.Context(), note{"x", 1}); err != nil || s.commits != commits {
			t.Errorf("a tell after the burst: %v, %d commits", err, s.commits-commits)
		}
		if err := ref.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := ref.Tell(t.Context(), note{}); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("Tell after Stop: %v", err)
		}
		_ = sys.Stop(t.Context())
	})
}

// What is on disk survives the process; what does not decode is a dead letter.
func TestSpillSurvives(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	var before ledger
	came := make(chan struct{})
	after := ledger{last: 20, came: came}
	gate := make(chan struct{})
	sys := newSystem(t)
	ref := spillFor(t, sys, gated(t, sys, 2, gate, &before), s)
	for i := range 20 {
		if err := ref.Tell(t.Context(), note{"a", i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Queue: "spilled", Envelope: store.Envelope{Type: "none"}}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = sys.Stop(ctx) // as a process that ends
	left := queued(t, s, "spilled")
	if left < 15 {
		t.Fatalf("%d on disk", left)
	}
	close(gate)
	<-sys.Done()

	open := make(chan struct{})
	close(open)
	sys = newSystem(t)
	buried := make(chan error, 1)
	to := gated(t, sys, 100, open, &after)
	ref, err := durable.Spill(sys, to, s, durable.SpillSpec[note]{Queue: "spilled", Codec: noteType, Hooks: durable.Hooks{
		Buried: func(_ store.Queue, err *fault.Error) { buried <- err },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ref.Tell(t.Context(), note{"a", 20}); err != nil { // behind what is on disk
		t.Fatal(err)
	}
	if err := <-buried; fault.CodeOf(err) != fault.Poison {
		t.Errorf("buried %v", err)
	}
	<-came // or it would be left for the next process
	if err := sys.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []int
	for i := range 21 {
		all = append(all, i)
	}
	if numbers := append(before.numbers(), after.numbers()...); !slices.Equal(numbers, all) || len(after.numbers()) < 10 {
		t.Errorf("handled %v before and %v after", before.numbers(), after.numbers())
	}
}

func TestSpillRefuses(t *testing.T) {
	t.Parallel()
	sys := newSystem(t)
	var l ledger
	ref := gated(t, sys, 2, nil, &l)
	for _, tt := range []struct {
		to   actor.Ref[note]
		spec durable.SpillSpec[note]
	}{
		{actor.Ref[note]{}, durable.SpillSpec[note]{Queue: "q", Codec: noteType}},
		{ref, durable.SpillSpec[note]{Codec: noteType}},
		{ref, durable.SpillSpec[note]{Queue: "q"}},
		{ref, durable.SpillSpec[note]{Queue: "q", Codec: noteType, Batch: -1}},
	} {
		if _, err := durable.Spill(sys, tt.to, newMemory(), tt.spec); !errors.Is(err, fault.InvalidArgument) {
			t.Errorf("%+v: %v", tt.spec, err)
		}
	}
}
