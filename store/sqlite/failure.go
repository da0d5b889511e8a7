package sqlite

import (
	"context"
	"errors"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/store"
)

// A sqlFailure is an error of SQLite inside a transaction, which ends the
// transaction, as against a batch that is refused.
type sqlFailure struct{ err error }

func (e *sqlFailure) Error() string { return e.err.Error() }
func (e *sqlFailure) Unwrap() error { return e.err }

// broken marks an error of a statement as one that ends the transaction.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return &sqlFailure{err}
}

// sentinels says what SQLite's primary result codes mean.
var sentinels = map[int]*fault.Error{
	sqlite3.SQLITE_FULL:     store.ErrDiskFull,
	sqlite3.SQLITE_READONLY: store.ErrReadOnly,
	sqlite3.SQLITE_PERM:     store.ErrReadOnly,
	sqlite3.SQLITE_BUSY:     store.ErrInUse,
	sqlite3.SQLITE_LOCKED:   store.ErrInUse,
	sqlite3.SQLITE_CORRUPT:  store.ErrDamaged,
	sqlite3.SQLITE_NOTADB:   store.ErrDamaged,
	sqlite3.SQLITE_ERROR:    store.ErrDamaged, // no statement here is wrong: a table is
	sqlite3.SQLITE_IOERR:    store.ErrDisk,
}

// explain turns an error of SQLite, the operating system or a context into one
// of package store's. What is one already stays as it is.
func explain(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if failed, ok := errors.AsType[*sqlFailure](err); ok {
		err = failed.err
	}
	if sentinel := sentinels[resultCode(err)&0xff]; sentinel != nil {
		return store.Failure(sentinel, op, path, err)
	}
	if resultCode(err) == 0 {
		return explainPath(op, path, err)
	}
	return &fault.Error{Code: fault.Internal, Op: op, Target: path, Cause: err}
}

// explainPath explains an error of the operating system about a path.
func explainPath(op, path string, err error) error {
	reason, cause, hint := files.Explain(err)
	switch reason {
	case files.NoSpace:
		return store.Failure(store.ErrDiskFull, op, path, cause)
	case files.ReadOnly, files.Denied:
		return store.Failure(store.ErrReadOnly, op, path, cause)
	case files.Other:
		return store.Failure(store.ErrDisk, op, path, cause)
	default:
		f := store.Failure(store.ErrInvalid, op, path, cause)
		if e := (*fault.Error)(nil); hint != "" && errors.As(f, &e) {
			e.Hint = hint // f is new, so nobody shares it
		}
		return f
	}
}

// resultCode returns the extended result code of an error of SQLite, or 0.
func resultCode(err error) int {
	var raised interface{ Code() int } // an error of the driver
	if errors.As(err, &raised) {
		return raised.Code()
	}
	return 0
}

// uncertain reports whether an error of COMMIT leaves open what is on the disk.
func uncertain(err error) bool {
	switch resultCode(err) {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	return false
}

// damaged returns [store.ErrDamaged] about a place in the file.
func damaged(op, place string, cause error) error {
	return store.Failure(store.ErrDamaged, op, place, cause)
}
