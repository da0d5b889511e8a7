package durable

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/wire"
)

// A Codec turns values of M into bytes and back. A [wire.Type] is one, for a
// single Go type; a [Union] is one, for an interface of several. It must be safe
// for concurrent use.
type Codec[M any] interface {
	// Encode's error, INVALID_ARGUMENT, is that of a value it can't represent.
	Encode(m M) (wire.Message, error)
	// Decode's error is POISON: repeating it won't help.
	Decode(m wire.Message) (M, error)
}

// A Union is the codec of an interface M, such as a sealed protocol or the events
// of an entity. It encodes a value as its Go type says and decodes it as the name
// in the bytes says; old forms of events are brought up to date on the way in.
//
//	var Events = durable.NewUnion(
//		durable.Type[Event](wire.CBOR[Opened]("bank.Opened")),
//		durable.Type[Event](wire.CBOR[Deposited]("bank.Deposited.v2")),
//		durable.Upcast(wire.CBOR[depositedV1]("bank.Deposited"), func(old depositedV1) (Event, error) {
//			return Deposited{Cents: old.Euros * 100}, nil
//		}),
//	)
type Union[M any] struct {
	byName map[string]Case[M]
	byType map[reflect.Type]Case[M]
	names  []string
}

// A Case is one of the types of a [Union], made by [Type] or [Upcast].
type Case[M any] struct {
	name   string
	goType reflect.Type // nil: a form that is only read
	encode func(M) (wire.Message, error)
	decode func(wire.Message) (M, error)
}

// Type is a case of a union: a type that is written and read. It panics if T is
// no M, as a union is made when a program starts.
func Type[M, T any](t wire.Type[T]) Case[M] {
	var zero T
	if _, ok := any(zero).(M); !ok {
		panic(fmt.Sprintf("durable: %s, which is %v, is no %v", t.Name(), reflect.TypeFor[T](), reflect.TypeFor[M]()))
	}
	return Case[M]{
		name: t.Name(), goType: reflect.TypeFor[T](),
		encode: func(m M) (wire.Message, error) { return t.Encode(any(m).(T)) },
		decode: func(w wire.Message) (M, error) {
			value, err := t.Decode(w)
			if err != nil {
				var none M
				return none, err
			}
			return any(value).(M), nil
		},
	}
}

// Upcast is a case of a union: an old form that is only read, and turned into one
// of today. An error of f, or a panic in it, makes the message POISON.
func Upcast[M, T any](old wire.Type[T], f func(T) (M, error)) Case[M] {
	return Case[M]{name: old.Name(), decode: func(w wire.Message) (m M, err error) {
		value, err := old.Decode(w)
		if err != nil {
			return m, err
		}
		defer func() {
			if p := recover(); p != nil {
				err = &wire.PoisonError{Message: w, Cause: fmt.Errorf("upcast of %s: panic: %v", old.Name(), p)}
			}
		}()
		if m, err = f(value); err != nil {
			return m, &wire.PoisonError{Message: w, Cause: fmt.Errorf("upcast of %s: %w", old.Name(), err)}
		}
		return m, nil
	}}
}

// NewUnion makes a union. It panics if two cases have a name or a Go type in
// common.
func NewUnion[M any](cases ...Case[M]) *Union[M] {
	u := &Union[M]{byName: map[string]Case[M]{}, byType: map[reflect.Type]Case[M]{}}
	for _, c := range cases {
		if _, taken := u.byName[c.name]; taken {
			panic(fmt.Sprintf("durable: the union has two cases with the name %s", c.name))
		}
		u.byName[c.name] = c
		u.names = append(u.names, c.name)
		if c.goType == nil {
			continue
		}
		if other, taken := u.byType[c.goType]; taken {
			panic(fmt.Sprintf("durable: the union has %v as %s and as %s; make the older one an Upcast", c.goType, other.name, c.name))
		}
		u.byType[c.goType] = c
	}
	slices.Sort(u.names)
	return u
}

// Encode encodes a value by its Go type.
func (u *Union[M]) Encode(m M) (wire.Message, error) {
	c, ok := u.byType[reflect.TypeOf(m)]
	if !ok {
		return wire.Message{}, &fault.Error{
			Code: fault.InvalidArgument, Op: "durable.Union.Encode", Target: fmt.Sprintf("%T", m),
			Message: "the Go type is none of the union's", Hint: "add it to the union with durable.Type",
		}
	}
	return c.encode(m)
}

// Decode decodes a message by its name.
func (u *Union[M]) Decode(w wire.Message) (M, error) {
	c, ok := u.byName[w.Type]
	if !ok {
		var none M
		hint := "add it to the union with durable.Type, or durable.Upcast for an old form"
		if s := suggest.DidYouMean(w.Type, u.names); s != "" {
			hint += "; " + s
		}
		return none, &wire.PoisonError{Message: w, Cause: &fault.Error{
			Code: fault.Poison, Op: "durable.Union.Decode", Target: w.Type, Hint: hint, Cause: wire.ErrUnregistered,
		}}
	}
	return c.decode(w)
}
