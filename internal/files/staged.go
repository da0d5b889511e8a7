package files

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// bufferSize is how much a Staged file collects before it writes.
const bufferSize = 64 << 10

// Staged is a file that is written aside. It is not safe for concurrent use.
//
// The temporary name is ".NAME.RANDOM.tmp" in the directory of the final one.
// It stays behind only if the process dies between Create and the end. With a
// key, see [CreateFor], RANDOM is a digest of it, so that the next one of the
// same key removes it.
type Staged struct {
	path    string // where it goes
	temp    string // where it is now
	key     string
	applied bool // the file at path has the key already
	file    *os.File
	info    fs.FileInfo // of the file at temp, once it is closed
	buf     *bufio.Writer
	err     error // of a Prepare that failed
}

// ErrTakenOver tells that another process has begun the same file with the same
// key, and that its file is the one that counts.
var ErrTakenOver = errors.New("another process writes it for the same work")

// Create begins a file that will stand at path. Missing directories are made.
// An existing file keeps its content until Commit, and its mode for good; a
// symbolic link stays a link to the file that is replaced. Anything else that
// stands at path is an error: [ErrDirectory], [ErrNotRegular].
func Create(path string) (*Staged, error) { return create(path, "") }

// CreateFor is [Create] for work that may be done again and has a key of its
// own, the same each time. Commit leaves the key on the file, as the extended
// attribute [KeyAttribute], in the step in which the file takes its place. If
// the file at path has the key, the work is done: the Staged then takes what is
// written without effect. What an earlier process with the same key left aside
// is removed. Where the file system keeps no attributes, or the system is not
// Linux, the file is written anew, which replaces it by the same.
func CreateFor(path, key string) (*Staged, error) { return create(path, key) }

// KeyAttribute is the extended attribute of a file that holds the key of the
// work that wrote it, see [CreateFor].
const KeyAttribute = "user.troupe.key"

func create(path, key string) (*Staged, error) {
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
	unique := rand.Text()[:10]
	if key != "" {
		sum := sha256.Sum256([]byte(key))
		unique = hex.EncodeToString(sum[:8])
	}
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%.200s.%s.tmp", filepath.Base(path), unique))
	if key != "" {
		if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if info != nil && keyOf(path) == key {
			return &Staged{path: path, key: key, applied: true, buf: bufio.NewWriterSize(io.Discard, bufferSize)}, nil
		}
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if info != nil {
		if err := file.Chmod(mode); err != nil {
			return nil, errors.Join(err, file.Close(), os.Remove(temp))
		}
	}
	return &Staged{path: path, temp: temp, key: key, file: file, buf: bufio.NewWriterSize(file, bufferSize)}, nil
}

// Path is the final place, symbolic links resolved.
func (s *Staged) Path() string { return s.path }

// Applied reports whether the file at path has the key of this one already, so
// that nothing is written.
func (s *Staged) Applied() bool { return s.applied }

// Write appends to the file. After an error every further Write fails with it.
func (s *Staged) Write(p []byte) (int, error) { return s.buf.Write(p) }

// Prepare puts everything on disk. What is left for Commit is a change of name.
// Nothing may be written after it.
func (s *Staged) Prepare() error {
	if s.file == nil {
		return s.err
	}
	s.err = s.buf.Flush()
	if s.err == nil && s.key != "" {
		s.err = setKey(s.temp, s.key)
	}
	if s.err == nil {
		s.info, s.err = s.file.Stat()
	}
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
	if s.applied {
		return nil
	}
	if !s.own() {
		return ErrTakenOver
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
		if s.info == nil {
			s.info, _ = s.file.Stat()
		}
		closeErr = s.file.Close()
		s.file = nil
	}
	if s.temp != "" && s.own() {
		removeErr = os.Remove(s.temp)
		s.temp = ""
	}
	return errors.Join(closeErr, removeErr)
}

// own reports whether the file at temp is still the one that was written, and
// not that of another process with the same key.
func (s *Staged) own() bool {
	if s.key == "" {
		return true
	}
	info, err := os.Stat(s.temp)
	return err == nil && s.info != nil && os.SameFile(info, s.info)
}

// syncDir makes a change of name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
