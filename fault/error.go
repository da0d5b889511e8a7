package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Error is a failure with a code. Every field is optional; a zero Code means
// the code of Cause, or UNKNOWN without one.
//
// An Error must not be changed once it has been returned or shared: packages
// return the same *Error again and again as a sentinel. Use [Error.WithTarget]
// or a struct literal with Cause to add to one.
type Error struct {
	Code      Code   // what kind of failure
	Op        string // what was being done, as package.operation: "actor.Tell"
	Target    string // what it was done to: an actor's path or address, a file, a key
	RequestID string // the request that failed
	CallerID  string // who asked
	Message   string // what went wrong, for a person; lower case, no full stop
	Hint      string // what to do about it

	RetryCount int    // how often it was retried before it was given up
	TraceID    string // W3C trace id, 32 hex digits
	SpanID     string // W3C span id, 16 hex digits

	Cause error // the error that led to this one

	// origin is the sentinel that this error was copied from.
	origin *Error
}

// New returns an Error whose message is formatted as by fmt.Sprintf. Called
// once, its result serves as a sentinel that costs nothing to return:
//
//	var ErrMailboxFull = fault.New(fault.ResourceExhausted, "actor.Tell", "mailbox full")
func New(code Code, op, format string, args ...any) *Error {
	return &Error{Code: code, Op: op, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error with err as its cause, or nil when err is nil. The
// code OK keeps the code of err.
func Wrap(code Code, op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Op: op, Cause: err}
}

// WithTarget returns a copy of e about the given target. The copy still
// matches e: errors.Is(ErrMailboxFull.WithTarget("/a"), ErrMailboxFull) holds.
func (e *Error) WithTarget(target string) *Error {
	c := *e
	c.Target = target
	if c.origin == nil {
		c.origin = e
	}
	return &c
}

// Error returns one line: "op target: message: cause (CODE); hint". Parts that
// are empty are left out, a cause that is an *Error of the same code does not
// repeat the code, and the outermost hint of the two is given.
func (e *Error) Error() string {
	var b strings.Builder
	e.writeBody(&b)
	if b.Len() == 0 {
		b.WriteString(e.code().String())
	} else {
		b.WriteString(" (")
		b.WriteString(e.code().String())
		b.WriteByte(')')
	}
	if hint := e.hint(); hint != "" {
		b.WriteString("; ")
		b.WriteString(oneLine(hint))
	}
	return b.String()
}

func (e *Error) writeBody(b *strings.Builder) {
	b.WriteString(oneLine(e.Op))
	if e.Target != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(oneLine(e.Target))
	}
	for _, part := range [...]string{e.Message, e.causeText()} {
		part = oneLine(part)
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
}

// causeText is the text of the cause as it stands inside e's own text.
func (e *Error) causeText() string {
	if e.Cause == nil {
		return ""
	}
	inner, ok := e.Cause.(*Error)
	if !ok {
		return e.Cause.Error()
	}
	var b strings.Builder
	inner.writeBody(&b)
	if c := inner.code(); c != e.code() || b.Len() == 0 {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("(" + c.String() + ")")
	}
	return b.String()
}

// hint is e's own hint, or else that of a cause whose text e's text embeds
// without its hint.
func (e *Error) hint() string {
	if e.Hint != "" {
		return e.Hint
	}
	if inner, ok := e.Cause.(*Error); ok {
		return inner.hint()
	}
	return ""
}

// code is the code that e stands for, never OK and always valid.
func (e *Error) code() Code {
	switch {
	case e == nil:
		return Unknown
	case e.Code == OK:
		if c, ok := find(e.Cause); ok {
			return c
		}
		return Unknown
	case !e.Code.valid():
		return Unknown
	}
	return e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether e has the code that target is, is a copy of the sentinel
// that target is, or stands for the context error that target is: after a hop
// over the wire DEADLINE_EXCEEDED still matches context.DeadlineExceeded.
// Called by errors.Is, which also looks at the causes.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return e.code() == t
	case *Error:
		return e.origin != nil && e.origin == t
	}
	switch target {
	case context.Canceled:
		return e.code() == Canceled
	case context.DeadlineExceeded:
		return e.code() == DeadlineExceeded
	}
	return false
}

// Coder is an optional ability of any error: it says which code it has.
type Coder interface {
	error
	FaultCode() Code
}

// CodeOf returns the code that a caller should act on: that of the outermost
// error in err's chain that has one. An [Error], a [Code], a [Coder],
// context.Canceled and context.DeadlineExceeded have one. Of joined errors the
// first with a permanent code decides, or else the first with a code at all.
// CodeOf returns [OK] for nil and [Unknown] for an error without a code. It
// does not allocate.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if c, ok := find(err); ok {
		return c
	}
	return Unknown
}

func find(err error) (Code, bool) {
	for err != nil {
		switch e := err.(type) {
		case *Error:
			return e.code(), true
		case Code:
			return known(e), true
		case Coder:
			return known(e.FaultCode()), true
		}
		switch err {
		case context.Canceled:
			return Canceled, true
		case context.DeadlineExceeded:
			return DeadlineExceeded, true
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			return findJoined(e.Unwrap())
		default:
			return Unknown, false
		}
	}
	return Unknown, false
}

func findJoined(errs []error) (code Code, found bool) {
	for _, err := range errs {
		c, ok := find(err)
		if !ok {
			continue
		}
		if !c.Transient() {
			return c, true
		}
		if !found {
			code, found = c, true
		}
	}
	return code, found
}

func known(c Code) Code {
	if c == OK || !c.valid() {
		return Unknown
	}
	return c
}

// From returns the outermost *Error in err's chain. Without one it returns a
// new Error with err as cause and the code [CodeOf] gives; it returns nil for
// nil. It is meant for borders, where every failure must become an Error.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeOf(err), Cause: err}
}

// oneLine keeps a record a single line, whatever a peer or a joined error put
// into it.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' }), "; ")
}
