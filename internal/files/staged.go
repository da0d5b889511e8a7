package files

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// bufferSize is how much a Staged file collects before it writes.
const bufferSize = 64 << 10

// Staged is a file that is written aside. It is not safe for concurrent use.
//
// The temporary name is ".NAME.RANDOM.tmp" in the directory of the final one.
// It stays behind only if the process dies between Create and the end.
type Staged struct {
	path string // where it goes
	temp string // where it is now
	file *os.File
	buf  *bufio.Writer
	err  error // of a Prepare that failed
}

// Create begins a file that will stand at path. Missing directories are made.
// An existing file keeps its content until Commit, and its mode for good; a
// symbolic link stays a link to the file that is replaced. Anything else that
// stands at path is an error: [ErrDirectory], [ErrNotRegular].
func Create(path string) (*Staged, error) {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	mode := fs.FileMode(0o666)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		info = nil
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &fs.PathError{Op: "create", Path: path, Err: ErrDirectory}
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "create", Path: path, Err: ErrNotRegular}
	default:
		mode = info.Mode().Perm()
	}
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%.200s.%s.tmp", filepath.Base(path), rand.Text()[:10]))
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if info != nil {
		if err := file.Chmod(mode); err != nil {
			return nil, errors.Join(err, file.Close(), os.Remove(temp))
		}
	}
	return &Staged{path: path, temp: temp, file: file, buf: bufio.NewWriterSize(file, bufferSize)}, nil
}

// Path is the final place, symbolic links resolved.
func (s *Staged) Path() string { return s.path }

// Write appends to the file. After an error every further Write fails with it.
func (s *Staged) Write(p []byte) (int, error) { return s.buf.Write(p) }

// Prepare puts everything on disk. What is left for Commit is a change of name.
// Nothing may be written after it.
func (s *Staged) Prepare() error {
	if s.file == nil {
		return s.err
	}
	s.err = s.buf.Flush()
	if s.err == nil {
		s.err = s.file.Sync()
	}
	if err := s.file.Close(); s.err == nil {
		s.err = err
	}
	s.file = nil
	return s.err
}

// Commit makes the file stand at its final place, durably. It prepares the
// file if that has not been done. After an error, call Abort.
func (s *Staged) Commit() error {
	if err := s.Prepare(); err != nil {
		return err
	}
	if err := os.Rename(s.temp, s.path); err != nil {
		return err
	}
	s.temp = ""
	return syncDir(filepath.Dir(s.path))
}

// Abort removes what was written. It does nothing after a Commit that renamed
// the file, and may be called more than once.
func (s *Staged) Abort() error {
	var closeErr, removeErr error
	if s.file != nil {
		closeErr = s.file.Close()
		s.file = nil
	}
	if s.temp != "" {
		removeErr = os.Remove(s.temp)
		s.temp = ""
	}
	return errors.Join(closeErr, removeErr)
}

// syncDir makes a change of name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
