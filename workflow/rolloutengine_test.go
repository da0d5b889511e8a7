package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

const rolloutText = "name: w\noutput: steps.a.output\nnodes:\n  - {id: a, type: task.play, with: {text: %s}}\n"

// rolloutStage has a workflow of two versions: the task of the first says good,
// that of the second what is given.
func rolloutStage(t *testing.T, candidate string) *stage {
	t.Helper()
	s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
		if text == "bad" {
			return nil, fault.New(fault.InvalidArgument, "", "bad")
		}
		return json.Marshal(text)
	})
	s.deploy(fmt.Sprintf(rolloutText, "good"))
	s.stageVersion(fmt.Sprintf(rolloutText, candidate))
	return s
}

func (s *stage) stageVersion(text string) Version {
	s.t.Helper()
	d, err := loadText(text, nil)
	if err != nil {
		d, err = LoadText("w.yaml", ".", []byte(text), LoadOptions{Registry: s.registry, Open: true})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := s.engine.Stage(context.Background(), d, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *stage) rollout(r Rollout) RolloutInfo {
	s.t.Helper()
	info, err := s.engine.SetRollout(context.Background(), "w", r)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

func (s *stage) rolloutInfo() RolloutInfo {
	s.t.Helper()
	info, err := s.engine.Rollout(context.Background(), "w")
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

func (s *stage) active() int64 {
	s.t.Helper()
	v, err := s.engine.Version(context.Background(), "w", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return v.Version
}

// run starts a run, waits for its end, and tells its version.
func (s *stage) run(o StartOptions) int64 {
	s.t.Helper()
	r, err := s.engine.Start(context.Background(), "w", o)
	if err != nil {
		s.t.Fatal(err)
	}
	info, _ := s.wait(r)
	return info.Version
}

// Req W10: a version that does well gets all runs in steps, and is the active one
// in the end.
func TestRolloutCompletes(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "fine")
	if s.active() != 1 {
		t.Fatalf("a staged version is active: %d", s.active())
	}
	s.rollout(Rollout{Candidate: 2, StepAfter: 1, MinRuns: 3, Steps: []int{30, 100}})
	got := map[int64]int64{}
	for range 1000 {
		if s.rolloutInfo().State != RolloutActive {
			break
		}
		got[s.run(StartOptions{})]++
	}
	info := s.rolloutInfo()
	if info.State != RolloutCompleted || s.active() != 2 || info.Arms[0].Completed != got[1] || info.Arms[1].Completed != got[2] {
		t.Errorf("version %d is active, runs %v, %+v", s.active(), got, info)
	}
	if v := s.run(StartOptions{}); v != 2 {
		t.Errorf("after the rollout a run has version %d", v)
	}
}

// Req W10: a version that fails is taken back by itself, without anybody asking.
func TestRolloutIsTakenBack(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "bad")
	changes, cancel := s.engine.Watch("")
	defer cancel()
	s.rollout(Rollout{Candidate: 2, Steps: []int{50, 100}})
	for i := range 60 {
		s.run(StartOptions{Key: fmt.Sprint("customer ", i)})
	}
	for s.engine.rollouts.get("w").state.State == RolloutActive {
		<-changes
	}
	info := s.rolloutInfo()
	if info.State != RolloutRolledBack || s.active() != 1 || !strings.Contains(info.Reason, "runs failed") || info.Arms[1].Failed < MinSampleDefault {
		t.Errorf("%+v", info)
	}
	if info.Percent != 0 || info.Arms[0].Percent != 100 || info.Arms[1].Percent != 0 {
		t.Errorf("shares after the end: %+v; expected all for the stable version", info)
	}
	for i := range 60 {
		if v := s.run(StartOptions{Key: fmt.Sprint("customer ", i)}); v != 1 {
			t.Fatalf("after the rollback a run has version %d", v)
		}
	}
}

// Req W10: a version that was asked for wins; sub-workflows follow a rollout with
// the key of the run that they are part of; a rerun keeps the version.
func TestRolloutOfOthers(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "fine")
	s.deploy("name: parent\noutput: steps.c.output\nnodes:\n  - {id: c, type: workflow, with: {workflow: w}}\n")
	info := s.rollout(Rollout{Split: []RolloutShare{{1, 50}, {2, 50}}})
	if v := s.run(StartOptions{Version: 1, Key: "x"}); v != 1 {
		t.Errorf("asked for 1, got %d", v)
	}
	seen := map[string]int{}
	for i := range 20 {
		key := fmt.Sprint("key ", i)
		want := map[int64]string{1: `"good"`, 2: `"fine"`}[s.run(StartOptions{Key: key})]
		r, err := s.engine.Start(context.Background(), "parent", StartOptions{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		parent, err := s.wait(r)
		if err != nil || string(parent.Output) != want {
			t.Errorf("the sub-workflow of %s gives %s; a run of it %s: %v", key, parent.Output, want, err)
		}
		seen[want]++
	}
	if len(seen) != 2 {
		t.Errorf("all of 20 keys got %v", seen)
	}
	now := s.rolloutInfo()
	if now.ID != info.ID || now.Arms[0].Runs+now.Arms[1].Runs != 40 {
		t.Errorf("40 runs of the rollout, and one that was not: %+v", now.Arms)
	}
}

// Req W10: making a version active, or deploying another one, ends a rollout; so
// does whoever wishes. All need the engine's word that it is the only one.
func TestRolloutEnds(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "fine")
	ctx := context.Background()
	if info, err := s.engine.Rollout(ctx, "w"); err != nil || info.State != RolloutNone || info.Workflow != "w" {
		t.Errorf("no rollout: %+v, %v", info, err)
	}
	if _, err := s.engine.Rollout(ctx, "x"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the rollout of no workflow: %v", err)
	}
	if _, err := s.engine.EndRollout(ctx, "w", ""); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no rollout to end: %v", err)
	}
	s.rollout(Rollout{Candidate: 2})
	if _, err := s.engine.SetRollout(ctx, "w", Rollout{Candidate: 2}); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("a second rollout: %v", err)
	}
	if info, err := s.engine.EndRollout(ctx, "w", "for lunch"); err != nil || info.State != RolloutEnded || info.Reason != "for lunch" || s.active() != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := s.engine.EndRollout(ctx, "w", "again"); err != nil || info.Reason != "for lunch" {
		t.Errorf("%+v, %v", info, err)
	}
	s.rollout(Rollout{Candidate: 2})
	if err := s.engine.Activate(ctx, "w", 2); err != nil {
		t.Fatal(err)
	}
	if info := s.rolloutInfo(); info.State != RolloutEnded || s.active() != 2 {
		t.Errorf("%+v", info)
	}
	s.rollout(Rollout{Candidate: 1})
	s.deploy(fmt.Sprintf(rolloutText, "third"))
	if info := s.rolloutInfo(); info.State != RolloutEnded || s.active() != 3 || info.Reason != "version 3 was deployed" {
		t.Errorf("%+v", info)
	}
	for _, r := range []Rollout{{Candidate: 9}, {Stable: 9, Candidate: 1}, {Split: []RolloutShare{{1, 50}, {9, 50}}}} {
		if _, err := s.engine.SetRollout(ctx, "w", r); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Req W10: inputs that only the candidate refuses are a failure of it; whoever
// starts the run does not notice.
func TestRolloutRefusedInputs(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	const text = "name: w\ninputs: {%s: {type: int, default: 1}}\nnodes:\n  - {id: a, type: task.play}\n"
	s.deploy(fmt.Sprintf(text, "old"))
	s.stageVersion(fmt.Sprintf(text, "new"))
	s.rollout(Rollout{Candidate: 2, Steps: []int{100}})
	for range 20 {
		if v := s.run(StartOptions{Inputs: map[string]string{"old": "2"}}); v != 1 {
			t.Fatalf("got version %d", v)
		}
	}
	info := s.rolloutInfo()
	if info.State != RolloutRolledBack || info.Arms[1].Failed < MinSampleDefault {
		t.Errorf("%+v", info)
	}
	if _, err := s.engine.Start(context.Background(), "w", StartOptions{Inputs: map[string]string{"other": "2"}}); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("inputs that all refuse: %v", err)
	}
}

// Req W10, W4: whatever commits fail and however often the process ends, each run
// of a rollout is counted once, by how it first ended.
func TestRolloutCountsOnce(t *testing.T) {
	t.Parallel()
	const seed = 11
	rnd := rand.New(rand.NewPCG(seed, 7))
	t.Logf("seed %d", seed)
	s := rolloutStage(t, "bad")
	s.rollout(Rollout{Split: []RolloutShare{{1, 60}, {2, 40}}})
	var mu sync.Mutex
	s.mu.Lock()
	s.commit = func(b *store.Batch) error { // what counts fails every other time
		mu.Lock()
		defer mu.Unlock()
		for _, set := range b.Sets {
			if strings.HasPrefix(set.Key, rolloutPrefix) && rnd.IntN(2) == 0 {
				return fault.New(fault.Unavailable, "", "not now")
			}
		}
		return nil
	}
	s.mu.Unlock()
	want := map[int64]int64{}
	var failed *Run
	for round := range 12 {
		for range 10 {
			r, err := s.engine.Start(context.Background(), "w", StartOptions{})
			if err != nil {
				t.Fatal(err)
			}
			info, err := s.wait(r)
			want[info.Version]++
			if err != nil {
				failed = r
			}
		}
		if failed != nil && round%2 == 0 {
			if err := (&Run{engine: s.engine, id: failed.id}).Retry(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.wait(&Run{engine: s.engine, id: failed.id}); err == nil {
				t.Fatal("a run that fails again completed")
			}
		}
		if round%3 == 2 {
			s.close()
			s.open()
		}
	}
	s.mu.Lock()
	s.commit = nil
	s.mu.Unlock()
	info := s.rolloutInfo()
	if info.Arms[0].Completed != want[1] || info.Arms[1].Failed != want[2] || info.Arms[0].Runs+info.Arms[1].Runs != 120 {
		t.Errorf("counted %+v; there were %v", info.Arms, want)
	}
	left, err := s.store.Entries(context.Background(), store.EntryFilter{Prefix: rolledPrefix})
	if err != nil || len(left) > 0 {
		t.Errorf("%d ends are left: %v", len(left), err)
	}
}

// A rollout that cannot be read, and ends of runs that belong to none, do not keep
// an engine from opening.
func TestRolloutUnreadable(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "fine")
	_, err := s.store.Commit(context.Background(), &store.Batch{Sets: []store.Set{
		{Key: rolloutPrefix + "w", Value: []byte(`{"id": "x"}`), Expected: store.AnyVersion},
		{Key: rolledPrefix + "gone/run", Value: []byte(`{}`), Expected: store.AnyVersion},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	s.open()
	if v := s.run(StartOptions{}); v != 1 {
		t.Errorf("got version %d", v)
	}
	if left, err := s.store.Entries(context.Background(), store.EntryFilter{Prefix: rolledPrefix}); err != nil || len(left) > 0 {
		t.Errorf("%d ends are left: %v", len(left), err)
	}
}

// Req W10: a step ends by its time, too, without a run that ends at that moment.
func TestRolloutStepDue(t *testing.T) {
	t.Parallel()
	s := rolloutStage(t, "fine")
	changes, cancel := s.engine.Watch("")
	defer cancel()
	s.rollout(Rollout{Candidate: 2, StepAfter: Duration(300 * time.Millisecond), MinRuns: 1, Steps: []int{99, 100}})
	for version := int64(0); version != 2; {
		version = s.run(StartOptions{})
	}
	ctx, stop := context.WithTimeout(context.Background(), hang)
	defer stop()
	for s.engine.rollouts.get("w").state.Step == 0 {
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatal(errors.Join(ctx.Err(), fmt.Errorf("%+v", s.rolloutInfo())))
		}
	}
}
