package service

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// Link is a way to another node, as services need it: something that carries a
// frame there and another back. It must be safe for concurrent use.
type Link interface {
	// RoundTrip hands the request to the [Endpoint] on the other side and returns
	// its response. It waits no longer than ctx, whose end it makes known to the
	// other side if it can. A link that has no connection fails at once.
	//
	// Errors: UNAVAILABLE if there is no connection, or if it was lost before the
	// response came, in which case nobody knows whether the request was handled;
	// the context's.
	RoundTrip(ctx context.Context, request []byte) (response []byte, err error)
}

// RemoteOptions are choices for calls over a link. The zero value is usable.
type RemoteOptions struct {
	// Errors are the application's errors that arrive typed. Default: none.
	Errors *ErrorTypes
	// MaxMessage is the largest message, in bytes. Default
	// [wire.DefaultMaxMessage]. A larger one is refused before it is sent.
	MaxMessage int
}

// Remote is the address of the actor at a path of the node behind a link.
func Remote[S any](link Link, path string, opts RemoteOptions) Ref[S] {
	if opts.MaxMessage <= 0 {
		opts.MaxMessage = wire.DefaultMaxMessage
	}
	return Ref[S]{&remote{link, path, opts}}
}

type remote struct {
	link Link
	path string
	opts RemoteOptions
}

func (r *remote) Address() string { return r.path }

func (r *remote) Call(ctx context.Context, c *Call) error {
	frame, err := encodeCall(ctx, c, r.path, r.opts.MaxMessage)
	if err != nil {
		return err
	}
	response, err := r.link.RoundTrip(ctx, frame)
	if err != nil {
		return err
	}
	if err := wire.CheckSize("a frame", len(response), r.opts.MaxMessage+maxHeader); err != nil {
		return err
	}
	out, err := decodeResponse(response, c.method, r.opts.Errors)
	if err != nil {
		return err
	}
	c.Response, c.FromApplication = out.response, out.fromApplication
	return out.err
}

// encodeCall makes a call a frame.
func encodeCall(ctx context.Context, c *Call, path string, limit int) ([]byte, error) {
	msg, err := c.method.encodeRequest(c.Request)
	if err != nil {
		return nil, err
	}
	if err := wire.CheckSize(msg.Type, len(msg.Data), limit); err != nil {
		return nil, err
	}
	r := request{
		target: path, service: c.Method.Service, method: c.Method.Name,
		requestID: c.RequestID, callerID: c.CallerID, retries: c.Retries, message: msg,
	}
	if header := len(path) + len(c.RequestID) + len(c.CallerID); header > maxHeader/2 {
		return nil, wire.CheckSize("the header of a call", header, maxHeader/2)
	}
	if d, ok := ctx.Deadline(); ok {
		if r.timeout = time.Until(d); r.timeout <= 0 {
			return nil, context.DeadlineExceeded
		}
	}
	r.trace, _ = actor.TraceFrom(ctx)
	return r.append(make([]byte, 0, len(msg.Data)+256)), nil
}

// ErrNotConnected is what a [Link] without a connection fails with. Code
// UNAVAILABLE.
var ErrNotConnected = fault.New(fault.Unavailable, "service.Link", "there is no connection to the node")
