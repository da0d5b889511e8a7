package workflow

import (
	"context"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// Limits of [ReplayOptions].
const (
	// ReplayRunsDefault is how many runs are replayed where nothing is said.
	ReplayRunsDefault = 100
	// ReplayRunsMax bounds what may be said.
	ReplayRunsMax = 10_000
)

// ReplayOptions say which runs to replay.
type ReplayOptions struct {
	// Limit is how many of the newest runs that have ended, see
	// [ReplayRunsDefault].
	Limit int
	// Open replays the runs that are under way, too, as far as they have come; they
	// count in the limit.
	Open bool
}

// ReplayOutcome says how a run went that was replayed.
type ReplayOutcome string

// The outcomes of a replay.
const (
	// ReplaySame is a run in which the definition leads to the same steps, with the
	// same results.
	ReplaySame ReplayOutcome = "same"
	// ReplayDiffers is a run that would have gone another way.
	ReplayDiffers ReplayOutcome = "differs"
	// ReplayUnknown is a run in which the definition begins a step that the run did
	// not have, so that nothing says how it would have gone on.
	ReplayUnknown ReplayOutcome = "unknown"
)

// ReplayReport is what came of replaying runs.
type ReplayReport struct {
	Workflow string `json:"workflow"`
	// Version is the one that was replayed, 0 for a definition that is none.
	Version int64 `json:"version,omitempty"`
	Same    int   `json:"same"`
	Differs int   `json:"differs"`
	Unknown int   `json:"unknown"`
	// Runs are the runs, the newest first.
	Runs []ReplayResult `json:"runs"`
}

// ReplayResult is what came of replaying one run.
type ReplayResult struct {
	RunID string `json:"run_id"`
	// Version is the version that the run has.
	Version int64         `json:"version"`
	Outcome ReplayOutcome `json:"outcome"`
	// Events is the length of the run's history.
	Events int64 `json:"events"`
	// Event is the number of the event at which the first difference shows.
	Event int64 `json:"event,omitempty"`
	// Recorded is what happened, Replayed what the definition leads to instead; one
	// of them may be empty.
	Recorded string `json:"recorded,omitempty"`
	Replayed string `json:"replayed,omitempty"`
}

// Replay has the histories of runs of a workflow decided again by a definition,
// which may be a version of it or one that is not deployed yet, and tells where it
// leads elsewhere. What happened outside - how attempts ended, signals, moments -
// is taken from the history; nothing is done. The order in which steps begin that
// begin together does not count, nor do steps that are skipped and that only one
// of the definitions has.
//
// Errors: NOT_FOUND for an unknown workflow, INVALID_ARGUMENT for a limit that is
// none, and those of the store.
func (e *Engine) Replay(ctx context.Context, workflow string, d *Definition, o ReplayOptions) (ReplayReport, error) {
	return e.replay(ctx, workflow, o, func(inputs map[string]string) (*Definition, error) {
		return loadBytes(d.text, d.File, d.files, LoadOptions{Registry: e.options.Registry, Inputs: inputs})
	})
}

// ReplayVersion is [Engine.Replay] for a version; 0 is the active one.
func (e *Engine) ReplayVersion(ctx context.Context, workflow string, version int64, o ReplayOptions) (ReplayReport, error) {
	if version == 0 {
		active, err := e.active(ctx, workflow)
		if err != nil {
			return ReplayReport{}, err
		}
		version = active
	}
	if _, _, err := e.record(ctx, workflow, version); err != nil {
		return ReplayReport{}, err
	}
	report, err := e.replay(ctx, workflow, o, func(inputs map[string]string) (*Definition, error) {
		return e.definition(ctx, workflow, version, inputs)
	})
	report.Version = version
	return report, err
}

func (e *Engine) replay(ctx context.Context, workflow string, o ReplayOptions, load func(inputs map[string]string) (*Definition, error)) (ReplayReport, error) {
	report := ReplayReport{Workflow: workflow, Runs: []ReplayResult{}}
	if o.Limit == 0 {
		o.Limit = ReplayRunsDefault
	}
	if o.Limit < 0 || o.Limit > ReplayRunsMax {
		return report, fault.New(fault.InvalidArgument, "workflow.Engine.Replay", "the limit is %d; expected a number from 1 to %d", o.Limit, ReplayRunsMax)
	}
	if _, err := e.active(ctx, workflow); err != nil {
		return report, err
	}
	filter := RunFilter{Workflow: workflow, States: []State{StateCompleted, StateFailed, StateCancelled}, Limit: o.Limit}
	if o.Open {
		filter.States = nil
	}
	runs, err := e.Runs(ctx, filter)
	if err != nil {
		return report, err
	}
	for _, run := range runs {
		result, err := e.replayRun(ctx, run.ID, load)
		if fault.CodeOf(err) == fault.NotFound {
			continue // it was pruned at the same moment
		}
		if err != nil {
			return report, err
		}
		switch result.Outcome {
		case ReplaySame:
			report.Same++
		case ReplayDiffers:
			report.Differs++
		case ReplayUnknown:
			report.Unknown++
		}
		report.Runs = append(report.Runs, result)
	}
	return report, nil
}

// replayRun replays one run.
func (e *Engine) replayRun(ctx context.Context, id string, load func(inputs map[string]string) (*Definition, error)) (ReplayResult, error) {
	var history []Event
	for event, err := range (&Run{engine: e, id: id}).History(ctx, 0) {
		if err != nil {
			return ReplayResult{}, err
		}
		history = append(history, event)
	}
	if len(history) == 0 || history[0].Start == nil {
		return ReplayResult{}, noRun("workflow.Engine.Replay", id)
	}
	start := history[0].Start
	result := ReplayResult{RunID: id, Version: start.Version, Outcome: ReplaySame, Events: int64(len(history))}
	d, err := load(start.Inputs)
	if fault.CodeOf(err) == fault.InvalidArgument {
		first, _, _ := strings.Cut(err.Error(), "\n")
		result.Outcome, result.Event, result.Recorded, result.Replayed = ReplayDiffers, 1, "the run started", "its start is refused: "+first
		return result, nil
	}
	if err != nil {
		return result, err
	}
	// The version that the run had tells errors that are repeated from those that
	// are not; without it, what was recorded is believed.
	had, err := e.definition(ctx, history[0].Workflow, start.Version, start.Inputs)
	if err != nil {
		had = d
	}
	if difference := replayHistory(d, had, id, history, false); difference != nil {
		result.Outcome, result.Event, result.Recorded, result.Replayed = difference.outcome, difference.event, difference.recorded, difference.replayed
	}
	return result, nil
}

// String is the report for people: a line for each run that is not the same, and
// one with the figures.
func (r *ReplayReport) String() string {
	var b strings.Builder
	for _, run := range r.Runs {
		if run.Outcome == ReplaySame {
			continue
		}
		fmt.Fprintf(&b, "%s (version %d) %s at event %d: %s; now %s\n", run.RunID, run.Version, run.Outcome, run.Event,
			orNothing(run.Recorded), orNothing(run.Replayed))
	}
	fmt.Fprintf(&b, "%d runs: %d same, %d differ, %d unknown\n", len(r.Runs), r.Same, r.Differs, r.Unknown)
	return b.String()
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}
