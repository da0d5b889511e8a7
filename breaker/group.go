package breaker

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// DefaultMaxTargets is how many targets a [Group] knows unless told otherwise.
const DefaultMaxTargets = 1024

// Group keeps one breaker for each target of many, such as the actors that a
// client calls. It may be used from any goroutine.
//
// It is bounded: when a new target would be one too many, the breaker that was
// asked for the longest time ago is forgotten, a closed one if there is one. It
// is made anew when its target is called again.
type Group struct {
	cfg   Config
	limit int

	mu    sync.RWMutex
	known map[string]*member
	born  time.Time
}

type member struct {
	b    *Breaker
	used atomic.Int64 // time since the group's birth
}

// NewGroup makes a group whose breakers are all like cfg, with their own Target.
// maxTargets 0 means [DefaultMaxTargets]. The error is INVALID_ARGUMENT.
func NewGroup(cfg Config, maxTargets int) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if maxTargets < 0 {
		return nil, fault.New(fault.InvalidArgument, "breaker.NewGroup", "maxTargets is %d, must be at least 1, or 0 for the default of %d", maxTargets, DefaultMaxTargets)
	}
	if maxTargets == 0 {
		maxTargets = DefaultMaxTargets
	}
	return &Group{cfg: cfg.withDefaults(), limit: maxTargets, known: map[string]*member{}, born: time.Now()}, nil
}

// Get is the breaker for a target, a new one if need be. Ask for it with each
// call rather than keep it: a group may have forgotten the one that was kept.
func (g *Group) Get(target string) *Breaker {
	now := int64(time.Since(g.born))
	g.mu.RLock()
	m := g.known[target]
	g.mu.RUnlock()
	if m == nil {
		m = g.add(target)
	}
	m.used.Store(now)
	return m.b
}

func (g *Group) add(target string) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.known[target]; m != nil {
		return m
	}
	if len(g.known) >= g.limit {
		delete(g.known, g.leastUseful())
	}
	cfg := g.cfg
	cfg.Target = target
	m := &member{b: newBreaker(cfg)}
	g.known[target] = m
	return m
}

// leastUseful is the target to forget; g.mu is held.
func (g *Group) leastUseful() string {
	var target string
	var best *member
	bestOpen := false
	for t, m := range g.known {
		open := m.b.state() != Closed
		if best == nil || bestOpen && !open || bestOpen == open && m.used.Load() < best.used.Load() {
			target, best, bestOpen = t, m, open
		}
	}
	return target
}

// Infos are snapshots of all breakers, by target.
func (g *Group) Infos() []Info {
	g.mu.RLock()
	members := make([]*member, 0, len(g.known))
	for _, m := range g.known {
		members = append(members, m)
	}
	g.mu.RUnlock()
	infos := make([]Info, len(members))
	for i, m := range members {
		infos[i] = m.b.Info()
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Target, b.Target) })
	return infos
}
