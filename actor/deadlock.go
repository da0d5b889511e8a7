package actor

import (
	"context"
	"runtime"
	"strings"
)

// An actor that waits in its handler, for an answer or for room in a mailbox,
// points to the actor it waits for. As it handles one message at a time it waits
// for one actor at most, so the pointers form chains, and a chain that comes back
// to its start would wait for ever. Each waiter sets its pointer before it
// follows the chain, so of the actors that close a circle at the same time at
// least one sees it.
//
// A pointer is taken back as soon as the waiting no longer depends on that
// actor's handler: when the message was handled and the Reply kept for later.
// A circle over such a Reply is not found; the asker's deadline ends it.
//
// Who waits is told by the context, which may be derived from a handler's. Only on
// the handler's own goroutine is it the handler that waits, so that is looked at.

// waitFor records that c's handler waits for target and reports false if the
// wait would never end.
func (c *core) waitFor(target *core) bool {
	c.waitsFor.Store(target)
	for d := target; d != nil; d = d.waitsFor.Load() {
		if d == c || d.awaits(c) {
			c.waitsFor.Store(nil)
			return false
		}
	}
	return true
}

// awaits reports whether c handles no messages until d, an actor below it, has
// ended: c is being restarted or has failed for good.
func (c *core) awaits(d *core) bool {
	if c == d || !c.isAncestorOf(d) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.x != nil && c.x.afterKids >= afterKidsEnd
}

// acceptFor is accept for a target that has chosen this actor for an asker's
// message.
func (c *cell[M]) acceptFor(ctx context.Context, m M, env *envelope, wait bool) error {
	var asker *core
	if env != nil && env.kind == envelopeAsk {
		if more := env.more.Load(); more != nil {
			asker = more.asker
		}
	}
	if asker == nil {
		return c.accept(ctx, m, env, wait)
	}
	if !asker.waitFor(&c.core) {
		return ErrDeadlock.WithTarget(c.path())
	}
	err := c.accept(ctx, m, env, wait)
	if err == nil && c.awaits(asker) {
		env.fail(ErrDeadlock.WithTarget(c.path()))
	}
	return err
}

// releaseKin lets those below the actor go who wait for it to handle a message,
// which it will not do before they have ended.
func (c *cell[M]) releaseKin() {
	c.mu.Lock()
	if c.flags&flagBlocked != 0 {
		for _, w := range c.rare.blocked {
			c.enqueue(w.slot.m, w.slot.env)
			w.result <- nil
		}
		c.rare.blocked = nil
		c.flags &^= flagBlocked
	}
	var asks []*envelope
	note := func(s *slot[M]) {
		if s.env == nil || s.env.kind != envelopeAsk {
			return
		}
		if m := s.env.more.Load(); m != nil && m.asker != nil && c.isAncestorOf(m.asker) {
			asks = append(asks, s.env)
		}
	}
	for i := range c.q.n {
		note(c.q.at(i))
	}
	if h := c.heap(); h != nil {
		for i := range h.items {
			note(&h.items[i].slot)
		}
	}
	c.mu.Unlock()
	for _, env := range asks {
		env.fail(ErrRestarted.WithTarget(c.path()))
	}
}

// handlerContext is a Context of any message type.
type handlerContext interface {
	context.Context
	owner() *core
	bounded() bool // whether it can end before the actor does
}

type callerKey struct{}

// callerOf is the actor whose handler waits if somebody waits with this context on
// this goroutine.
func callerOf(ctx context.Context) *core {
	if h, ok := ctx.(handlerContext); ok {
		return h.owner()
	}
	return derivedCaller(ctx)
}

// derivedCaller is callerOf for a context that is no handler's own but may be
// derived from one. The handler may also have given it to another goroutine, which
// does not hold up the handler: then there is no caller.
func derivedCaller(ctx context.Context) *core {
	c, _ := ctx.Value(callerKey{}).(*core)
	if c == nil || !inHandler() {
		return nil
	}
	return c
}

// handlerDepth is how many calls of the stack inHandler looks at: those between a
// handler and the ask that it makes.
const handlerDepth = 64

// inHandler reports whether a handler runs on this goroutine. The frame of
// whoever called the handler is proof of it.
func inHandler() bool {
	var pcs [handlerDepth]uintptr
	for _, pc := range pcs[:runtime.Callers(3, pcs[:])] {
		// A return address may be that of the next function. What calls a handler
		// is never inlined.
		if f := runtime.FuncForPC(pc - 1); f != nil && strings.HasPrefix(f.Name(), cellMethods) {
			return true
		}
	}
	return false
}

// cellMethods is what the names of a cell's methods begin with.
const cellMethods = "github.com/troupe-dev/troupe/actor.(*cell["
