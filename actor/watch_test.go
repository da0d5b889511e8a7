package actor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

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
