package workflow

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// The schedules and triggers of a definition are put in place when its version
// becomes the active one, and taken away when it is so no more. The commit that
// makes it active also says that this is owed:
//
//	entry  wf/settle/NAME   the schedules and triggers of a workflow are to be those
//	                        of its active version
//
// and the entry goes away when it is done. As long as it is there no schedule of
// the definition fires, and the next process begins with it: so whatever dies, no
// version runs on the schedules of another one.

const settlePrefix = "wf/settle/"

// settling knows what is owed.
type settling struct {
	changing sync.Mutex // held while one is settled

	mu   sync.Mutex
	owed map[string]bool // by workflow
}

func (s *settling) owes(workflow string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed[workflow]
}

func (s *settling) set(workflow string, owed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed == nil {
		s.owed = map[string]bool{}
	}
	s.owed[workflow] = owed
	if !owed {
		delete(s.owed, workflow)
	}
}

func (s *settling) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.owed))
}

// loadOwed reads what an earlier process owed.
func (e *Engine) loadOwed(ctx context.Context) error {
	return e.eachEntry(ctx, settlePrefix, func(stored store.Entry) error {
		e.settling.set(strings.TrimPrefix(stored.Key, settlePrefix), true)
		return nil
	})
}

// owe is what goes with the commit that makes a version of a workflow the active
// one. From here on its schedules wait for [Engine.settle]. Nothing is owed where
// neither that version nor the one before has any.
func (e *Engine) owe(ctx context.Context, workflow string, version int64) ([]store.Set, error) {
	if e.options.ByHand {
		return nil, nil
	}
	has := e.settling.owes(workflow)
	for _, prefix := range []string{schedulePrefix, triggerPrefix} {
		if has {
			break
		}
		entries, err := e.store.Entries(ctx, store.EntryFilter{Prefix: prefix + workflow + definedSeparator, Limit: 1})
		if err != nil {
			return nil, err
		}
		has = len(entries) > 0
	}
	if !has && version > 0 {
		d, err := e.Definition(ctx, workflow, version)
		if err != nil {
			return nil, err
		}
		has = len(d.Schedules)+len(d.Triggers) > 0
	}
	if !has {
		return nil, nil
	}
	e.settling.set(workflow, true)
	return []store.Set{settleSet(workflow)}, nil
}

func settleSet(workflow string) store.Set {
	return store.Set{Key: settlePrefix + workflow, Value: []byte("1"), Expected: store.AnyVersion}
}

// settle has the schedules and triggers of a workflow be those of its active
// version, if that is owed.
func (e *Engine) settle(ctx context.Context, workflow string) error {
	if !e.settling.owes(workflow) {
		return nil
	}
	e.settling.changing.Lock()
	defer e.settling.changing.Unlock()
	for e.settling.owes(workflow) {
		owed, err := e.store.Entry(ctx, settlePrefix+workflow)
		if errors.Is(err, store.ErrNoEntry) { // the commit did not come about
			e.settling.set(workflow, false)
			return nil
		}
		if err != nil {
			return err
		}
		e.cache.forgetActive(workflow)
		d, err := e.Definition(ctx, workflow, 0)
		if fault.CodeOf(err) == fault.NotFound { // the workflow was deleted
			d, err = &Definition{Name: workflow}, nil
		}
		if err != nil {
			return err
		}
		if err := errors.Join(e.settleSchedules(ctx, d), e.settleTriggers(ctx, d)); err != nil {
			if fault.CodeOf(err).Transient() {
				e.tendRollout(workflow) // which tries it again
			}
			return err
		}
		_, err = e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{{Key: owed.Key, Expected: owed.Version, Delete: true}}})
		switch {
		case err == nil:
			e.settling.set(workflow, false)
		case !errors.Is(err, store.ErrConflict): // else another version has become active meanwhile
			return err
		}
	}
	return nil
}

// settleOrTell is [Engine.settle] for nobody who could do something about an error:
// one that will not go away by itself is logged.
func (e *Engine) settleOrTell(ctx context.Context, workflow string) error {
	err := e.settle(ctx, workflow)
	if err != nil && !fault.CodeOf(err).Transient() && ctx.Err() == nil {
		e.log.Error("the schedules and triggers of a workflow cannot be put in place", "workflow", workflow, "error", err)
		return nil
	}
	return err
}

func (e *Engine) settleSchedules(ctx context.Context, d *Definition) error {
	known, err := e.Schedules(ctx, ScheduleFilter{Workflow: d.Name, Limit: SchedulesMax})
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Millisecond).UTC()
	for _, s := range d.Schedules {
		if _, err := planSchedule(s); err != nil {
			return err
		}
		_, err = e.onSchedule(ctx, s.Name, func(ctx context.Context, old *scheduleEntry) (*scheduleEntry, error) {
			next := s
			if old != nil {
				next.Paused = old.plan.Paused // by hand, and for that to end
				if next.Paused {
					next.Comment = old.plan.Comment
				}
			}
			plan, err := planSchedule(next)
			if err != nil {
				return nil, err
			}
			return e.putSchedule(ctx, old, plan, store.AnyVersion, now)
		})
		if err != nil {
			return fault.Wrap(fault.CodeOf(err), "workflow.Engine", err)
		}
	}
	for _, s := range known {
		if definedBy(s.Name) != d.Name || slices.ContainsFunc(d.Schedules, func(own Schedule) bool { return own.Name == s.Name }) {
			continue
		}
		if err := e.dropSchedule(ctx, s.Name, store.AnyVersion); err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

func (e *Engine) settleTriggers(ctx context.Context, d *Definition) error {
	known, err := e.Triggers(ctx, d.Name)
	if err != nil {
		return err
	}
	for _, t := range d.Triggers {
		_, err = e.onTrigger(ctx, t.Name, func(ctx context.Context, old *liveTrigger) (*liveTrigger, error) {
			next := t
			if old != nil {
				next.Paused = old.plan.Paused
				if next.Paused {
					next.Comment = old.plan.Comment
				}
			}
			plan, err := e.options.Registry.planTrigger(next)
			if err != nil {
				return nil, err
			}
			return e.putTrigger(ctx, old, plan, store.AnyVersion)
		})
		if err != nil {
			return err
		}
	}
	for _, t := range known {
		if definedBy(t.Name) != d.Name || slices.ContainsFunc(d.Triggers, func(own Trigger) bool { return own.Name == t.Name }) {
			continue
		}
		if err := e.dropTrigger(ctx, t.Name, store.AnyVersion); err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// refuseDefined refuses a change by hand of what comes from a definition.
func refuseDefined(op, what, name string) error {
	workflow := definedBy(name)
	if workflow == "" {
		return nil
	}
	return &fault.Error{
		Code: fault.FailedPrecondition, Op: op, Target: name, Message: "the " + what + " belongs to the definition of the workflow " + workflow,
		Hint: "change it there and deploy that; by hand it can be paused and resumed",
	}
}

// errOwed keeps the schedules of a definition from firing until they are those of
// the active version.
var errOwed = fault.New(fault.Unavailable, "workflow", "another version has just become active; its schedules are being put in place")
