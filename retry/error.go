package retry

import (
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Error is what [Do] returns when it gives up. It matches the error of the
// last attempt and, if the context ended the retries, the context's error too.
type Error struct {
	// Attempts is how often the function was called.
	Attempts int
	// Cause is the error of the last attempt; nil if there was none.
	Cause error
	// Interrupted is context.Canceled or context.DeadlineExceeded if the
	// context ended the retries, or would have before the next attempt;
	// otherwise nil.
	Interrupted error
}

// Error tells the number of attempts, what interrupted them, and the cause:
// "after 3 attempts: connection refused".
func (e *Error) Error() string {
	text := fmt.Sprintf("after %d attempts", e.Attempts)
	if e.Attempts == 1 {
		text = "after 1 attempt"
	}
	if e.Interrupted != nil {
		text += ", " + e.Interrupted.Error()
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause and what interrupted the retries.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	if e.Interrupted != nil {
		errs = append(errs, e.Interrupted)
	}
	return errs
}

// FaultCode returns the code of what interrupted the retries, or else that of
// the cause.
func (e *Error) FaultCode() fault.Code {
	if e.Interrupted != nil {
		return fault.CodeOf(e.Interrupted)
	}
	return fault.CodeOf(e.Cause)
}

// RetryCount returns the number of retries, for the records of package fault.
func (e *Error) RetryCount() int { return max(0, e.Attempts-1) }

// Stopper is an optional ability of an error: when it returns true, [Do] gives
// up at once. An open circuit breaker's error has it, because further attempts
// would not even be made. The outermost error in a chain that has the ability
// decides.
type Stopper interface {
	error
	StopRetry() bool
}

// RetryAfter is an optional ability of an error: the callee asks not to be
// called again before that time is over. [Do] then waits for it, if it is
// longer than the policy's delay; it may exceed the policy's Cap, but not
// [MaxRetryAfter]. The outermost error in a chain that has the ability decides.
type RetryAfter interface {
	error
	RetryAfter() time.Duration
}

// Permanent marks err so that [Do] gives up at once, whatever its code and
// whatever Policy.Retryable says. It adds nothing to the text, and errors.Is
// and errors.As look through it. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ cause error }

func (p *permanentError) Error() string   { return p.cause.Error() }
func (p *permanentError) Unwrap() error   { return p.cause }
func (p *permanentError) StopRetry() bool { return true }
