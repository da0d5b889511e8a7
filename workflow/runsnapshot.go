package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// A snapshot is the state of a run at a place of its history, so that a long run
// is read from there on. The history stays whole: a snapshot that cannot be read,
// because another version of the program wrote it, is passed over.

const (
	// snapshotShare lets a large state be written less often: one event more for
	// so many bytes.
	snapshotShare = 128
	// snapshotMax is the size above which no snapshot is taken, well below what a
	// store takes.
	snapshotMax = 6 << 20
)

// snapshotType is what a snapshot is written as. A change of the types below is
// another type, with another name.
var snapshotType = wire.CBOR[*runSnapshot]("workflow.run.1")

type runSnapshot struct {
	_         struct{} `cbor:",toarray"`
	Workflow  string
	Start     RunStart
	State     State
	Started   time.Time
	Ended     time.Time
	Seq       int64
	Root      scopeSnapshot
	Cancelled bool
	Cause     failure
	Paused    bool
	Output    json.RawMessage
	Rows      int64
	Signals   map[string][]signal
	Requests  []string
	Undo      []undoSnapshot
	Undoing   int
	UndoTry   int
	UndoUntil time.Time
	UndoError failure
	Counts    map[string]countSnapshot
	Ends      int
}

type scopeSnapshot struct {
	_       struct{} `cbor:",toarray"`
	Index   int
	Item    json.RawMessage
	Last    json.RawMessage
	Steps   []stepSnapshot
	Closing bool
	Cause   failure
}

type stepSnapshot struct {
	_       struct{} `cbor:",toarray"`
	Status  State
	Attempt int
	Handle  string
	Output  json.RawMessage
	Cause   failure
	Started time.Time
	Ended   time.Time
	Until   time.Time
	Signal  string
	Title   string
	Data    []NodeInfo
	Rejects []Reject
	More    *expandedSnapshot
}

// expandedSnapshot is the rest of a foreach or loop.
type expandedSnapshot struct {
	_       struct{} `cbor:",toarray"`
	Items   []json.RawMessage
	Results []json.RawMessage
	Scopes  []scopeSnapshot
	Next    int
	Failed  int
	Open    bool // it has scopes, be it none at present
}

type undoSnapshot struct {
	_         struct{} `cbor:",toarray"`
	Node      string
	Iteration []int
	Output    json.RawMessage
	Item      json.RawMessage
}

type countSnapshot struct {
	_                                             struct{} `cbor:",toarray"`
	Active, Completed, Failed, Skipped, Cancelled int64
	Began, Ended                                  time.Time
}

// snapshot is what a run is read from.
func (r *runState) snapshot() *runSnapshot {
	s := &runSnapshot{
		Workflow: r.definition.Name, Start: r.start, State: r.state, Started: r.started, Ended: r.ended, Seq: r.seq,
		Root: r.root.snapshot(), Cancelled: r.cancelled, Cause: r.cause, Paused: r.paused, Output: r.output, Rows: r.rows,
		Signals: r.signals, Requests: r.requests, Undoing: r.undoing, UndoTry: r.undoTry, UndoUntil: r.undoUntil, UndoError: r.undoError,
		Counts: map[string]countSnapshot{}, Ends: r.ends,
	}
	for _, u := range r.undo {
		s.Undo = append(s.Undo, undoSnapshot{Node: u.def.id, Iteration: u.iteration, Output: u.output, Item: u.item})
	}
	for def, c := range r.counts {
		s.Counts[def.id] = countSnapshot{
			Active: c.active, Completed: c.completed, Failed: c.failed, Skipped: c.skipped, Cancelled: c.cancelled, Began: c.began, Ended: c.ended,
		}
	}
	return s
}

func (s *scope) snapshot() scopeSnapshot {
	out := scopeSnapshot{Index: s.index, Item: s.item, Last: s.last, Closing: s.closing, Cause: s.cause, Steps: make([]stepSnapshot, len(s.steps))}
	for i := range s.steps {
		st := &s.steps[i]
		out.Steps[i] = stepSnapshot{
			Status: st.status, Attempt: st.attempt, Handle: st.handle, Output: st.output, Cause: st.cause, Started: st.started, Ended: st.ended,
			Until: st.until, Signal: st.signal, Title: st.title, Data: st.data, Rejects: st.rejects,
		}
		if st.def.body == nil {
			continue
		}
		more := &expandedSnapshot{Items: st.items, Results: st.results, Next: st.next, Failed: st.failed, Open: st.scopes != nil}
		for _, index := range openScopes(st) {
			more.Scopes = append(more.Scopes, st.scopes[index].snapshot())
		}
		out.Steps[i].More = more
	}
	return out
}

// restore makes a state of a snapshot, or reports that it is none of the
// definition.
func (s *runSnapshot) restore(d *Definition, id string) (*runState, bool) {
	r := newRunState(d, id)
	r.start, r.state, r.started, r.ended, r.seq = s.Start, s.State, s.Started, s.Ended, s.Seq
	r.cancelled, r.cause, r.paused, r.output, r.rows = s.Cancelled, s.Cause, s.Paused, s.Output, s.Rows
	r.requests, r.undoing, r.undoTry, r.undoUntil, r.undoError = s.Requests, s.Undoing, s.UndoTry, s.UndoUntil, s.UndoError
	r.ends = s.Ends
	if s.Signals != nil {
		r.signals = s.Signals
	}
	for _, u := range s.Undo {
		def := d.step(u.Node)
		if def == nil {
			return nil, false
		}
		r.undo = append(r.undo, &stepRef{def: def, iteration: u.Iteration, output: u.Output, item: u.Item})
	}
	for id, c := range s.Counts {
		def := d.step(id)
		if def == nil {
			return nil, false
		}
		r.counts[def] = &stepCount{
			active: c.Active, completed: c.Completed, failed: c.Failed, skipped: c.Skipped, cancelled: c.Cancelled, began: c.Began, ended: c.Ended,
		}
	}
	fits := r.restore(r.root, &s.Root)
	return r, fits
}

// restore fills a new scope.
func (r *runState) restore(s *scope, from *scopeSnapshot) bool {
	if len(from.Steps) != len(s.steps) {
		return false
	}
	s.item, s.last, s.closing, s.cause = from.Item, from.Last, from.Closing, from.Cause
	for i := range s.steps {
		st, was := &s.steps[i], &from.Steps[i]
		st.status, st.attempt, st.handle, st.output, st.cause = was.Status, was.Attempt, was.Handle, was.Output, was.Cause
		st.started, st.ended, st.until, st.signal, st.title = was.Started, was.Ended, was.Until, was.Signal, was.Title
		st.data, st.rejects = was.Data, was.Rejects
		if st.works() {
			r.working++
		}
		if st.active() {
			s.active++
		}
		if st.settled() {
			s.left--
			for _, d := range st.def.dependents {
				s.steps[d].waiting--
			}
		}
		more := was.More
		if (st.def.body != nil) != (more != nil) {
			return false
		}
		if more == nil {
			continue
		}
		st.items, st.results, st.next, st.failed = more.Items, more.Results, more.Next, more.Failed
		if more.Open {
			st.scopes = map[int]*scope{}
		}
		for j := range more.Scopes {
			inner := newScope(st.def.body, st, more.Scopes[j].Index)
			if !r.restore(inner, &more.Scopes[j]) {
				return false
			}
			st.scopes[inner.index] = inner
		}
	}
	return true
}

// addSnapshot adds a snapshot to a batch when it is time for one: after so many
// events, or more if the state is large.
func (r *runState) addSnapshot(b *store.Batch, every int) {
	if r.seq-r.snapshotAt < int64(max(every, r.snapshotSize/snapshotShare)) || r.state.Final() {
		return
	}
	data, err := snapshotType.Append(nil, r.snapshot())
	r.snapshotAt, r.snapshotSize = r.seq, len(data)
	if err != nil || len(data) > snapshotMax {
		return // the history tells it all
	}
	b.Snapshots = append(b.Snapshots, store.Snapshot{
		Stream: b.Appends[0].Stream, Position: store.Position(r.seq), Type: snapshotType.Name(), Data: data,
	})
}

// fromSnapshot reads the state of a run from its snapshot, or nil if it has none
// that can be read.
func (e *Engine) fromSnapshot(ctx context.Context, id string) (*runState, error) {
	stored, err := e.store.Snapshot(ctx, store.Stream(runPrefix+id))
	switch {
	case errors.Is(err, store.ErrNoSnapshot) || errors.Is(err, store.ErrUnknownStream):
		return nil, nil //nolint:nilnil // there is none, and that is no error
	case err != nil:
		return nil, err
	}
	s, err := snapshotType.Decode(wire.Message{Type: stored.Type, Codec: snapshotType.CodecName(), Data: stored.Data})
	if err != nil {
		e.log.Warn("the snapshot of a run cannot be read; its history is read instead", "execution_id", id, "error", err)
		return nil, nil //nolint:nilnil // as above
	}
	definition, err := e.pinned(ctx, s.Workflow, &s.Start)
	if err != nil {
		return nil, err
	}
	r, ok := s.restore(definition, id)
	if !ok || r.seq != int64(stored.Position) {
		e.log.Warn("the snapshot of a run does not fit to its definition; its history is read instead", "execution_id", id,
			"error", fault.New(fault.DataLoss, "workflow", "the snapshot at %d is not of version %d", stored.Position, s.Start.Version))
		return nil, nil //nolint:nilnil // as above
	}
	r.snapshotAt, r.snapshotSize = r.seq, len(stored.Data)
	return r, nil
}
