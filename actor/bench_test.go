package actor_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// The comparison with other runtimes is in the bench module; these are for work
// on this package: go test -run '^$' -bench . ./actor

// benchMsg is 24 bytes, as in the tables of docs/BENCHMARKS.md.
type benchMsg struct {
	reply actor.Reply[int]
	_     [2]int
}

func newBenchActor() actor.Behavior[benchMsg] {
	n := 0
	return actor.BehaviorFunc[benchMsg](func(_ *actor.Context[benchMsg], m benchMsg) error {
		n++
		m.reply.Send(n)
		return nil
	})
}

// benchActor makes one actor and a check that it has handled all.
func benchActor(b *testing.B) (actor.Ref[benchMsg], func(want int)) {
	sys := newSystem(b, actor.Options{})
	ref := spawn(b, sys, actor.Spec[benchMsg]{New: newBenchActor})
	b.ReportAllocs()
	return ref, func(want int) {
		b.StopTimer()
		if got, err := actor.Ask(context.Background(), ref, askBench); got != want+1 || err != nil {
			b.Fatalf("handled %d, want %d; %v", got-1, want, err)
		}
	}
}

func askBench(r actor.Reply[int]) benchMsg { return benchMsg{reply: r} }

func BenchmarkTell(b *testing.B) {
	ref, check := benchActor(b)
	ctx := context.Background()
	for b.Loop() {
		_ = ref.Tell(ctx, benchMsg{})
	}
	check(b.N)
}

func BenchmarkTellFromMany(b *testing.B) {
	ref, check := benchActor(b)
	ctx := context.Background()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = ref.Tell(ctx, benchMsg{})
		}
	})
	check(b.N)
}

func BenchmarkAsk(b *testing.B) {
	ref, check := benchActor(b)
	ctx := context.Background()
	for b.Loop() {
		_, _ = actor.Ask(ctx, ref, askBench)
	}
	check(b.N)
}

func BenchmarkAskWithDeadline(b *testing.B) {
	ref, check := benchActor(b)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for b.Loop() {
		_, _ = actor.Ask(ctx, ref, askBench)
	}
	check(b.N)
}

// From a handler, with its own context and with one derived from it.
func BenchmarkAskFromHandler(b *testing.B) {
	for name, derive := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"own": func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		"derived": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Hour)
		},
	} {
		b.Run(name, func(b *testing.B) {
			ref, check := benchActor(b)
			asker := spawnDoer(b, newSystem(b, actor.Options{}), actor.Spec[do]{})
			done := make(chan struct{})
			_ = asker.Tell(context.Background(), func(ctx *actor.Context[do]) error {
				defer close(done)
				for b.Loop() {
					one, cancel := derive(ctx)
					_, _ = actor.Ask(one, ref, askBench)
					cancel()
				}
				return nil
			})
			<-done
			check(b.N)
		})
	}
}

func BenchmarkAskFromMany(b *testing.B) {
	ref, check := benchActor(b)
	ctx := context.Background()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = actor.Ask(ctx, ref, askBench)
		}
	})
	check(b.N)
}

func BenchmarkSpawn(b *testing.B) {
	sys := newSystem(b, actor.Options{})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = actor.Spawn(sys, actor.Spec[benchMsg]{New: newBenchActor})
	}
	b.StopTimer()
	if got := sys.Stats().Actors; got != b.N {
		b.Fatalf("%d actors, want %d", got, b.N)
	}
}

// A panic, the restart, and the next message.
func BenchmarkRestart(b *testing.B) {
	sys := newSystem(b, actor.Options{Supervision: never()})
	ref := spawnDoer(b, sys, actor.Spec[do]{})
	ctx := context.Background()
	boom := func(*actor.Context[do]) error { panic("bench") }
	b.ReportAllocs()
	for b.Loop() {
		_ = ref.Tell(ctx, boom)
		_, _ = actor.Ask(ctx, ref, answer(1))
	}
	b.StopTimer()
	if got := sys.Stats().Restarts; got != uint64(b.N) {
		b.Fatalf("%d restarts, want %d", got, b.N)
	}
}

// pair is a message between two players.
type pair struct {
	from actor.Ref[pair]
	left int
}

func BenchmarkPingPong(b *testing.B) {
	const pairs = 500
	sys := newSystem(b, actor.Options{})
	var done sync.WaitGroup
	done.Add(pairs)
	player := actor.Spec[pair]{New: func() actor.Behavior[pair] {
		return actor.BehaviorFunc[pair](func(ctx *actor.Context[pair], m pair) error {
			if m.left == 0 {
				done.Done()
				return nil
			}
			return m.from.Tell(ctx, pair{ctx.Self(), m.left - 1})
		})
	}}
	each := b.N/pairs + 1
	b.ReportAllocs()
	b.ResetTimer()
	for range pairs {
		a, z := spawn(b, sys, player), spawn(b, sys, player)
		tell(b, a, pair{z, each})
	}
	done.Wait()
	b.StopTimer()
}
