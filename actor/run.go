package actor

import (
	"errors"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// run owns the actor until there is nothing to do. It is what a goroutine
// started for an actor executes; its frame stays small, as a goroutine that is
// started for one message should not have to grow its stack.
//
// The runner it returns, if not nil, keeps another actor to be run or has to be
// closed.
func (c *cell[M]) run() (r *runner) {
	if c.depth.Load() != 0 {
		c.depth.Store(0)
	}
	exited := true
	defer func() {
		if exited {
			c.sys.spawn(c.afterExit)
		}
	}()
	for {
		more, err := c.turn(&r)
		if err != nil {
			more = c.failed(err)
		}
		if !more {
			break
		}
		if c.sys.opts.Schedule != nil {
			c.sys.start(&c.core)
			break
		}
	}
	exited = false
	return r
}

// afterExit goes on with an actor whose handler ended its goroutine with
// runtime.Goexit.
func (c *cell[M]) afterExit() {
	err := newPanicError(nil)
	c.mu.Lock()
	ending := c.behavior == nil && c.flags&flagClosed != 0
	c.mu.Unlock()
	if !ending {
		c.afterFailure(err)
		return
	}
	c.stopFailed(err)
	if c.end(nil) {
		runActors(&c.core)
	}
}

// afterFailure deals with a failure on a goroutine of its own, which then runs
// the actor.
func (c *cell[M]) afterFailure(err error) {
	exited := true
	defer func() {
		if exited { // Stop or Start ended the goroutine
			c.sys.spawn(c.afterExit)
		}
	}()
	owned := c.failed(err)
	exited = false
	if owned {
		runActors(&c.core)
	}
}

// turn does one step of the actor's life: the signals of the system lane if
// there are any, else a batch of messages. It reports false when the runner has
// nothing more to do and no longer owns the actor, and the failure of a handler
// for run to deal with: the frames of a turn are gone by then.
func (c *cell[M]) turn(r **runner) (more bool, failure error) {
	c.mu.Lock()
	if c.flags&flagStopped != 0 {
		c.leave()
		return false, nil
	}
	c.finishBatch()
	c.alert.Store(0)
	c.unstash()
	if lane := c.takeSignals(); lane != nil {
		c.mu.Unlock()
		c.giveAway()
		return c.handleSignals(lane), nil
	}
	if c.flags&flagSuspended != 0 || c.waiting() == 0 {
		if c.flags&(flagClosed|flagSuspended) == flagClosed {
			c.mu.Unlock()
			return c.end(nil), nil // all is drained
		}
		if *r = c.runner.Load(); *r != nil {
			c.runner.Store(nil)
		}
		return c.rest(), nil
	}
	ring, head, n, weight := c.take()
	c.mu.Unlock()
	c.giveAway() // this actor goes on

	if weight == 0 {
		return true, c.drain(ring, head, n)
	}
	start := time.Now()
	failure = c.drain(ring, head, n)
	c.sample(time.Since(start), weight)
	return true, failure
}

// finishBatch gives back the slots that were handled; the lock is held.
func (c *cell[M]) finishBatch() {
	if c.pos == 0 {
		c.q.taken = 0 // a message that is to be repeated is the first of those that wait
		return
	}
	c.processed += uint64(c.pos)
	if c.q.taken > 0 {
		c.q.release(c.pos)
	} else {
		c.work.one[0] = slot[M]{}
	}
	c.pos = 0
	if c.flags&flagBlocked != 0 {
		c.admit()
	}
}

// sampleEvery is how many messages pass between two that are timed. Handlers
// that take long are timed each time.
const sampleEvery = 128

// sampleWeight is the number of messages that the one timed next stands for:
// itself and those since the last. The very first stands for itself alone.
func (c *cell[M]) sampleWeight() uint64 {
	weight := c.processed + sampleEvery + 1 - c.nextSample
	if c.nextSample == 0 {
		weight = 1
	}
	c.nextSample = c.processed + sampleEvery
	return weight
}

// take hands the next messages to the runner: the ring, the index of the first
// and their number. A weight above 0 asks for the time to be taken, and says for
// how many messages the sample stands; the lock is held.
func (c *cell[M]) take() (ring []slot[M], head, n uint32, weight uint64) {
	switch {
	case c.slow.Load():
		weight, c.nextSample = 1, c.processed+sampleEvery
	case c.processed >= c.nextSample:
		weight = c.sampleWeight()
	}
	if c.flags&flagSingle != 0 {
		tools := c.tools()
		if h := c.rare.heap; h != nil {
			tools.one[0] = h.pop()
		} else {
			tools.one[0] = c.q.pop()
		}
		return tools.one[:], 0, 1, weight
	}
	n = min(c.q.n, batchSize, max(1, c.limit/8)) // a small capacity is kept to more closely
	if weight > 0 || c.sys.opts.Schedule != nil {
		n = 1
	}
	c.q.taken = n
	return c.q.ring, c.q.head, n, weight
}

// rest gives up the actor; it is entered with the lock and leaves without it.
func (c *cell[M]) rest() bool {
	c.flags &^= flagActive
	if len(c.q.ring) > keptSlots {
		c.trimLater()
	}
	c.startIdleClock()
	c.mu.Unlock()
	return false
}

// drain hands the taken messages to the behaviour until one fails or a signal
// arrives. Afterwards c.pos says how many were handed over, a failing one
// included.
func (c *cell[M]) drain(ring []slot[M], head, n uint32) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	mask := uint32(len(ring) - 1) //nolint:gosec // a ring fits 32 bits
	plain := &c.tools().plain
	for i := uint32(0); i < n && err == nil; i++ {
		s := &ring[(head+i)&mask]
		c.pos = i + 1
		if s.env == nil {
			err = c.behavior.Receive(plain, s.m)
		} else {
			err = c.receive(s)
		}
		if c.alert.Load() != 0 {
			break
		}
	}
	return err
}

// receive hands over a message that has an envelope.
func (c *cell[M]) receive(s *slot[M]) error {
	env := s.env
	switch {
	case env.kind == envelopeTimer && !env.more.Load().timer.deliver():
		return nil
	case env.kind == envelopeAsk && env.expired():
		env.fail(ErrExpired)
		c.sys.deadLetter(&c.core, s.m, ErrExpired)
		return nil
	}
	ctx := &c.work.plain
	if m := env.more.Load(); m != nil && (m.ctx != nil || m.trace != nil) {
		ctx = c.ownContext(env, m)
		defer ctx.finish()
	}
	err := c.behavior.Receive(ctx, s.m)
	if err == nil && env.kind == envelopeAsk && env.state.Load() != askAnswered {
		c.keepUnsettled(env)
	}
	return err
}

// ownContext makes the context of a message that brings one of its own.
func (c *cell[M]) ownContext(env *envelope, m *envelopeMore) *Context[M] {
	ctx, ok := m.context.(*Context[M])
	if !ok || ctx.c != nil { // no room, or used before the message was stashed
		return &Context[M]{c: c, env: env}
	}
	ctx.c, ctx.env = c, env
	return ctx
}

// keepUnsettled remembers an ask that was handled but not answered, so that its
// asker learns of it if the actor ends or loses its state first.
func (c *cell[M]) keepUnsettled(env *envelope) {
	if env.settled() || c.stashed(env) {
		return
	}
	if m := env.more.Load(); m != nil && m.asker != nil {
		m.asker.waitsFor.CompareAndSwap(&c.core, nil) // the answer may come from elsewhere
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&flagStopped != 0 { // abandoned meanwhile
		env.fail(ErrAbandoned.WithTarget(c.path()))
		return
	}
	x := c.extra()
	if len(x.unsettled) == cap(x.unsettled) {
		kept := x.unsettled[:0]
		for _, e := range x.unsettled {
			if !e.settled() {
				kept = append(kept, e)
			}
		}
		clear(x.unsettled[len(kept):])
		x.unsettled = kept
	}
	x.unsettled = append(x.unsettled, env)
}

// stashed reports whether the message just handled was put aside.
func (c *cell[M]) stashed(env *envelope) bool {
	r := c.rareNow()
	return r != nil && len(r.stash) > 0 && r.stash[len(r.stash)-1].env == env
}

// takeStashed takes the message being handled back out of the stash, if it was
// put there; the lock is held.
func (c *cell[M]) takeStashed() {
	if r := c.rare; r != nil && len(r.stash) > 0 && r.stashedAt == c.ordinal() {
		r.stash[len(r.stash)-1] = slot[M]{}
		r.stash = r.stash[:len(r.stash)-1]
		r.stashedAt = 0
	}
}

// ordinal numbers the messages as they are handed over; the lock is held.
func (c *cell[M]) ordinal() uint64 { return c.processed + uint64(c.pos) }

// unstash puts the stash back if the handler asked for it; the lock is held.
func (c *cell[M]) unstash() {
	r := c.rare
	if r == nil || !r.unstash {
		return
	}
	if r.heap != nil {
		for _, s := range slices.Backward(r.stash) {
			r.heap.pushFront(s, c.priorityOf(s.m))
		}
	} else {
		c.q.pushFront(r.stash)
	}
	clear(r.stash)
	r.stash, r.unstash = r.stash[:0], false
}

// failed deals with the failure of the message last handed over. It reports
// whether the runner still owns the actor.
func (c *cell[M]) failed(err error) bool {
	if errors.Is(err, ErrStop) {
		c.settleFailed(nil)
		return c.handleSignal(signal{kind: signalEnd})
	}
	err = c.annotate(err)
	c.settleFailed(err)
	return c.fail(err)
}

// annotate lets the behaviour say more about its failure, and notes for the log
// where the message came from.
func (c *cell[M]) annotate(err error) error {
	if a, ok := c.behavior.(Annotator); ok {
		c.sys.guard("Annotate", func() {
			if said := a.Annotate(err); said != nil {
				err = said
			}
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra().origin = origin{}
	if c.pos == 0 || c.flags&flagStopped != 0 || c.current().env == nil {
		return err
	}
	if m := c.current().env.more.Load(); m != nil {
		c.x.origin = origin{asker: m.asker, trace: m.trace}
	}
	return err
}

// current is the message last handed over; the lock is held and c.pos above 0.
func (c *cell[M]) current() *slot[M] {
	if c.q.taken > 0 {
		return c.q.at(c.pos - 1)
	}
	return &c.work.one[0]
}

// settleFailed decides what becomes of the message that was being handled when
// its handler failed: the asker gets the error; a tell is repeated or set aside.
// A nil error is a normal end, which leaves nothing to settle but an ask.
func (c *cell[M]) settleFailed(err error) {
	c.mu.Lock()
	if c.pos == 0 || c.flags&flagStopped != 0 {
		c.mu.Unlock()
		return // no message was being handled, or its loss is settled already
	}
	s := c.current()
	m, env := s.m, s.env
	if err != nil {
		c.takeStashed() // its loss is settled here
	}
	switch {
	case env != nil && env.kind == envelopeAsk:
		c.mu.Unlock()
		if err == nil {
			c.keepUnsettled(env)
			return
		}
		env.fail(&fault.Error{Code: fault.Internal, Op: "actor.Ask", Target: c.path(), Message: "the handler failed", Cause: err})
	case err == nil:
		c.mu.Unlock()
	case c.repeat(s):
		c.mu.Unlock()
	default:
		c.mu.Unlock()
		c.sys.deadLetter(&c.core, m, err)
	}
}

// repeat puts a message that failed back at the head of the mailbox if it may be
// tried once more; the lock is held.
func (c *cell[M]) repeat(s *slot[M]) bool {
	if c.opts.attempts == 1 || s.env != nil && s.env.kind != envelopeTell {
		return false
	}
	env := s.env
	if env == nil {
		env = &envelope{}
	}
	env.tries++
	if env.tries >= c.opts.attempts {
		return false
	}
	s.env = env
	c.pos--
	switch {
	case c.q.taken > 0: // still in its place
	case c.rare.heap != nil:
		c.rare.heap.pushFront(*s, c.priorityOf(s.m))
	default:
		c.q.pushFront([]slot[M]{*s})
	}
	return true
}

// sample records how long a handler took.
func (c *cell[M]) sample(took time.Duration, weight uint64) {
	c.kind.observe(took, weight)
	c.mu.Lock()
	c.busy += took * time.Duration(weight) //nolint:gosec // a small factor
	c.longest = max(c.longest, took)
	c.mu.Unlock()
	if slow := took > slowHandler; slow != c.slow.Load() {
		c.slow.Store(slow)
	}
}

// leave ends the runner of an actor that was abandoned while its handler ran; it
// is entered with the lock. What the runner had taken can't be handled any more.
func (c *cell[M]) leave() {
	var left []undelivered
	for i := c.pos; i < c.q.n; i++ {
		s := c.q.at(i)
		left = append(left, undelivered{s.m, s.env})
	}
	c.q, c.pos = queue[M]{}, 0
	c.flags &^= flagActive
	c.mu.Unlock()
	c.settle(left, ErrStopped)
	if c.behavior != nil {
		if err := c.destruct(); err != nil {
			c.stopFailed(err)
		}
	}
	c.sys.runaways.Add(-1)
}
