package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// Req A4: restart types and what ends an actor.
func TestRestartTypes(t *testing.T) {
	t.Parallel()
	ends := map[string]do{
		"error":   failing,
		"panic":   func(*actor.Context[do]) error { panic("boom") },
		"goexit":  func(*actor.Context[do]) error { runtime.Goexit(); return nil },
		"ErrStop": func(*actor.Context[do]) error { return actor.ErrStop },
		"Stop":    func(ctx *actor.Context[do]) error { ctx.Stop(); return nil },
	}
	for _, tt := range []struct {
		restart actor.Restart
		end     string
		lives   bool
	}{
		{actor.Transient, "error", true}, {actor.Transient, "panic", true}, {actor.Transient, "goexit", true},
		{actor.Transient, "ErrStop", false}, {actor.Transient, "Stop", false},
		{actor.Permanent, "error", true}, {actor.Permanent, "panic", true}, {actor.Permanent, "goexit", true},
		{actor.Permanent, "ErrStop", true}, {actor.Permanent, "Stop", true},
		{actor.Temporary, "error", false}, {actor.Temporary, "panic", false}, {actor.Temporary, "goexit", false},
		{actor.Temporary, "ErrStop", false}, {actor.Temporary, "Stop", false},
	} {
		t.Run(fmt.Sprint(tt.restart, tt.end), func(t *testing.T) {
			t.Parallel()
			actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
				made := 0
				ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a", Restart: tt.restart, New: func() actor.Behavior[do] {
					made++
					return &doer{}
				}})
				tell(t, ref, ends[tt.end])
				synctest.Wait()
				if !tt.lives {
					d := actortest.ExpectDown(t, sys, ref)
					if normal := strings.Contains(strings.ToLower(tt.end), "stop"); (d.Reason == nil) != normal || made != 1 {
						t.Errorf("ended with %v, made %d times", d.Reason, made)
					}
					return
				}
				call(t, ref, func(*actor.Context[do]) error { return nil })
				if made != 2 {
					t.Errorf("made %d times, want 2", made)
				}
			})
		})
	}
}

// Req A4: directives; a Decide that panics restarts.
func TestDirectives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		decide func(actor.Address, error) actor.Directive
		want   string // what becomes of the counter's state
	}{
		{"restart", func(actor.Address, error) actor.Directive { return actor.RestartChild }, "0"},
		{"resume", func(actor.Address, error) actor.Directive { return actor.ResumeChild }, "1"},
		{"stop", func(actor.Address, error) actor.Directive { return actor.StopChild }, "stopped"},
		{"escalate", func(actor.Address, error) actor.Directive { return actor.Escalate }, "stopped"},
		{"panic", func(actor.Address, error) actor.Directive { panic("decide") }, "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{Decide: func(a actor.Address, err error) actor.Directive {
				if a.Path != "/a" || !errors.Is(err, errTest) {
					t.Errorf("asked about %v, %v", a, err)
				}
				return tt.decide(a, err)
			}}}
			actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
				var n *int
				ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a", New: func() actor.Behavior[do] { n = new(int); return &doer{} }})
				call(t, ref, func(*actor.Context[do]) error { *n++; return nil })
				tell(t, ref, failing)
				synctest.Wait()
				got := "stopped"
				if _, ok := infoOf(sys, "/a"); ok {
					call(t, ref, func(*actor.Context[do]) error { got = fmt.Sprint(*n); return nil })
				}
				if got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// Req A5: the first restart is immediate, the next wait twice as long each time.
// Req A6: messages wait meanwhile and the new behaviour handles them.
func TestBackoff(t *testing.T) {
	t.Parallel()
	opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{
		Backoff: actor.Backoff{Initial: 100 * time.Millisecond, Max: 300 * time.Millisecond, Jitter: -1},
	}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		var at []time.Duration
		begin := time.Now()
		ref := spawnDoer(t, sys, actor.Spec[do]{New: func() actor.Behavior[do] {
			at = append(at, time.Since(begin).Round(time.Millisecond))
			return &doer{}
		}})
		for range 5 {
			tell(t, ref, failing)
			call(t, ref, func(*actor.Context[do]) error { return nil })
		}
		ms := time.Millisecond
		if got, want := fmt.Sprint(at), fmt.Sprint([]time.Duration{0, 0, 100 * ms, 300 * ms, 600 * ms, 900 * ms}); got != want {
			t.Errorf("made at %v, want %v", got, want)
		}
	})
}

// Req A5: five restarts in ten seconds, the sixth failure is one too many; the
// window slides.
func TestIntensity(t *testing.T) {
	t.Parallel()
	opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{Backoff: actor.Backoff{Initial: -1}}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
		for range 30 { // one each 2.5 s: four within any window
			tell(t, ref, failing)
			sleep(2500 * time.Millisecond)
		}
		sleep(11 * time.Second)
		for range 5 {
			tell(t, ref, failing)
			synctest.Wait()
		}
		call(t, ref, func(*actor.Context[do]) error { return nil })
		tell(t, ref, failing)
		d := actortest.ExpectDown(t, sys, ref)
		var intensity *actor.IntensityError
		if !errors.As(d.Reason, &intensity) || intensity.Restarts != 6 || !errors.Is(d.Reason, errTest) || intensity.Supervisor.Path != "/" {
			t.Errorf("ended with %v", d.Reason)
		}
	})
}

// Req A5: a supervisor whose children fail too often fails itself, up to the top.
func TestEscalationChain(t *testing.T) {
	t.Parallel()
	log := &journal{}
	opts := actor.Options{
		Logger: discard(), Supervision: actor.Supervision{MaxRestarts: -1},
		Hooks: []actor.Hooks{{Stopped: func(a actor.Address, reason error) { log.add("%s %v", a.Path, reason != nil) }}},
	}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		strict := actor.Supervision{MaxRestarts: -1}
		top := spawnDoer(t, sys, actor.Spec[do]{Name: "top", Supervision: strict})
		middle := spawnChild(t, top, actor.Spec[do]{Name: "middle", Supervision: strict})
		leaf := spawnChild(t, middle, actor.Spec[do]{Name: "leaf"})
		bystander := spawnChild(t, middle, actor.Spec[do]{Name: "bystander"})
		tell(t, leaf, failing)
		for _, ref := range []actor.Ref[do]{leaf, bystander, middle, top} {
			<-ref.Done()
		}
		d := actortest.ExpectDown(t, sys, top)
		var intensity *actor.IntensityError
		if !errors.As(d.Reason, &intensity) || intensity.Child.Path != "/top" || !errors.Is(d.Reason, errTest) {
			t.Errorf("the top ended with %v", d.Reason)
		}
		got := strings.Join(log.take()[:4], ", ")
		if want := "/top/middle/leaf true, /top/middle/bystander false, /top/middle true, /top true"; got != want {
			t.Errorf("ended: %s, want %s", got, want)
		}
	})
}

// Req A5: a restarted supervisor begins again without children.
func TestEscalationRestartsTheSupervisor(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		starts := 0
		sup := spawnDoer(t, sys, actor.Spec[do]{
			Name: "sup", Supervision: actor.Supervision{MaxRestarts: -1},
			New: func() actor.Behavior[do] {
				return &doer{start: func(ctx *actor.Context[do]) error {
					starts++
					_, err := actor.Spawn(ctx, actor.Spec[do]{Name: "child", New: newDoer})
					return err
				}}
			},
		})
		child, err := actor.Lookup[do](sys, "/sup/child")
		if err != nil {
			t.Fatal(err)
		}
		tell(t, child, failing)
		<-child.Done()
		call(t, sup, func(*actor.Context[do]) error { return nil })
		if again, err := actor.Lookup[do](sys, "/sup/child"); err != nil || again == child || starts != 2 {
			t.Errorf("child %v, %v after %d starts", again, err, starts)
		}
	})
}

// Req A6, F7: a panic in New, Start and Stop is an error with a stack.
func TestPanicInNewStartStop(t *testing.T) {
	t.Parallel()
	var failures []error
	opts := actor.Options{
		Logger: discard(), Supervision: actor.Supervision{MaxRestarts: 3, Backoff: actor.Backoff{Initial: -1}},
		Hooks: []actor.Hooks{{Failed: func(_ actor.Address, err error, _ actor.Directive) { failures = append(failures, err) }}},
	}
	boom := func(*actor.Context[do]) error { panic("boom") }
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		for name, create := range map[string]func() actor.Behavior[do]{
			"new":   func() actor.Behavior[do] { panic("boom") },
			"nil":   func() actor.Behavior[do] { return nil },
			"start": func() actor.Behavior[do] { return &doer{start: boom} },
			"child": func() actor.Behavior[do] {
				return &doer{start: func(ctx *actor.Context[do]) error {
					spawnDoer(t, ctx, actor.Spec[do]{Name: "c"})
					panic("boom")
				}}
			},
		} {
			_, err := actor.Spawn(sys, actor.Spec[do]{Name: "x", New: create})
			var p *actor.PanicError
			if name == "nil" {
				if err == nil || !strings.Contains(err.Error(), "returned nil") {
					t.Errorf("%s: %v", name, err)
				}
			} else if !errors.As(err, &p) || p.Value != "boom" || !strings.Contains(p.Stack(), "restart_test.go") {
				t.Errorf("%s: %v", name, err)
			}
			if len(sys.Tree().Children) != 0 {
				t.Errorf("%s: %+v", name, sys.Tree())
			}
		}
		if len(failures) != 0 {
			t.Errorf("failures of actors that never were: %v", failures)
		}

		made := 0
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "x", New: func() actor.Behavior[do] {
			if made++; made == 2 {
				panic("boom in New")
			}
			d := &doer{stop: func(*actor.Context[do]) error { panic("boom in Stop") }}
			if made == 3 {
				d.start = func(*actor.Context[do]) error { panic("boom in Start") }
			}
			return d
		}})
		tell(t, ref, failing)
		call(t, ref, func(*actor.Context[do]) error { return nil })
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "[test failure panic: boom in Stop panic: boom in New panic: boom in Start panic: boom in Stop]"
		if made != 4 || fmt.Sprint(failures) != want {
			t.Errorf("made %d times; failures %v, want %v", made, failures, want)
		}
	})
}

// Req A5: a Start that fails each time at a restart uses the intensity up, even
// where Decide says resume, which nothing can.
func TestStartFailsAtRestart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		directive actor.Directive
		started   func(n int) error
	}{
		{"error", actor.RestartChild, func(int) error { return errTest }},
		{"resume", actor.ResumeChild, func(int) error { return errTest }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{
				MaxRestarts: 20_000, Backoff: actor.Backoff{Initial: -1},
				Decide: func(_ actor.Address, err error) actor.Directive {
					if err == errTest {
						return tt.directive
					}
					return actor.RestartChild
				},
			}}
			actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
				made := 0
				ref := spawnDoer(t, sys, actor.Spec[do]{New: func() actor.Behavior[do] {
					made++
					return &doer{start: func(*actor.Context[do]) error {
						if made > 1 {
							return tt.started(made)
						}
						return nil
					}}
				}})
				tell(t, ref, func(*actor.Context[do]) error { return errors.New("first") })
				d := actortest.ExpectDown(t, sys, ref)
				if !errors.Is(d.Reason, errTest) || made != 20_001 {
					t.Errorf("made %d times, ended with %v", made, d.Reason)
				}
			})
		})
	}
}

// Req A6: what is sent to a restarting actor waits for the new behaviour.
func TestSendToARestartingActor(t *testing.T) {
	t.Parallel()
	opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{Backoff: actor.Backoff{Initial: time.Minute, Max: time.Minute, Jitter: -1}}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		generation := 0
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a", New: func() actor.Behavior[do] { generation++; return &doer{} }})
		log := &journal{}
		tell(t, ref, failing)
		tell(t, ref, failing) // the second restart waits a minute
		synctest.Wait()
		if i, _ := infoOf(sys, "/a"); i.State != actor.StateRestarting {
			t.Fatalf("state %v", i.State)
		}
		for i := range 100 {
			tell(t, ref, func(*actor.Context[do]) error { log.add("%d", i); return nil })
		}
		begin := time.Now()
		got, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) do {
			return func(*actor.Context[do]) error { r.Send(generation); return nil }
		})
		if got != 3 || err != nil || time.Since(begin) != time.Minute {
			t.Errorf("got %d, %v after %v", got, err, time.Since(begin))
		}
		if lines := log.take(); len(lines) != 100 || lines[0] != "0" || lines[99] != "99" {
			t.Errorf("handled %q", lines)
		}
	})
}

// Req A6: a message that fails its actor is tried Attempts times, then set aside;
// those behind it are handled, in order.
func TestPoisonMessage(t *testing.T) {
	t.Parallel()
	for _, mailbox := range []string{"plain", "drop oldest", "priority"} {
		for attempts := 1; attempts <= 3; attempts++ {
			t.Run(fmt.Sprint(mailbox, attempts), func(t *testing.T) {
				t.Parallel()
				dead := &letters{}
				opts := actor.Options{Logger: discard(), Hooks: dead.hooks(), Supervision: never()}
				actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
					log := &journal{}
					spec := actor.Spec[int]{Attempts: attempts, New: func() actor.Behavior[int] {
						return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
							log.add("%d", n)
							if n == 2 {
								return errTest
							}
							return nil
						})
					}}
					switch mailbox {
					case "drop oldest":
						spec.Mailbox.Overflow = actor.DropOldest
					case "priority":
						spec.Priority = func(int) int { return 0 }
					}
					ref := spawn(t, sys, spec)
					for n := range 5 {
						tell(t, ref, n)
					}
					synctest.Wait()
					want := []string{"0", "1"}
					for range attempts {
						want = append(want, "2")
					}
					wantJournal(t, log, append(want, "3", "4")...)
					if all := dead.take(); len(all) != 1 || all[0].Message != 2 || all[0].Reason != errTest {
						t.Errorf("dead letters %v", all)
					}
				})
			})
		}
	}
}

// Req A6: messages taken in one batch with a poisoned one are not lost when the
// actor is stopped before it could try again.
func TestStopBeforeARepeatLosesNothing(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	opts := actor.Options{Logger: discard(), Hooks: dead.hooks(), Supervision: actor.Supervision{
		Backoff: actor.Backoff{Initial: time.Hour, Max: time.Hour},
	}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		gate := make(chan struct{})
		ref := spawn(t, sys, actor.Spec[int]{Attempts: 5, New: func() actor.Behavior[int] {
			return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
				if n == 0 {
					<-gate
					return nil
				}
				return errTest
			})
		}})
		for n := range 10 {
			tell(t, ref, n)
		}
		close(gate)
		synctest.Wait()
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := dead.take(); len(all) != 9 {
			t.Errorf("%d dead letters, want 9: %v", len(all), all)
		}
	})
}

// Req A8: a stop during a backoff, during Start, and while children end.
func TestStopDuringRestart(t *testing.T) {
	t.Parallel()
	hour := actor.Supervision{Backoff: actor.Backoff{Initial: time.Hour, Max: time.Hour}}
	t.Run("backoff", func(t *testing.T) {
		t.Parallel()
		actortest.RunWith(t, actor.Options{Logger: discard(), Supervision: hour}, func(t *testing.T, sys *actor.System) {
			ref := spawnDoer(t, sys, actor.Spec[do]{})
			tell(t, ref, failing)
			tell(t, ref, failing)
			tell(t, ref, failing)
			synctest.Wait()
			begin := time.Now()
			if err := ref.Stop(t.Context()); err != nil || time.Since(begin) > time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		})
	})
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
			made, handled := 0, false
			gate := make(chan struct{})
			ref := spawnDoer(t, sys, actor.Spec[do]{New: func() actor.Behavior[do] {
				return &doer{start: func(*actor.Context[do]) error {
					if made++; made == 2 {
						<-gate
					}
					return nil
				}}
			}})
			tell(t, ref, failing)
			synctest.Wait()
			tell(t, ref, func(*actor.Context[do]) error { handled = true; return nil })
			stopped := make(chan error)
			go func() { stopped <- ref.Stop(context.Background()) }()
			synctest.Wait()
			close(gate)
			if err := <-stopped; err != nil || !handled {
				t.Errorf("%v; handled: %v", err, handled)
			}
		})
	})
	t.Run("children", func(t *testing.T) {
		t.Parallel()
		actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
			ref := spawnDoer(t, sys, actor.Spec[do]{Name: "p"})
			child := spawnChild(t, ref, actor.Spec[do]{Name: "c"})
			gate, handled := make(chan struct{}), false
			tell(t, child, func(*actor.Context[do]) error { <-gate; return nil })
			tell(t, ref, failing)
			synctest.Wait()
			tell(t, ref, func(*actor.Context[do]) error { handled = true; return nil })
			stopped := make(chan error)
			go func() { stopped <- ref.Stop(context.Background()) }()
			synctest.Wait()
			close(gate)
			if err := <-stopped; err != nil || !handled {
				t.Errorf("%v; handled: %v", err, handled)
			}
		})
	})
}

// Req A8: an actor that fails while its children end still ends, after it has
// drained its mailbox with a new behaviour.
func TestFailureWhileStopping(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log := &journal{}
		made := 0
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "p", New: func() actor.Behavior[do] {
			made++
			return &doer{start: func(ctx *actor.Context[do]) error {
				log.add("start %d", made)
				spawnDoer(t, ctx, actor.Spec[do]{Name: "c"})
				return nil
			}, stop: func(*actor.Context[do]) error { log.add("stop %d", made); return nil }}
		}})
		child, err := actor.Lookup[do](sys, "/p/c")
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		tell(t, child, func(*actor.Context[do]) error { <-gate; return nil })
		stopped := make(chan error)
		begin := time.Now()
		go func() { stopped <- ref.Stop(context.Background()) }()
		synctest.Wait()
		tell(t, ref, failing)
		tell(t, ref, func(*actor.Context[do]) error { log.add("handled"); return nil })
		synctest.Wait()
		close(gate)
		if err := <-stopped; err != nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		wantJournal(t, log, "start 1", "stop 1", "start 2", "handled", "stop 2")
		if n := sys.Stats().Actors; n != 0 {
			t.Errorf("%d actors are left", n)
		}
	})
}

// A parent that fails while its children ask it must not wait for them to end,
// nor they for it to answer. Req A9: the subtree is back at once.
func TestParentFailsWhileChildrenAskIt(t *testing.T) {
	t.Parallel()
	for _, d := range []actor.Directive{actor.RestartChild, actor.StopChild} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{
				Decide: func(actor.Address, error) actor.Directive { return d },
			}}
			actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
				p := spawnDoer(t, sys, actor.Spec[do]{Name: "p", Mailbox: actor.Mailbox{Capacity: 3}})
				gate, errs := make(chan struct{}), make(chan error, 10)
				ask := func(ctx *actor.Context[do]) error {
					_, err := actor.Ask(ctx, p, func(r actor.Reply[int]) do {
						return func(*actor.Context[do]) error { r.Send(1); return nil }
					})
					errs <- err
					return nil
				}
				var kids []actor.Ref[do]
				for range 10 {
					kids = append(kids, spawnChild(t, p, actor.Spec[do]{}))
				}
				tell(t, p, func(*actor.Context[do]) error { <-gate; return errTest })
				begin := time.Now()
				for _, k := range kids[:8] {
					tell(t, k, ask) // some wait for the answer, some for room
				}
				late := make(chan struct{})
				tell(t, kids[9], func(ctx *actor.Context[do]) error { <-late; return ask(ctx) })
				synctest.Wait()
				close(gate)
				synctest.Wait()
				close(late)
				for range 9 {
					if err := <-errs; err == nil {
						t.Error("an ask of a failed parent was answered")
					}
				}
				for _, k := range kids {
					<-k.Done()
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it took %v", took)
				}
				if d == actor.RestartChild {
					call(t, p, func(*actor.Context[do]) error { return nil })
				} else {
					<-p.Done()
				}
			})
		})
	}
}

// A behaviour is stopped once if it was started, and only then; what Become put
// on top of it does not hide it.
func TestStopIsCalledOncePerStartedBehavior(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard(), Supervision: never()}, func(t *testing.T, sys *actor.System) {
		log := &journal{}
		made := 0
		ref := spawnDoer(t, sys, actor.Spec[do]{New: func() actor.Behavior[do] {
			made++
			n := made
			return &doer{
				start: func(*actor.Context[do]) error {
					log.add("start %d", n)
					if n == 2 {
						return errTest
					}
					return nil
				},
				stop: func(*actor.Context[do]) error { log.add("stop %d", n); return nil },
			}
		}})
		call(t, ref, func(ctx *actor.Context[do]) error { return ctx.Become(&doer{}) })
		tell(t, ref, failing)
		synctest.Wait()
		wantJournal(t, log, "start 1", "stop 1", "start 2", "start 3")
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantJournal(t, log, "stop 3")
	})
}

// runtime.Goexit in Start, Receive and Stop, as t.FailNow calls it, is survived.
func TestGoexit(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard(), Supervision: never()}, func(t *testing.T, sys *actor.System) {
		exit := func(*actor.Context[do]) error { runtime.Goexit(); return nil }
		spawned := make(chan struct{})
		go func() {
			defer close(spawned)
			_, _ = actor.Spawn(sys, actor.Spec[do]{Name: "x", New: func() actor.Behavior[do] { return &doer{start: exit} }})
		}()
		<-spawned
		if n := sys.Stats().Actors; n != 0 {
			t.Errorf("%d actors", n)
		}
		made := 0
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "x", New: func() actor.Behavior[do] {
			made++
			d := &doer{stop: exit}
			if made == 2 {
				d.start = exit
			}
			return d
		}})
		tell(t, ref, exit)
		call(t, ref, func(*actor.Context[do]) error { return nil })
		asker := spawnDoer(t, sys, actor.Spec[do]{Name: "asker"})
		tell(t, asker, func(ctx *actor.Context[do]) error { // handled on the asker's goroutine
			_, err := actor.Ask(ctx, ref, func(actor.Reply[int]) do { return exit })
			return err
		})
		call(t, ref, func(*actor.Context[do]) error { return nil })
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		call(t, asker, func(*actor.Context[do]) error { return nil })
	})
}
