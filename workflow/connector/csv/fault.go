package csv

import (
	"errors"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
)

// codes says which failure of a file is which kind of fault.
var codes = map[files.Reason]fault.Code{
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

// fileFault makes the one error that a user reads about a file; nil stays nil.
func fileFault(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err // the engine has said what is wrong with the file
	}
	reason, cause, hint := files.Explain(err)
	return &fault.Error{Code: codes[reason], Op: op, Target: path, Hint: hint, Cause: cause}
}
