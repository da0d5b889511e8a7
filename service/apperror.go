package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// Limits of an error on the wire.
const (
	// MaxErrorText is how many bytes of an error's text cross a border.
	MaxErrorText = 4096
	// maxErrorParts is how many typed errors of one chain cross.
	maxErrorParts = 16
)

// ErrorTypes knows the errors of an application, so that they arrive typed at a
// caller on another node: errors.As finds the types, errors.Is the values that
// were registered on both sides. Within a process an error arrives as it is,
// without this.
//
// An error that nobody registered arrives as an [Error] with its text and its
// code; a *[fault.Error] in its chain always crosses. The zero value is empty and
// usable. It may be used from any goroutine and must not be copied.
type ErrorTypes struct {
	mu     sync.RWMutex
	order  []errorType
	byName map[string]errorType
}

// errorType is one kind of error that crosses.
type errorType struct {
	name   string
	goType reflect.Type                                // of the error type
	value  error                                       // of the sentinel
	encode func(err error) (wire.Message, bool, error) // false: the chain has none
	decode func(wire.Message) (error, error)
}

// RegisterError adds a type of errors. The error, code ALREADY_EXISTS, is that of
// a name that is taken.
func RegisterError[E error](r *ErrorTypes, t wire.Type[E]) error {
	return r.add(errorType{
		name: t.Name(), goType: reflect.TypeFor[E](),
		encode: func(err error) (wire.Message, bool, error) {
			e, ok := errors.AsType[E](err)
			if !ok {
				return wire.Message{}, false, nil
			}
			m, err := t.Encode(e)
			return m, true, err
		},
		decode: func(m wire.Message) (error, error) { return t.Decode(m) },
	})
}

// RegisterErrorValue adds a single error, such as a sentinel, under a name that
// both sides use. The error, code ALREADY_EXISTS, is that of a name that is taken.
func (r *ErrorTypes) RegisterErrorValue(name string, value error) error {
	return r.add(errorType{
		name: name, value: value,
		encode: func(err error) (wire.Message, bool, error) {
			return wire.Message{Type: name}, errors.Is(err, value), nil
		},
		decode: func(wire.Message) (error, error) { return value, nil },
	})
}

func (r *ErrorTypes) add(t errorType) error {
	if t.name == "" || len(t.name) > wire.MaxTypeName || !utf8.ValidString(t.name) {
		return fault.New(fault.InvalidArgument, "service.RegisterError", "%.300q is no name; it is 1 to %d bytes of UTF-8", t.name, wire.MaxTypeName)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byName[t.name]; ok {
		if old.goType == t.goType && old.value == t.value { //nolint:errorlint // the same value is meant
			return nil
		}
		return fault.New(fault.AlreadyExists, "service.RegisterError", "%s is registered for another error", t.name)
	}
	if r.byName == nil {
		r.byName = map[string]errorType{}
	}
	r.byName[t.name] = t
	r.order = append(r.order, t)
	return nil
}

func (r *ErrorTypes) types() []errorType {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clip(r.order)
}

// Error is an application's error from another node. It prints the text of the
// original; errors.As and errors.Is find in it what [ErrorTypes] knows, and the
// original's *[fault.Error] if it had one.
type Error struct {
	// Code is the code that the original had, UNKNOWN if none.
	Code fault.Code
	// Text is the text of the original, at most [MaxErrorText] bytes.
	Text string

	parts []error
}

// Error is the text of the original.
func (e *Error) Error() string { return e.Text }

// Unwrap gives the typed errors of the original's chain.
func (e *Error) Unwrap() []error { return e.parts }

// Is reports whether target is the code of the original or the context's error
// that the code stands for, as it is with a *[fault.Error].
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == fault.Canceled
	case context.DeadlineExceeded:
		return e.Code == fault.DeadlineExceeded
	case e.Code:
		return e.Code != fault.Unknown
	}
	return false
}

// FaultCode is the code of the original.
func (e *Error) FaultCode() fault.Code { return e.Code }

// Fields of an application's error on the wire.
const (
	errorCode protowire.Number = 1 + iota
	errorText
	errorFault // JSON
	errorPart  // a message
)

// appendError encodes an application's error.
func (r *ErrorTypes) appendError(dst []byte, err error) ([]byte, error) {
	dst = protowire.AppendTag(dst, errorCode, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(fault.CodeOf(err)))
	dst = appendString(dst, errorText, shorten(err.Error()))
	if f, ok := errors.AsType[*fault.Error](err); ok {
		text, err := json.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("encode the fault in an error: %w", err)
		}
		dst = appendBytes(dst, errorFault, text)
	}
	parts := 0
	for _, t := range r.types() {
		m, found, bad := t.encode(err)
		if bad != nil {
			return nil, bad
		}
		if found && parts < maxErrorParts {
			parts++
			dst = appendBytes(dst, errorPart, appendMessage(nil, m))
		}
	}
	return dst, nil
}

// shorten bounds an error's text and makes it valid.
func shorten(text string) string {
	if len(text) > MaxErrorText {
		text = text[:MaxErrorText-3] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// decodeError decodes an application's error. The second result is what is wrong
// with the data. A part that does not decode, or that this side does not know, is
// left out: the text and the code are worth more than nothing.
func (r *ErrorTypes) decodeError(data []byte) (*Error, error) {
	e := &Error{Code: fault.Unknown}
	err := eachField(data, func(num protowire.Number, n uint64, b []byte) error {
		switch num {
		case errorCode:
			if c := fault.Code(n); n <= 255 && c != fault.OK && !strings.HasPrefix(c.String(), "CODE(") { //nolint:gosec // compared
				e.Code = c
			}
		case errorText:
			e.Text = shorten(string(b))
		case errorFault:
			f := &fault.Error{}
			if err := json.Unmarshal(b, f); err != nil {
				return err
			}
			e.parts = append(e.parts, f)
		case errorPart:
			m, err := decodeMessage(b)
			if err != nil {
				return err
			}
			if part := r.decodePart(m); part != nil && len(e.parts) <= maxErrorParts {
				e.parts = append(e.parts, part)
			}
		}
		return nil
	})
	return e, err
}

func (r *ErrorTypes) decodePart(m wire.Message) error {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	t, ok := r.byName[m.Type]
	r.mu.RUnlock()
	if !ok {
		return nil
	}
	part, err := t.decode(m)
	if err != nil {
		return nil //nolint:nilerr // left out, see decodeError
	}
	return part
}
