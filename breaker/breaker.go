package breaker

import (
	"context"
	"sync"
	"time"
)

// State of a breaker.
type State uint8

// The states; the numbers are those of the metric circuit_breaker_state.
const (
	Closed   State = 0 // calls are made
	HalfOpen State = 1 // a few calls are made, to see whether the target works again
	Open     State = 2 // no call is made
)

// String is "closed", "half-open" or "open".
func (s State) String() string {
	switch s {
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	}
	return "closed"
}

// MarshalText is [State.String], for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Change is a change of state.
type Change struct {
	Target   string
	From, To State
	At       time.Time
	// Calls and Failures are the figures of the window that led from closed to
	// open; 0 at other changes.
	Calls, Failures int
	// Cause is the error that opened the breaker; nil at other changes, and if
	// it was a probe that did not end in time.
	Cause error
}

// Breaker guards the calls to one target. It may be used from any goroutine. It
// has no goroutine and no timer.
type Breaker struct {
	cfg   Config
	start time.Time

	mu       sync.Mutex
	m        *machine
	rejected uint64
	opened   uint64
	lastErr  error
	changes  []Change // not told yet
	telling  bool     // somebody is telling them
}

// New makes a closed breaker. The error is that of [Config.Validate].
func New(cfg Config) (*Breaker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newBreaker(cfg.withDefaults()), nil
}

func newBreaker(cfg Config) *Breaker {
	return &Breaker{cfg: cfg, start: time.Now(), m: newMachine(cfg)}
}

// Target is the name of what the breaker guards.
func (b *Breaker) Target() string { return b.cfg.Target }

// Do calls fn on the calling goroutine unless the breaker is open, and records
// the outcome. A panic in fn counts as a failure and goes on.
//
// Errors: fn's, as it is; an *[OpenError] (ErrOpen) if fn was not called; the
// context's if it had ended before.
func (b *Breaker) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	_, err := DoValue(ctx, b, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}

// DoValue is [Breaker.Do] for a function that returns a value. Where fn was not
// called it returns the zero value.
func DoValue[T any](ctx context.Context, b *Breaker, fn func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	permit, err := b.Allow()
	if err != nil {
		return zero, err
	}
	returned := false
	defer func() {
		if !returned {
			permit.settle(Failure, errPanicked)
		}
	}()
	value, err := fn(ctx)
	returned = true
	permit.Done(err)
	return value, err
}

// Permit is the permission to make one call.
type Permit struct {
	b *Breaker
	t ticket
}

// Allow asks for a call that [Breaker.Do] can't make, such as one that is
// answered later. The error is an *[OpenError]. The caller must call
// [Permit.Done] once.
func (b *Breaker) Allow() (Permit, error) {
	b.mu.Lock()
	before, now := b.m.state, time.Since(b.start)
	t, ok := b.m.admit(now)
	b.note(before, now, nil, 0, 0)
	var err error
	if !ok {
		b.rejected++
		err = b.refusal(now)
	}
	b.unlockAndTell()
	return Permit{b, t}, err
}

// Done records how the call ended: with nil or its error.
func (p Permit) Done(err error) {
	if p.b != nil {
		p.settle(p.b.cfg.Judge(err), err)
	}
}

func (p Permit) settle(v Verdict, err error) {
	b := p.b
	b.mu.Lock()
	before, now := b.m.state, time.Since(b.start)
	b.m.settle(now, p.t, v)
	if v == Failure {
		b.lastErr = err
	}
	b.note(before, now, err, b.m.window.n, b.m.window.failures)
	b.unlockAndTell()
}

// note records a change of state; b.mu is held.
func (b *Breaker) note(before State, now time.Duration, cause error, calls, failures int) {
	after := b.m.state
	if before == after {
		return
	}
	c := Change{Target: b.cfg.Target, From: before, To: after, At: b.start.Add(now)}
	if after == Open {
		b.opened++
		c.Cause = cause
	}
	if before == Closed {
		c.Calls, c.Failures = calls, failures
	}
	if b.cfg.OnChange != nil {
		b.changes = append(b.changes, c)
	}
}

// unlockAndTell releases the lock and tells the hook what it does not know yet.
// One goroutine at a time does, so that the hook sees the changes in order and
// may use the breaker.
func (b *Breaker) unlockAndTell() {
	if len(b.changes) == 0 || b.telling {
		b.mu.Unlock()
		return
	}
	b.telling = true
	for len(b.changes) > 0 {
		next := b.changes
		b.changes = nil
		b.mu.Unlock()
		b.tell(next)
		b.mu.Lock()
	}
	b.telling = false
	b.mu.Unlock()
}

// tell lets a hook that panics lose what it was to be told, but not the breaker.
func (b *Breaker) tell(changes []Change) {
	told := false
	defer func() {
		if !told {
			b.mu.Lock()
			b.telling = false
			b.mu.Unlock()
		}
	}()
	for _, c := range changes {
		b.cfg.OnChange(c)
	}
	told = true
}

func (b *Breaker) state() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m.state
}

// Info is a snapshot of a breaker.
type Info struct {
	Target   string    `json:"target"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`               // when the state began
	Calls    int       `json:"calls"`               // in the window
	Failures int       `json:"failures"`            // in the window
	Opened   uint64    `json:"opened"`              // times, over its life
	Rejected uint64    `json:"rejected"`            // calls not made, over its life
	ProbeAt  time.Time `json:"probe_at,omitzero"`   // open: when the next call is made
	LastErr  string    `json:"last_error,omitzero"` // the last failure
}

// Info takes a snapshot. The state changes with calls only: a breaker that
// nobody calls stays open, with a ProbeAt that has passed.
func (b *Breaker) Info() Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.m
	info := Info{
		Target: b.cfg.Target, State: m.state, Since: b.start.Add(m.since),
		Opened: b.opened, Rejected: b.rejected,
	}
	switch m.state {
	case Closed:
		m.window.expire(time.Since(b.start) - m.cfg.MaxAge)
		info.Calls, info.Failures = m.window.n, m.window.failures
	case Open:
		info.ProbeAt = b.start.Add(m.until)
	}
	if b.lastErr != nil {
		info.LastErr = b.lastErr.Error()
	}
	return info
}
