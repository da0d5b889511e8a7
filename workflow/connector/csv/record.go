package csv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// fieldsMax bounds the fields of a record that are looked at. It is above the
// columns that a source may declare, so that a row with more is still noticed.
const fieldsMax = ColumnsMax + 1

// rawKept is how much of a row longer than the row limit is kept as its raw
// text; the rest is still in the source file at the line the reject names.
const rawKept = 1 << 10

var errUTF16 = errors.New("the file is UTF-16")

// record is one row as it stands in the file.
type record struct {
	line   int     // line on which the row begins, from 1
	raw    string  // the row's text without its last line end
	fields []field // valid until the next call of next; nil when reason is set
	reason string  // why the row can't be cut into fields; empty if it could
	broken int     // the field, from 0, in which reason was found; -1: the row
}

// field is one field of a record, its quotes removed.
type field struct {
	text   string
	quoted bool
	at     int // offset of the field in record.raw, its quote included
}

// span is a field whose record is not complete yet. Offsets count from the
// record's first byte.
type span struct {
	at, start, end  int // the field with its quote; its text
	quoted, doubled bool
}

// recordReader cuts a stream into records as RFC 4180 describes them. Unlike
// encoding/csv it keeps each record's raw text, knows which fields were quoted
// (an empty field is not the same as a quoted empty text), bounds a record, and
// loses one line instead of the rest of the file to broken quoting: when a
// quoted field is never closed, or goes on after its closing quote, the record
// ends at its first line end and reading resumes on the line after it.
//
// The window holds the record under way in whole, so that going back is a
// change of one offset. Going back costs no more than reading twice: only a
// line with an odd number of quotes leaves a field open, and the lines that a
// scan in vain has passed all have an even number.
type recordReader struct {
	src       io.Reader
	delimiter byte
	limit     int // longest record in bytes

	window []byte
	start  int   // first byte of the record under way
	used   int   // end of what was read from src
	err    error // why src gives no more

	line   int // lines before start
	spans  []span
	fields []field
}

func newRecordReader(src io.Reader, delimiter byte, limit int) *recordReader {
	return &recordReader{src: src, delimiter: delimiter, limit: limit}
}

// skipBOM passes over a UTF-8 byte order mark and refuses those of UTF-16. It
// is called before the first next.
func (r *recordReader) skipBOM() error {
	for more := true; more && r.used < len(byteOrderMark); {
		more = r.fill()
	}
	switch head := r.window[:r.used]; {
	case bytes.HasPrefix(head, byteOrderMark):
		r.start = len(byteOrderMark)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return errUTF16
	}
	return nil
}

// next returns the next record, io.EOF after the last one, or the error of the
// underlying reader. A record that can't be cut into fields carries a reason.
func (r *recordReader) next() (record, error) {
	end, next, err := r.lineEnd(0)
	if err != nil {
		return record{}, err
	}
	if end > r.limit {
		return r.skipLong()
	}
	line := r.window[r.start : r.start+end]
	if bytes.IndexByte(line, '"') >= 0 {
		return r.quoted(end, next)
	}
	rec := record{line: r.line + 1, raw: string(line)}
	rec.fields = r.split(rec.raw)
	r.pass(next, 1)
	return rec, nil
}

// pass moves the start to the record after this one.
func (r *recordReader) pass(bytes, lines int) {
	r.start += bytes
	r.line += lines
}

// split cuts a line without quotes at its delimiters.
func (r *recordReader) split(line string) []field {
	r.fields = r.fields[:0]
	at := 0
	for len(r.fields) < fieldsMax {
		i := strings.IndexByte(line[at:], r.delimiter)
		if i < 0 {
			break
		}
		r.fields = append(r.fields, field{text: line[at : at+i], at: at})
		at += i + 1
	}
	r.fields = append(r.fields, field{text: line[at:], at: at})
	return r.fields
}

// quoted reads a record whose first line holds a quote. The line has end bytes
// and the one after it begins at next.
func (r *recordReader) quoted(end, next int) (record, error) {
	firstEnd, firstNext := end, next
	r.spans = r.spans[:0]
	lines := 1
	for at := 0; ; at++ {
		s := span{at: at}
		var reason string
		if at < end && r.window[r.start+at] == '"' {
			open, err := r.quotedField(&s, &end, &next, &lines)
			switch {
			case err != nil:
				return record{}, err
			case open != "":
				reason = open
			case s.end+1 < end && r.window[r.start+s.end+1] != r.delimiter:
				reason = fmt.Sprintf("text follows a closing quote; expected %s or the end of the row (inside quotes, a quote is written twice)", named(r.delimiter))
			}
			at = s.end + 1
		} else {
			if r.plainField(&s, end); bytes.IndexByte(r.window[r.start+s.start:r.start+s.end], '"') >= 0 {
				reason = "a quote stands inside an unquoted field; put the whole field in quotes and write its quotes twice"
			}
			at = s.end
		}
		if reason != "" {
			rec := record{line: r.line + 1, raw: string(r.window[r.start : r.start+firstEnd]), reason: reason, broken: len(r.spans)}
			r.pass(firstNext, 1)
			return rec, nil
		}
		if len(r.spans) < fieldsMax {
			r.spans = append(r.spans, s)
		}
		if at >= end {
			break
		}
	}
	rec := record{line: r.line + 1, raw: string(r.window[r.start : r.start+end])}
	rec.fields = r.cut(rec.raw)
	r.pass(next, lines)
	return rec, nil
}

// plainField finds the end of the unquoted field that begins at s.at.
func (r *recordReader) plainField(s *span, end int) {
	s.start, s.end = s.at, end
	if i := bytes.IndexByte(r.window[r.start+s.at:r.start+end], r.delimiter); i >= 0 {
		s.end = s.at + i
	}
}

// quotedField finds the closing quote of the field that begins at s.at. It
// takes in further lines as needed and moves end, next and lines with them.
// Open says why there is no closing quote.
func (r *recordReader) quotedField(s *span, end, next, lines *int) (open string, err error) {
	s.quoted, s.start = true, s.at+1
	for at := s.start; ; {
		i := bytes.IndexByte(r.window[r.start+at:r.start+*next], '"')
		switch {
		case i >= 0 && at+i+1 < *end && r.window[r.start+at+i+1] == '"':
			s.doubled = true
			at += i + 2
			continue
		case i >= 0:
			s.end = at + i
			return "", nil
		}
		at = *next
		*end, *next, err = r.lineEnd(at)
		switch {
		case errors.Is(err, io.EOF):
			return "a quoted field is not closed before the end of the file", nil
		case err != nil:
			return "", err
		case *end > r.limit:
			return fmt.Sprintf("a quoted field is not closed within %d bytes", r.limit), nil
		}
		*lines++
	}
}

// cut turns the spans of a complete record into fields.
func (r *recordReader) cut(raw string) []field {
	r.fields = r.fields[:0]
	for _, s := range r.spans {
		text := raw[s.start:s.end]
		if s.doubled {
			text = strings.ReplaceAll(text, `""`, `"`)
		}
		r.fields = append(r.fields, field{text: text, quoted: s.quoted, at: s.at})
	}
	return r.fields
}

// skipLong passes over a line longer than the limit without holding it.
func (r *recordReader) skipLong() (record, error) {
	rec := record{line: r.line + 1, broken: -1}
	rec.raw = strings.ToValidUTF8(string(r.window[r.start:min(r.used, r.start+min(rawKept, r.limit))]), "")
	size := 0
	for {
		if i := bytes.IndexByte(r.window[r.start:r.used], '\n'); i >= 0 {
			size += i
			r.start += i + 1
			break
		}
		size += r.used - r.start
		r.start = r.used
		if r.fill() {
			continue
		}
		if !errors.Is(r.err, io.EOF) {
			return record{}, r.err
		}
		break
	}
	r.line++
	rec.reason = fmt.Sprintf("the row has %d bytes; at most %d are read (its first %d are kept here)", size, r.limit, len(rec.raw))
	return rec, nil
}

// lineEnd finds the end of the line that begins at from, counted from the
// record's start as are the results: its text stops at end, and the next line
// begins at next. A line that takes the record beyond the limit gives an end
// beyond it. The error is io.EOF when there is no line.
func (r *recordReader) lineEnd(from int) (end, next int, err error) {
	for seen := from; ; {
		have := r.window[r.start:r.used]
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			end, next = seen+i, seen+i+1
			break
		}
		seen = len(have)
		if seen > r.limit+1 { // one more for the carriage return
			return seen, seen, nil
		}
		if r.fill() {
			continue
		}
		if !errors.Is(r.err, io.EOF) || seen == from {
			return 0, 0, r.err
		}
		end, next = seen, seen
		break
	}
	if end > from && r.window[r.start+end-1] == '\r' {
		end--
	}
	return end, next, nil
}

// fill reads from the source once and reports whether that gave any bytes; if
// not, r.err says why. It moves the record under way to the window's front.
func (r *recordReader) fill() bool {
	if r.err != nil {
		return false
	}
	if r.used == len(r.window) {
		into := r.window
		if 2*r.start <= len(r.window) {
			into = make([]byte, max(windowMin, 2*len(r.window)))
		}
		r.used = copy(into, r.window[r.start:r.used])
		r.window, r.start = into, 0
	}
	for range emptyReadsMax {
		n, err := r.src.Read(r.window[r.used:])
		r.used += n
		r.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	r.err = io.ErrNoProgress
	return false
}

// The window's first size, and how often a reader may return nothing in a row.
const (
	windowMin     = 64 << 10
	emptyReadsMax = 100
)

// named shows a delimiter in a message.
func named(delimiter byte) string {
	if delimiter == '\t' {
		return "a tab"
	}
	return fmt.Sprintf("%q", delimiter)
}
