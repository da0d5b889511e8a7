package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// DefaultMaxRows bounds the rows that a sink holds where nothing is said.
const DefaultMaxRows = 100_000

// Store keeps what sinks of the type sink.memory have written, by the name in
// their configuration. The zero Store is ready for use. It is safe for
// concurrent use.
type Store struct {
	mu     sync.Mutex
	tables map[string][]workflow.Row
	keys   map[string]bool
}

// Rows gives the rows under a name, in the order in which they were committed.
func (s *Store) Rows(name string) []workflow.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tables[name])
}

// SinkConfig is the "with" block of a node of the type sink.memory.
type SinkConfig struct {
	Name    string `yaml:"name,required" doc:"What the rows are kept under."`
	MaxRows int    `yaml:"max_rows" doc:"How many rows are held at most; the run fails beyond."`
}

// Register adds the node type sink.memory, whose rows go into the store.
func (s *Store) Register(r *workflow.Registry) {
	r.Add(workflow.SinkType[SinkConfig]{
		Name:    "sink.memory",
		Doc:     "Keeps rows in memory, for a test to look at.",
		Example: "name: result",
		Default: SinkConfig{MaxRows: DefaultMaxRows},
		Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
			if config.MaxRows < 1 {
				c.Errorf("max_rows", "%d is out of range; expected 1 or more", config.MaxRows)
			}
			return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
				return &sink{store: s, key: env.Key, config: config}, nil
			}}
		},
	})
}

// sink holds the rows of a run until Commit.
type sink struct {
	store  *Store
	key    string
	config SinkConfig
	rows   []workflow.Row
}

// Open does nothing.
func (s *sink) Open(context.Context, workflow.Schema) error { return nil }

// Write holds the rows of a batch.
func (s *sink) Write(_ context.Context, batch workflow.Batch) error {
	if len(s.rows)+len(batch.Rows) > s.config.MaxRows {
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "memory.Write", Target: s.config.Name,
			Message: fmt.Sprintf("there are more than %d rows", s.config.MaxRows), Hint: "raise max_rows, or write to a file",
		}
	}
	s.rows = append(s.rows, batch.Rows...)
	return nil
}

// Commit adds the rows to the store, once for each key.
func (s *sink) Commit(context.Context) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.keys[s.key] && s.key != "" {
		return nil
	}
	if s.store.tables == nil {
		s.store.tables, s.store.keys = map[string][]workflow.Row{}, map[string]bool{}
	}
	s.store.keys[s.key] = true
	s.store.tables[s.config.Name] = append(s.store.tables[s.config.Name], s.rows...)
	return nil
}

// Abort drops the rows.
func (s *sink) Abort(context.Context) error { return nil }
