package actor_test

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// act makes an actor out of a function; done is closed when a message closes it.
func act(sys *actor.System, f func(ctx *actor.Context[string], m string) error) actor.Ref[string] {
	ref, err := actor.Spawn(sys, actor.Spec[string]{New: func() actor.Behavior[string] { return actor.BehaviorFunc[string](f) }})
	if err != nil {
		panic(err)
	}
	return ref
}

// A timer is a message that comes later.
func ExampleContext_After() {
	sys := quiet(actor.Supervision{})
	done := make(chan struct{})
	ref := act(sys, func(ctx *actor.Context[string], m string) error {
		fmt.Println(m)
		switch m {
		case "begin":
			ctx.After(2*time.Millisecond, "end")
			ctx.After(time.Millisecond, "cancelled").Cancel()
		case "end":
			close(done)
		}
		return nil
	})
	_ = ref.Tell(context.Background(), "begin")
	<-done
	_ = sys.Stop(context.Background())
	// Output:
	// begin
	// end
}

func ExampleContext_Every() {
	sys := quiet(actor.Supervision{})
	done := make(chan struct{})
	var ticks int
	var timer actor.Timer
	ref := act(sys, func(ctx *actor.Context[string], m string) error {
		switch m {
		case "begin":
			timer = ctx.Every(time.Millisecond, "tick")
		case "tick":
			if ticks++; ticks == 3 {
				timer.Cancel()
				close(done)
			}
		}
		return nil
	})
	_ = ref.Tell(context.Background(), "begin")
	<-done
	_ = sys.Stop(context.Background())
	fmt.Println(ticks)
	// Output: 3
}

// What can't be handled yet is put aside.
func ExampleContext_Stash() {
	sys := quiet(actor.Supervision{})
	open := false
	ref := act(sys, func(ctx *actor.Context[string], m string) error {
		switch {
		case m == "open":
			open = true
			ctx.UnstashAll()
		case !open:
			return ctx.Stash()
		default:
			fmt.Println(m)
		}
		return nil
	})
	for _, m := range []string{"first", "second", "open", "third"} {
		_ = ref.Tell(context.Background(), m)
	}
	_ = sys.Stop(context.Background()) // handles what waits
	// Output:
	// first
	// second
	// third
}

// An actor may behave differently from the next message on.
func ExampleContext_Become() {
	sys := quiet(actor.Supervision{})
	ref := act(sys, func(ctx *actor.Context[string], m string) error {
		fmt.Println(m)
		return ctx.Become(actor.BehaviorFunc[string](func(ctx *actor.Context[string], m string) error {
			fmt.Println(m + "!")
			ctx.Unbecome()
			return nil
		}))
	})
	for _, m := range []string{"quiet", "loud", "quiet"} {
		_ = ref.Tell(context.Background(), m)
	}
	_ = sys.Stop(context.Background())
	// Output:
	// quiet
	// loud!
	// quiet
}

// A slow piece of work need not hold up the actor.
func ExampleContext_Pipe() {
	sys := quiet(actor.Supervision{})
	done := make(chan struct{})
	ref := act(sys, func(ctx *actor.Context[string], m string) error {
		fmt.Println(m)
		switch m {
		case "fetch":
			ctx.Pipe(func(context.Context) string { return "fetched" })
		case "fetched":
			close(done)
		}
		return nil
	})
	_ = ref.Tell(context.Background(), "fetch")
	<-done
	_ = sys.Stop(context.Background())
	// Output:
	// fetch
	// fetched
}
