package actor

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Context is what a handler works with. As a [context.Context] it has the
// deadline and the trace of the message being handled, ends when the asker stops
// waiting, when the handler of a message with a deadline has returned, or when
// the actor must end. Its other methods belong to the handler and must not be
// called from elsewhere.
//
// Pass it on to what the handler calls, as it is or with a deadline of its own: an
// ask that would wait for the asking actor is then found out ([ErrDeadlock]). To
// ask or tell from another goroutine derive a context from it, with
// [context.WithCancel] for example, so that its waiting is not taken for the
// handler's.
type Context[M any] struct {
	c       *cell[M]
	env     *envelope
	derived atomic.Pointer[derivedContext]
}

// derivedContext ends with both the asker's context and the actor.
type derivedContext struct {
	context.Context
	cancel context.CancelFunc
	detach func() bool
}

// Self is the actor's own reference.
func (x *Context[M]) Self() Ref[M] { return Ref[M]{x.c} }

// System is the system the actor lives in.
func (x *Context[M]) System() *System { return x.c.sys }

// Address is the actor's identity.
func (x *Context[M]) Address() Address { return x.c.address() }

// Log returns a logger with the attributes actor, actor_type and, if the message
// has a trace, trace_id and span_id.
func (x *Context[M]) Log() *slog.Logger {
	log := x.c.logger()
	if t := x.trace(); t != nil {
		log = log.With(slog.String("trace_id", t.TraceID()), slog.String("span_id", t.SpanID()))
	}
	return log
}

// Become replaces the behaviour from the next message on; [Context.Unbecome]
// brings the present one back. At most 64 behaviours can lie on top of each
// other; a restart begins again with Spec.New.
func (x *Context[M]) Become(b Behavior[M]) error {
	if b == nil {
		return fault.New(fault.InvalidArgument, "actor.Become", "the behaviour is nil")
	}
	x.c.mu.Lock()
	r := x.c.rareState()
	x.c.mu.Unlock()
	if len(r.behaviors) >= 64 {
		return fault.New(fault.ResourceExhausted, "actor.Become", "64 behaviours lie on top of each other; call Unbecome to go back")
	}
	r.behaviors = append(r.behaviors, x.c.behavior)
	x.c.setBehavior(b)
	return nil
}

// Unbecome goes back to the behaviour before the last Become. It reports false
// if there is none.
func (x *Context[M]) Unbecome() bool {
	r := x.c.rareNow()
	if r == nil || len(r.behaviors) == 0 {
		return false
	}
	last := len(r.behaviors) - 1
	x.c.setBehavior(r.behaviors[last])
	r.behaviors = r.behaviors[:last]
	return true
}

// Stash puts the message being handled aside until [Context.UnstashAll]. It
// returns [ErrMailboxFull] when as many messages are stashed as the mailbox may
// hold.
func (x *Context[M]) Stash() error {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rareState()
	if len(r.stash) >= int(c.limit) {
		return ErrMailboxFull
	}
	if c.pos == 0 {
		return fault.New(fault.FailedPrecondition, "actor.Stash", "no message is being handled")
	}
	if len(r.stash) > 0 && r.stashedAt == c.ordinal() {
		return nil // it is there already
	}
	s := *c.current()
	if s.env != nil && s.env.kind == envelopeTimer {
		s.env = s.env.asTell() // it has been delivered, and can't be cancelled any more
	}
	r.stash, r.stashedAt = append(r.stash, s), c.ordinal()
	return nil
}

// UnstashAll puts the stashed messages back to the head of the mailbox, in the
// order they were stashed.
func (x *Context[M]) UnstashAll() {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rare != nil && len(c.rare.stash) > 0 {
		c.rare.unstash = true
		c.alert.Store(1) // before the next message
	}
}

// Stop ends the actor normally once the handler has returned, as if it had
// returned [ErrStop].
func (x *Context[M]) Stop() { x.c.post(signal{kind: signalEnd}) }

// Pipe runs f on a goroutine of its own and sends its result to the actor, so
// that the actor can go on with other messages meanwhile. f's context ends with
// the actor; a panic in f is a failure of the actor.
func (x *Context[M]) Pipe(f func(ctx context.Context) M) {
	c, env := x.c, (*envelope)(nil)
	life := c.lifetime()
	if t := x.trace(); t != nil {
		life, env = WithTrace(life, *t), &envelope{}
		env.details().trace = t
	}
	c.sys.spawn(func() {
		returned := false
		defer func() {
			if !returned {
				c.post(signal{kind: signalFail, err: newPanicError(recover())})
			}
		}()
		m := f(life)
		returned = true
		switch accepted, run := c.forceHere(m, env); {
		case !accepted:
			c.sys.deadLetter(&c.core, m, ErrStopped)
		case run: // on this goroutine, whose stack has grown already
			runActors(&c.core)
		}
	})
}

// Pending is the number of messages that wait behind the one being handled. A
// handler that would rather deal with many messages together than one by one,
// because it commits what it does to a store, for example, can put them aside
// until it is 0.
func (x *Context[M]) Pending() int {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.q.taken > 0 { // the batch is still in the ring
		return int(c.q.n - c.pos)
	}
	return int(c.waiting())
}

func (x *Context[M]) owner() *core { return &x.c.core }

func (x *Context[M]) bounded() bool {
	return x.askContext() != nil
}

func (x *Context[M]) trace() *Trace {
	if m := x.more(); m != nil {
		return m.trace
	}
	return nil
}

// askContext is the asker's context, if it can end.
func (x *Context[M]) askContext() context.Context {
	if m := x.more(); m != nil {
		return m.ctx
	}
	return nil
}

func (x *Context[M]) more() *envelopeMore {
	if x.env == nil {
		return nil
	}
	return x.env.more.Load()
}

// asParent makes a Context a Parent.
func (x *Context[M]) asParent() *core { return &x.c.core }

// live is the context that stands behind Done and Err.
func (x *Context[M]) live() context.Context {
	if !x.bounded() {
		return x.c.lifetime()
	}
	if d := x.derived.Load(); d != nil {
		return d
	}
	d := &derivedContext{}
	d.Context, d.cancel = context.WithCancel(x.askContext())
	d.detach = context.AfterFunc(x.c.lifetime(), d.cancel)
	if !x.derived.CompareAndSwap(nil, d) {
		d.detach()
		d.cancel()
		return x.derived.Load()
	}
	return d
}

// finish ends the context of one message, if anybody has looked at its end.
func (x *Context[M]) finish() {
	if d := x.derived.Load(); d != nil {
		d.detach()
		d.cancel()
	}
}

// Deadline is the asker's deadline.
func (x *Context[M]) Deadline() (time.Time, bool) {
	if !x.bounded() {
		return time.Time{}, false
	}
	return x.askContext().Deadline()
}

// Done is closed when the asker stops waiting or the actor must end.
func (x *Context[M]) Done() <-chan struct{} { return x.live().Done() }

// Err is why Done is closed.
func (x *Context[M]) Err() error { return x.live().Err() }

// Value gives the message's trace to [TraceFrom] and the actor's attributes to
// [LogHandler]. Other values do not travel with messages.
func (x *Context[M]) Value(key any) any {
	switch key.(type) {
	case traceKey:
		if t := x.trace(); t != nil {
			return t
		}
	case logKey:
		return x.c.logAttrs()
	case callerKey:
		return &x.c.core
	}
	return nil
}
