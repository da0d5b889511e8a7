package actor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// The messages of a counter: a sealed protocol, so that no other message compiles.
type counterMsg interface{ isCounterMsg() }

type Add struct{ N int }

type Get struct{ Reply actor.Reply[int] }

func (Add) isCounterMsg() {}
func (Get) isCounterMsg() {}

// Counter is an actor's behaviour: its state needs no lock.
type Counter struct{ n int }

func NewCounter() actor.Behavior[counterMsg] { return &Counter{} }

func (c *Counter) Receive(_ *actor.Context[counterMsg], m counterMsg) error {
	switch m := m.(type) {
	case Add:
		if m.N < 0 {
			return fmt.Errorf("add %d: a counter only grows", m.N)
		}
		c.n += m.N
	case Get:
		m.Reply.Send(c.n)
	}
	return nil
}

func get(r actor.Reply[int]) counterMsg { return Get{r} }

// quiet is a system that does not log, for the sake of the examples' output.
func quiet(s actor.Supervision) *actor.System {
	return actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler), Supervision: s})
}

func Example() {
	sys := actor.NewSystem(actor.Options{})
	ctx := context.Background()
	counter, err := actor.Spawn(sys, actor.Spec[counterMsg]{Name: "counter", New: NewCounter})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = counter.Tell(ctx, Add{2})
	_ = counter.Tell(ctx, Add{40})
	n, err := actor.Ask(ctx, counter, get)
	fmt.Println(n, err)
	fmt.Println(sys.Stop(ctx))
	// Output:
	// 42 <nil>
	// <nil>
}

// An answer may be an error, which the asker gets as it is.
func ExampleReply_Fail() {
	sys := quiet(actor.Supervision{})
	errNotFound := errors.New("no such book")
	type find struct {
		title string
		reply actor.Reply[int]
	}
	shelf, _ := actor.Spawn(sys, actor.Spec[find]{New: func() actor.Behavior[find] {
		return actor.BehaviorFunc[find](func(_ *actor.Context[find], m find) error {
			m.reply.Fail(errNotFound)
			return nil // the actor is well
		})
	}})
	_, err := actor.Ask(context.Background(), shelf, func(r actor.Reply[int]) find { return find{"Emma", r} })
	fmt.Println(errors.Is(err, errNotFound), err)
	_ = sys.Stop(context.Background())
	// Output: true no such book
}

// A failed actor begins again with a new behaviour; its mailbox is kept.
func ExampleSupervision() {
	sys := quiet(actor.Supervision{MaxRestarts: 3, Window: time.Minute})
	ctx := context.Background()
	counter, _ := actor.Spawn(sys, actor.Spec[counterMsg]{New: NewCounter})
	_ = counter.Tell(ctx, Add{5})
	_ = counter.Tell(ctx, Add{-1}) // fails
	_ = counter.Tell(ctx, Add{7})
	fmt.Println(actor.Ask(ctx, counter, get))
	_ = sys.Stop(ctx)
	// Output: 7 <nil>
}

// Decide chooses by the error what becomes of the child.
func ExampleSupervision_decide() {
	sys := quiet(actor.Supervision{Decide: func(child actor.Address, err error) actor.Directive {
		fmt.Println(child.Path, "failed:", err)
		return actor.ResumeChild // keep its state
	}})
	ctx := context.Background()
	counter, _ := actor.Spawn(sys, actor.Spec[counterMsg]{Name: "counter", New: NewCounter})
	_ = counter.Tell(ctx, Add{5})
	_ = counter.Tell(ctx, Add{-1})
	_ = counter.Tell(ctx, Add{7})
	fmt.Println(actor.Ask(ctx, counter, get))
	_ = sys.Stop(ctx)
	// Output:
	// /counter failed: add -1: a counter only grows
	// 12 <nil>
}

// A full mailbox makes senders wait, unless its policy says otherwise.
func ExampleMailbox() {
	sys := quiet(actor.Supervision{})
	gate, busy := make(chan struct{}), make(chan struct{})
	ref, _ := actor.Spawn(sys, actor.Spec[int]{
		Mailbox: actor.Mailbox{Capacity: 1, Overflow: actor.Refuse},
		New: func() actor.Behavior[int] {
			return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
				if n == 1 {
					close(busy)
					<-gate
				}
				return nil
			})
		},
	})
	ctx := context.Background()
	fmt.Println(ref.Tell(ctx, 1))
	<-busy
	fmt.Println(ref.Tell(ctx, 2))
	fmt.Println(errors.Is(ref.Tell(ctx, 3), actor.ErrMailboxFull))
	close(gate)
	_ = sys.Stop(ctx)
	// Output:
	// <nil>
	// <nil>
	// true
}

// A plain Serve(ctx) error can be a child in the tree.
func ExampleSpawnService() {
	sys := quiet(actor.Supervision{})
	serving := make(chan struct{})
	_, err := actor.SpawnService(sys, actor.ServiceSpec{Name: "server", New: func() actor.Service {
		return actor.ServiceFunc(func(ctx context.Context) error {
			close(serving)
			<-ctx.Done()
			fmt.Println("served")
			return ctx.Err()
		})
	}})
	<-serving
	fmt.Println(err)
	_ = sys.Stop(context.Background())
	// Output:
	// <nil>
	// served
}

// A pool is one reference to many workers.
func ExampleSpawnPool() {
	sys := quiet(actor.Supervision{})
	type square struct {
		n     int
		reply actor.Reply[int]
	}
	pool, _ := actor.SpawnPool(sys, actor.PoolSpec[square]{
		Name: "squares", Size: 4, Routing: actor.SmallestMailbox,
		Worker: actor.Spec[square]{New: func() actor.Behavior[square] {
			return actor.BehaviorFunc[square](func(_ *actor.Context[square], m square) error {
				m.reply.Send(m.n * m.n)
				return nil
			})
		}},
	})
	for n := range 4 {
		v, _ := actor.Ask(context.Background(), pool, func(r actor.Reply[int]) square { return square{n, r} })
		fmt.Print(v, " ")
	}
	_ = sys.Stop(context.Background())
	// Output: 0 1 4 9
}

// A death notice is a message like any other.
func ExampleWatch() {
	sys := quiet(actor.Supervision{})
	ctx := context.Background()
	counter, _ := actor.Spawn(sys, actor.Spec[counterMsg]{Name: "counter", New: NewCounter})
	watching, ended := make(chan struct{}), make(chan struct{})
	_, _ = actor.Spawn(sys, actor.Spec[actor.Down]{New: func() actor.Behavior[actor.Down] {
		return &mourner{counter, watching, ended}
	}})
	<-watching
	_ = counter.Stop(ctx)
	<-ended
	_ = sys.Stop(ctx)
	// Output: /counter ended normally
}

type mourner struct {
	of              actor.Ref[counterMsg]
	watching, ended chan struct{}
}

func (m *mourner) Start(ctx *actor.Context[actor.Down]) error {
	actor.Watch(ctx, m.of, func(d actor.Down) actor.Down { return d })
	close(m.watching)
	return nil
}

func (m *mourner) Receive(_ *actor.Context[actor.Down], d actor.Down) error {
	if d.Reason == nil {
		fmt.Println(d.Actor.Path, "ended normally")
	}
	close(m.ended)
	return nil
}

// An actor may take a message that another type was meant for.
func ExampleAdapt() {
	sys := quiet(actor.Supervision{})
	ctx := context.Background()
	counter, _ := actor.Spawn(sys, actor.Spec[counterMsg]{New: NewCounter})
	words := actor.Adapt(counter, func(s string) counterMsg { return Add{len(s)} })
	_ = words.Tell(ctx, "hello")
	_ = words.Tell(ctx, "world")
	fmt.Println(actor.Ask(ctx, counter, get))
	_ = sys.Stop(ctx)
	// Output: 10 <nil>
}

// Whoever subscribes to a type gets each event of that type.
func ExampleSubscribe() {
	sys := quiet(actor.Supervision{})
	ctx := context.Background()
	type sold struct{ pieces int }
	counter, _ := actor.Spawn(sys, actor.Spec[counterMsg]{New: NewCounter})
	cancel := actor.Subscribe(sys, counter, func(e sold) counterMsg { return Add{e.pieces} })
	actor.Publish(sys, sold{3})
	actor.Publish(sys, sold{4})
	cancel()
	actor.Publish(sys, sold{100})
	fmt.Println(actor.Ask(ctx, counter, get))
	_ = sys.Stop(ctx)
	// Output: 7 <nil>
}

func ExampleLookup() {
	sys := quiet(actor.Supervision{})
	_, _ = actor.Spawn(sys, actor.Spec[counterMsg]{Name: "counter", New: NewCounter})
	ref, err := actor.Lookup[counterMsg](sys, "/counter")
	fmt.Println(ref.Address().Path, err)
	_, err = actor.Lookup[string](sys, "/counter")
	fmt.Println(err)
	_ = sys.Stop(context.Background())
	// Output:
	// /counter <nil>
	// actor.Lookup /counter: the actor takes messages of type actor_test.counterMsg (FAILED_PRECONDITION)
}
