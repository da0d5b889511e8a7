package service

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Client calls the methods of an actor. Generated clients have one inside. It is
// immutable and may be used from any goroutine.
type Client struct {
	target  Target
	address string
	handle  Handler
}

// ClientOption is a choice of one who makes a client.
type ClientOption func(*clientOptions)

type clientOptions struct{ interceptors []Interceptor }

// Intercept puts interceptors around the calls of a client, the first outermost.
func Intercept(i ...Interceptor) ClientOption {
	return func(o *clientOptions) { o.interceptors = append(o.interceptors, i...) }
}

// NewClient makes a client for the actor at an address. It does not look whether
// there is one.
func NewClient[S any](to Ref[S], opts ...ClientOption) *Client {
	var o clientOptions
	for _, opt := range opts {
		opt(&o)
	}
	c := &Client{target: to.target, address: to.Address()}
	c.handle = c.send
	if len(o.interceptors) > 0 {
		c.handle = chain(o.interceptors, c.send)
	}
	return c
}

// Invoke calls a method and waits for its answer. Generated clients call it.
//
// The request belongs to the callee until the call has ended, and after a failed
// call for good: it must not be changed, as an actor in this process gets it as
// it is. The response is the caller's.
//
// Errors: the application's own, typed, see [ErrorTypes] for what comes from
// another node. Anything else is a *[fault.Error] that says which actor, method
// and request it was about:
//
//	NOT_FOUND            no such actor
//	UNIMPLEMENTED        the actor has no such method
//	INVALID_ARGUMENT     the request can't be sent: it is nil, does not encode or is too large
//	DEADLINE_EXCEEDED    no answer in time; the handler's context has ended, but it may go on
//	CANCELED             ctx ended; if it had before the call, nothing was sent
//	UNAVAILABLE          the actor or the way to it is not available now
//	RESOURCE_EXHAUSTED   the actor's mailbox is full, if it refuses then
//	FAILED_PRECONDITION  the callee waits for the caller
//	POISON               the request or the response does not decode
//	INTERNAL             the handler panicked, or the mailbox's store failed
func Invoke[Req, Res any](ctx context.Context, c *Client, m *Method[Req, Res], req Req) (Res, error) {
	var zero Res
	call := newCall(ctx, m, c.address, req)
	if nilChecker[Req]()(req) {
		return zero, call.failure(ctx, fault.New(fault.InvalidArgument, "service", "the request is nil"))
	}
	if err := c.handle(ctx, call); err != nil {
		if call.FromApplication {
			return zero, err
		}
		return zero, call.failure(ctx, err)
	}
	res, ok := call.Response.(Res)
	if !ok {
		return zero, call.failure(ctx, wrongType[Res]("the response", call.Response))
	}
	return res, nil
}

// send is the innermost handler of a client: one attempt.
func (c *Client) send(ctx context.Context, call *Call) error {
	call.Response, call.FromApplication = nil, false
	if c.target == nil {
		return actor.ErrNoActor
	}
	if err := ctx.Err(); err != nil {
		return err // not sent: a fast answer could come before the end is looked at
	}
	if d, ok := ctx.Deadline(); !ok || time.Until(d) > call.Method.timeout() {
		bounded, cancel := context.WithTimeout(ctx, call.Method.timeout())
		defer cancel()
		ctx = bounded
	}
	return c.target.Call(ctx, call)
}

// failure makes a failure of the framework an error record: one that says which
// request it was and who made it.
func (c *Call) failure(ctx context.Context, err error) error {
	f := &fault.Error{
		Code: fault.CodeOf(err), Op: "service.Call", Target: c.Target, Message: c.Method.FullName(),
		RequestID: c.RequestID, CallerID: c.CallerID, RetryCount: c.Retries, Cause: err,
	}
	if t, ok := actor.TraceFrom(ctx); ok {
		f.TraceID, f.SpanID = t.TraceID(), t.SpanID()
	}
	return f
}
