package workflow

import (
	"context"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// A workflow that is deleted has no active version: nothing can be started by its
// name. Its versions stay as long as runs are to be read that began with them, and
// with them the way back: to activate or deploy a version makes it a workflow
// again.

// inUseNamed is how many names an error about what is in use gives.
const inUseNamed = 5

// DeleteOptions say how a workflow is deleted.
type DeleteOptions struct {
	// Prune removes the versions, too, and the runs that have ended, with their
	// histories and logs, and what its sources remember. Otherwise all of these can be read as before.
	Prune bool
}

// DeletedWorkflow is what was deleted.
type DeletedWorkflow struct {
	Workflow string `json:"workflow"`
	// Versions is how many versions it had; they are gone if Pruned.
	Versions int64 `json:"versions"`
	Pruned   bool  `json:"pruned"`
	// Runs are the ids of the runs that were removed.
	Runs []string `json:"runs"`
}

// DeleteWorkflow deletes a workflow, the rollout that it may have, and the schedules
// and triggers of its definition.
//
// Errors: NOT_FOUND; FAILED_PRECONDITION, with their names, as long as runs of it
// are under way, or other schedules, triggers or active versions of other workflows start
// it; and those of the store.
func (e *Engine) DeleteWorkflow(ctx context.Context, name string, o DeleteOptions) (DeletedWorkflow, error) {
	out := DeletedWorkflow{Workflow: name, Pruned: o.Prune, Runs: []string{}}
	head, newest, err := e.newest(ctx, name)
	if err != nil {
		return out, err
	}
	if _, err := e.active(ctx, name); err != nil && (!o.Prune || newest == nil) {
		return out, err // but what is left of one that was deleted can be pruned
	}
	out.Versions = head
	if err := e.notInUse(ctx, name); err != nil {
		return out, err
	}
	if o.Prune {
		removed, err := e.Prune(ctx, name, 0)
		if err != nil {
			return out, err
		}
		out.Runs = append(out.Runs, removed...)
	}
	if err := e.removeWorkflow(ctx, name, o); err != nil {
		return out, err
	}
	if o.Prune {
		if err := e.forgetMemories(ctx, memoryPrefix+name); err != nil {
			return out, err
		}
	}
	return out, e.settle(ctx, name)
}

// removeWorkflow removes the entries of a workflow while nothing can be started.
func (e *Engine) removeWorkflow(ctx context.Context, name string, o DeleteOptions) error {
	e.starting.Lock()
	defer e.starting.Unlock()
	e.rollouts.changing.Lock()
	defer e.rollouts.changing.Unlock()
	if err := e.noneOpen(ctx, name); err != nil { // one may have begun since
		return err
	}
	batch := &store.Batch{Fence: e.fence, Sets: []store.Set{
		{Key: activePrefix + name, Delete: true, Expected: store.AnyVersion}, {Key: rolloutPrefix + name, Delete: true, Expected: store.AnyVersion},
	}}
	owed, err := e.owe(ctx, name, 0)
	if err != nil {
		return err
	}
	batch.Sets = append(batch.Sets, owed...)
	if o.Prune {
		batch.Trims = []store.Trim{{Stream: store.Stream(versionPrefix + name), Through: store.Everything}}
	}
	if _, err := e.store.Commit(ctx, batch); err != nil {
		return err
	}
	e.cache.forget(name)
	e.rollouts.put(name, nil)
	e.changed("", nil)
	return nil
}

// notInUse is an error that names what still needs a workflow.
func (e *Engine) notInUse(ctx context.Context, name string) error {
	if err := e.noneOpen(ctx, name); err != nil {
		return err
	}
	schedules, err := e.Schedules(ctx, ScheduleFilter{Workflow: name})
	if err != nil {
		return err
	}
	var names []string
	for i := range schedules {
		if definedBy(schedules[i].Name) != "" {
			continue // it goes with the workflow
		}
		names = append(names, schedules[i].Name)
	}
	if err := inUse(name, "schedule", names, "delete it first"); err != nil {
		return err
	}
	triggers, err := e.Triggers(ctx, name)
	if err != nil {
		return err
	}
	for i := range triggers {
		if definedBy(triggers[i].Name) != "" {
			continue
		}
		names = append(names, triggers[i].Name)
	}
	if err := inUse(name, "trigger", names, "delete it first"); err != nil {
		return err
	}
	callers, err := e.callers(ctx, name)
	if err != nil {
		return err
	}
	return inUse(name, "workflow", callers, "deploy a version of it that does without")
}

// noneOpen is an error that names runs of a workflow that are under way.
func (e *Engine) noneOpen(ctx context.Context, name string) error {
	var open []string
	err := e.openRuns(ctx, func(id string, o openRun) error {
		if o.Workflow == name {
			open = append(open, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return inUse(name, "run", open, "wait for its end, or cancel it")
}

// callers are the other workflows whose active versions run a workflow.
func (e *Engine) callers(ctx context.Context, name string) ([]string, error) {
	all, err := e.activeNames(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, other := range all {
		if other == name {
			continue
		}
		d, err := e.Definition(ctx, other, 0)
		if code := fault.CodeOf(err); code == fault.InvalidArgument || code == fault.NotFound {
			continue // it cannot run anything any more
		}
		if err != nil {
			return nil, err
		}
		for _, def := range d.stepOf {
			if def.control != nil && def.control.kind == controlWorkflow && def.control.workflow == name {
				out = append(out, other)
				break
			}
		}
	}
	return out, nil
}

// inUse is the error for a workflow that is still needed, nil if there are no
// names.
func inUse(workflow, what string, names []string, hint string) error {
	if len(names) == 0 {
		return nil
	}
	listed := strings.Join(names[:min(len(names), inUseNamed)], ", ")
	if len(names) > inUseNamed {
		listed += ", …"
	}
	message := fmt.Sprintf("the %s %s needs it", what, listed)
	if len(names) > 1 {
		message = fmt.Sprintf("%d %ss need it: %s", len(names), what, listed)
	}
	return &fault.Error{Code: fault.FailedPrecondition, Op: "workflow.Engine.DeleteWorkflow", Target: workflow, Message: message, Hint: hint}
}
