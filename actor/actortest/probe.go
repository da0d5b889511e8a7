package actortest

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// Patience is how long a [Probe] and [ExpectDown] wait before they fail the
// test. In a bubble it is virtual time.
const Patience = 10 * time.Second

// Probe is an actor that keeps what it is told, for a test to look at in order.
// Its mailbox has no bound, so nobody waits for the test. Its methods but Ref
// belong to the goroutine of the test, which they end at a failure.
type Probe[M any] struct {
	t   testing.TB
	ref actor.Ref[M]

	mu    sync.Mutex
	got   []M
	seen  int // how many of got were taken
	ready chan struct{}
}

// NewProbe spawns a probe. It ends with its parent, as any actor.
func NewProbe[M any](t testing.TB, parent actor.Parent) *Probe[M] {
	t.Helper()
	p := &Probe[M]{t: t, ready: make(chan struct{}, 1)}
	ref, err := actor.Spawn(parent, actor.Spec[M]{
		Type:    "actortest.Probe",
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded},
		New:     func() actor.Behavior[M] { return actor.BehaviorFunc[M](p.receive) },
	})
	if err != nil {
		t.Fatalf("no probe: %v", err)
	}
	p.ref = ref
	return p
}

func (p *Probe[M]) receive(_ *actor.Context[M], m M) error {
	p.mu.Lock()
	p.got = append(p.got, m)
	p.mu.Unlock()
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return nil
}

// Ref is the probe's reference.
func (p *Probe[M]) Ref() actor.Ref[M] { return p.ref }

// Next takes the next message and waits for it if need be.
func (p *Probe[M]) Next() M {
	p.t.Helper()
	m, ok := p.wait(Patience)
	if !ok {
		p.t.Fatalf("no message within %v%s", Patience, p.history())
	}
	return m
}

// Expect takes as many messages as are wanted and compares them in order.
func (p *Probe[M]) Expect(want ...M) {
	p.t.Helper()
	for i, w := range want {
		got, ok := p.wait(Patience)
		if !ok {
			p.t.Fatalf("message %d of %d is missing after %v; want %s%s", i+1, len(want), Patience, text(w), p.history())
		}
		if !reflect.DeepEqual(got, w) {
			p.t.Fatalf("message %d of %d:\n%s%s", i+1, len(want), diff(got, w), p.history())
		}
	}
}

// ExpectNone fails the test if a message comes within d. In a bubble that takes
// no real time; elsewhere it does.
func (p *Probe[M]) ExpectNone(d time.Duration) {
	p.t.Helper()
	if m, ok := p.wait(d); ok {
		p.t.Fatalf("want no message, got %s%s", text(m), p.history())
	}
}

// Drain takes all messages that are there, without waiting.
func (p *Probe[M]) Drain() []M {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := append([]M(nil), p.got[p.seen:]...)
	p.seen = len(p.got)
	return rest
}

// wait takes the next message, if one comes within d.
func (p *Probe[M]) wait(d time.Duration) (M, bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if m, ok := p.take(); ok {
			return m, true
		}
		select {
		case <-p.ready:
		case <-timer.C:
			return p.take()
		}
	}
}

func (p *Probe[M]) take() (m M, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == len(p.got) {
		return m, false
	}
	p.seen++
	return p.got[p.seen-1], true
}

// historyLength is how many of the last messages a failure shows.
const historyLength = 8

// history is what came before, for a failure.
func (p *Probe[M]) history() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == 0 {
		return "\nit was the first"
	}
	var b strings.Builder
	b.WriteString("\nthe messages up to then:")
	for i := max(0, p.seen-historyLength); i < p.seen; i++ {
		fmt.Fprintf(&b, "\n\t%d: %s", i+1, text(p.got[i]))
	}
	return b.String()
}

func text(v any) string { return fmt.Sprintf("%T %+v", v, v) }

// diff shows two values; of two structs of a type the fields that differ.
func diff(got, want any) string {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	if !g.IsValid() || !w.IsValid() || g.Type() != w.Type() || g.Kind() != reflect.Struct {
		return "got  " + text(got) + "\nwant " + text(want)
	}
	var b strings.Builder
	b.WriteString(g.Type().String())
	for i := range g.NumField() {
		a, z := fmt.Sprintf("%+v", g.Field(i)), fmt.Sprintf("%+v", w.Field(i))
		if a != z {
			fmt.Fprintf(&b, "\n\t%s: got %s, want %s", g.Type().Field(i).Name, a, z)
		}
	}
	return b.String()
}

// ExpectDown waits for the end of an actor and returns its death notice.
func ExpectDown[T any](t testing.TB, parent actor.Parent, ref actor.Ref[T]) actor.Down {
	t.Helper()
	p := NewProbe[actor.Down](t, parent)
	watcher, err := actor.Spawn(parent, actor.Spec[actor.Down]{
		Type: "actortest.Probe",
		New:  func() actor.Behavior[actor.Down] { return &downWatcher[T]{ref, p.ref} },
	})
	if err != nil {
		t.Fatalf("no watcher: %v", err)
	}
	defer p.ref.Kill()
	defer watcher.Kill()
	down, ok := p.wait(Patience)
	if !ok {
		t.Fatalf("%s has not ended within %v", ref, Patience)
	}
	return down
}

// downWatcher passes the death notice of an actor on.
type downWatcher[T any] struct {
	ref actor.Ref[T]
	to  actor.Ref[actor.Down]
}

func (w *downWatcher[T]) Start(ctx *actor.Context[actor.Down]) error {
	actor.Watch(ctx, w.ref, func(d actor.Down) actor.Down { return d })
	return nil
}

func (w *downWatcher[T]) Receive(_ *actor.Context[actor.Down], d actor.Down) error {
	return w.to.TryTell(d)
}
