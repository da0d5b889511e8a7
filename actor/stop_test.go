package actor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

// Req A8: leaves first, the youngest sibling first, each with its mailbox
// drained; children may still tell and ask their parent.
func TestStopOrder(t *testing.T) {
	t.Parallel()
	log := &journal{}
	node := func() actor.Behavior[do] {
		return &doer{stop: func(ctx *actor.Context[do]) error { log.add("-%s", ctx.Address().Path); return nil }}
	}
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		a := spawnDoer(t, sys, actor.Spec[do]{Name: "a", New: node})
		b := spawnChild(t, a, actor.Spec[do]{Name: "b", New: node})
		c := spawnChild(t, a, actor.Spec[do]{Name: "c", New: node})
		d := spawnChild(t, c, actor.Spec[do]{Name: "d", New: node})
		e := spawnDoer(t, sys, actor.Spec[do]{Name: "e", New: node})
		gate, handled := make(chan struct{}), false
		for _, ref := range []actor.Ref[do]{a, b, c, d, e} {
			tell(t, ref, func(*actor.Context[do]) error { <-gate; return nil })
		}
		tell(t, d, func(ctx *actor.Context[do]) error {
			if _, err := actor.Ask(ctx, a, answer(1)); err != nil {
				t.Errorf("ask of a stopping parent: %v", err)
			}
			return c.Tell(ctx, func(*actor.Context[do]) error { handled = true; return nil })
		})
		stopped := make(chan error)
		go func() { stopped <- sys.Stop(context.Background()) }()
		synctest.Wait()
		if _, err := actor.Spawn(sys, actor.Spec[do]{New: newDoer}); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("spawn in a stopping system: %v", err)
		}
		close(gate)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := e.TryTell(failing); !errors.Is(err, actor.ErrStopped) {
			t.Errorf("tell after the end: %v", err)
		}
		if got, want := strings.Join(log.take(), " "), "-/e -/a/c/d -/a/c -/a/b -/a"; got != want || !handled {
			t.Errorf("got %s, want %s; handled: %v", got, want, handled)
		}
	})
}

// Req A8: after 90 % of the StopTimeout the context ends, after all of it the
// actor is left behind. Req F8: a runaway handler is counted until it returns.
func TestStopTimeout(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
		polite := spawnDoer(t, sys, actor.Spec[do]{Name: "polite", StopTimeout: 10 * time.Second})
		deaf := spawnDoer(t, sys, actor.Spec[do]{Name: "deaf", StopTimeout: 10 * time.Second})
		begin := time.Now()
		tell(t, polite, func(ctx *actor.Context[do]) error { <-ctx.Done(); return ctx.Err() })
		synctest.Wait()
		if err := polite.Stop(t.Context()); err != nil || time.Since(begin) != 9*time.Second {
			t.Errorf("polite: %v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		gate, asked := make(chan struct{}), make(chan error, 2)
		late := make(chan bool, 1)
		for range 2 {
			go func() { // one is being handled, the other waits
				_, err := actor.Ask(t.Context(), deaf, func(r actor.Reply[int]) do {
					return func(*actor.Context[do]) error { <-gate; late <- r.Send(1); return nil }
				})
				asked <- err
			}()
		}
		synctest.Wait()
		tell(t, deaf, failing)
		if err := deaf.Stop(t.Context()); !errors.Is(err, actor.ErrAbandoned) || time.Since(begin) != 10*time.Second {
			t.Errorf("deaf: %v after %v", err, time.Since(begin))
		}
		for range 2 {
			if err := <-asked; err == nil {
				t.Error("an ask of an abandoned actor was answered")
			}
		}
		if n := sys.Stats().Runaways; n != 1 {
			t.Errorf("%d runaways", n)
		}
		if _, ok := infoOf(sys, "/deaf"); ok {
			t.Error("the abandoned actor is in the tree")
		}
		again := spawnDoer(t, sys, actor.Spec[do]{Name: "deaf"})
		close(gate)
		synctest.Wait()
		if n := sys.Stats().Runaways; n != 0 || <-late {
			t.Errorf("%d runaways after the handler returned", n)
		}
		call(t, again, func(*actor.Context[do]) error { return nil })
		if all := dead.take(); len(all) != 2 || all[0].Target.Path != "/polite" || !errors.Is(all[1].Reason, actor.ErrAbandoned) {
			t.Errorf("dead letters: %v", all)
		}
	})
}

// A behaviour of an abandoned actor is stopped when its handler returns; one
// that is still being made is not started.
func TestAbandonedBehaviorIsStopped(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		log, gate := &journal{}, make(chan struct{})
		ref := spawnDoer(t, sys, actor.Spec[do]{StopTimeout: time.Second, New: func() actor.Behavior[do] {
			return &doer{stop: func(*actor.Context[do]) error { log.add("stop"); return nil }}
		}})
		tell(t, ref, func(*actor.Context[do]) error { <-gate; return errTest })
		if err := ref.Stop(t.Context()); !errors.Is(err, actor.ErrAbandoned) {
			t.Error(err)
		}
		wantJournal(t, log)
		close(gate)
		synctest.Wait()
		wantJournal(t, log, "stop")

		// New, Start and Stop that hang are left behind as well.
		for _, where := range []string{"new", "start", "stop"} {
			gate := make(chan struct{})
			spawned := make(chan struct{})
			go func() {
				defer close(spawned)
				ref, _ := actor.Spawn(sys, actor.Spec[do]{Name: where, StopTimeout: time.Second, New: func() actor.Behavior[do] {
					hang := func(*actor.Context[do]) error { <-gate; return nil }
					switch where {
					case "new":
						<-gate
					case "start":
						return &doer{start: hang}
					case "stop":
						return &doer{stop: hang}
					}
					return &doer{}
				}})
				_ = ref
			}()
			synctest.Wait()
			ref, err := actor.Lookup[do](sys, "/"+where)
			if err != nil {
				t.Fatal(where, err)
			}
			_ = sys.Tree()
			if err := ref.Stop(t.Context()); !errors.Is(err, actor.ErrAbandoned) {
				t.Errorf("%s: %v", where, err)
			}
			close(gate)
			<-spawned
			synctest.Wait()
			if st := sys.Stats(); st.Runaways != 0 || st.Actors != 0 {
				t.Errorf("%s: %+v", where, st)
			}
		}
	})
}

// Req A8: the shutdown timeout bounds the stop of a system.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(actor.Options{Logger: discard(), ShutdownTimeout: 20 * time.Second})
		a := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
		b := spawnChild(t, a, actor.Spec[do]{Name: "b"})
		gate := make(chan struct{})
		tell(t, b, func(*actor.Context[do]) error { <-gate; return nil })
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sys.Stop(ctx); fault.CodeOf(err) != fault.DeadlineExceeded || errors.Is(err, actor.ErrAbandoned) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		var all sync.WaitGroup
		for range 4 { // more than once, and at once
			all.Go(func() {
				if err := sys.Stop(context.Background()); !errors.Is(err, actor.ErrAbandoned) || time.Since(begin) != 20*time.Second {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		}
		all.Wait()
		<-sys.Done()
		if sys.Tree().State != actor.StateStopped {
			t.Errorf("state %v", sys.Tree().State)
		}
		close(gate)
	})
}

// An actor that stops itself, its parent or its whole system does not wait for
// what waits for it.
func TestStopFromWithin(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(ctx *actor.Context[do], sys *actor.System, parent actor.Ref[do]) error{
		"itself": func(ctx *actor.Context[do], _ *actor.System, _ actor.Ref[do]) error { return ctx.Self().Stop(ctx) },
		"parent": func(ctx *actor.Context[do], _ *actor.System, p actor.Ref[do]) error { return p.Stop(ctx) },
		"system": func(ctx *actor.Context[do], sys *actor.System, _ actor.Ref[do]) error { return sys.Stop(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			actortest.Run(t, func(t *testing.T, sys *actor.System) {
				parent := spawnDoer(t, sys, actor.Spec[do]{Name: "p"})
				child := spawnChild(t, parent, actor.Spec[do]{Name: "c"})
				begin := time.Now()
				tell(t, child, func(ctx *actor.Context[do]) error { return stop(ctx, sys, parent) })
				<-child.Done()
				if name != "itself" {
					<-parent.Done()
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Stop of an actor that waits for the one that stops it is no hang.
func TestStopOfAnActorThatAsks(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		a, b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"})
		gate, asked := make(chan struct{}), make(chan error, 1)
		begin := time.Now()
		tell(t, a, func(ctx *actor.Context[do]) error { <-gate; return b.Stop(ctx) })
		tell(t, b, func(ctx *actor.Context[do]) error {
			_, err := actor.Ask(ctx, a, answer(1))
			asked <- err
			return nil
		})
		synctest.Wait()
		close(gate)
		<-b.Done()
		if err := <-asked; err != nil || time.Since(begin) > time.Second {
			t.Errorf("the ask ended with %v after %v", err, time.Since(begin))
		}
	})
}

// Kill ends a subtree when its handlers return; what waits becomes dead letters.
// That handlers return because their contexts ended is no failure.
func TestKill(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	opts := actor.Options{Logger: discard(), Hooks: dead.hooks(), Supervision: actor.Supervision{MaxRestarts: -1}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		made := 0
		top := spawnDoer(t, sys, actor.Spec[do]{Name: "top"})
		p := spawnChild(t, top, actor.Spec[do]{Name: "p", Supervision: actor.Supervision{MaxRestarts: -1}})
		var kids []actor.Ref[do]
		for i := range 10 {
			k := spawnChild(t, p, actor.Spec[do]{Name: fmt.Sprint("k", i), New: func() actor.Behavior[do] { made++; return &doer{} }})
			tell(t, k, func(ctx *actor.Context[do]) error { <-ctx.Done(); return ctx.Err() })
			tell(t, k, failing)
			kids = append(kids, k)
		}
		synctest.Wait()
		p.Kill()
		p.Kill()
		d := actortest.ExpectDown(t, sys, p)
		for _, k := range kids {
			<-k.Done()
		}
		if d.Reason != actor.ErrKilled || !d.Abnormal() || made != 10 || sys.Stats().Failures != 0 {
			t.Errorf("ended with %v; %d made; %d failures", d.Reason, made, sys.Stats().Failures)
		}
		if n := len(dead.take()); n != 20 {
			t.Errorf("%d dead letters", n)
		}
		call(t, top, func(*actor.Context[do]) error { return nil })
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("stop after the end: %v", err)
		}
	})
}

// Req A2: a name is taken until its actor has ended, then free.
func TestNames(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	a := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
	_, err := actor.Spawn(sys, actor.Spec[do]{Name: "a", New: newDoer})
	if !errors.Is(err, actor.ErrNameTaken) || fault.CodeOf(err) != fault.AlreadyExists || !strings.Contains(err.Error(), "/a") {
		t.Error(err)
	}
	spawnChild(t, a, actor.Spec[do]{Name: "a"}) // another parent, another name
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := spawnDoer(t, sys, actor.Spec[do]{Name: "a"})
	if a == b || a.Address() == b.Address() {
		t.Error("two actors of a name are one")
	}
	for name, spec := range map[string]actor.Spec[do]{
		"slash":    {Name: "a/b", New: newDoer},
		"anon":     {Name: "#1", New: newDoer},
		"new":      {Name: "x"},
		"capacity": {Name: "x", New: newDoer, Mailbox: actor.Mailbox{Capacity: -2}},
		"attempts": {Name: "x", New: newDoer, Attempts: 300},
	} {
		if _, err := actor.Spawn(sys, spec); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	var zero actor.Ref[do]
	if err := zero.Tell(t.Context(), failing); !errors.Is(err, actor.ErrNoActor) {
		t.Error(err)
	}
	if err := zero.Stop(t.Context()); !errors.Is(err, actor.ErrNoActor) || !zero.IsZero() || zero.String() != "no actor" {
		t.Error(err)
	}
	zero.Kill()
	<-zero.Done()
}

// A stop of an actor that has ended is done, whatever became of the context: which
// of the two is looked at first is not left to chance.
func TestStopOfAnActorThatHasEnded(t *testing.T) {
	t.Parallel()
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		a := spawnDoer(t, sys, actor.Spec[do]{Name: "a", New: func() actor.Behavior[do] { return &doer{} }})
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			if err := a.Stop(ended); err != nil {
				t.Fatalf("the actor has ended, and its stop says %v", err)
			}
		}
	})
}
