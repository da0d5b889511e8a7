package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// server is a worker: the behaviour that serves calls with one implementation.
type server[S any] struct {
	core       *core
	impl       S
	bindings   []Binding[S]
	handle     Handler
	supervised bool
	failed     *incoming // whose handler panicked last, if supervised
}

func newServer[S any](spec *Spec[S], c *core) *server[S] {
	s := &server[S]{core: c, impl: spec.New(), bindings: spec.Methods, supervised: spec.Supervised}
	s.handle = s.invoke
	switch {
	case len(spec.Interceptors) > 0 && s.supervised:
		s.handle = chain(spec.Interceptors, s.invoke)
	case len(spec.Interceptors) > 0:
		s.handle = chain(spec.Interceptors, s.guarded)
	}
	return s
}

// A call often runs on a goroutine that was started for it, whose stack begins
// small: growing it can cost more than the call. So what is rare is in functions
// of its own, out of the frames that lie under every handler.

// Receive serves one call. Only a supervised service can fail by it.
func (s *server[S]) Receive(ctx *actor.Context[Message], m Message) error {
	in := m.in
	if !in.begin() {
		return nil
	}
	defer s.over(ctx, in)
	err := s.handle(handlerContext{ctx, &in.call}, &in.call)
	in.returned = true
	if err != nil && !in.call.FromApplication {
		s.core.stats.failures.Add(1)
	}
	in.reply.Send(outcome{in.call.Response, err, in.call.FromApplication})
	return nil
}

// over ends a call. A panic ends here, unless the supervisor is to decide: then
// the caller is told, and the panic goes on.
func (s *server[S]) over(ctx *actor.Context[Message], in *incoming) {
	if !in.returned {
		s.core.stats.failures.Add(1)
		if s.supervised {
			s.core.stats.panics.Add(1)
			s.failed = in
			in.reply.Send(outcome{err: errPanicked})
		} else {
			in.reply.Send(outcome{err: s.recovered(ctx, &in.call, recover())})
		}
	}
	in.end()
}

// Annotate says which request a failure is about. The log record of a supervised
// service is the runtime's.
func (s *server[S]) Annotate(err error) error {
	if s.failed == nil {
		return err
	}
	c := &s.failed.call
	s.failed = nil
	return &fault.Error{
		Code: fault.CodeOf(err), Op: "service", Target: s.core.path, Message: c.Method.FullName(),
		RequestID: c.RequestID, CallerID: c.CallerID, RetryCount: c.Retries, Cause: err,
	}
}

// invoke is the innermost handler: the implementation.
func (s *server[S]) invoke(ctx context.Context, c *Call) (err error) {
	s.core.stats.calls.Add(1)
	c.Response, c.FromApplication = nil, false
	if c.Response, err = s.bindings[c.index].call(s.impl, ctx, c.Request); err != nil {
		return s.judge(ctx, c, err)
	}
	return nil
}

// guarded is invoke where there are interceptors: a panic ends in it, so that
// they see the error which the caller gets.
func (s *server[S]) guarded(ctx context.Context, c *Call) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = s.recovered(ctx, c, recover())
		}
	}()
	err = s.invoke(ctx, c)
	returned = true
	return err
}

// judge decides whose error it is that an implementation returned.
func (s *server[S]) judge(ctx context.Context, c *Call, err error) error {
	_, broken := err.(*brokenAnswer) //nolint:errorlint // wrapped by an implementation it would be an answer
	switch {
	case broken:
	case cutShort(ctx, err):
		return &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "service", Target: s.core.path, Message: "the handler gave up as its context ended", Cause: err}
	default:
		c.FromApplication = true
		s.core.stats.applicationErrors.Add(1)
	}
	return err
}

// cutShort reports whether a handler failed because it was told to end: that is
// no answer of the application.
func cutShort(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

var errPanicked = &fault.Error{Code: fault.Internal, Op: "service", Message: "the handler panicked", Hint: "the log of its node has a record with the request id"}

// recovered makes an error of a panic, or of runtime.Goexit, and logs it. What
// the panic said stays on this node.
func (s *server[S]) recovered(ctx context.Context, c *Call, value any) error {
	s.core.stats.panics.Add(1)
	f := errPanicked.WithTarget(s.core.path)
	f.RequestID, f.CallerID, f.RetryCount = c.RequestID, c.CallerID, c.Retries
	if t, ok := actor.TraceFrom(ctx); ok {
		f.TraceID, f.SpanID = t.TraceID(), t.SpanID()
	}
	attrs := append(fault.Attrs(f), slog.String("method", c.Method.FullName()),
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
	s.core.log.Load().LogAttrs(ctx, slog.LevelError, "a handler panicked", attrs...)
	return f
}
