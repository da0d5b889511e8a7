package wire

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// Message is an encoded value.
type Message struct {
	Type  string // the name of its type
	Codec string // the name of its codec
	Data  []byte
}

// MaxTypeName is the longest name of a type, in bytes.
const MaxTypeName = 255

// Type is how values of M cross a border. It is immutable and may be used from
// any goroutine; the zero value is not usable.
type Type[M any] struct {
	name  string
	later func() string // the name, where it is not known yet
	codec Codec
	fresh func() M // makes the value to decode into; nil: decode into a zero M
}

// NewType makes a type with a codec of one's own. It panics if the name is empty,
// longer than [MaxTypeName] or no UTF-8, or codec is nil: types are made when a
// program starts.
func NewType[M any](name string, codec Codec) Type[M] {
	if name == "" || len(name) > MaxTypeName || !utf8.ValidString(name) {
		panic(fmt.Sprintf("wire: %.300q is no name of a type; it is 1 to %d bytes of UTF-8", name, MaxTypeName))
	}
	if codec == nil {
		panic(fmt.Sprintf("wire: type %s has no codec", name))
	}
	return Type[M]{name: name, codec: codec}
}

// Proto is the type of a generated message; its name is the message's full name,
// such as "troupe.example.echo.v1.EchoRequest". It may be called while packages
// are being initialized.
func Proto[M proto.Message]() Type[M] {
	var none M
	return Type[M]{
		codec: protoCodec{},
		later: sync.OnceValue(func() string { return string(none.ProtoReflect().Descriptor().FullName()) }),
		fresh: func() M { return none.ProtoReflect().New().Interface().(M) },
	}
}

// CBOR is a Go type that crosses as CBOR. Fields are named by their tags "cbor"
// or "json". It panics like [NewType].
func CBOR[M any](name string) Type[M] { return NewType[M](name, cborCodec{}) }

// MessagePack is a Go type that crosses as MessagePack. Fields are named by their
// tag "msgpack". It panics like [NewType].
func MessagePack[M any](name string) Type[M] { return NewType[M](name, msgpackCodec{}) }

// JSON is a Go type that crosses as JSON. It panics like [NewType].
func JSON[M any](name string) Type[M] { return NewType[M](name, jsonCodec{}) }

// Name is the name by which both sides know the type.
func (t Type[M]) Name() string {
	if t.later != nil {
		return t.later()
	}
	return t.name
}

// CodecName is the name of the type's codec.
func (t Type[M]) CodecName() string { return t.codec.Name() }

// Encode encodes a value. The error, code INVALID_ARGUMENT, is that of a value
// which the codec can't represent.
func (t Type[M]) Encode(m M) (Message, error) {
	data, err := t.Append(nil, m)
	if err != nil {
		return Message{}, err
	}
	return Message{Type: t.Name(), Codec: t.codec.Name(), Data: data}, nil
}

// Append encodes a value and appends it to dst. It is [Type.Encode] for those who
// have a buffer.
func (t Type[M]) Append(dst []byte, m M) (out []byte, err error) {
	defer func() { // a codec calls the value's own methods
		if p := recover(); p != nil {
			out, err = dst, notEncoded(t.Name(), fmt.Errorf("panic: %v", p))
		}
	}()
	out, err = t.codec.Append(dst, m)
	if err != nil {
		return dst, notEncoded(t.Name(), err)
	}
	return out, nil
}

// Decode decodes a message. It keeps nothing of m.Data unless it fails.
//
// The error is a *[PoisonError]: the data is damaged or not of this type. It
// matches [ErrWrongType] if the message says so itself.
func (t Type[M]) Decode(m Message) (value M, err error) {
	var zero M
	defer func() {
		if p := recover(); p != nil {
			value, err = zero, poisoned(m, fmt.Errorf("panic: %v", p))
		}
	}()
	if m.Type != t.Name() || m.Codec != t.codec.Name() {
		return zero, poisoned(m, ErrWrongType.WithTarget(t.Name()+" in "+t.codec.Name()))
	}
	if t.fresh != nil {
		value = t.fresh()
		err = t.codec.Decode(m.Data, value)
	} else {
		err = t.codec.Decode(m.Data, &value)
	}
	if err == nil && isNil(value) {
		err = errors.New("it holds no value")
	}
	if err != nil {
		return zero, poisoned(m, err)
	}
	return value, nil
}

// isNil reports whether a value of a pointer type is nil: a codec can make it so
// from a "null", and a handler would not expect it.
func isNil[M any](m M) bool {
	v := reflect.ValueOf(m)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
