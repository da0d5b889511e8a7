package service

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// DefaultTimeout bounds a call of a method that does not say otherwise.
const DefaultTimeout = 30 * time.Second

// MethodInfo describes a method, without its types. It must not be changed once
// the method is in use.
type MethodInfo struct {
	// Service is the full name of the service, such as "shop.v1.Orders".
	Service string
	// Name is the name of the method, such as "Place".
	Name string
	// Timeout bounds a call, from the moment it is made to its answer, the wait
	// in the mailbox included. A context that ends earlier wins. Default 30 s.
	Timeout time.Duration
	// Durable: the request is kept in the service's [Mailbox] until it has been
	// handled, even if the caller or the node goes down.
	Durable bool
	// Idempotent: handling a request twice has the effect of handling it once, so
	// that [Retry] may repeat a call whose fate is unknown.
	Idempotent bool
}

// FullName is "service/method".
func (m *MethodInfo) FullName() string { return m.Service + "/" + m.Name }

func (m *MethodInfo) timeout() time.Duration {
	if m.Timeout <= 0 {
		return DefaultTimeout
	}
	return m.Timeout
}

// Method describes a method with the types of its request and its response.
// Generated code has one for each method of a .proto service; for Go types of
// one's own it is written by hand:
//
//	var Place = &service.Method[Order, Receipt]{
//		MethodInfo: service.MethodInfo{Service: "shop.Orders", Name: "Place"},
//		Request:    wire.CBOR[Order]("shop.Order"),
//		Response:   wire.CBOR[Receipt]("shop.Receipt"),
//	}
//
// It must not be changed once it is in use.
type Method[Req, Res any] struct {
	MethodInfo
	Request  wire.Type[Req]
	Response wire.Type[Res]
	// Key says which requests must not be handled at the same time, in a service
	// with a Concurrency above 1: those with equal keys, which also stay in order.
	// Nil: any may. It must be safe for concurrent use.
	Key func(Req) string
}

// methodType is a Method that has forgotten its parameters.
type methodType interface {
	info() *MethodInfo
	encodeRequest(any) (wire.Message, error)
	decodeRequest(wire.Message) (any, error)
	encodeResponse(any) (wire.Message, error)
	decodeResponse(wire.Message) (any, error)
	requestName() string
	// keyOf is the key of a request; false if it has none.
	keyOf(any) (string, bool)
}

func (m *Method[Req, Res]) info() *MethodInfo   { return &m.MethodInfo }
func (m *Method[Req, Res]) requestName() string { return m.Request.Name() }

func (m *Method[Req, Res]) encodeRequest(v any) (wire.Message, error) {
	req, ok := v.(Req)
	if !ok {
		return wire.Message{}, wrongType[Req]("the request", v)
	}
	return m.Request.Encode(req)
}

func (m *Method[Req, Res]) encodeResponse(v any) (wire.Message, error) {
	res, ok := v.(Res)
	if !ok {
		return wire.Message{}, wrongType[Res]("the response", v)
	}
	return m.Response.Encode(res)
}

func (m *Method[Req, Res]) decodeRequest(w wire.Message) (any, error)  { return m.Request.Decode(w) }
func (m *Method[Req, Res]) decodeResponse(w wire.Message) (any, error) { return m.Response.Decode(w) }

func (m *Method[Req, Res]) keyOf(v any) (string, bool) {
	req, ok := v.(Req)
	if !ok || m.Key == nil {
		return "", false
	}
	return m.Key(req), true
}

// wrongType is what an interceptor gets that exchanged a message for one of
// another type.
func wrongType[Want any](what string, v any) error {
	return fault.New(fault.Internal, "service", "%s is a %T, want %v; an interceptor has exchanged it", what, v, reflect.TypeFor[Want]())
}

// Binding ties a method to the function of S that implements it.
type Binding[S any] struct {
	method methodType
	call   func(S, context.Context, any) (any, error)
}

// Bind ties a method to its implementation, usually a method expression:
//
//	service.Bind(Place, Orders.Place)
func Bind[S, Req, Res any](m *Method[Req, Res], f func(S, context.Context, Req) (Res, error)) Binding[S] {
	noNil := nilChecker[Res]()
	return Binding[S]{m, func(s S, ctx context.Context, v any) (any, error) {
		req, ok := v.(Req)
		if !ok {
			return nil, &brokenAnswer{wrongType[Req]("the request", v)}
		}
		res, err := f(s, ctx, req)
		if err != nil {
			return nil, err
		}
		if noNil(res) {
			return nil, &brokenAnswer{fmt.Errorf("the handler of %s returned neither a response nor an error", m.FullName())}
		}
		return res, nil
	}}
}

// brokenAnswer is the framework's error where the application's was expected.
type brokenAnswer struct{ cause error }

func (b *brokenAnswer) Error() string         { return b.cause.Error() }
func (b *brokenAnswer) Unwrap() error         { return b.cause }
func (b *brokenAnswer) FaultCode() fault.Code { return fault.Internal }

// nilChecker returns a function that reports whether a value of a pointer type is
// nil; it is always false for other types.
func nilChecker[T any]() func(T) bool {
	if reflect.TypeFor[T]().Kind() != reflect.Pointer {
		return func(T) bool { return false }
	}
	return func(v T) bool { return reflect.ValueOf(v).IsNil() }
}
