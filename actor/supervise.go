package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// A failure goes this way: the runner of the failed actor asks the parent's
// policy for a verdict (judge) and carries it out itself. Only where siblings
// are concerned does another goroutine step in (restartGroup). The parent's own
// handler is never involved, so it may be busy or blocked.

// verdict is a supervisor's decision on one failure.
type verdict struct {
	directive Directive
	delay     time.Duration // before a restart
	group     bool          // siblings are concerned
	err       error         // of the supervisor itself, if it escalates
}

// judge decides on the failure of a child by the parent's policy.
// A child without a behaviour, whose Start failed, can't be resumed.
func (parent *core) judge(child *core, err error, started bool) verdict {
	policy := parent.supervision()
	d := decide(policy, child, err)
	if d == ResumeChild && !started {
		d = RestartChild
	}
	if d == RestartChild && child.opts.restart == Temporary {
		d = StopChild
	}
	v := verdict{directive: d, group: policy.Strategy != OneForOne}
	switch d {
	case RestartChild:
		recent, ok := parent.admitRestart(policy)
		if !ok {
			return verdict{
				directive: Escalate, group: v.group,
				err: &IntensityError{Supervisor: parent.address(), Child: child.address(), Restarts: recent, Cause: err},
			}
		}
		v.delay = policy.Backoff.delay(recent)
	case Escalate:
		v.err = err
	}
	return v
}

// decide calls the user's decider, which must not be able to harm the runtime.
func decide(policy *Supervision, child *core, err error) (d Directive) {
	if policy.Decide == nil {
		return RestartChild
	}
	defer func() {
		if value := recover(); value != nil {
			child.sys.log().Error("the supervisor's Decide panicked; the child is restarted", "actor", child.path(), "panic", value)
			d = RestartChild
		}
	}()
	return policy.Decide(child.address(), err)
}

func (parent *core) supervision() *Supervision {
	if parent.parent == nil {
		return &parent.sys.opts.Supervision
	}
	return &parent.opts.supervision
}

// admitRestart counts a restart and returns how many there were in the window
// before it, or false if it is one too many.
func (parent *core) admitRestart(policy *Supervision) (int, bool) {
	now := time.Now()
	f := parent.family()
	f.mu.Lock()
	defer f.mu.Unlock()
	old := 0
	for old < len(f.restarts) && now.Sub(f.restarts[old]) > policy.Window {
		old++
	}
	f.restarts = f.restarts[old:]
	recent := len(f.restarts)
	if recent >= policy.MaxRestarts {
		return recent + 1, false
	}
	f.restarts = append(f.restarts, now)
	return recent, true
}

// delay is the wait before a restart that follows n others within the window.
func (b Backoff) delay(n int) time.Duration {
	if n == 0 || b.Initial < 0 {
		return 0
	}
	return retry.Policy{Initial: b.Initial, Cap: b.Max, Jitter: max(b.Jitter, 0)}.Delay(n)
}

// fail carries out the verdict on a failure. It reports whether the runner
// still owns the actor.
func (c *cell[M]) fail(err error) bool {
	v, act := c.verdictOn(err)
	switch {
	case act == actNothing || v.directive == ResumeChild:
		return true
	case act == actEnd:
		return c.end(v.err)
	case v.directive == RestartChild && act == actDrain:
		return c.restart(0) // to drain the rest of the mailbox
	case v.directive == RestartChild && v.group:
		return c.restartWithGroup(v.delay)
	case v.directive == RestartChild:
		return c.restart(v.delay)
	case v.directive == Escalate:
		c.parent.escalate(&c.core, v)
		return c.end(v.err)
	}
	return c.end(err)
}

// action is what the state of an actor makes of the verdict on its failure.
type action uint8

const (
	actVerdict action = iota // carry it out
	actDrain                 // a restart is for the rest of the mailbox only
	actEnd                   // end for the reason in the verdict
	actNothing               // what has to follow is under way
)

// verdictOn gets the supervisor's verdict on a failure and makes it known. It is
// apart from fail so that its frame is gone when the verdict is carried out.
func (c *cell[M]) verdictOn(err error) (verdict, action) {
	c.mu.Lock()
	c.finishBatch()
	state := c.flags
	halting := c.x != nil && c.x.interrupted
	c.mu.Unlock()
	switch {
	case state&flagStopped != 0:
		return verdict{}, actNothing // turn ends the runner
	case state&flagKilled != 0:
		c.recordInterrupted(err, StopChild)
		return verdict{err: ErrKilled}, actEnd
	case halting:
		c.recordInterrupted(err, RestartChild)
		if c.behavior == nil && state&flagStopping != 0 {
			return verdict{}, actEnd // it was to start once more only to drain its mailbox
		}
		return verdict{}, actNothing // the signal to halt or to stop is on its way
	}
	v := c.parent.judge(&c.core, err, c.behavior != nil)
	c.recordFailure(err, v.directive)
	if state&flagStopping != 0 {
		return v, actDrain
	}
	return v, actVerdict
}

// restartWithGroup leaves the restart to the goroutine that restarts the group.
func (c *cell[M]) restartWithGroup(delay time.Duration) bool {
	c.retire()
	c.suspend(flagFailed)
	c.sys.spawn(func() { c.parent.restartGroup(&c.core, delay) })
	return true
}

// recordInterrupted is recordFailure for an actor that had to give up what it
// did: that its handler returned with the end of its context is no failure.
func (c *core) recordInterrupted(err error, d Directive) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrStop) {
		c.recordFailure(err, d)
	}
}

// escalate makes a child's failure the supervisor's own. At the top of the tree
// there is nobody left to decide: the group is stopped and the rest goes on.
func (parent *core) escalate(child *core, v verdict) {
	if parent.parent != nil {
		if !parent.has(flagStopping) {
			parent.post(signal{kind: signalFail, err: v.err})
		}
		return
	}
	attrs := append([]slog.Attr{slog.String("actor", child.path())}, fault.Attrs(child.record(v.err, origin{}))...)
	parent.sys.log().LogAttrs(noContext, slog.LevelError, "a top-level actor failed for good and is stopped", attrs...)
	if !v.group {
		return
	}
	for _, sibling := range parent.group(child) {
		if sibling != child {
			sibling.post(signal{kind: signalEnd, err: v.err})
		}
	}
}

// recordFailure tells everybody who wants to know.
func (c *core) recordFailure(err error, d Directive) {
	c.mu.Lock()
	x := c.extra()
	x.failures++
	x.lastErr, x.lastErrAt = err, time.Now()
	from := x.origin
	x.origin = origin{}
	c.mu.Unlock()
	c.kind.failures.Add(1)
	c.sys.failures.Add(1)
	c.sys.hook(func(h *Hooks) {
		if h.Failed != nil {
			h.Failed(c.address(), err, d)
		}
	})
	publish(c.sys, func() Failure { return Failure{Actor: c.address(), Err: err, Directive: d} })
	c.logFailure(err, d, from)
}

func (c *core) logFailure(err error, d Directive, from origin) {
	if c.sys.log().Enabled(noContext, slog.LevelWarn) {
		c.writeFailure(err, d, from)
	}
}

//go:noinline // its frame would make the stack of a young goroutine grow
func (c *core) writeFailure(err error, d Directive, from origin) {
	attrs := append([]slog.Attr{
		slog.String("actor", c.path()), slog.String("actor_type", c.kind.name), slog.String("directive", d.String()),
	}, fault.Attrs(c.record(err, from))...)
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", p.Stack()))
	}
	c.sys.log().LogAttrs(noContext, slog.LevelWarn, "actor failed", attrs...)
}

// origin is where the message came from whose handler failed.
type origin struct {
	asker *core
	trace *Trace
}

// failureRecord is a failure as it is logged: the error's own text, and what is
// known besides.
type failureRecord struct {
	cause error
	about fault.Error
}

func (r *failureRecord) Error() string { return r.cause.Error() }

// Unwrap gives what is known first, and then the failure itself.
func (r *failureRecord) Unwrap() []error { return []error{&r.about, r.cause} }

// FaultCode is that of the failure.
func (r *failureRecord) FaultCode() fault.Code { return fault.CodeOf(r.cause) }

// record completes a failure by what the runtime knows of it.
func (c *core) record(err error, from origin) error {
	r := &failureRecord{cause: err}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		r.about = *f
	}
	r.about.Target = cmp.Or(r.about.Target, c.path())
	if from.asker != nil {
		r.about.CallerID = cmp.Or(r.about.CallerID, from.asker.path())
	}
	if r.about.TraceID == "" && from.trace != nil {
		r.about.TraceID, r.about.SpanID = from.trace.TraceID(), from.trace.SpanID()
	}
	return r
}

// restart replaces the behaviour, after a delay if need be. It reports whether
// the runner still owns the actor.
func (c *cell[M]) restart(delay time.Duration) bool {
	c.retire()
	c.suspend(flagFailed)
	if delay > 0 {
		c.mu.Lock()
		c.extra().restartDelay = delay
		c.mu.Unlock()
	}
	c.interruptKids()
	if c.stopKids(afterKidsRestart) {
		c.releaseKin()
		return true
	}
	return c.restartLater()
}

// restartLater goes on with a restart once the children are gone.
func (c *cell[M]) restartLater() bool {
	c.mu.Lock()
	delay := c.extra().restartDelay
	if c.x.draining {
		delay = 0
	}
	c.x.restartDelay = 0
	c.mu.Unlock()
	if delay == 0 {
		return c.rebuild()
	}
	c.sys.after(delay, func() { c.post(signal{kind: signalRestart}) })
	return true
}

// rebuild makes the new behaviour.
func (c *cell[M]) rebuild() bool {
	if c.has(flagStopped) {
		return true // abandoned meanwhile; turn ends the runner
	}
	c.closeFamily(false)
	if err := c.construct(); err != nil {
		c.setBehavior(nil) // what did not start has nothing to stop
		if errors.Is(err, ErrStop) {
			return c.end(nil)
		}
		// Signals that came meanwhile, a stop for example, have their turn first.
		c.post(signal{kind: signalStartFailed, err: err})
		return true
	}
	c.mu.Lock()
	if c.flags&flagStopped != 0 { // abandoned meanwhile
		c.mu.Unlock()
		return true
	}
	c.flags &^= flagSuspended | flagFailed
	if c.x.draining {
		c.flags |= flagClosed
	}
	c.restarts++
	n := int(c.restarts)
	cause := c.extra().lastErr
	c.mu.Unlock()
	c.kind.restarts.Add(1)
	c.sys.restarts.Add(1)
	c.sys.hook(func(h *Hooks) {
		if h.Restarted != nil {
			h.Restarted(c.address(), n, cause)
		}
	})
	publish(c.sys, func() Restarted { return Restarted{Actor: c.address(), Restarts: n, Cause: cause} })
	return true
}

// suspend keeps messages waiting.
func (c *core) suspend(why flags) {
	c.mu.Lock()
	c.flags |= flagSuspended | why
	c.mu.Unlock()
}

// retire ends the present behaviour: what belongs to it must not outlive it.
func (c *cell[M]) retire() {
	if c.behavior == nil {
		return
	}
	if err := c.destruct(); err != nil {
		c.stopFailed(err)
	}
	c.mu.Lock()
	c.finishBatch()
	if r := c.rare; r != nil {
		r.behaviors = nil
		r.unstash = len(r.stash) > 0
		c.unstash()
	}
	asks := c.takeUnsettled()
	timers := c.takeTimers()
	c.mu.Unlock()
	for t := range timers {
		t.cancel()
	}
	for _, env := range asks {
		env.fail(ErrRestarted.WithTarget(c.path()))
	}
}

// stopFailed reports an error of a behaviour's Stop, from which nothing follows.
func (c *core) stopFailed(err error) {
	c.sys.hook(func(h *Hooks) {
		if h.Failed != nil {
			h.Failed(c.address(), err, ResumeChild)
		}
	})
	c.mu.Lock()
	x := c.extra()
	x.lastErr, x.lastErrAt = err, time.Now()
	x.failures++
	c.mu.Unlock()
	c.kind.failures.Add(1)
	c.sys.failures.Add(1)
	publish(c.sys, func() Failure { return Failure{Actor: c.address(), Err: err, Directive: ResumeChild} })
	c.logFailure(err, ResumeChild, origin{})
}

// group lists the children that a failure of child concerns, in start order.
func (parent *core) group(child *core) []*core {
	all := parent.children()
	if parent.supervision().Strategy == RestForOne {
		for i, k := range all {
			if k == child {
				return all[i:]
			}
		}
	}
	return all
}

// restartGroup halts the failed child's group, youngest first, and starts it
// again, oldest first.
func (parent *core) restartGroup(failed *core, delay time.Duration) {
	// A mutex would do, but waiting for one is not seen by testing/synctest.
	turn := parent.family().groupTurn()
	turn <- struct{}{}
	defer func() { <-turn }()
	if !failed.awaitsRestart() {
		return // an earlier failure in the group has restarted it already
	}
	members := parent.group(failed)
	for i := len(members) - 1; i >= 0; i-- {
		m := members[i]
		if m.opts.restart == Temporary && m != failed {
			m.interrupt()
			m.requestStop(m.stopTimeout())
			<-m.doneChan()
			continue
		}
		m.interrupt()
		m.call(signalHalt)
	}
	if delay > 0 && !parent.pause(delay) {
		return
	}
	for _, m := range members {
		m.call(signalRestart)
	}
}

// pause waits for d and reports whether the actor, or for the root the system,
// still lives.
func (c *core) pause(d time.Duration) bool {
	over := make(chan struct{})
	timer := c.sys.after(d, func() { close(over) })
	defer timer.Stop()
	var ended <-chan struct{} = c.sys.done
	if c.parent != nil {
		ended = c.doneChan()
	}
	select {
	case <-over:
		return true
	case <-ended:
		return false
	}
}

// interrupt ends the contexts of the handlers of the actor and of all below it,
// which a failure elsewhere takes along, so that what they wait for, an answer of
// the one that failed for example, does not hold them up.
func (c *core) interrupt() {
	c.mu.Lock()
	if c.flags&flagStopped == 0 {
		x := c.extra()
		x.interrupted = true
		if x.cancel != nil {
			x.cancel()
		}
	}
	c.mu.Unlock()
	c.interruptKids()
}

// uninterrupt takes interrupt back for a member of a group, which lives on with a
// new behaviour. Those below it do not.
func (c *core) uninterrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	x.interrupted, x.life, x.cancel = false, nil, nil
}

func (c *core) interruptKids() {
	for _, k := range c.children() {
		k.interrupt()
	}
}

// has reports whether one of the flags is set.
func (c *core) has(f flags) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&f != 0
}

// awaitsRestart reports whether the actor is suspended by a failure.
func (c *core) awaitsRestart() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&(flagFailed|flagStopped) == flagFailed
}

// call posts a signal and waits until it is carried out or the actor has ended.
// A handler that does not return within the actor's StopTimeout is abandoned.
func (c *core) call(kind signalKind) {
	done := make(chan struct{}, 1)
	if !c.post(signal{kind: kind, reply: done}) {
		return
	}
	timer := time.AfterFunc(c.stopTimeout(), func() { c.abandon() })
	defer timer.Stop()
	select {
	case <-done:
	case <-c.doneChan():
	}
}

// String is the directive's name.
func (d Directive) String() string {
	switch d {
	case RestartChild:
		return "restart"
	case ResumeChild:
		return "resume"
	case StopChild:
		return "stop"
	case Escalate:
		return "escalate"
	}
	return "unknown"
}
