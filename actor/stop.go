package actor

import (
	"context"
	"errors"
	"time"
)

// An actor ends in this order: its children end, youngest first; it closes its
// mailbox and, unless it was killed or has ended itself, handles what is left in
// it; its behaviour is stopped; it leaves the tree and whoever watches it is
// told. Nothing in here waits: each step is a signal to the runner, sent by the
// end of the step before.

// afterKids is what follows when the last child has ended.
type afterKids uint8

const (
	afterKidsNothing afterKids = iota
	afterKidsDrain             // the only one that lets messages be handled meanwhile
	afterKidsEnd
	afterKidsRestart
	afterKidsHalted
)

// handleSignals carries out the system lane. It reports whether the runner still
// owns the actor.
func (c *cell[M]) handleSignals(lane []signal) bool {
	for i, s := range lane {
		owned := c.handleSignal(s)
		if !owned {
			for _, rest := range lane[i+1:] {
				if rest.reply != nil {
					rest.reply <- struct{}{}
				}
			}
			return false
		}
	}
	return true
}

func (c *cell[M]) handleSignal(s signal) bool {
	switch s.kind {
	case signalStop:
		return c.beginStop()
	case signalKill:
		return c.end(ErrKilled)
	case signalPassivate:
		if c.stillIdle() {
			return c.end(ErrPassivated)
		}
	case signalEnd:
		if s.err == nil && c.opts.restart == Permanent && !c.has(flagStopping) {
			return c.fail(ErrStop)
		}
		return c.end(s.err)
	case signalKidsGone:
		return c.kidsGone()
	case signalFail:
		if c.behavior != nil { // else a restart is under way already
			return c.fail(s.err)
		}
	case signalStartFailed:
		if c.has(flagFailed) {
			return c.fail(s.err)
		}
	case signalHalt:
		c.retire()
		c.suspend(flagFailed)
		c.mu.Lock()
		c.extra().halted = s.reply
		c.mu.Unlock()
		if c.stopKids(afterKidsHalted) {
			c.releaseKin()
		} else {
			c.tellHalted()
		}
	case signalRestart:
		owned := true
		if c.awaitsRestart() {
			if s.reply != nil {
				c.uninterrupt()
			}
			owned = c.rebuild()
		}
		if s.reply != nil {
			s.reply <- struct{}{}
		}
		return owned
	}
	return true
}

func (c *core) tellHalted() {
	c.mu.Lock()
	reply := c.extra().halted
	c.x.halted = nil
	c.mu.Unlock()
	if reply != nil {
		reply <- struct{}{}
	}
}

// beginStop starts a graceful end.
func (c *cell[M]) beginStop() bool {
	if c.has(flagClosed) {
		return true
	}
	c.mu.Lock()
	c.extra().draining = true
	restarting := c.x.afterKids == afterKidsRestart
	c.mu.Unlock()
	if restarting {
		return true // the children end already, and the new behaviour will drain the mailbox
	}
	if c.stopKids(afterKidsDrain) {
		return true // messages are handled meanwhile: children may need it
	}
	return c.drainRest()
}

// drainRest closes the mailbox. The runner ends the actor when it is empty.
func (c *cell[M]) drainRest() bool {
	c.mu.Lock()
	c.flags |= flagClosed
	cut := c.flags&flagSuspended != 0 // no behaviour that could handle the rest
	c.mu.Unlock()
	if cut {
		c.terminate()
		return false
	}
	return true
}

// end ends the actor without draining its mailbox. It reports whether the
// runner still owns the actor, which is the case while children are left.
func (c *cell[M]) end(reason error) bool {
	c.mu.Lock()
	c.finishBatch()
	c.flags |= flagClosed | flagSuspended | flagStopping
	x := c.extra()
	if x.reason == nil {
		x.reason = reason
	}
	c.mu.Unlock()
	if reason != nil && !errors.Is(reason, ErrPassivated) {
		c.interruptKids()
	}
	if c.stopKids(afterKidsEnd) {
		c.settleEarly()
		return true
	}
	c.terminate()
	return false
}

// settleEarly settles what will not be handled before the children have ended,
// as they may be waiting for it.
func (c *cell[M]) settleEarly() {
	c.mu.Lock()
	why := c.x.reason
	left, asks := c.clear(), c.takeUnsettled()
	c.mu.Unlock()
	if why == nil {
		why = ErrStopped
	}
	c.settle(left, why)
	for _, env := range asks {
		env.fail(refusedWith(why, c.path()))
	}
}

// stopKids stops the children, youngest first, one after the other. It reports
// false if there are none.
func (c *core) stopKids(then afterKids) bool {
	if c.kids.Load() == nil && then != afterKidsDrain && then != afterKidsEnd {
		return false
	}
	c.mu.Lock()
	c.extra().afterKids = then
	c.mu.Unlock()
	c.closeFamily(true)
	if k := c.endIdleKids(); k != nil {
		k.requestStop(k.stopBound(then))
		return true
	}
	c.mu.Lock()
	c.x.afterKids = afterKidsNothing
	c.mu.Unlock()
	return false
}

// stopBound is the time a child has to stop. Where the parent's own stop is
// bounded the child needs no bound but its own.
func (c *core) stopBound(then afterKids) time.Duration {
	if then == afterKidsDrain {
		return c.opts.stopTimeout
	}
	return c.stopTimeout()
}

// kidEnded goes on with the stopping of children.
func (parent *core) kidEnded(last bool) {
	if parent.parent == nil {
		parent.sys.kidEnded(last)
		return
	}
	then := afterKidsNothing
	parent.mu.Lock()
	if parent.x != nil {
		then = parent.x.afterKids
	}
	parent.mu.Unlock()
	if then == afterKidsNothing {
		return
	}
	if !last {
		if k := parent.endIdleKids(); k != nil {
			k.requestStop(k.stopBound(then))
			return
		}
	}
	parent.post(signal{kind: signalKidsGone})
}

// endIdleKids ends the youngest children on the calling goroutine, as long as
// they have nothing to do and nothing to say. It returns the first that has.
func (c *core) endIdleKids() *core {
	for {
		k := c.youngest()
		if k == nil || !k.self.endIdle() {
			return k
		}
	}
}

// endIdle ends the actor if that is a matter of book-keeping alone: no message
// waits, there are no children, and the behaviour has no Stop. To start a
// goroutine for each such actor would cost several times as much.
func (c *cell[M]) endIdle() bool {
	if c.sys.opts.Schedule != nil || c.kids.Load() != nil {
		return false
	}
	c.mu.Lock()
	_, stops := c.behavior.(Stopper[M])
	if stops || c.flags&^(flagSingle|flagTrimming|flagIsolated) != 0 || c.q.n > 0 || c.waiting() > 0 {
		c.mu.Unlock()
		return false
	}
	c.flags |= flagStopping
	c.bury()
	return true
}

// kidsGone goes on where the children were in the way.
func (c *cell[M]) kidsGone() bool {
	if c.youngest() != nil {
		return true
	}
	c.mu.Lock()
	then := c.extra().afterKids
	c.x.afterKids = afterKidsNothing
	c.mu.Unlock()
	switch then {
	case afterKidsDrain:
		return c.drainRest()
	case afterKidsEnd:
		c.terminate()
		return false
	case afterKidsRestart:
		return c.restartLater()
	case afterKidsHalted:
		c.tellHalted()
	}
	return true
}

// terminate ends the actor; its runner calls it and owns it no longer.
func (c *cell[M]) terminate() {
	c.mu.Lock()
	stopped := c.flags&flagStopped != 0
	c.mu.Unlock()
	if stopped {
		c.mu.Lock()
		c.leave()
		return
	}
	if c.behavior != nil {
		if err := c.destruct(); err != nil {
			c.stopFailed(err)
		}
	}
	c.giveAway()
	c.mu.Lock()
	if c.flags&flagStopped != 0 { // abandoned during Stop
		c.leave()
		return
	}
	c.finishBatch()
	c.flags &^= flagActive
	c.parent.kidEnded(c.bury())
}

// bury takes an ended actor out of the tree and reports whether it was its
// parent's last child; it is entered with the lock and leaves without it.
func (c *core) bury() (last bool) {
	c.flags |= flagStopped | flagClosed
	x := c.x
	if x == nil {
		x = &extra{} // nobody watches, waits or remembers; most actors end so
	}
	reason := x.reason
	left := c.self.clear()
	asks, timers := c.takeUnsettled(), c.takeTimers()
	watchers, watching, links := x.watchers, x.watching, x.links
	x.watchers, x.watching, x.links = nil, nil, nil
	if x.cancel != nil {
		x.cancel()
	}
	for _, t := range []*time.Timer{x.stopTimer, x.idleTimer} {
		if t != nil {
			t.Stop()
		}
	}
	if c.kind != nil { // nil if New never returned
		c.kind.ended.Add(c.processed) // with the flag, so that Stats counts it once
	}
	c.mu.Unlock()

	for t := range timers {
		t.cancel()
	}
	why := reason
	if why == nil {
		why = ErrStopped
	}
	c.settle(left, why)
	for _, env := range asks {
		env.fail(refusedWith(why, c.path()))
	}
	c.sys.actors.Add(-1)
	last = c.parent.disown(c)
	for _, cancel := range watching {
		if cancel != nil {
			cancel()
		}
	}
	for _, w := range watchers {
		w.notify(Down{Actor: c.address(), Reason: reason})
	}
	c.breakLinks(links, reason)
	if !x.unborn {
		c.sys.hook(func(h *Hooks) {
			if h.Stopped != nil {
				h.Stopped(c.address(), reason)
			}
		})
		publish(c.sys, func() Stopped { return Stopped{Actor: c.address(), Reason: reason} })
	}
	c.mu.Lock()
	c.flags |= flagBuried
	if c.x != nil && c.x.done != nil {
		close(c.x.done)
	}
	c.mu.Unlock()
	return last
}

// settle accounts for messages that will not be handled.
func (c *core) settle(left []undelivered, why error) {
	for _, u := range left {
		switch {
		case u.env == nil || u.env.kind == envelopeTell:
			c.sys.deadLetter(c, u.message, why)
		case u.env.kind == envelopeAsk:
			u.env.fail(refusedWith(why, c.path()))
		}
	}
}

// takeUnsettled takes the asks that were handled but not answered; the lock is held.
func (c *core) takeUnsettled() []*envelope {
	if c.x == nil {
		return nil
	}
	asks := c.x.unsettled
	c.x.unsettled = nil
	return asks
}

// stopTimeout is the bound of a stop of this actor.
func (c *core) stopTimeout() time.Duration {
	if c.opts.stopTimeout > 0 {
		return c.opts.stopTimeout
	}
	return DefaultStopTimeout
}

// requestStop asks for a graceful end. With a timeout above 0 the actor is
// killed after 90 % and abandoned after all of it.
func (c *core) requestStop(timeout time.Duration) {
	c.mu.Lock()
	if c.flags&(flagStopping|flagStopped) != 0 {
		c.mu.Unlock()
		return
	}
	c.flags |= flagStopping
	if timeout > 0 {
		hard := timeout / 10
		c.extra().stopTimer = time.AfterFunc(timeout-hard, func() { c.cutShort(hard) })
	}
	c.mu.Unlock()
	c.post(signal{kind: signalStop})
}

// cutShort kills the actor and abandons it if that does not help either.
func (c *core) cutShort(wait time.Duration) {
	c.kill()
	c.mu.Lock()
	if c.flags&flagStopped == 0 {
		c.extra().stopTimer = time.AfterFunc(wait, c.abandon)
	}
	c.mu.Unlock()
}

// kill ends the actor and all below it as soon as their handlers return.
func (c *core) kill() {
	c.mu.Lock()
	if c.flags&flagStopped != 0 {
		c.mu.Unlock()
		return
	}
	c.flags |= flagKilled | flagStopping
	if x := c.extra(); x.cancel != nil {
		x.cancel()
	}
	c.mu.Unlock()
	c.closeFamily(true)
	for _, k := range c.children() {
		k.kill()
	}
	c.post(signal{kind: signalKill})
}

// abandon declares the actor and all below it ended although a handler may
// still be running, as Go can't end it. The handler's goroutine is counted until
// it returns.
func (c *core) abandon() {
	kids := c.children()
	for i := len(kids) - 1; i >= 0; i-- {
		kids[i].abandon()
	}
	c.mu.Lock()
	if c.flags&flagStopped != 0 || c.flags&flagActive == 0 && len(kids) > 0 {
		c.mu.Unlock() // ended, or about to now that the children are gone
		return
	}
	x := c.extra()
	x.reason = ErrAbandoned.WithTarget(c.path())
	if x.cancel != nil {
		x.cancel()
	}
	c.alert.Store(1)
	if c.flags&flagActive != 0 {
		c.sys.runaways.Add(1)
		c.sys.abandoned.Add(1)
	}
	c.parent.kidEnded(c.bury())
}

// stopAndWait is Ref.Stop.
func (c *core) stopAndWait(ctx context.Context) error {
	c.requestStop(c.stopTimeout())
	if caller := callerOf(ctx); caller != nil {
		if c.isAncestorOf(caller) {
			return nil // the caller is in the way of the end it would wait for
		}
		if !caller.waitFor(c) {
			return ErrDeadlock.WithTarget(c.path())
		}
		defer caller.waitsFor.Store(nil)
		caller.giveAway()
	}
	select {
	case <-c.doneChan():
	case <-ctx.Done():
		select {
		case <-c.doneChan(): // it had ended already
		default:
			return ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.x.reason, ErrAbandoned) {
		return c.x.reason
	}
	return nil
}
