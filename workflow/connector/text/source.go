// Package text reads text files line by line: the node type source.text.
package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/lines"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// DefaultMaxRowBytes bounds a line where nothing is said.
	DefaultMaxRowBytes = 1 << 20
	// MaxRowBytesMax bounds what may be said.
	MaxRowBytesMax = 64 << 20
	// batchBytesMax bounds the text of one batch.
	batchBytesMax = 8 << 20
)

// Register adds the node type source.text.
func Register(r *workflow.Registry) { r.Add(sourceType) }

// SourceConfig is the "with" block of a node of the type source.text.
type SourceConfig struct {
	Path        string `yaml:"path,required" doc:"File to read, in UTF-8. A relative path is relative to the definition."`
	Column      string `yaml:"column" doc:"Name of the column that has the line."`
	Number      string `yaml:"number" doc:"Name of a column for the number of the line, from 1. Without it there is none."`
	MaxRowBytes int    `yaml:"max_row_bytes" doc:"Longest line. A longer one is set aside."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name:    "source.text",
	Doc:     "Reads a text file: each line is a row, empty ones too. Lines that are not UTF-8 or too long are set aside.",
	Example: "path: access.log\ncolumn: line",
	Default: SourceConfig{Column: "line", MaxRowBytes: DefaultMaxRowBytes},
	Plan: func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		if config.MaxRowBytes < 1 || config.MaxRowBytes > MaxRowBytesMax {
			c.Errorf("max_row_bytes", "%d is out of range; expected 1 to %d", config.MaxRowBytes, MaxRowBytesMax)
		}
		columns := []workflow.Column{{Name: config.Column, Kind: workflow.KindString}}
		if config.Number != "" {
			columns = append(columns, workflow.Column{Name: config.Number, Kind: workflow.KindInt})
		}
		schema, _ := c.Schema("column", columns...)
		if file, ok := c.Open("path", config.Path); ok {
			_ = file.Close() // nothing was written
		}
		return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
			return &source{open: env.Open, config: config, schema: schema}, nil
		}}
	},
}

// source reads one file. It implements [workflow.Source] and
// [workflow.Counter].
type source struct {
	open   func(string) (fs.File, error)
	config SourceConfig
	schema workflow.Schema

	file  fs.File
	lines *lines.Reader
	rows  int64
}

// Open opens the file.
func (s *source) Open(context.Context) (err error) {
	if s.file, err = s.open(s.config.Path); err != nil {
		return workflow.FileError("text.Open", s.config.Path, err)
	}
	s.lines = lines.NewReader(s.file, s.config.MaxRowBytes)
	return nil
}

// Read returns the next lines.
func (s *source) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.config.Path}
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
			return batch, rejects, workflow.FileError("text.Read", fmt.Sprintf("%s:%d", s.config.Path, line.Number), err)
		}
		s.rows++
		bytes += len(line.Text)
		text := string(line.Text)
		if line.Reason == "" && !utf8.ValidString(text) {
			line.Reason = "the line is not UTF-8"
		}
		if line.Reason != "" {
			rejects = append(rejects, workflow.Reject{File: s.config.Path, Line: line.Number, Reason: line.Reason, Raw: strings.ToValidUTF8(text, "\ufffd")})
			continue
		}
		row := rows[len(numbers)]
		row[0] = workflow.String(text)
		if len(row) > 1 {
			row[1] = workflow.Int(int64(line.Number))
		}
		numbers = append(numbers, line.Number)
	}
	batch.Rows, batch.Lines = rows[:len(numbers)], numbers
	return batch, rejects, nil
}

// RowsRead counts the lines met so far, good or bad.
func (s *source) RowsRead() int64 { return s.rows }

// Close closes the file.
func (s *source) Close() error {
	if s.file == nil {
		return nil
	}
	return workflow.FileError("text.Close", s.config.Path, s.file.Close())
}
