package workflow

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// liveRun is a run in memory.
type liveRun struct {
	engine   *Engine
	id       string
	workflow string
	ref      actor.Ref[runMessage]
	leaving  atomic.Bool // its actor ends; it will be read from the store again
	end      atomic.Pointer[runEnd]

	// mu guards the state against those who look. The actor holds it while it
	// decides and commits, so that nobody sees what is not committed.
	mu    sync.Mutex
	state *decider
	next  *decider // what the actor begins with, once
	flows map[string]*flow
	// signalled are closed at the next signal of a name.
	signalled map[string]chan struct{}
}

// runMessage is what the actor of a run is told.
type runMessage interface{ isRunMessage() }

type (
	runBegins struct{}
	stepEnded struct {
		node      string
		iteration []int
		attempt   int
		result    result
	}
	undoEnded struct {
		attempt int
		result  result
	}
	timeCame struct {
		node      string
		iteration []int
	}
	// runCommand has something decided that somebody wishes.
	runCommand struct {
		decide func(d *decider) error
		reply  actor.Reply[struct{}]
	}
)

// takeEnds has the steps taken in that have ended.
type takeEnds struct{}

func (takeEnds) isRunMessage() {}

// idleCheck looks whether the run has nothing to do.
type idleCheck struct{}

func (idleCheck) isRunMessage()  {}
func (runBegins) isRunMessage()  {}
func (*stepEnded) isRunMessage() {}
func (undoEnded) isRunMessage()  {}
func (timeCame) isRunMessage()   {}
func (runCommand) isRunMessage() {}

// runActor is the actor of a run: it has decided what follows from what has
// happened, commits that, and only then has it done.
type runActor struct {
	run     *liveRun
	cancel  map[*step]canceler // of attempts under way
	work    context.Context    // of all attempts
	endWork context.CancelCauseFunc
	ends    []*stepEnded // came, and are taken in together
	told    bool         // takeEnds is in the mailbox
	touched bool         // something has come since it was looked last
	failed  error        // of the last attempt that failed, as it was
	input   func(name string) (Value, bool)
}

// canceler ends an attempt.
type canceler interface {
	end(cause error) (first bool)
}

// cancelFunc is the canceler of a context.
type cancelFunc context.CancelCauseFunc

func (f cancelFunc) end(cause error) bool {
	f(cause)
	return true
}

// Start reads the run from the store, unless it was handed over.
func (a *runActor) Start(ctx *actor.Context[runMessage]) error {
	r := a.run
	a.cancel = map[*step]canceler{}
	// Not derived from ctx: that would take a goroutine for each attempt.
	a.work, a.endWork = context.WithCancelCause(context.Background())
	state := r.next
	r.next = nil
	if state == nil { // after a failure
		var err error
		if state, err = r.engine.read(ctx, r.id); err != nil {
			return err
		}
		defer func() { _ = ctx.Self().TryTell(runBegins{}) }()
	}
	a.input = state.definition.input
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.flows, r.signalled = state, map[string]*flow{}, map[string]chan struct{}{}
	ctx.After(r.engine.options.Idle, idleCheck{})
	return nil
}

// Receive takes in what has happened.
func (a *runActor) Receive(ctx *actor.Context[runMessage], m runMessage) error {
	d := a.run.state
	if d.state.Final() {
		return a.late(m)
	}
	if ended, ok := m.(*stepEnded); ok {
		a.ends = append(a.ends, ended)
		if ctx.Pending() > 0 { // steps that end at the same time are recorded together
			if !a.told {
				a.told = ctx.Self().TryTell(takeEnds{}) == nil
			}
			if a.told {
				return nil
			}
		}
	}
	var wish error
	err := a.decide(ctx, func() {
		a.takeEnds()
		if d.state.Final() {
			wish = errEnded
			return
		}
		switch m := m.(type) {
		case takeEnds:
			a.told = false
		case runBegins:
			d.advance()
		case undoEnded:
			if m.result.err != errInterrupted { //nolint:errorlint // it is never wrapped
				d.undoEnded(m.attempt, m.result)
			}
		case timeCame:
			d.woke(m.node, m.iteration)
		case runCommand:
			wish = m.decide(d)
		}
	})
	if command, ok := m.(runCommand); ok {
		switch {
		case err != nil:
			command.reply.Fail(err)
		case wish != nil:
			command.reply.Fail(wish)
		default:
			command.reply.Send(struct{}{})
		}
	}
	if err != nil {
		a.stopWork(errInterrupted) // the next incarnation begins it again
		return err
	}
	switch m := m.(type) {
	case runBegins:
		a.takeUp(ctx, d.root)
	case timeCame:
		a.early(ctx, m)
	}
	if d.state.Final() || a.idle(ctx, m) {
		a.run.leaving.Store(true)
		ctx.Stop()
	}
	return nil
}

// takeEnds takes in the steps that have ended.
func (a *runActor) takeEnds() {
	d := a.run.state
	for _, end := range a.ends {
		s := d.find(end.node, end.iteration)
		if s != nil && s.attempt == end.attempt {
			if work := a.cancel[s]; work != nil {
				work.end(nil)
				delete(a.cancel, s)
			}
		}
		if len(a.run.flows) > 0 {
			delete(a.run.flows, Instance(end.node, end.iteration))
		}
		if end.result.err == errInterrupted { //nolint:errorlint // it is never wrapped
			continue
		}
		if end.result.err != nil {
			a.failed = end.result.err
		}
		d.ended(s, end.attempt, end.result)
	}
	if len(a.ends) > 0 {
		d.advance()
	}
	clear(a.ends)
	a.ends = a.ends[:0]
}

// idle reports whether the run has only waited for so long that it should leave
// memory.
func (a *runActor) idle(ctx *actor.Context[runMessage], m runMessage) bool {
	if _, asked := m.(idleCheck); !asked {
		a.touched = true
		return false
	}
	idle := !a.touched && !a.run.state.busy()
	a.touched = false
	if !idle {
		ctx.After(a.run.engine.options.Idle, idleCheck{})
	}
	return idle
}

// runEnd is how a run ended. Nothing changes its state any more.
type runEnd struct {
	state  *decider
	failed error // of the last attempt that failed, as it was

	once sync.Once
	info RunInfo
	err  error
}

// end is how the run ended, or nil.
func (d *decider) end(failed error) *runEnd {
	if !d.state.Final() {
		return nil
	}
	return &runEnd{state: d, failed: failed}
}

// result is what a Wait returns. An error that has the same text is better than
// what is recorded, as it has its causes.
func (e *runEnd) result() (RunInfo, error) {
	e.once.Do(func() {
		e.info = e.state.info(nil)
		e.err = e.info.failure()
		if e.failed != nil && e.err != nil && e.err.Error() == e.failed.Error() {
			e.err = e.failed
		}
	})
	return e.info, e.err
}

// late answers a command to a run that has ended.
func (a *runActor) late(m runMessage) error {
	if command, ok := m.(runCommand); ok {
		command.reply.Fail(errEnded)
	}
	return nil
}

// decide lets f decide, commits what was decided and has it done.
func (a *runActor) decide(ctx *actor.Context[runMessage], f func()) error {
	r := a.run
	d := r.state
	r.mu.Lock()
	before := d.seq
	d.now = time.Now().Truncate(time.Millisecond) // as the store keeps it
	room := r.engine.rooms.get()
	d.events, d.touched = room.events, room.touched
	f()
	events, touched := d.taken()
	err := r.engine.commit(ctx, d.runState, before, events, "")
	var end *runEnd
	if err == nil && len(events) > 0 {
		end = d.end(a.failed)
		r.end.Store(end) // who sees the final state sees this
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	aborts := d.aborts
	d.aborts = nil
	for _, s := range aborts {
		if work := a.cancel[s]; work != nil {
			work.end(ErrCancelled)
		}
	}
	for i := range events {
		a.effect(ctx, &events[i], touched[i])
	}
	if len(events) > 0 {
		r.engine.publish(events)
		r.engine.changed(r.id, end)
	}
	r.engine.rooms.put(room, events, touched)
	return nil
}

// eventRooms are room for events, used by one run after the other.
type eventRooms struct{ pool sync.Pool }

type eventRoom struct {
	events  []Event
	touched []*step
}

func (p *eventRooms) get() *eventRoom {
	if room, reused := p.pool.Get().(*eventRoom); reused {
		return room
	}
	return &eventRoom{}
}

// put gives room back that nobody uses any more.
func (p *eventRooms) put(room *eventRoom, events []Event, touched []*step) {
	if cap(events) > eventRoomMax {
		return
	}
	clear(events)
	clear(touched)
	room.events, room.touched = events[:0], touched[:0]
	p.pool.Put(room)
}

// eventRoomMax is the largest room that is kept.
const eventRoomMax = 64

// effect has done what an event calls for.
func (a *runActor) effect(ctx *actor.Context[runMessage], e *Event, s *step) {
	d := a.run.state
	switch e.Type {
	case NodeStarted, NodeWaiting, NodeRetried:
		if e.Type == NodeRetried {
			a.logger(e).Warn("the attempt failed; there will be another", "attempt", e.Attempt, "at", e.Until, "error", e.Error)
		}
		if s != nil {
			a.act(ctx, s, e.Attempt, e.Type == NodeStarted)
		}
	case SignalReceived:
		a.run.tellReaders(e.Signal)
	case NodeFailed:
		a.logger(e).Warn("the node failed", "attempt", e.Attempt, "error", e.Error)
	case NodeUndoFailed:
		a.logger(e).Error("what the node did cannot be undone", "attempt", e.Attempt, "error", e.Error)
	case NodeCompensating:
		a.undo(ctx)
	case NodeUndoRetried:
		ctx.After(e.Until.Sub(d.now), timeCame{})
	case WorkflowResumed:
		a.takeUp(ctx, d.root)
	}
}

// logger is that of the node that an event concerns.
func (a *runActor) logger(e *Event) *slog.Logger {
	return a.run.engine.runLogger(a.run.workflow, a.run.id, Instance(e.Node, e.Iteration))
}

// act has done what the present state of a step calls for. The step may have
// gone on since the event: then a later event has it done.
func (a *runActor) act(ctx *actor.Context[runMessage], s *step, attempt int, begins bool) {
	switch {
	case s.attempt != attempt || s.scope.closing && s.status != StateRunning:
	case s.status == StateRunning && begins && s.def.body == nil && a.cancel[s] == nil:
		a.execute(ctx, s)
	case s.status == StateWaiting && !begins && !s.until.IsZero():
		ctx.After(max(time.Until(s.until), 0), timeCame{s.def.id, s.scope.iteration()})
	}
}

// early waits again where a timer has fired before its time: it runs by another
// clock than the one that the time was read from.
func (a *runActor) early(ctx *actor.Context[runMessage], m timeCame) {
	d := a.run.state
	until := d.undoUntil
	if s := d.find(m.node, m.iteration); s != nil && s.status == StateWaiting {
		until = s.until
	}
	if until.After(d.now) {
		ctx.After(max(time.Until(until), time.Millisecond), m)
	}
}

// takeUp has done what a state calls for that was read from the store.
func (a *runActor) takeUp(ctx *actor.Context[runMessage], s *scope) {
	if s == a.run.state.root && a.run.state.undoTry > 0 {
		if until := a.run.state.undoUntil; !until.IsZero() {
			ctx.After(max(time.Until(until), 0), timeCame{})
		} else {
			a.undo(ctx)
		}
	}
	for i := range s.steps {
		st := &s.steps[i]
		for _, index := range openScopes(st) {
			a.takeUp(ctx, st.scopes[index])
		}
		if st.active() {
			a.act(ctx, st, st.attempt, st.status == StateRunning)
		}
	}
}

// Stop ends what is under way, and notes when the run must be in memory again.
func (a *runActor) Stop(ctx *actor.Context[runMessage]) error {
	r := a.run
	r.leaving.Store(true)
	if a.endWork != nil {
		a.stopWork(errInterrupted)
	}
	r.mu.Lock()
	d := r.state
	var until time.Time
	if d != nil && !d.state.Final() {
		until = d.nextWake()
	}
	r.mu.Unlock()
	if !until.IsZero() {
		_ = r.engine.ref.TryTell(sleepRun{r.id, until}) // an engine that ends need not know
	}
	r.engine.forget(r)
	return nil
}

// errInterrupted is the result of an attempt that was interrupted because the run
// leaves memory. It is no result: the attempt is made again.
var errInterrupted error = fault.New(fault.Canceled, "workflow", "the engine is stopping; the step is done again with the next one")

// nextWake is the first time at which something is due in a run of which
// nothing is under way, or zero.
func (d *decider) nextWake() time.Time {
	first := d.undoUntil
	var walk func(s *scope)
	walk = func(s *scope) {
		for i := range s.steps {
			st := &s.steps[i]
			if st.status == StateWaiting && !st.until.IsZero() && (first.IsZero() || st.until.Before(first)) {
				first = st.until
			}
			for _, inner := range st.scopes {
				walk(inner)
			}
		}
	}
	walk(d.root)
	return first
}

// busy reports whether work is under way that must not be interrupted.
func (d *decider) busy() bool {
	return d.working > 0 || d.undoTry > 0 && d.undoUntil.IsZero()
}

// commit makes events durable. What keeps it from that for a time is waited
// for: the work they tell of has been done, and is not to be done again.
func (e *Engine) commit(ctx context.Context, r *runState, before int64, events []Event, request string) error {
	begins, left := before == 0, events
	for len(left) > 0 {
		n := min(len(left), commitEvents)
		room, err := e.batch(r, before, left[:n])
		if err == nil && n == len(left) {
			err = e.follow(&room.batch, r, begins, events, request)
		}
		if err != nil {
			return err
		}
		if err := e.commitBatch(ctx, &room.batch, before); err != nil {
			return err // the store may not be done with it
		}
		e.free(room)
		before += int64(n)
		left = left[n:]
	}
	return nil
}

// commitEvents is how many events are committed at a time at most: with what
// goes with them they stay below a store's limit of changes.
const commitEvents = 5000

// commitBatch commits until it has succeeded, cannot succeed, or ctx ends.
func (e *Engine) commitBatch(ctx context.Context, batch *store.Batch, before int64) error {
	for attempt := 1; ; attempt++ {
		_, err := e.store.Commit(ctx, batch)
		if err == nil {
			return nil
		}
		if wrong, ok := errors.AsType[*store.PositionError](err); ok && attempt > 1 &&
			int64(wrong.Actual) == before+int64(len(batch.Appends[0].Events)) {
			return nil // an earlier attempt, of unknown outcome, has done it
		}
		if !fault.CodeOf(err).Transient() || ctx.Err() != nil {
			return err
		}
		delay := commitRetry.Delay(attempt)
		e.log.Error("a run cannot be recorded at present; it waits", "delay", delay, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

// publish tells the event stream of the actor system what has happened.
func (e *Engine) publish(events []Event) {
	for _, event := range events {
		actor.Publish(e.sys, event)
	}
}
