package actor

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A ring of actors passes tokens on; every hop may be handed over to the
// sender's goroutine. No hop may be lost, whoever else tells the same actors.
func TestHandoffConservesMessages(t *testing.T) {
	sys := NewSystem(Options{})
	ctx := context.Background()
	const actors, tokens, hops = 50, 200, 500
	var refs [actors]Ref[int]
	var finished sync.WaitGroup
	finished.Add(tokens)
	var handled atomic.Int64
	for i := range refs {
		ref, err := Spawn(sys, Spec[int]{New: func() Behavior[int] {
			return BehaviorFunc[int](func(ctx *Context[int], left int) error {
				handled.Add(1)
				if left == 0 {
					finished.Done()
					return nil
				}
				return refs[(i*7+left)%actors].Tell(ctx, left-1)
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		refs[i] = ref
	}
	for i := range tokens {
		if err := refs[i%actors].Tell(ctx, hops); err != nil {
			t.Fatal(err)
		}
	}
	finished.Wait()
	if want := int64(tokens * (hops + 1)); handled.Load() != want {
		t.Errorf("handled %d messages, want %d", handled.Load(), want)
	}
	if err := sys.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// An actor started by a handler that then blocks on it must still run.
func TestHandoffDoesNotWaitForABlockedHandler(t *testing.T) {
	sys := NewSystem(Options{})
	ctx := context.Background()
	met := make(chan struct{})
	b, err := Spawn(sys, Spec[int]{New: func() Behavior[int] {
		return BehaviorFunc[int](func(*Context[int], int) error { met <- struct{}{}; return nil })
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Spawn(sys, Spec[Reply[bool]]{New: func() Behavior[Reply[bool]] {
		return BehaviorFunc[Reply[bool]](func(ctx *Context[Reply[bool]], r Reply[bool]) error {
			if err := b.Tell(ctx, 1); err != nil {
				return err
			}
			<-met
			r.Send(true)
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if ok, err := Ask(ctx, a, func(r Reply[bool]) Reply[bool] { return r }); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if err := sys.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// A handler that asks with a deadline parks; the actor it asked must not wait on
// the parked goroutine until the watch finds it.
func TestHandoffDoesNotWaitForAParkedAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := NewSystem(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answer := BehaviorFunc[Reply[bool]](func(_ *Context[Reply[bool]], r Reply[bool]) error {
			r.Send(true)
			return nil
		})
		b, err := Spawn(sys, Spec[Reply[bool]]{New: func() Behavior[Reply[bool]] { return answer }})
		if err != nil {
			t.Fatal(err)
		}
		a, err := Spawn(sys, Spec[Reply[bool]]{New: func() Behavior[Reply[bool]] {
			return BehaviorFunc[Reply[bool]](func(ctx *Context[Reply[bool]], r Reply[bool]) error {
				ok, err := Ask(ctx, b, func(r Reply[bool]) Reply[bool] { return r })
				r.Send(ok)
				return err
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if ok, err := Ask(ctx, a, func(r Reply[bool]) Reply[bool] { return r }); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the answer took %v of virtual time, want none", took)
		}
		if err := sys.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
