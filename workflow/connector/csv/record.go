package csv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// DefaultMaxRowBytes bounds one row of a source, quoted line breaks included.
const DefaultMaxRowBytes = 1 << 20

// MaxColumns bounds how many columns a source may declare and how many fields
// of a row are looked at; a row with more is set aside.
const MaxColumns = 4096

// rawKept is how much of a row longer than the row limit is kept as its raw
// text; the rest is still in the source file at the line the reject names.
const rawKept = 1 << 10

// record is one row as it stands in the file. Its slices are views of the
// reader's window and are valid until the next call of next.
type record struct {
	line   int     // 1-based line on which the row begins
	raw    []byte  // the row's text without its last line end
	fields []field // nil when reason is set
	reason string  // why the row can't be split into fields; empty if it could
	at     int     // 0-based field in which reason was found
}

// field is one field of a record, quotes removed.
type field struct {
	text   []byte
	quoted bool
	start  int // offset of the field's first byte in record.raw
}

// span is a field while its record may still move in the window.
type span struct {
	start, end int // offsets of the text from the record's first byte
	from       int // offset of the field's first byte, its quote included
	quoted     bool
	escaped    bool // holds doubled quotes
}

// recordReader cuts a stream into records as RFC 4180 describes them, with two
// additions encoding/csv has no room for: each record keeps its raw text, and
// broken quoting costs one line instead of the rest of the file. When a quoted
// field is never closed, or is closed in the middle of its text, the record
// ends at its first line end and the reader resumes on the line after it.
//
// The window holds the record under way in whole, so going back to the first
// line end is a change of one offset.
type recordReader struct {
	src       io.Reader
	delimiter byte
	limit     int // longest record in bytes

	buf   []byte
	start int // first byte of the record under way
	used  int // end of the bytes read from src
	err   error

	line   int // lines consumed before start
	spans  []span
	fields []field
	text   []byte // unescaped texts of the current record
}

func newRecordReader(src io.Reader, delimiter byte, limit int) *recordReader {
	return &recordReader{src: src, delimiter: delimiter, limit: limit}
}

// skipBOM drops a UTF-8 byte order mark and refuses the marks of encodings
// that are not supersets of ASCII. It is called before the first next.
func (r *recordReader) skipBOM() error {
	for r.used < 3 && r.fill() {
	}
	head := r.buf[:r.used]
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		r.start = 3
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return errUTF16
	}
	return nil
}

var errUTF16 = errors.New("the file is UTF-16")

// next returns the next record, io.EOF after the last one, or the error of the
// underlying reader. A record that can't be split carries its reason.
func (r *recordReader) next() (record, error) {
	end, next, err := r.lineEnd(0)
	if err != nil {
		return record{}, err
	}
	if end > r.limit {
		return r.skipLong()
	}
	line := r.buf[r.start : r.start+end]
	if bytes.IndexByte(line, '"') >= 0 {
		return r.quoted(end, next)
	}
	rec := record{line: r.line + 1, raw: line, fields: r.split(line)}
	r.start += next
	r.line++
	return rec, nil
}

// split cuts a line without quotes at its delimiters.
func (r *recordReader) split(line []byte) []field {
	r.fields = r.fields[:0]
	from := 0
	for len(r.fields) < MaxColumns {
		i := bytes.IndexByte(line[from:], r.delimiter)
		if i < 0 {
			break
		}
		r.fields = append(r.fields, field{text: line[from : from+i], start: from})
		from += i + 1
	}
	r.fields = append(r.fields, field{text: line[from:], start: from})
	return r.fields
}

// quoted reads a record whose first line holds a quote. The line has end bytes
// and the one after it begins at next; both count from the record's start.
func (r *recordReader) quoted(end, next int) (record, error) {
	first, firstNext := end, next
	r.spans = r.spans[:0]
	lines := 1
	for p := 0; ; p++ {
		s := span{start: p, from: p}
		if p < end && r.buf[r.start+p] == '"' {
			s.quoted = true
			s.start++
			p++
			for {
				i := bytes.IndexByte(r.buf[r.start+p:r.start+next], '"')
				if i >= 0 && p+i+1 < end && r.buf[r.start+p+i+1] == '"' {
					s.escaped = true
					p += i + 2
					continue
				}
				if i >= 0 {
					s.end = p + i
					p = s.end + 1
					break
				}
				p = next
				var err error
				end, next, err = r.lineEnd(p)
				if errors.Is(err, io.EOF) || end > r.limit {
					return r.cut(first, firstNext, r.openReason(err)), nil
				}
				if err != nil {
					return record{}, err
				}
				lines++
			}
			if p < end && r.buf[r.start+p] != r.delimiter {
				return r.cut(first, firstNext, fmt.Sprintf("text after a closing quote; expected %q or the end of the row (a quote inside a quoted field is written twice)", r.delimiter)), nil
			}
		} else {
			rest := r.buf[r.start+p : r.start+end]
			if i := bytes.IndexByte(rest, r.delimiter); i >= 0 {
				rest = rest[:i]
			}
			if bytes.IndexByte(rest, '"') >= 0 {
				return r.cut(first, firstNext, "a quote in an unquoted field; quote the whole field and write its quotes twice"), nil
			}
			p += len(rest)
			s.end = p
		}
		if len(r.spans) <= MaxColumns {
			r.spans = append(r.spans, s)
		}
		if p >= end {
			break
		}
	}
	rec := record{line: r.line + 1, raw: r.buf[r.start : r.start+end]}
	rec.fields = r.materialise(rec.raw)
	r.start += next
	r.line += lines
	return rec, nil
}

// materialise turns the spans of a complete record into fields.
func (r *recordReader) materialise(raw []byte) []field {
	r.fields, r.text = r.fields[:0], r.text[:0]
	// Grown once, so that the fields' views of it stay valid.
	r.text = slices.Grow(r.text, len(raw))
	for _, s := range r.spans {
		text := raw[s.start:s.end]
		if s.escaped {
			from := len(r.text)
			for {
				i := bytes.IndexByte(text, '"')
				if i < 0 {
					break
				}
				r.text = append(r.text, text[:i+1]...)
				text = text[i+2:]
			}
			r.text = append(r.text, text...)
			text = r.text[from:]
		}
		r.fields = append(r.fields, field{text: text, quoted: s.quoted, start: s.from})
	}
	return r.fields
}

// cut ends a record with broken quoting at its first line end.
func (r *recordReader) cut(end, next int, reason string) record {
	rec := record{line: r.line + 1, raw: r.buf[r.start : r.start+end], reason: reason, at: len(r.spans)}
	r.start += next
	r.line++
	return rec
}

func (r *recordReader) openReason(err error) string {
	if err != nil {
		return "a quoted field is not closed before the end of the file"
	}
	return fmt.Sprintf("a quoted field is not closed within %d bytes", r.limit)
}

// skipLong passes over a line longer than the limit.
func (r *recordReader) skipLong() (record, error) {
	raw := bytes.Clone(r.buf[r.start : r.start+rawKept])
	size := 0
	for {
		window := r.buf[r.start:r.used]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			size += i
			r.start += i + 1
			break
		}
		size += len(window)
		r.start = r.used
		if !r.fill() {
			if r.err != io.EOF {
				return record{}, r.err
			}
			break
		}
	}
	r.line++
	return record{
		line:   r.line,
		raw:    raw,
		reason: fmt.Sprintf("the row has %d bytes; at most %d are read (the first %d are kept here)", size, r.limit, len(raw)),
	}, nil
}

// lineEnd finds the end of the line that begins from bytes after the record's
// start: end is where its text stops, next where the next line begins, both
// counted from the record's start. A line that takes the record beyond the
// limit gives an end beyond it. The error is io.EOF when there is no such line.
func (r *recordReader) lineEnd(from int) (end, next int, err error) {
	seen := from
	for {
		window := r.buf[r.start:r.used]
		if i := bytes.IndexByte(window[seen:], '\n'); i >= 0 {
			end, next = seen+i, seen+i+1
			break
		}
		seen = len(window)
		if seen > r.limit+1 {
			return seen, seen, nil
		}
		if !r.fill() {
			if r.err != io.EOF || r.used-r.start == from {
				return 0, 0, r.err
			}
			end = r.used - r.start
			next = end
			break
		}
	}
	if end > from && r.buf[r.start+end-1] == '\r' {
		end--
	}
	return end, next, nil
}

// fill reads once from the source and reports whether it got any bytes; if
// not, r.err says why.
func (r *recordReader) fill() bool {
	if r.err != nil {
		return false
	}
	if r.start > 0 && r.used == len(r.buf) {
		r.used = copy(r.buf, r.buf[r.start:r.used])
		r.start = 0
	}
	if r.used == len(r.buf) {
		size := max(64<<10, 2*len(r.buf))
		grown := make([]byte, size)
		copy(grown, r.buf[:r.used])
		r.buf = grown
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.used:])
		r.used += n
		if err != nil {
			r.err = err
			return n > 0
		}
		if n > 0 {
			return true
		}
	}
	r.err = io.ErrNoProgress
	return false
}
