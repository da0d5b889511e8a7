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
	bindings   map[string]func(S, context.Context, any) (any, error)
	handle     Handler
	supervised bool
}

func newServer[S any](spec *Spec[S], c *core) *server[S] {
	s := &server[S]{core: c, impl: spec.New(), supervised: spec.Supervised, bindings: map[string]func(S, context.Context, any) (any, error){}}
	for _, b := range spec.Methods {
		s.bindings[b.method.info().Name] = b.call
	}
	s.handle = chain(spec.Interceptors, s.invoke)
	return s
}

// Receive serves one call. Only a supervised service can fail by it.
func (s *server[S]) Receive(ctx *actor.Context[Message], m Message) error {
	in := m.in
	if !in.begin() {
		return nil
	}
	defer in.end()
	if err := in.decode(); err != nil {
		s.core.stats.failures.Add(1)
		in.reply.Send(outcome{err: err})
		return nil
	}
	err := s.serve(ctx, in)
	if err != nil && !in.call.FromApplication {
		s.core.stats.failures.Add(1)
	}
	in.reply.Send(outcome{in.call.Response, err, in.call.FromApplication})
	return nil
}

// serve runs the interceptors and the implementation. A panic in an interceptor
// ends here.
func (s *server[S]) serve(ctx *actor.Context[Message], in *incoming) (err error) {
	returned := false
	defer func() {
		switch {
		case returned:
		case s.supervised: // the caller is told, and the panic goes on to the supervisor
			s.core.stats.panics.Add(1)
			s.core.stats.failures.Add(1)
			in.reply.Send(outcome{err: errPanicked})
		default:
			err = s.recovered(ctx, &in.call, recover())
		}
	}()
	err = s.handle(handlerContext{ctx, &in.call}, &in.call)
	returned = true
	return err
}

// invoke is the innermost handler: the implementation. A panic of its ends here,
// so that the interceptors see the error which the caller gets.
func (s *server[S]) invoke(ctx context.Context, c *Call) (err error) {
	s.core.stats.calls.Add(1)
	c.Response, c.FromApplication = nil, false
	if !s.supervised {
		returned := false
		defer func() {
			if !returned {
				err = s.recovered(ctx, c, recover())
			}
		}()
		c.Response, err = s.bindings[c.Method.Name](s.impl, ctx, c.Request)
		returned = true
	} else {
		c.Response, err = s.bindings[c.Method.Name](s.impl, ctx, c.Request)
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*brokenAnswer](err); !ok {
		c.FromApplication = true
		s.core.stats.applicationErrors.Add(1)
	}
	return err
}

var errPanicked = &fault.Error{Code: fault.Internal, Op: "service", Message: "the handler panicked", Hint: "the log of its node has a record with the request id"}

// recovered makes an error of a panic, or of runtime.Goexit, and logs it. What
// the panic said stays on this node.
func (s *server[S]) recovered(ctx context.Context, c *Call, value any) error {
	s.core.stats.panics.Add(1)
	f := errPanicked.WithTarget(s.core.path)
	f.RequestID, f.CallerID = c.RequestID, c.CallerID
	if t, ok := actor.TraceFrom(ctx); ok {
		f.TraceID, f.SpanID = t.TraceID(), t.SpanID()
	}
	attrs := append(fault.Attrs(f), slog.String("method", c.Method.FullName()),
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
	s.core.log.Load().LogAttrs(ctx, slog.LevelError, "a handler panicked", attrs...)
	return f
}
