package actor

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// ErrStop, returned by a handler or by Start, ends the actor normally: no
// failure is recorded and only a Permanent actor is restarted. What is left in
// its mailbox becomes dead letters.
var ErrStop = errors.New("actor: stop")

// Sentinels of this package. They are matched with errors.Is; the errors a
// caller gets say in addition which actor they speak of.
var (
	// ErrMailboxFull: the mailbox is at its capacity and the policy, or
	// TryTell, does not wait. Code RESOURCE_EXHAUSTED.
	ErrMailboxFull = fault.New(fault.ResourceExhausted, "actor.Tell", "the mailbox is full")
	// ErrStopped: the actor has stopped or no longer takes messages. Code NOT_FOUND.
	ErrStopped = fault.New(fault.NotFound, "actor", "the actor has stopped")
	// ErrIsolated: the actor works off its mailbox and takes no new messages. Code UNAVAILABLE.
	ErrIsolated = fault.New(fault.Unavailable, "actor", "the actor is isolated")
	// ErrRestarted: the actor that held the question was restarted before it
	// answered. Code UNAVAILABLE.
	ErrRestarted = fault.New(fault.Unavailable, "actor.Ask", "the actor was restarted before it answered")
	// ErrDeadlock: waiting would close a circle of actors that wait for each
	// other. Code FAILED_PRECONDITION.
	ErrDeadlock = fault.New(fault.FailedPrecondition, "actor", "waiting would never end")
	// ErrNameTaken: a sibling has that name. Code ALREADY_EXISTS.
	ErrNameTaken = fault.New(fault.AlreadyExists, "actor.Spawn", "the name is taken")
	// ErrNoActor: a Ref that points nowhere. Code INVALID_ARGUMENT.
	ErrNoActor = fault.New(fault.InvalidArgument, "actor", "the reference is the zero value and points to no actor")
	// ErrAbandoned is the reason of an actor whose handler outlived the time
	// it had to stop. Code DEADLINE_EXCEEDED.
	ErrAbandoned = fault.New(fault.DeadlineExceeded, "actor.Stop", "the handler did not return in time and was left behind")
	// ErrPassivated is the reason of an actor that was idle for its IdleTimeout.
	ErrPassivated = errors.New("actor: passivated")
	// ErrKilled is the reason of an actor ended by Kill.
	ErrKilled = errors.New("actor: killed")
	// ErrExpired: the asker's context ended before the message was handled.
	// Code DEADLINE_EXCEEDED.
	ErrExpired = fault.New(fault.DeadlineExceeded, "actor.Ask", "the asker stopped waiting before the message was handled")
	// ErrDropped is the reason of a message that made room for a newer one.
	ErrDropped = fault.New(fault.ResourceExhausted, "actor.Tell", "dropped as the oldest of a full mailbox")
)

// PanicError is a panic turned into an error, with the stack of the panic.
type PanicError struct {
	// Value is what was passed to panic; nil after runtime.Goexit.
	Value any

	pcs []uintptr
}

// newPanicError captures the stack of the panic that was just recovered. Only
// program counters are kept; they are resolved when somebody wants to read them.
// They go straight to the heap: an array on the stack of a goroutine started a
// moment ago would make it grow, which costs more than all the rest.
func newPanicError(value any) *PanicError {
	e := &PanicError{Value: value, pcs: make([]uintptr, panicDepth)}
	e.pcs = e.pcs[:runtime.Callers(3, e.pcs)]
	return e
}

// panicDepth is how many calls of a panic's stack are kept.
const panicDepth = 48

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "handler called runtime.Goexit"
	}
	return fmt.Sprintf("panic: %v", e.Value)
}

// Unwrap gives the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// FaultCode is INTERNAL.
func (e *PanicError) FaultCode() fault.Code { return fault.Internal }

// Stack is the stack at the panic, innermost call first, in the layout of
// runtime/debug.Stack.
func (e *PanicError) Stack() string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.pcs)
	for {
		f, more := frames.Next()
		if f.Function != "" {
			fmt.Fprintf(&b, "%s(...)\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// IntensityError is the failure of a supervisor whose children were restarted
// more often than it allows.
type IntensityError struct {
	Supervisor Address
	Child      Address
	Restarts   int // within the window
	Cause      error
}

func (e *IntensityError) Error() string {
	return fmt.Sprintf("%s failed %d times within the restart window of %s: %v", e.Child, e.Restarts, e.Supervisor, e.Cause)
}

// Unwrap gives the child's last error.
func (e *IntensityError) Unwrap() error { return e.Cause }

// FaultCode is INTERNAL.
func (e *IntensityError) FaultCode() fault.Code { return fault.Internal }

// LinkError is the failure of an actor whose linked peer ended abnormally.
type LinkError struct {
	Peer  Address
	Cause error
}

func (e *LinkError) Error() string { return fmt.Sprintf("linked actor %s ended: %v", e.Peer, e.Cause) }

// Unwrap gives the peer's reason.
func (e *LinkError) Unwrap() error { return e.Cause }

// FaultCode is UNAVAILABLE.
func (e *LinkError) FaultCode() fault.Code { return fault.Unavailable }
