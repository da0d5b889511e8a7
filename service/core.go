package service

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/wire"
)

// core is what there is of a service apart from the type of its implementation.
// It outlives restarts. As a Target it is the way to an actor in this process.
type core struct {
	service string
	path    string           // this and front are set by the first start
	front   actor.Ref[Query] // the service's actor
	methods map[string]methodType
	mailbox Mailbox
	errors  *ErrorTypes
	waiting waiters
	workers atomic.Pointer[actor.Ref[Message]]
	log     atomic.Pointer[slog.Logger]
	keyless atomic.Uint64
	stats   counters
}

func newCore(name string, methods map[string]methodType) *core {
	return &core{service: name, methods: methods, waiting: waiters{byID: map[string][]chan answer{}}}
}

// Address is the path of the service's actor.
func (c *core) Address() string { return c.path }

// Call performs a call: by way of the mailbox if the method is durable.
func (c *core) Call(ctx context.Context, call *Call) error {
	if call.Method.Durable && c.mailbox != nil {
		return c.callDurably(ctx, call)
	}
	in := &incoming{core: c, service: call.Method.Service, name: call.Method.Name}
	in.call = *call
	in.call.Target = c.path
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
func (c *core) find(service, name string) (methodType, error) {
	if m := c.methods[name]; m != nil && service == c.service {
		return m, nil
	}
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
	return nil, f
}

// key chooses the worker of a call. A call without a key takes any.
func (c *core) key(m Message) string {
	in := m.in
	if in.decode() == nil {
		if key, ok := in.call.method.keyOf(in.call.Request); ok {
			return key
		}
	}
	return strconv.FormatUint(c.keyless.Add(1), 10)
}

// incoming is a call at the callee.
type incoming struct {
	core    *core
	service string // as the caller has it
	name    string
	call    Call
	raw     *wire.Message // the request, if it has to be decoded
	decoded bool
	bad     error // why it does not decode
	reply   actor.Reply[outcome]
	state   atomic.Uint32
}

// outcome is what comes of a call.
type outcome struct {
	response        any
	err             error
	fromApplication bool
}

// decode finds the method and makes the request a value of its type, once. It is
// called by whoever needs it first: never by two at a time, as the call is handed
// on in between.
func (in *incoming) decode() error {
	if in.decoded {
		return in.bad
	}
	in.decoded = true
	var m methodType
	if m, in.bad = in.core.find(in.service, in.name); in.bad != nil {
		return in.bad
	}
	in.call.method, in.call.Method = m, m.info()
	if in.raw != nil {
		in.call.Request, in.bad = m.decodeRequest(*in.raw)
		in.raw = nil
	}
	return in.bad
}

// States of an incoming call, to tell a handler that ignores the end of its time.
const (
	callQueued uint32 = iota
	callRunning
	callRunaway // runs, though its time was up runawayGrace ago
	callOver    // done, or not to be begun any more
)

// runawayGrace is how long a handler may take to notice that its context ended.
const runawayGrace = time.Second

// begin reports whether the call is still wanted.
func (in *incoming) begin() bool { return in.state.CompareAndSwap(callQueued, callRunning) }

// end is told that the handler has returned.
func (in *incoming) end() {
	if in.state.Swap(callOver) == callRunaway {
		in.core.stats.runaways.Add(-1)
		in.core.log.Load().Warn("a handler that ignored the end of its context has returned", in.attrs()...)
	}
}

// leave is told that the caller does not wait any longer. Go can't end a handler
// that does not watch its context, so it is counted and shown.
func (in *incoming) leave() {
	if in.state.CompareAndSwap(callQueued, callOver) || in.state.Load() != callRunning {
		return
	}
	time.AfterFunc(runawayGrace, func() {
		if in.state.CompareAndSwap(callRunning, callRunaway) {
			in.core.stats.runaways.Add(1)
			in.core.stats.runawaysTotal.Add(1)
			in.core.log.Load().Warn("a handler ignores the end of its context and holds up its worker", in.attrs()...)
		}
	})
}

// attrs identify the call in a log record.
func (in *incoming) attrs() []any {
	return []any{
		slog.String("method", in.service+"/"+in.name), slog.String("request_id", in.call.RequestID),
		slog.String("caller_id", in.call.CallerID), slog.String("target_id", in.core.path),
	}
}
