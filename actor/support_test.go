package actor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// discard is a logger for tests in which failures are the point.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newSystem makes a system that the test's end stops.
func newSystem(t testing.TB, opts actor.Options) *actor.System {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = discard()
	}
	sys := actor.NewSystem(opts)
	t.Cleanup(func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return sys
}

// do is a message that is its own handler.
type do func(*actor.Context[do]) error

// doer is an actor that does what it is told, with whatever else a test wants.
type doer struct {
	start, stop func(*actor.Context[do]) error
}

func (d *doer) Receive(ctx *actor.Context[do], f do) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (d *doer) Start(ctx *actor.Context[do]) error {
	if d.start == nil {
		return nil
	}
	return d.start(ctx)
}

func (d *doer) Stop(ctx *actor.Context[do]) error {
	if d.stop == nil {
		return nil
	}
	return d.stop(ctx)
}

func newDoer() actor.Behavior[do] { return &doer{} }

// spawn makes an actor or ends the test.
func spawn[M any](t testing.TB, parent actor.Parent, spec actor.Spec[M]) actor.Ref[M] {
	t.Helper()
	ref, err := actor.Spawn(parent, spec)
	if err != nil {
		t.Fatalf("spawn %q: %v", spec.Name, err)
	}
	return ref
}

// spawnDoer makes a doer of a spec whose New may be left out.
func spawnDoer(t testing.TB, parent actor.Parent, spec actor.Spec[do]) actor.Ref[do] {
	t.Helper()
	if spec.New == nil {
		spec.New = newDoer
	}
	return spawn(t, parent, spec)
}

// tell sends or ends the test.
func tell[M any](t testing.TB, to actor.Ref[M], m M) {
	t.Helper()
	if err := to.Tell(context.Background(), m); err != nil {
		t.Fatalf("tell %v: %v", to, err)
	}
}

// call runs f in the actor and waits until it has been handled.
func call(t testing.TB, to actor.Ref[do], f do) {
	t.Helper()
	_, err := actor.Ask(context.Background(), to, func(r actor.Reply[bool]) do {
		return func(ctx *actor.Context[do]) error {
			defer r.Send(true)
			return f(ctx)
		}
	})
	if err != nil {
		t.Fatalf("call %v: %v", to, err)
	}
}

// within runs f in the actor and returns what it makes.
func within[R any](t testing.TB, to actor.Ref[do], f func(*actor.Context[do]) R) R {
	t.Helper()
	v, err := actor.Ask(context.Background(), to, func(r actor.Reply[R]) do {
		return func(ctx *actor.Context[do]) error {
			r.Send(f(ctx))
			return nil
		}
	})
	if err != nil {
		t.Fatalf("within %v: %v", to, err)
	}
	return v
}

// spawnChild makes a child of a doer.
func spawnChild(t testing.TB, parent actor.Ref[do], spec actor.Spec[do]) actor.Ref[do] {
	t.Helper()
	return within(t, parent, func(ctx *actor.Context[do]) actor.Ref[do] { return spawnDoer(t, ctx, spec) })
}

// journal is a list of what happened that several goroutines write.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns the lines and forgets them.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// wantJournal compares the lines with those wanted.
func wantJournal(t testing.TB, j *journal, want ...string) {
	t.Helper()
	got := j.take()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// letters is a listener that collects dead letters.
type letters struct {
	mu  sync.Mutex
	all []actor.DeadLetter
}

func (l *letters) hooks() []actor.Hooks {
	return []actor.Hooks{{DeadLetter: func(d actor.DeadLetter) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, d)
	}}}
}

func (l *letters) take() []actor.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

var errTest = errors.New("test failure")

// failing is what handlers of tests fail with.
func failing(*actor.Context[do]) error { return errTest }

// sleep waits in a bubble's time.
func sleep(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// never is a policy that neither restarts late nor gives up.
func never() actor.Supervision {
	return actor.Supervision{MaxRestarts: 1 << 20, Backoff: actor.Backoff{Initial: -1}}
}

// infoOf finds an actor in the tree.
func infoOf(sys *actor.System, path string) (actor.Info, bool) {
	var find func(actor.Info) (actor.Info, bool)
	find = func(i actor.Info) (actor.Info, bool) {
		if i.Path == path {
			return i, true
		}
		for _, k := range i.Children {
			if got, ok := find(k); ok {
				return got, true
			}
		}
		return actor.Info{}, false
	}
	return find(sys.Tree())
}
