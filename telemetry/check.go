package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// DefaultCheckTimeout bounds a [Check] that has no Timeout.
const DefaultCheckTimeout = 2 * time.Second

// Check asks whether something that the node depends on can be used: a
// database, a broker, a folder.
type Check struct {
	// Name appears in the answer of /ready. Required, and unique.
	Name string

	// Timeout bounds Probe. Default 2 s.
	Timeout time.Duration

	// Probe returns nil if the dependency can be used. It is never called
	// concurrently with itself: when a probe does not return in time, the
	// check fails, and goes on failing until that call has returned.
	Probe func(ctx context.Context) error
}

// CheckResult is the outcome of one [Check].
type CheckResult struct {
	Name     string        `json:"name"`
	OK       bool          `json:"ok"`
	Error    string        `json:"error,omitempty"` // why it failed
	Duration time.Duration `json:"duration_ns"`
}

// checker runs one check, for all callers that want it at the same time.
type checker struct {
	check Check

	mu      sync.Mutex
	current *probe // nil while none runs
}

// probe is one call of a check's Probe. err may be read after done is closed.
type probe struct {
	start time.Time
	done  chan struct{}
	err   error
}

// run returns the outcome of a probe: the one that is running, or a new one.
func (c *checker) run(ctx context.Context) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, c.check.Timeout)
	defer cancel()
	p := c.probe()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	err := ctx.Err()
	select {
	case <-p.done: // an answer counts, however late it is looked at
		err = p.err
	default:
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fault.New(fault.DeadlineExceeded, "telemetry.Check", "no answer after %v", time.Since(p.start).Round(time.Millisecond))
	}
	result := CheckResult{Name: c.check.Name, OK: err == nil, Duration: time.Since(p.start)}
	if err != nil {
		result.Error = err.Error()
	}
	return result
}

func (c *checker) probe() *probe {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return c.current
	}
	p := &probe{start: time.Now(), done: make(chan struct{})}
	c.current = p
	go func() {
		// Not the context of whoever asked first: others may wait for the same probe.
		ctx, cancel := context.WithTimeout(context.Background(), c.check.Timeout)
		defer cancel()
		defer func() {
			if v := recover(); v != nil {
				p.err = fault.New(fault.Internal, "telemetry.Check", "the probe panicked: %v", v)
			}
			c.mu.Lock()
			c.current = nil
			c.mu.Unlock()
			close(p.done)
		}()
		p.err = c.check.Probe(ctx)
	}()
	return p
}

// checks is the set of checks behind /ready.
type checks struct {
	mu  sync.Mutex
	all []*checker // by name
}

func (c *checks) add(check Check) error {
	const op = "telemetry.Health.AddCheck"
	switch {
	case check.Name == "":
		return fault.New(fault.InvalidArgument, op, "Name is empty")
	case check.Probe == nil:
		return fault.New(fault.InvalidArgument, op, "check %q has no Probe", check.Name)
	case check.Timeout < 0:
		return fault.New(fault.InvalidArgument, op, "check %q: Timeout is %v, must not be negative", check.Name, check.Timeout)
	case check.Timeout == 0:
		check.Timeout = DefaultCheckTimeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i, taken := slices.BinarySearchFunc(c.all, check.Name, func(c *checker, name string) int {
		switch {
		case c.check.Name < name:
			return -1
		case c.check.Name > name:
			return 1
		}
		return 0
	})
	if taken {
		return fault.New(fault.AlreadyExists, op, "there is a check %q already", check.Name)
	}
	c.all = slices.Insert(slices.Clone(c.all), i, &checker{check: check})
	return nil
}

// run runs all checks at the same time and returns their results by name.
func (c *checks) run(ctx context.Context) (results []CheckResult, ok bool) {
	c.mu.Lock()
	all := c.all
	c.mu.Unlock()
	results = make([]CheckResult, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { results[i] = one.run(ctx) })
	}
	wg.Wait()
	return results, !slices.ContainsFunc(results, func(r CheckResult) bool { return !r.OK })
}

// String is the result in one line.
func (r CheckResult) String() string {
	if r.OK {
		return r.Name + ": ok"
	}
	return fmt.Sprintf("%s: %s", r.Name, r.Error)
}
