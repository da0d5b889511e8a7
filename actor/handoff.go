package actor

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A message that finds its actor idle has to start it. Where the sender is
// another actor's handler, starting a goroutine for that costs several times as
// much as handling the message. So the sender's goroutine keeps the started actor
// for itself and runs it once its own is done: a chain of actors that tell each
// other runs like a chain of calls, on one goroutine, with its data in the cache.
//
// The price is that the started actor waits for the sender's handler, which may
// block. It never waits long: a goroutine keeps one actor at most, gives it away
// before it parks in an ask or a tell, keeps none for a handler known to be slow,
// and a watch gives away what was kept for more than a tick. The watch runs only
// while there is something to watch.

const (
	handoffTick = time.Millisecond
	handoffHops = 64 // actors run in a row before others get their turn
)

// runner is a goroutine that runs actors and keeps at most one for later.
type runner struct {
	next    atomic.Pointer[core]
	watched atomic.Bool
	seen    *core // by the watch at its last tick; the watch's own
}

// runnerClosed in place of the next actor means that the goroutine has ended.
var runnerClosed = new(core)

// activate makes somebody run the actor, which the caller has just marked active.
func (c *core) activate(ctx context.Context) {
	if h, ok := ctx.(handlerContext); ok && h.owner().keep(c) {
		return
	}
	c.sys.start(c)
}

// keep leaves an activated actor to the goroutine that runs this one. The
// context it came with may have been handed to other goroutines, and they may
// use it late; then the goroutine in question is another or none, which is safe.
func (c *core) keep(started *core) bool {
	if c.slow.Load() || c.sys != started.sys || c.sys.opts.Schedule != nil {
		return false
	}
	r := c.runner.Load()
	if r == nil {
		c.runner.CompareAndSwap(nil, &runner{})
		if r = c.runner.Load(); r == nil {
			return false
		}
	}
	if !r.next.CompareAndSwap(nil, started) {
		return false
	}
	if !r.watched.Load() {
		c.sys.watch.add(c.sys, r)
	}
	return true
}

// giveAway starts the actor that the goroutine of this one keeps, before it parks.
func (c *core) giveAway() {
	if r := c.runner.Load(); r != nil {
		r.giveAway(c.sys)
	}
}

func (r *runner) giveAway(s *System) {
	for {
		n := r.next.Load()
		if n == nil || n == runnerClosed {
			return
		}
		if r.next.CompareAndSwap(n, nil) {
			s.start(n)
			return
		}
	}
}

// take returns the kept actor, or nil and keeps nothing more.
func (r *runner) take() *core {
	for {
		if n := r.next.Swap(nil); n != nil {
			return n
		}
		if r.next.CompareAndSwap(nil, runnerClosed) {
			return nil
		}
	}
}

// runActors runs an actor, then the one that was kept meanwhile, and so on.
func runActors(c *core) {
	for hops := 1; ; hops++ {
		r := c.self.run()
		if r == nil {
			return
		}
		next := r.take()
		if next == nil {
			return
		}
		if hops%handoffHops == 0 {
			runtime.Gosched()
		}
		next.runner.Store(r)
		c = next
	}
}

// handoffWatch finds actors that are kept for too long.
type handoffWatch struct {
	mu      sync.Mutex
	runners []*runner
	running bool
}

func (w *handoffWatch) add(s *System, r *runner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.watched.Swap(true) {
		return
	}
	w.runners = append(w.runners, r)
	if !w.running {
		w.running = true
		go w.run(s)
	}
}

func (w *handoffWatch) run(s *System) {
	ticker := time.NewTicker(handoffTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.done: // every actor has ended
			return
		}
		if !w.tick(s) {
			return
		}
	}
}

// tick gives away what was kept since the last tick. It reports false when there
// is nothing left to watch.
func (w *handoffWatch) tick(s *System) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.runners[:0]
	for _, r := range w.runners {
		n := r.next.Load()
		if n != nil && n == r.seen && n != runnerClosed {
			r.giveAway(s)
		}
		r.seen = n
		if n == nil || n == runnerClosed {
			r.seen = nil
			r.watched.Store(false)
			if n = r.next.Load(); n == nil || n == runnerClosed || r.watched.Swap(true) {
				continue
			}
		}
		left = append(left, r)
	}
	clear(w.runners[len(left):])
	w.runners = left
	w.running = len(left) > 0
	return w.running
}
