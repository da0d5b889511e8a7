package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// LockedError tells that another holder has a [Lock].
type LockedError struct {
	Path string
	// PID is the holder's process, 0 if it is not known.
	PID int
}

// Error names the holder.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Path + ": locked by another process"
	}
	return fmt.Sprintf("%s: locked by the process %d", e.Path, e.PID)
}

// Lock is the exclusive hold of a file. It ends with the process at the latest,
// however that ends, so that no stale lock is ever left. It binds those who
// take the lock, nobody else.
type Lock struct{ file *os.File }

// TakeLock locks a file, which is made if it is missing, and writes the
// process's id into it. It does not wait: if somebody else, or another call in
// this process, holds the lock, the error is a [*LockedError]. Where the file
// system knows no locks it succeeds.
func TakeLock(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := lock(file)
	if err == nil && held {
		pid, _ := io.ReadAll(io.LimitReader(file, 20)) // without it the message is shorter
		id, _ := strconv.Atoi(string(pid))
		err = &LockedError{Path: path, PID: id}
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteString(strconv.Itoa(os.Getpid()))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Lock{file}, nil
}

// Release gives the lock back. The file stays: to remove it would let two
// holders lock two files of one name.
func (l *Lock) Release() error {
	// Not only by closing the file: another goroutine may just have forked, and what
	// it has forked holds the file open until it executes its program.
	return errors.Join(unlock(l.file), l.file.Close())
}
