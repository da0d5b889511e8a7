package sqlite

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
)

// pathCodes says which failure of a path is which kind of fault.
var pathCodes = map[files.Reason]fault.Code{
	files.Other:        fault.Unknown,
	files.NoSpace:      fault.ResourceExhausted,
	files.TooManyOpen:  fault.ResourceExhausted,
	files.Denied:       fault.PermissionDenied,
	files.ReadOnly:     fault.FailedPrecondition,
	files.Missing:      fault.NotFound,
	files.Directory:    fault.InvalidArgument,
	files.NotDirectory: fault.InvalidArgument,
	files.NotRegular:   fault.InvalidArgument,
	files.TooLong:      fault.InvalidArgument,
}

// pathFault explains an error of the operating system.
func pathFault(op, path string, err error) error {
	reason, cause, hint := files.Explain(err)
	return &fault.Error{Code: pathCodes[reason], Op: op, Target: path, Hint: hint, Cause: cause}
}

// sqlFaults says what SQLite's primary result codes mean to a user.
var sqlFaults = map[int]struct {
	code    fault.Code
	message string // empty: SQLite's own text
	hint    string
}{
	sqlite3.SQLITE_BUSY:       {fault.Unavailable, "another writer holds the file", "wait until it has finished, or write to another file"},
	sqlite3.SQLITE_LOCKED:     {fault.Unavailable, "another writer holds the table", "wait until it has finished, or write to another file"},
	sqlite3.SQLITE_FULL:       {fault.ResourceExhausted, "no space is left for the file", "free some space on its file system, or choose a path on another one"},
	sqlite3.SQLITE_READONLY:   {fault.PermissionDenied, "the file cannot be written", "check the owner and the mode of the file and its directory, or choose another path"},
	sqlite3.SQLITE_PERM:       {fault.PermissionDenied, "the file cannot be written", "check the owner and the mode of the file and its directory, or choose another path"},
	sqlite3.SQLITE_CANTOPEN:   {fault.PermissionDenied, "the file cannot be opened", "check the owner and the mode of the file and its directory; SQLite makes further files beside it"},
	sqlite3.SQLITE_NOTADB:     {fault.FailedPrecondition, "it is not a SQLite file", "choose another path; the file is left as it is"},
	sqlite3.SQLITE_CORRUPT:    {fault.DataLoss, "the file is damaged", "restore it from a backup, or choose another path"},
	sqlite3.SQLITE_CONSTRAINT: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	sqlite3.SQLITE_TOOBIG:     {fault.InvalidArgument, "a text is longer than SQLite allows", ""},
	sqlite3.SQLITE_IOERR:      {fault.Unavailable, "", "check the disk and the space that is left on it"},
}

// sqlFault explains an error of a statement.
func sqlFault(op, path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	f := &fault.Error{Code: fault.Unknown, Op: op, Target: path, Cause: err}
	var raised *sqlite.Error
	if !errors.As(err, &raised) {
		return f
	}
	known, ok := sqlFaults[raised.Code()&0xff]
	if !ok {
		return f
	}
	f.Code, f.Message, f.Hint = known.code, known.message, known.hint
	return f
}
