package breaker

import (
	"math"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Defaults and limits of a [Config].
const (
	DefaultRatio        = 0.5
	DefaultMinCalls     = 10
	DefaultWindow       = 100
	DefaultMaxAge       = time.Minute
	DefaultOpenFor      = 30 * time.Second
	DefaultProbes       = 3
	DefaultProbeTimeout = time.Minute

	// MaxWindow is the largest Window; a call in it takes 9 bytes.
	MaxWindow = 10_000
	// MaxProbes is the largest number of probes.
	MaxProbes = 100
)

// Config says when a breaker opens and how it closes again. The zero value is
// usable: 50 % failures over at least 10 calls, 30 s open, 3 probes.
type Config struct {
	// Target names what is called, in errors, hooks and metrics. Default "".
	Target string

	// Ratio is the share of failures in the window that opens the breaker,
	// above 0 and up to 1. Default 0.5.
	Ratio float64

	// MinCalls is how many calls the window must hold before the ratio counts.
	// Default 10, or Window if that is smaller; at most Window.
	MinCalls int

	// Window is how many of the last calls are looked at. Default 100, or
	// MinCalls if that is larger; at most [MaxWindow].
	Window int

	// MaxAge is how long an outcome stays in the window. Default 1 min.
	MaxAge time.Duration

	// OpenFor is how long no call is made. Default 30 s.
	OpenFor time.Duration

	// Probes is how many calls may run at once in the half-open state, and how
	// many must succeed to close the breaker. Default 3, at most [MaxProbes].
	Probes int

	// ProbeTimeout is how long a probe may run: one that has not ended by then
	// counts as failed, so that a lost one can't keep the breaker half-open for
	// ever. Default 1 min.
	ProbeTimeout time.Duration

	// Judge says what the error of a call tells about the target. It must be
	// safe for concurrent use. Default: [Judge].
	Judge func(error) Verdict

	// OnChange is told each change of state: in order, never twice at once, on a
	// goroutine that makes a call. It must be quick and may call the breaker.
	OnChange func(Change)
}

// Verdict is what the outcome of a call tells about its target.
type Verdict uint8

const (
	// Success: the target works.
	Success Verdict = iota
	// Failure: it does not.
	Failure
	// Neither: the outcome says nothing about the target.
	Neither
)

// Judge is the default of [Config.Judge]. Failure: the code of err is transient
// or INTERNAL. Neither: CANCELED. Success: nil and everything else.
func Judge(err error) Verdict {
	switch code := fault.CodeOf(err); {
	case code.Transient(), code == fault.Internal:
		return Failure
	case code == fault.Canceled:
		return Neither
	}
	return Success
}

// Validate returns an error with the code INVALID_ARGUMENT that names the first
// field outside its limits, or nil. [New] calls it.
func (c Config) Validate() error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.InvalidArgument, "breaker.Config", format, args...)
	}
	switch d := c.withDefaults(); {
	case !(d.Ratio > 0 && d.Ratio <= 1):
		return invalid("Ratio is %v, must be above 0 and at most 1, or 0 for the default of %v", c.Ratio, DefaultRatio)
	case d.Window < 1 || d.Window > MaxWindow:
		return invalid("Window is %d, must be from 1 to %d, or 0 for the default of %d", d.Window, MaxWindow, DefaultWindow)
	case d.MinCalls < 1 || d.MinCalls > d.Window:
		return invalid("MinCalls is %d, must be from 1 to Window, which is %d", d.MinCalls, d.Window)
	case d.Probes < 1 || d.Probes > MaxProbes:
		return invalid("Probes is %d, must be from 1 to %d, or 0 for the default of %d", c.Probes, MaxProbes, DefaultProbes)
	}
	for name, d := range map[string]time.Duration{"MaxAge": c.MaxAge, "OpenFor": c.OpenFor, "ProbeTimeout": c.ProbeTimeout} {
		if d < 0 {
			return invalid("%s is %v, must not be negative", name, d)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	switch {
	case c.Window == 0 && c.MinCalls == 0:
		c.Window, c.MinCalls = DefaultWindow, DefaultMinCalls
	case c.Window == 0:
		c.Window = max(DefaultWindow, c.MinCalls)
	case c.MinCalls == 0:
		c.MinCalls = min(DefaultMinCalls, c.Window)
	}
	c.Ratio = orDefault(c.Ratio, DefaultRatio)
	c.MaxAge = orDefault(c.MaxAge, DefaultMaxAge)
	c.OpenFor = orDefault(c.OpenFor, DefaultOpenFor)
	c.Probes = orDefault(c.Probes, DefaultProbes)
	c.ProbeTimeout = orDefault(c.ProbeTimeout, DefaultProbeTimeout)
	if c.Judge == nil {
		c.Judge = Judge
	}
	return c
}

func orDefault[T int | float64 | time.Duration](v, preset T) T {
	if v == 0 {
		return preset
	}
	return v
}

// tripsAt is the smallest number of failures among n calls that reaches the
// ratio. The small number is for products such as 0.1·30, which is above 3.
func (c *Config) tripsAt(n int) int { return max(1, int(math.Ceil(c.Ratio*float64(n)-1e-9))) }
