package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// ErrUnavailable is a server that cannot be reached, or did not do in time what
// it was asked. A commit that fails with it was not applied.
var ErrUnavailable = hinted(fault.Unavailable, "the server is not available",
	"check that PostgreSQL runs and accepts connections; the store reconnects by itself")

// ErrUnsafe is a server that acknowledges commits before they are on disk.
var ErrUnsafe = hinted(fault.FailedPrecondition, "the server does not sync",
	`set "fsync = on" and "full_page_writes = on" in postgresql.conf, or Options.AllowUnsafe if the data may be lost`)

func hinted(code fault.Code, message, hint string) *fault.Error {
	e := fault.New(code, "postgres", "%s", message)
	e.Hint = hint
	return e
}

// SQLSTATEs with a meaning here, see appendix A of PostgreSQL's manual.
const (
	stateReadOnly      = "25006" // read_only_sql_transaction
	stateChanged       = "22012" // division_by_zero, by which writes tell that a row has changed since it was read
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateUnique        = "23505"
	stateDiskFull      = "53100"
	stateIO            = "58030"
	stateDamaged       = "XX001"
	stateIndexDamaged  = "XX002"
)

// serverError returns what the server said, or nil if it is not the server's
// error.
func serverError(err error) *pgconn.PgError {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e
	}
	return nil
}

// refused reports whether the server answered with an error that ends the
// transaction but not the connection: nothing was applied.
func refused(err error) bool {
	e := serverError(err)
	return e != nil && e.SeverityUnlocalized == "ERROR"
}

// conflicting reports whether a transaction met another one and may be repeated.
func conflicting(err error) bool {
	e := serverError(err)
	return e != nil && (e.Code == stateSerialization || e.Code == stateDeadlock || e.Code == stateUnique || e.Code == stateChanged)
}

// lost reports whether an error is one of the connection, not of the request:
// the same on another connection may succeed.
func lost(err error) bool {
	if err == nil || refused(err) {
		return false
	}
	var known *fault.Error
	return !errors.As(err, &known) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// explain turns an error of the driver, the server or a context into one of
// package store's. What is one already stays as it is.
func (s *Store) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case s.isClosing():
		return store.Failure(store.ErrClosed, op, s.target, nil)
	}
	e := serverError(err)
	if e == nil {
		return store.Failure(ErrUnavailable, op, s.target, err)
	}
	switch e.Code {
	case stateReadOnly:
		return store.Failure(store.ErrReadOnly, op, s.target, err)
	case stateDiskFull:
		return store.Failure(store.ErrDiskFull, op, s.target, err)
	case stateDamaged, stateIndexDamaged:
		return store.Failure(store.ErrDamaged, op, s.target, err)
	case stateIO, stateSerialization, stateDeadlock, stateUnique, stateChanged:
		return store.Failure(ErrUnavailable, op, s.target, err)
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57": // connection, resources, operator: it may pass
		return store.Failure(ErrUnavailable, op, s.target, err)
	case "28", "42", "3D", "3F": // login, rights or names
		return store.Failure(errSetup, op, s.target, err)
	}
	return &fault.Error{Code: fault.Internal, Op: op, Target: s.target, Cause: err}
}

var errSetup = hinted(fault.FailedPrecondition, "the server refuses",
	"check the address, user, password and database, and that the user may create and use the schema")
