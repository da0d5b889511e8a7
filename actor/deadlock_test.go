package actor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// askWithin is askTo with a context that is derived from the handler's.
func askWithin(to actor.Ref[do], build func(actor.Reply[int]) do) func(actor.Reply[int]) do {
	return func(r actor.Reply[int]) do {
		return func(ctx *actor.Context[do]) error {
			type key struct{}
			own, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
			defer cancel()
			n, err := actor.Ask(own, to, build)
			if err != nil {
				r.Fail(err)
				return nil
			}
			r.Send(n + 1)
			return nil
		}
	}
}

// A circle is found through contexts that handlers have derived from theirs.
func TestAskCycleDerived(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		begin := time.Now()
		for way, build := range map[string]func(actor.Reply[int]) do{
			"itself":          askWithin(a, answer(1)),
			"two":             askWithin(b, askTo(a, answer(1))),
			"the second":      askTo(b, askWithin(a, answer(1))),
			"both":            askWithin(b, askWithin(a, answer(1))),
			"from the start":  askWithin(b, askWithin(b, answer(1))),
			"without an end":  askUnbounded(b, askUnbounded(a, answer(1))),
			"one without end": askWithin(b, askUnbounded(a, answer(1))),
		} {
			for _, ctx := range []context.Context{context.Background(), t.Context()} { // on this goroutine, and queued
				if got, err := actor.Ask(ctx, a, build); !errors.Is(err, actor.ErrDeadlock) {
					t.Errorf("%s: %d, %v", way, got, err)
				}
			}
		}
		if got, err := actor.Ask(t.Context(), a, askWithin(b, askWithin(spawnDoer(t, sys, actor.Spec[do]{}), answer(1)))); got != 3 || err != nil {
			t.Errorf("what is no circle: %d, %v", got, err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// askUnbounded is askTo with a context that is derived from the handler's and ends
// with it only.
func askUnbounded(to actor.Ref[do], build func(actor.Reply[int]) do) func(actor.Reply[int]) do {
	return func(r actor.Reply[int]) do {
		return func(ctx *actor.Context[do]) error {
			type key struct{}
			n, err := actor.Ask(context.WithValue(ctx, key{}, 1), to, build)
			if err != nil {
				r.Fail(err)
				return nil
			}
			r.Send(n + 1)
			return nil
		}
	}
}

// What waits on another goroutine, with a context derived from a handler's, does
// not hold up the handler: no circle goes through it.
func TestNoCycleThroughAnotherGoroutine(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		result := make(chan error, 1)
		tell(t, a, func(ctx *actor.Context[do]) error {
			own, cancel := context.WithTimeout(ctx, time.Hour)
			go func() {
				defer cancel()
				_, err := actor.Ask(own, b, askTo(a, answer(1)))
				result <- err
			}()
			sleep(time.Second) // b asks while this handler runs
			return nil
		})
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}
