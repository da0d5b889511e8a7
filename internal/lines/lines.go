// Package lines reads text line by line with a bound on the length of a line.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// keptMax is how much is kept of a line that is too long.
const keptMax = 1 << 10

// Line is one line of a text.
type Line struct {
	// Number counts from 1.
	Number int
	// Text is the line without its end. It is valid until the next call of
	// Next.
	Text []byte
	// Reason says why the line is not whole: it is too long. Text is then its
	// beginning.
	Reason string
}

// Reader cuts a text into lines. A byte order mark at its beginning is passed
// over. It is used by one goroutine at a time.
type Reader struct {
	src    *bufio.Reader
	limit  int
	number int
	buf    []byte
}

// NewReader makes a reader for lines of at most limit bytes.
func NewReader(src io.Reader, limit int) *Reader {
	return &Reader{src: bufio.NewReaderSize(src, 64<<10), limit: limit}
}

// Next gives the next line, or io.EOF after the last one. A text that ends in
// a line end has no line after it. With another error, the line has a number.
func (r *Reader) Next() (Line, error) {
	r.number++
	r.buf = r.buf[:0]
	size, err := 0, bufio.ErrBufferFull
	for errors.Is(err, bufio.ErrBufferFull) {
		var part []byte
		part, err = r.src.ReadSlice('\n')
		size += len(part)
		if room := r.limit + 2 - len(r.buf); room > 0 { // with the longest line end
			r.buf = append(r.buf, part[:min(len(part), room)]...)
		}
	}
	if err != nil && (!errors.Is(err, io.EOF) || size == 0) {
		return Line{Number: r.number}, err
	}
	line := Line{Number: r.number, Text: r.buf}
	if size > r.limit+2 {
		line.Text = line.Text[:min(len(line.Text), keptMax)]
		line.Reason = fmt.Sprintf("the line has %d bytes; at most %d are read", size, r.limit)
		return line, nil
	}
	line.Text = bytes.TrimSuffix(bytes.TrimSuffix(line.Text, []byte("\n")), []byte("\r"))
	if r.number == 1 {
		line.Text = bytes.TrimPrefix(line.Text, []byte("\xef\xbb\xbf"))
	}
	if len(line.Text) > r.limit {
		line.Reason = fmt.Sprintf("the line has %d bytes; at most %d are read", len(line.Text), r.limit)
		line.Text = line.Text[:min(len(line.Text), keptMax)]
	}
	return line, nil
}
