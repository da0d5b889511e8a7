package telemetry_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/telemetry"
)

// In a world that obeys, whatever happens in it: an alert begins before it ends,
// an actor is isolated exactly while an alert says so, and in the end of calm
// nothing is left.
func TestDetectorInARandomWorld(t *testing.T) {
	t.Parallel()
	for range 40 {
		seed := rand.Uint64()
		w := newWorld(seed)
		for range 150 {
			w.change()
			w.step()
		}
		w.calm()
		for range 70 {
			w.step()
		}
		if active := w.detector.Active(); len(active) > 0 {
			w.fail("alerts go on without a cause: %v", active)
		}
		w.visit(&w.tree, func(a *actor.Info) {
			if a.State != actor.StateRunning {
				w.fail("%s is still isolated", a.Path)
			}
		})
		if w.problem != "" {
			t.Fatalf("seed %d: %s", seed, w.problem)
		}
	}
}

// world is a small tree whose figures change at random. Isolation of an actor
// applies to all below it, as in package actor.
type world struct {
	rnd      *rand.Rand
	detector *telemetry.Detector
	now      time.Time
	cpu      time.Duration
	tree     actor.Info
	nextID   uint64
	firing   map[string]bool // rule, path and type
	problem  string
}

func newWorld(seed uint64) *world {
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 0)), now: begin, firing: map[string]bool{},
		detector: telemetry.NewDetector(telemetry.Limits{MemoryBytes: 100}),
	}
	w.tree = tree()
	for _, name := range []string{"a", "b"} {
		w.tree.Children = append(w.tree.Children, w.grow(name, 3))
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	if w.problem == "" {
		w.problem = fmt.Sprintf(format, args...)
	}
}

func (w *world) grow(path string, depth int) actor.Info {
	w.nextID++
	a := node(w.nextID, path, nil)
	for i := 0; depth > 1 && i < 2; i++ {
		a.Children = append(a.Children, w.grow(fmt.Sprintf("%s/%d", path, i), depth-1))
	}
	return a
}

func (w *world) visit(a *actor.Info, f func(*actor.Info)) {
	f(a)
	for i := range a.Children {
		w.visit(&a.Children[i], f)
	}
}

func (w *world) change() {
	w.visit(&w.tree, func(a *actor.Info) {
		if a.Path == "/" {
			return
		}
		if w.rnd.IntN(4) == 0 {
			a.Memory = w.rnd.Int64N(130)
		}
		if w.rnd.IntN(2) == 0 {
			a.Mailbox = w.rnd.IntN(1200)
		}
		a.BusyTime += time.Duration(w.rnd.Int64N(int64(time.Second)))
		a.Processed++
		if w.rnd.IntN(200) == 0 { // ends with all below it, and others take their names
			w.visit(a, func(b *actor.Info) {
				w.nextID++
				b.ID, b.Memory, b.BusyTime, b.State = w.nextID, 0, 0, actor.StateRunning
			})
		}
	})
	w.cpu += time.Duration(w.rnd.Int64N(int64(4 * time.Second)))
}

func (w *world) calm() {
	w.visit(&w.tree, func(a *actor.Info) { a.Memory, a.Mailbox = 0, 0 })
}

func (w *world) step() {
	w.now = w.now.Add(time.Second)
	v := w.detector.Step(telemetry.Sample{At: w.now, Tree: w.tree, CPU: w.cpu, Cores: 4})
	for _, a := range v.Alerts {
		key := fmt.Sprint(a.Rule, a.Path)
		if a.Rule == telemetry.RuleMailbox {
			key = fmt.Sprint(a.Rule, a.Type)
		}
		if a.Firing == w.firing[key] && a.Firing {
			w.fail("%v: begins twice", a)
		}
		w.firing[key] = a.Firing
	}
	for _, path := range v.Isolate {
		w.set(path, actor.StateIsolated)
	}
	for _, path := range v.Release {
		w.set(path, actor.StateRunning)
	}
	if w.tree.State != actor.StateRunning {
		w.fail("the root is isolated")
	}
	isolated := map[string]bool{}
	for _, a := range w.detector.Active() {
		isolated[a.Path] = isolated[a.Path] || a.Isolated
	}
	w.visit(&w.tree, func(a *actor.Info) {
		// What a release around it lets go is taken back one sample later.
		if isolated[a.Path] && a.State != actor.StateIsolated && len(v.Release) == 0 {
			w.fail("%s: not isolated", a.Path)
		}
	})
}

func (w *world) set(path string, state actor.State) {
	w.visit(&w.tree, func(a *actor.Info) {
		if a.Path == path {
			w.visit(a, func(b *actor.Info) { b.State = state })
		}
	})
}
