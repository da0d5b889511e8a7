package service

import (
	"context"
	"log/slog"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// Mailbox keeps the requests of durable methods until they have been handled, and
// their answers for those who ask again. It is what this package needs of a
// durable mailbox, and must be safe for concurrent use.
//
// A request is identified by its request id. Put again, it is not handled again,
// but gets the answer of the first time.
type Mailbox interface {
	// Ask keeps a request and waits for its answer, or for ctx. Once it is kept it
	// will be handled, whatever happens to the caller and to the node.
	//
	// Errors: INTERNAL if the mailbox's store fails; the context's, when the
	// request may or may not be kept; that of the last attempt if the request
	// has become a dead letter.
	Ask(ctx context.Context, p Parcel) (answer []byte, err error)
	// Serve spawns, below parent, what hands the kept requests to handle, at most
	// concurrency at once, until parent ends. It is called once for each start of
	// the service. The failure of its store does not end it: it tries again.
	//
	// With a nil error of handle the request is done, and its answer is kept in
	// the same commit. An error is a failure of the framework: the request is
	// handed out again later, or becomes a dead letter, as the mailbox's rules
	// say; with the code POISON at once.
	Serve(parent actor.Parent, concurrency int, handle func(ctx context.Context, p Parcel) (answer []byte, err error)) error
}

// Parcel is a request as a mailbox keeps it.
type Parcel struct {
	RequestID string
	CallerID  string
	TargetID  string      // the path of the actor
	Trace     actor.Trace // the zero value if there is none
	Type      string      // of the message in Frame, for people
	Frame     []byte      // the request; opaque
	// Key says which requests must be handled one after the other, in the order
	// in which they were kept: those with equal keys. It is the key of the method,
	// or else the caller.
	Key string
}

// callDurably puts the request into the mailbox and waits for its answer. When
// the caller leaves, the request stays.
func (c *core) callDurably(ctx context.Context, call *Call) error {
	frame, err := encodeCall(ctx, call, c.path, wire.DefaultMaxMessage)
	if err != nil {
		return err
	}
	p := Parcel{
		RequestID: call.RequestID, CallerID: call.CallerID, TargetID: c.path,
		Type: call.method.requestName(), Frame: frame, Key: call.CallerID,
	}
	p.Trace, _ = actor.TraceFrom(ctx)
	if key, ok := call.method.keyOf(call.Request); ok {
		p.Key = key
	}
	kept, err := c.mailbox.Ask(ctx, p)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return &fault.Error{
			Code: fault.CodeOf(ctx.Err()), Op: "service", Target: c.path, Message: "no answer in time", Cause: err,
			Hint: "a request that was kept will still be handled: ask again with the same request id",
		}
	default:
		if fault.CodeOf(err) == fault.Internal {
			c.mailboxFailed(ctx, call, err)
		}
		return err
	}
	out, err := decodeResponse(kept, call.method, c.errors)
	if err != nil {
		return err
	}
	call.Response, call.FromApplication = out.response, out.fromApplication
	return out.err
}

// mailboxFailed counts and logs a store that failed.
func (c *core) mailboxFailed(ctx context.Context, call *Call, cause error) {
	c.stats.mailboxFailures.Add(1)
	f := call.failure(ctx, cause)
	c.log.Load().LogAttrs(ctx, slog.LevelError, "the mailbox of a durable method failed", fault.Attrs(f)...)
}

// handleParcel has a kept request handled by a worker. The method's timeout begins
// anew with each attempt: the caller's is that of the caller.
func (c *core) handleParcel(ctx context.Context, p Parcel) ([]byte, error) {
	r, err := decodeRequest(p.Frame)
	if err != nil {
		return nil, &wire.PoisonError{Message: wire.Message{Type: p.Type, Codec: "proto", Data: p.Frame}, Cause: err}
	}
	m, in, err := c.accept(r)
	if err != nil {
		return nil, err
	}
	if !r.trace.IsZero() {
		ctx = actor.WithTrace(ctx, r.trace)
	}
	bounded, cancel := context.WithTimeout(ctx, m.info().timeout())
	defer cancel()
	out, err := c.ask(bounded, in)
	if err != nil {
		return nil, err
	}
	if out.err != nil && !out.fromApplication {
		return nil, out.err
	}
	return responseFrame(m, out, c.errors, wire.DefaultMaxMessage), nil
}
