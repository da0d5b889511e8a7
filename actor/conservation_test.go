package actor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// parcel is a message that can be accounted for.
type parcel struct{ producer, n int }

// fates are what became of the parcels of one queue.
type fates struct {
	mu      sync.Mutex
	handled map[parcel]int
	last    map[int]int // of each producer, the number handled last
	dead    map[parcel]int
	refused map[parcel]int
	wrong   []string // what came out of order
}

func newFates() *fates {
	return &fates{handled: map[parcel]int{}, last: map[int]int{}, dead: map[parcel]int{}, refused: map[parcel]int{}}
}

func (f *fates) handle(p parcel, repeats bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handled[p]++
	if last := f.last[p.producer]; p.n <= last && (!repeats || p.n < last) {
		f.wrong = append(f.wrong, fmt.Sprintf("%v after %d", p, last))
	}
	f.last[p.producer] = p.n
}

// account checks that each parcel of each producer has one fate.
func (f *fates) account(t *testing.T, producers, each int, repeats bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range producers {
		for n := range each {
			m := parcel{p, n + 1}
			handled, dead, refused := f.handled[m], f.dead[m], f.refused[m]
			if repeats && handled > 0 && dead > 0 {
				handled = 0 // tried, and set aside
			}
			if repeats && handled > 1 {
				handled = 1
			}
			if handled+dead+refused != 1 {
				t.Errorf("%v was handled %d times, is a dead letter %d times, was refused %d times", m, f.handled[m], dead, refused)
				return
			}
		}
	}
	if len(f.wrong) > 0 {
		t.Errorf("out of order: %v", f.wrong[:min(len(f.wrong), 5)])
	}
}

// Req A3, A6: of many queues with eight producers each nothing is lost,
// duplicated or reordered, by any policy, with restarts going on and with
// senders whose contexts end: sent = handled + dead letters + refused.
func TestQueuesConserveMessages(t *testing.T) {
	actortest.NoLeaks(t)
	const queues, producers, each = 24, 8, 400
	policies := []struct {
		name    string
		mailbox actor.Mailbox
	}{
		{"block", actor.Mailbox{Capacity: 16}},
		{"block on one", actor.Mailbox{Capacity: 1}},
		{"refuse", actor.Mailbox{Capacity: 16, Overflow: actor.Refuse}},
		{"drop oldest", actor.Mailbox{Capacity: 16, Overflow: actor.DropOldest}},
		{"unbounded", actor.Mailbox{Capacity: actor.Unbounded}},
		{"default", actor.Mailbox{}},
	}
	for _, policy := range policies {
		for _, failures := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, failures %v", policy.name, failures), func(t *testing.T) {
				byPath := map[string]*fates{}
				for q := range queues {
					byPath[fmt.Sprint("/q", q)] = newFates()
				}
				sys := actor.NewSystem(actor.Options{
					Logger: discard(), Supervision: never(),
					Hooks: []actor.Hooks{{DeadLetter: func(d actor.DeadLetter) {
						f := byPath[d.Target.Path]
						f.mu.Lock()
						defer f.mu.Unlock()
						f.dead[d.Message.(parcel)]++
					}}},
				})
				var all sync.WaitGroup
				for q := range queues {
					name := fmt.Sprint("q", q)
					f := byPath["/"+name]
					priority := func(parcel) int { return 0 }
					if q%2 == 0 {
						priority = nil
					}
					spec := actor.Spec[parcel]{Name: name, Mailbox: policy.mailbox, Priority: priority, Attempts: 1 + q%3}
					spec.New = func() actor.Behavior[parcel] {
						return actor.BehaviorFunc[parcel](func(_ *actor.Context[parcel], p parcel) error {
							f.handle(p, failures)
							if failures && p.n%50 == 0 {
								if p.producer%2 == 0 {
									panic("poison")
								}
								return errTest
							}
							return nil
						})
					}
					ref := spawn(t, sys, spec)
					for p := range producers {
						all.Go(func() { produce(ref, f, p, each, q == 3) })
					}
				}
				all.Wait()
				if err := sys.Stop(context.Background()); err != nil {
					t.Fatal(err)
				}
				for _, f := range byPath {
					f.account(t, producers, each, failures)
				}
			})
		}
	}
}

// produce sends the parcels of one producer. Some of its contexts end early; a
// message whose sender got an error is refused.
func produce(ref actor.Ref[parcel], f *fates, producer, each int, stop bool) {
	random := rand.New(rand.NewPCG(uint64(producer), 7))
	for n := range each {
		p := parcel{producer, n + 1}
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		switch random.IntN(20) {
		case 0:
			ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(50))*time.Microsecond)
		case 1:
			ctx = actor.WithTrace(ctx, actor.Trace{ID: [16]byte{1}})
		}
		var err error
		if random.IntN(10) == 0 {
			err = ref.TryTell(p)
		} else {
			err = ref.Tell(ctx, p)
		}
		cancel()
		if err != nil {
			f.mu.Lock()
			f.refused[p]++
			f.mu.Unlock()
		}
		if stop && producer == 0 && n == each/2 {
			ref.Kill()
		}
	}
}

// Req A1, A6: asks of an actor that fails, is restarted and is stopped are all
// answered, one way or another.
func TestEveryAskIsAnswered(t *testing.T) {
	actortest.NoLeaks(t)
	for range 20 {
		sys := actor.NewSystem(actor.Options{Logger: discard(), Supervision: never()})
		var kept []actor.Reply[int]
		ref := spawnDoer(t, sys, actor.Spec[do]{Mailbox: actor.Mailbox{Capacity: 8}})
		var askers sync.WaitGroup
		answers := make([]int, 8)
		for a := range answers {
			askers.Go(func() {
				for i := range 200 {
					v, err := actor.Ask(context.Background(), ref, func(r actor.Reply[int]) do {
						return func(ctx *actor.Context[do]) error {
							switch (i + a) % 17 {
							case 0:
								return errTest
							case 1:
								panic("boom")
							case 2:
								kept = append(kept, r)
								if len(kept) > 3 {
									for _, k := range kept {
										k.Send(-1)
									}
									kept = nil
								}
								return nil
							case 3:
								r.Fail(errTest)
								return nil
							}
							r.Send(i)
							return nil
						}
					})
					if err == nil && v != i && v != -1 {
						t.Errorf("asker %d got %d, want %d", a, v, i)
					}
					answers[a]++
					if errors.Is(err, actor.ErrStopped) {
						return
					}
				}
			})
		}
		if err := ref.Tell(context.Background(), func(*actor.Context[do]) error { return nil }); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(2*time.Millisecond, func() { _ = ref.Stop(context.Background()) })
		askers.Wait()
		stop.Stop()
		if err := sys.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// Req A8: a thousand systems leave nothing behind.
func TestThousandSystemsLeaveNothing(t *testing.T) {
	actortest.NoLeaks(t)
	for i := range 1000 {
		sys := actor.NewSystem(actor.Options{Logger: discard()})
		parent := spawnDoer(t, sys, actor.Spec[do]{Name: "parent", IdleTimeout: time.Hour})
		child := spawnChild(t, parent, actor.Spec[do]{Name: "child"})
		service, err := actor.SpawnService(sys, actor.ServiceSpec{New: func() actor.Service {
			return actor.ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}})
		if err != nil {
			t.Fatal(err)
		}
		tell(t, child, func(ctx *actor.Context[do]) error {
			ctx.After(time.Hour, nil)
			ctx.Every(time.Minute, nil)
			ctx.Pipe(func(ctx context.Context) do { <-ctx.Done(); return nil })
			actor.Watch(ctx, service, func(actor.Down) do { return nil })
			if i%3 == 0 {
				return errTest
			}
			return parent.Tell(ctx, func(*actor.Context[do]) error { return nil })
		})
		if err := sys.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := sys.Stats().Actors; n != 0 {
			t.Fatalf("system %d: %d actors are left", i, n)
		}
	}
}
