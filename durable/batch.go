package durable

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// batch is the messages of one receive.
type batch[M any] struct {
	msgs  []store.Message
	parts []*part // of those that were handled
	trial *part   // of the one being handled
}

// rest are the parts of all messages; those that were not handled end as not tried.
func (b *batch[M]) rest() []*part {
	all := b.parts
	if b.trial != nil {
		all = append(all, b.trial)
	}
	for i := len(all); i < len(b.msgs); i++ {
		all = append(all, untried(&b.msgs[i]))
	}
	return all
}

// handle hands messages to the handler, in order, until one fails, and commits
// their ends together.
func (s *shift[M]) handle(ctx *actor.Context[item[M]], msgs []store.Message) (err error) {
	b := &batch[M]{msgs: msgs}
	until := s.isolate(b)
	letGo := s.w.keepHeld(ctx, msgs)
	started := time.Now()
	handled := false
	defer func() {
		if handled {
			return
		}
		defer letGo()
		value := recover() // nil if the handler ended the goroutine
		cause := fault.New(fault.Internal, "", "panic: %v", value)
		if value == nil {
			cause = fault.New(fault.Internal, "", "the handler called runtime.Goexit")
		}
		s.panics = b.trial
		_ = s.failed(ctx, b, cause) // the panic is the failure
		s.h.undone(cause)           // nobody knows where it left its state
		if value != nil {
			panic(value) // the actor's failure, with its stack
		}
	}()
	for len(b.parts) < until && err == nil {
		err = s.one(ctx, b)
	}
	handled = true
	switch {
	case err != nil && !errors.Is(err, actor.ErrStop):
		defer letGo()
		return s.failed(ctx, b, err)
	case err != nil || s.w.alone: // nothing is received while a suspect is about
		defer letGo()
		s.w.alone = len(b.parts) < len(msgs)
		return errors.Join(err, s.settle(ctx, b.rest()))
	}
	s.w.resize(len(msgs), time.Since(started))
	return s.launch(ctx, b.rest(), letGo)
}

// one handles the next message of a batch.
func (s *shift[M]) one(ctx *actor.Context[item[M]], b *batch[M]) error {
	w := s.w
	p := &part{msg: &b.msgs[len(b.parts)]}
	b.trial = p
	err := s.deliver(ctx, p)
	var poison *wire.PoisonError
	switch {
	case err == nil || errors.Is(err, actor.ErrStop):
		w.taken(p)
	case errors.As(err, &poison) && p.end == buried:
		w.logPoison(ctx, p, err)
		w.taken(p)
		err = nil
	default:
		return err
	}
	b.parts, b.trial = append(b.parts, p), nil
	return err
}

// deliver hands one message to the handler.
func (s *shift[M]) deliver(ctx *actor.Context[item[M]], p *part) error {
	w := s.w
	if p.msg.Attempts > 2*w.attempts() {
		p.reason = fault.New(fault.Poison, "durable.Receive", "received %d times and never ended: the process died, or lost its store, each time", p.msg.Attempts)
		p.end = buried
		return &wire.PoisonError{Message: wire.Message{Type: p.msg.Type, Data: p.msg.Data}, Cause: p.reason}
	}
	m, err := w.decode(p)
	if err != nil {
		p.end, p.reason = buried, err
		return err
	}
	if known, err := w.known(ctx, p); known || err != nil {
		p.meta.origin = Origin{}
		return err
	}
	x := s.context(ctx, p)
	if id, flags := p.msg.TraceID, p.meta.flags; id != "" {
		x.base = withTrace(ctx, id, p.msg.SpanID, flags)
	}
	if w.opts.timeout > 0 {
		x.deadline = time.Now().Add(w.opts.timeout)
	}
	x.delivery = Delivery{
		ID: p.msg.ID, RequestID: p.msg.RequestID, CallerID: p.msg.CallerID, Sender: p.msg.Key, Priority: p.msg.Priority,
		Attempt: p.msg.Attempts, Told: p.msg.Time, Redrives: p.meta.redrives, Subject: p.meta.subject,
	}
	defer x.finish()
	if err = s.h.receive(x, m); err != nil && !errors.Is(err, actor.ErrStop) {
		return x.timedOut(err, p.msg.TargetID)
	}
	return err
}

// attempts is how often a message is tried.
func (w *worker[M]) attempts() int { return w.opts.retry.Retries() + 1 }

// taken notes that a message has been taken in, for its producer's next ones.
func (w *worker[M]) taken(p *part) {
	if o, cursors := p.meta.origin, w.cursors[p.msg.Priority]; o.Producer != "" && cursors != nil {
		cursors[o.Producer] = max(o.Seq, cursors[o.Producer])
	}
}

// isolate returns how many messages of a batch to handle now. One that was
// received more often than it may be tried has been there when the process died,
// perhaps by chance, perhaps as the cause: it is handled by itself, so that it
// takes no others along and soon stands convicted or cleared.
func (s *shift[M]) isolate(b *batch[M]) int {
	if len(b.msgs) == 1 {
		return 1
	}
	for i := range b.msgs {
		if b.msgs[i].Attempts > s.w.attempts() {
			s.w.alone = true
			return i
		}
	}
	return len(b.msgs)
}

// failed ends the messages of a batch of which one failed. The error is for the
// supervisor.
func (s *shift[M]) failed(ctx *actor.Context[item[M]], b *batch[M], cause error) error {
	p, w := b.trial, s.w
	p.drop()
	p.reason = cause
	record := p.record(cause)
	asks, hasDelay := errors.AsType[retry.RetryAfter](cause)
	switch {
	case p.msg.Attempts >= w.attempts() || permanent(cause) || w.opts.retry.Retryable != nil && !w.opts.retry.Retryable(cause):
		p.end = buried
		w.taken(p)
		ctx.Log().LogAttrs(ctx, slog.LevelError, "a message failed for good and becomes a dead letter",
			append(fault.Attrs(record), slog.String("payload_type", p.msg.Type))...)
	default:
		p.end = givenBack
		p.delay = store.Nack{Delay: w.opts.retry.Delay(p.msg.Attempts), Reason: store.CleanText(cause.Error(), store.ReasonBytes)}
		if hasDelay {
			p.delay.Delay = max(p.delay.Delay, asks.RetryAfter())
		}
		ctx.Log().LogAttrs(ctx, slog.LevelWarn, "a message failed and will be tried again",
			append(fault.Attrs(record), slog.String("payload_type", p.msg.Type), slog.Duration("again_in", p.delay.Delay))...)
		if h := w.opts.hooks.Retried; h != nil {
			h(w.box.spec.Queue, record)
		}
	}
	if err := s.settle(ctx, b.rest()); err != nil {
		return errors.Join(record, err)
	}
	return record
}

// permanent reports whether an error says that trying again won't help. An open
// circuit breaker says so as well, but means the moment only.
func permanent(err error) bool {
	s, ok := errors.AsType[retry.Stopper](err)
	return ok && s.StopRetry() && !fault.CodeOf(err).Transient()
}

// resize adapts the size of the next batch to how long this one took.
func (w *worker[M]) resize(n int, took time.Duration) {
	switch {
	case took > 2*batchTime:
		w.size = max(1, min(w.size, n)/2)
	case took < batchTime && n >= w.size:
		w.size = min(2*w.size, w.opts.batch)
	}
}

// keepHeld holds messages on for as long as their handlers take.
func (w *worker[M]) keepHeld(ctx context.Context, msgs []store.Message) (stop func()) {
	var mu sync.Mutex
	stopped := false
	every := w.opts.hold / 3
	var timer *time.Timer
	extend := func() {
		w.extend(ctx, msgs)
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			timer.Reset(every)
		}
	}
	mu.Lock() // the timer must be set before it is read
	timer = time.AfterFunc(every, extend)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// extend holds messages anew. One that is lost is found when it is to be ended.
func (w *worker[M]) extend(ctx context.Context, msgs []store.Message) {
	receipts := make([]store.Receipt, len(msgs))
	for i := range msgs {
		receipts[i] = msgs[i].Receipt
	}
	if err := w.store.Extend(ctx, w.opts.hold, receipts...); !errors.Is(err, store.ErrReceiptLost) {
		return
	}
	for _, r := range receipts {
		_ = w.store.Extend(ctx, w.opts.hold, r)
	}
}
