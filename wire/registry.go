package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
)

// Registry knows types by their names, for code that does not know what will
// come. The zero value is empty and usable. It may be used from any goroutine
// and must not be copied.
type Registry struct {
	mu     sync.RWMutex
	byName map[string]entry
	byType map[reflect.Type]entry
}

// entry is a Type that has forgotten its parameter.
type entry interface {
	Name() string
	CodecName() string
	goType() reflect.Type
	encode(v any) (Message, error)
	decode(m Message) (any, error)
	parse(text []byte) (Message, error)
}

func (t Type[M]) goType() reflect.Type          { return reflect.TypeFor[M]() }
func (t Type[M]) encode(v any) (Message, error) { return t.Encode(v.(M)) }
func (t Type[M]) decode(m Message) (any, error) { return t.Decode(m) }

// Register adds a type. Registering it again changes nothing; the error, code
// ALREADY_EXISTS, is that of a name or a Go type that is taken.
func Register[M any](r *Registry, t Type[M]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := t.Name()
	for _, old := range []entry{r.byName[name], r.byType[t.goType()]} {
		if old == nil || old.Name() == name && old.CodecName() == t.CodecName() && old.goType() == t.goType() {
			continue
		}
		return fault.New(fault.AlreadyExists, "wire.Register", "%s in %s as %v: it is registered as %s in %s as %v",
			name, t.CodecName(), t.goType(), old.Name(), old.CodecName(), old.goType())
	}
	if r.byName == nil {
		r.byName, r.byType = map[string]entry{}, map[reflect.Type]entry{}
	}
	r.byName[name], r.byType[t.goType()] = t, t
	return nil
}

// Names are the names of the registered types, sorted.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.byName))
}

// Encode encodes a value of a registered Go type. The error is INVALID_ARGUMENT
// if the type is not registered or the value can't be represented.
func (r *Registry) Encode(v any) (Message, error) {
	r.mu.RLock()
	t := r.byType[reflect.TypeOf(v)]
	r.mu.RUnlock()
	if t == nil {
		return Message{}, &fault.Error{
			Code: fault.InvalidArgument, Op: "wire.Registry", Target: fmt.Sprintf("%T", v),
			Message: "the Go type is not registered", Hint: "register it with wire.Register when the program starts",
		}
	}
	return t.encode(v)
}

// Decode decodes a message into a new value of its Go type. The error is a
// *[PoisonError], which matches [ErrUnregistered] if nobody knows the type.
func (r *Registry) Decode(m Message) (any, error) {
	t, err := r.lookup(m)
	if err != nil {
		return nil, err
	}
	return t.decode(m)
}

// JSON shows a message to people, in whatever codec it is. The error is that of
// [Registry.Decode].
func (r *Registry) JSON(m Message) ([]byte, error) {
	v, err := r.Decode(m)
	if err != nil {
		return nil, err
	}
	var text []byte
	if pb, ok := v.(proto.Message); ok {
		text, err = protojson.Marshal(pb)
	} else {
		text, err = json.Marshal(v)
	}
	if err != nil {
		return nil, notEncoded(m.Type, fmt.Errorf("as JSON: %w", err))
	}
	var compact bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&compact, text); err != nil {
		return nil, notEncoded(m.Type, err)
	}
	return compact.Bytes(), nil
}

// FromJSON makes a message of a registered type from what a person has written,
// strictly: the error, INVALID_ARGUMENT, says which field is unknown or wrong. It
// is POISON and [ErrUnregistered] if nobody knows the type.
func (r *Registry) FromJSON(typeName string, text []byte) (Message, error) {
	t, err := r.lookup(Message{Type: typeName})
	if err != nil {
		return Message{}, err
	}
	return t.parse(text)
}

func (t Type[M]) parse(text []byte) (Message, error) {
	var value M
	var err error
	if t.fresh != nil {
		value = t.fresh()
		pb, _ := any(value).(proto.Message)
		err = protojson.Unmarshal(text, pb)
	} else if err = checkJSON(text); err == nil {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err = dec.Decode(&value); err == nil {
			if _, end := dec.Token(); end != io.EOF || isNil(value) {
				err = errors.New("expected one JSON value")
			}
		}
	}
	if err != nil {
		return Message{}, &fault.Error{Code: fault.InvalidArgument, Op: "wire.FromJSON", Target: t.Name(), Message: "the text is not of that type", Cause: err}
	}
	return t.Encode(value)
}

func (r *Registry) lookup(m Message) (entry, error) {
	r.mu.RLock()
	t := r.byName[m.Type]
	r.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	hint := []string{"register it with wire.Register when the program starts"}
	if s := suggest.DidYouMean(m.Type, r.Names()); s != "" {
		hint = append(hint, s)
	}
	return nil, poisoned(m, &fault.Error{
		Code: fault.Poison, Op: "wire.Registry", Target: m.Type,
		Hint: strings.Join(hint, "; "), Cause: ErrUnregistered,
	})
}
