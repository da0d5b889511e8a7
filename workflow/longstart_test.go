package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// longStart has more first events than a commit takes.
func longStart() string {
	return fmt.Sprintf("name: long\ninputs: {n: {type: int, default: %d}}\nnodes:\n  - id: all\n    type: foreach\n    with: {items: 'lists.range(inputs.n)', parallel: 10000}\n    do:\n      - {id: one, type: wait, with: {signal: go}}\n", commitEvents+500)
}

// Req W4: a start that takes several commits is recorded by the last of them. A
// crash between leaves neither a run nor a request that was seen.
func TestStartOfSeveralCommits(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.deploy(longStart())
	ctx := context.Background()
	commits, gone := 0, fault.New(fault.FailedPrecondition, "test", "the process is gone")
	watch := func(fails bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		commits = 0
		s.commit = func(b *store.Batch) error {
			if len(b.Appends) > 0 && strings.HasPrefix(string(b.Appends[0].Stream), runPrefix) {
				if commits++; fails && commits == 2 {
					return gone
				}
			}
			return nil
		}
	}
	watch(true)
	if _, err := s.engine.Start(ctx, "long", StartOptions{RequestID: "r"}); !errors.Is(err, gone) {
		t.Fatalf("the start ends with %v after %d commits", err, commits)
	}
	watch(false)
	s.close()
	s.open()
	if runs, err := s.engine.Runs(ctx, RunFilter{}); err != nil || len(runs) != 0 {
		t.Errorf("a start that was not recorded has left %+v, %v", runs, err)
	}
	r, err := s.engine.Start(ctx, "long", StartOptions{RequestID: "r"})
	if err != nil || commits < 2 {
		t.Fatalf("the request is refused after %d commits: %v", commits, err)
	}
	if runs, err := s.engine.Runs(ctx, RunFilter{States: []State{StateRunning}}); err != nil || len(runs) != 1 || runs[0].ID != r.ID() {
		t.Errorf("the list has %+v, %v", runs, err)
	}
	s.close()
	s.open() // the run is open, and known to the next process
	if again, err := s.engine.Start(ctx, "long", StartOptions{RequestID: "r"}); err != nil || again.ID() != r.ID() {
		t.Errorf("the request gives %v, %v", again, err)
	}
	if _, err := s.store.Entry(ctx, openPrefix+r.ID()); err != nil {
		t.Errorf("it is not open: %v", err)
	}
	if r, err = s.engine.Run(ctx, r.ID()); err != nil {
		t.Fatal(err)
	}
	if err := r.Cancel(ctx, "the end"); err != nil {
		t.Fatal(err)
	}
	if info, err := s.wait(r); err == nil || info.State != StateCancelled {
		t.Errorf("%s, %v", info.State, err)
	}
}
