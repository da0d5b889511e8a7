package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// fault explains an error of a statement or a connection; nil stays nil.
func (l location) fault(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	f := &fault.Error{Code: fault.Unknown, Op: op, Target: l.target, Cause: oneLine{err}}
	if k, ok := l.dialect.explain(err); ok {
		f.Code, f.Message, f.Hint = k.code, k.message, k.hint
		return f
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, driver.ErrBadConn) {
		f.Code, f.Message = fault.Unavailable, "the database cannot be reached, or the connection was lost"
	}
	return f
}

// oneLine is an error in one line of text.
type oneLine struct{ error }

// Error is the text with its line breaks replaced.
func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// Unwrap gives the error itself.
func (e oneLine) Unwrap() error { return e.error }

// quoted shows a name in a message.
func quoted(name string) string { return strconv.Quote(name) }

// asciiLower folds a name as SQLite does.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
