package workflow

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// ErrCancelled is the cause of what ends because a run was cancelled.
var ErrCancelled = fault.New(fault.Canceled, "", "the run was cancelled")

// Defaults of [EngineOptions].
const (
	DefaultIdle     = time.Minute
	DefaultLeaseTTL = 10 * time.Second

	DefaultSnapshotEvery = 1_000 // events
)

// EngineOptions say how to run workflows. The zero value of each field but
// Registry is a safe default.
type EngineOptions struct {
	// Registry holds the node types that definitions may use. Required.
	Registry *Registry
	// Name is that of the engine's actor, unique among the children of the
	// parent. Default "workflows".
	Name string
	// Owner is who holds the engine's lease on the store: the same for a process
	// that takes the place of one that has died, another for each that works beside
	// it. Default "troupe".
	Owner string
	// OutputDir is where relative paths of sinks begin, for runs that say nothing
	// themselves. Default: the working directory.
	OutputDir string
	// DirPerRun gives each run that says nothing a directory of its own below
	// OutputDir, named by its id. It is made when a node writes into it.
	DirPerRun bool
	// ByHand leaves the schedules and triggers of definitions alone: runs are started
	// by hand, and by schedules and triggers that were made by hand.
	ByHand bool
	// DeliveriesKnown is how long it is known that a delivery of a trigger came
	// before, so that it starts nothing if it comes again. Default
	// [DeliveriesKnownDefault], 30 days; at least an hour; negative: for ever.
	DeliveriesKnown time.Duration
	// Files is where the files of definitions are that were read by [LoadFS].
	// Nil: only definitions from the operating system's files can be deployed.
	Files fs.FS
	// Log gets what nodes have to say, with the attributes workflow_id,
	// execution_id and node. Default: nothing is logged.
	Log *slog.Logger
	// RejectsKept is how many of the rows that one node sets aside are kept with
	// the run. Default 100; negative: none. Counted are all.
	RejectsKept int
	// Idle is how long a run that only waits stays in memory. Default 1 min.
	Idle time.Duration
	// SnapshotEvery is after how many events of a run its state is written down, so
	// that it need not be made of the whole history again. Default 1,000; of a run
	// whose state is large it is more.
	SnapshotEvery int
	// LeaseTTL is how long after the death of a process another one waits before
	// it takes over its runs. Default 10 s, at least 1 s.
	LeaseTTL time.Duration
}

// Engine runs workflows. What happens in a run is committed to a store before
// anything follows from it, so that a run goes on where it was, whatever dies.
// An Engine may be used from any goroutine.
//
// One engine at a time works on a store; it holds a lease, whose epoch fences
// all it writes.
type Engine struct {
	store     store.Store
	options   EngineOptions
	log       *slog.Logger
	sys       *actor.System
	ref       actor.Ref[engineMessage]
	scheduler actor.Ref[schedulerMessage]
	tended    actor.Ref[triggerMessage] // the keeper of the triggers
	triggers  *triggerTable
	fence     store.Fence
	gate      *gate
	ready     chan struct{} // closed when all runs of earlier processes go on
	staffed   chan struct{} // closed when all actors that the engine tells of something are there
	staff     sync.Once     // closes it
	lost      atomic.Bool   // the lease has gone to somebody else
	cache     definitionCache
	logs      runLogs
	rooms     eventRooms
	commits   sync.Pool // of *commitRoom
	keeper    actor.Ref[rolloutMessage]
	rollouts  rollouts
	starting  sync.RWMutex // read while a run is being started, see removeWorkflow
	settling  settling

	mu      sync.Mutex
	closing bool
	live    map[string]*liveRun
	waiters map[string][]chan *runEnd // by run
	watches map[chan struct{}]string  // of changes: "" for all runs
}

// engineMessage is what the engine's actor is told.
type engineMessage interface{ isEngineMessage() }

type (
	activate struct {
		id    string
		state *decider // nil: to be read from the store
		reply actor.Reply[*liveRun]
	}
	wakeRun    struct{ id string }
	renewLease struct{}
	recovered  struct{ err error }
)

func (activate) isEngineMessage()   {}
func (wakeRun) isEngineMessage()    {}
func (renewLease) isEngineMessage() {}
func (recovered) isEngineMessage()  {}

const engineLease = store.LeaseName("workflow/engine")

// Open starts an engine on a store, as an actor below parent. Runs that an
// earlier process left are taken up in the background, see [Engine.Ready].
//
// An engine of the same owner that is still there loses its lease to this one.
// For that of another owner, which may have died, it waits until ctx ends.
//
// Errors: INVALID_ARGUMENT for options that make no sense, store.ErrLeaseHeld
// with ctx's error, and those of the store.
func Open(ctx context.Context, parent actor.Parent, s store.Store, options EngineOptions) (*Engine, error) {
	const op = "workflow.Open"
	if options.Registry == nil || s == nil {
		return nil, fault.New(fault.InvalidArgument, op, "an engine needs a store and a registry")
	}
	e := &Engine{
		store: s, options: options, gate: newGate(), triggers: newTriggerTable(), ready: make(chan struct{}), staffed: make(chan struct{}),
		live: map[string]*liveRun{}, waiters: map[string][]chan *runEnd{}, watches: map[chan struct{}]string{},
	}
	if err := e.setDefaults(op); err != nil {
		return nil, err
	}
	lease, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	e.fence = store.Fence{Lease: lease.Name, Epoch: lease.Epoch}
	if err := errors.Join(e.loadRollouts(ctx), e.loadOwed(ctx)); err != nil {
		return nil, errors.Join(err, s.Release(ctx, lease))
	}
	_, err = actor.Spawn(parent, actor.Spec[engineMessage]{
		Name: e.options.Name, Type: "workflow.engine",
		New:         func() actor.Behavior[engineMessage] { return &engineActor{engine: e, lease: lease} },
		Mailbox:     actor.Mailbox{Capacity: actor.Unbounded}, // it is never held up by what it tells
		Restart:     actor.Temporary,
		Supervision: actor.Supervision{MaxRestarts: engineRestarts},
		StopTimeout: engineStopTimeout,
	})
	if err != nil {
		return nil, errors.Join(err, s.Release(ctx, lease))
	}
	return e, nil
}

const (
	engineStopTimeout = time.Minute
	// engineRestarts: a run whose commit failed is read again from the store. A
	// store that is down fails many runs at once, which is no reason to give up
	// the others.
	engineRestarts = 1_000_000
)

func (e *Engine) setDefaults(op string) error {
	o := &e.options
	if o.Name == "" {
		o.Name = "workflows"
	}
	if o.Owner == "" {
		o.Owner = "troupe"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RejectsKept == 0 {
		o.RejectsKept = RejectsKeptDefault
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = DefaultLeaseTTL
	}
	if o.DeliveriesKnown == 0 {
		o.DeliveriesKnown = DeliveriesKnownDefault
	}
	if o.DeliveriesKnown > 0 {
		o.DeliveriesKnown = max(o.DeliveriesKnown, time.Hour)
	}
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = DefaultSnapshotEvery
	}
	if o.LeaseTTL < time.Second || o.Idle < 0 || o.SnapshotEvery < 0 {
		return fault.New(fault.InvalidArgument, op, "LeaseTTL is %v, Idle %v and SnapshotEvery %d; expected at least 1 s, and nothing negative", o.LeaseTTL, o.Idle, o.SnapshotEvery)
	}
	dir, err := filepath.Abs(o.OutputDir)
	if err != nil {
		return fault.Wrap(fault.FailedPrecondition, op, err)
	}
	o.OutputDir, e.log = dir, o.Log
	return nil
}

// acquire takes the engine's lease, and waits for it if it must.
func (e *Engine) acquire(ctx context.Context) (store.Lease, error) {
	for {
		lease, err := e.store.Acquire(ctx, engineLease, e.options.Owner, e.options.LeaseTTL)
		held, ok := errors.AsType[*store.HeldError](err)
		if !ok {
			return lease, err
		}
		e.log.Warn("another engine works on this store, or has died; waiting for its lease to end", "owner", held.Lease.Owner, "until", held.Lease.Until)
		timer := time.NewTimer(max(time.Until(held.Lease.Until), 10*time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return store.Lease{}, errors.Join(err, ctx.Err())
		}
	}
}

// Ready is closed when all runs that were under way in an earlier process go on.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Live is how many runs are in memory: those under way but for the ones that have
// only waited for some time.
func (e *Engine) Live() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)
}

// Done is closed when the engine has ended.
func (e *Engine) Done() <-chan struct{} { return e.ref.Done() }

// Stop ends the engine. Runs that are under way are interrupted, and go on where
// they were with the next engine on the store.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	return e.ref.Stop(ctx)
}

// engineActor is the supervisor of the runs in memory.
type engineActor struct {
	engine *Engine
	lease  store.Lease
	wakes  map[string]actor.Timer
}

// Start takes up the runs of earlier processes.
func (a *engineActor) Start(ctx *actor.Context[engineMessage]) error {
	a.engine.sys, a.engine.ref = ctx.System(), ctx.Self()
	a.wakes = map[string]actor.Timer{}
	writer, err := actor.Spawn(ctx, actor.Spec[logMessage]{ // the oldest child, which ends after all runs
		Name: "log", Type: "workflow.log", Mailbox: actor.Mailbox{Capacity: actor.Unbounded},
		New: func() actor.Behavior[logMessage] {
			return &logWriter{engine: a.engine, trims: map[string]store.Position{}}
		},
	})
	if err != nil {
		return err
	}
	a.engine.logs.startWith(writer)
	if err := a.engine.startScheduler(ctx); err != nil {
		return err
	}
	a.engine.keeper, err = actor.Spawn(ctx, actor.Spec[rolloutMessage]{
		Name: "rollouts", Type: "workflow.rollouts",
		New:     func() actor.Behavior[rolloutMessage] { return &rolloutKeeper{engine: a.engine} },
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // ends of runs, which it takes in at once
	})
	if err != nil {
		return err
	}
	a.engine.staff.Do(func() { close(a.engine.staffed) })
	ctx.Every(a.engine.options.LeaseTTL/3, renewLease{})
	self := ctx.Self()
	ctx.Pipe(func(ctx context.Context) engineMessage { return recovered{a.engine.recover(ctx, self)} })
	return nil
}

// whenStaffed waits until the actors can tell each other of what they do.
func (e *Engine) whenStaffed(ctx context.Context) {
	select {
	case <-e.staffed:
	case <-ctx.Done():
	}
}

// Receive handles one message.
func (a *engineActor) Receive(ctx *actor.Context[engineMessage], m engineMessage) error {
	e := a.engine
	switch m := m.(type) {
	case activate:
		run, err := e.spawn(ctx, m.id, m.state)
		if err != nil {
			m.reply.Fail(err)
			return nil
		}
		m.reply.Send(run)
	case wakeRun:
		delete(a.wakes, m.id)
		ctx.Pipe(func(ctx context.Context) engineMessage {
			_, err := e.activate(ctx, m.id)
			return woken{m.id, err}
		})
	case woken:
		if m.err != nil && !errors.Is(m.err, errEnded) {
			e.log.Error("a run cannot be woken; it is tried again", "execution_id", m.id, "error", m.err)
			a.wakes[m.id] = ctx.After(wakeAgain, wakeRun{m.id})
		}
	case recovered:
		if m.err != nil {
			e.log.Error("runs of an earlier process cannot be taken up", "error", m.err)
			return m.err
		}
		close(e.ready)
	case renewLease:
		ctx.Pipe(func(ctx context.Context) engineMessage {
			_, err := e.store.Renew(ctx, a.lease, e.options.LeaseTTL)
			return leaseRenewed{err}
		})
	case leaseRenewed:
		return a.renewed(m.err)
	case sleepRun:
		if old, ok := a.wakes[m.id]; ok {
			old.Cancel()
		}
		a.wakes[m.id] = ctx.After(max(time.Until(m.until), 0), wakeRun{m.id})
	}
	return nil
}

type (
	leaseRenewed struct{ err error }
	woken        struct {
		id  string
		err error
	}
	sleepRun struct {
		id    string
		until time.Time
	}
)

func (leaseRenewed) isEngineMessage() {}
func (sleepRun) isEngineMessage()     {}
func (woken) isEngineMessage()        {}

// wakeAgain is when a run is woken again that could not be.
const wakeAgain = time.Second

// renewed ends the engine if the lease has gone to somebody else: that one goes
// on with the runs.
func (a *engineActor) renewed(err error) error {
	switch {
	case errors.Is(err, store.ErrStaleEpoch):
		a.engine.lost.Store(true)
		a.engine.log.Error("another engine has taken over; this one ends", "error", err)
		return err
	case err != nil:
		a.engine.log.Warn("the engine's lease cannot be renewed at present", "error", err)
	}
	return nil
}

// Stop gives the lease up, so that the next engine need not wait for its end.
func (a *engineActor) Stop(ctx *actor.Context[engineMessage]) error {
	a.engine.mu.Lock()
	a.engine.closing = true
	for _, all := range a.engine.waiters {
		for _, c := range all {
			close(c)
		}
	}
	clear(a.engine.waiters)
	a.engine.mu.Unlock()
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := a.engine.store.Release(release, a.lease)
	if errors.Is(err, store.ErrStaleEpoch) || errors.Is(err, store.ErrClosed) {
		return nil
	}
	return err
}

// recoverers is how many runs are read at a time after the death of a process.
const recoverers = 4

// recover takes up the runs that were open when an earlier process ended.
func (e *Engine) recover(ctx context.Context, self actor.Ref[engineMessage]) error {
	now := time.Now()
	fresh, left := newRunID(now), 0 // ids sort by time
	ids := make(chan string)
	failed := make(chan error, recoverers)
	var readers sync.WaitGroup
	for range recoverers {
		readers.Go(func() {
			for id := range ids {
				if err := e.takeUp(ctx, id); err != nil {
					failed <- err // what is left is for the next engine
					return
				}
			}
		})
	}
	err := e.openRuns(ctx, func(id string, o openRun) error {
		if id < fresh {
			left++
		}
		switch {
		case o.Wake == wakeNever:
			return nil
		case o.Wake > now.UnixMilli():
			return self.Tell(ctx, sleepRun{id, time.UnixMilli(o.Wake)})
		}
		select {
		case ids <- id:
			return nil
		case err := <-failed:
			return err
		}
	})
	close(ids)
	readers.Wait()
	switch {
	case err != nil:
		return err
	case len(failed) > 0:
		return <-failed
	}
	actor.Publish(e.sys, Recovered{Runs: left})
	return nil
}

// Recovered is published to the event stream of the actor system when an engine has
// gone through the runs that an earlier process left.
type Recovered struct {
	Runs int // that have not ended
}

// takeUp brings a run into memory that an earlier process had there. One that
// cannot be read does not hold up the others.
func (e *Engine) takeUp(ctx context.Context, id string) error {
	_, err := e.activate(ctx, id)
	if err == nil || errors.Is(err, errEnded) {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	e.log.Error("a run cannot be taken up", "execution_id", id, "error", err)
	return nil
}

// activate returns a run in memory, and brings it there if need be.
func (e *Engine) activate(ctx context.Context, id string) (*liveRun, error) {
	for {
		e.mu.Lock()
		run := e.live[id]
		e.mu.Unlock()
		if run != nil && !run.leaving.Load() {
			return run, nil
		}
		if run != nil {
			select {
			case <-run.ref.Done():
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			e.forget(run)
			continue
		}
		state, err := e.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if state.state.Final() {
			return nil, errEnded
		}
		return actor.Ask(ctx, e.ref, func(r actor.Reply[*liveRun]) engineMessage { return activate{id, state, r} })
	}
}

var errEnded = fault.New(fault.FailedPrecondition, "workflow", "the run has ended")

// spawn makes the actor of a run, unless it is there.
func (e *Engine) spawn(ctx *actor.Context[engineMessage], id string, state *decider) (*liveRun, error) {
	e.mu.Lock()
	if run := e.live[id]; run != nil && !run.leaving.Load() {
		e.mu.Unlock()
		return run, nil
	}
	e.mu.Unlock()
	run := &liveRun{engine: e, id: id, workflow: state.definition.Name, next: state}
	ref, err := actor.Spawn(ctx, actor.Spec[runMessage]{
		New: func() actor.Behavior[runMessage] { return &runActor{run: run} }, Type: "workflow.run",
		Mailbox:     actor.Mailbox{Capacity: actor.Unbounded}, // what has happened is never refused; steps bound it
		Restart:     actor.Transient,
		Supervision: actor.Supervision{},
		StopTimeout: flowStopTimeout,
	})
	if err != nil {
		return nil, err
	}
	run.ref = ref
	e.mu.Lock()
	e.live[id] = run
	e.mu.Unlock()
	return run, ref.TryTell(runBegins{})
}

// forget removes a run that has left memory.
func (e *Engine) forget(run *liveRun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[run.id] == run {
		delete(e.live, run.id)
	}
}

// changed tells those that watch a run, and those that wait for its end if that
// is given.
func (e *Engine) changed(id string, end *runEnd) {
	if end != nil {
		e.tellEnded(end.state.runState)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for c, of := range e.watches {
		if of == "" || of == id {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	if end != nil {
		for _, c := range e.waiters[id] {
			c <- end // it has room for one
			close(c)
		}
		delete(e.waiters, id)
	}
}

// Watch returns a channel that gets a value after a run has changed; the run ""
// stands for all. Changes come together: there is one value for all of them
// that the receiver has not seen. The returned function ends the watch.
func (e *Engine) Watch(runID string) (changes <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watches[c] = runID
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watches, c)
	}
}
