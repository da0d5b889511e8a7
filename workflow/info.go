package workflow

import (
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// State is what a run or one of its nodes is doing.
type State string

// The states of runs and nodes. A run goes from running over stopping to
// completed, failed or cancelled. A node goes from pending over running to
// completed, if the run does too, or else to failed or cancelled.
const (
	StatePending   State = "pending"   // a node that is not open yet
	StateRunning   State = "running"   // rows are under way
	StateWaiting   State = "waiting"   // for a time, a signal, a run below it, or its next attempt
	StatePaused    State = "paused"    // of a run: nothing new is begun
	StateStopping  State = "stopping"  // of a run: it winds up, because it failed or was cancelled
	StateCompleted State = "completed" // all rows are handled and every sink is committed
	StateFailed    State = "failed"    // of a node: it is the one that failed
	StateCancelled State = "cancelled" // of a node: the run ended before it did
	StateSkipped   State = "skipped"   // of a node: its condition was false, or nothing led to it
)

// Final reports whether the state does not change any more.
func (s State) Final() bool {
	return s == StateCompleted || s == StateFailed || s == StateCancelled
}

// RunInfo is a snapshot of a run, live or ended.
type RunInfo struct {
	// ID sorts by the time at which runs started.
	ID       string `json:"id"`
	Workflow string `json:"workflow"`
	// Version is the version of the workflow that the run is pinned to.
	Version  int64     `json:"version"`
	State    State     `json:"state"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	// Start is how it was started.
	Start RunStart `json:"start"`
	// Output is what a completed run gave out, JSON.
	Output json.RawMessage `json:"output,omitempty"`
	// Events is the length of its history.
	Events int64 `json:"events"`
	// Nodes stand in the order of the definition.
	Nodes []NodeInfo `json:"nodes"`
	// Edges are sorted by the order of the nodes they lead into.
	Edges []EdgeInfo `json:"edges"`
	// After are the edges of control.
	After []Dependency `json:"after,omitempty"`
	// Waits are what the run waits for.
	Waits []Wait `json:"waits,omitempty"`
	// Rejects are the first rows that each node set aside, at most
	// [EngineOptions].RejectsKept of one node, in the order of the nodes.
	Rejects []Reject `json:"rejects,omitempty"`
	// RejectsFile is the file that has all of them, once the run is completed;
	// empty if the definition names none.
	RejectsFile string `json:"rejects_file,omitempty"`
	// RejectedTotal counts the rows that were set aside by all nodes.
	RejectedTotal int64 `json:"rejected_total"`
	// Error says in one line why the run failed or was cancelled.
	Error string `json:"error,omitempty"`
	// ErrorCode classifies Error.
	ErrorCode fault.Code `json:"error_code,omitempty"`
}

// Wait is something that a run waits for.
type Wait struct {
	// Node is the node that waits, with its iteration.
	Node      string `json:"node"`
	Iteration []int  `json:"iteration,omitempty"`
	// For is what it waits for: "signal", "approval", "time" or "attempt".
	For string `json:"for"`
	// Signal is the name of the signal, for a signal or an approval.
	Signal string `json:"signal,omitempty"`
	// Title is what is to be approved.
	Title string `json:"title,omitempty"`
	// Until is when the wait ends at the latest; zero: never.
	Until time.Time `json:"until,omitzero"`
	// Error is why the last attempt failed.
	Error string `json:"error,omitempty"`
}

// RowsIn is the number of rows that the sources met, good or bad.
func (r RunInfo) RowsIn() int64 {
	return r.sum(RoleSource, func(n NodeInfo) int64 { return n.RowsIn })
}

// RowsOut is the number of rows that the sinks took.
func (r RunInfo) RowsOut() int64 {
	return r.sum(RoleSink, func(n NodeInfo) int64 { return n.RowsOut })
}

func (r RunInfo) sum(role Role, of func(NodeInfo) int64) int64 {
	var total int64
	for _, n := range r.Nodes {
		if n.Role == role {
			total += of(n)
		}
	}
	return total
}

// NodeInfo is a snapshot of one node of a run.
type NodeInfo struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Role  Role   `json:"role"`
	State State  `json:"state"`
	// Parent is the foreach or loop that the node lies in.
	Parent string `json:"parent,omitempty"`
	// Counts tells what became of the iterations of a node in a loop.
	Counts *NodeCounts `json:"counts,omitempty"`
	// Attempt is which try it is, or was, from 1.
	Attempt int `json:"attempt,omitempty"`
	// Handle is by which way the node went on, if not by "done".
	Handle string `json:"handle,omitempty"`
	// Output is what the node gave out, JSON.
	Output json.RawMessage `json:"output,omitempty"`
	// Started is when the node began.
	Started time.Time `json:"started,omitzero"`
	// ActorPath is the path of the node's actor in the supervision tree, of a
	// node that moves rows, while it is there.
	ActorPath string `json:"actor_path,omitempty"`
	// RowsIn counts the rows that came in; of a source, those it met in its
	// input.
	RowsIn int64 `json:"rows_in"`
	// RowsOut counts the rows that left, each once, however many edges it took;
	// of a sink, those it wrote.
	RowsOut int64 `json:"rows_out"`
	// Sent counts the rows that left by each handle.
	Sent map[string]int64 `json:"sent,omitempty"`
	// Rejected counts the rows that were set aside.
	Rejected int64 `json:"rejected"`
	// Filtered counts the rows that were dropped on purpose.
	Filtered int64 `json:"filtered"`
	// Held counts the rows that went into the node's own state, such as the
	// groups of an aggregate.
	Held int64 `json:"held"`
	// Made counts the rows that came out of the node's own state, or beyond one
	// of those that came in.
	// So RowsIn + Made = RowsOut + Rejected + Filtered + Held.
	Made int64 `json:"made"`
	// Batches counts the batches that came in; of a source, those it read.
	Batches int64 `json:"batches"`
	// Dropped counts rows that found no room in front of the node and are not
	// among RowsIn: its overflow is "drop".
	Dropped int64 `json:"dropped,omitempty"`
	// Duration is the time from the node's first work to its last.
	Duration time.Duration `json:"duration_ns"`
	// Artifact is where a sink's result is to be found. It is set while the
	// sink is open; the result is there once the run is completed.
	Artifact *Artifact `json:"artifact,omitempty"`
	// Error says in one line why the node failed, or what failed when it
	// cleaned up.
	Error string `json:"error,omitempty"`
}

// NodeCounts counts iterations of a node by what became of them.
type NodeCounts struct {
	Active    int64 `json:"active"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Skipped   int64 `json:"skipped"`
	Cancelled int64 `json:"cancelled"`
}

// EdgeInfo is a snapshot of one edge of a run.
type EdgeInfo struct {
	From   string `json:"from"`
	Handle string `json:"handle"`
	To     string `json:"to"`
	Input  string `json:"input,omitempty"`
	// Rows counts the rows that were sent over the edge.
	Rows int64 `json:"rows"`
}
