package service

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
)

// core is what there is of a service apart from the type of its implementation.
// It outlives restarts. As a Target it is the way to an actor in this process.
type core struct {
	service string
	path    string           // this and front are set by the first start
	front   actor.Ref[Query] // the service's actor
	methods map[string]method
	mailbox Mailbox
	errors  *ErrorTypes

	concurrency int // at least 1

	workers atomic.Pointer[actor.Ref[Message]]
	log     atomic.Pointer[slog.Logger]
	stats   counters
}

// method is one of a service, with its place in Spec.Methods.
type method struct {
	methodType

	index int
}

func newCore[S any](spec *Spec[S]) *core {
	c := &core{
		service: spec.Service, methods: make(map[string]method, len(spec.Methods)), mailbox: spec.Mailbox, errors: spec.Errors,
		concurrency: max(1, spec.Concurrency),
	}
	for i, b := range spec.Methods {
		c.methods[b.method.info().Name] = method{b.method, i}
	}
	return c
}

// Address is the path of the service's actor.
func (c *core) Address() string { return c.path }

// Call performs a call: by way of the mailbox if the method is durable.
func (c *core) Call(ctx context.Context, call *Call) error {
	m, err := c.find(call.Method.Service, call.Method.Name)
	if err != nil {
		return err
	}
	if m.info().Durable {
		return c.callDurably(ctx, call)
	}
	in := &incoming{core: c, call: *call}
	in.call.Target, in.call.Method, in.call.method, in.call.index, in.call.served = c.path, m.info(), m.methodType, m.index, true
	out, err := c.ask(ctx, in)
	if err != nil {
		return err
	}
	call.Response, call.FromApplication = out.response, out.fromApplication
	return out.err
}

// ask hands a call to a worker and waits for what comes of it. The error is the
// framework's.
func (c *core) ask(ctx context.Context, in *incoming) (outcome, error) {
	in.trace, _ = actor.TraceFrom(ctx)
	out, err := actor.Ask(ctx, *c.workers.Load(), func(r actor.Reply[outcome]) Message {
		in.reply = r
		return Message{in}
	})
	if err != nil && ctx.Err() != nil {
		in.leave()
	}
	return out, err
}

// find returns the method that is called.
func (c *core) find(service, name string) (method, error) {
	if m, ok := c.methods[name]; ok && service == c.service {
		return m, nil
	}
	c.stats.failures.Add(1)
	return method{}, c.unknown(service, name)
}

// accept makes a request that came as bytes a call for a worker. The message is
// decoded by who brings it, not by the worker, which has other things to do.
func (c *core) accept(r *request) (method, *incoming, error) {
	m, err := c.find(r.service, r.method)
	if err != nil {
		return m, nil, err
	}
	in := &incoming{core: c}
	in.call = Call{
		Method: m.info(), Target: c.path, RequestID: r.requestID, CallerID: r.callerID, Retries: r.retries,
		method: m.methodType, index: m.index, served: true,
	}
	if in.call.Request, err = m.decodeRequest(r.message); err != nil {
		c.stats.failures.Add(1)
		return m, nil, err
	}
	return m, in, nil
}

// unknown says what is wrong with a method, and what there is.
func (c *core) unknown(service, name string) error {
	var names []string
	for n := range c.methods {
		names = append(names, n)
	}
	slices.Sort(names)
	f := &fault.Error{Code: fault.Unimplemented, Op: "service", Target: c.path, Message: fmt.Sprintf("the actor has no method %.200q", service+"/"+name)}
	if service == c.service {
		f.Hint = suggest.DidYouMean(name, names)
	}
	if f.Hint == "" {
		f.Hint = "it serves " + c.service + " with " + strings.Join(names, ", ")
	}
	return f
}

// key chooses the worker of a call. A call without a key takes the one with the
// least to do; an empty key is a key like any other.
func (c *core) key(m Message) string {
	if key, ok := m.in.call.method.keyOf(m.in.call.Request); ok {
		return "=" + key
	}
	return ""
}

// incoming is a call at the callee.
type incoming struct {
	core     *core
	call     Call
	reply    actor.Reply[outcome]
	trace    actor.Trace
	state    atomic.Uint32
	returned bool // the handler has, in whatever way but a panic
}

// outcome is what comes of a call.
type outcome struct {
	response        any
	err             error
	fromApplication bool
}

// States of an incoming call, to tell a handler that ignores the end of its time.
const (
	callQueued uint32 = iota
	callRunning
	callRunaway // runs, though its time was up runawayGrace ago
	callOver    // done
	callLeft    // its caller left before it was begun, which it will not be
)

// runawayGrace is how long a handler may take to notice that its context ended.
const runawayGrace = time.Second

// begin reports whether the call is still wanted.
func (in *incoming) begin() bool { return in.state.CompareAndSwap(callQueued, callRunning) }

// begun reports whether the handler was called.
func (in *incoming) begun() bool {
	s := in.state.Load()
	return s != callQueued && s != callLeft
}

// end is told that the handler has returned.
func (in *incoming) end() {
	if in.state.Swap(callOver) == callRunaway {
		in.core.stats.runaways.Add(-1)
		in.core.log.Load().LogAttrs(context.Background(), slog.LevelWarn, "a handler that ignored the end of its context has returned", in.attrs()...)
	}
}

// leave is told that the caller does not wait any longer. Go can't end a handler
// that does not watch its context, so it is counted and shown.
func (in *incoming) leave() {
	if in.state.CompareAndSwap(callQueued, callLeft) || in.state.Load() != callRunning {
		return
	}
	time.AfterFunc(runawayGrace, func() {
		if in.state.CompareAndSwap(callRunning, callRunaway) {
			in.core.stats.runaways.Add(1)
			in.core.stats.runawaysTotal.Add(1)
			in.core.log.Load().LogAttrs(context.Background(), slog.LevelWarn, "a handler ignores the end of its context and holds up its worker", in.attrs()...)
		}
	})
}

// attrs are those of a record that says that the call is out of time.
func (in *incoming) attrs() []slog.Attr {
	f := &fault.Error{
		Code: fault.DeadlineExceeded, Op: "service", Target: in.core.path,
		RequestID: in.call.RequestID, CallerID: in.call.CallerID, RetryCount: in.call.Retries,
		TraceID: in.trace.TraceID(), SpanID: in.trace.SpanID(),
	}
	return append(fault.Attrs(f), slog.String("method", in.call.Method.FullName()))
}
