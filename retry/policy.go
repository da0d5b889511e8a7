package retry

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Defaults and limits of a [Policy].
const (
	DefaultMax        = 3
	DefaultInitial    = time.Second
	DefaultCap        = 10 * time.Second
	DefaultMultiplier = 2.0

	// MaxRetries is the largest Max. There is no way to retry for ever.
	MaxRetries = 100
	// MaxRetryAfter is the longest delay that an error can ask for by
	// [RetryAfter]; one that asks for more is not retried.
	MaxRetryAfter = 5 * time.Minute
)

// Policy says how often and how fast to retry. The zero value is ready to use:
// three retries after 1 s, 2 s and 4 s. A Policy may be copied and used by
// several goroutines at once if its functions may.
type Policy struct {
	// Max is the number of retries after the first attempt.
	// Default 3, negative: none, at most [MaxRetries].
	Max int

	// Initial is the delay before the first retry. Default 1 s, or Cap if that
	// is shorter.
	Initial time.Duration

	// Cap is the longest delay. Default 10 s, or Initial if that is longer.
	Cap time.Duration

	// Multiplier is the growth of the delay from one retry to the next.
	// Default 2, at least 1.
	Multiplier float64

	// Jitter is the share of each delay that is random, from 0 to 1: a delay d
	// becomes one between d·(1−Jitter) and d. Default 0: none. Set it where
	// many callers may fail at the same moment.
	Jitter float64

	// Retryable reports whether a call that failed with this error may be
	// repeated. Default: its [fault.CodeOf] is transient. Errors marked by
	// [Permanent] or [Stopper] are not even asked about.
	Retryable func(error) bool

	// Rand returns random numbers in [0, 1) for Jitter. Default:
	// math/rand/v2.Float64. Set it to make the delays repeatable.
	Rand func() float64
}

// Validate returns an error with the code INVALID_ARGUMENT that names the first
// field outside its limits, or nil. [Do] calls it.
func (p Policy) Validate() error {
	const op = "retry.Policy"
	invalid := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidArgument, op, field+" "+format, args...)
	}
	switch {
	case p.Max > MaxRetries:
		return invalid("Max", "is %d, must be at most %d", p.Max, MaxRetries)
	case p.Initial < 0:
		return invalid("Initial", "is %v, must not be negative", p.Initial)
	case p.Cap < 0:
		return invalid("Cap", "is %v, must not be negative", p.Cap)
	case p.Cap != 0 && p.Initial > p.Cap:
		return invalid("Initial", "is %v, must not exceed Cap, which is %v", p.Initial, p.Cap)
	case p.Multiplier != 0 && !(p.Multiplier >= 1) || math.IsInf(p.Multiplier, 0):
		return invalid("Multiplier", "is %v, must be a number from 1, or 0 for the default of %v", p.Multiplier, DefaultMultiplier)
	case !(p.Jitter >= 0 && p.Jitter <= 1):
		return invalid("Jitter", "is %v, must be between 0 and 1", p.Jitter)
	}
	return nil
}

// Retries returns how many retries the policy allows, from 0 to [MaxRetries].
func (p Policy) Retries() int {
	switch {
	case p.Max == 0:
		return DefaultMax
	case p.Max < 0:
		return 0
	}
	return min(p.Max, MaxRetries)
}

// Delay returns the time to wait before the n-th retry or restart, counted
// from 1; it is 0 for n < 1. The result is between 0 and Cap for every n,
// whether or not that many retries are allowed. Fields outside their limits
// count as the nearest limit. Delay does not block or allocate, and without
// Jitter depends on nothing but p and n.
func (p Policy) Delay(n int) time.Duration {
	if n < 1 {
		return 0
	}
	initial, longest := p.bounds()
	delay := float64(initial) * math.Pow(p.growth(), float64(n-1))
	if !(delay < float64(longest)) {
		delay = float64(longest)
	}
	if jitter := min(p.Jitter, 1); jitter > 0 {
		random := rand.Float64
		if p.Rand != nil {
			random = p.Rand
		}
		delay -= delay * jitter * random()
	}
	// Comparing before converting: float64(longest) may be above the largest
	// Duration.
	if delay >= float64(longest) {
		return longest
	}
	return max(0, time.Duration(delay))
}

func (p Policy) bounds() (initial, longest time.Duration) {
	initial, longest = max(p.Initial, 0), max(p.Cap, 0)
	switch {
	case initial == 0 && longest == 0:
		return DefaultInitial, DefaultCap
	case initial == 0:
		return min(DefaultInitial, longest), longest
	case longest == 0:
		return initial, max(DefaultCap, initial)
	}
	return initial, longest
}

func (p Policy) growth() float64 {
	switch {
	case p.Multiplier >= 1:
		return p.Multiplier
	case p.Multiplier == 0 || math.IsNaN(p.Multiplier):
		return DefaultMultiplier
	}
	return 1
}

func (p Policy) retryable(err error) bool {
	if p.Retryable != nil {
		return p.Retryable(err)
	}
	return fault.CodeOf(err).Transient()
}
