package actor

import (
	"context"
	"encoding/hex"
)

// Trace is the identity of a trace and of the span that caused a message, as in
// W3C Trace Context. It travels with every tell and ask made with a context that
// carries one, and costs nothing where none is present.
type Trace struct {
	ID    [16]byte
	Span  [8]byte
	Flags byte // bit 0: sampled
}

// IsZero reports whether there is no trace.
func (t Trace) IsZero() bool { return t.ID == [16]byte{} }

// TraceID is the trace's identity in hexadecimal, "" without a trace.
func (t Trace) TraceID() string {
	if t.IsZero() {
		return ""
	}
	return hex.EncodeToString(t.ID[:])
}

// SpanID is the span's identity in hexadecimal, "" without a trace.
func (t Trace) SpanID() string {
	if t.IsZero() {
		return ""
	}
	return hex.EncodeToString(t.Span[:])
}

type traceKey struct{}

// WithTrace returns a context that carries the trace.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, &t)
}

// TraceFrom returns the trace that the context carries. Inside a handler that is
// the trace of the message being handled.
func TraceFrom(ctx context.Context) (Trace, bool) {
	if t := traceOf(ctx); t != nil {
		return *t, true
	}
	return Trace{}, false
}

func traceOf(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}
