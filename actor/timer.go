package actor

import (
	"sync/atomic"
	"time"
)

// Timer is a message to come. The zero value is a timer that never fires.
type Timer struct{ s *timerState }

// timerState is guarded by its atomics; its time.Timer is set before it is shared.
type timerState struct {
	owner     *core
	period    time.Duration // 0: once
	cancelled atomic.Bool
	queued    atomic.Bool // a message of this timer is in the mailbox
	clock     *time.Timer
}

// After sends m to the actor itself once d has passed. A restart or the end of
// the actor cancels the timer.
func (x *Context[M]) After(d time.Duration, m M) Timer { return x.timer(d, 0, m) }

// Every sends m to the actor itself each time d has passed. Like a
// [time.Ticker] it skips ticks for an actor that does not keep up: there is
// never more than one in the mailbox. d must be above 0; it is raised to 1 ms.
func (x *Context[M]) Every(d time.Duration, m M) Timer {
	d = max(d, time.Millisecond)
	return x.timer(d, d, m)
}

func (x *Context[M]) timer(d, period time.Duration, m M) Timer {
	c := x.c
	t := &timerState{owner: &c.core, period: period}
	env := &envelope{kind: envelopeTimer}
	more := env.details()
	more.timer, more.trace = t, x.trace()
	next := time.Now().Add(d)
	fire := func(clock *time.Timer) {
		if t.cancelled.Load() {
			return
		}
		if t.queued.CompareAndSwap(false, true) && !c.force(m, env) {
			return
		}
		if period > 0 {
			now := time.Now()
			for !next.After(now) {
				next = next.Add(period)
			}
			clock.Reset(next.Sub(now))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.extra()
	if e.timers == nil {
		e.timers = make(map[*timerState]struct{})
	}
	e.timers[t] = struct{}{}
	t.clock = time.AfterFunc(d, func() {
		c.mu.Lock()
		clock := t.clock // which is set by now
		c.mu.Unlock()
		c.sys.dispatch(func() { fire(clock) })
	})
	return Timer{t}
}

// Cancel stops the timer. Called from the actor's own handler it is final: the
// message is not delivered, even if it is in the mailbox already. It reports
// whether the timer was still due.
func (t Timer) Cancel() bool {
	if t.s == nil {
		return false
	}
	due := t.s.cancel()
	t.s.forget()
	return due
}

func (t *timerState) cancel() bool {
	due := !t.cancelled.Swap(true)
	t.clock.Stop()
	return due
}

func (t *timerState) forget() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	if t.owner.x != nil {
		delete(t.owner.x.timers, t)
	}
}

// deliver reports whether the timer's message, now at its turn, still counts.
func (t *timerState) deliver() bool {
	t.queued.Store(false)
	if t.cancelled.Load() {
		return false
	}
	if t.period == 0 {
		t.cancelled.Store(true) // it has fired
		t.forget()
	}
	return true
}

// takeTimers takes the actor's timers; the lock is held.
func (c *core) takeTimers() map[*timerState]struct{} {
	if c.x == nil {
		return nil
	}
	timers := c.x.timers
	c.x.timers = nil
	return timers
}
