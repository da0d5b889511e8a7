package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/troupe-dev/troupe/internal/files"
)

// unwrapPath returns what went wrong with a file without the operation and the
// path, for messages that name the path themselves.
func unwrapPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// fileError is an error about a file or a directory that says what to do.
func fileError(what, path string, err error) error {
	_, message, hint := files.Explain(err)
	text := fmt.Sprintf("%s: %s: %s", path, what, message)
	if hint != "" {
		text += "; " + hint
	}
	return &describedError{text, err}
}

// describedError has a text of its own and keeps its cause for errors.Is.
type describedError struct {
	text  string
	cause error
}

func (e *describedError) Error() string { return e.text }
func (e *describedError) Unwrap() error { return e.cause }

// bindError is an error about the address to listen on.
func bindError(config HTTPConfig, err error) error {
	address := config.HostPort()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &describedError{address + ": the port is taken; --port 0 picks a free one", err}
	case errors.Is(err, fs.ErrPermission):
		return &describedError{address + ": listening on this port is not permitted; choose one from 1024 up with --port", err}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &describedError{address + ": this machine has no such address; use 127.0.0.1", err}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return &describedError{address + ": cannot listen: " + op.Err.Error(), err}
	}
	return err
}

// prepareDir makes a directory and proves that a file can be written in it.
func prepareDir(path string) error {
	const what = "the data directory cannot be used"
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fileError(what, path, err)
	}
	if err := probeDir(path); err != nil {
		return fileError(what, path, err)
	}
	return nil
}

// lockDir takes the data directory for one node: two would remove each other's
// runs.
func lockDir(path string) (*files.Lock, error) {
	lock, err := files.TakeLock(filepath.Join(path, lockFile))
	locked, ok := errors.AsType[*files.LockedError](err)
	switch {
	case !ok && err != nil:
		return nil, fileError("the data directory cannot be used", path, err)
	case ok && locked.PID > 0:
		return nil, &describedError{fmt.Sprintf("%s: another node (process %d) uses this data directory; choose one with --data-dir", path, locked.PID), syscall.EBUSY}
	case ok:
		return nil, &describedError{path + ": another node uses this data directory; choose one with --data-dir", syscall.EBUSY}
	}
	return lock, nil
}

// probeDir writes, syncs and removes a small file.
func probeDir(path string) (err error) {
	f, err := os.CreateTemp(path, ".probe-*")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	if _, err = io.WriteString(f, "troupe"); err != nil {
		return err
	}
	return f.Sync()
}

// dirCheck is the probe of /ready for the data directory.
func dirCheck(path string) func(context.Context) error {
	return func(context.Context) error {
		if err := probeDir(filepath.Clean(path)); err != nil {
			return fileError("cannot be written", path, err)
		}
		return nil
	}
}
