package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

const deletedText = "name: w\nnodes:\n  - {id: a, type: task.play, with: {text: one}}\n"

// Req W9: a workflow is deleted only if nothing needs it, and who does is named. Its
// runs can be read until they are pruned, and it can be made a workflow again.
func TestDeleteWorkflow(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	ctx := context.Background()
	s.engine.options.Registry.AddTriggers(testTriggers(nil)...)
	inUse := func(names ...string) {
		t.Helper()
		_, err := s.engine.DeleteWorkflow(ctx, "w", DeleteOptions{Prune: true})
		if fault.CodeOf(err) != fault.FailedPrecondition {
			t.Errorf("it is deleted while in use: %v", err)
		}
		for _, name := range names {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not name %s", err, name)
			}
		}
	}
	waiting := s.start("name: w\nnodes:\n  - {id: a, type: wait, with: {signal: go}}\n", StartOptions{})
	inUse("run "+waiting.ID(), "cancel it")
	if err := waiting.Cancel(ctx, "enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.wait(waiting); fault.CodeOf(err) != fault.Canceled {
		t.Fatal(err)
	}
	if _, err := s.engine.PutSchedule(ctx, Schedule{Name: "nightly", Workflow: "w", Cron: "0 3 * * *"}, store.Absent); err != nil {
		t.Fatal(err)
	}
	inUse("schedule nightly")
	if err := s.engine.DeleteSchedule(ctx, "nightly", store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.PutTrigger(ctx, Trigger{Name: "orders", Workflow: "w", Kind: "knock", With: json.RawMessage(`{"word": "please"}`)}, store.Absent); err != nil {
		t.Fatal(err)
	}
	inUse("trigger orders")
	if err := s.engine.DeleteTrigger(ctx, "orders", store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	s.deploy("name: parent\nnodes:\n  - {id: child, type: workflow, with: {workflow: w}}\n")
	inUse("workflow parent", "deploy a version")
	s.deploy("name: parent\nnodes:\n  - {id: a, type: task.play}\n")

	gone, err := s.engine.DeleteWorkflow(ctx, "w", DeleteOptions{})
	if err != nil || gone.Versions != 1 || gone.Pruned || len(gone.Runs) != 0 {
		t.Fatalf("%+v, %v", gone, err)
	}
	if _, err := s.engine.Start(ctx, "w", StartOptions{}); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "there are parent") {
		t.Errorf("started after it was deleted: %v", err)
	}
	if _, err := s.engine.DeleteWorkflow(ctx, "w", DeleteOptions{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if list, err := s.engine.Workflows(ctx); err != nil || len(list) != 1 || list[0].Workflow != "parent" {
		t.Errorf("listed %+v, %v", list, err)
	}
	for range 2 { // also by the next process
		if info, err := waiting.Info(ctx); err != nil || len(info.Nodes) != 1 {
			t.Errorf("its run: %+v, %v", info, err)
		}
		if runs, err := s.engine.Runs(ctx, RunFilter{}); err != nil || len(runs) != 1 {
			t.Errorf("the runs are %+v, %v", runs, err)
		}
		s.close()
		s.open()
		waiting = &Run{engine: s.engine, id: waiting.id}
	}
	if v := s.deploy("name: w\nnodes:\n  - {id: a, type: wait, with: {signal: go}}\n"); v.Version != 1 || !v.Active {
		t.Errorf("the same text again is %+v", v)
	}
	if _, err := s.engine.DeleteWorkflow(ctx, "w", DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if v := s.deploy(deletedText); v.Version != 2 || !v.Active {
		t.Errorf("another text is %+v", v)
	}

	run := s.start(deletedText, StartOptions{})
	if _, err := s.wait(run); err != nil {
		t.Fatal(err)
	}
	gone, err = s.engine.DeleteWorkflow(ctx, "w", DeleteOptions{Prune: true})
	if err != nil || gone.Versions != 2 || len(gone.Runs) != 2 {
		t.Errorf("pruned %+v, %v", gone, err)
	}
	if _, err := run.Info(ctx); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a run that was pruned: %v", err)
	}
	if _, err := s.engine.Version(ctx, "w", 2); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a version that was pruned: %v", err)
	}
	if v := s.deploy(deletedText); v.Version != 1 {
		t.Errorf("it begins anew with %+v", v)
	}
	if _, err := s.engine.DeleteWorkflow(ctx, "none", DeleteOptions{Prune: true}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("one that never was: %v", err)
	}
}

// A workflow that is deleted while runs are being started has either a run that
// keeps it, or none: no run is left without its version.
func TestDeleteWorkflowWhileStarting(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := newStage(t, func(ctx context.Context, _ *Task, _ string) (json.RawMessage, error) {
		select {
		case <-hold:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	defer close(hold)
	ctx := context.Background()
	for round := range 20 {
		text := fmt.Sprintf("name: w%d\nnodes:\n  - {id: a, type: task.play, with: {text: one}}\n", round)
		v := s.deploy(text)
		var wg sync.WaitGroup
		var run *Run
		var started, deleted error
		wg.Go(func() { run, started = s.engine.Start(ctx, v.Workflow, StartOptions{}) })
		wg.Go(func() { _, deleted = s.engine.DeleteWorkflow(ctx, v.Workflow, DeleteOptions{Prune: true}) })
		wg.Wait()
		if (started == nil) == (deleted == nil) {
			t.Fatalf("round %d: started %v, deleted %v", round, started, deleted)
		}
		if started == nil {
			if _, err := s.engine.definition(ctx, v.Workflow, v.Version, nil); err != nil {
				t.Errorf("round %d: the run %s has no version: %v", round, run.ID(), err)
			}
		}
	}
}
