package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// EndpointOptions are choices for what comes over links. The zero value is usable.
type EndpointOptions struct {
	// DeadLetters gets what does not decode, see [KeepLetters]. Default: it is
	// only logged.
	DeadLetters DeadLetters
	// Logger gets a record of what does not decode. Default slog.Default().
	Logger *slog.Logger
	// MaxMessage is the largest message, in bytes. Default
	// [wire.DefaultMaxMessage].
	MaxMessage int
	// Refused is told of each request that did not reach an implementation: it is
	// too large or does not decode, there is no such actor or method, or no worker
	// had time for it. See [Observe] for the others. Default: nobody is told.
	Refused func(ctx context.Context, r Report)
}

// Endpoint serves the services of a system to the other side of a link: it is
// where requests come in as bytes. It may be used from any goroutine.
type Endpoint struct {
	sys  *actor.System
	opts EndpointOptions
}

// NewEndpoint makes an endpoint for all services of a system.
func NewEndpoint(sys *actor.System, opts EndpointOptions) *Endpoint {
	if opts.MaxMessage <= 0 {
		opts.MaxMessage = wire.DefaultMaxMessage
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Endpoint{sys, opts}
}

// Serve performs the call in a request frame and returns the response frame.
// Whatever is wrong with the request is said in the response. When ctx ends, as
// it should when the other side gives up or is gone, the handler's context does.
func (e *Endpoint) Serve(ctx context.Context, frame []byte) (response []byte) {
	start := time.Now()
	if err := wire.CheckSize("a frame", len(frame), e.opts.MaxMessage+maxHeader); err != nil {
		return e.refuse(ctx, start, nil, err)
	}
	r, err := decodeRequest(frame)
	if err != nil {
		poison := &wire.PoisonError{Message: wire.Message{Type: "troupe.Request", Codec: "proto", Data: frame}, Cause: err}
		e.setAside(ctx, r.letter(poison))
		return e.refuse(ctx, start, nil, poison)
	}
	if !r.trace.IsZero() {
		ctx = actor.WithTrace(ctx, r.trace)
	}
	timeout := DefaultTimeout
	if r.timeout > 0 {
		timeout = r.timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := lookup(ctx, e.sys, r.target)
	if err != nil {
		return e.refuse(ctx, start, nil, err)
	}
	m, in, err := c.accept(r)
	if err != nil {
		if poison, ok := errors.AsType[*wire.PoisonError](err); ok {
			l := r.letter(poison)
			if m.info().Durable {
				l.Queue = c.mailbox.Queue(c.path)
			}
			e.setAside(ctx, l)
		}
		return e.refuse(ctx, start, m.methodType, err)
	}
	out := c.perform(ctx, m, in)
	if out.err != nil && !m.info().Durable && !in.begun() {
		return e.refuse(ctx, start, m, out.err)
	}
	return responseFrame(m, out, c.errors, e.opts.MaxMessage)
}

// refuse answers a request that does not reach an implementation. The method is
// nil if there is none.
func (e *Endpoint) refuse(ctx context.Context, start time.Time, m methodType, err error) []byte {
	if e.opts.Refused != nil {
		r := Report{Side: ServerSide, Code: fault.CodeOf(err), Duration: time.Since(start)}
		if m != nil {
			r.Service, r.Method = m.info().Service, m.info().Name
		}
		e.opts.Refused(ctx, r)
	}
	return faultFrame(err)
}

// perform calls the actor, by way of its mailbox if the method is durable.
func (c *core) perform(ctx context.Context, m method, in *incoming) outcome {
	if m.info().Durable {
		err := c.callDurably(ctx, &in.call)
		return outcome{in.call.Response, err, in.call.FromApplication}
	}
	out, err := c.ask(ctx, in)
	if err != nil {
		return outcome{err: err}
	}
	return out
}
