package workflow

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// RolloutInfo is a rollout and how it stands.
type RolloutInfo struct {
	Rollout
	Workflow string       `json:"workflow"`
	ID       string       `json:"id"`
	State    RolloutState `json:"state"`
	// Percent is the share of the runs that the candidate gets.
	Percent int `json:"percent"`
	// Step counts from 1.
	Step int `json:"step,omitempty"`
	// Since is when the present step began, Due when it may end.
	Since   time.Time `json:"since"`
	Due     time.Time `json:"due,omitzero"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Reason says why it is not active any more.
	Reason string `json:"reason,omitempty"`
	// Arms are the versions: the stable one and the candidate, or those of the
	// split.
	Arms []RolloutArm `json:"arms"`
	// Changes are what became of it, the first one first.
	Changes []RolloutChange `json:"changes"`
}

// RolloutArm is a version of a rollout with the figures of the runs that it got
// through it. Each run counts once, when it ends for the first time.
type RolloutArm struct {
	Version int64 `json:"version"`
	// Percent is its present share of the runs that are started.
	Percent int `json:"percent"`
	RolloutFigures
	// InStep are the figures of those that ended in the present step.
	InStep RolloutFigures `json:"in_step"`
}

// RolloutFigures are figures of runs.
type RolloutFigures struct {
	// Runs have ended: Completed, Failed or Cancelled.
	Runs      int64 `json:"runs"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
	// ErrorRate is the share of the failed runs among those that were not cancelled.
	ErrorRate float64 `json:"error_rate"`
	// P50, P95 and P99 are percentiles of the durations of those that completed, not
	// exceeded by more than a fifth; at least a millisecond, at most two days.
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
}

func (f *rolloutFigures) info() RolloutFigures {
	out := RolloutFigures{
		Runs: f.ended() + f.Cancelled, Completed: f.Completed, Failed: f.Failed, Cancelled: f.Cancelled, ErrorRate: f.errorRate(),
	}
	_, out.P50 = f.quantile(0.5)
	_, out.P95 = f.quantile(0.95)
	_, out.P99 = f.quantile(0.99)
	return out
}

// rolloutInfo is what is told of a rollout. Once it has ended, all runs that are
// started get the active version, which may be another than both.
func (e *Engine) rolloutInfo(ctx context.Context, workflow string, s *rolloutState) (RolloutInfo, error) {
	active, err := e.active(ctx, workflow)
	if err != nil {
		return RolloutInfo{}, err
	}
	return s.info(workflow, active), nil
}

func (s *rolloutState) info(workflow string, active int64) RolloutInfo {
	percent := s.percent
	if s.State != RolloutActive {
		percent = func(version int64) int {
			if version == active {
				return 100
			}
			return 0
		}
	}
	info := RolloutInfo{
		Rollout: s.Rollout, Workflow: workflow, ID: s.ID, State: s.State, Percent: percent(s.Candidate), Since: s.Since, Started: s.Started,
		Ended: s.Ended, Reason: s.Reason, Changes: s.Changes,
	}
	if len(s.Split) == 0 {
		info.Step = s.Step + 1
		if s.State == RolloutActive {
			info.Due = s.due()
		}
	}
	for i := range s.Arms {
		a := &s.Arms[i]
		info.Arms = append(info.Arms, RolloutArm{Version: a.Version, Percent: percent(a.Version), RolloutFigures: a.Total.info(), InStep: a.InStep.info()})
	}
	return info
}

// SetRollout begins a rollout of a workflow. Its stable version becomes the active
// one, if it is another. The figures of the last rollout are gone.
//
// Errors: INVALID_ARGUMENT, NOT_FOUND for a workflow or version, and
// FAILED_PRECONDITION if one is active, or a version cannot be read.
func (e *Engine) SetRollout(ctx context.Context, workflow string, r Rollout) (RolloutInfo, error) {
	active, err := e.active(ctx, workflow)
	if err != nil {
		return RolloutInfo{}, err
	}
	if r, err = r.withDefaults(active); err != nil {
		return RolloutInfo{}, err
	}
	versions := []int64{r.Stable}
	if r.Candidate > 0 {
		versions = append(versions, r.Candidate)
	}
	for _, share := range r.Split {
		versions = append(versions, share.Version)
	}
	for _, v := range versions {
		if _, err := e.Definition(ctx, workflow, v); err != nil {
			if fault.CodeOf(err) == fault.InvalidArgument {
				err = &fault.Error{Code: fault.FailedPrecondition, Op: "workflow.Engine.SetRollout", Target: workflow, Message: "a version cannot be read any more", Cause: err}
			}
			return RolloutInfo{}, err
		}
	}
	now := rolloutNow()
	entry, err := e.changeRollout(ctx, workflow, func(entry *rolloutEntry) (*rolloutState, int64, error) {
		if _, err := e.active(ctx, workflow); err != nil { // it was deleted at the same moment
			return nil, 0, err
		}
		if entry != nil && entry.state.State == RolloutActive {
			return nil, 0, &fault.Error{
				Code: fault.FailedPrecondition, Op: "workflow.Engine.SetRollout", Target: workflow, Message: "a rollout is active",
				Hint: "end it first",
			}
		}
		return newRolloutState(r, newRunID(now), now), r.Stable, nil
	})
	if err != nil {
		return RolloutInfo{}, err
	}
	if err := e.settle(ctx, workflow); err != nil {
		return RolloutInfo{}, err
	}
	e.tendRollout(workflow)
	return e.rolloutInfo(ctx, workflow, entry.state)
}

// Rollout tells how the last rollout of a workflow stands, with all runs counted
// that have ended; its state is RolloutNone if there was none.
// Errors: NOT_FOUND for a workflow.
func (e *Engine) Rollout(ctx context.Context, workflow string) (RolloutInfo, error) {
	entry, err := e.tend(ctx, workflow)
	if fault.CodeOf(err) == fault.NotFound && entry == nil {
		if _, err := e.active(ctx, workflow); err != nil {
			return RolloutInfo{}, err
		}
		return RolloutInfo{Workflow: workflow, State: RolloutNone, Arms: []RolloutArm{}, Changes: []RolloutChange{}}, nil
	}
	if err != nil {
		return RolloutInfo{}, err
	}
	return e.rolloutInfo(ctx, workflow, entry.state)
}

// EndRollout ends an active rollout: the stable version gets all runs. To end it
// in favour of the candidate, make that the active version ([Engine.Activate]).
// Reason may be empty. Errors: NOT_FOUND if there was none.
func (e *Engine) EndRollout(ctx context.Context, workflow, reason string) (RolloutInfo, error) {
	if reason == "" {
		reason = "somebody ended it"
	}
	if _, err := e.tend(ctx, workflow); err != nil {
		return RolloutInfo{}, err
	}
	entry, err := e.changeRollout(ctx, workflow, func(entry *rolloutEntry) (*rolloutState, int64, error) {
		return entry.ended(reason), 0, nil
	})
	if err != nil {
		return RolloutInfo{}, err
	}
	return e.rolloutInfo(ctx, workflow, entry.state)
}

func noRollout(workflow string) error {
	return &fault.Error{Code: fault.NotFound, Op: "workflow.Engine.Rollout", Target: workflow, Message: "the workflow has no rollout"}
}

// rolloutNow is the time as it is stored.
func rolloutNow() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
