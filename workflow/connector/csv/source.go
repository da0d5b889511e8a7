package csv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/workflow"
)

// batchBytesMax bounds the text of the rows in one batch, so that a batch of
// very long rows stays small enough to be held several times.
const batchBytesMax = 8 << 20

// layout is what a source knows about its file before it opens it.
type layout struct {
	path        string
	columns     []column // nil: a column of strings for each name in the header
	header      bool
	ignoreExtra bool
	delimiter   byte
	encoding    string
	rowBytes    int
}

// source reads one file. It implements [workflow.Source] and
// [workflow.Counter].
type source struct {
	layout
	schema workflow.Schema
	open   func(path string) (fs.File, error)

	file      fs.File
	records   *recordReader
	positions []int // the field of each column
	fields    int   // how many fields a row has; with ignored extra ones too
	rows      int64
}

// Open opens the file and compares its header with the columns.
func (s *source) Open(context.Context) error {
	file, err := s.open(s.path)
	if err != nil {
		return workflow.FileError("csv.Open", s.path, err)
	}
	s.file = file
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return workflow.FileError("csv.Open", s.path, files.ErrDirectory)
	}
	head, err := s.layout.begin(file)
	if err != nil {
		return err
	}
	if len(head.found) > 0 {
		m := head.found[0]
		message := m.message
		if n := len(head.found) - 1; n > 0 {
			message += fmt.Sprintf(", and %d more differences", n)
		}
		return &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Message: message, Hint: m.hint}
	}
	s.records, s.positions, s.fields = head.records, head.positions, head.fields
	return nil
}

// beginning is what is known about a file once its header is read.
type beginning struct {
	records   *recordReader
	names     []string
	positions []int
	fields    int
	found     []mismatch
}

// begin reads the header of a file, or the place where its rows begin if it
// has none. The error is a [fault.Error].
func (l *layout) begin(file io.Reader) (beginning, error) {
	if l.encoding == encodingWindows1252 {
		file = &reader1252{src: file}
	}
	b := beginning{records: newRecordReader(file, l.delimiter, l.rowBytes), fields: len(l.columns)}
	if err := b.records.skipBOM(); err != nil {
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path, Message: err.Error() + "; expected " + l.encoding, Hint: "convert it: iconv -f UTF-16 -t UTF-8"}
	}
	if !l.header {
		for i := range l.columns {
			b.positions = append(b.positions, i)
		}
		return b, nil
	}
	rec, err := b.records.next()
	switch {
	case errors.Is(err, io.EOF):
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path, Message: "the file is empty; expected a header", Hint: "give it a header, or set header: false"}
	case err != nil:
		return b, workflow.FileError("csv.Open", l.path, err)
	case rec.reason != "":
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path + ":1", Message: "the header cannot be read: " + rec.reason}
	case !utf8.ValidString(rec.raw):
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path + ":1", Message: "the header is not UTF-8", Hint: "if the file is in a Western European encoding, set encoding: windows-1252"}
	case len(rec.fields) > ColumnsMax:
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path + ":1", Message: fmt.Sprintf("the header has more than %d columns", ColumnsMax)}
	case strings.Contains(rec.raw, "\r"):
		return b, &fault.Error{Code: fault.FailedPrecondition, Op: "csv.Open", Target: l.path + ":1", Message: "the header holds a carriage return without a line feed", Hint: "if the file has the line ends of old Macs, convert it: tr '\\r' '\\n'"}
	}
	b.names, b.fields = headerNames(rec), len(rec.fields)
	if l.columns == nil {
		return b, nil
	}
	declared := make([]string, len(l.columns))
	for i, c := range l.columns {
		declared[i] = c.name
	}
	b.positions, b.found = matchHeader(l.path, rec, declared, l.ignoreExtra)
	return b, nil
}

// Read returns the next rows.
func (s *source) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.path}
	var rejects []workflow.Reject
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	rows := workflow.NewRows(max, len(s.columns))
	lines := make([]int, 0, max)
	for bytes := 0; len(lines) < max && len(rejects) < max && bytes < batchBytesMax; {
		rec, err := s.records.next()
		if err != nil {
			batch.Rows, batch.Lines = rows[:len(lines)], lines
			if errors.Is(err, io.EOF) {
				return batch, rejects, io.EOF
			}
			return batch, rejects, workflow.FileError("csv.Read", fmt.Sprintf("%s:%d", s.path, s.records.line+1), err)
		}
		if rec.raw == "" && rec.reason == "" && s.fields != 1 {
			continue
		}
		s.rows++
		bytes += len(rec.raw)
		if column, reason := s.parse(rec, rows[len(lines)]); reason != "" {
			rejects = append(rejects, workflow.Reject{
				File: s.path, Line: rec.line, Column: column, Reason: reason, Raw: strings.ToValidUTF8(rec.raw, "\ufffd"),
			})
			continue
		}
		lines = append(lines, rec.line)
	}
	batch.Rows, batch.Lines = rows[:len(lines)], lines
	return batch, rejects, nil
}

// parse fills a row from a record, or says which column can't be read and why.
func (s *source) parse(rec record, row workflow.Row) (column, reason string) {
	if rec.reason != "" {
		return s.columnAt(rec.broken), rec.reason
	}
	if n := len(rec.fields); n != s.fields {
		has := fmt.Sprint(n)
		if n > fieldsMax-1 {
			has = fmt.Sprintf("more than %d", fieldsMax-1)
		}
		return "", fmt.Sprintf("the row has %s fields; expected %d", has, s.fields)
	}
	if !utf8.ValidString(rec.raw) {
		return s.notUTF8(rec)
	}
	for i := range s.columns {
		v, reason := s.columns[i].value(rec.fields[s.positions[i]])
		if reason != "" {
			return s.columns[i].name, reason
		}
		row[i] = v
	}
	return "", ""
}

// notUTF8 finds the field that is not UTF-8.
func (s *source) notUTF8(rec record) (column, reason string) {
	for i, f := range rec.fields {
		if !utf8.ValidString(f.text) {
			return s.columnAt(i), fmt.Sprintf("%s is not UTF-8; if the file is in a Western European encoding, set encoding: windows-1252", short(strings.ToValidUTF8(f.text, "\ufffd")))
		}
	}
	return "", "the row is not UTF-8"
}

// columnAt names the column that stands in a field.
func (s *source) columnAt(field int) string {
	if i := slices.Index(s.positions, field); i >= 0 {
		return s.columns[i].name
	}
	return ""
}

// RowsRead counts the rows met so far, good or bad.
func (s *source) RowsRead() int64 { return s.rows }

// Close closes the file.
func (s *source) Close() error {
	if s.file == nil {
		return nil
	}
	return workflow.FileError("csv.Close", s.path, s.file.Close())
}
