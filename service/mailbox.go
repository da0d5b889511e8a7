package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/wire"
)

// Mailbox keeps the requests of durable methods until they have been handled, and
// their answers for those who ask again. It is what this package needs of a
// durable mailbox; it must be safe for concurrent use.
//
// A request is handled at least once. It is identified by its request id: put
// again, it is not handled again.
type Mailbox interface {
	// Put keeps a request. Once it has returned nil the request will be handled,
	// whatever happens to the caller and the node. If the request was put before
	// and has been handled, it returns the answer and true.
	Put(ctx context.Context, p Parcel) (answer []byte, done bool, err error)
	// Take waits for the next request that may be handled, or for ctx, and leases
	// it: nobody else gets it until the lease has ended.
	Take(ctx context.Context) (Lease, error)
}

// Parcel is a request as a mailbox keeps it.
type Parcel struct {
	RequestID string
	CallerID  string // requests of one caller stay in order
	TargetID  string
	Type      string // of the message in Frame
	Frame     []byte // opaque
}

// Lease is a request that is being handled. Exactly one of its two ends is called.
type Lease interface {
	// Parcel is the request.
	Parcel() Parcel
	// Done ends the lease of a request that was answered, by a response or by an
	// error of the application. It keeps the answer, in the same commit.
	Done(ctx context.Context, answer []byte) error
	// Fail ends the lease of a request that the framework could not get handled.
	// It is handed out again later, or becomes a dead letter, as the mailbox's
	// rules say; in the latter case final is true. A POISON is final at once.
	Fail(ctx context.Context, cause error) (final bool, err error)
}

// answer is what a waiting caller is told.
type answer struct {
	frame []byte
	err   error
}

// waiters are the callers in this process that wait for requests in the mailbox.
type waiters struct {
	mu   sync.Mutex
	byID map[string][]chan answer
}

func (w *waiters) add(id string) chan answer {
	ch := make(chan answer, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[id] = append(w.byID[id], ch)
	return ch
}

func (w *waiters) remove(id string, ch chan answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.byID[id]
	for i, c := range list {
		if c == ch {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if w.byID[id] = list; len(list) == 0 {
		delete(w.byID, id)
	}
}

// tell answers those who wait for a request; for "" all.
func (w *waiters) tell(id string, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for each, list := range w.byID {
		if id != "" && id != each {
			continue
		}
		for _, ch := range list {
			ch <- a // has room: a channel is told once and then forgotten
		}
		delete(w.byID, each)
	}
}

// callDurably puts the request into the mailbox and waits for its answer. When
// the caller leaves, the request stays.
func (c *core) callDurably(ctx context.Context, call *Call) error {
	frame, err := encodeCall(ctx, call, c.path, wire.DefaultMaxMessage)
	if err != nil {
		return err
	}
	wait := c.waiting.add(call.RequestID)
	defer c.waiting.remove(call.RequestID, wait)
	p := Parcel{RequestID: call.RequestID, CallerID: call.CallerID, TargetID: c.path, Type: call.method.requestName(), Frame: frame}
	told, done, err := c.mailbox.Put(ctx, p)
	if err != nil {
		c.stats.mailboxFailures.Add(1)
		return err
	}
	if !done {
		select {
		case a := <-wait:
			if a.err != nil {
				return a.err
			}
			told = a.frame
		case <-ctx.Done():
			return &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "service", Target: c.path, Message: "no answer in time; the request is kept and will be handled", Cause: ctx.Err()}
		}
	}
	out, err := decodeResponse(told, call.method, c.errors)
	if err != nil {
		return err
	}
	call.Response, call.FromApplication = out.response, out.fromApplication
	return out.err
}

// pump takes requests out of the mailbox and has them handled, one at a time.
type pump struct{ core *core }

// Serve works until ctx ends. A mailbox that fails does not end it: it is tried
// again, ever more slowly, and the callers that wait are told.
func (p *pump) Serve(ctx context.Context) error {
	pause := retry.Policy{Initial: 100 * time.Millisecond, Cap: 10 * time.Second}
	for failures := 0; ; {
		lease, err := p.core.mailbox.Take(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			failures = 0
			p.handle(ctx, lease)
			continue
		}
		failures++
		p.failed(ctx, "", "a mailbox could not be read", err)
		select {
		case <-time.After(pause.Delay(failures)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// failed deals with a store that failed: it is counted, logged and told to the
// caller who waits for the request, or to all.
func (p *pump) failed(ctx context.Context, id, what string, cause error) {
	p.core.stats.mailboxFailures.Add(1)
	f := &fault.Error{Code: fault.Internal, Op: "service.Mailbox", Target: p.core.path, RequestID: id, Message: what, Cause: cause}
	p.core.log.Load().LogAttrs(ctx, slog.LevelError, what, fault.Attrs(f)...)
	p.core.waiting.tell(id, answer{err: f})
}

// handle has one request handled and ends its lease.
func (p *pump) handle(ctx context.Context, lease Lease) {
	parcel := lease.Parcel()
	m, out := p.perform(ctx, parcel)
	if out.err != nil && !out.fromApplication {
		final, err := lease.Fail(ctx, out.err)
		switch {
		case err != nil:
			p.failed(ctx, parcel.RequestID, "a request could not be given back to its mailbox", err)
		case final:
			p.core.waiting.tell(parcel.RequestID, answer{err: out.err})
		}
		return
	}
	frame := responseFrame(m, out, p.core.errors, wire.DefaultMaxMessage)
	if err := lease.Done(ctx, frame); err != nil {
		p.failed(ctx, parcel.RequestID, "an answer could not be kept", err)
		return
	}
	p.core.waiting.tell(parcel.RequestID, answer{frame: frame})
}

// perform asks a worker. The method's timeout begins anew with each attempt: the
// caller's is that of the caller.
func (p *pump) perform(ctx context.Context, parcel Parcel) (methodType, outcome) {
	r, err := decodeRequest(parcel.Frame)
	if err != nil {
		return nil, outcome{err: &wire.PoisonError{Message: wire.Message{Type: parcel.Type, Codec: "proto", Data: parcel.Frame}, Cause: err}}
	}
	m, err := p.core.find(r.service, r.method)
	if err != nil {
		return nil, outcome{err: err}
	}
	if !r.trace.IsZero() {
		ctx = actor.WithTrace(ctx, r.trace)
	}
	ctx, cancel := context.WithTimeout(ctx, m.info().timeout())
	defer cancel()
	out, err := p.core.ask(ctx, r.incoming(p.core))
	if err != nil {
		out = outcome{err: err}
	}
	if out.fromApplication && errors.Is(out.err, context.Canceled) && ctx.Err() != nil {
		out.fromApplication = false // it was cut short by the end of this node or its time
	}
	return m, out
}
