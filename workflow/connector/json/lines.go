package json

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/troupe-dev/troupe/internal/lines"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// DefaultMaxRowBytes bounds the text of a row where nothing is said.
	DefaultMaxRowBytes = 1 << 20
	// MaxRowBytesMax bounds what may be said.
	MaxRowBytesMax = 64 << 20
	// batchBytesMax bounds the text of the rows in one batch.
	batchBytesMax = 8 << 20
)

// LinesConfig is the "with" block of a node of the type source.jsonl.
type LinesConfig struct {
	Path        string                         `yaml:"path,required" doc:"File to read. A relative path is relative to the definition."`
	Columns     workflow.Mapping[ColumnConfig] `yaml:"columns" doc:"Names and types of the columns. Without it they are those of the first 100 rows."`
	MaxRowBytes int                            `yaml:"max_row_bytes" doc:"Longest line. A longer one is set aside."`
}

var linesType = workflow.SourceType[LinesConfig]{
	Name:    "source.jsonl",
	Doc:     "Reads a file with a JSON object on each line. Lines that cannot be read as declared are set aside with line, column and reason.",
	Example: "path: events.jsonl\ncolumns:\n  at: time\n  user: {type: int, path: user.id, required: true}",
	Default: LinesConfig{MaxRowBytes: DefaultMaxRowBytes},
	Plan: func(c *workflow.Check, config LinesConfig) workflow.SourcePlan {
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
			config.Columns = inferLines(c, file, config)
		}
		columns, schema, ok := columnsOf(c, config.Columns)
		if !ok || c.Failed() {
			return workflow.SourcePlan{}
		}
		return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
			return &lineSource{open: env.Open, path: config.Path, columns: columns, schema: schema, rowBytes: config.MaxRowBytes}, nil
		}}
	},
}

func checkRowBytes(c *workflow.Check, n int) {
	if n < 1 || n > MaxRowBytesMax {
		c.Errorf("max_row_bytes", "%d is out of range; expected 1 to %d", n, MaxRowBytesMax)
	}
}

// inferLines looks at the first lines of a file.
func inferLines(c *workflow.Check, file fs.File, config LinesConfig) workflow.Mapping[ColumnConfig] {
	var f inference
	r := lines.NewReader(file, config.MaxRowBytes)
	for range inferRows {
		line, err := r.Next()
		if err != nil {
			break // reading it at run time says what is wrong
		}
		f.add(line.Text)
	}
	if f.order == nil {
		c.Report("path", fmt.Sprintf("no columns are found in the first %d lines of %q", inferRows, config.Path), "declare columns")
	}
	return f.config()
}

// lineSource reads one file. It implements [workflow.Source] and
// [workflow.Counter].
type lineSource struct {
	open     func(string) (fs.File, error)
	path     string
	columns  []column
	schema   workflow.Schema
	rowBytes int

	file  fs.File
	lines *lines.Reader
	rows  int64
}

// Open opens the file.
func (s *lineSource) Open(context.Context) (err error) {
	if s.file, err = s.open(s.path); err != nil {
		return workflow.FileError("jsonl.Open", s.path, err)
	}
	s.lines = lines.NewReader(s.file, s.rowBytes)
	return nil
}

// Read returns the next rows. Empty lines are no rows.
func (s *lineSource) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.path}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	var rejects []workflow.Reject
	rows, numbers := workflow.NewRows(max, s.schema.Len()), make([]int, 0, max)
	for bytes := 0; len(numbers) < max && len(rejects) < max && bytes < batchBytesMax; {
		line, err := s.lines.Next()
		if err != nil {
			batch.Rows, batch.Lines = rows[:len(numbers)], numbers
			if errors.Is(err, io.EOF) {
				return batch, rejects, io.EOF
			}
			return batch, rejects, workflow.FileError("jsonl.Read", fmt.Sprintf("%s:%d", s.path, line.Number), err)
		}
		if len(strings.TrimSpace(string(line.Text))) == 0 && line.Reason == "" {
			continue
		}
		s.rows++
		bytes += len(line.Text)
		name, reason := "", line.Reason
		if reason == "" {
			var o object
			if o, reason = parseObject(line.Text); reason == "" {
				name, reason = fill(s.columns, o, rows[len(numbers)])
			}
		}
		if reason != "" {
			rejects = append(rejects, workflow.Reject{File: s.path, Line: line.Number, Column: name, Reason: reason, Raw: strings.ToValidUTF8(string(line.Text), "\ufffd")})
			continue
		}
		numbers = append(numbers, line.Number)
	}
	batch.Rows, batch.Lines = rows[:len(numbers)], numbers
	return batch, rejects, nil
}

// RowsRead counts the rows met so far, good or bad.
func (s *lineSource) RowsRead() int64 { return s.rows }

// Close closes the file.
func (s *lineSource) Close() error {
	if s.file == nil {
		return nil
	}
	return workflow.FileError("jsonl.Close", s.path, s.file.Close())
}
