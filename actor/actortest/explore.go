package actortest

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// SeedVariable is the environment variable that makes [Explore] run one seed.
const SeedVariable = "TROUPE_SEED"

// Explore runs f with n new systems, each as by [Run] and each in another order:
// whenever everything waits, one of the steps that the actors could do next is
// chosen by a random source with the run's seed, 1 to n. An actor's step is one
// message, so two actors may be interleaved after any message and any point at
// which a handler waits.
//
// It stops at the first seed that fails and says how to run it again: with
// TROUPE_SEED=<seed> in the environment Explore runs that seed alone.
//
// f's own random choices come from random, which has the run's seed, too; it must
// not be used by two goroutines at once. Equal seeds give equal orders as long as
// f and the actors take no chance from elsewhere: from math/rand, from maps, from a select with several cases ready,
// from the jitter of a backoff. f must not count on synctest.Wait, which does
// not wait for steps that are yet to be chosen; a timer does, as each step takes
// a nanosecond of virtual time.
//
// While it runs, the whole process uses one processor and collects no garbage:
// tests with Explore are better not parallel.
func Explore(t *testing.T, n int, f func(t *testing.T, sys *actor.System, random *rand.Rand)) {
	t.Helper()
	ExploreWith(t, actor.Options{}, n, f)
}

// ExploreWith is [Explore] for systems with options; Schedule is its own.
func ExploreWith(t *testing.T, opts actor.Options, n int, f func(t *testing.T, sys *actor.System, random *rand.Rand)) {
	t.Helper()
	if text := os.Getenv(SeedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s is %q; it is a whole number from 0 on, as a failing test prints it", SeedVariable, text)
		}
		exploreSeed(t, opts, seed, f)
		return
	}
	for seed := range uint64(n) { //nolint:gosec // not negative
		if exploreSeed(t, opts, seed+1, f); t.Failed() {
			return
		}
	}
}

// exploreSeed runs f once.
func exploreSeed(t *testing.T, opts actor.Options, seed uint64, f func(*testing.T, *actor.System, *rand.Rand)) {
	t.Helper()
	done := false
	defer func() {
		if !done || t.Failed() {
			t.Logf("seed %d failed; run it again with\n\n\t%s=%d go test -run '^%s$'\n", seed, SeedVariable, seed, t.Name())
		}
	}()
	// One processor runs goroutines in the order in which they become ready,
	// unless the collector stops them in between.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(seed)
		defer s.stop()
		opts.Schedule = s.schedule
		choices := rand.New(rand.NewPCG(seed, 1))
		runSystem(t, opts, func(t *testing.T, sys *actor.System) { f(t, sys, choices) })
	})
	done = true
}

// scheduler runs one piece of work at a time, in an order that its seed decides.
type scheduler struct {
	mu      sync.Mutex
	pending []func()
	random  *rand.Rand
	wake    chan struct{} // something is pending
	quit    chan struct{}
	stopped chan struct{}
}

// newScheduler starts a scheduler; it is called within a bubble.
func newScheduler(seed uint64) *scheduler {
	s := &scheduler{
		random: rand.New(rand.NewPCG(seed, 0)),
		wake:   make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	go s.loop()
	return s
}

func (s *scheduler) schedule(run func()) {
	s.mu.Lock()
	s.pending = append(s.pending, run)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loop runs what is pending, one at a time. The clock of a bubble moves on when
// all its goroutines wait, so a timer of a nanosecond fires when the work that
// was started last has come to an end or has to wait.
func (s *scheduler) loop() {
	defer close(s.stopped)
	step := time.NewTimer(time.Nanosecond)
	defer step.Stop()
	for {
		select {
		case <-s.wake:
		case <-s.quit:
			return
		}
		for {
			step.Reset(time.Nanosecond)
			select {
			case <-step.C:
			case <-s.quit:
				return
			}
			run := s.take()
			if run == nil {
				break
			}
			go run()
		}
	}
}

// take removes one piece of work; nil if there is none.
func (s *scheduler) take() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return nil
	}
	i := s.random.IntN(len(s.pending))
	run := s.pending[i]
	s.pending = append(s.pending[:i], s.pending[i+1:]...)
	return run
}

func (s *scheduler) stop() {
	close(s.quit)
	<-s.stopped
}
