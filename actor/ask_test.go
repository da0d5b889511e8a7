package actor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

// askTo makes a message that asks another actor and answers with its answer.
func askTo(to actor.Ref[do], next func(actor.Reply[int]) do) func(actor.Reply[int]) do {
	return func(r actor.Reply[int]) do {
		return func(ctx *actor.Context[do]) error {
			v, err := actor.Ask(ctx, to, next)
			if err != nil {
				r.Fail(err)
				return nil
			}
			r.Send(v + 1)
			return nil
		}
	}
}

func answer(v int) func(actor.Reply[int]) do {
	return func(r actor.Reply[int]) do {
		return func(*actor.Context[do]) error { r.Send(v); return nil }
	}
}

// Decision: blocking in a handler is allowed. Two actors ask a third that asks
// back while more handlers than processors are busy; nobody starves.
func TestAsksWhileAllProcessorsAreBusy(t *testing.T) {
	actortest.NoLeaks(t)
	sys := newSystem(t, actor.Options{})
	busy := make(chan struct{})
	for range 2 * runtime.GOMAXPROCS(0) {
		tell(t, spawnDoer(t, sys, actor.Spec[do]{}), func(*actor.Context[do]) error {
			for {
				select {
				case <-busy:
					return nil
				default:
					runtime.Gosched()
				}
			}
		})
	}
	third := spawnDoer(t, sys, actor.Spec[do]{Name: "third"})
	helper := spawnDoer(t, sys, actor.Spec[do]{Name: "helper"})
	var both sync.WaitGroup
	for i := range 2 {
		a := spawnDoer(t, sys, actor.Spec[do]{Name: fmt.Sprint("a", i)})
		both.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				// a asks third, third asks helper, helper answers.
				got, err := actor.Ask(ctx, a, askTo(third, askTo(helper, answer(n))))
				cancel()
				if got != n+2 || err != nil {
					t.Errorf("got %d, %v", got, err)
					return
				}
			}
		})
	}
	both.Wait()
	close(busy)
}

// An ask that closes a circle is an error, at once, on every way to ask.
func TestAskCycle(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{"inline": context.Background(), "queued": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
				ctx := ctx
				if ctx == nil {
					bounded, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					ctx = bounded
				}
				a, b, c := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"}), spawnDoer(t, sys, actor.Spec[do]{Name: "c"})
				pool, err := actor.SpawnPool(sys, actor.PoolSpec[do]{Name: "pool", Size: 1, Worker: actor.Spec[do]{New: newDoer}})
				if err != nil {
					t.Fatal(err)
				}
				adapted := actor.Adapt(a, func(d do) do { return d })
				begin := time.Now()
				for way, build := range map[string]func(actor.Reply[int]) do{
					"itself":         askTo(a, answer(1)),
					"two":            askTo(b, askTo(a, answer(1))),
					"three":          askTo(b, askTo(c, askTo(a, answer(1)))),
					"by adapter":     askTo(b, askTo(adapted, answer(1))),
					"by pool":        askTo(pool, askTo(a, answer(1))),
					"pool to itself": askTo(pool, askTo(pool, answer(1))),
				} {
					if got, err := actor.Ask(ctx, a, build); !errors.Is(err, actor.ErrDeadlock) || fault.CodeOf(err) != fault.FailedPrecondition {
						t.Errorf("%s: %d, %v", way, got, err)
					}
				}
				// What is not a circle is none: afterwards, and beside one.
				if got, err := actor.Ask(ctx, a, askTo(b, askTo(c, answer(1)))); got != 3 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
				if got, err := actor.Ask(ctx, c, askTo(a, askTo(b, answer(1)))); got != 3 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
				if time.Since(begin) > time.Second {
					t.Errorf("it took %v", time.Since(begin))
				}
			})
		})
	}
}

// Two actors that ask each other at the same time: at least one learns of it,
// and none waits for ever, in whatever order they come.
func TestConcurrentCrossAsk(t *testing.T) {
	cross := func(t *testing.T, sys *actor.System, _ *rand.Rand) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		errs := make(chan error, 2)
		ask := func(to actor.Ref[do]) do {
			return func(ctx *actor.Context[do]) error {
				_, err := actor.Ask(ctx, to, answer(1))
				errs <- err
				return nil
			}
		}
		tell(t, a, ask(b))
		tell(t, b, ask(a))
		for range 2 {
			if err := <-errs; err != nil && !errors.Is(err, actor.ErrDeadlock) {
				t.Error(err)
			}
		}
	}
	actortest.ExploreWith(t, actor.Options{Logger: discard()}, 50, cross)
	sys := newSystem(t, actor.Options{})
	for range 500 {
		cross2 := func() {
			a, b := spawnDoer(t, sys, actor.Spec[do]{}), spawnDoer(t, sys, actor.Spec[do]{})
			var both sync.WaitGroup
			for _, pair := range [][2]actor.Ref[do]{{a, b}, {b, a}} {
				both.Go(func() {
					_, err := actor.Ask(context.Background(), pair[0], askTo(pair[1], answer(1)))
					if err != nil && !errors.Is(err, actor.ErrDeadlock) {
						t.Error(err)
					}
				})
			}
			both.Wait()
			a.Kill()
			b.Kill()
		}
		cross2()
	}
}

// A circle through a full mailbox is a circle, too.
func TestTellCycle(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		a := spawnDoer(t, sys, actor.Spec[do]{Name: "a", Mailbox: actor.Mailbox{Capacity: 1}})
		nothing := func(*actor.Context[do]) error { return nil }
		errs := within(t, a, func(ctx *actor.Context[do]) error {
			var err error
			for err == nil {
				err = ctx.Self().Tell(ctx, nothing)
			}
			return err
		})
		if !errors.Is(errs, actor.ErrDeadlock) {
			t.Error(errs)
		}
	})
}

// Only the first answer counts.
func TestSecondReply(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	ref := spawnDoer(t, sys, actor.Spec[do]{})
	for _, ctx := range []context.Context{context.Background(), t.Context()} { // on this goroutine, and queued
		second := make(chan [4]bool, 1)
		got, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error {
				second <- [4]bool{r.Send(1), r.Send(2), r.Fail(errTest), actor.Reply[int]{}.Send(3)}
				return nil
			}
		})
		if got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if s := <-second; s != [4]bool{true} {
			t.Errorf("accepted: %v", s)
		}
	}
	// Of many concurrent answers exactly one counts.
	var accepted, wrong int
	for range 200 {
		got, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error {
				oks := make([]bool, 4)
				var all sync.WaitGroup
				for i := range oks {
					all.Go(func() { oks[i] = r.Send(i) })
				}
				all.Wait()
				for _, ok := range oks {
					if ok {
						accepted++
					}
				}
				return nil
			}
		})
		if err != nil || got < 0 || got > 3 {
			wrong++
		}
	}
	call(t, ref, func(*actor.Context[do]) error {
		if accepted != 200 || wrong != 0 {
			t.Errorf("%d of 200 accepted, %d wrong", accepted, wrong)
		}
		return nil
	})
}

// An answer after the deadline is refused, and reaches no later ask.
func TestLateReply(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		ref := spawnDoer(t, sys, actor.Spec[do]{})
		var kept actor.Reply[int]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error { kept = r; return nil }
		})
		if fault.CodeOf(err) != fault.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		got, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error {
				if kept.Send(1) || kept.Fail(errTest) {
					t.Error("a late answer was accepted")
				}
				r.Send(2)
				return nil
			}
		})
		if got != 2 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	})
}

// Req F2: an application's error is the answer, as it is. Req F7, A6: whatever
// else ends a question is answered with an error that says why.
func TestAskErrors(t *testing.T) {
	t.Parallel()
	keep := func(actor.Reply[int]) do { return func(*actor.Context[do]) error { return nil } }
	for _, tt := range []struct {
		name  string
		build func(actor.Reply[int]) do
		then  func(t *testing.T, ref actor.Ref[do]) // once the ask is handled or waits
		block bool                                  // the actor is busy when it is asked
		code  fault.Code
		is    error
	}{
		{name: "application error", build: func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error { r.Fail(errTest); return nil }
		}, code: fault.Unknown, is: errTest},
		{name: "nil error", build: func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error { r.Fail(nil); return nil }
		}, code: fault.Internal},
		{name: "handler error", build: func(actor.Reply[int]) do { return failing }, code: fault.Internal, is: errTest},
		{name: "panic", build: func(actor.Reply[int]) do {
			return func(*actor.Context[do]) error { panic(errTest) }
		}, code: fault.Internal, is: errTest},
		{name: "ErrStop", build: func(actor.Reply[int]) do {
			return func(*actor.Context[do]) error { return actor.ErrStop }
		}, code: fault.NotFound, is: actor.ErrStopped},
		{name: "restart while kept", build: keep, then: func(t *testing.T, ref actor.Ref[do]) { tell(t, ref, failing) },
			code: fault.Unavailable, is: actor.ErrRestarted},
		{name: "stop while kept", build: keep, then: func(t *testing.T, ref actor.Ref[do]) { _ = ref.Stop(context.Background()) },
			code: fault.NotFound, is: actor.ErrStopped},
		{name: "kill while kept", build: keep, then: func(t *testing.T, ref actor.Ref[do]) { ref.Kill() },
			code: fault.NotFound, is: actor.ErrKilled},
		{name: "kill while queued", build: answer(1), block: true, then: func(t *testing.T, ref actor.Ref[do]) { ref.Kill() },
			code: fault.NotFound, is: actor.ErrKilled},
		{name: "stash and stop", build: func(actor.Reply[int]) do {
			return func(ctx *actor.Context[do]) error { return ctx.Stash() }
		}, then: func(t *testing.T, ref actor.Ref[do]) { _ = ref.Stop(context.Background()) }, code: fault.NotFound, is: actor.ErrStopped},
	} {
		for _, way := range []string{"inline", "queued"} {
			t.Run(tt.name+" "+way, func(t *testing.T) {
				t.Parallel()
				actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
					ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
					ctx := context.Background()
					if way == "queued" {
						ctx = t.Context()
					}
					if tt.block {
						tell(t, ref, func(ctx *actor.Context[do]) error { <-ctx.Done(); return nil })
					}
					done := make(chan error)
					go func() {
						_, err := actor.Ask(ctx, ref, tt.build)
						done <- err
					}()
					if tt.then != nil {
						synctest.Wait()
						tt.then(t, ref)
					}
					err := <-done
					if fault.CodeOf(err) != tt.code || tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("got %v (%v), want %v and %v", err, fault.CodeOf(err), tt.code, tt.is)
					}
				})
			})
		}
	}
	sys := newSystem(t, actor.Options{})
	ref := spawnDoer(t, sys, actor.Spec[do]{Name: "gone"})
	if err := ref.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := actor.Ask(t.Context(), ref, answer(1)) // Req F5
	if !errors.Is(err, actor.ErrStopped) || fault.CodeOf(err) != fault.NotFound {
		t.Error(err)
	}
	if _, err = actor.Ask(t.Context(), actor.Ref[do]{}, answer(1)); !errors.Is(err, actor.ErrNoActor) {
		t.Error(err)
	}
}

// Req A13, F8: a question whose asker has left before its turn is not handled.
func TestExpiredAskIsNotHandled(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
		ref := spawnDoer(t, sys, actor.Spec[do]{})
		gate := make(chan struct{})
		tell(t, ref, func(*actor.Context[do]) error { <-gate; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		handled := false
		_, err := actor.Ask(ctx, ref, func(actor.Reply[int]) do {
			return func(*actor.Context[do]) error { handled = true; return nil }
		})
		close(gate)
		call(t, ref, func(*actor.Context[do]) error { return nil })
		if fault.CodeOf(err) != fault.DeadlineExceeded || handled {
			t.Errorf("%v; handled: %v", err, handled)
		}
		if all := dead.take(); len(all) != 1 || all[0].Reason != actor.ErrExpired {
			t.Errorf("dead letters: %v", all)
		}
	})
}

// Req F8: the handler sees the asker's deadline, and the end of its patience.
func TestHandlerContext(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		want, _ := ctx.Deadline()
		ended := make(chan error, 1)
		_, err := actor.Ask(ctx, a, func(actor.Reply[int]) do {
			return func(ctx *actor.Context[do]) error {
				_, _ = actor.Ask(ctx, b, func(actor.Reply[int]) do { // the deadline travels on
					return func(ctx *actor.Context[do]) error {
						if at, ok := ctx.Deadline(); !ok || !at.Equal(want) {
							t.Errorf("deadline %v, %v", at, ok)
						}
						<-ctx.Done()
						ended <- ctx.Err()
						return nil
					}
				})
				return nil
			}
		})
		if end := <-ended; fault.CodeOf(err) != fault.DeadlineExceeded || end == nil {
			t.Error(err, end)
		}
		// A plain message has no deadline; its context ends with the actor.
		tell(t, b, func(ctx *actor.Context[do]) error {
			if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
				t.Error("a plain message has a deadline or has ended")
			}
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		})
		synctest.Wait()
		b.Kill()
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	})
}

// The trace of a message goes with what its handler sends.
func TestTraceTravels(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		want := actor.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}}
		got := actortest.NewProbe[string](t, sys)
		note := func(where string) do {
			return func(ctx *actor.Context[do]) error {
				if tr, ok := actor.TraceFrom(ctx); ok && tr == want {
					return got.Ref().TryTell(where)
				}
				t.Errorf("%s: no trace", where)
				return nil
			}
		}
		a, b := spawnDoer(t, sys, actor.Spec[do]{}), spawnDoer(t, sys, actor.Spec[do]{})
		ctx := actor.WithTrace(context.Background(), want)
		if err := a.Tell(ctx, func(ctx *actor.Context[do]) error {
			if err := b.Tell(ctx, note("tell")); err != nil {
				return err
			}
			ctx.After(time.Second, note("timer"))
			ctx.Pipe(func(ctx context.Context) do {
				if _, ok := actor.TraceFrom(ctx); !ok {
					t.Error("the pipe's context has no trace")
				}
				sleep(2 * time.Second)
				return note("pipe")
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		got.Expect("tell", "timer", "pipe")
		for _, c := range []context.Context{ctx, actor.WithTrace(t.Context(), want)} {
			if _, err := actor.Ask(c, a, func(r actor.Reply[int]) do {
				return func(ctx *actor.Context[do]) error { defer r.Send(1); return note("ask")(ctx) }
			}); err != nil {
				t.Error(err)
			}
			got.Expect("ask")
		}
		call(t, a, func(ctx *actor.Context[do]) error {
			if _, ok := actor.TraceFrom(ctx); ok {
				t.Error("the next message has the trace of the one before")
			}
			return nil
		})
	})
}

// An actor may answer a question later, or let another one answer.
func TestReplyTravels(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{}, func(t *testing.T, sys *actor.System) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{}), spawnDoer(t, sys, actor.Spec[do]{})
		got, err := actor.Ask(context.Background(), a, func(r actor.Reply[int]) do {
			return func(ctx *actor.Context[do]) error {
				return b.Tell(ctx, func(ctx *actor.Context[do]) error {
					ctx.After(time.Minute, func(*actor.Context[do]) error { r.Send(7); return nil })
					return nil
				})
			}
		})
		if got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		calls := 0
		r := actor.NewReply(func(v int, err error) { calls++; got = v })
		if !r.Send(9) || r.Send(10) || r.Fail(errTest) || got != 9 || calls != 1 {
			t.Errorf("got %d in %d calls", got, calls)
		}
	})
}

// A panic while the message is built is the asker's own.
func TestPanicWhileBuilding(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	ref := spawnDoer(t, sys, actor.Spec[do]{})
	for _, ctx := range []context.Context{context.Background(), t.Context()} {
		func() {
			defer func() {
				if v := recover(); v != "build" {
					t.Errorf("recovered %v", v)
				}
			}()
			_, _ = actor.Ask(ctx, ref, func(actor.Reply[int]) do { panic("build") })
		}()
		call(t, ref, func(*actor.Context[do]) error { return nil })
	}
}
