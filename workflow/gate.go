package workflow

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// gate is where steps of all runs of an engine compete: how many of a key may
// be under way at a time, and how many may begin in a second. Who waits is let
// in by priority, then in the order of arrival.
type gate struct {
	mu    sync.Mutex
	rooms map[string]*room
	paces map[string]*pace
	seq   int64
}

// room is a key that so many may be in at a time.
type room struct {
	inside  int
	limit   int
	waiting visitors
}

// visitor is somebody who waits to be let in.
type visitor struct {
	priority int
	seq      int64
	let      chan struct{}
	at       int // in the heap; -1: let in
}

type visitors []*visitor

func (v visitors) Len() int { return len(v) }
func (v visitors) Less(i, j int) bool {
	if v[i].priority != v[j].priority {
		return v[i].priority > v[j].priority
	}
	return v[i].seq < v[j].seq
}
func (v visitors) Swap(i, j int) {
	v[i], v[j] = v[j], v[i]
	v[i].at, v[j].at = i, j
}
func (v *visitors) Push(x any) {
	one := x.(*visitor) //nolint:forcetypeassert // heap.Push is only called with visitors
	one.at = len(*v)
	*v = append(*v, one)
}
func (v *visitors) Pop() any {
	last := (*v)[len(*v)-1]
	(*v)[len(*v)-1] = nil
	*v = (*v)[:len(*v)-1]
	last.at = -1
	return last
}

func newGate() *gate { return &gate{rooms: map[string]*room{}, paces: map[string]*pace{}} }

// enter waits for a place under a key. The function it returns gives the place
// back. Where callers differ about the limit, that of the last one holds.
func (g *gate) enter(ctx context.Context, key string, limit, priority int) (func(), error) {
	if limit == 0 {
		return func() {}, nil
	}
	g.mu.Lock()
	r := g.rooms[key]
	if r == nil {
		r = &room{}
		g.rooms[key] = r
	}
	r.limit = limit
	leave := func() { g.leave(key) }
	if r.inside < r.limit && len(r.waiting) == 0 {
		r.inside++
		g.mu.Unlock()
		return leave, nil
	}
	g.seq++
	me := &visitor{priority: priority, seq: g.seq, let: make(chan struct{})}
	heap.Push(&r.waiting, me)
	g.mu.Unlock()
	select {
	case <-me.let:
		return leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	if me.at < 0 { // let in at the same moment
		g.mu.Unlock()
		leave()
	} else {
		heap.Remove(&r.waiting, me.at)
		g.tidy(key, r)
		g.mu.Unlock()
	}
	return nil, context.Cause(ctx)
}

func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[key]
	r.inside--
	for r.inside < r.limit && len(r.waiting) > 0 {
		next, _ := heap.Pop(&r.waiting).(*visitor)
		r.inside++
		close(next.let)
	}
	g.tidy(key, r)
}

// tidy forgets a key that nobody uses.
func (g *gate) tidy(key string, r *room) {
	if r.inside == 0 && len(r.waiting) == 0 {
		delete(g.rooms, key)
	}
}

// pace is a key of which so many may begin in a second: the token bucket of
// Turner, "New directions in communications", 1986.
type pace struct {
	tokens float64
	at     time.Time
}

// pacesMax is how many keys are remembered before those are forgotten that are
// full again.
const pacesMax = 10_000

// pace waits until one more may begin under a key.
func (g *gate) pace(ctx context.Context, key string, rate float64, burst, _ int) error {
	if rate == 0 {
		return nil
	}
	g.mu.Lock()
	now := time.Now()
	p := g.paces[key]
	if p == nil {
		if len(g.paces) >= pacesMax {
			g.forgetPaces(now, rate, burst)
		}
		p = &pace{tokens: float64(burst), at: now}
		g.paces[key] = p
	}
	p.tokens = math.Min(float64(burst), p.tokens+now.Sub(p.at).Seconds()*rate)
	p.at = now
	p.tokens-- // below zero it is a debt, which is waited for in the order of arrival
	wait := time.Duration(-p.tokens / rate * float64(time.Second))
	g.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		p.tokens++
		g.mu.Unlock()
		return context.Cause(ctx)
	}
}

func (g *gate) forgetPaces(now time.Time, rate float64, burst int) {
	for key, p := range g.paces {
		if p.tokens+now.Sub(p.at).Seconds()*rate >= float64(burst) {
			delete(g.paces, key)
		}
	}
}
