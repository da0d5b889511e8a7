package workflow

import (
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// EventType says what happened.
type EventType string

// What happens in the life of a run.
const (
	WorkflowStarted   EventType = "WorkflowStarted"
	WorkflowCompleted EventType = "WorkflowCompleted"
	WorkflowFailed    EventType = "WorkflowFailed"
	WorkflowCancelled EventType = "WorkflowCancelled"
	NodeStarted       EventType = "NodeStarted"
	NodeCompleted     EventType = "NodeCompleted"
	NodeFailed        EventType = "NodeFailed"
)

// Event is something that happened in a run. Every event is kept in the run's
// history and published on the event stream of the actor system, where
// actor.Subscribe finds it.
type Event struct {
	Type     EventType `json:"type"`
	At       time.Time `json:"at"`
	Workflow string    `json:"workflow"`
	RunID    string    `json:"run_id"`
	// Node is the node concerned; empty for an event of the whole run.
	Node string `json:"node,omitempty"`
	// Duration is how long it took, for what has come to an end.
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Rows counts the rows that left the node or, for an event of the whole
	// run, that the sinks took.
	Rows int64 `json:"rows,omitempty"`
	// Error and ErrorCode say why something failed or was cancelled.
	Error     string     `json:"error,omitempty"`
	ErrorCode fault.Code `json:"error_code,omitempty"`
}
