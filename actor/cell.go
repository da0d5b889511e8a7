package actor

import (
	"errors"
	"reflect"

	"github.com/troupe-dev/troupe/fault"
)

// cell is a local actor: its core, its behaviour and its mailbox in one
// allocation.
//
// The order of the fields keeps what the runner reads for each message away
// from what senders write.
type cell[M any] struct {
	behavior Behavior[M]
	create   func() Behavior[M]
	work     *workbench[M] // made with the first message
	pos      uint32        // how many of the taken messages were handed over; the runner's own

	core

	q     queue[M]
	limit uint32
	rare  *rare[M]
}

// workbench is what an actor needs to handle messages and, while it never got one,
// does without. It is the runner's own.
type workbench[M any] struct {
	plain Context[M] // for messages without an envelope
	one   [1]slot[M] // the message taken, where it was taken out of the queue
	calls any        // the block that calls come from, a *callBlock[R]
}

// tools returns the workbench; the caller owns the actor.
func (c *cell[M]) tools() *workbench[M] {
	if c.work == nil {
		c.work = &workbench[M]{plain: Context[M]{c: c}}
	}
	return c.work
}

// rare is the typed state that most actors never need. What the runner uses
// alone is marked; the rest is guarded by the lock.
type rare[M any] struct {
	priority func(M) int
	heap     *priorityHeap[M]
	blocked  []*blocked[M]

	stash     []slot[M]     // the runner's own
	stashedAt uint64        // the ordinal of the message stashed last
	unstash   bool          // put the stash back before the next message
	behaviors []Behavior[M] // below the current one; the runner's own
}

// rareState returns the rare state; the lock is held.
func (c *cell[M]) rareState() *rare[M] {
	if c.rare == nil {
		c.rare = &rare[M]{}
	}
	return c.rare
}

// rareNow returns the rare state, if there is any, for what is the runner's own
// in it: a sender may be making it.
func (c *cell[M]) rareNow() *rare[M] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rare
}

// setBehavior changes the behaviour; Tree reads it under the lock.
func (c *cell[M]) setBehavior(b Behavior[M]) {
	c.mu.Lock()
	c.behavior = b
	c.mu.Unlock()
}

// undelivered settles a message that will not be handled.
func (c *cell[M]) undelivered(m M, env *envelope, why error) {
	if env != nil && env.kind == envelopeAsk {
		env.fail(refusedWith(why, c.path()))
		return
	}
	if env != nil && env.kind == envelopeTimer {
		return // nobody sent it
	}
	c.sys.deadLetter(&c.core, m, why)
}

// refusedWith is the error for an asker whose message was not handled.
func refusedWith(why error, path string) error {
	if f, ok := why.(*fault.Error); ok { //nolint:errorlint // only a bare sentinel is given a target
		return f.WithTarget(path)
	}
	return &fault.Error{Code: fault.NotFound, Op: "actor.Ask", Target: path, Message: "the actor stopped before it handled the message", Cause: errors.Join(why, ErrStopped)}
}

// clear empties the mailbox of an actor that has ended; the lock is held.
func (c *cell[M]) clear() []undelivered {
	var left []undelivered
	add := func(s slot[M]) { left = append(left, undelivered{s.m, s.env}) }
	if c.rare != nil {
		for _, s := range c.rare.stash {
			add(s)
		}
		c.rare.stash = nil
	}
	for i := range c.q.taken { // of an abandoned actor: the handler may never return
		if env := c.q.at(i).env; env != nil && env.kind == envelopeAsk {
			env.fail(ErrAbandoned.WithTarget(c.path()))
		}
	}
	for i := c.q.taken; i < c.q.n; i++ {
		add(*c.q.at(i))
		*c.q.at(i) = slot[M]{}
	}
	c.q.n = c.q.taken // these belong to the runner
	if h := c.heap(); h != nil {
		for h.Len() > 0 {
			add(h.pop())
		}
	}
	if c.rare != nil {
		for _, w := range c.rare.blocked {
			w.result <- ErrStopped.WithTarget(c.path())
		}
		c.rare.blocked = nil
	}
	return left
}

func (c *cell[M]) heap() *priorityHeap[M] {
	if c.rare == nil {
		return nil
	}
	return c.rare.heap
}

// describe adds what the core does not know to a snapshot; the lock is held.
func (c *cell[M]) describe(info *Info) {
	info.Mailbox = int(c.waiting() + max(c.q.taken, 1) - 1) // one of a batch is being handled
	info.Blocked = 0
	if c.rare != nil {
		info.Blocked = len(c.rare.blocked)
	}
	info.Capacity = int(c.limit)
	if c.limit == unlimited {
		info.Capacity = Unbounded
	}
	info.Memory = int64(len(c.q.ring)) * int64(reflect.TypeFor[slot[M]]().Size()) //nolint:gosec // bounded by the memory there is
	info.Message = reflect.TypeFor[M]().String()
	if r, ok := c.behavior.(MemoryReporter); ok && c.flags&flagStopped == 0 {
		info.reporter = r
	}
}
