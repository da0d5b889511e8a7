package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// The demonstration tree shows supervision and rates on a node that has little
// else to do:
//
//	/demo            supervisor; tells the worker to crash from time to time
//	/demo/counter    counts what the worker has done
//	/demo/worker     does a job at a time, at a bounded rate; crashes when told to
//	/demo/producer   sends jobs to the worker in bursts
//
// The bursts are faster than the worker, so that its mailbox is seen to fill and
// to empty. It keeps its mailbox over a crash: the counter's figure keeps up
// with the producer's however often the worker is restarted.

// DemoChild is the path of the demonstration's child that crashes on purpose.
const DemoChild = "/demo/worker"

// demoFirstCrash is when the worker crashes for the first time, unless
// DemoConfig.CrashEvery is shorter.
const demoFirstCrash = 3 * time.Second

// The producer sends a burst every demoBurst. The worker is faster than the
// producer on average by demoHeadroom, so that it is done with a burst when the
// next one comes.
const (
	demoBurst    = 700 * time.Millisecond
	demoHeadroom = 1.25
)

// errDemoCrash is what the worker panics with.
var errDemoCrash = errors.New("crashed on purpose")

// workerMsg is what the worker takes.
type workerMsg interface{ isWorkerMsg() }

// job is a piece of work.
type job struct{ n uint64 }

// crash makes the worker panic.
type crash struct{}

func (job) isWorkerMsg()   {}
func (crash) isWorkerMsg() {}

// crashDue tells the supervisor to crash its worker.
type crashDue struct{}

// burstDue tells the producer to send.
type burstDue struct{}

// jobDone tells the counter that a job is finished.
type jobDone struct{ digest uint64 }

// spawnDemo starts the demonstration tree.
func spawnDemo(parent actor.Parent, config DemoConfig) error {
	_, err := actor.Spawn(parent, actor.Spec[crashDue]{
		Name: "demo",
		Type: "demo-supervisor",
		New:  func() actor.Behavior[crashDue] { return &demoSupervisor{config: config} },
	})
	return err
}

// crashDemo makes the worker crash now.
func crashDemo(sys *actor.System) error {
	worker, err := actor.Lookup[workerMsg](sys, DemoChild)
	if err != nil {
		return err
	}
	return worker.TryTell(crash{})
}

// demoSupervisor owns the demonstration's actors.
type demoSupervisor struct {
	config DemoConfig
	worker actor.Ref[workerMsg]
}

// Start spawns the children; after a restart of the supervisor, new ones.
func (d *demoSupervisor) Start(ctx *actor.Context[crashDue]) error {
	counter, err := actor.Spawn(ctx, actor.Spec[jobDone]{
		Name: "counter",
		Type: "demo-counter",
		New:  func() actor.Behavior[jobDone] { return &demoCounter{} },
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.worker, err = actor.Spawn(ctx, actor.Spec[workerMsg]{
		Name: "worker",
		Type: "demo-worker",
		New: func() actor.Behavior[workerMsg] {
			return &demoWork{counter: counter, pace: d.config.pace()}
		},
		Priority: urgency,
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if d.config.Rate > 0 {
		_, err = actor.Spawn(ctx, actor.Spec[burstDue]{
			Name: "producer",
			Type: "demo-producer",
			New:  func() actor.Behavior[burstDue] { return &demoProducer{rate: d.config.Rate, worker: d.worker} },
		})
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if every := d.config.CrashEvery; every > 0 {
		if every > demoFirstCrash {
			ctx.After(demoFirstCrash, crashDue{})
		}
		ctx.Every(every, crashDue{})
	}
	return nil
}

// pace is the time that the worker takes for a job.
func (c DemoConfig) pace() time.Duration {
	if c.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / (demoHeadroom * float64(c.Rate)))
}

// urgency lets an order to crash overtake the jobs that wait.
func urgency(m workerMsg) int {
	if _, urgent := m.(crash); urgent {
		return 0
	}
	return 1
}

// Receive passes the order to crash on. A full mailbox means that the worker is
// busy enough; the next time will do.
func (d *demoSupervisor) Receive(ctx *actor.Context[crashDue], _ crashDue) error {
	if err := d.worker.TryTell(crash{}); err != nil {
		ctx.Log().Info("the demo child was not told to crash", "error", err)
	}
	return nil
}

// demoWork turns jobs into digests.
type demoWork struct {
	counter actor.Ref[jobDone]
	pace    time.Duration
	next    time.Time // when the next job may begin
}

// Receive does a job, or crashes.
func (w *demoWork) Receive(ctx *actor.Context[workerMsg], m workerMsg) error {
	switch m := m.(type) {
	case job:
		if err := w.await(ctx); err != nil {
			return err
		}
		var block [1024]byte
		binary.LittleEndian.PutUint64(block[:], m.n)
		sum := sha256.Sum256(block[:])
		return w.counter.Tell(ctx, jobDone{binary.LittleEndian.Uint64(sum[:])})
	case crash:
		panic(errDemoCrash)
	}
	return nil
}

// await blocks until the next job may begin, or the actor is cut short.
func (w *demoWork) await(ctx context.Context) error {
	now := time.Now()
	// Time lost to a busy machine is made up for, within a burst.
	if longest := now.Add(-demoBurst); w.next.Before(longest) {
		w.next = longest
	}
	wait := w.next.Sub(now)
	w.next = w.next.Add(w.pace)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// demoCounter counts finished jobs and folds their digests.
type demoCounter struct {
	done   uint64
	digest uint64
}

// Receive counts one job.
func (c *demoCounter) Receive(_ *actor.Context[jobDone], m jobDone) error {
	c.done++
	c.digest ^= m.digest
	return nil
}

// demoProducer sends jobs in bursts.
type demoProducer struct {
	rate   int
	worker actor.Ref[workerMsg]

	next uint64    // number of the next job
	last time.Time // of the last burst
	part float64   // of a job that was due and not sent
}

// Start sets the clock.
func (p *demoProducer) Start(ctx *actor.Context[burstDue]) error {
	p.last = time.Now()
	ctx.Every(demoBurst, burstDue{})
	return nil
}

// Receive sends as many jobs as are due by now. When the worker's mailbox is
// full it waits, which is backpressure to be seen.
func (p *demoProducer) Receive(ctx *actor.Context[burstDue], _ burstDue) error {
	now := time.Now()
	// After a pause, such as a suspended machine, not everything is made up for.
	due := min(now.Sub(p.last), 2*demoBurst).Seconds()*float64(p.rate) + p.part
	p.last, p.part = now, due-math.Trunc(due)
	for range int(due) {
		if err := p.worker.Tell(ctx, job{p.next}); err != nil {
			return err
		}
		p.next++
	}
	return nil
}
