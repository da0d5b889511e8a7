package workload

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
)

// Crashes is one run of the crash workload. A system starts one supervised
// actor whose every behaviour is a [Victim] from NewVictim and calls Drive;
// restarts must be unlimited and undelayed.
type Crashes struct {
	limits Limits
	made   atomic.Int64 // behaviours made
	base   time.Time
	sentAt time.Duration      // of the crash, since base
	alive  chan time.Duration // how long after sentAt the probe was handled
	fault  atomic.Pointer[string]

	patience <-chan time.Time // when the run is given up
	took     measure.Histogram
	cost     measure.Cost
}

// Victim is one behaviour of the actor. One goroutine at a time may use it.
type Victim struct {
	run     *Crashes
	crashed bool
}

// NewVictim is called for the first behaviour and for each restart.
func (t *Crashes) NewVictim() *Victim {
	t.made.Add(1)
	return &Victim{run: t}
}

// Handle is the handler's work: it panics on [Crash], and on [Probe] reports
// that the actor handles messages again.
func (v *Victim) Handle(m Msg) {
	if m.Kind == Crash {
		v.crashed = true
		panic("a crash on purpose")
	}
	now := time.Since(v.run.base)
	if v.crashed {
		v.run.reportFault("a behaviour that had panicked got another message")
	}
	v.run.alive <- now - v.run.sentAt
}

func (t *Crashes) reportFault(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	t.fault.CompareAndSwap(nil, &s)
}

// Drive crashes the actor again and again with tell, which sends one message
// to it without waiting.
func (t *Crashes) Drive(tell func(Msg) error) error {
	patience := time.NewTimer(t.limits.For + t.limits.Patience)
	defer patience.Stop()
	t.patience = patience.C
	warm := max(t.limits.Crashes/10, 1)
	for range warm {
		if _, err := t.once(tell); err != nil {
			return err
		}
	}
	meter := measure.Start()
	for range t.limits.Crashes {
		d, err := t.once(tell)
		if err != nil {
			return err
		}
		t.took.Record(d)
	}
	t.cost = meter.Stop()
	// One behaviour at the start and one per crash.
	if made, want := t.made.Load(), int64(1+warm+t.limits.Crashes); made != want {
		return miscount("%d behaviours were made, %d expected", made, want)
	}
	if s := t.fault.Load(); s != nil {
		return miscount("%s", *s)
	}
	return nil
}

func (t *Crashes) once(tell func(Msg) error) (time.Duration, error) {
	t.sentAt = time.Since(t.base)
	if err := tell(Msg{Kind: Crash}); err != nil {
		return 0, err
	}
	if err := tell(Msg{Kind: Probe}); err != nil {
		return 0, err
	}
	select {
	case d := <-t.alive:
		return d, nil
	case <-t.patience:
		return 0, miscount("the message after crash %d was not handled; the run was given up after %v", t.made.Load(), t.limits.For+t.limits.Patience)
	}
}

func runCrash(sys System, limits Limits, res *Result) error {
	t := &Crashes{limits: limits, base: time.Now(), alive: make(chan time.Duration, 1)}
	if err := sys.Crash(t); err != nil {
		return err
	}
	res.rate(t.took.Count(), t.cost)
	res.Values[P50], res.Values[P99] = t.took.Quantile(0.50), t.took.Quantile(0.99)
	return nil
}
