package workflow

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// How runs lie in a store:
//
//	stream run/ID                 the history of a run
//	entry  wf/run/WORKFLOW/DI     its summary; DI is its id with all bits turned
//	                              round, so that the newest stands first
//	entry  wf/open/ID             it has not ended; when it must be in memory
//	entry  wf/request/ID          the run that a request started
//	entry  wf/memory/WORKFLOW/NODE/DIGEST  what a source remembers, see [Memory]
//	entry  wf/trigger-memory/NAME/DIGEST   what the source of a trigger does
//	stream workflow/NAME          the versions of a workflow
//	stream runlog/ID              what the nodes of a run have logged
//
// See schedulestore.go and triggerverbs.go for schedules and triggers.

const (
	runPrefix     = "run/"
	summaryPrefix = "wf/run/"
	openPrefix    = "wf/open/"
	requestPrefix = "wf/request/"
)

// wakeNever is the time at which a run must be in memory that waits for a
// signal.
const wakeNever = int64(1<<63 - 1)

// openRun is the entry of a run that has not ended.
type openRun struct {
	Workflow string `json:"w"`
	Wake     int64  `json:"t,omitempty"` // in milliseconds; 0: at once
}

// RunSummary is what a list of runs tells of each.
type RunSummary struct {
	ID       string `json:"id"`
	Workflow string `json:"workflow"`
	Version  int64  `json:"version"`
	// State is running, paused, completed, failed or cancelled.
	State   State  `json:"state"`
	Key     string `json:"key,omitempty"`
	Trigger string `json:"trigger,omitempty"`
	Parent  string `json:"parent,omitempty"`
	RerunOf string `json:"rerun_of,omitempty"`
	// Scheduled is the instant of the schedule that it was started for.
	Scheduled time.Time  `json:"scheduled,omitzero"`
	Started   time.Time  `json:"started"`
	Finished  time.Time  `json:"finished,omitzero"`
	Rows      int64      `json:"rows,omitempty"`
	Error     string     `json:"error,omitempty"`
	Code      fault.Code `json:"error_code,omitempty"`
}

// summaryError bounds the text of an error in a summary.
const summaryError = 500

func (r *runState) summary() RunSummary {
	s := RunSummary{
		ID: r.id, Workflow: r.definition.Name, Version: r.start.Version, State: r.visible(), Key: r.start.Key, Trigger: r.start.Trigger,
		Parent: r.start.Parent, RerunOf: r.start.RerunOf, Scheduled: r.start.Scheduled, Started: r.started, Finished: r.ended, Rows: r.rows,
	}
	if r.state.Final() {
		s.Error, s.Code = r.cause.Text, r.cause.Code
		if len(s.Error) > summaryError {
			s.Error = strings.ToValidUTF8(s.Error[:summaryError], "") + "…"
		}
	}
	return s
}

// visible is the state that others see.
func (r *runState) visible() State {
	switch {
	case r.state.Final():
		return r.state
	case r.root.closing:
		return StateStopping
	case r.paused:
		return StatePaused
	}
	return r.state
}

func summaryKey(workflow, id string) string { return summaryPrefix + workflow + "/" + turned(id) }

// turned is an id with all its bits turned round. Turned again it is the id.
func turned(id string) string {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 {
		return id // which no run has
	}
	for i := range raw {
		raw[i] = ^raw[i]
	}
	return formatID(raw)
}

func formatID(raw []byte) string {
	text := hex.EncodeToString(raw)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// batch is what makes events durable.
func (e *Engine) batch(r *runState, before int64, events []Event) (*commitRoom, error) {
	room := e.commitRoom(len(events))
	if err := room.put(events); err != nil {
		return nil, err
	}
	if before == 0 {
		room.events[0].Meta = []byte(r.definition.Name)
	}
	room.first[0] = store.Append{Stream: r.stream, Expected: store.Position(before), Events: room.events}
	b := &room.batch
	b.Fence, b.Appends = e.fence, room.first[:]
	return room, nil
}

// follow adds to the batch with the last of some events what follows from all of
// them. A start is recorded by it: that the request has been seen, that the run is
// open, and that a schedule has moved on are one commit, and events before it that
// a crash has left alone belong to no run.
func (e *Engine) follow(b *store.Batch, r *runState, begins bool, events []Event, request string) error {
	if begins && request != "" {
		b.Sets = append(b.Sets, store.Set{Key: requestPrefix + request, Value: []byte(r.id), Expected: store.Absent})
	}
	r.addSnapshot(b, e.options.SnapshotEvery)
	return e.index(b, r, begins, events)
}

// index adds to a batch what lists and the next process need to know.
func (e *Engine) index(b *store.Batch, r *runState, begins bool, events []Event) error {
	changes := begins
	for i := range events {
		switch events[i].Type {
		case WorkflowStarted, WorkflowPaused, WorkflowResumed, WorkflowCancelled, WorkflowCompleted, WorkflowFailed, WorkflowReopened, CancelRequested:
			changes = true
		}
	}
	if changes {
		value, err := json.Marshal(r.summary())
		if err != nil {
			return err
		}
		b.Sets = append(b.Sets, store.Set{Key: summaryKey(r.definition.Name, r.id), Value: value, Expected: store.AnyVersion})
	}
	if r.along.Key != "" {
		b.Sets = append(b.Sets, r.along)
		r.along = store.Set{}
	}
	wake := (&decider{runState: r}).wakeTime()
	if !changes && wake == r.wake {
		return nil
	}
	open := store.Set{Key: openPrefix + r.id, Expected: store.AnyVersion}
	if r.state.Final() {
		open.Delete = true
		rolled, counts, err := e.rolled(r)
		if err != nil {
			return err
		}
		if counts {
			b.Sets = append(b.Sets, rolled)
		}
	} else {
		value, err := json.Marshal(openRun{Workflow: r.definition.Name, Wake: wake})
		if err != nil {
			return err
		}
		open.Value = value
	}
	r.wake = wake
	b.Sets = append(b.Sets, open)
	return nil
}

// wakeTime is when a run must be in memory: 0 if work is under way.
func (d *decider) wakeTime() int64 {
	if d.busy() {
		return 0
	}
	if t := d.nextWake(); !t.IsZero() {
		return t.UnixMilli()
	}
	return wakeNever
}

// snapshotWorth is from which event on it is worth the while to look for a
// snapshot.
const snapshotWorth = 100

// read brings a run from the store.
func (e *Engine) read(ctx context.Context, id string) (*decider, error) {
	r, more, err := e.readOn(ctx, id, nil)
	if err == nil && more {
		var from *runState
		if from, err = e.fromSnapshot(ctx, id); err == nil && from == nil {
			from = r
		}
		if err == nil {
			r, _, err = e.readOn(ctx, id, from)
		}
	}
	if err != nil {
		return nil, err
	}
	d := &decider{runState: r}
	r.wake = d.wakeTime()
	return d, nil
}

// readOn adds the events after a state to it. Without a state it begins with the
// first, and ends early, with more, where a snapshot might do better.
func (e *Engine) readOn(ctx context.Context, id string, r *runState) (_ *runState, more bool, err error) {
	const op = "workflow.Engine"
	from, early := store.Position(0), r == nil
	if r != nil {
		from = store.Position(r.seq + 1)
	}
	for stored, err := range e.store.Read(ctx, store.Stream(runPrefix+id), from) {
		if errors.Is(err, store.ErrUnknownStream) {
			return nil, false, noRun(op, id)
		}
		if err != nil {
			return nil, false, err
		}
		event, err := decodeEvent(stored)
		if err != nil {
			return nil, false, err
		}
		if r == nil {
			if event.Start == nil {
				return nil, false, fault.New(fault.DataLoss, op, "the history of the run %s does not begin with its start, but with %s", id, event.Type)
			}
			definition, err := e.pinned(ctx, string(stored.Meta), event.Start)
			if err != nil {
				return nil, false, err
			}
			r = newRunState(definition, id)
		}
		r.apply(&event)
		if early && r.seq == snapshotWorth {
			return r, true, nil
		}
	}
	if r == nil {
		return nil, false, noRun(op, id)
	}
	return r, false, nil
}

func noRun(op, id string) error {
	return &fault.Error{Code: fault.NotFound, Op: op, Target: id, Message: "there is no such run"}
}

// openRuns calls f for each run that has not ended.
func (e *Engine) openRuns(ctx context.Context, f func(id string, o openRun) error) error {
	filter := store.EntryFilter{Prefix: openPrefix, Limit: 10_000}
	for {
		entries, err := e.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, entry := range entries {
			var o openRun
			if err := json.Unmarshal(entry.Value, &o); err != nil {
				return err
			}
			if err := f(strings.TrimPrefix(entry.Key, openPrefix), o); err != nil {
				return err
			}
		}
		filter.After = entries[len(entries)-1].Key
	}
}

// RunFilter says which runs to list. Empty fields let everything through.
type RunFilter struct {
	Workflow string
	States   []State
	Key      string
	Trigger  string
	Parent   string
	Since    time.Time // started at or after
	Before   time.Time // started before

	// After is the cursor: the id of the last run of the page before.
	After string
	// Limit is how many runs at most. Default 100, at most 10,000.
	Limit int
}

// lists reports whether a run belongs to the list.
func (f *RunFilter) lists(s *RunSummary) bool {
	state := len(f.States) == 0
	for _, want := range f.States {
		state = state || s.State == want
	}
	return state && (f.Key == "" || s.Key == f.Key) && (f.Trigger == "" || s.Trigger == f.Trigger) && (f.Parent == "" || s.Parent == f.Parent) &&
		(f.Since.IsZero() || !s.Started.Before(f.Since)) && (f.Before.IsZero() || s.Started.Before(f.Before))
}

// Runs lists runs, the newest first.
func (e *Engine) Runs(ctx context.Context, f RunFilter) ([]RunSummary, error) {
	limit, err := store.PageLimit("workflow.Engine.Runs", f.Limit)
	if err != nil {
		return nil, err
	}
	names := []string{f.Workflow}
	if f.Workflow == "" {
		if names, err = e.names(ctx); err != nil {
			return nil, err
		}
	}
	pages := make([]summaryPage, len(names))
	for i, name := range names {
		pages[i] = summaryPage{engine: e, prefix: summaryPrefix + name + "/"}
		if f.After != "" {
			pages[i].after = pages[i].prefix + turned(f.After)
		}
	}
	runs := []RunSummary{}
	for len(runs) < limit {
		var next *summaryPage
		for i := range pages {
			if err := pages[i].fill(ctx, limit); err != nil {
				return nil, err
			}
			if len(pages[i].left) > 0 && (next == nil || pages[i].id() < next.id()) {
				next = &pages[i]
			}
		}
		if next == nil {
			break
		}
		var s RunSummary
		if err := json.Unmarshal(next.left[0].Value, &s); err != nil {
			return nil, err
		}
		next.left = next.left[1:]
		if f.lists(&s) {
			runs = append(runs, s)
		}
		if !f.Since.IsZero() && s.Started.Before(f.Since.Add(-time.Minute)) {
			break // ids are in the order of the starts, give or take a moment
		}
	}
	return runs, nil
}

// summaryPage reads the summaries of one workflow.
type summaryPage struct {
	engine *Engine
	prefix string
	after  string
	left   []store.Entry
	ended  bool
}

func (p *summaryPage) id() string { return strings.TrimPrefix(p.left[0].Key, p.prefix) }

func (p *summaryPage) fill(ctx context.Context, limit int) error {
	if len(p.left) > 0 || p.ended {
		return nil
	}
	entries, err := p.engine.store.Entries(ctx, store.EntryFilter{Prefix: p.prefix, After: p.after, Limit: min(max(limit, 10), 1000)})
	if err != nil {
		return err
	}
	p.left, p.ended = entries, len(entries) == 0
	if !p.ended {
		p.after = entries[len(entries)-1].Key
	}
	return nil
}

// Prune removes the runs of a workflow that have ended, but for the newest
// ones, with their histories. It returns the ids of those removed.
func (e *Engine) Prune(ctx context.Context, workflow string, keep int) ([]string, error) {
	var removed []string
	filter := RunFilter{Workflow: workflow, States: []State{StateCompleted, StateFailed, StateCancelled}, Limit: 1000}
	for {
		runs, err := e.Runs(ctx, filter)
		if err != nil || len(runs) == 0 {
			return removed, err
		}
		filter.After = runs[len(runs)-1].ID
		gone := runs[min(keep, len(runs)):]
		keep = max(0, keep-len(runs))
		for _, r := range gone {
			batch := &store.Batch{
				Fence: e.fence,
				Trims: []store.Trim{
					{Stream: store.Stream(runPrefix + r.ID), Through: store.Everything},
					{Stream: store.Stream(runLogPrefix + r.ID), Through: store.Everything},
				},
				Sets: []store.Set{{Key: summaryKey(r.Workflow, r.ID), Delete: true, Expected: store.AnyVersion}},
			}
			if _, err := e.store.Commit(ctx, batch); err != nil {
				return removed, err
			}
			removed = append(removed, r.ID)
		}
	}
}
