package actor_test

import (
	"bytes"
	"context"
	"errors"
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

// Req A2: an overflow policy holds exactly at a small capacity.

// Req A3: urgent messages first, equals in order; a Priority that panics harms

// nobody.

// Req A2: a death notice comes once, after all that the actor has sent, whether

// it was asked for before the end or after; not after it was taken back.

// A watcher's end takes its watches back: what is watched does not grow.

// Req A2: links break with an abnormal end only.

// Req A2: a timer that is cancelled in its actor never fires, even if its message

// waits already; a restart and the end cancel; Every skips.

// Req A2: the stash keeps order, has a bound, and survives a restart.

// A message that was stashed and fails all the same has one fate.

// Req A2: behaviours lie on top of each other; a restart takes them away.

// A panic in a pipe is the actor's failure; its end loses nothing in silence.

// Req A2: an adapter is a reference like any other.

// Req A2: lookup by path, of anonymous ones too; another type is an error.

// Req A2: an event goes to those who want its type, as long as they live; one

// whose mailbox is full loses it, which is counted.

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
