package retry

import (
	"context"
	"errors"
	"time"
)

// Do calls fn until it succeeds, up to once and p.Retries() times more, on the
// calling goroutine. It returns nil or an *[Error]; and an error with the code
// INVALID_ARGUMENT, without calling fn, if p is not valid.
//
// Do watches ctx: it makes no attempt after ctx has ended, a wait ends with
// ctx, and it does not start to wait when ctx's deadline would pass first. fn
// gets ctx as it is; to bound a single attempt, fn derives its own context.
func Do(ctx context.Context, p Policy, fn func(ctx context.Context) error) error {
	_, err := DoValue(ctx, p, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, fn(ctx)
	})
	return err
}

// DoValue is [Do] for a function that returns a value. Together with an error
// it returns the zero value.
func DoValue[T any](ctx context.Context, p Policy, fn func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	if err := p.Validate(); err != nil {
		return zero, err
	}
	if err := ctx.Err(); err != nil {
		return zero, &Error{Interrupted: err}
	}
	for attempt := 1; ; attempt++ {
		value, err := fn(ctx)
		if err == nil {
			return value, nil
		}
		delay, again := p.next(attempt, err)
		if !again {
			return zero, &Error{Attempts: attempt, Cause: err}
		}
		if interrupted := wait(ctx, delay); interrupted != nil {
			return zero, &Error{Attempts: attempt, Cause: err, Interrupted: interrupted}
		}
	}
}

// next decides what follows the given attempt, which failed with err.
func (p Policy) next(attempt int, err error) (delay time.Duration, again bool) {
	if attempt > p.Retries() || stops(err) || !p.retryable(err) {
		return 0, false
	}
	delay = p.Delay(attempt)
	if asks, ok := errors.AsType[RetryAfter](err); ok {
		asked := asks.RetryAfter()
		if asked > MaxRetryAfter {
			return 0, false
		}
		delay = max(delay, asked)
	}
	return delay, true
}

func stops(err error) bool {
	s, ok := errors.AsType[Stopper](err)
	return ok && s.StopRetry()
}

// wait returns nil after d, or at once the error with which ctx has ended or is
// going to end before that.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() // both may be ready
	case <-ctx.Done():
		return ctx.Err()
	}
}
