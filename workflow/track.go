package workflow

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// nodeTrack are the figures of one node of a run. The node's actor writes them
// while anybody reads them.
type nodeTrack struct {
	node Node
	path string // of the actor; set before the run's handle is handed out

	rowsIn   atomic.Int64
	rowsOut  atomic.Int64
	rejected atomic.Int64
	filtered atomic.Int64
	held     atomic.Int64
	made     atomic.Int64
	batches  atomic.Int64
	dropped  atomic.Int64 // rows that found no room in front of the node

	mu       sync.Mutex
	state    State
	began    time.Time // of its first work
	worked   time.Time // its last work
	artifact *Artifact
	err      error
	cleanup  error // of cleaning up
	rejects  []Reject
}

// setState moves on to a state; one that is final stays.
func (t *nodeTrack) setState(s State, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.Final() {
		return
	}
	t.state = s
	if err != nil {
		t.err = err
	}
}

// cleanupFailed notes an error of cleaning up, beside that of the work.
func (t *nodeTrack) cleanupFailed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanup = err
}

// touch notes that the node works at this time.
func (t *nodeTrack) touch(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = now
	}
	t.worked = now
}

// keep keeps the first rejects.
func (t *nodeTrack) keep(rejects []Reject, most int) {
	t.rejected.Add(int64(len(rejects)))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rejects[:min(len(rejects), most-len(t.rejects))] {
		r.Raw = cutRaw(r.Raw)
		t.rejects = append(t.rejects, r)
	}
}

// info takes a snapshot.
func (t *nodeTrack) info() (NodeInfo, []Reject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := NodeInfo{
		ID: t.node.ID, Type: t.node.Type, Role: t.node.Role, State: t.state, ActorPath: t.path,
		RowsIn: t.rowsIn.Load(), RowsOut: t.rowsOut.Load(), Rejected: t.rejected.Load(), Filtered: t.filtered.Load(),
		Held: t.held.Load(), Made: t.made.Load(), Batches: t.batches.Load(), Dropped: t.dropped.Load(),
		Duration: t.worked.Sub(t.began), Artifact: t.artifact,
	}
	switch {
	case t.err != nil && t.cleanup != nil:
		n.Error = t.err.Error() + "; then " + t.cleanup.Error()
	case t.err != nil:
		n.Error = t.err.Error()
	case t.cleanup != nil:
		n.Error = t.cleanup.Error()
	}
	return n, slices.Clip(t.rejects)
}

// edgeTrack are the figures of one edge.
type edgeTrack struct {
	edge     Edge
	sent     atomic.Int64
	received atomic.Int64
}

// checkConservation reports rows that have got lost or came up between the
// counters of a run in which every node has ended. There is no such run unless
// a node type or the engine has a bug.
func checkConservation(nodes []*nodeTrack, edges []*edgeTrack) error {
	var lost []string
	into, from := map[string]int64{}, map[string]int64{}
	for _, e := range edges {
		sent, received := e.sent.Load(), e.received.Load()
		if sent != received {
			lost = append(lost, fmt.Sprintf("from %s to %s %d rows were sent and %d received", e.edge.From, e.edge.To, sent, received))
		}
		into[e.edge.To] += received
		from[e.edge.From] = max(from[e.edge.From], sent)
	}
	for _, t := range nodes {
		n, _ := t.info()
		if n.RowsIn+n.Made != n.RowsOut+n.Rejected+n.Filtered+n.Held {
			lost = append(lost, fmt.Sprintf("%s took %d rows, made %d, and accounts for %d out, %d set aside, %d filtered, %d held",
				n.ID, n.RowsIn, n.Made, n.RowsOut, n.Rejected, n.Filtered, n.Held))
		}
		if n.Role != RoleSource && n.RowsIn != into[n.ID] {
			lost = append(lost, fmt.Sprintf("%s took %d rows of the %d that arrived", n.ID, n.RowsIn, into[n.ID]))
		}
		if n.Role != RoleSink && n.RowsOut < from[n.ID] {
			lost = append(lost, fmt.Sprintf("%s gave out %d rows of which %d were sent", n.ID, n.RowsOut, from[n.ID]))
		}
	}
	if lost == nil {
		return nil
	}
	return &fault.Error{
		Code: fault.Internal, Message: "the rows do not add up: " + strings.Join(lost, "; "),
		Hint: "this is a bug in a node type; no sink was committed",
	}
}
