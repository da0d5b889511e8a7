package actor

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// State is what an actor is doing as a whole.
type State string

// States of an actor.
const (
	StateRunning    State = "running"    // takes and handles messages
	StateRestarting State = "restarting" // between two behaviours
	StateIsolated   State = "isolated"   // works off its mailbox, takes no new messages
	StateStopping   State = "stopping"
	StateStopped    State = "stopped"
)

// Info is one actor in a snapshot of the tree. Figures of different actors are
// taken one after the other, not at one instant.
type Info struct {
	Path        string        `json:"path"`
	Name        string        `json:"name"`
	ID          uint64        `json:"id"`
	Type        string        `json:"type"`
	Message     string        `json:"message_type,omitempty"`
	State       State         `json:"state"`
	Busy        bool          `json:"busy"`     // a handler runs now, or is about to
	Mailbox     int           `json:"mailbox"`  // messages that wait; while a batch is handled, up to 64 of it may still count
	Capacity    int           `json:"capacity"` // of the mailbox; Unbounded for no limit
	Blocked     int           `json:"blocked"`  // senders that wait for room
	Processed   uint64        `json:"processed"`
	Restarts    uint64        `json:"restarts"`
	Failures    uint64        `json:"failures"`
	LastError   string        `json:"last_error,omitempty"`
	LastErrorAt time.Time     `json:"last_error_at,omitzero"`
	BusyTime    time.Duration `json:"busy_ns"`      // time spent in handlers, estimated from the timed ones
	Longest     time.Duration `json:"longest_ns"`   // the longest timed handler
	Memory      int64         `json:"memory_bytes"` // of the mailbox, plus what the behaviour reports
	Children    []Info        `json:"children,omitempty"`

	reporter MemoryReporter
}

// Timing is a histogram of handler times. Every 128th message is timed and
// counts as 128; an actor whose handlers take more than 20 µs is timed each time.
type Timing struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Buckets []uint64      `json:"buckets"` // bounds: TimingBounds, and one bucket more without a bound
}

// KindStats are the figures of all actors of one type, the ended ones included.
type KindStats struct {
	Type      string `json:"type"`
	Actors    int    `json:"actors"`
	Mailbox   int    `json:"mailbox"`
	Processed uint64 `json:"processed"`
	Restarts  uint64 `json:"restarts"`
	Failures  uint64 `json:"failures"`
	Timing    Timing `json:"timing"`
}

// Stats are a system's totals.
type Stats struct {
	Actors      int         `json:"actors"`   // alive now
	Running     int         `json:"running"`  // that handle a message now
	Runaways    int         `json:"runaways"` // handlers that outlived their actor and still run
	Restarts    uint64      `json:"restarts"`
	Failures    uint64      `json:"failures"`
	DeadLetters uint64      `json:"dead_letters"`
	Started     time.Time   `json:"started"`
	Kinds       []KindStats `json:"kinds"` // in the order of their types' names
}

// Tree takes a snapshot of all actors. The root stands for the system itself.
func (s *System) Tree() Info {
	root := Info{
		Path: "/", Name: s.opts.Name, Type: "system", State: StateRunning, Capacity: 0,
		Restarts: s.restarts.Load(), Failures: s.failures.Load(),
	}
	s.root.mu.Lock()
	switch {
	case s.root.flags&flagStopped != 0:
		root.State = StateStopped
	case s.root.flags&flagStopping != 0:
		root.State = StateStopping
	}
	s.root.mu.Unlock()
	for _, k := range s.root.children() {
		root.Children = append(root.Children, k.info())
	}
	return root
}

func (c *core) info() Info {
	info := Info{Path: c.path(), Name: c.label(), ID: c.id}
	c.mu.Lock()
	if c.kind != nil {
		info.Type = c.kind.name
	}
	info.State = c.state()
	info.Busy = c.flags&flagActive != 0
	info.Processed, info.Restarts = c.processed, uint64(c.restarts)
	info.BusyTime, info.Longest = c.busy, c.longest
	if x := c.x; x != nil {
		info.Failures = x.failures
		if x.lastErr != nil {
			info.LastError, info.LastErrorAt = x.lastErr.Error(), x.lastErrAt
		}
	}
	c.self.describe(&info)
	c.mu.Unlock()
	if info.reporter != nil {
		c.sys.guard("MemoryBytes", func() { info.Memory += info.reporter.MemoryBytes() })
		info.reporter = nil
	}
	for _, k := range c.children() {
		info.Children = append(info.Children, k.info())
	}
	return info
}

// state sums the flags up; the lock is held.
func (c *core) state() State {
	switch {
	case c.flags&flagStopped != 0:
		return StateStopped
	case c.flags&flagStopping != 0:
		return StateStopping
	case c.flags&flagSuspended != 0:
		return StateRestarting
	case c.flags&flagIsolated != 0:
		return StateIsolated
	}
	return StateRunning
}

// Stats sums the figures up. It walks the tree: call it when somebody looks, not
// for each message.
func (s *System) Stats() Stats {
	st := Stats{
		Actors: int(s.actors.Load()), Runaways: int(s.runaways.Load()), Restarts: s.restarts.Load(),
		Failures: s.failures.Load(), DeadLetters: s.deadLetters.Load(), Started: s.started,
	}
	byName := map[string]*KindStats{} // kinds of different packages may share a name
	var kinds []*kind
	s.kinds.Range(func(_, v any) bool {
		k := v.(*kind)
		kinds = append(kinds, k)
		ks := byName[k.name]
		if ks == nil {
			ks = &KindStats{Type: k.name, Timing: Timing{Buckets: make([]uint64, timingBuckets)}}
			byName[k.name] = ks
		}
		// Those that ended are counted first: an actor that ends while the living
		// are counted is missed, once, rather than counted twice.
		ks.Processed += k.ended.Load()
		ks.Restarts += k.restarts.Load()
		ks.Failures += k.failures.Load()
		k.addTiming(&ks.Timing)
		return true
	})
	s.root.addTo(byName, &st)
	for _, k := range kinds {
		// What was missed must not look like a counter that went back.
		if ks := byName[k.name]; ks != nil {
			ks.Processed = k.neverLess(ks.Processed)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		st.Kinds = append(st.Kinds, *byName[name])
	}
	return st
}

func (c *core) addTo(byName map[string]*KindStats, st *Stats) {
	for _, k := range c.children() {
		var info Info
		k.mu.Lock()
		kind := k.kind
		running, stopped := k.flags&flagActive != 0, k.flags&flagStopped != 0
		processed := k.processed
		k.self.describe(&info)
		k.mu.Unlock()
		if ks := byName[kind.label()]; ks != nil && !stopped {
			ks.Actors++
			ks.Mailbox += info.Mailbox
			ks.Processed += processed
			if running {
				st.Running++
			}
		}
		k.addTo(byName, st)
	}
}

// find walks a path such as "/weather/filter" or "/pool/#12".
func (s *System) find(path string) *core {
	c := &s.root
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if c = c.child(part); c == nil {
			return nil
		}
	}
	return c
}

// Lookup finds the actor with a path such as "/weather/filter".
//
// Errors: NOT_FOUND if there is none, FAILED_PRECONDITION if it takes messages
// of another type.
func Lookup[M any](s *System, path string) (Ref[M], error) {
	c := s.find(path)
	if c == nil {
		return Ref[M]{}, &fault.Error{Code: fault.NotFound, Op: "actor.Lookup", Target: path, Message: "no such actor"}
	}
	cell, ok := c.self.(*cell[M])
	if !ok {
		var info Info
		c.mu.Lock()
		c.self.describe(&info)
		c.mu.Unlock()
		return Ref[M]{}, &fault.Error{Code: fault.FailedPrecondition, Op: "actor.Lookup", Target: path, Message: "the actor takes messages of type " + info.Message}
	}
	return Ref[M]{cell}, nil
}

// Isolate cuts the actor at path and all below it off from new messages:
// senders get [ErrIsolated], what is in the mailboxes is handled. [System.Release]
// ends it. Neither is an error to repeat; NOT_FOUND if there is no such actor.
func (s *System) Isolate(path string) error { return s.setIsolated(path, true) }

// Release takes an isolation back.
func (s *System) Release(path string) error { return s.setIsolated(path, false) }

func (s *System) setIsolated(path string, on bool) error {
	c := s.find(path)
	if c == nil {
		return &fault.Error{Code: fault.NotFound, Op: "actor.Isolate", Target: path, Message: "no such actor"}
	}
	c.setIsolated(on)
	return nil
}

func (c *core) setIsolated(on bool) {
	c.mu.Lock()
	if on {
		c.flags |= flagIsolated
	} else {
		c.flags &^= flagIsolated
	}
	c.mu.Unlock()
	for _, k := range c.children() {
		k.setIsolated(on)
	}
}
