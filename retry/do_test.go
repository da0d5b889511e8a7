package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

var errDown = fault.New(fault.Unavailable, "test.Call", "down")

// calls records when a function was called, relative to its creation.
type calls struct {
	start time.Time
	at    []time.Duration
}

func newCalls() *calls { return &calls{start: time.Now()} }

func (c *calls) failing(errs ...error) func(context.Context) error {
	return func(context.Context) error {
		c.at = append(c.at, time.Since(c.start))
		if n := len(c.at); n <= len(errs) {
			return errs[n-1]
		}
		return nil
	}
}

func (c *calls) always(err error) func(context.Context) error {
	return func(context.Context) error {
		c.at = append(c.at, time.Since(c.start))
		return err
	}
}

func (c *calls) want(t *testing.T, at ...time.Duration) {
	t.Helper()
	if !slices.Equal(c.at, at) {
		t.Errorf("called at %v, want %v", c.at, at)
	}
}

// breakerOpen stands for the error of an open circuit breaker. Req F12
type breakerOpen struct{}

func (breakerOpen) Error() string         { return "breaker open" }
func (breakerOpen) FaultCode() fault.Code { return fault.Unavailable }
func (breakerOpen) StopRetry() bool       { return true }

type busy struct{ wait time.Duration }

func (busy) Error() string               { return "busy" }
func (busy) FaultCode() fault.Code       { return fault.ResourceExhausted }
func (b busy) RetryAfter() time.Duration { return b.wait }

const s = time.Second

// Req F11
func TestDo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		p        retry.Policy
		errs     []error // of the attempts; then success
		calledAt []time.Duration
		want     string // error text
	}{
		{"success", retry.Policy{}, nil, []time.Duration{0}, ""},
		{"success in the end", retry.Policy{}, []error{errDown, errDown, errDown}, []time.Duration{0, 1 * s, 3 * s, 7 * s}, ""},
		{"given up", retry.Policy{}, []error{errDown, errDown, errDown, errDown}, []time.Duration{0, 1 * s, 3 * s, 7 * s},
			"after 4 attempts: test.Call: down (UNAVAILABLE)"},
		{"no retries", retry.Policy{Max: -1}, []error{errDown}, []time.Duration{0}, "after 1 attempt: test.Call: down (UNAVAILABLE)"},
		{"not transient", retry.Policy{}, []error{errDown, io.EOF}, []time.Duration{0, 1 * s}, "after 2 attempts: EOF"},
		{"own predicate", retry.Policy{Max: 1, Retryable: func(err error) bool { return err == io.EOF }},
			[]error{io.EOF, errDown}, []time.Duration{0, 1 * s}, "after 2 attempts: test.Call: down (UNAVAILABLE)"},
		{"permanent", retry.Policy{Retryable: func(error) bool { return true }},
			[]error{fmt.Errorf("x: %w", retry.Permanent(errDown))}, []time.Duration{0}, "after 1 attempt: x: test.Call: down (UNAVAILABLE)"},
		{"breaker", retry.Policy{}, []error{errDown, fmt.Errorf("x: %w", breakerOpen{})}, []time.Duration{0, 1 * s}, "after 2 attempts: x: breaker open"},
		{"asked to wait", retry.Policy{}, []error{busy{30 * s}, busy{s / 2}}, []time.Duration{0, 30 * s, 32 * s}, ""},
		{"asked to wait too long", retry.Policy{}, []error{busy{retry.MaxRetryAfter + 1}}, []time.Duration{0}, "after 1 attempt: busy"},
		{"jitter", retry.Policy{Jitter: 0.5, Rand: func() float64 { return 0.5 }}, []error{errDown, errDown}, []time.Duration{0, 750 * time.Millisecond, 2250 * time.Millisecond}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCalls()
				err := retry.Do(t.Context(), tt.p, c.failing(tt.errs...))
				c.want(t, tt.calledAt...)
				if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			})
		})
	}
}

func TestErrorMatchesItsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := retry.Do(t.Context(), retry.Policy{}, newCalls().always(fmt.Errorf("x: %w", errDown)))
		var e *retry.Error
		if !errors.As(err, &e) || e.Attempts != 4 || e.RetryCount() != 3 || e.Interrupted != nil {
			t.Fatalf("error %#v, want a *retry.Error of 4 attempts", err)
		}
		var f *fault.Error
		if !errors.Is(err, errDown) || !errors.As(err, &f) || fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%v does not match its cause", err)
		}
		for _, a := range fault.Attrs(err) { // Req F13
			if a.Key == "retry_count" && a.Value.Int64() != 3 {
				t.Errorf("the error record has %v", a)
			}
		}
	})
}

func TestUnboundedIsImpossible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		p := retry.Policy{Max: retry.MaxRetries, Retryable: func(error) bool { return true }}
		err := retry.Do(context.Background(), p, c.always(io.EOF))
		if !errors.Is(err, io.EOF) || len(c.at) != 1+retry.MaxRetries {
			t.Errorf("%d calls, error %v", len(c.at), err)
		}
		c = newCalls()
		p.Max++
		err = retry.Do(context.Background(), p, c.always(io.EOF))
		if !errors.Is(err, fault.InvalidArgument) || len(c.at) != 0 {
			t.Errorf("a policy that is not valid: %d calls, error %v", len(c.at), err)
		}
	})
}

func TestDoWatchesTheContext(t *testing.T) {
	t.Parallel()
	t.Run("ended before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c := newCalls()
		err := retry.Do(ctx, retry.Policy{}, c.failing())
		c.want(t)
		if !errors.Is(err, context.Canceled) || err.Error() != "after 0 attempts, context canceled" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("ends while waiting", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(1500*time.Millisecond, cancel)
			c := newCalls()
			err := retry.Do(ctx, retry.Policy{}, c.always(errDown))
			c.want(t, 0, 1*s)
			if since := time.Since(c.start); since != 1500*time.Millisecond {
				t.Errorf("returned after %v", since)
			}
			if !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) || fault.CodeOf(err) != fault.Canceled {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("deadline before the next attempt", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*s)
			defer cancel()
			c := newCalls()
			err := retry.Do(ctx, retry.Policy{}, c.always(errDown))
			c.want(t, 0, 1*s)
			if since := time.Since(c.start); since != 1*s {
				t.Errorf("returned after %v: waited although the deadline comes first", since)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) || fault.CodeOf(err) != fault.DeadlineExceeded {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestDoWatchesTheContextOfAnAttempt(t *testing.T) {
	t.Parallel()
	t.Run("ends in an attempt", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			c := newCalls()
			err := retry.Do(ctx, retry.Policy{}, func(ctx context.Context) error {
				cancel()
				return c.always(errDown)(ctx)
			})
			c.want(t, 0)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("an attempt's own timeout is retried", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newCalls()
			err := retry.Do(t.Context(), retry.Policy{}, c.failing(context.DeadlineExceeded))
			c.want(t, 0, 1*s)
			if err != nil {
				t.Error(err)
			}
		})
	})
}

func TestDoValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		n, err := retry.DoValue(t.Context(), retry.Policy{}, func(context.Context) (int, error) {
			if attempts++; attempts < 3 {
				return attempts, errDown
			}
			return attempts, nil
		})
		if n != 3 || err != nil {
			t.Errorf("DoValue = %d, %v", n, err)
		}
		n, err = retry.DoValue(t.Context(), retry.Policy{}, func(context.Context) (int, error) { return 7, io.EOF })
		if n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("DoValue = %d, %v; want the zero value with an error", n, err)
		}
	})
}

func TestPermanentNil(t *testing.T) {
	t.Parallel()
	if err := retry.Permanent(nil); err != nil {
		t.Fatalf("Permanent(nil) = %v", err)
	}
}

func ExampleDo() {
	attempts := 0
	err := retry.Do(context.Background(), retry.Policy{Initial: time.Millisecond}, func(context.Context) error {
		attempts++
		if attempts < 3 {
			return fault.New(fault.Unavailable, "shop.Order", "connection lost")
		}
		return nil
	})
	fmt.Println(attempts, err)
	// Output: 3 <nil>
}

func ExamplePermanent() {
	err := retry.Do(context.Background(), retry.Policy{}, func(context.Context) error {
		return retry.Permanent(errors.New("card refused"))
	})
	fmt.Println(err)
	// Output: after 1 attempt: card refused
}

func ExampleError() {
	policy := retry.Policy{Max: 1, Initial: time.Millisecond}
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		return fault.New(fault.Unavailable, "shop.Order", "connection lost")
	})
	if e, ok := errors.AsType[*retry.Error](err); ok {
		fmt.Println(e.Attempts, e.FaultCode())
	}
	// Output: 2 UNAVAILABLE
}
