package workflow

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
)

// OutputFile is the file of a [Sink] that writes one, as the sink's contract
// asks for: aside until Commit, under the run's idempotency key, and left alone
// if it has that key already. A sink embeds it and adds what it writes:
//
//	type lines struct{ *workflow.OutputFile }
//
//	func (l lines) Open(ctx context.Context, _ workflow.Schema) error { return l.Create() }
//	func (l lines) Write(ctx context.Context, b workflow.Batch) error { … l.Append(text) … }
//
// It is used by one goroutine at a time.
type OutputFile struct {
	kind string
	path string
	key  string
	file *files.Staged
}

// OutputFile is the file at a path that the definition names for writing, see
// [Env.OutputPath]. Kind is that of the [Artifact], such as "csv", and begins
// the messages of errors. Nothing is opened yet.
func (e *Env) OutputFile(kind, path string) *OutputFile {
	return &OutputFile{kind: kind, path: e.OutputPath(path), key: e.Key}
}

// Create begins the file. Missing directories are made.
func (f *OutputFile) Create() error {
	file, err := files.CreateFor(f.path, f.key)
	if err != nil {
		return FileError(f.kind+".Open", f.path, err)
	}
	f.file = file
	if path, err := filepath.Abs(file.Path()); err == nil {
		f.path = path
	}
	return nil
}

// Append adds to the file.
func (f *OutputFile) Append(p []byte) error {
	_, err := f.file.Write(p)
	return FileError(f.kind+".Write", f.path, err)
}

// Prepare puts everything on disk.
func (f *OutputFile) Prepare(context.Context) error {
	return FileError(f.kind+".Prepare", f.path, f.file.Prepare())
}

// Commit gives the file its name.
func (f *OutputFile) Commit(context.Context) error {
	return FileError(f.kind+".Commit", f.path, f.file.Commit())
}

// Abort removes what was written.
func (f *OutputFile) Abort(context.Context) error {
	if f.file == nil {
		return nil
	}
	return FileError(f.kind+".Abort", f.path, f.file.Abort())
}

// Artifact names the file.
func (f *OutputFile) Artifact() Artifact { return Artifact{Type: f.kind, Path: f.path} }

// fileCodes says which failure of a file is which kind of fault.
var fileCodes = map[files.Reason]fault.Code{
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

// FileError makes the one error that a user reads about a file: what was being
// done to which file, what was wrong, and what to do about it. A [fault.Error]
// stays as it is, nil stays nil.
func FileError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	reason, cause, hint := files.Explain(err)
	return &fault.Error{Code: fileCodes[reason], Op: op, Target: path, Hint: hint, Cause: cause}
}
