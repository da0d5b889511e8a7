package breaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// outcome is one call as the model remembers it.
type outcome struct {
	at     time.Duration
	failed bool
}

// model is what the documentation says, without any care for time or memory.
type model struct {
	cfg      Config
	state    State
	outcomes []outcome // of this closed period
	until    time.Duration
	running  map[ticket]time.Duration
	won      int
}

// trips reports whether the outcomes of the closed period open the breaker.
func (m *model) trips(now time.Duration) bool {
	recent := m.outcomes[max(0, len(m.outcomes)-m.cfg.Window):]
	calls, failures := 0, 0
	for _, o := range recent {
		if o.at < now-m.cfg.MaxAge {
			continue
		}
		calls++
		if o.failed {
			failures++
		}
	}
	return calls >= m.cfg.MinCalls && float64(failures) >= m.cfg.Ratio*float64(calls)-1e-9 && failures > 0
}

// TestSimulation runs random callers against random targets and holds the
// machine to the model at every step. Req F12
func TestSimulation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	seen := map[[2]State]int{}
	for run := range uint64(400) {
		simulate(t, seed, run, seen)
	}
	for _, change := range [][2]State{{Closed, Open}, {Open, HalfOpen}, {HalfOpen, Open}, {HalfOpen, Closed}} {
		if seen[change] < 100 {
			t.Errorf("seed %d: %v → %v was seen %d times; the simulation shows little", seed, change[0], change[1], seen[change])
		}
	}
}

func simulate(t *testing.T, seed, run uint64, seen map[[2]State]int) {
	rnd := rand.New(rand.NewPCG(seed, run))
	cfg := Config{
		Ratio:  []float64{0.1, 0.5, 0.9, 1}[rnd.IntN(4)],
		Window: 1 + rnd.IntN(40), MaxAge: time.Duration(1+rnd.IntN(100)) * time.Second,
		OpenFor: time.Duration(1+rnd.IntN(60)) * time.Second, Probes: 1 + rnd.IntN(5),
		ProbeTimeout: time.Duration(1+rnd.IntN(60)) * time.Second,
	}
	cfg.MinCalls = 1 + rnd.IntN(cfg.Window)
	cfg = cfg.withDefaults()
	m, ref := newMachine(cfg), &model{cfg: cfg, running: map[ticket]time.Duration{}}
	var flying []ticket // calls under way, of all periods
	var now time.Duration
	sick := 0.5 // how likely a call is to fail
	for step := range 1500 {
		fail := func(format string, args ...any) {
			t.Fatalf("seed %d run %d step %d, %+v: "+format, append([]any{seed, run, step, cfg}, args...)...)
		}
		now += time.Duration(rnd.ExpFloat64() * float64(time.Second) * 0.3)
		if rnd.IntN(100) == 0 {
			sick = rnd.Float64() * rnd.Float64() * 1.5
		}
		before := m.state
		if len(flying) == 0 || rnd.IntN(2) == 0 {
			tk, ok := m.admit(now)
			if want := ref.admit(now); ok != want {
				fail("a call in state %v is admitted: %v, want %v", before, ok, want)
			}
			if ok {
				flying = append(flying, tk)
				if ref.state == HalfOpen {
					ref.running[tk] = now
				}
			}
		} else {
			i := rnd.IntN(len(flying))
			tk, v := flying[i], Success
			if rnd.Float64() < sick {
				v = Failure
			} else if rnd.IntN(20) == 0 {
				v = Neither
			}
			if rnd.IntN(20) > 0 { // else: it will be settled once more
				flying[i] = flying[len(flying)-1]
				flying = flying[:len(flying)-1]
			}
			current := tk.period == m.period
			m.settle(now, tk, v)
			if current {
				ref.settle(now, tk, v)
			}
		}
		if m.state != ref.state {
			fail("state %v, want %v", m.state, ref.state)
		}
		if len(m.probes) > cfg.Probes {
			fail("%d probes at once", len(m.probes))
		}
		if before != m.state {
			seen[[2]State{before, m.state}]++
		}
	}
}

func (m *model) admit(now time.Duration) bool {
	switch m.state {
	case Open:
		if now < m.until {
			return false
		}
		m.state, m.won, m.running = HalfOpen, 0, map[ticket]time.Duration{}
	case HalfOpen:
		for _, began := range m.running {
			if now-began >= m.cfg.ProbeTimeout {
				m.open(now)
				return false
			}
		}
		return len(m.running)+m.won < m.cfg.Probes
	}
	return true
}

func (m *model) settle(now time.Duration, tk ticket, v Verdict) {
	if m.state == HalfOpen {
		if _, ok := m.running[tk]; !ok {
			return
		}
		delete(m.running, tk)
		switch v {
		case Failure:
			m.open(now)
		case Success:
			if m.won++; m.won == m.cfg.Probes {
				m.state, m.outcomes = Closed, nil
			}
		}
		return
	}
	if v == Neither {
		return
	}
	m.outcomes = append(m.outcomes, outcome{now, v == Failure})
	if m.trips(now) {
		m.open(now)
	}
}

func (m *model) open(now time.Duration) { m.state, m.until = Open, now+m.cfg.OpenFor }

// A breaker whose target has failed for good is open after at most as many calls
// as it takes to fill the share of the window, whatever came before.
func TestOpensInTime(t *testing.T) {
	t.Parallel()
	for healthy := range 300 {
		cfg := Config{}.withDefaults()
		m, now := newMachine(cfg), time.Duration(0)
		for range healthy {
			tk, _ := m.admit(now)
			m.settle(now, tk, Success)
		}
		failures := 0
		for m.state == Closed {
			now += time.Millisecond
			tk, _ := m.admit(now)
			m.settle(now, tk, Failure)
			failures++
		}
		want := max(cfg.MinCalls-healthy, min(healthy, cfg.Window/2), 1)
		if failures != want {
			t.Fatalf("after %d successes it opened with failure %d, want %d", healthy, failures, want)
		}
	}
}

// The open state ends with its last moment, and not before. Req F12
func TestOpenEndsOnTime(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	m := newMachine(cfg)
	m.enter(Open, time.Minute)
	if _, ok := m.admit(time.Minute + cfg.OpenFor - 1); ok {
		t.Error("a call was made too early")
	}
	if _, ok := m.admit(time.Minute + cfg.OpenFor); !ok || m.state != HalfOpen {
		t.Errorf("no call was made in time; the state is %v", m.state)
	}
}

func TestTripsAt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ratio   float64
		n, want int
	}{{0.5, 10, 5}, {0.5, 11, 6}, {0.1, 30, 3}, {0.3, 10, 3}, {1, 7, 7}, {0.001, 10, 1}} {
		if got := (&Config{Ratio: tt.ratio}).tripsAt(tt.n); got != tt.want {
			t.Errorf("%v of %d: %d, want %d", tt.ratio, tt.n, got, tt.want)
		}
	}
}
