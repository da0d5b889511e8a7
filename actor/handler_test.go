package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

func nothing(*actor.Context[do]) error { return nil }

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

// A handler knows how many messages wait behind its own, those of its own batch
// included.
func TestPending(t *testing.T) {
	t.Parallel()
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		var got []int
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
		note := func(ctx *actor.Context[do]) error {
			got = append(got, ctx.Pending())
			return nil
		}
		blocked := make(chan struct{})
		tell(t, ref, func(ctx *actor.Context[do]) error {
			<-blocked
			return note(ctx)
		})
		synctest.Wait()
		for range 3 {
			tell(t, ref, note)
		}
		close(blocked)
		synctest.Wait()
		if want := []int{3, 2, 1, 0}; !slices.Equal(got, want) {
			t.Errorf("pending: %v, want %v", got, want)
		}
	})
}
