package actor

import (
	"context"
	"math"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

const (
	unlimited   = math.MaxUint32
	maxCapacity = 1 << 24 // keeps counters and ring sizes in 32 bits

	firstSlots  = 4  // of a mailbox that gets its first message
	keptSlots   = 64 // an idle mailbox with more gives its memory back after a while
	batchSize   = 64 // messages that a runner takes at once
	slowHandler = 20_000
)

// slot is a waiting message. The mailbox holds messages themselves, not
// pointers to them: one contiguous ring per actor, no allocation per message.
type slot[M any] struct {
	m   M
	env *envelope // nil for a plain tell
}

// queue is a growing ring of slots, guarded by the cell's mutex. The first
// taken of them belong to the runner, which reads them in place without the
// lock; they are cleared and counted when it comes back for more. A ring left
// behind by growth stays valid for the runner that still reads it: rings belong
// to the garbage collector and are never pooled.
type queue[M any] struct {
	ring  []slot[M] // its length is a power of two
	head  uint32
	n     uint32 // waiting, the taken ones included
	taken uint32
}

func (q *queue[M]) at(i uint32) *slot[M] { return &q.ring[(q.head+i)&uint32(len(q.ring)-1)] } //nolint:gosec // a ring fits 32 bits

func (q *queue[M]) push(m M, env *envelope) {
	if int(q.n) == len(q.ring) {
		q.grow()
	}
	s := q.at(q.n)
	s.m, s.env = m, env
	q.n++
}

// pushFront puts messages ahead of those that wait; none may be taken.
func (q *queue[M]) pushFront(slots []slot[M]) {
	for i := len(slots) - 1; i >= 0; i-- {
		if int(q.n) == len(q.ring) {
			q.grow()
		}
		q.head--
		*q.at(0) = slots[i]
		q.n++
	}
}

func (q *queue[M]) grow() {
	ring := make([]slot[M], max(firstSlots, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// release clears the first n slots.
func (q *queue[M]) release(n uint32) {
	first := q.head & uint32(len(q.ring)-1) //nolint:gosec // a ring fits 32 bits
	if end := int(first + n); end <= len(q.ring) {
		clear(q.ring[first:end])
	} else {
		clear(q.ring[first:])
		clear(q.ring[:end-len(q.ring)])
	}
	q.head += n
	q.n -= n
	q.taken = 0
}

// pop removes the oldest message; none may be taken.
func (q *queue[M]) pop() slot[M] {
	s := *q.at(0)
	q.release(1)
	return s
}

// blocked is a sender that waits for room. Its message is moved into the ring
// for it, so that blocked senders are served in the order they came.
type blocked[M any] struct {
	slot   slot[M]
	result chan error // buffered
}

// accept queues a message by the actor's policy. wait says whether the caller
// can wait at all.
func (c *cell[M]) accept(ctx context.Context, m M, env *envelope, wait bool) error {
	c.mu.Lock()
	if c.flags&specialMask != 0 || c.q.n-c.q.taken >= c.limit {
		return c.acceptSlowly(ctx, m, env, wait)
	}
	c.q.push(m, env)
	if c.flags&(flagActive|flagSuspended) != 0 {
		c.mu.Unlock()
		return nil
	}
	c.flags |= flagActive
	c.mu.Unlock()
	c.activate(ctx)
	return nil
}

// acceptSlowly is accept where something is special; it is entered with the lock.
func (c *cell[M]) acceptSlowly(ctx context.Context, m M, env *envelope, wait bool) error {
	if err := c.refusal(); err != nil {
		c.mu.Unlock()
		return err.WithTarget(c.path())
	}
	if c.rare != nil && c.rare.heap != nil {
		return c.acceptByPriority(ctx, m, env, wait)
	}
	if c.waiting() < c.limit && c.flags&flagBlocked == 0 {
		c.q.push(m, env)
		c.unlockAndStart()
		return nil
	}
	switch {
	case c.opts.overflow == DropOldest:
		oldest := c.q.pop()
		c.q.push(m, env)
		c.unlockAndStart()
		c.undelivered(oldest.m, oldest.env, ErrDropped)
		return nil
	case c.opts.overflow == Refuse || !wait:
		c.mu.Unlock()
		return ErrMailboxFull
	}
	return c.block(ctx, m, env)
}

// refusal says why the actor takes no messages at all, if so; the lock is held.
func (c *cell[M]) refusal() *fault.Error {
	switch {
	case c.flags&(flagClosed|flagStopped) != 0:
		return ErrStopped
	case c.flags&flagIsolated != 0:
		return ErrIsolated
	}
	return nil
}

// block waits for room; it is entered with the lock.
func (c *cell[M]) block(ctx context.Context, m M, env *envelope) error {
	w := &blocked[M]{slot: slot[M]{m, env}, result: make(chan error, 1)}
	r := c.rareState()
	r.blocked = append(r.blocked, w)
	c.flags |= flagBlocked
	c.unlockAndStart()

	if caller := callerOf(ctx); caller != nil {
		before := caller.waitsFor.Load() // an ask has set it already
		defer caller.waitsFor.Store(before)
		caller.giveAway()
		if !caller.waitFor(&c.core) {
			if c.unblock(w) {
				return ErrDeadlock.WithTarget(c.path())
			}
			return <-w.result
		}
	}
	select {
	case err := <-w.result:
		return err
	case <-ctx.Done():
		if c.unblock(w) {
			return &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "actor.Tell", Target: c.path(), Message: "the mailbox stayed full", Cause: ctx.Err()}
		}
		return <-w.result
	}
}

// unblock takes a sender back out of the line and reports whether it was there.
func (c *cell[M]) unblock(w *blocked[M]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.rare.blocked {
		if other == w {
			c.rare.blocked = append(c.rare.blocked[:i], c.rare.blocked[i+1:]...)
			if len(c.rare.blocked) == 0 {
				c.flags &^= flagBlocked
			}
			return true
		}
	}
	return false
}

// admit lets blocked senders in once the mailbox is down to half; the lock is
// held. The gap between full and half saves a wake-up per message.
func (c *cell[M]) admit() {
	r := c.rare
	if c.waiting() > c.limit/2 {
		return
	}
	i := 0
	for ; i < len(r.blocked) && c.waiting() < c.limit; i++ {
		w := r.blocked[i]
		r.blocked[i] = nil
		c.enqueue(w.slot.m, w.slot.env)
		w.result <- nil
	}
	r.blocked = r.blocked[i:]
	if len(r.blocked) == 0 {
		r.blocked = nil
		c.flags &^= flagBlocked
	}
}

// force queues a message that can't be refused for lack of room: a death
// notice or a timer. It reports false if the actor has ended.
func (c *cell[M]) force(m M, env *envelope) bool {
	c.mu.Lock()
	if c.flags&(flagClosed|flagStopped) != 0 {
		c.mu.Unlock()
		return false
	}
	c.enqueue(m, env)
	c.unlockAndStart()
	return true
}

// forceHere is force for a goroutine that has nothing else to do: if the actor
// was idle, it is left to the caller to run it.
func (c *cell[M]) forceHere(m M, env *envelope) (accepted, run bool) {
	if c.sys.opts.Schedule != nil {
		return c.force(m, env), false
	}
	c.mu.Lock()
	if c.flags&(flagClosed|flagStopped) != 0 {
		c.mu.Unlock()
		return false, false
	}
	c.enqueue(m, env)
	run = c.flags&(flagActive|flagSuspended) == 0
	if run {
		c.flags |= flagActive
	}
	c.mu.Unlock()
	return true, run
}

// enqueue queues a message whatever the bound; the lock is held.
func (c *cell[M]) enqueue(m M, env *envelope) {
	if c.rare != nil && c.rare.heap != nil {
		c.rare.heap.push(slot[M]{m, env}, c.priorityOf(m))
		return
	}
	c.q.push(m, env)
}

// waiting is the number of messages that count against the capacity: those in
// the mailbox without the batch being handled; the lock is held.
func (c *cell[M]) waiting() uint32 {
	if c.rare != nil && c.rare.heap != nil {
		return uint32(len(c.rare.heap.items)) //nolint:gosec // bounded by the capacity
	}
	return c.q.n - c.q.taken
}

// trimAfter is how long an idle actor keeps a mailbox grown large.
const trimAfter = time.Second

// trimLater gives the memory of a mailbox grown large back unless it is needed
// again soon; the lock is held.
func (c *cell[M]) trimLater() {
	if c.flags&flagTrimming != 0 {
		return
	}
	c.flags |= flagTrimming
	time.AfterFunc(trimAfter, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flags &^= flagTrimming
		if c.q.n == 0 && c.flags&flagActive == 0 {
			c.q = queue[M]{}
		}
	})
}

// unlockAndStart releases the lock and starts a runner if the actor has
// something to do and nobody who does it.
func (c *cell[M]) unlockAndStart() {
	start := c.flags&(flagActive|flagSuspended) == 0 && c.waiting() > 0
	if start {
		c.flags |= flagActive
	}
	c.mu.Unlock()
	if start {
		c.sys.start(&c.core)
	}
}
