package console

import (
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console/ui"
)

// freshFor is how long a snapshot is used again, so that many clients cost no
// more than one who asks twenty times a second.
const freshFor = 50 * time.Millisecond

// encodingsMax bounds the answers that are kept with a snapshot.
const encodingsMax = 64

// snapshot is the state of the node at one moment. Its fields do not change;
// the encodings are added as they are asked for.
type snapshot struct {
	at    time.Time
	root  sampled
	stats actor.Stats
	node  Node

	mu      sync.Mutex
	encoded map[string][]byte
}

// Node is the answer of /api/node.
type Node struct {
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Go       string     `json:"go"`
	Started  time.Time  `json:"started"`
	Health   Health     `json:"health"`
	LogLevel string     `json:"log_level,omitempty"`
	Command  string     `json:"command"` // see Options.Command
	Actions  []Action   `json:"actions"`
	Totals   NodeTotals `json:"totals"`
	Memory   uint64     `json:"memory_bytes"` // held from the operating system
	Running  int        `json:"running"`      // actors that handle a message now
	Routines int        `json:"goroutines"`
	Page     string     `json:"page"` // version of the page; a page of another version reloads itself
}

// NodeTotals are sums over all actors. Restarts, failures and dead letters
// count since the start of the node, also those of actors that have ended.
type NodeTotals struct {
	Totals
	DeadLetters uint64 `json:"dead_letters"`
}

// snapshot returns the state of the node, not older than freshFor.
func (c *Console) snapshot() *snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.latest != nil && now.Sub(c.latest.at) < freshFor {
		return c.latest
	}
	s := &snapshot{at: now, stats: c.opts.System.Stats(), encoded: map[string][]byte{}}
	s.root = c.meter.sample(c.opts.System.Tree(), s.stats.Started, now)
	s.node = c.node(s)
	c.latest = s
	return s
}

func (c *Console) node(s *snapshot) Node {
	n := Node{
		Name:     c.opts.System.Name(),
		Version:  c.opts.Version,
		Go:       runtime.Version(),
		Started:  c.opts.Started,
		Health:   c.opts.Health(),
		Command:  c.opts.Command,
		Actions:  c.opts.Actions,
		Totals:   NodeTotals{Totals: s.root.total, DeadLetters: s.stats.DeadLetters},
		Memory:   memoryHeld(),
		Running:  s.stats.Running,
		Routines: runtime.NumGoroutine(),
		Page:     ui.Version(),
	}
	if n.Actions == nil {
		n.Actions = []Action{}
	}
	if c.opts.LogLevel != nil {
		n.LogLevel = c.opts.LogLevel.Level().String()
	}
	n.Totals.Restarts = s.stats.Restarts
	n.Totals.Failures = s.stats.Failures
	return n
}

// memoryHeld is what the Go runtime has mapped and not given back, in bytes.
// Reading it stops nothing.
func memoryHeld() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}

// encode returns the JSON of what make returns, computed once per snapshot and
// key.
func encode[T any](s *snapshot, key string, make func() T) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if body, ok := s.encoded[key]; ok {
		return body, nil
	}
	body, err := json.Marshal(make())
	if err == nil && len(s.encoded) < encodingsMax {
		s.encoded[key] = body
	}
	return body, err
}

func (c *Console) getNode(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, c.snapshot().node)
}
