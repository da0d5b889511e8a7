package workflow

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Defaults and limits of rollouts.
const (
	// StepAfterDefault is how long a step of a rollout takes at least.
	StepAfterDefault = 10 * time.Minute
	// MinRunsDefault is how many runs of the candidate have to end in a step.
	MinRunsDefault = 20
	// MinSampleDefault is how many runs have to have ended before a rollout is
	// taken back.
	MinSampleDefault = 10
	// MaxErrorRateDefault is the share of failed runs that is too large.
	MaxErrorRateDefault = 0.05
	// MaxLatencyDefault is how many times longer than before runs may take.
	MaxLatencyDefault = 2.0
	// RolloutStepsMax bounds the steps of a rollout, and the versions of a split.
	RolloutStepsMax = 20

	// failuresLeast is how many runs have failed at least before a rollout is taken
	// back on their account: a single bad input is none of the version's.
	failuresLeast = 3
)

// stepsDefault are the steps of a rollout that says nothing.
var stepsDefault = []int{5, 20, 100}

// Rollout says how a version gets its runs: a canary, which goes from a small
// share of the runs to all of them in steps and is taken back by itself if it does
// worse than the version before, or a split, which gives fixed shares to several
// versions until somebody ends it.
//
// Which version a run gets is a matter of its key: runs with the same key get the
// same version as long as its share does not shrink. A run without a key draws. A
// run that is started with a version of its own is none of the rollout.
type Rollout struct {
	// Stable is the version that the other runs get. 0: the active one. It is the
	// active version as long as the rollout lasts.
	Stable int64 `json:"stable,omitempty"`
	// Candidate is the version that is to become the active one.
	Candidate int64 `json:"candidate,omitempty"`
	// Steps are the percentages of the runs that the candidate gets, rising, the
	// last of which is 100. Default 5, 20, 100.
	Steps []int `json:"steps,omitempty"`
	// StepAfter is how long each step takes at least. Default 10 min.
	StepAfter Duration `json:"step_after,omitempty"`
	// MinRuns is how many runs of the candidate have to end in each step. Default
	// 20.
	MinRuns int `json:"min_runs,omitempty"`
	// MinSample is how many runs of the candidate have to end in a step before the
	// rollout may be taken back, and of the stable version before they are compared.
	// Default 10; of the failed ones, three at least.
	MinSample int `json:"min_sample,omitempty"`
	// MaxErrorRate is the share of the candidate's runs that may fail, from 0 to 1.
	// Default 0.05; negative: any. The rollout is taken back when it is almost
	// certainly above that, or above the stable version's.
	MaxErrorRate float64 `json:"max_error_rate,omitempty"`
	// MaxLatency is how many times longer the candidate's runs may take than the
	// stable version's, by the 95th percentile of those that complete. Default 2;
	// negative: any.
	MaxLatency float64 `json:"max_latency,omitempty"`
	// Split, instead of all the above but Stable, gives fixed shares to versions.
	Split []RolloutShare `json:"split,omitempty"`
	// Comment is what people are to know about it.
	Comment string `json:"comment,omitempty"`
}

// RolloutShare is a version's part in a split.
type RolloutShare struct {
	Version int64 `json:"version"`
	Percent int   `json:"percent"`
}

// RolloutState says how a rollout stands.
type RolloutState string

// The states of rollouts.
const (
	RolloutNone       RolloutState = "none" // there was none
	RolloutActive     RolloutState = "active"
	RolloutCompleted  RolloutState = "completed"   // the candidate is the active version
	RolloutRolledBack RolloutState = "rolled_back" // by itself: the stable version gets all runs
	RolloutEnded      RolloutState = "ended"       // somebody ended it, or made a version active
)

// RolloutChange is what became of a rollout at a time.
type RolloutChange struct {
	At      time.Time    `json:"at"`
	State   RolloutState `json:"state"`
	Percent int          `json:"percent"` // of the candidate from then on
	Reason  string       `json:"reason"`
}

// withDefaults checks a rollout and fills in what it leaves out.
func (r Rollout) withDefaults(active int64) (Rollout, error) {
	r.Stable = cmp.Or(r.Stable, active)
	if len(r.Split) > 0 {
		return r, r.checkSplit()
	}
	r.StepAfter = cmp.Or(r.StepAfter, Duration(StepAfterDefault))
	r.MinRuns = cmp.Or(r.MinRuns, MinRunsDefault)
	r.MinSample = cmp.Or(r.MinSample, MinSampleDefault)
	r.MaxErrorRate = cmp.Or(r.MaxErrorRate, MaxErrorRateDefault)
	r.MaxLatency = cmp.Or(r.MaxLatency, MaxLatencyDefault)
	if len(r.Steps) == 0 {
		r.Steps = slices.Clone(stepsDefault)
	}
	rising := slices.IsSorted(r.Steps) && len(slices.Compact(slices.Clone(r.Steps))) == len(r.Steps)
	switch {
	case r.Candidate < 1:
		return r, invalidRollout("there is no candidate", "name the version that is to get runs, or the shares of a split")
	case r.Candidate == r.Stable:
		return r, invalidRollout("the candidate is the stable version, "+strconv.FormatInt(r.Stable, 10), "name another version")
	case len(r.Steps) > RolloutStepsMax || !rising || r.Steps[0] < 1 || r.Steps[len(r.Steps)-1] != 100:
		return r, invalidRollout(fmt.Sprintf("the steps are %v", r.Steps), "expected at most 20 percentages that rise from 1 at least to 100, such as 5, 20, 100")
	case r.StepAfter < 0 || r.MinRuns < 0 || r.MinSample < 0:
		return r, invalidRollout("step_after, min_runs or min_sample is negative", "leave it out for the default")
	case r.MaxErrorRate > 1:
		return r, invalidRollout(fmt.Sprintf("max_error_rate is %v", r.MaxErrorRate), "expected a share such as 0.05")
	case r.MaxLatency > 0 && r.MaxLatency < 1:
		return r, invalidRollout(fmt.Sprintf("max_latency is %v", r.MaxLatency), "expected how many times longer runs may take, such as 2")
	}
	return r, nil
}

func (r Rollout) checkSplit() error {
	if r.Candidate != 0 || len(r.Steps) > 0 || r.StepAfter != 0 || r.MinRuns != 0 || r.MinSample != 0 || r.MaxErrorRate != 0 || r.MaxLatency != 0 {
		return invalidRollout("it has a split and what belongs to a canary", "leave all but split and comment out")
	}
	sum := 0
	seen := map[int64]bool{}
	for _, s := range r.Split {
		if s.Version < 1 || s.Percent < 1 || s.Percent > 100 || seen[s.Version] {
			return invalidRollout(fmt.Sprintf("the version %d has the share %d", s.Version, s.Percent), "expected each version once, with a share from 1 to 99")
		}
		seen[s.Version] = true
		sum += s.Percent
	}
	if len(r.Split) < 2 || len(r.Split) > RolloutStepsMax || sum != 100 {
		return invalidRollout(fmt.Sprintf("the split has %d versions with %d percent together", len(r.Split), sum), "expected 2 to 20 versions with 100 percent together")
	}
	return nil
}

func invalidRollout(message, hint string) error {
	return &fault.Error{Code: fault.InvalidArgument, Op: "workflow.Rollout", Message: message, Hint: hint}
}

// rolloutState is a rollout and how it stands. What is stored is what it is: a
// pure value, without a clock and without I/O.
type rolloutState struct {
	Rollout
	ID      string          `json:"id"`
	State   RolloutState    `json:"state"`
	Step    int             `json:"step"`
	Since   time.Time       `json:"since"` // the present step
	Started time.Time       `json:"started"`
	Ended   time.Time       `json:"ended,omitzero"`
	Reason  string          `json:"reason,omitempty"`
	Arms    []rolloutArm    `json:"arms"`
	Changes []RolloutChange `json:"changes,omitempty"`
}

// rolloutArm are the figures of a version.
type rolloutArm struct {
	Version int64          `json:"version"`
	Total   rolloutFigures `json:"total"`
	InStep  rolloutFigures `json:"in_step"`
}

func newRolloutState(r Rollout, id string, now time.Time) *rolloutState {
	s := &rolloutState{Rollout: r, ID: id, State: RolloutActive, Since: now, Started: now}
	versions := []int64{r.Stable, r.Candidate}
	if len(r.Split) > 0 {
		versions = nil
		for _, share := range r.Split {
			versions = append(versions, share.Version)
		}
	}
	for _, v := range versions {
		s.Arms = append(s.Arms, rolloutArm{Version: v})
	}
	s.note(now, "it begins")
	return s
}

func (s *rolloutState) clone() *rolloutState {
	c := *s
	c.Changes = slices.Clone(s.Changes)
	c.Arms = slices.Clone(s.Arms)
	for i := range c.Arms {
		c.Arms[i].Total.Buckets = slices.Clone(s.Arms[i].Total.Buckets)
		c.Arms[i].InStep.Buckets = slices.Clone(s.Arms[i].InStep.Buckets)
	}
	return &c
}

// percent is the share of the candidate, or of a version in a split.
func (s *rolloutState) percent(version int64) int {
	if s.State != RolloutActive {
		return 0
	}
	for _, share := range s.Split {
		if share.Version == version {
			return share.Percent
		}
	}
	switch {
	case len(s.Split) > 0 || s.Step < 0 || s.Step >= len(s.Steps):
		return 0
	case version == s.Candidate:
		return s.Steps[s.Step]
	case version == s.Stable:
		return 100 - s.Steps[s.Step]
	}
	return 0
}

// choose says which version a run gets: 0, if the rollout has no say.
func (s *rolloutState) choose(workflow, key, runID string) int64 {
	if s.State != RolloutActive {
		return 0
	}
	at := int(rolloutPlace(s.ID, workflow, key, runID) % 100)
	if len(s.Split) == 0 {
		if at < s.percent(s.Candidate) {
			return s.Candidate
		}
		return s.Stable
	}
	for _, share := range s.Split {
		if at -= share.Percent; at < 0 {
			return share.Version
		}
	}
	return s.Stable
}

// rolloutPlace is where a run stands among all: the same for the same key in one
// rollout. Another rollout has another order, so that it is not always the same
// keys that get a new version first.
func rolloutPlace(rollout, workflow, key, runID string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(rollout + "\x00" + workflow + "\x00" + key)) // it never fails
	if key == "" {
		_, _ = h.Write([]byte("\x00" + runID))
	}
	// The lower bits of FNV are weak for keys that differ at their ends.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// rolloutEnd is how a run of a rollout ended, as it waits in the store to be
// counted.
type rolloutEnd struct {
	Version  int64         `json:"v"`
	State    State         `json:"s"`
	Duration time.Duration `json:"d"`
}

// count takes in how runs ended.
func (s *rolloutState) count(e rolloutEnd) {
	for i := range s.Arms {
		if s.Arms[i].Version == e.Version {
			s.Arms[i].Total.count(e)
			s.Arms[i].InStep.count(e)
		}
	}
}

func (s *rolloutState) arm(version int64) *rolloutArm {
	for i := range s.Arms {
		if s.Arms[i].Version == version {
			return &s.Arms[i]
		}
	}
	return &rolloutArm{}
}

// decide says what follows at a time: nil if nothing does.
func (s *rolloutState) decide(now time.Time) *RolloutChange {
	if s.State != RolloutActive || len(s.Split) > 0 || s.Step < 0 || s.Step >= len(s.Steps) {
		return nil
	}
	candidate, stable := s.arm(s.Candidate), s.arm(s.Stable)
	compared := &stable.InStep
	if compared.ended() < int64(s.MinSample) {
		compared = &stable.Total
	}
	if reason := s.tooBad(&candidate.InStep, compared); reason != "" {
		return &RolloutChange{At: now, State: RolloutRolledBack, Reason: reason}
	}
	figures := &candidate.InStep
	switch {
	case now.Before(s.due()) || figures.ended() < int64(s.MinRuns):
		return nil
	case s.MaxErrorRate >= 0 && figures.errorRate() > s.MaxErrorRate:
		return nil // which is not certain enough to take it back, and no reason to go on
	case s.Step+1 < len(s.Steps):
		return &RolloutChange{
			At: now, State: RolloutActive, Percent: s.Steps[s.Step+1],
			Reason: fmt.Sprintf("%d runs at %d %% had no more errors than allowed", figures.ended(), s.Steps[s.Step]),
		}
	}
	return &RolloutChange{At: now, State: RolloutCompleted, Percent: 100, Reason: "all steps are done"}
}

// due is when the present step may end.
func (s *rolloutState) due() time.Time { return s.Since.Add(time.Duration(s.StepAfter)) }

// tooBad says why a version must not get more runs, or nothing.
func (s *rolloutState) tooBad(candidate, stable *rolloutFigures) string {
	if candidate.ended() < int64(s.MinSample) {
		return ""
	}
	if s.MaxErrorRate >= 0 && candidate.Failed >= failuresLeast {
		least, _ := candidate.errorBounds()
		told := fmt.Sprintf("%d of %d runs failed", candidate.Failed, candidate.ended())
		if least > s.MaxErrorRate {
			return fmt.Sprintf("%s, more than %.4g %%", told, 100*s.MaxErrorRate)
		}
		if _, most := stable.errorBounds(); stable.ended() >= int64(s.MinSample) && least > most {
			return fmt.Sprintf("%s, but %d of %d with the stable version", told, stable.Failed, stable.ended())
		}
	}
	if s.MaxLatency > 0 && candidate.Completed >= int64(s.MinSample) && stable.Completed >= int64(s.MinSample) {
		// The lower end of the one, the upper end of the other: neither a coarse
		// histogram nor a few slow runs are held against the candidate.
		took, _ := candidate.quantileAt(0.95, -1.64)
		_, before := stable.quantileAt(0.95, 1.64)
		if float64(took) > s.MaxLatency*float64(before) {
			return fmt.Sprintf("the 95th percentile of the durations is above %v, with the stable version below %v", took, before)
		}
	}
	return ""
}

// apply takes in what was decided.
func (s *rolloutState) apply(c RolloutChange) {
	s.State = c.State
	s.Changes = append(s.Changes, c)
	if c.State != RolloutActive {
		s.Ended, s.Reason = c.At, c.Reason
		return
	}
	s.Step, s.Since = s.Step+1, c.At
	for i := range s.Arms {
		s.Arms[i].InStep = rolloutFigures{}
	}
}

// note adds what happened.
func (s *rolloutState) note(now time.Time, reason string) {
	s.Changes = append(s.Changes, RolloutChange{At: now, State: s.State, Percent: s.percent(s.Candidate), Reason: reason})
}

// valid reports whether a state that was read is one.
func (s *rolloutState) valid() bool {
	if s.ID == "" || len(s.Arms) < 2 || len(s.Arms) > RolloutStepsMax || s.Step < 0 || len(s.Split) == 0 && s.Step >= len(s.Steps) {
		return false
	}
	for i := range s.Arms {
		if len(s.Arms[i].Total.Buckets) > durationBuckets || len(s.Arms[i].InStep.Buckets) > durationBuckets {
			return false
		}
	}
	_, err := s.withDefaults(s.Stable)
	return err == nil
}
