package postgres

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
)

// An archive is the file of a backup: compressed with gzip, a sequence of frames,
// each a kind, a length, a payload and the checksum of all bytes up to here. So
// a file that was cut, or put together from two, is recognized.
//
//	header        JSON, see archiveHeader
//	data ...      of the first table of the header, as COPY writes it in binary
//	end of table
//	...           the other tables
//	sequence      the last number that was given
//	end
const (
	frameHeader   = 'H'
	frameData     = 'D'
	frameTableEnd = 'T'
	frameSequence = 'S'
	frameEnd      = 'E'

	frameBytesMax = 1 << 20 // of a payload
	archiveFormat = 1
)

// archiveHeader says what is in an archive.
type archiveHeader struct {
	Format int            `json:"format"`
	Schema int            `json:"schema"` // its version
	Made   time.Time      `json:"made"`
	Tables []archiveTable `json:"tables"`
}

type archiveTable struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// archivable are the tables with what a store keeps: all but schema_version and
// writer, which has what is under way.
var archivable = []string{"lease", "stream", "event", "snapshot", "cursor", "entry", "queue", "message", "request", "dead_letter_queue"}

// An archiveWriter writes frames. Write is the data of a table.
type archiveWriter struct {
	zip  *gzip.Writer
	buf  *bufio.Writer
	crc  uint32
	head []byte
	err  error // of the file, once there was one
}

func newArchiveWriter(w io.Writer) *archiveWriter {
	zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
	return &archiveWriter{zip: zip, buf: bufio.NewWriterSize(zip, 64<<10)}
}

func (w *archiveWriter) frame(kind byte, payload []byte) error {
	w.head = binary.BigEndian.AppendUint32(append(w.head[:0], kind), uint32(len(payload))) //nolint:gosec // at most frameBytesMax
	w.crc = crc32.Update(crc32.Update(w.crc, castagnoli, w.head), castagnoli, payload)
	for _, part := range [][]byte{w.head, payload, binary.BigEndian.AppendUint32(nil, w.crc)} {
		if _, w.err = w.buf.Write(part); w.err != nil {
			return w.err
		}
	}
	return nil
}

func (w *archiveWriter) header(h archiveHeader) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return w.frame(frameHeader, text)
}

func (w *archiveWriter) Write(b []byte) (int, error) {
	for part := range slices.Chunk(b, frameBytesMax) {
		if err := w.frame(frameData, part); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// end ends the archive, but not what it is written to.
func (w *archiveWriter) end() error {
	if err := w.frame(frameEnd, nil); err != nil {
		return err
	}
	if w.err = w.buf.Flush(); w.err == nil {
		w.err = w.zip.Close()
	}
	return w.err
}

// An archiveReader reads frames. Read reads the data of a table to its end.
type archiveReader struct {
	in   *bufio.Reader
	crc  uint32
	data []byte // the rest of a frame of data
	err  error  // what is wrong with the file, once it was found
}

var errNoArchive = errors.New("it is not a backup of this engine")

func newArchiveReader(r io.Reader) (*archiveReader, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, errNoArchive
	}
	return &archiveReader{in: bufio.NewReaderSize(zip, 64<<10)}, nil
}

// frame reads a frame that must be of one of some kinds.
func (r *archiveReader) frame(want ...byte) (kind byte, payload []byte, err error) {
	defer func() { r.err = err }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return 0, nil, cut(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > frameBytesMax {
		return 0, nil, fmt.Errorf("a frame has %d bytes, the most is %d", n, frameBytesMax)
	}
	rest := make([]byte, n+4)
	if _, err := io.ReadFull(r.in, rest); err != nil {
		return 0, nil, cut(err)
	}
	payload = rest[:n]
	r.crc = crc32.Update(crc32.Update(r.crc, castagnoli, head), castagnoli, payload)
	switch {
	case r.crc != binary.BigEndian.Uint32(rest[n:]):
		return 0, nil, errSum
	case !slices.Contains(want, head[0]):
		return 0, nil, fmt.Errorf("it has a frame %q where %q was expected", head[0], want)
	}
	return head[0], payload, nil
}

// cut tells the end of the file, which is never where a frame is expected, from
// other errors.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it has been cut: its end is missing")
	}
	return err
}

func (r *archiveReader) Read(b []byte) (int, error) {
	for len(r.data) == 0 {
		kind, payload, err := r.frame(frameData, frameTableEnd)
		if err != nil {
			return 0, err
		}
		if kind == frameTableEnd {
			return 0, io.EOF
		}
		r.data = payload
	}
	n := copy(b, r.data)
	r.data = r.data[n:]
	return n, nil
}

// header reads the header.
func (r *archiveReader) header() (h archiveHeader, err error) {
	if first, err := r.in.Peek(1); err == nil && first[0] != frameHeader || errors.Is(err, io.EOF) {
		return h, errNoArchive
	}
	_, payload, err := r.frame(frameHeader)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(payload, &h); err != nil {
		return h, errNoArchive
	}
	if h.Format < 1 || h.Schema < 1 {
		return h, errNoArchive
	}
	for _, t := range h.Tables {
		if !slices.Contains(archivable, t.Name) || len(t.Columns) == 0 {
			r.err = fmt.Errorf("its table %q has %d columns or is none of a store", t.Name, len(t.Columns))
			return h, r.err
		}
	}
	return h, nil
}

// finish reads what comes after the tables and returns the number of the
// sequence.
func (r *archiveReader) finish() (int64, error) {
	_, payload, err := r.frame(frameSequence)
	if err != nil {
		return 0, err
	}
	if len(payload) != 8 {
		r.err = fmt.Errorf("its sequence has %d bytes, want 8", len(payload))
		return 0, r.err
	}
	if _, _, err := r.frame(frameEnd); err != nil {
		return 0, err
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		r.err = errors.New("something follows its end")
		return 0, r.err
	}
	return int64(binary.BigEndian.Uint64(payload)), nil //nolint:gosec // as it was written
}
