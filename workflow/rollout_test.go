package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// rolloutWorld is a rollout in a world of virtual time, in which runs end at random.
type rolloutWorld struct {
	t     *testing.T
	seed  uint64
	rnd   *rand.Rand
	now   time.Time
	state *rolloutState
	runs  int
}

func newRolloutWorld(t *testing.T, seed uint64, r Rollout) *rolloutWorld {
	t.Helper()
	r, err := r.withDefaults(1)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &rolloutWorld{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 5)), now: now, state: newRolloutState(r, fmt.Sprint("rollout ", seed), now)}
}

// arm is how runs of a version do.
type arm struct {
	errors  float64
	typical time.Duration
}

// play lets runs end until the rollout does, one each second.
func (w *rolloutWorld) play(most int, arms map[int64]arm) {
	for w.runs = 0; w.runs < most && w.state.State == RolloutActive; w.runs++ {
		w.now = w.now.Add(time.Second)
		version := w.state.choose("w", "", fmt.Sprint("run ", w.runs))
		a := arms[version]
		end := rolloutEnd{Version: version, State: StateCompleted, Duration: time.Duration(float64(a.typical) * math.Exp(w.rnd.NormFloat64()/4))}
		if w.rnd.Float64() < a.errors {
			end.State = StateFailed
		}
		w.state.count(end)
		w.check()
	}
}

// check does what is decided, and fails if it may not be.
func (w *rolloutWorld) check() {
	s := w.state
	change := s.decide(w.now)
	if change == nil {
		return
	}
	in := s.arm(s.Candidate).InStep
	switch change.State {
	case RolloutRolledBack:
		if in.ended() < int64(s.MinSample) {
			w.t.Fatalf("seed %d: taken back after %d runs", w.seed, in.ended())
		}
		if strings.Contains(change.Reason, "failed") && in.Failed < failuresLeast {
			w.t.Fatalf("seed %d: taken back after %d failures", w.seed, in.Failed)
		}
	default:
		if in.ended() < int64(s.MinRuns) || w.now.Sub(s.Since) < time.Duration(s.StepAfter) {
			w.t.Fatalf("seed %d: it went on after %d runs and %v", w.seed, in.ended(), w.now.Sub(s.Since))
		}
	}
	s.apply(*change)
	data, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	if back, err := decodeRollout(data); err != nil || !reflect.DeepEqual(back, s) {
		w.t.Fatalf("seed %d: what is stored reads back as\n%+v\nof\n%+v: %v", w.seed, back, s, err)
	}
}

// Req W10: a good version gets all runs, in the steps 5, 20 and 100 %; one that
// fails more often than the one before, or takes longer, is taken back, most of the
// time before it has had many runs.
func TestRolloutSimulation(t *testing.T) {
	t.Parallel()
	const worlds = 100
	for _, tt := range []struct {
		name              string
		stable, candidate arm
		state             RolloutState
		least             int // of the worlds end so
		runsMost          int64
	}{
		{"as good", arm{0.01, time.Second}, arm{0.01, time.Second}, RolloutCompleted, 98, math.MaxInt64},
		{"better", arm{0.04, time.Second}, arm{0, time.Second / 2}, RolloutCompleted, 100, math.MaxInt64},
		{"fails a third", arm{0.01, time.Second}, arm{0.33, time.Second}, RolloutRolledBack, 100, 60},
		{"fails always", arm{0, time.Second}, arm{1, time.Second}, RolloutRolledBack, 100, 12},
		{"fails ten times as often", arm{0.002, time.Second}, arm{0.2, time.Second}, RolloutRolledBack, 100, 150},
		{"four times as slow", arm{0.01, time.Second}, arm{0.01, 4 * time.Second}, RolloutRolledBack, 99, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ends := 0
			for seed := range uint64(worlds) {
				w := newRolloutWorld(t, seed, Rollout{Candidate: 2})
				w.play(100_000, map[int64]arm{1: tt.stable, 2: tt.candidate})
				var percents []int
				for _, c := range w.state.Changes {
					percents = append(percents, c.Percent)
				}
				if w.state.State == RolloutCompleted && !reflect.DeepEqual(percents, []int{5, 20, 100, 100}) {
					t.Fatalf("seed %d: the steps were %v", seed, percents)
				}
				total := w.state.arm(2).Total
				if w.state.State == tt.state && total.ended() <= tt.runsMost {
					ends++
				}
			}
			if ends < tt.least {
				t.Errorf("%d of %d worlds end as they should; expected %d", ends, worlds, tt.least)
			}
		})
	}
}

// Req W10: one failure of two, or one slow run of a few, decides nothing.
func TestRolloutSmallSample(t *testing.T) {
	t.Parallel()
	w := newRolloutWorld(t, 0, Rollout{Candidate: 2})
	for range 1000 {
		w.state.count(rolloutEnd{Version: 1, State: StateCompleted, Duration: time.Second})
	}
	w.state.count(rolloutEnd{Version: 2, State: StateFailed})
	w.state.count(rolloutEnd{Version: 2, State: StateCompleted, Duration: time.Hour})
	if c := w.state.decide(w.now); c != nil {
		t.Errorf("after two runs: %+v", c)
	}
	for range 18 {
		w.state.count(rolloutEnd{Version: 2, State: StateCompleted, Duration: time.Second})
	}
	if c := w.state.decide(w.now.Add(StepAfterDefault)); c == nil || c.State != RolloutActive || c.Percent != 20 {
		t.Errorf("after 20 runs, one of which failed: %+v", c)
	}
	for range 3 {
		w.state.count(rolloutEnd{Version: 2, State: StateCancelled})
	}
	w.state.count(rolloutEnd{Version: 2, State: StateFailed})
	if c := w.state.decide(w.now.Add(StepAfterDefault)); c != nil {
		t.Errorf("with 2 failures in 21 runs it neither goes on nor back: %+v", c)
	}
	w.state.count(rolloutEnd{Version: 2, State: StateFailed})
	if c := w.state.decide(w.now); c == nil || c.State != RolloutRolledBack || !strings.Contains(c.Reason, "3 of 22 runs failed") {
		t.Errorf("with 3 failures where the stable version has none: %+v", c)
	}
}

// Req W10: runs with a key get the same version as long as its share grows; the
// shares are kept, with keys and without.
func TestRolloutSticky(t *testing.T) {
	t.Parallel()
	w := newRolloutWorld(t, 1, Rollout{Candidate: 2, Steps: []int{5, 20, 50, 100}})
	const keys = 20_000
	had := map[string]bool{}
	for step, percent := range w.state.Steps {
		w.state.Step = step
		got, drawn := 0, 0
		for i := range keys {
			key := fmt.Sprint("customer-", i)
			version := w.state.choose("w", key, fmt.Sprint("run", step, i))
			if again := w.state.choose("w", key, "another"); again != version {
				t.Fatalf("the key %s got %d and %d", key, version, again)
			}
			if had[key] && version != 2 {
				t.Fatalf("the key %s has lost the candidate at %d %%", key, percent)
			}
			if had[key] = version == 2; had[key] {
				got++
			}
			if w.state.choose("w", "", fmt.Sprint("run", i)) == 2 {
				drawn++
			}
		}
		for _, n := range []int{got, drawn} {
			if off := math.Abs(float64(n)/keys - float64(percent)/100); off > 0.01 {
				t.Errorf("at %d %%, %d of %d", percent, n, keys)
			}
		}
	}
	w.state.State = RolloutRolledBack
	if v := w.state.choose("w", "x", "y"); v != 0 {
		t.Errorf("a rollout that was taken back gives version %d", v)
	}
}

// Req W10: a split keeps its shares and never ends by itself.
func TestRolloutSplit(t *testing.T) {
	t.Parallel()
	w := newRolloutWorld(t, 2, Rollout{Split: []RolloutShare{{1, 50}, {3, 30}, {4, 20}}})
	w.play(20_000, map[int64]arm{1: {0, time.Second}, 3: {0.5, time.Second}, 4: {0, time.Minute}})
	info := w.state.info("w", 1)
	if info.State != RolloutActive || len(info.Arms) != 3 {
		t.Fatalf("got %+v", info)
	}
	for i, want := range []struct {
		share, errors float64
		p50           time.Duration
	}{{0.5, 0, time.Second}, {0.3, 0.5, time.Second}, {0.2, 0, time.Minute}} {
		a := info.Arms[i]
		if math.Abs(float64(a.Runs)/20_000-want.share) > 0.02 || math.Abs(a.ErrorRate-want.errors) > 0.05 ||
			a.P50 < want.p50*4/5 || a.P50 > want.p50*6/5 || a.P95 < a.P50 || a.P99 < a.P95 {
			t.Errorf("the arm %+v; expected %+v", a, want)
		}
	}
}

func TestRolloutRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rollout Rollout
		want    string
	}{
		{Rollout{}, "there is no candidate"},
		{Rollout{Candidate: 1}, "is the stable version"},
		{Rollout{Candidate: 2, Steps: []int{5, 20}}, "expected at most 20 percentages"},
		{Rollout{Candidate: 2, Steps: []int{20, 5, 100}}, "the steps are [20 5 100]"},
		{Rollout{Candidate: 2, Steps: []int{0, 100}}, "the steps are"},
		{Rollout{Candidate: 2, Steps: []int{5, 5, 100}}, "the steps are"},
		{Rollout{Candidate: 2, StepAfter: -1}, "is negative"},
		{Rollout{Candidate: 2, MaxErrorRate: 5}, "expected a share such as 0.05"},
		{Rollout{Candidate: 2, MaxLatency: 0.5}, "expected how many times longer"},
		{Rollout{Split: []RolloutShare{{1, 100}}}, "1 versions with 100 percent"},
		{Rollout{Split: []RolloutShare{{1, 50}, {1, 50}}}, "each version once"},
		{Rollout{Split: []RolloutShare{{1, 50}, {2, 60}}}, "110 percent together"},
		{Rollout{Candidate: 2, Split: []RolloutShare{{1, 50}, {2, 50}}}, "leave all but split"},
	} {
		if _, err := tt.rollout.withDefaults(1); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.rollout, err, tt.want)
		}
	}
}

// A percentile from the histogram is within a fifth of the true one.
func TestRolloutPercentiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		var f rolloutFigures
		n := 1 + rnd.IntN(1000)
		longest := time.Duration(0)
		for range n {
			d := time.Duration(math.Exp(rnd.Float64()*18) * float64(time.Millisecond))
			longest = max(longest, d)
			f.count(rolloutEnd{State: StateCompleted, Duration: d})
		}
		if least, most := f.quantile(1); longest < least || longest > most || most > longest*6/5+time.Millisecond {
			t.Errorf("seed %d: the longest of %d is %v; the histogram says %v to %v", seed, n, longest, least, most)
		}
	}
	var f rolloutFigures
	f.count(rolloutEnd{State: StateCompleted, Duration: 1 << 62})
	f.count(rolloutEnd{State: StateCompleted, Duration: -1})
	if len(f.Buckets) > durationBuckets || f.info().Runs != 2 {
		t.Errorf("%d buckets", len(f.Buckets))
	}
}

// What is read from a store decides without a panic, whatever it is.
func FuzzRollout(f *testing.F) {
	w, _ := Rollout{Candidate: 2}.withDefaults(1)
	data, _ := json.Marshal(newRolloutState(w, "id", time.Unix(0, 0).UTC()))
	f.Add(data, int64(0))
	split, _ := json.Marshal(newRolloutState(Rollout{Stable: 1, Split: []RolloutShare{{1, 50}, {2, 50}}}, "id", time.Unix(0, 0).UTC()))
	f.Add(split, int64(1e18))
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		s, err := decodeRollout(data)
		if err != nil {
			return
		}
		for range 5 {
			if v := s.choose("w", "key", "run"); s.State == RolloutActive && v == 0 && s.Stable != 0 && s.Candidate != 0 {
				t.Fatal("an active rollout chooses nothing")
			}
			s.count(rolloutEnd{Version: s.Candidate, State: StateFailed})
			if c := s.decide(time.Unix(0, at)); c != nil {
				s.apply(*c)
			}
			s.info("w", 1)
		}
	})
}
