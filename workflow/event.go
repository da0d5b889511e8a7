package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// EventType says what happened.
type EventType string

// What happens in the life of a run.
const (
	WorkflowStarted   EventType = "WorkflowStarted"
	WorkflowPaused    EventType = "WorkflowPaused" // nothing new is begun; what is under way goes on
	WorkflowResumed   EventType = "WorkflowResumed"
	WorkflowCancelled EventType = "WorkflowCancelled"
	WorkflowCompleted EventType = "WorkflowCompleted"
	WorkflowFailed    EventType = "WorkflowFailed"
	WorkflowReopened  EventType = "WorkflowReopened" // a run that failed or was cancelled goes on, see [Run.Retry]
	CancelRequested   EventType = "CancelRequested"  // the run winds up
	SignalReceived    EventType = "SignalReceived"
	NodeStarted       EventType = "NodeStarted"
	NodeWaiting       EventType = "NodeWaiting"  // for a time, a signal, or a run below it
	NodeExpanded      EventType = "NodeExpanded" // an iteration of a loop, or the items of a foreach, are known
	NodeCompleted     EventType = "NodeCompleted"
	NodeRetried       EventType = "NodeRetried"      // an attempt failed; the next is due at Until
	NodeFailed        EventType = "NodeFailed"       // and will not be tried again
	NodeSkipped       EventType = "NodeSkipped"      // its condition is false, or nothing leads to it
	NodeCancelled     EventType = "NodeCancelled"    // it was ended because the run, or what it is part of, is winding up
	NodeCompensating  EventType = "NodeCompensating" // what the node did is being undone
	NodeCompensated   EventType = "NodeCompensated"
	NodeUndoFailed    EventType = "NodeUndoFailed"  // what the node did could not be undone
	NodeUndoRetried   EventType = "NodeUndoRetried" // an attempt to undo failed; the next is due at Until
)

// EventTypes are all types of events, in the order of a run's life.
func EventTypes() []EventType {
	return []EventType{
		WorkflowStarted, WorkflowPaused, WorkflowResumed, WorkflowCancelled, WorkflowCompleted, WorkflowFailed, WorkflowReopened, CancelRequested,
		SignalReceived, NodeStarted, NodeWaiting, NodeExpanded, NodeCompleted, NodeRetried, NodeFailed, NodeSkipped, NodeCancelled,
		NodeCompensating, NodeCompensated, NodeUndoFailed, NodeUndoRetried,
	}
}

// Event is something that happened in a run. Events are the truth about a run:
// all else can be computed from them. They are kept in the store and published
// on the event stream of the actor system, where actor.Subscribe finds them.
type Event struct {
	// Seq is the event's place in the run's history, from 1.
	Seq  int64     `json:"seq" cbor:"-"`
	Type EventType `json:"type" cbor:"-"`
	At   time.Time `json:"at" cbor:"-"`
	// Workflow and RunID tell whose history it is.
	Workflow string `json:"workflow" cbor:"-"`
	RunID    string `json:"run_id" cbor:"-"`
	// Node is the node concerned; empty for an event of the whole run.
	Node string `json:"node,omitempty" cbor:"n,omitempty"`
	// Iteration tells which of its runs it is if the node lies in a loop or a
	// foreach: an index, from 0, for each of those around it, the outermost first.
	Iteration []int `json:"iteration,omitempty" cbor:"i,omitempty"`
	// Attempt is which try it is, from 1.
	Attempt int `json:"attempt,omitempty" cbor:"a,omitempty"`
	// Duration is how long it took, for what has come to an end.
	Duration time.Duration `json:"duration_ns,omitempty" cbor:"d,omitempty"`
	// Handle is by which way a node that completed goes on, if not by "done".
	Handle string `json:"handle,omitempty" cbor:"h,omitempty"`
	// Output is the result of a node or a run, or what came with a signal.
	Output json.RawMessage `json:"output,omitempty" cbor:"o,omitempty"`
	// Until is when a wait ends, or the next attempt is due.
	Until time.Time `json:"until,omitzero" cbor:"u,omitzero"`
	// Signal is what is waited for, or what was received.
	Signal string `json:"signal,omitempty" cbor:"s,omitempty"`
	// Request is the id of the request that led to the event: the same request
	// does not lead to a second one.
	Request string `json:"request_id,omitempty" cbor:"q,omitempty"`
	// Items are what a foreach goes over.
	Items []json.RawMessage `json:"items,omitempty" cbor:"m,omitempty"`
	// Rows counts the rows that left the node or, for an event of the whole
	// run, that the sinks took.
	Rows int64 `json:"rows,omitempty" cbor:"r,omitempty"`
	// Nodes are the figures of nodes that move rows, once they have ended. Nodes
	// that pass rows to each other are one step, whose events bear the id of the
	// one that stands first in the definition.
	Nodes []NodeInfo `json:"nodes,omitempty" cbor:"f,omitempty"`
	// Rejects are the first rows that they set aside.
	Rejects []Reject `json:"rejects,omitempty" cbor:"x,omitempty"`
	// Error and ErrorCode say why something failed or was cancelled.
	Error     string     `json:"error,omitempty" cbor:"e,omitempty"`
	ErrorCode fault.Code `json:"error_code,omitempty" cbor:"c,omitempty"`
	// Start is how a run was started.
	Start *RunStart `json:"start,omitempty" cbor:"w,omitempty"`
}

// RunStart is how a run was started.
type RunStart struct {
	// Version is the version of the workflow that the run is pinned to.
	Version int64 `json:"version" cbor:"v"`
	// Inputs are the values given for the definition's inputs, as texts.
	Inputs map[string]string `json:"inputs,omitempty" cbor:"i,omitempty"`
	// OutputDir is where relative paths of sinks begin.
	OutputDir string `json:"output_dir,omitempty" cbor:"o,omitempty"`
	// Key is whose run it is, in the words of who started it, such as a customer.
	Key string `json:"key,omitempty" cbor:"k,omitempty"`
	// Parent and ParentNode are the run and the node, with its iteration, that
	// this run is a part of.
	Parent     string `json:"parent,omitempty" cbor:"p,omitempty"`
	ParentNode string `json:"parent_node,omitempty" cbor:"n,omitempty"`
	// RerunOf is the run whose results this one took over.
	RerunOf string `json:"rerun_of,omitempty" cbor:"r,omitempty"`
	// Trigger says what started it: "manual", "schedule/NAME", "trigger/NAME", …
	Trigger string `json:"trigger,omitempty" cbor:"t,omitempty"`
	// Scheduled is the instant of the schedule that it was started for.
	Scheduled time.Time `json:"scheduled,omitzero" cbor:"s,omitzero"`
	// Priority of its tasks where they compete for a limit: higher goes first.
	Priority int `json:"priority,omitempty" cbor:"y,omitempty"`
	// Rollout is the rollout that chose the version, see [RolloutInfo].ID.
	Rollout string `json:"rollout,omitempty" cbor:"l,omitempty"`
}

// Instance names a node together with its iteration: "load", "send[3]",
// "cell[3][7]".
func Instance(node string, iteration []int) string {
	if len(iteration) == 0 {
		return node
	}
	var b strings.Builder
	b.WriteString(node)
	for _, i := range iteration {
		fmt.Fprintf(&b, "[%d]", i)
	}
	return b.String()
}
