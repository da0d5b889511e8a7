package breaker

import "time"

// machine decides. It is pure: no clock, no lock, no I/O; now is the time since
// it began and never goes back. The same calls give the same answers.
type machine struct {
	cfg    Config
	state  State
	since  time.Duration // of the present state
	period uint32        // counts the states, to tell outcomes of earlier ones
	window window        // closed
	until  time.Duration // open: when the first probe may run

	probes    map[uint32]time.Duration // half-open: when each running one began
	nextProbe uint32
	succeeded int
}

// ticket is the permission for one call.
type ticket struct{ period, probe uint32 }

func newMachine(cfg Config) *machine {
	return &machine{cfg: cfg, window: newWindow(cfg.Window)}
}

// admit reports whether a call may be made now.
func (m *machine) admit(now time.Duration) (ticket, bool) {
	switch m.state {
	case Closed:
		return ticket{period: m.period}, true
	case Open:
		if now < m.until {
			return ticket{}, false
		}
		m.enter(HalfOpen, now)
	case HalfOpen:
		for _, began := range m.probes {
			if now-began >= m.cfg.ProbeTimeout {
				m.enter(Open, now)
				return ticket{}, false
			}
		}
		if len(m.probes)+m.succeeded >= m.cfg.Probes {
			return ticket{}, false
		}
	}
	m.nextProbe++
	m.probes[m.nextProbe] = now
	return ticket{period: m.period, probe: m.nextProbe}, true
}

// settle records how a call ended. Calls of an earlier period say nothing about
// this one, and a probe is settled once.
func (m *machine) settle(now time.Duration, t ticket, v Verdict) {
	if t.period != m.period {
		return
	}
	if m.state == HalfOpen {
		if _, running := m.probes[t.probe]; running {
			delete(m.probes, t.probe)
			m.settleProbe(now, v)
		}
		return
	}
	if v == Neither {
		return
	}
	m.window.expire(now - m.cfg.MaxAge)
	m.window.add(now, v == Failure)
	if m.window.n >= m.cfg.MinCalls && m.window.failures >= m.cfg.tripsAt(m.window.n) {
		m.enter(Open, now)
	}
}

func (m *machine) settleProbe(now time.Duration, v Verdict) {
	switch v {
	case Failure:
		m.enter(Open, now)
	case Success:
		if m.succeeded++; m.succeeded == m.cfg.Probes {
			m.enter(Closed, now)
		}
	}
}

func (m *machine) enter(s State, now time.Duration) {
	m.state, m.since = s, now
	m.period++
	switch s {
	case Closed:
		m.window.clear()
		m.probes = nil
	case Open:
		m.until = now + m.cfg.OpenFor
		m.probes = nil
	case HalfOpen:
		m.probes, m.succeeded = make(map[uint32]time.Duration, m.cfg.Probes), 0
	}
}

// window holds the outcomes of the last calls, oldest first, in a ring that
// grows to its size only if there are so many.
type window struct {
	at       []time.Duration
	failed   []bool
	size     int
	first, n int
	failures int
}

func newWindow(size int) window { return window{size: size} }

func (w *window) add(now time.Duration, failed bool) {
	if w.n == w.size {
		w.drop()
	}
	if w.n == len(w.at) {
		w.grow()
	}
	i := (w.first + w.n) % len(w.at)
	w.at[i], w.failed[i] = now, failed
	w.n++
	if failed {
		w.failures++
	}
}

// expire drops what is older than the given time.
func (w *window) expire(before time.Duration) {
	for w.n > 0 && w.at[w.first] < before {
		w.drop()
	}
}

func (w *window) drop() {
	if w.failed[w.first] {
		w.failures--
	}
	w.first = (w.first + 1) % len(w.at)
	w.n--
}

func (w *window) grow() {
	size := min(max(8, 2*len(w.at)), w.size)
	at, failed := make([]time.Duration, size), make([]bool, size)
	k := copy(at, w.at[w.first:])
	copy(at[k:], w.at[:w.first])
	k = copy(failed, w.failed[w.first:])
	copy(failed[k:], w.failed[:w.first])
	w.at, w.failed, w.first = at, failed, 0
}

func (w *window) clear() { w.first, w.n, w.failures = 0, 0, 0 }
