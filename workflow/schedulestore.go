package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// How schedules lie in a store:
//
//	entry  wf/schedule/NAME       the schedule
//	entry  wf/fired/NAME          where it stands

const (
	schedulePrefix = "wf/schedule/"
	firedPrefix    = "wf/fired/"
	// scheduleTrigger begins the trigger of a run that a schedule has started.
	scheduleTrigger = "schedule/"
)

// loadSchedules reads all schedules, and takes in which of their runs have ended.
func (e *Engine) loadSchedules(ctx context.Context) ([]*scheduleEntry, error) {
	var out []*scheduleEntry
	filter := store.EntryFilter{Prefix: schedulePrefix, Limit: 1000}
	for {
		entries, err := e.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return out, err
		}
		for _, stored := range entries {
			entry, err := e.readSchedule(ctx, stored)
			if err != nil {
				if fault.CodeOf(err).Transient() || ctx.Err() != nil {
					return nil, err
				}
				// One schedule that cannot be read does not hold up the others.
				e.log.Error("a schedule cannot be read", "schedule", strings.TrimPrefix(stored.Key, schedulePrefix), "error", err)
				continue
			}
			out = append(out, entry)
		}
		filter.After = entries[len(entries)-1].Key
	}
}

// readSchedule reads where a schedule stands.
func (e *Engine) readSchedule(ctx context.Context, stored store.Entry) (*scheduleEntry, error) {
	var s Schedule
	if err := json.Unmarshal(stored.Value, &s); err != nil {
		return nil, fault.Wrap(fault.DataLoss, "workflow.Engine", err)
	}
	plan, err := planSchedule(s)
	if err != nil {
		return nil, err
	}
	position, err := e.store.Entry(ctx, firedPrefix+s.Name)
	if err != nil {
		return nil, err
	}
	state := &scheduleState{}
	if err := json.Unmarshal(position.Value, state); err != nil {
		return nil, fault.Wrap(fault.DataLoss, "workflow.Engine", err)
	}
	for _, runs := range [][]string{state.Running, state.Filling} {
		for _, id := range append([]string(nil), runs...) {
			if err := e.catchUpOn(ctx, plan.Workflow, state, id); err != nil {
				return nil, err
			}
		}
	}
	return &scheduleEntry{plan: plan, revision: stored.Version, state: state, position: position.Version}, nil
}

// catchUpOn takes in whether a run of a schedule has ended.
func (e *Engine) catchUpOn(ctx context.Context, workflow string, state *scheduleState, id string) error {
	_, err := e.store.Entry(ctx, openPrefix+id)
	if !errors.Is(err, store.ErrNoEntry) {
		return err
	}
	at := time.Now()
	if stored, err := e.store.Entry(ctx, summaryKey(workflow, id)); err == nil {
		var s RunSummary
		if json.Unmarshal(stored.Value, &s) == nil && !s.Finished.IsZero() {
			at = s.Finished
		}
	}
	state.ended(id, at)
	return nil
}

// again reads a schedule anew, after something else than was expected was found
// in the store.
func (e *Engine) again(ctx context.Context, name string) (*scheduleEntry, error) {
	stored, err := e.store.Entry(ctx, schedulePrefix+name)
	if err != nil {
		return nil, err
	}
	return e.readSchedule(ctx, stored)
}

// set is the change of the store that makes a state that of the schedule.
func (entry *scheduleEntry) set(state *scheduleState) (store.Set, error) {
	value, err := json.Marshal(state)
	return store.Set{Key: firedPrefix + entry.plan.Name, Value: value, Expected: entry.position}, err
}

// moved is the entry with another state, once that is stored.
func (entry *scheduleEntry) moved(state *scheduleState) *scheduleEntry {
	next := *entry
	next.state = state
	next.position++
	return &next
}

// fire does what is due: it is the job of a schedule whose time has come.
func (e *Engine) fire(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
	if owner := definedBy(entry.plan.Name); owner != "" && e.settling.owes(owner) {
		e.tendRollout(owner)
		return nil, errOwed
	}
	d := entry.plan.decide(entry.state, time.Now())
	var err error
	switch {
	case d.start != nil:
		entry, _, err = e.ignite(ctx, entry, d.state, *d.start, "")
	case d.changed:
		entry, err = e.moveSchedule(ctx, entry, d.state)
	}
	if err != nil {
		return nil, err
	}
	for _, id := range d.cancel {
		run := &Run{engine: e, id: id}
		if err := run.Cancel(ctx, "the next instant of the schedule has come"); err != nil && !errors.Is(err, errEnded) {
			e.log.Warn("a run cannot be cancelled for its schedule", "schedule", entry.plan.Name, "execution_id", id, "error", err)
		}
	}
	return entry, nil
}

// moveSchedule stores another state of a schedule.
func (e *Engine) moveSchedule(ctx context.Context, entry *scheduleEntry, state *scheduleState) (*scheduleEntry, error) {
	set, err := entry.set(state)
	if err != nil {
		return nil, err
	}
	_, err = e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{set}})
	if errors.Is(err, store.ErrConflict) { // an earlier attempt, of unknown outcome, has done it
		return e.again(ctx, entry.plan.Name)
	}
	if err != nil {
		return nil, err
	}
	return entry.moved(state), nil
}

// ignite starts a run for an instant and moves the schedule, both in one commit.
// What can never start is counted as failed; other errors leave the instant for
// another time.
func (e *Engine) ignite(ctx context.Context, entry *scheduleEntry, state *scheduleState, i ignition, request string) (*scheduleEntry, *Run, error) {
	p, now := entry.plan, time.Now()
	var moved *scheduleState
	inputs, err := p.inputsAt(i.instant)
	if err == nil {
		var run *Run
		run, err = e.Start(ctx, p.Workflow, StartOptions{
			Version: p.Version, Inputs: inputs, Key: p.Key, Priority: p.Priority, Trigger: scheduleTrigger + p.Name, RequestID: request,
			scheduled: i.instant,
			along: func(runID string) (store.Set, error) {
				moved = p.started(state, &i, now, runID, nil)
				return entry.set(moved)
			},
		})
		if err == nil {
			return entry.moved(moved), run, nil
		}
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		entry, err = e.again(ctx, p.Name)
		return entry, nil, err
	case fault.CodeOf(err).Transient() || ctx.Err() != nil || e.isClosing() || errors.Is(err, store.ErrStaleEpoch):
		return nil, nil, err
	case i.byHand:
		return nil, nil, err
	}
	e.log.Error("a schedule cannot start a run", "schedule", p.Name, "workflow_id", p.Workflow, "instant", i.instant, "error", err)
	entry, err = e.moveSchedule(ctx, entry, p.started(state, &i, now, "", err))
	return entry, nil, err
}
