package workflow

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
)

// Spool keeps what a [Sink] is going to send to the outside until the run has come
// so far: records of bytes, in a temporary file without a name. It is for places
// that know no way to take something back. It is used by one goroutine at a time.
type Spool struct {
	kind string
	file *os.File
	out  *bufio.Writer
	text []byte
}

// NewSpool begins an empty spool. Kind begins the messages of errors.
func NewSpool(kind string) (*Spool, error) {
	file, err := os.CreateTemp("", "troupe-"+kind+"-")
	if err != nil {
		return nil, FileError(kind+".Open", os.TempDir(), err)
	}
	// What is open is there without its name; where that is not possible, Close
	// removes it.
	_ = os.Remove(file.Name())
	return &Spool{kind: kind, file: file, out: bufio.NewWriter(file)}, nil
}

// Append adds a record.
func (s *Spool) Append(record []byte) error {
	_, err := s.out.Write(binary.AppendUvarint(nil, uint64(len(record))))
	if err == nil {
		_, err = s.out.Write(record)
	}
	return FileError(s.kind+".Write", s.file.Name(), err)
}

// Flush writes what is held in memory, so that nothing but reading can fail
// later.
func (s *Spool) Flush() error {
	return FileError(s.kind+".Prepare", s.file.Name(), s.out.Flush())
}

// Records gives all records in order, after a Flush. Each is valid until the next
// one. An error is the last thing it yields.
func (s *Spool) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		_, err := s.file.Seek(0, io.SeekStart)
		in := bufio.NewReader(s.file)
		for err == nil {
			var n uint64
			n, err = binary.ReadUvarint(in)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				s.text = append(s.text[:0], make([]byte, n)...)
				_, err = io.ReadFull(in, s.text)
			}
			if err == nil && !yield(s.text, nil) {
				return
			}
		}
		yield(nil, FileError(s.kind+".Commit", s.file.Name(), err))
	}
}

// Close drops the records. It may be called more than once, and on nil.
func (s *Spool) Close() error {
	if s == nil || s.file == nil {
		return nil
	}
	name := s.file.Name()
	err := s.file.Close()
	s.file = nil
	_ = os.Remove(name) // it has no name already where that is possible
	return FileError(s.kind+".Close", name, err)
}
