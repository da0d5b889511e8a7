package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// item is what a worker's actor is told: to look into the mailbox, or what the
// actor sends to itself.
type item[M any] struct{ own *own[M] } // nil: look

// own is a message that an actor sends to itself. A look that fails is repeated,
// as it stands for messages of the store, but an own message is not.
type own[M any] struct {
	m      M
	failed bool
}

func ownItem[M any](m M) item[M] { return item[M]{&own[M]{m: m}} }

// handler is what a worker does with messages: a Behavior or an Entity. It is
// used by the worker's actor alone.
type handler[M any] interface {
	start(x *Context[M]) error
	ready(ctx context.Context) error // before each look into the mailbox
	receive(x *Context[M], m M) error
	stop(x *Context[M]) error

	// stage adds to a batch what the handler has to add to the parts' own.
	stage(b *store.Batch, parts []*part)
	// settled is told that the batch was committed.
	settled(ctx context.Context, b *store.Batch)
	// undone is told that it was not, and returns whether the handler's state is
	// of no use any more.
	undone(err error) bool
}

// worker takes messages from a queue and ends them. It outlives the restarts of
// its actor; it is used by the actor alone, but for wake.
type worker[M any] struct {
	box       *Mailbox[M]
	store     store.Store // the mailbox's, or a rehearsal's
	rehearsal bool
	opts      workerOptions
	self      actor.Ref[M]
	make      func(w *worker[M]) handler[M]
	standBack func()              // the host is to make it again when it may write
	log       func() *slog.Logger // of the actor, for the actor

	awake atomic.Bool // a look is in the mailbox
	actor atomic.Pointer[actor.Ref[item[M]]]

	size  int  // how many messages to receive next
	alone bool // the next message is to be handled by itself
	tired int  // how often in a row the store has failed
	// late are ends of messages that could not be committed yet. No message is
	// received before they are.
	late    []*part
	cursors [2]map[store.Producer]uint64 // by priority; nil: not read yet
}

// workerOptions are the parts of a spec that a worker needs.
type workerOptions struct {
	retry   retry.Policy
	timeout time.Duration
	hold    time.Duration
	batch   int
	owner   string
	hooks   Hooks
}

const (
	firstBatch = 16
	// batchTime is how long the messages of one receive should take together: so
	// long a message of high priority may wait, and so much is done again after a
	// crash.
	batchTime = 20 * time.Millisecond
)

// wake makes the actor look into the mailbox. It may be called from any goroutine
// and reports false if the actor has ended.
func (w *worker[M]) wake() bool {
	ref := w.actor.Load()
	if ref == nil || !w.awake.CompareAndSwap(false, true) {
		return true // it looks when it starts, or is about to
	}
	if err := ref.TryTell(item[M]{}); err != nil {
		w.awake.Store(false)
		return false
	}
	return true
}

// shift is the behaviour of a worker's actor, from one restart to the next.
type shift[M any] struct {
	w      *worker[M]
	h      handler[M]
	flying *flight // the ends of the last batch, while they are being committed
	panics *part   // whose handler has just panicked
}

// Annotate says which message a panic was about.
func (s *shift[M]) Annotate(err error) error {
	p := s.panics
	if p == nil {
		return err
	}
	s.panics = nil
	return p.record(err)
}

func (s *shift[M]) context(ctx *actor.Context[item[M]], p *part) *Context[M] {
	return &Context[M]{deadlineContext: deadlineContext{base: ctx}, parent: ctx, inner: ctx, work: s.w, part: p}
}

// Start makes the handler ready and looks into the mailbox.
func (s *shift[M]) Start(ctx *actor.Context[item[M]]) error {
	self := ctx.Self()
	s.w.actor.Store(&self)
	s.w.log = ctx.Log
	s.h = s.w.make(s.w)
	p := &part{}
	x := s.context(ctx, p)
	defer x.finish()
	if err := s.h.start(x); err != nil {
		return err
	}
	s.w.awake.Store(false)
	s.w.wake()
	return s.commitOwn(ctx, p)
}

// Stop ends the handler.
func (s *shift[M]) Stop(ctx *actor.Context[item[M]]) error {
	err := s.land(ctx)
	p := &part{}
	x := s.context(ctx, p)
	defer x.finish()
	if stopped := s.h.stop(x); stopped != nil {
		return errors.Join(err, stopped)
	}
	return errors.Join(err, s.commitOwn(ctx, p))
}

// Receive looks into the mailbox, or handles what the actor sent to itself.
func (s *shift[M]) Receive(ctx *actor.Context[item[M]], it item[M]) error {
	switch {
	case it.own == nil:
		return s.look(ctx)
	case it.own.failed:
		return nil
	}
	if err := s.land(ctx); err != nil {
		return err
	}
	p := &part{}
	x := s.context(ctx, p)
	defer x.finish()
	it.own.failed = true // until it has not
	err := s.h.receive(x, it.own.m)
	it.own.failed = false
	if err != nil && !errors.Is(err, actor.ErrStop) {
		it.own.failed = true
		return err
	}
	if failed := s.commitOwn(ctx, p); failed != nil {
		return failed
	}
	return err
}

// look receives messages and handles them. Meanwhile the ends of those before are
// being committed: a commit takes longer than all the rest together.
func (s *shift[M]) look(ctx *actor.Context[item[M]]) error {
	w := s.w
	w.awake.Store(false)
	if err := s.settleLate(ctx); err != nil {
		w.storeFailed(ctx, "settle", err)
		return nil
	}
	if err := s.h.ready(ctx); err != nil {
		return errors.Join(err, s.land(ctx))
	}
	limit := w.size
	if w.alone {
		limit = 1
	}
	msgs, err := w.store.Receive(ctx, store.ReceiveRequest{
		Queue: w.box.spec.Queue, Owner: w.opts.owner, Max: limit, Hold: w.opts.hold, Ordered: true,
	})
	landing := s.flying != nil
	if failed := s.land(ctx); failed != nil || len(w.late) > 0 {
		for i := range msgs { // the store or the state is not fit for them
			w.late = append(w.late, untried(&msgs[i]))
		}
		return failed
	}
	if err != nil {
		w.dequeueFailed(ctx, err)
		return nil
	}
	w.tired = 0
	if len(msgs) == 0 {
		if landing {
			w.wake() // what has ended may have held others up
		}
		return nil
	}
	w.wake() // there may be more; it is in the mailbox whatever the handler does
	return s.handle(ctx, msgs)
}

// dequeueFailed tells those who wait for answers, and tries again later.
func (w *worker[M]) dequeueFailed(ctx *actor.Context[item[M]], err error) {
	if ctx.Err() != nil {
		return // the actor ends
	}
	w.storeFailed(ctx, "receive", err)
	err = &fault.Error{
		Code: fault.Internal, Op: "durable.Receive", Target: string(w.box.spec.Queue),
		Message: "the mailbox can't be read", Hint: "the message stays in it and is handled when it can", Cause: err,
	}
	w.box.live.fail(err)
	w.box.waiters.tellAll(outcome{err: err})
}

// storeFailed reports a failure of the store and looks again after a while.
func (w *worker[M]) storeFailed(ctx *actor.Context[item[M]], what string, err error) {
	if ctx.Err() != nil {
		return
	}
	w.tired++
	delay := storePause(w.tired)
	ctx.Log().LogAttrs(ctx, slog.LevelError, "the store of a durable mailbox failed",
		append([]slog.Attr{slog.String("queue", string(w.box.spec.Queue)), slog.String("operation", what), slog.Duration("again_in", delay)}, fault.Attrs(err)...)...)
	if h := w.opts.hooks.StoreFailed; h != nil {
		h(w.box.spec.Queue, err)
	}
	ctx.After(delay, item[M]{})
}

// storePause is how long to leave a store alone that has failed so often.
func storePause(failures int) time.Duration {
	return retry.Policy{Initial: 100 * time.Millisecond, Cap: 5 * time.Second}.Delay(failures)
}

// decode turns a message into a value, or into the value that is kept in memory.
func (w *worker[M]) decode(p *part) (value M, err error) {
	value, p.meta, err = w.box.decode(p.msg)
	if p.meta.live == "" {
		return value, err
	}
	n, live, ok := w.box.live.find(p.meta.live)
	if !ok {
		return value, err
	}
	p.keep = n
	return live.value, nil
}

// known reports whether a message was taken in before, by its producer's number.
func (w *worker[M]) known(ctx context.Context, p *part) (bool, error) {
	o := p.meta.origin
	if o.Producer == "" {
		return false, nil
	}
	cursors := &w.cursors[p.msg.Priority]
	if *cursors == nil {
		all, err := w.store.Cursors(ctx, w.box.scope(p.msg.Priority))
		if err != nil {
			return false, err
		}
		*cursors = make(map[store.Producer]uint64, len(all))
		maps.Copy(*cursors, all)
	}
	return o.Seq <= (*cursors)[o.Producer], nil
}

// logPoison writes the record of a message that does not decode.
func (w *worker[M]) logPoison(ctx *actor.Context[item[M]], p *part, err error) {
	raw := p.msg.Data
	if poison, ok := errors.AsType[*wire.PoisonError](err); ok {
		raw = poison.Message.Data
	}
	attrs := fault.Attrs(p.record(err))
	attrs = append(attrs, slog.String("payload_type", p.msg.Type), slog.Int("bytes", len(raw)), slog.String("raw_bytes", fmt.Sprintf("%x", raw[:min(len(raw), rawLogged)])))
	ctx.Log().LogAttrs(ctx, slog.LevelError, "a message does not decode and becomes a dead letter", attrs...)
}

// rawLogged is how many bytes of a message that does not decode are logged. All
// of them are in the dead letter.
const rawLogged = 4096
