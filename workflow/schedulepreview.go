package workflow

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// SchedulePreview is what would become of a schedule.
type SchedulePreview struct {
	// Next are its next instants, five at most; none if its timing is wrong.
	Next []time.Time `json:"next"`
	// Errors is what is wrong with it; none if [Engine.PutSchedule] takes it.
	Errors FieldErrors `json:"errors"`
}

// PreviewSchedule tells what would become of a schedule that is made now, and what
// is wrong with it: for a form that is being filled in. Nothing is stored. The
// instants are those of its timing, also if something else is wrong, and also if it
// is to be paused. Errors: those of the store.
func (e *Engine) PreviewSchedule(ctx context.Context, s Schedule) (SchedulePreview, error) {
	preview := SchedulePreview{Next: []time.Time{}, Errors: FieldErrors{}}
	now := time.Now().Truncate(time.Millisecond).UTC()
	timing := &schedulePlan{Schedule: s, zone: time.UTC}
	var wrong FieldErrors
	timing.planTiming(&wrong)
	timing.planBounds(&wrong)
	if len(wrong) == 0 {
		timing.Paused = false
		preview.Next = (&scheduleEntry{plan: timing, state: timing.newState(now)}).info().Next
	}
	plan, err := planSchedule(s)
	if err == nil {
		err = e.checkNew(ctx, plan, now)
	}
	if fields, ok := errors.AsType[FieldErrors](err); ok {
		preview.Errors = append(preview.Errors, fields...)
		return preview, nil
	}
	switch fault.CodeOf(err) {
	case fault.NotFound:
		field := "workflow"
		if _, err := e.active(ctx, s.Workflow); err == nil {
			field = "version"
		}
		preview.Errors.add(field, hintOf(err), "%s", messageOf(err))
	case fault.InvalidArgument:
		preview.Errors.addInputs(err)
	default:
		return preview, err
	}
	return preview, nil
}

// checkNew finds out whether a schedule that is new could start a run.
func (e *Engine) checkNew(ctx context.Context, plan *schedulePlan, now time.Time) error {
	if err := plan.notPast(now); err != nil {
		return err
	}
	return e.checkScheduled(ctx, plan, now)
}

// notPast is an error for the one instant of a schedule that is past.
func (p *schedulePlan) notPast(now time.Time) error {
	if p.timing != timingAt || !p.At.Before(now) {
		return nil
	}
	return FieldErrors{{Field: "at", Message: p.At.Format(time.RFC3339) + " is past", Hint: "start the run itself, or give an instant to come"}}
}

// newState is where a schedule that is made now begins.
func (p *schedulePlan) newState(now time.Time) *scheduleState {
	state := &scheduleState{Created: now, After: now}
	if p.timing == timingDelay || p.timing == timingAt {
		state.After = now.Add(-time.Millisecond) // it may be due at once
	}
	return state
}

// addInputs adds what is wrong with the inputs of a run: each with its name, if it
// is known.
func (e *FieldErrors) addInputs(err error) {
	if wrong, ok := errors.AsType[Problems](err); ok {
		for _, one := range wrong {
			e.add(inputField(one.Path), one.Hint, "%s", one.Message)
		}
		return
	}
	field := "inputs"
	if one, ok := errors.AsType[*fault.Error](err); ok && one.Cause != nil && inputField(one.Target) != field {
		field, err = one.Target, one.Cause
	}
	e.add(field, "", "%s", strings.TrimSpace(messageOf(err)))
}

// inputField is the field of a schedule that a place in a definition or an error is
// about.
func inputField(path string) string {
	if strings.HasPrefix(path, "inputs.") {
		return path
	}
	return "inputs"
}

func messageOf(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Message != "" && e.Cause == nil {
		return e.Message
	}
	return err.Error()
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Hint
	}
	return ""
}
