package breaker

import (
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// ErrOpen is matched by the error of a call that was not made. Code UNAVAILABLE.
var ErrOpen = fault.New(fault.Unavailable, "breaker", "the circuit is open")

var errPanicked = fault.New(fault.Internal, "breaker", "the call panicked")

// OpenError is the error of a call that was not made. It matches [ErrOpen].
type OpenError struct {
	// Target is what was to be called.
	Target string
	// State is Open, or HalfOpen if all probes are on their way.
	State State
	// ProbeAt is when a call will be made again; zero in the half-open state.
	ProbeAt time.Time
	// ProbeIn is the time from the refusal to ProbeAt.
	ProbeIn time.Duration
	// Cause is the last failure of the target.
	Cause error
}

// refusal is the error of a call that was not made; b.mu is held.
func (b *Breaker) refusal(now time.Duration) error {
	e := &OpenError{Target: b.cfg.Target, State: b.m.state, Cause: b.lastErr}
	if e.State == Open {
		e.ProbeAt, e.ProbeIn = b.start.Add(b.m.until), b.m.until-now
	}
	return e
}

// Error says what is known: "breaker /orders: the circuit is open, next probe in
// 12s (UNAVAILABLE); last failure: …".
func (e *OpenError) Error() string {
	text := "breaker"
	if e.Target != "" {
		text += " " + e.Target
	}
	if e.State == HalfOpen {
		text += ": the circuit is half-open and all its probes are on their way (UNAVAILABLE)"
	} else {
		text += fmt.Sprintf(": the circuit is open, next probe in %v (UNAVAILABLE)", roundUp(e.ProbeIn))
	}
	if e.Cause != nil {
		text += "; last failure: " + e.Cause.Error()
	}
	return text
}

// roundUp makes a wait readable without promising too much.
func roundUp(d time.Duration) time.Duration {
	unit := time.Second
	if d < 10*time.Second {
		unit = time.Millisecond
	}
	return (d + unit - 1).Truncate(unit)
}

// Is reports whether target is [ErrOpen].
func (e *OpenError) Is(target error) bool { return target == error(ErrOpen) }

// Unwrap gives the fault that error records are made of. The failure that opened
// the breaker is not in the chain: it is not what happened to this call.
func (e *OpenError) Unwrap() error { return ErrOpen.WithTarget(e.Target) }

// FaultCode is UNAVAILABLE.
func (e *OpenError) FaultCode() fault.Code { return fault.Unavailable }

// StopRetry is true: package retry gives up at once.
func (e *OpenError) StopRetry() bool { return true }
