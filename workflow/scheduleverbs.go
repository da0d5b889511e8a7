package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// nextListed is how many instants to come a [ScheduleInfo] lists.
const nextListed = 5

// PutSchedule makes a schedule, or changes the one of its name. The revision is
// the one that is expected: that of the [ScheduleInfo] that the change is based
// on, [store.Absent] to make a new one, [store.AnyVersion] for either. A schedule
// that is as it was makes no change.
//
// When the timing changes, the new one counts from now on, and backfills end;
// otherwise the schedule goes on from the instant where it is.
//
// Errors: [FieldErrors] for what is wrong in the schedule, NOT_FOUND for an
// unknown workflow or version, [store.ErrConflict] for another revision,
// RESOURCE_EXHAUSTED beyond [SchedulesMax], FAILED_PRECONDITION for one of a
// definition, those of the store.
func (e *Engine) PutSchedule(ctx context.Context, s Schedule, revision int64) (ScheduleInfo, error) {
	const op = "workflow.Engine.PutSchedule"
	if err := refuseDefined(op, "schedule", s.Name); err != nil {
		return ScheduleInfo{}, err
	}
	plan, err := planSchedule(s)
	if err != nil {
		return ScheduleInfo{}, err
	}
	now := time.Now().Truncate(time.Millisecond).UTC()
	if err := e.checkScheduled(ctx, plan, now); err != nil {
		return ScheduleInfo{}, err
	}
	entry, err := e.onSchedule(ctx, plan.Name, func(ctx context.Context, old *scheduleEntry) (*scheduleEntry, error) {
		if old == nil {
			if err := plan.notPast(now); err != nil {
				return nil, err
			}
		}
		return e.putSchedule(ctx, old, plan, revision, now)
	})
	if err != nil {
		return ScheduleInfo{}, fault.Wrap(fault.CodeOf(err), op, err)
	}
	return entry.info(), nil
}

// checkScheduled finds out whether a run could be started.
func (e *Engine) checkScheduled(ctx context.Context, p *schedulePlan, now time.Time) error {
	version := p.Version
	if version == 0 {
		var err error
		if version, err = e.active(ctx, p.Workflow); err != nil {
			return err
		}
	}
	inputs, err := p.inputsAt(now)
	if err != nil {
		return err
	}
	_, err = e.definition(ctx, p.Workflow, version, inputs)
	return err
}

// timingEqual reports whether two schedules have the same instants.
func timingEqual(a, b *Schedule) bool {
	return a.Cron == b.Cron && a.TimeZone == b.TimeZone && a.Every == b.Every && a.Delay == b.Delay && a.At.Equal(b.At) && a.Start.Equal(b.Start) && a.End.Equal(b.End)
}

func (e *Engine) putSchedule(ctx context.Context, old *scheduleEntry, plan *schedulePlan, revision int64, now time.Time) (*scheduleEntry, error) {
	actual := store.Absent
	if old != nil {
		actual = old.revision
	}
	if revision != store.AnyVersion && revision != actual {
		return nil, store.EntryConflict(schedulePrefix+plan.Name, revision, actual)
	}
	next := &scheduleEntry{plan: plan, revision: actual}
	switch {
	case old == nil:
		if n, err := e.countSchedules(ctx); err != nil || n >= SchedulesMax {
			return nil, errors.Join(err, fault.New(fault.ResourceExhausted, "", "there are %d schedules; at most %d are allowed", n, SchedulesMax))
		}
		next.revision, next.position = revision, revision // one that cannot be read may be there, to be replaced
		next.state = plan.newState(now)
	case reflect.DeepEqual(old.plan.Schedule, plan.Schedule):
		return old, nil
	default:
		next.state, next.position = old.state.clone(), old.position
		if !timingEqual(&old.plan.Schedule, &plan.Schedule) {
			next.state.After, next.state.Backfills = latest(next.state.After, now), nil
			if plan.timing == timingEvery {
				next.state.Created = now
			}
		}
		if old.plan.Paused && !plan.Paused {
			next.state.After = latest(next.state.After, now)
		}
	}
	return e.storeSchedule(ctx, next)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// storeSchedule stores a schedule that was changed, and where it stands.
func (e *Engine) storeSchedule(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
	value, err := json.Marshal(entry.plan.Schedule)
	if err != nil {
		return nil, err
	}
	set, err := entry.set(entry.state)
	if err != nil {
		return nil, err
	}
	result, err := e.store.Commit(ctx, &store.Batch{
		Fence: e.fence, Sets: []store.Set{{Key: schedulePrefix + entry.plan.Name, Value: value, Expected: entry.revision}, set},
	})
	if err != nil {
		return nil, err
	}
	next := *entry
	next.revision, next.position = result.Versions[0], result.Versions[1]
	return &next, nil
}

func (e *Engine) countSchedules(ctx context.Context) (int, error) {
	entries, err := e.store.Entries(ctx, store.EntryFilter{Prefix: schedulePrefix, Limit: SchedulesMax})
	return len(entries), err
}

// noSchedule is the error for a name that no schedule has.
func noSchedule(name string) error {
	return &fault.Error{Code: fault.NotFound, Op: "workflow.Engine", Target: name, Message: "there is no such schedule"}
}

// changeSchedule has a job done on a schedule that must be there.
func (e *Engine) changeSchedule(ctx context.Context, name string, do func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error)) (ScheduleInfo, error) {
	entry, err := e.onSchedule(ctx, name, func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
		if entry == nil {
			return nil, noSchedule(name)
		}
		return do(ctx, entry)
	})
	if err != nil {
		return ScheduleInfo{}, err
	}
	return entry.info(), nil
}

// Schedule returns a schedule, with the states of the runs that it started last.
// Errors: NOT_FOUND.
func (e *Engine) Schedule(ctx context.Context, name string) (ScheduleInfo, error) {
	info, err := e.changeSchedule(ctx, name, func(_ context.Context, entry *scheduleEntry) (*scheduleEntry, error) { return entry, nil })
	for i := range info.Firings {
		f := &info.Firings[i]
		if f.Run == "" {
			continue
		}
		stored, err := e.store.Entry(ctx, summaryKey(info.Workflow, f.Run))
		if errors.Is(err, store.ErrNoEntry) {
			continue // it was pruned
		}
		var s RunSummary
		if err := errors.Join(err, json.Unmarshal(stored.Value, &s)); err != nil {
			return info, err
		}
		f.State = s.State
	}
	return info, err
}

// Schedules lists schedules by name.
func (e *Engine) Schedules(ctx context.Context, f ScheduleFilter) ([]ScheduleInfo, error) {
	limit, err := store.PageLimit("workflow.Engine.Schedules", f.Limit)
	if err != nil {
		return nil, err
	}
	entries, err := actor.Ask(ctx, e.scheduler, func(r actor.Reply[[]*scheduleEntry]) schedulerMessage { return listSchedules{f, r} })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b *scheduleEntry) int { return cmp.Compare(a.plan.Name, b.plan.Name) })
	out := make([]ScheduleInfo, 0, min(limit, len(entries)))
	for _, entry := range entries[:min(limit, len(entries))] {
		out = append(out, entry.info())
	}
	return out, nil
}

// DeleteSchedule removes a schedule and what is known of it. Its runs go on. The
// revision is as for [Engine.PutSchedule]. Errors: NOT_FOUND, [store.ErrConflict],
// FAILED_PRECONDITION for one of a definition.
func (e *Engine) DeleteSchedule(ctx context.Context, name string, revision int64) error {
	if err := refuseDefined("workflow.Engine.DeleteSchedule", "schedule", name); err != nil {
		return err
	}
	return e.dropSchedule(ctx, name, revision)
}

func (e *Engine) dropSchedule(ctx context.Context, name string, revision int64) error {
	_, err := e.onSchedule(ctx, name, func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
		if entry == nil {
			return nil, noSchedule(name)
		}
		if revision != store.AnyVersion && revision != entry.revision {
			return nil, store.EntryConflict(schedulePrefix+name, revision, entry.revision)
		}
		_, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{
			{Key: schedulePrefix + name, Expected: entry.revision, Delete: true}, {Key: firedPrefix + name, Expected: store.AnyVersion, Delete: true},
		}})
		return nil, err
	})
	return err
}

// PauseSchedule keeps a schedule from starting runs; those under way go on. The
// comment, which may be empty, says why. Errors: NOT_FOUND.
func (e *Engine) PauseSchedule(ctx context.Context, name, comment string) (ScheduleInfo, error) {
	return e.setPaused(ctx, name, comment, true)
}

// ResumeSchedule ends a pause. The schedule goes on with the first instant after
// now; see [Engine.Backfill] for those that were let go. Errors: NOT_FOUND.
func (e *Engine) ResumeSchedule(ctx context.Context, name, comment string) (ScheduleInfo, error) {
	return e.setPaused(ctx, name, comment, false)
}

func (e *Engine) setPaused(ctx context.Context, name, comment string, paused bool) (ScheduleInfo, error) {
	return e.changeSchedule(ctx, name, func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
		s := entry.plan.Schedule
		s.Paused = paused
		if comment != "" {
			s.Comment = comment
		}
		plan, err := planSchedule(s)
		if err != nil {
			return nil, err
		}
		return e.putSchedule(ctx, entry, plan, store.AnyVersion, time.Now().Truncate(time.Millisecond).UTC())
	})
}

// RunSchedule starts a run of a schedule now, whatever its timing and its overlap
// policy say, and also while it is paused. With a request id, which may be empty,
// a repeated call gives the run of the first.
//
// Errors: NOT_FOUND, RESOURCE_EXHAUSTED if [RunningMax] of its runs are under way,
// those of [Engine.Start].
func (e *Engine) RunSchedule(ctx context.Context, name, requestID string) (*Run, error) {
	var run *Run
	_, err := e.changeSchedule(ctx, name, func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
		if requestID != "" {
			known, err := e.started(ctx, requestID)
			if run = known; err == nil || !errors.Is(err, store.ErrNoEntry) {
				return entry, err
			}
		}
		if n := len(entry.state.Running); n >= RunningMax {
			return nil, fault.New(fault.ResourceExhausted, "workflow.Engine.RunSchedule", "%d runs of the schedule are under way; at most %d are allowed", n, RunningMax)
		}
		next, started, err := e.ignite(ctx, entry, entry.state, ignition{instant: time.Now().Truncate(time.Millisecond).UTC(), reason: "run now", byHand: true}, requestID)
		if run = started; err == nil && run == nil {
			err = fault.New(fault.Unavailable, "workflow.Engine.RunSchedule", "the schedule was changed at the same time")
		}
		return next, err
	})
	return run, err
}

// Backfill starts runs for the instants of a schedule from one time to another,
// both included but not beyond now, whether there were runs for them or not: one after the other,
// or 10 at a time with [OverlapAllow], beside those that are due. The same range
// again, while it is under way, changes nothing. Max bounds the instants: 0 is
// [BackfillMax].
//
// Errors: NOT_FOUND; INVALID_ARGUMENT for a range without an instant or with more
// than max, and for a schedule of a fixed delay; RESOURCE_EXHAUSTED if 10
// backfills are under way.
func (e *Engine) Backfill(ctx context.Context, name string, from, to time.Time, limit int) (ScheduleInfo, error) {
	const op = "workflow.Engine.Backfill"
	if limit == 0 {
		limit = BackfillMax
	}
	if limit < 0 || limit > BackfillMax {
		return ScheduleInfo{}, fault.New(fault.InvalidArgument, op, "max is %d; expected 1 to %d", limit, BackfillMax)
	}
	from, to = from.UTC(), to.UTC()
	if to.Before(from) {
		return ScheduleInfo{}, fault.New(fault.InvalidArgument, op, "the range ends before it begins: %s to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	until := to // what is to come fires by itself
	if now := time.Now().UTC(); to.After(now) {
		until = now
	}
	return e.changeSchedule(ctx, name, func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error) {
		p, s := entry.plan, entry.state
		if p.timing == timingDelay {
			return nil, fault.New(fault.InvalidArgument, op, "a fixed delay has no instants of the past")
		}
		for _, b := range s.Backfills {
			if b.From.Equal(from) && b.To.Equal(to) {
				return entry, nil
			}
		}
		if len(s.Backfills) >= backfillsMax {
			return nil, fault.New(fault.ResourceExhausted, op, "%d backfills are under way; at most that many are allowed", backfillsMax)
		}
		instants := p.instants(s.Created, from, until, limit)
		if len(instants) == 0 {
			return nil, fault.New(fault.InvalidArgument, op, "the schedule has no instant from %s to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
		}
		if len(instants) > limit {
			err := fault.New(fault.InvalidArgument, op, "the schedule has more than %d instants from %s to %s", limit, from.Format(time.RFC3339), to.Format(time.RFC3339))
			err.Hint = fmt.Sprintf("the first %d of them end at %s", limit, instants[limit-1].Format(time.RFC3339))
			return nil, err
		}
		state := s.clone()
		state.Backfills = append(state.Backfills, backfill{From: from, To: to, Total: len(instants)})
		return e.moveSchedule(ctx, entry, state)
	})
}

// info is what is told of a schedule.
func (entry *scheduleEntry) info() ScheduleInfo {
	p, s := entry.plan, entry.state
	info := ScheduleInfo{
		Schedule: p.Schedule, Defined: definedBy(p.Name) != "", Revision: entry.revision, Created: s.Created, Next: []time.Time{}, Last: s.Last, LastRun: s.LastRun,
		Running: append([]string{}, s.Running...), Queued: append([]time.Time{}, s.Queue...), Backfills: []BackfillInfo{}, Counts: s.Counts,
		Firings: append([]Firing{}, s.Firings...),
	}
	info.Running = append(info.Running, s.Filling...)
	slices.SortFunc(info.Running, strings.Compare)
	for _, b := range s.Backfills {
		info.Backfills = append(info.Backfills, BackfillInfo{From: b.From, To: b.To, Done: b.Done, Left: b.Total - b.Count})
	}
	if p.Paused {
		return info
	}
	for at := p.next(s); !at.IsZero() && len(info.Next) < nextListed; at = p.after(s.Created, at) {
		info.Next = append(info.Next, at)
	}
	return info
}
