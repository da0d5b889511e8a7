package durable

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Behavior handles the messages of a mailbox, one at a time, as an
// [actor.Behavior] does. A nil error, or [actor.ErrStop], ends the message: it is
// removed together with what was emitted and answered. Any other error, or a
// panic, is a failure of the message; see the package documentation for what
// follows. What the handler emitted and answered is then dropped.
//
// A behaviour may implement Starter and Stopper.
type Behavior[M any] interface {
	Receive(ctx *Context[M], m M) error
}

// BehaviorFunc is a function as a Behavior.
type BehaviorFunc[M any] func(ctx *Context[M], m M) error

// Receive calls f.
func (f BehaviorFunc[M]) Receive(ctx *Context[M], m M) error { return f(ctx, m) }

// Starter is a behaviour that has something to do before its first message, as
// an [actor.Starter].
type Starter[M any] interface {
	Start(ctx *Context[M]) error
}

// Stopper is a behaviour that has something to do at its end, as an
// [actor.Stopper].
type Stopper[M any] interface {
	Stop(ctx *Context[M]) error
}

// Delivery is what came with a message. It is zero for what an actor sends to
// itself by After, Every, Pipe and Watch, which is not stored.
type Delivery struct {
	ID        store.MessageID
	RequestID string
	CallerID  string
	Sender    string
	Priority  store.Priority
	Attempt   int       // 1 for the first
	Told      time.Time // when it was committed, in milliseconds
	Redrives  int       // how often it was brought back from the dead letters
	Subject   string
}

// Context is what a handler works with. As a [context.Context] it ends when the
// handler's time ([Spec.Timeout]) is over, when the handler has returned, or when
// the actor must end, and carries the trace of the message; it can be handed on.
// It is an [actor.Parent]: actors spawned with it are children of this one. Its
// other methods, and the functions that take one, are for the handler's goroutine
// alone.
type Context[M any] struct {
	deadlineContext
	parent
	inner    *actor.Context[item[M]]
	work     *worker[M]
	delivery Delivery
	part     *part
}

// parent is embedded for its unexported method.
type parent = actor.Parent

// Self is the actor's own reference. What it is told through it is durable.
func (x *Context[M]) Self() actor.Ref[M] { return x.work.self }

// System is the system that the actor lives in.
func (x *Context[M]) System() *actor.System { return x.inner.System() }

// Address is the actor's identity.
func (x *Context[M]) Address() actor.Address { return x.inner.Address() }

// Delivery is what came with the message being handled.
func (x *Context[M]) Delivery() Delivery { return x.delivery }

// Rehearsal reports whether the message is handled to see what would happen. What
// is done through this package is held back then; a handler that acts on the
// world by itself must not.
func (x *Context[M]) Rehearsal() bool { return x.work.rehearsal }

// Log returns a logger with the attributes of the actor and, if there are any,
// of the message: request_id, caller_id, trace_id, span_id.
func (x *Context[M]) Log() *slog.Logger {
	log := x.inner.Log()
	if x.delivery.RequestID != "" {
		log = log.With(slog.String("request_id", x.delivery.RequestID))
	}
	if x.delivery.CallerID != "" {
		log = log.With(slog.String("caller_id", x.delivery.CallerID))
	}
	if t, ok := actor.TraceFrom(x); ok {
		log = log.With(slog.String("trace_id", t.TraceID()), slog.String("span_id", t.SpanID()))
	}
	return log
}

// Then has f called on the actor's goroutine once the message's effects are
// committed, and not at all if they are not. It is the place for what tells the
// world about them, such as a [actor.Reply]'s Send; it must be quick. A crash can
// come between the commit and f.
func (x *Context[M]) Then(f func()) { x.part.then = append(x.part.then, f) }

// After sends m to the actor itself once d has passed, past the mailbox: it is not
// stored, and is lost with a restart. For a delay that survives send a [Post] with
// a Delay.
func (x *Context[M]) After(d time.Duration, m M) actor.Timer {
	return x.inner.After(d, ownItem(m))
}

// Every sends m to the actor itself each time d has passed, as
// [actor.Context.Every] does. It is not stored.
func (x *Context[M]) Every(d time.Duration, m M) actor.Timer {
	return x.inner.Every(d, ownItem(m))
}

// Pipe runs f on a goroutine of its own and sends its result to the actor itself.
// It is not stored: the message being handled is done when its handler returns,
// whether or not f is.
func (x *Context[M]) Pipe(f func(ctx context.Context) M) {
	x.inner.Pipe(func(ctx context.Context) item[M] { return ownItem(f(ctx)) })
}

// Stop ends the actor once the handler has returned. What is in the mailbox stays
// there for the next one.
func (x *Context[M]) Stop() { x.inner.Stop() }

// sender is whose order messages sent with this context keep.
func (x *Context[M]) sender() string { return string(x.work.box.spec.Queue) }

// Watch asks for a death notice of another actor, as [actor.Watch] does. The
// notice is not stored.
func Watch[T, M any](ctx *Context[M], target actor.Ref[T], notice func(actor.Down) M) (cancel func()) {
	return actor.Watch(ctx.inner, target, func(d actor.Down) item[M] { return ownItem(notice(d)) })
}

// Emit sends a message on: it is committed together with the end of the one being
// handled. The mailbox must be in the same store, else [ErrOtherStore].
func Emit[M, T any](ctx *Context[M], to *Mailbox[T], m T) error {
	return EmitPost(ctx, to, Post[T]{Message: m})
}

// EmitPost is [Emit] with all that can be said about a message.
func EmitPost[M, T any](ctx *Context[M], to *Mailbox[T], p Post[T]) error {
	if to.store != ctx.work.box.store {
		return ErrOtherStore.WithTarget(string(to.spec.Queue))
	}
	if to.live.repliesOf(p.Message) != nil {
		return invalid("durable.Emit", string(to.spec.Queue), "the message has a Reply, but an output is sent only after the handler has returned")
	}
	put, err := to.put(ctx, &p, "")
	if err == nil {
		ctx.part.puts = append(ctx.part.puts, put)
	}
	return err
}

// deadlineContext is a context with a deadline that costs nothing until somebody
// looks at its end.
type deadlineContext struct {
	base     context.Context // the actor's, with the message's trace
	deadline time.Time       // zero: none

	mu      sync.Mutex
	over    bool // the handler has returned
	derived context.Context
	cancel  context.CancelFunc
}

func (d *deadlineContext) live() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.derived == nil {
		if d.deadline.IsZero() {
			d.derived, d.cancel = context.WithCancel(d.base)
		} else {
			d.derived, d.cancel = context.WithDeadline(d.base, d.deadline)
		}
		if d.over {
			d.cancel()
		}
	}
	return d.derived
}

// finish ends the context.
func (d *deadlineContext) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.cancel != nil {
		d.cancel()
	}
}

// Deadline is when the handler's time is over.
func (d *deadlineContext) Deadline() (time.Time, bool) {
	if d.deadline.IsZero() {
		return d.base.Deadline()
	}
	return d.deadline, true
}

// Done is closed when the handler's time is over or the actor must end.
func (d *deadlineContext) Done() <-chan struct{} { return d.live().Done() }

// Err is why Done is closed.
func (d *deadlineContext) Err() error { return d.live().Err() }

// Value gives the message's trace and the actor's attributes.
func (d *deadlineContext) Value(key any) any { return d.base.Value(key) }

// timedOut turns the error of a handler that gave up at its deadline into one
// that says so.
func (d *deadlineContext) timedOut(err error, target string) error {
	if d.deadline.IsZero() || d.derived == nil || d.derived.Err() != context.DeadlineExceeded {
		return err
	}
	return &fault.Error{Code: fault.DeadlineExceeded, Op: "durable.Receive", Target: target, Message: "the handler's time was over", Cause: err}
}
