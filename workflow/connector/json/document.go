package json

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// DocumentConfig is the "with" block of a node of the type source.json.
type DocumentConfig struct {
	Path        string                         `yaml:"path,required" doc:"File to read. A relative path is relative to the definition."`
	At          string                         `yaml:"at" doc:"Names that lead to the array of rows, joined by dots. Without it, it is the document itself."`
	Columns     workflow.Mapping[ColumnConfig] `yaml:"columns" doc:"Names and types of the columns. Without it they are those of the first 100 rows."`
	MaxRowBytes int                            `yaml:"max_row_bytes" doc:"Longest text of a row; the run fails beyond."`
}

var documentType = workflow.SourceType[DocumentConfig]{
	Name:    "source.json",
	Doc:     "Reads the objects of an array in a JSON file as a stream. Objects whose values are not as declared are set aside.",
	Example: "path: report.json\nat: data.items\ncolumns: {id: int, name: string}",
	Default: DocumentConfig{MaxRowBytes: DefaultMaxRowBytes},
	Plan: func(c *workflow.Check, config DocumentConfig) workflow.SourcePlan {
		checkRowBytes(c, config.MaxRowBytes)
		if c.Failed() {
			return workflow.SourcePlan{}
		}
		file, ok := c.Open("path", config.Path)
		if !ok {
			return workflow.SourcePlan{}
		}
		defer func() { _ = file.Close() }() // nothing was written
		if config.Columns == nil {
			config.Columns = inferDocument(c, file, config)
		}
		columns, schema, ok := columnsOf(c, config.Columns)
		if !ok || c.Failed() {
			return workflow.SourcePlan{}
		}
		return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
			return &documentSource{open: env.Open, config: config, columns: columns, schema: schema}, nil
		}}
	},
}

// inferDocument looks at the first objects of a file.
func inferDocument(c *workflow.Check, file io.Reader, config DocumentConfig) workflow.Mapping[ColumnConfig] {
	a := newArray(file, config.MaxRowBytes)
	err := a.enter(config.At)
	var f inference
	for n := 0; err == nil && n < inferRows; n++ {
		var raw json.RawMessage
		if raw, err = a.next(); err == nil {
			f.add(raw)
		}
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		c.Errorf("path", "%s: %s", config.Path, err)
	case f.order == nil:
		c.Report("path", fmt.Sprintf("no columns are found in the first %d rows of %q", inferRows, config.Path), "declare columns")
	}
	return f.config()
}

// Array reads the elements of an array within a document as a stream, each
// with a bound on its length. It is used by one goroutine at a time.
type Array struct{ array *array }

// NewArray goes to the array at a path of names joined by dots; the empty path
// is the document itself. No element may have more than limit bytes.
func NewArray(src io.Reader, path string, limit int) (*Array, error) {
	a := newArray(src, limit)
	if err := a.enter(path); err != nil {
		return nil, err
	}
	return &Array{a}, nil
}

// Next gives the text of the next element, or io.EOF after the last one.
func (a *Array) Next() ([]byte, error) { return a.array.next() }

// array reads the elements of an array within a document.
type array struct {
	budget  *budget
	decoder *json.Decoder
	limit   int
}

// budget bounds what is read for one element.
type budget struct {
	src  io.Reader
	left int
}

var errTooLong = errors.New("a row is too long")

// Read reads while there is something left.
func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.src.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func newArray(src io.Reader, limit int) *array {
	b := &budget{src: src, left: limit}
	return &array{budget: b, decoder: json.NewDecoder(b), limit: limit}
}

// enter goes to the array at a path.
func (a *array) enter(path string) error {
	var names []string
	if path != "" {
		names = strings.Split(path, ".")
	}
	for i := range names {
		if err := a.open('{', strings.Join(names[:i], ".")); err != nil {
			return err
		}
		if err := a.find(names[i], strings.Join(names[:i+1], ".")); err != nil {
			return err
		}
	}
	return a.open('[', path)
}

// open takes the beginning of an object or array.
func (a *array) open(want json.Delim, path string) error {
	what := map[json.Delim]string{'{': "an object", '[': "an array"}[want]
	if path == "" {
		path = "the document"
	}
	token, err := a.token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%s is not %s", path, what)
	}
	return nil
}

func (a *array) token() (json.Token, error) {
	a.budget.left = a.limit
	token, err := a.decoder.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file ends too early")
	}
	return token, a.explain(err)
}

// find goes to the value of a name, past the values of others.
func (a *array) find(name, path string) error {
	for a.decoder.More() {
		token, err := a.token()
		if err != nil {
			return err
		}
		if token == name {
			return nil
		}
		if err := a.skip(); err != nil {
			return err
		}
	}
	return fmt.Errorf("there is no %s in it", path)
}

// skip passes over a value without holding it.
func (a *array) skip() error {
	for depth := 0; ; {
		token, err := a.token()
		if err != nil {
			return err
		}
		if d, ok := token.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if depth == 0 {
			return nil
		}
	}
}

// next is the next element, or io.EOF after the last one.
func (a *array) next() (raw json.RawMessage, err error) {
	a.budget.left = a.limit
	if !a.decoder.More() {
		token, err := a.token()
		if err == nil && token == json.Delim(']') {
			err = io.EOF
		}
		return nil, err
	}
	err = a.decoder.Decode(&raw)
	if err == nil && len(raw) > a.limit {
		err = errTooLong
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends too early")
	}
	return raw, a.explain(err)
}

// explain says where in the document an error is.
func (a *array) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("a row at byte %d has more than %d bytes", a.decoder.InputOffset(), a.limit)
	}
	return fmt.Errorf("at byte %d: %w", a.decoder.InputOffset(), err)
}

// documentSource reads one file. It implements [workflow.Source] and
// [workflow.Counter].
type documentSource struct {
	open    func(string) (fs.File, error)
	config  DocumentConfig
	columns []column
	schema  workflow.Schema

	file  fs.File
	array *array
	rows  int64
}

// Open opens the file and goes to its rows.
func (s *documentSource) Open(context.Context) (err error) {
	if s.file, err = s.open(s.config.Path); err != nil {
		return workflow.FileError("json.Open", s.config.Path, err)
	}
	s.array = newArray(s.file, s.config.MaxRowBytes)
	return s.fault("json.Open", s.array.enter(s.config.At))
}

func (s *documentSource) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return workflow.FileError(op, s.config.Path, err)
	}
	return &fault.Error{Code: fault.FailedPrecondition, Op: op, Target: s.config.Path, Message: err.Error()}
}

// Read returns the next rows.
func (s *documentSource) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.config.Path}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	var rejects []workflow.Reject
	rows := workflow.NewRows(max, s.schema.Len())
	n := 0
	for bytes := 0; n < max && len(rejects) < max && bytes < batchBytesMax; {
		raw, err := s.array.next()
		if err != nil {
			batch.Rows = rows[:n]
			if err == io.EOF { //nolint:errorlint // next gives it bare
				return batch, rejects, io.EOF
			}
			return batch, rejects, s.fault("json.Read", err)
		}
		s.rows++
		bytes += len(raw)
		name := ""
		o, reason := parseObject(raw)
		if reason == "" {
			name, reason = fill(s.columns, o, rows[n])
		}
		if reason != "" {
			rejects = append(rejects, workflow.Reject{
				File: s.config.Path, Column: name, Reason: fmt.Sprintf("element %d: %s", s.rows-1, reason), Raw: strings.ToValidUTF8(string(raw), "\ufffd"),
			})
			continue
		}
		n++
	}
	batch.Rows = rows[:n]
	return batch, rejects, nil
}

// RowsRead counts the rows met so far, good or bad.
func (s *documentSource) RowsRead() int64 { return s.rows }

// Close closes the file.
func (s *documentSource) Close() error {
	if s.file == nil {
		return nil
	}
	return workflow.FileError("json.Close", s.config.Path, s.file.Close())
}
