package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

func nothing(*actor.Context[do]) error { return nil }

// Req A2: an overflow policy holds exactly at a small capacity.
func TestOverflow(t *testing.T) {
	t.Parallel()
	for _, policy := range []actor.Overflow{actor.Block, actor.Refuse, actor.DropOldest} {
		for _, byPriority := range []bool{false, true} {
			t.Run(fmt.Sprint(policy, byPriority), func(t *testing.T) {
				t.Parallel()
				dead := &letters{}
				actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
					log, gate := &journal{}, make(chan struct{})
					spec := actor.Spec[int]{
						Mailbox: actor.Mailbox{Capacity: 2, Overflow: policy},
						New: func() actor.Behavior[int] {
							return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
								if n == 0 {
									<-gate
								}
								log.add("%d", n)
								return nil
							})
						},
					}
					if byPriority {
						spec.Priority = func(int) int { return 1 }
					}
					ref := spawn(t, sys, spec)
					tell(t, ref, 0)
					synctest.Wait()
					tell(t, ref, 1)
					tell(t, ref, 2)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err := ref.Tell(ctx, 3)
					close(gate)
					synctest.Wait()
					switch policy {
					case actor.Block:
						if fault.CodeOf(err) != fault.DeadlineExceeded {
							t.Error(err)
						}
						wantJournal(t, log, "0", "1", "2")
					case actor.Refuse:
						if !errors.Is(err, actor.ErrMailboxFull) {
							t.Error(err)
						}
						wantJournal(t, log, "0", "1", "2")
					case actor.DropOldest:
						if all := dead.take(); err != nil || len(all) != 1 || all[0].Message != 1 || all[0].Reason != actor.ErrDropped {
							t.Error(err, all)
						}
						wantJournal(t, log, "0", "2", "3")
					}
					if n := len(dead.take()); n != 0 {
						t.Errorf("%d dead letters", n)
					}
				})
			})
		}
	}
}

// Req A3: urgent messages first, equals in order; a Priority that panics harms
// nobody.
func TestPriority(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log, gate := &journal{}, make(chan struct{})
		ref := spawn(t, sys, actor.Spec[int]{
			Priority: func(n int) int {
				if n == 99 {
					panic("priority")
				}
				return n / 10
			},
			New: func() actor.Behavior[int] {
				return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
					<-gate
					log.add("%d", n)
					return nil
				})
			},
		})
		tell(t, ref, 0)
		synctest.Wait()
		for _, n := range []int{99, 31, 12, 30, 11, 21, 10} {
			tell(t, ref, n)
		}
		close(gate)
		synctest.Wait()
		wantJournal(t, log, "0", "12", "11", "10", "21", "31", "30", "99")
	})
}

// Req A2: a death notice comes once, after all that the actor has sent, whether
// it was asked for before the end or after; not after it was taken back.
func TestWatch(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log := &journal{}
		watcher := spawnDoer(t, sys, actor.Spec[do]{Name: "watcher"})
		note := func(d actor.Down) do {
			return func(*actor.Context[do]) error { log.add("%s %v %v", d.Actor.Path, d.Reason, d.Abnormal()); return nil }
		}
		target := spawnDoer(t, sys, actor.Spec[do]{Name: "a", Restart: actor.Temporary})
		var cancel func()
		call(t, watcher, func(ctx *actor.Context[do]) error {
			actor.Watch(ctx, target, note)
			cancel = actor.Watch(ctx, target, note)
			return nil
		})
		cancel()
		tell(t, target, func(ctx *actor.Context[do]) error {
			for i := range 3 {
				if err := watcher.Tell(ctx, func(*actor.Context[do]) error { log.add("last words %d", i); return nil }); err != nil {
					return err
				}
			}
			return errTest
		})
		synctest.Wait()
		wantJournal(t, log, "last words 0", "last words 1", "last words 2", "/a test failure true")
		call(t, watcher, func(ctx *actor.Context[do]) error {
			actor.Watch(ctx, target, note)
			actor.Watch(ctx, actor.Ref[do]{}, note)
			actor.Watch(ctx, target, func(actor.Down) do { panic("notice") })
			return nil
		})
		synctest.Wait()
		wantJournal(t, log, "/a test failure true", " "+actor.ErrNoActor.Error()+" true")

		// A restart is no end, of neither side.
		again := spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		call(t, watcher, func(ctx *actor.Context[do]) error { actor.Watch(ctx, again, note); return nil })
		tell(t, again, failing)
		tell(t, watcher, failing)
		sleep(time.Second)
		wantJournal(t, log)
		if err := again.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantJournal(t, log, "/b <nil> false")
	})
}

// A watcher's end takes its watches back: what is watched does not grow.
func TestWatchersLeaveNothing(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	target := spawnDoer(t, sys, actor.Spec[do]{Name: "target"})
	watchers := func() (n int) {
		return actor.WatchersOf(target)
	}
	for range 10_000 {
		w := spawnDoer(t, sys, actor.Spec[do]{})
		call(t, w, func(ctx *actor.Context[do]) error {
			actor.Watch(ctx, target, func(actor.Down) do { return nothing })
			return nil
		})
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := watchers(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
	w := spawnDoer(t, sys, actor.Spec[do]{})
	for range 1000 { // nor does the watcher
		k := spawnDoer(t, sys, actor.Spec[do]{})
		call(t, w, func(ctx *actor.Context[do]) error {
			actor.Watch(ctx, k, func(actor.Down) do { return nothing })
			return nil
		})
		if err := k.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := actor.WatchesOf(w); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// Req A2: links break with an abnormal end only.
func TestLinks(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard(), Supervision: actor.Supervision{Decide: func(_ actor.Address, err error) actor.Directive {
		if err == errTest || errors.As(err, new(*actor.LinkError)) {
			return actor.StopChild
		}
		return actor.RestartChild
	}}}, func(t *testing.T, sys *actor.System) {
		pair := func(unlink bool) (a, b actor.Ref[do]) {
			a, b = spawnDoer(t, sys, actor.Spec[do]{}), spawnDoer(t, sys, actor.Spec[do]{})
			call(t, a, func(ctx *actor.Context[do]) error {
				err := actor.Link(ctx, b)
				if unlink {
					actor.Unlink(ctx, b)
				}
				return err
			})
			return a, b
		}
		alive := func(r actor.Ref[do]) bool {
			synctest.Wait()
			select {
			case <-r.Done():
				return false
			default:
				return true
			}
		}
		a, b := pair(false)
		tell(t, b, failing)
		d := actortest.ExpectDown(t, sys, a)
		var link *actor.LinkError
		if !errors.As(d.Reason, &link) || link.Peer != b.Address() || !errors.Is(d.Reason, errTest) || fault.CodeOf(d.Reason) != fault.Unavailable {
			t.Errorf("ended with %v", d.Reason)
		}
		a, b = pair(false)
		tell(t, a, failing) // both ways
		if alive(b) {
			t.Error("the link holds one way only")
		}
		a, b = pair(false)
		tell(t, b, func(*actor.Context[do]) error { return errors.New("restarts") })
		tell(t, b, func(*actor.Context[do]) error { return actor.ErrStop })
		if !alive(a) || alive(b) {
			t.Error("a restart or a normal end broke a link")
		}
		a, b = pair(true)
		tell(t, b, failing)
		if !alive(a) || alive(b) {
			t.Error("a link that was taken back broke")
		}
		call(t, a, func(ctx *actor.Context[do]) error {
			if err := actor.Link(ctx, b); !errors.As(err, &link) {
				t.Errorf("link to one that has failed: %v", err)
			}
			if err := actor.Link(ctx, ctx.Self()); err != nil {
				t.Error(err)
			}
			return nil
		})
	})
}

// Req A2: a timer that is cancelled in its actor never fires, even if its message
// waits already; a restart and the end cancel; Every skips.
func TestTimers(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log := &journal{}
		note := func(what string) do {
			return func(*actor.Context[do]) error { log.add("%s", what); return nil }
		}
		ref := spawnDoer(t, sys, actor.Spec[do]{})
		tell(t, ref, func(ctx *actor.Context[do]) error {
			once, never := ctx.After(time.Millisecond, note("once")), ctx.After(time.Second, note("cancelled"))
			every := ctx.Every(time.Second, note("every"))
			busy := time.NewTimer(3500 * time.Millisecond)
			<-busy.C // all are in the mailbox now
			if !never.Cancel() || never.Cancel() || (actor.Timer{}).Cancel() {
				t.Error("what Cancel reports")
			}
			ctx.After(0, func(*actor.Context[do]) error {
				if once.Cancel() {
					t.Error("a timer that has fired was due")
				}
				return nil
			})
			ctx.After(2*time.Second, func(*actor.Context[do]) error { every.Cancel(); return nil })
			return nil
		})
		sleep(time.Minute)
		// Every comes at 3.5 s for those it missed, then at 4 s and 5 s.
		wantJournal(t, log, "once", "every", "every", "every")

		tell(t, ref, func(ctx *actor.Context[do]) error {
			ctx.After(time.Second, note("after a restart"))
			ctx.Every(time.Second, note("after a restart"))
			return errTest
		})
		sleep(time.Minute)
		call(t, ref, func(ctx *actor.Context[do]) error { ctx.Every(time.Second, note("after the end")); return nil })
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleep(time.Minute)
		wantJournal(t, log)
	})
}

// Req A2: the stash keeps order, has a bound, and survives a restart.
func TestStash(t *testing.T) {
	t.Parallel()
	for _, byPriority := range []bool{false, true} {
		for _, how := range []string{"unstash", "restart"} {
			t.Run(fmt.Sprint(how, byPriority), func(t *testing.T) {
				t.Parallel()
				dead := &letters{}
				actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
					log := &journal{}
					open := false
					var spec actor.Spec[do]
					if byPriority {
						spec.Priority = func(do) int { return 0 }
					}
					ref := spawnDoer(t, sys, spec)
					later := func(what string) do {
						return func(ctx *actor.Context[do]) error {
							if !open {
								if err := ctx.Stash(); err != nil {
									return err
								}
								return ctx.Stash() // twice is once
							}
							log.add("%s", what)
							return nil
						}
					}
					for i := range 5 {
						tell(t, ref, later(fmt.Sprint(i)))
					}
					got := make(chan error, 1)
					go func() {
						_, err := actor.Ask(context.Background(), ref, func(r actor.Reply[bool]) do {
							return func(ctx *actor.Context[do]) error {
								if !open {
									return ctx.Stash()
								}
								r.Send(true)
								return nil
							}
						})
						got <- err
					}()
					call(t, ref, func(ctx *actor.Context[do]) error { ctx.After(time.Second, later("timer")); return nil })
					sleep(2 * time.Second)
					gate := make(chan struct{})
					tell(t, ref, func(ctx *actor.Context[do]) error {
						<-gate
						open = true
						if how == "restart" {
							return errTest
						}
						ctx.UnstashAll()
						log.add("opened")
						return nil
					})
					tell(t, ref, func(*actor.Context[do]) error { log.add("behind"); return nil })
					close(gate)
					synctest.Wait()
					want := []string{"0", "1", "2", "3", "4", "timer", "behind"}
					if how == "unstash" {
						want = append([]string{"opened"}, want...)
					}
					wantJournal(t, log, want...)
					if err := <-got; err != nil {
						t.Errorf("the ask: %v", err)
					}
				})
			})
		}
	}
}

// A message that was stashed and fails all the same has one fate.
func TestStashAndFail(t *testing.T) {
	t.Parallel()
	for attempts := 1; attempts <= 2; attempts++ {
		dead := &letters{}
		actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks(), Supervision: never()}, func(t *testing.T, sys *actor.System) {
			handled := 0
			ref := spawnDoer(t, sys, actor.Spec[do]{Attempts: attempts, Mailbox: actor.Mailbox{Capacity: 2}})
			tell(t, ref, func(ctx *actor.Context[do]) error {
				handled++
				if err := ctx.Stash(); err != nil {
					t.Error(err)
				}
				return errTest
			})
			call(t, ref, func(ctx *actor.Context[do]) error { ctx.UnstashAll(); return nil })
			synctest.Wait()
			if n := len(dead.take()); handled != attempts || n != 1 {
				t.Errorf("handled %d times, %d dead letters", handled, n)
			}
			for range 3 {
				tell(t, ref, func(ctx *actor.Context[do]) error {
					if err := ctx.Stash(); err != nil {
						if !errors.Is(err, actor.ErrMailboxFull) {
							t.Error(err)
						}
						handled = -1
					}
					return nil
				})
				synctest.Wait()
			}
			if handled != -1 {
				t.Error("the stash has no bound")
			}
			if err := ref.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(dead.take()); n != 2 {
				t.Errorf("%d dead letters of the stash", n)
			}
		})
	}
}

// Req A2: behaviours lie on top of each other; a restart takes them away.
func TestBecome(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log := &journal{}
		ref := spawnDoer(t, sys, actor.Spec[do]{})
		loud := actor.BehaviorFunc[do](func(ctx *actor.Context[do], f do) error { log.add("loud"); return f(ctx) })
		become := func(ctx *actor.Context[do]) error { return ctx.Become(loud) }
		tell(t, ref, become)
		tell(t, ref, nothing)
		tell(t, ref, func(ctx *actor.Context[do]) error {
			if !ctx.Unbecome() || ctx.Unbecome() || ctx.Become(nil) == nil {
				t.Error("what Unbecome and Become report")
			}
			return nil
		})
		call(t, ref, nothing)
		wantJournal(t, log, "loud", "loud")
		call(t, ref, func(ctx *actor.Context[do]) error {
			for range 64 {
				if err := ctx.Become(loud); err != nil {
					t.Error(err)
				}
			}
			if err := ctx.Become(loud); fault.CodeOf(err) != fault.ResourceExhausted {
				t.Error(err)
			}
			return nil
		})
		tell(t, ref, failing)
		call(t, ref, nothing)
		wantJournal(t, log, "loud")
	})
}

// A panic in a pipe is the actor's failure; its end loses nothing in silence.
func TestPipe(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
		call(t, ref, func(ctx *actor.Context[do]) error {
			ctx.Pipe(func(context.Context) do { panic("pipe") })
			return nil
		})
		synctest.Wait()
		if i, _ := infoOf(sys, "/a"); i.Restarts != 1 || !strings.Contains(i.LastError, "panic: pipe") {
			t.Errorf("%+v", i)
		}
		call(t, ref, func(ctx *actor.Context[do]) error {
			ctx.Pipe(func(ctx context.Context) do { <-ctx.Done(); return nothing })
			return nil
		})
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if all := dead.take(); len(all) != 1 || !errors.Is(all[0].Reason, actor.ErrStopped) {
			t.Errorf("dead letters: %v", all)
		}
	})
}

// Req A2: an adapter is a reference like any other.
func TestAdapter(t *testing.T) {
	t.Parallel()
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		p := actortest.NewProbe[string](t, sys)
		a := actor.Adapt(p.Ref(), func(n int) string { return fmt.Sprint("n=", n) })
		b := actor.Adapt(a, func(f float64) int { return int(f) })
		tell(t, a, 1)
		tell(t, b, 2.5)
		if err := b.TryTell(3.5); err != nil {
			t.Error(err)
		}
		p.Expect("n=1", "n=2", "n=3")
		if a.Address() != p.Ref().Address() {
			t.Error(a.Address())
		}
		if err := b.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if d := actortest.ExpectDown(t, sys, b); d.Actor != a.Address() {
			t.Error(d)
		}
	})
}

// Req A2: lookup by path, of anonymous ones too; another type is an error.
func TestLookup(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	p := spawnDoer(t, sys, actor.Spec[do]{Name: "p"})
	anonymous := spawnChild(t, p, actor.Spec[do]{})
	for _, want := range []actor.Ref[do]{p, anonymous} {
		if got, err := actor.Lookup[do](sys, want.Address().Path); got != want || err != nil {
			t.Errorf("%v: %v, %v", want, got, err)
		}
	}
	if _, err := actor.Lookup[int](sys, "/p"); fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "actor_test.do") {
		t.Error(err)
	}
	for _, path := range []string{"", "/", "/q", "/p/#99999", "/p/q"} {
		if _, err := actor.Lookup[do](sys, path); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// Req A2: an event goes to those who want its type, as long as they live; one
// whose mailbox is full loses it, which is counted.
func TestEvents(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		p := actortest.NewProbe[string](t, sys)
		cancel := actor.Subscribe(sys, p.Ref(), func(n int) string { return fmt.Sprint(n) })
		actor.Subscribe(sys, p.Ref(), func(e actor.Restarted) string { return fmt.Sprint("restarted ", e.Actor.Path, e.Restarts) })
		actor.Subscribe(sys, p.Ref(), func(e actor.Stopped) string { return fmt.Sprint("stopped ", e.Actor.Path) })
		actor.Subscribe(sys, p.Ref(), func(e actor.Failure) string { return fmt.Sprint("failure ", e.Actor.Path, " ", e.Directive) })
		actor.Subscribe(sys, p.Ref(), func(e actor.DeadLetter) string { return fmt.Sprint("dead ", e.Target.Path) })
		actor.Publish(sys, 1)
		actor.Publish(sys, "nobody wants this")
		p.Expect("1")
		cancel()
		cancel()
		actor.Publish(sys, 2)
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
		tell(t, ref, failing)
		call(t, ref, nothing)
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p.Expect("dead /a", "failure /a restart", "restarted /a1", "stopped /a")

		full := spawnDoer(t, sys, actor.Spec[do]{Name: "full", Mailbox: actor.Mailbox{Capacity: 1}})
		gate := make(chan struct{})
		tell(t, full, func(*actor.Context[do]) error { <-gate; return nil })
		synctest.Wait()
		actor.Subscribe(sys, full, func(uint) do { return nothing })
		actor.Subscribe(sys, full, func(uint8) do { panic("adapt") })
		before := sys.Stats().DeadLetters
		for i := range uint(3) {
			actor.Publish(sys, i)
		}
		actor.Publish(sys, uint8(1))
		if n := sys.Stats().DeadLetters - before; n != 2 {
			t.Errorf("%d events lost, want 2", n)
		}
		close(gate)
		if err := full.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := actor.Subscriptions(sys); n != 4 {
			t.Errorf("%d subscriptions, want 4", n)
		}

		// Dead letters of those who listen to dead letters feed nobody.
		deaf := spawnDoer(t, sys, actor.Spec[do]{Name: "deaf", Supervision: never()})
		actor.Subscribe(sys, deaf, func(actor.DeadLetter) do { return failing })
		if err := sys.Isolate("/deaf"); err != nil {
			t.Fatal(err)
		}
		tell(t, spawnDoer(t, sys, actor.Spec[do]{Name: "b", Restart: actor.Temporary}), failing)
		synctest.Wait()
	})
}

// Req A2: an idle actor is passivated; a message that comes at the same time is
// handled or refused, never lost.
func TestPassivation(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		begin := time.Now()
		ref := spawnDoer(t, sys, actor.Spec[do]{IdleTimeout: time.Minute})
		for range 5 {
			sleep(40 * time.Second)
			call(t, ref, nothing)
		}
		<-ref.Done()
		if took := time.Since(begin); took < 260*time.Second || took > 320*time.Second {
			t.Errorf("passivated after %v", took)
		}
		d := actortest.ExpectDown(t, sys, ref)
		if !errors.Is(d.Reason, actor.ErrPassivated) || d.Abnormal() {
			t.Errorf("%v", d.Reason)
		}
	})
	dead := &letters{}
	sys := newSystem(t, actor.Options{Hooks: dead.hooks()})
	for range 60 {
		handled := make(chan struct{}, 1)
		ref := spawnDoer(t, sys, actor.Spec[do]{IdleTimeout: 50 * time.Microsecond})
		for {
			err := ref.Tell(t.Context(), func(*actor.Context[do]) error { handled <- struct{}{}; return nil })
			if err != nil {
				if !errors.Is(err, actor.ErrStopped) {
					t.Fatal(err)
				}
				break
			}
			<-handled
		}
	}
	if all := dead.take(); len(all) != 0 {
		t.Errorf("dead letters: %v", all[0])
	}
}

// Req A7: a service is restarted after an error and a panic, not after a normal
// end; a stop waits for it; one that ignores its context is left behind.
func TestService(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		if _, err := actor.SpawnService(sys, actor.ServiceSpec{}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Error(err)
		}
		if _, err := actor.SpawnService(sys, actor.ServiceSpec{New: func() actor.Service { return nil }}); err == nil || !strings.Contains(err.Error(), "New returned nil") {
			t.Error(err)
		}
		log := &journal{}
		var runs atomic.Int32
		ref, err := actor.SpawnService(sys, actor.ServiceSpec{Name: "s", New: func() actor.Service {
			return actor.ServiceFunc(func(ctx context.Context) error {
				switch runs.Add(1) {
				case 1:
					return errTest
				case 2:
					panic("serve")
				}
				<-ctx.Done()
				sleep(time.Second)
				log.add("served")
				return ctx.Err()
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		sleep(time.Second)
		if i, _ := infoOf(sys, "/s"); runs.Load() != 3 || i.Restarts != 2 || i.Type != "service" {
			t.Errorf("%d runs, %+v", runs.Load(), i)
		}
		if err := ref.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		wantJournal(t, log, "served")

		for _, restart := range []actor.Restart{actor.Transient, actor.Permanent} {
			sleep(actor.DefaultWindow)
			runs.Store(0)
			ref, err = actor.SpawnService(sys, actor.ServiceSpec{Restart: restart, New: func() actor.Service {
				return actor.ServiceFunc(func(context.Context) error { runs.Add(1); return nil })
			}})
			if err != nil {
				t.Fatal(err)
			}
			<-ref.Done()
			if want := map[actor.Restart]int32{actor.Transient: 1, actor.Permanent: 6}[restart]; runs.Load() != want {
				t.Errorf("ran %d times, want %d", runs.Load(), want)
			}
		}

		gate := make(chan struct{})
		ref, err = actor.SpawnService(sys, actor.ServiceSpec{StopTimeout: time.Second, New: func() actor.Service {
			return actor.ServiceFunc(func(context.Context) error { <-gate; return nil })
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := ref.Stop(t.Context()); !errors.Is(err, actor.ErrAbandoned) || sys.Stats().Runaways != 1 {
			t.Error(err)
		}
		close(gate)
		synctest.Wait()
		if n := sys.Stats().Runaways; n != 0 {
			t.Errorf("%d runaways", n)
		}
	})
}

// Req A10: an isolated subtree works off what it has and takes nothing new.
func TestIsolation(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		p := spawnDoer(t, sys, actor.Spec[do]{Name: "p"})
		c := spawnChild(t, p, actor.Spec[do]{Name: "c"})
		gate, handled := make(chan struct{}), make(chan struct{}, 1)
		tell(t, c, func(*actor.Context[do]) error { <-gate; return nil })
		tell(t, c, func(*actor.Context[do]) error { handled <- struct{}{}; return nil })
		if err := sys.Isolate("/p"); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []actor.Ref[do]{p, c} {
			if err := ref.TryTell(nothing); !errors.Is(err, actor.ErrIsolated) || fault.CodeOf(err) != fault.Unavailable {
				t.Error(err)
			}
			if _, err := actor.Ask(context.Background(), ref, answer(1)); !errors.Is(err, actor.ErrIsolated) {
				t.Error(err)
			}
		}
		if i, _ := infoOf(sys, "/p"); i.State != actor.StateIsolated {
			t.Error(i.State)
		}
		close(gate)
		<-handled
		if err := sys.Release("/p"); err != nil {
			t.Fatal(err)
		}
		call(t, c, nothing)
		if fault.CodeOf(sys.Isolate("/q")) != fault.NotFound || fault.CodeOf(sys.Release("/q")) != fault.NotFound {
			t.Error("of an actor that is not there")
		}
	})
}

// Req F13: the records of a handler name the actor and the trace.
func TestLogHandler(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	plain := slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	logger := slog.New(actor.LogHandler(plain)).With("k", "v").WithGroup("")
	sys := newSystem(t, actor.Options{Logger: slog.New(plain)})
	ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a", Type: "doer"})
	ctx := actor.WithTrace(context.Background(), actor.Trace{ID: [16]byte{0xab}, Span: [8]byte{0xcd}})
	if _, err := actor.Ask(ctx, ref, func(r actor.Reply[bool]) do {
		return func(ctx *actor.Context[do]) error {
			logger.InfoContext(ctx, "by context")
			ctx.Log().Info("by the actor")
			r.Send(true)
			return nil
		}
	}); err != nil {
		t.Fatal(err)
	}
	logger.Info("outside")
	id, span := "ab"+strings.Repeat("0", 30), "cd"+strings.Repeat("0", 14)
	want := "level=INFO msg=\"by context\" k=v actor=/a actor_type=doer trace_id=" + id + " span_id=" + span + "\n" +
		"level=INFO msg=\"by the actor\" actor=/a actor_type=doer trace_id=" + id + " span_id=" + span + "\n" +
		"level=INFO msg=outside k=v\n"
	if got := buf.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A tree deeper than five levels is warned of, once.
func TestDeepTreeIsWarnedOf(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	sys := newSystem(t, actor.Options{Logger: slog.New(slog.NewTextHandler(&buf, nil))})
	ref := spawnDoer(t, sys, actor.Spec[do]{})
	for range 8 {
		ref = spawnChild(t, ref, actor.Spec[do]{})
	}
	if n := strings.Count(buf.String(), "deeper than recommended"); n != 1 {
		t.Errorf("%d warnings: %s", n, buf.String())
	}
}
