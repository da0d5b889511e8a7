package workload

import (
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
)

// Crowd is one run of a spawn workload: many actors, each with a [Resident] as
// its whole state.
type Crowd struct {
	limits   Limits
	greeted  atomic.Int64 // residents that have handled their message
	repeated atomic.Int64 // messages beyond the first
	want     atomic.Int64
	full     chan struct{}
}

// Resident is an actor's state, 16 bytes; a system may add a word of its own to
// learn of the actor's end.
type Resident struct {
	Crowd *Crowd
	seen  int
}

// Greet is the handler's work.
func (r *Resident) Greet(Msg) {
	r.seen++
	if r.seen > 1 {
		r.Crowd.repeated.Add(1)
		return
	}
	if r.Crowd.greeted.Add(1) == r.Crowd.want.Load() {
		r.Crowd.full <- struct{}{}
	}
}

// Residents are the actors of a crowd in one system.
type Residents interface {
	// Grow makes room for n references, so that keeping them is not measured.
	Grow(n int)
	// Spawn starts n more actors.
	Spawn(n int) error
	// Tell sends every actor m.
	Tell(m Msg) error
	// Stop stops every actor, waits for their end, and forgets them.
	Stop() error
	// Close ends the system.
	Close() error
}

// greet sends one message to each of n actors and waits until all have been
// handled.
func (c *Crowd) greet(residents Residents, n int) error {
	c.greeted.Store(0)
	c.want.Store(int64(n))
	if err := residents.Tell(Msg{Kind: Count}); err != nil {
		return err
	}
	patience := time.NewTimer(c.limits.Patience)
	defer patience.Stop()
	select {
	case <-c.full:
		return nil
	case <-patience.C:
		return miscount("%d of %d actors handled their message", c.greeted.Load(), n)
	}
}

// handled is the number of residents that have handled their message.
func (c *Crowd) handled() uint64 { return uint64(c.greeted.Load()) } //nolint:gosec // it only counts up

func (c *Crowd) check(n int) error {
	if got, more := c.greeted.Load(), c.repeated.Load(); got != int64(n) || more != 0 {
		return miscount("%d actors were told one message each: %d handled one, %d handled more", n, got, more)
	}
	return nil
}

// warmCrowd is the number of actors that live and end before a measurement.
const warmCrowd = 1000

// begin opens the system and takes warmCrowd actors through a whole life.
func (c *Crowd) begin(sys System) (Residents, error) {
	c.full = make(chan struct{}, 1)
	residents, err := sys.Spawn(c)
	if err != nil {
		return nil, err
	}
	if err := residents.Spawn(warmCrowd); err != nil {
		return nil, err
	}
	if err := c.greet(residents, warmCrowd); err != nil {
		return nil, err
	}
	return residents, residents.Stop()
}

func runSpawn(sys System, limits Limits, res *Result) error {
	c := &Crowd{limits: limits}
	residents, err := c.begin(sys)
	if err != nil {
		return err
	}
	n := limits.Spawns
	residents.Grow(n)
	meter := measure.Start()
	if err := residents.Spawn(n); err != nil {
		return err
	}
	spawned := meter.Stop()
	usable := time.Now()
	if err := c.greet(residents, n); err != nil {
		return err
	}
	took := spawned.Elapsed + time.Since(usable)
	stop := time.Now()
	if err := residents.Stop(); err != nil {
		return err
	}
	res.Values[StopPerSecond] = float64(n) / time.Since(stop).Seconds()
	if err := c.check(n); err != nil {
		return err
	}
	res.rate(c.handled(), spawned)
	res.Values[UsablePerSec] = float64(n) / took.Seconds()
	return residents.Close()
}

func runMemory(sys System, limits Limits, res *Result) error {
	c := &Crowd{limits: limits}
	residents, err := c.begin(sys)
	if err != nil {
		return err
	}
	n := limits.Actors
	residents.Grow(n)
	began := time.Now()
	empty := measure.Footprint(limits.Patience)
	if err := residents.Spawn(n); err != nil {
		return err
	}
	idle := measure.Footprint(limits.Patience)
	if err := c.greet(residents, n); err != nil {
		return err
	}
	afterOne := measure.Footprint(limits.Patience)
	if err := residents.Stop(); err != nil {
		return err
	}
	if err := c.check(n); err != nil {
		return err
	}
	res.Ops, res.Seconds = c.handled(), time.Since(began).Seconds()
	res.Values[IdleBytes] = (float64(idle) - float64(empty)) / float64(n)
	res.Values[AfterOneBytes] = (float64(afterOne) - float64(empty)) / float64(n)
	return residents.Close()
}
