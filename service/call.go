package service

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/troupe-dev/troupe/actor"
)

// Call is one call on its way, at the caller and at the callee. Interceptors get
// it, and a handler's context knows it, see [CallFrom].
//
// The deadline and the trace of a call are those of its context, which travel.
type Call struct {
	// Method is what is called.
	Method *MethodInfo
	// Target is the address of the actor that is called.
	Target string
	// RequestID identifies the request. All attempts of one call have the same;
	// a durable mailbox handles it once.
	RequestID string
	// CallerID says who calls: the path of an actor, or what [WithCallerID] said.
	// It is not proven by anything.
	CallerID string
	// Retries is how often the call was tried before.
	Retries int

	// Request is the message, of the method's request type. A client's
	// interceptor may exchange it.
	Request any
	// Response is the answer once there is one, of the method's response type. An
	// interceptor may exchange it on its way back.
	Response any
	// FromApplication is set with an error that the application answered with. An
	// error without it is a failure of the framework, or of an interceptor.
	FromApplication bool

	method methodType
	index  int  // of the method, at the callee
	served bool // this is the callee's side of it
}

// NewRequestID returns a new identity for a request: 128 random bits in
// hexadecimal.
func NewRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}

type callKey struct{}
type requestIDKey struct{}
type callerIDKey struct{}

// CallFrom returns the call that a handler is serving, from its context or one
// derived from it. It must not be changed.
func CallFrom(ctx context.Context) (*Call, bool) {
	c, ok := ctx.Value(callKey{}).(*Call)
	return c, ok
}

// WithRequestID returns a context in which the next call has this request id, so
// that a request which came from elsewhere keeps its identity. It does not apply
// to the calls that its handler makes.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// WithCallerID returns a context in which calls are made in this name. Without it
// the caller is the actor whose handler makes the call.
func WithCallerID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callerIDKey{}, id)
}

// newCall begins a call.
func newCall(ctx context.Context, m methodType, target string, req any) *Call {
	c := &Call{Method: m.info(), Target: target, Request: req, method: m}
	if id, ok := ctx.Value(requestIDKey{}).(string); ok && id != "" {
		c.RequestID = id
	} else {
		c.RequestID = NewRequestID()
	}
	c.CallerID = callerOf(ctx)
	return c
}

// callerOf says who makes calls with this context.
func callerOf(ctx context.Context) string {
	if id, ok := ctx.Value(callerIDKey{}).(string); ok {
		return id
	}
	if h, ok := ctx.Value(callKey{}).(*Call); ok {
		return h.Target
	}
	if a, ok := ctx.(interface{ Address() actor.Address }); ok {
		return a.Address().Path
	}
	return ""
}

// handlerContext is the context of a handler: its actor's, which ends with the
// deadline of the call, and the call itself. The actor's part makes asks in a
// circle an error.
type handlerContext struct {
	*actor.Context[Message]
	call *Call
}

// Value adds the call to what the actor's context knows.
func (h handlerContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return h.call
	}
	return h.Context.Value(key)
}
