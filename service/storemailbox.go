package service

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// MailboxOptions are choices for a [StoreMailbox]. The zero value is usable.
type MailboxOptions struct {
	// Queue is the name of the queue in the store. Default: the path of the actor,
	// such as "/shop/orders". Services that share a queue, in several processes,
	// share the work; they must serve the same methods.
	Queue store.Queue

	// Retry says when a request is handed out again after a failure of the
	// framework, and how often. Default: 3 retries after 1, 2 and 4 s.
	Retry retry.Policy

	// Dedup is how long an answer is kept for who asks again with the same request
	// id. Default [durable.DefaultDedup], a day.
	Dedup time.Duration

	// Hold is how long after a crash the requests that were being handled are
	// handed out again. Default [durable.DefaultHold], 30 s.
	Hold time.Duration

	// Owner names this process to others that use the same store. Default: the
	// name of the actor system.
	Owner string

	// Hooks are listeners to what happens.
	Hooks durable.Hooks
}

// MaxKeptAtOnce bounds how many requests of one mailbox are handled at once in a
// process, whatever [Spec.Concurrency] allows to other calls.
const MaxKeptAtOnce = 64

// A StoreMailbox is a [Mailbox] on a [store.Store]: a durable mailbox of package
// durable in which a request is a message of its own type, whose subject is the
// method. So its dead letters can be inspected, edited and redriven by
// [durable.Letters] as any others; [StoreMailbox.Rehearse] tries them.
//
// It is for one service. Make it with [NewMailbox].
type StoreMailbox struct {
	store store.Store
	opts  MailboxOptions

	mu      sync.Mutex
	box     *durable.Mailbox[wire.Message]
	serving Serving
}

// NewMailbox makes a mailbox on a store, for [Spec.Mailbox]. What is wrong with
// the options is said by [Spawn].
func NewMailbox(s store.Store, o MailboxOptions) *StoreMailbox {
	return &StoreMailbox{store: s, opts: o}
}

// Queue is the name of the queue in the store.
func (b *StoreMailbox) Queue(path string) string { return cmp.Or(string(b.opts.Queue), path) }

// Ask keeps a request and waits for its answer, see [Mailbox].
func (b *StoreMailbox) Ask(ctx context.Context, p Parcel) (wire.Message, error) {
	box, _, err := b.current(p.TargetID)
	if err != nil {
		return wire.Message{}, err
	}
	answer, err := durable.Ask(ctx, box, asIs{}, durable.Post[wire.Message]{
		Message: p.Message, RequestID: p.RequestID, Subject: p.Method,
		Sender:   cmp.Or(p.Key, p.RequestID), // a request of its own waits for no other
		CallerID: cmp.Or(p.CallerID, unknownCaller),
	})
	if err == nil || ctx.Err() != nil {
		return answer, err
	}
	return answer, askError(p, err)
}

// unknownCaller stands for a caller that nobody knows: package durable takes an
// empty one for the sender.
const unknownCaller = "unknown"

// askError says what the failure of an ask means to the caller of a service.
func askError(p Parcel, err error) error {
	f := &fault.Error{Op: "service.Mailbox", Target: p.TargetID, RequestID: p.RequestID, Cause: err}
	switch code := fault.CodeOf(err); {
	case errors.Is(err, durable.ErrBuried):
		f.Code, f.Message = fault.CodeOf(errors.Unwrap(err)), "the request could not be handled and became a dead letter"
		if f.Code == fault.Unknown || f.Code == fault.OK {
			f.Code = fault.Internal
		}
		return retry.Permanent(f) // asking again would only find the letter
	case errors.Is(err, durable.ErrNoAnswer):
		f.Code, f.Message = fault.FailedPrecondition, "the request was handled when it was redriven, and that answer was not kept"
		return f
	case errors.Is(err, actor.ErrMailboxFull), code == fault.InvalidArgument:
		return err
	}
	return mailboxError(p.TargetID, err)
}

// Serve spawns the actors that take requests out of the queue, see [Mailbox].
func (b *StoreMailbox) Serve(parent actor.Parent, s Serving) error {
	box, err := durable.NewMailbox(b.store, durable.MailboxSpec[wire.Message]{
		Queue: store.Queue(b.Queue(s.Path)), Codec: asIs{}, Dedup: max(0, b.opts.Dedup),
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.box == nil:
		b.box = box
	case b.serving.Path != s.Path:
		return &fault.Error{
			Code: fault.AlreadyExists, Op: "service.Mailbox", Target: s.Path, Message: "the mailbox is that of " + b.serving.Path,
			Hint: "make one for each service with service.NewMailbox",
		}
	}
	b.serving = s
	n := min(s.Concurrency, MaxKeptAtOnce)
	for i := range n {
		spec := b.spec(s)
		spec.Name = fmt.Sprintf("mailbox-%d", i+1)
		if n > 1 {
			spec.Batch = 1 // what one takes the others can't
		}
		if _, err := durable.Spawn(parent, b.box, spec); err != nil {
			return err
		}
	}
	return nil
}

// spec says how requests are taken out of the queue and handled.
func (b *StoreMailbox) spec(s Serving) durable.Spec[wire.Message] {
	return durable.Spec[wire.Message]{
		New: func() durable.Behavior[wire.Message] { return &taker{s} },
		Options: durable.Options{
			Type: "service.Mailbox", Retry: b.opts.Retry, Hold: b.opts.Hold, Owner: b.opts.Owner, Hooks: b.opts.Hooks,
			Timeout: -1, // each method has its own
			Decide:  func(error) actor.Directive { return actor.ResumeChild },
		},
	}
}

// current is the mailbox and what it serves.
func (b *StoreMailbox) current(path string) (*durable.Mailbox[wire.Message], Serving, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.box == nil {
		return nil, Serving{}, errNotServing(path)
	}
	return b.box, b.serving, nil
}

// Rehearse hands dead letters of the mailbox to an implementation that
// [Spec.Rehearse] makes, and tells what would happen if they were redriven, see
// [durable.Rehearse]. An error that the application would answer with is shown as
// a rejection.
//
// Errors: FAILED_PRECONDITION if the service has no Spec.Rehearse or does not run
// here; those of [durable.Rehearse].
func (b *StoreMailbox) Rehearse(ctx context.Context, letters []store.Letter) ([]durable.Rehearsal, error) {
	box, serving, err := b.current(string(b.opts.Queue))
	if err != nil {
		return nil, err
	}
	if serving.Rehearse == nil {
		return nil, &fault.Error{
			Code: fault.FailedPrecondition, Op: "service.Rehearse", Target: serving.Path, Message: "the service can't be rehearsed",
			Hint: "set Spec.Rehearse to a function that makes an implementation without effects",
		}
	}
	return durable.Rehearse(ctx, box, b.spec(serving), letters)
}

// taker hands requests from the queue to the service.
type taker struct{ serving Serving }

// Receive handles one request.
func (t *taker) Receive(ctx *durable.Context[wire.Message], m wire.Message) error {
	d := ctx.Delivery()
	p := Parcel{
		RequestID: d.RequestID, CallerID: d.CallerID, TargetID: t.serving.Path, Method: d.Subject,
		Message: m, Key: d.Sender, Attempt: d.Attempt,
	}
	if p.CallerID == unknownCaller {
		p.CallerID = ""
	}
	p.Trace, _ = actor.TraceFrom(ctx)
	handle := t.serving.Handle
	if ctx.Rehearsal() {
		handle = t.serving.Rehearse
	}
	answer, err := handle(ctx, p)
	switch {
	case fault.CodeOf(err) == fault.Poison:
		return retry.Permanent(err)
	case err != nil:
		return err
	case ctx.Rehearsal() && answer.Codec == answerCodec && answer.Type == appErrorType:
		e, err := (*ErrorTypes)(nil).decodeError(answer.Data)
		if err != nil {
			return err
		}
		durable.Reject(ctx, e)
		return nil
	}
	return durable.Answer(ctx, asIs{}, answer)
}

// asIs is the codec of messages that are encoded already.
type asIs struct{}

// Encode returns the message.
func (asIs) Encode(m wire.Message) (wire.Message, error) { return m, nil }

// Decode returns the message, in bytes of its own.
func (asIs) Decode(m wire.Message) (wire.Message, error) {
	m.Data = bytes.Clone(m.Data)
	return m, nil
}
