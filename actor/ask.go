package actor

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Reply is where the answer to an ask goes. It is part of the message, so the
// answer's type is checked by the compiler, and may be kept and used later or by
// another actor. The first answer counts; later ones, and those after the asker
// stopped waiting, report false and have no effect. The zero value accepts
// nothing.
//
// A Reply is as small as a pointer, so a message that is only a Reply fits into
// an interface without an allocation.
type Reply[R any] struct{ c *call[R] }

// call is one ask. It is used once, so that no late reply can ever reach the
// wrong asker; calls are allocated in blocks to make that cheap.
type call[R any] struct {
	envelope
	value R
}

// Send answers with a value. It reports whether the asker gets it.
func (r Reply[R]) Send(v R) bool {
	if r.c == nil {
		return false
	}
	parked, ok := r.c.claim()
	if !ok {
		return false
	}
	r.c.value = v
	r.c.publish(parked)
	if m := r.c.more.Load(); m != nil && m.answer != nil {
		m.answer.(func(R, error))(v, nil)
	}
	return true
}

// Fail answers with an error, which the asker gets as it is: it is the
// application's, not a failure of the actor. It reports whether the asker gets it.
func (r Reply[R]) Fail(err error) bool {
	if r.c == nil {
		return false
	}
	if err == nil {
		err = fault.New(fault.Internal, "actor.Reply.Fail", "the handler failed the ask with a nil error")
	}
	if !r.c.fail(err) {
		return false
	}
	if m := r.c.more.Load(); m.answer != nil {
		var zero R
		m.answer.(func(R, error))(zero, err)
	}
	return true
}

// NewReply makes a Reply that calls f with the one answer, on the goroutine that
// answers. It is for code that stands between an asker and an actor, such as a
// connection to another node.
func NewReply[R any](f func(R, error)) Reply[R] {
	c := &call[R]{}
	c.kind = envelopeAsk
	c.details().answer = f
	return Reply[R]{c}
}

// Ask sends the message that build makes and waits for the answer.
//
// It ends with the context: without a deadline it waits until the actor answers,
// fails or stops. The handler's context has the asker's deadline and ends with it.
//
// Errors: what the handler answered with [Reply.Fail], as it is; INTERNAL with
// the cause if the handler failed; NOT_FOUND ([ErrStopped]) if the actor has
// stopped; UNAVAILABLE ([ErrRestarted]) if it was restarted before it answered;
// DEADLINE_EXCEEDED or CANCELED with ctx; FAILED_PRECONDITION ([ErrDeadlock]) if
// the actor waits, directly or through others, for the asking one. For the last,
// pass the handler's own context on.
//
// If the actor is idle and the context can't end before the answer, the handler
// runs on the calling goroutine.
func Ask[R, M any](ctx context.Context, to Ref[M], build func(Reply[R]) M) (R, error) {
	c, local := to.target.(*cell[M])
	if !local {
		return askElsewhere(ctx, to, build)
	}
	if ctx == background { // spares the usual case the questions below
		if c.acquire(1) {
			return askHere(ctx, c, nil, nil, build)
		}
		return askQueued(ctx, c, nil, build)
	}
	var caller *core
	depth, unbounded := uint32(1), false
	if h, ok := ctx.(handlerContext); ok {
		caller = h.owner()
		depth, unbounded = caller.depth.Load()+1, !h.bounded()
	} else {
		unbounded = ctx.Done() == nil
		if caller = derivedCaller(ctx); caller != nil {
			depth = caller.depth.Load() + 1
		}
	}
	if unbounded && c.acquire(depth) {
		return askHere(ctx, c, caller, traceOf(ctx), build)
	}
	return askQueued(ctx, c, caller, build)
}

var background = context.Background()

// maxDepth bounds how many handlers run on top of each other on one goroutine.
const maxDepth = 64

// acquire makes the caller the runner of an idle actor.
func (c *cell[M]) acquire(depth uint32) bool {
	c.mu.Lock()
	if c.flags&^flagTrimming != 0 || c.q.n > 0 || depth > maxDepth || c.sys.opts.Schedule != nil {
		c.mu.Unlock()
		return false
	}
	c.flags |= flagActive
	c.mu.Unlock()
	if c.depth.Load() != depth {
		c.depth.Store(depth)
	}
	return true
}

// handBack ends the ownership that acquire gave.
func (c *cell[M]) handBack() {
	if c.runner.Load() != nil {
		c.runner.Swap(nil).giveAway(c.sys)
	}
	c.mu.Lock()
	if c.flags&^flagTrimming == flagActive && c.q.n == 0 && c.alert.Load() == 0 {
		c.processed += uint64(c.pos)
		c.pos = 0
		c.work.one[0] = slot[M]{}
		c.flags &^= flagActive
		if c.opts.idleTimeout > 0 {
			c.startIdleClock()
		}
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.sys.start(&c.core)
}

// callBlock is a number of calls allocated together.
type callBlock[R any] struct {
	calls [64]call[R]
	used  int
}

// nextCall takes a call from the actor's block; the caller owns the actor.
func nextCall[R, M any](c *cell[M]) *call[R] {
	tools := c.tools()
	b, ok := tools.calls.(*callBlock[R])
	if !ok || b.used == len(b.calls) {
		b = &callBlock[R]{}
		tools.calls = b
	}
	b.used++
	return &b.calls[b.used-1]
}

// askHere runs the handler on the asking goroutine, which has acquired the actor.
func askHere[R, M any](ctx context.Context, c *cell[M], caller *core, trace *Trace, build func(Reply[R]) M) (R, error) {
	cl := nextCall[R](c)
	cl.kind = envelopeAsk
	if trace != nil {
		cl.details().trace = trace
	}
	if caller != nil {
		caller.waitsFor.Store(&c.core)
	}
	err := handleHere(c, caller, cl, build)
	if caller != nil {
		caller.waitsFor.Store(nil)
	}
	if err == nil {
		c.handBack()
	} else {
		// The failure is the actor's affair: what follows, a Start that blocks
		// for example, must not hold up the asker.
		c.sys.spawn(func() { c.afterFailure(err) })
	}
	if cl.state.Load() != askAnswered {
		if err := cl.await(ctx, &c.sys.wakes); err != nil {
			var zero R
			return zero, err
		}
	}
	return cl.value, cl.answerError()
}

// handleHere builds the message and has it handled. The error is the handler's.
func handleHere[R, M any](c *cell[M], caller *core, cl *call[R], build func(Reply[R]) M) (err error) {
	step := stepBuild
	defer func() {
		if step == stepDone {
			return
		}
		value := recover()
		switch {
		case step == stepBuild:
			c.handBack()
			if value != nil {
				panic(value) // it is the asker's
			}
		case value != nil:
			err = newPanicError(value)
		default: // the handler ended the goroutine
			if caller != nil {
				caller.waitsFor.Store(nil)
			}
			c.sys.spawn(c.afterExit)
		}
	}()
	s := &c.work.one[0]
	*s = slot[M]{build(Reply[R]{cl}), &cl.envelope}
	c.pos = 1
	step = stepHandle
	if c.processed >= c.nextSample {
		weight := c.sampleWeight()
		start := time.Now()
		err = c.receive(s)
		c.sample(time.Since(start), weight)
	} else {
		err = c.receive(s)
	}
	step = stepDone
	return err
}

// Steps of handleHere, for the case that it does not come to its end.
const (
	stepBuild = iota
	stepHandle
	stepDone
)

// queuedCall is a call with all it may need, in one allocation.
type queuedCall[R, M any] struct {
	call[R]
	rest    envelopeMore
	context Context[M]
}

func newQueuedCall[R, M any](ctx context.Context, caller *core) *call[R] {
	q := &queuedCall[R, M]{}
	q.kind = envelopeAsk
	q.rest = envelopeMore{asker: caller, trace: traceOf(ctx)}
	if h, ok := ctx.(handlerContext); ok && h.bounded() || !ok && ctx.Done() != nil {
		q.rest.ctx = ctx
	}
	if q.rest.asker != nil || q.rest.trace != nil || q.rest.ctx != nil {
		q.rest.context = &q.context // the handler needs a context of its own
	}
	q.more.Store(&q.rest)
	return &q.call
}

// askQueued puts the message in the mailbox and parks.
func askQueued[R, M any](ctx context.Context, c *cell[M], caller *core, build func(Reply[R]) M) (R, error) {
	var zero R
	cl := newQueuedCall[R, M](ctx, caller)
	m := build(Reply[R]{cl})
	if caller != nil {
		if !caller.waitFor(&c.core) {
			return zero, ErrDeadlock.WithTarget(c.path())
		}
		defer caller.waitsFor.Store(nil)
	}
	if err := c.accept(ctx, m, &cl.envelope, true); err != nil {
		return zero, err
	}
	if caller != nil {
		caller.giveAway() // most likely the very actor that was asked
	}
	if caller != nil && c.awaits(caller) && cl.fail(ErrDeadlock.WithTarget(c.path())) {
		return zero, cl.answerError() // it began to wait for this actor's end after waitFor had looked
	}
	if err := cl.await(ctx, &c.sys.wakes); err != nil {
		return zero, err
	}
	return cl.value, cl.answerError()
}

// askElsewhere asks a target that is not a local actor itself.
func askElsewhere[R, M any](ctx context.Context, to Ref[M], build func(Reply[R]) M) (R, error) {
	var zero R
	if to.target == nil {
		return zero, ErrNoActor
	}
	caller := callerOf(ctx)
	cl := newQueuedCall[R, M](ctx, caller)
	m := build(Reply[R]{cl})
	if caller != nil {
		defer caller.waitsFor.Store(nil)
	}
	var err error
	if t, ok := to.target.(acceptor[M]); ok {
		err = t.accept(ctx, m, &cl.envelope, true)
	} else {
		err = to.target.Deliver(ctx, m)
	}
	if err != nil {
		return zero, err
	}
	if caller != nil {
		caller.giveAway()
	}
	if err := cl.await(ctx, nil); err != nil {
		return zero, err
	}
	return cl.value, cl.answerError()
}
