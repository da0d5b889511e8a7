package actor

import "time"

// startIdleClock notes that the actor has nothing to do, if it is to be
// passivated some time; the lock is held.
func (c *core) startIdleClock() {
	d := c.opts.idleTimeout
	if d <= 0 || c.flags&(flagStopping|flagClosed) != 0 {
		return
	}
	x := c.extra()
	x.idleSince = time.Now()
	if x.idleTimer == nil {
		x.idleTimer = time.AfterFunc(d, c.checkIdle)
	}
}

// checkIdle passivates the actor or looks again when that could be due. One
// timer serves all idle spells, so a busy actor pays no timer per message.
func (c *core) checkIdle() {
	c.mu.Lock()
	x := c.extra()
	left := c.opts.idleTimeout - time.Since(x.idleSince)
	busy := c.flags&flagActive != 0
	if busy {
		left = c.opts.idleTimeout
	}
	if left > 0 {
		x.idleTimer.Reset(left)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.post(signal{kind: signalPassivate})
}

// stillIdle closes the mailbox of an actor that got no message since passivation
// was decided; a message that comes later is refused. It reports false if one came.
func (c *cell[M]) stillIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting() > 0 || time.Since(c.x.idleSince) < c.opts.idleTimeout {
		c.x.idleTimer.Reset(c.opts.idleTimeout)
		return false
	}
	c.flags |= flagClosed | flagSuspended
	return true
}
