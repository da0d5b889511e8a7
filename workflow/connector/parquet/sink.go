package parquet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/troupe-dev/troupe/workflow"
)

// groupRows is how many rows a row group has.
const groupRows = 50_000

// SinkConfig is the "with" block of a node of the type sink.parquet.
type SinkConfig struct {
	Path string `yaml:"path,required" doc:"File to write. A relative path is relative to the output directory of the run. Missing directories are made."`
}

var sinkType = workflow.SinkType[SinkConfig]{
	Name:    "sink.parquet",
	Doc:     "Writes rows to a Parquet file, which appears when the run has succeeded and is left alone otherwise.",
	Example: "path: monthly.parquet",
	Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
		if strings.HasSuffix(config.Path, "/") {
			c.Report("path", fmt.Sprintf("%q names a directory; expected a file", config.Path), "add a file name, such as "+config.Path+"rows.parquet")
		}
		if c.Input().Len() == 0 {
			c.Errorf("", "no columns come in")
		}
		return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
			return &sink{OutputFile: env.OutputFile("parquet", config.Path)}, nil
		}}
	},
}

// ordered is a group of fields that keep their order. That of the library
// sorts them by name.
type ordered struct {
	parquet.Group
	names []string
}

// Fields lists the fields in the order of the columns.
func (o ordered) Fields() []parquet.Field {
	fields := slices.Clone(o.Group.Fields())
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return fields
}

// schemaOf is the schema of a file for rows.
func schemaOf(s workflow.Schema) *parquet.Schema {
	group := parquet.Group{}
	for _, c := range s.Columns() {
		group[c.Name] = parquet.Compressed(parquet.Optional(nodeOf(c.Kind)), &parquet.Snappy)
	}
	return parquet.NewSchema("rows", ordered{group, s.Names()})
}

func nodeOf(kind workflow.Kind) parquet.Node {
	switch kind {
	case workflow.KindBool:
		return parquet.Leaf(parquet.BooleanType)
	case workflow.KindInt:
		return parquet.Int(64)
	case workflow.KindFloat:
		return parquet.Leaf(parquet.DoubleType)
	case workflow.KindDate:
		return parquet.Date()
	case workflow.KindTime:
		return parquet.Timestamp(parquet.Nanosecond)
	}
	return parquet.String()
}

// sink writes one file.
type sink struct {
	*workflow.OutputFile
	writer *parquet.GenericWriter[any]
	rows   []parquet.Row
	cells  []parquet.Value
}

// appender gives the file to the writer.
type appender struct{ *workflow.OutputFile }

// Write appends to the file.
func (a appender) Write(p []byte) (int, error) {
	if err := a.Append(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Open begins the file.
func (s *sink) Open(_ context.Context, schema workflow.Schema) error {
	if err := s.Create(); err != nil {
		return err
	}
	s.writer = parquet.NewGenericWriter[any](appender{s.OutputFile}, schemaOf(schema), parquet.MaxRowsPerRowGroup(groupRows))
	return nil
}

// Write adds the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	width := batch.Schema.Len()
	s.rows, s.cells = s.rows[:0], slices.Grow(s.cells[:0], width*len(batch.Rows))
	for _, row := range batch.Rows {
		start := len(s.cells)
		for i, v := range row {
			cell, defined := valueOf(v), 1
			if v.IsNull() {
				defined = 0
			}
			s.cells = append(s.cells, cell.Level(0, defined, i))
		}
		s.rows = append(s.rows, s.cells[start:len(s.cells):len(s.cells)])
	}
	_, err := s.writer.WriteRows(s.rows)
	return workflow.FileError("parquet.Write", s.Artifact().Path, err)
}

func valueOf(v workflow.Value) parquet.Value {
	switch v.Kind() {
	case workflow.KindBool:
		return parquet.BooleanValue(v.Bool())
	case workflow.KindInt:
		return parquet.Int64Value(v.Int())
	case workflow.KindFloat:
		return parquet.DoubleValue(v.Float())
	case workflow.KindString:
		return parquet.ByteArrayValue([]byte(v.Text()))
	case workflow.KindDate:
		return parquet.Int32Value(int32(v.Time().Unix() / secondsPerDay)) //nolint:gosec // days of four-digit years
	case workflow.KindTime:
		return parquet.Int64Value(v.Time().UnixNano())
	}
	return parquet.NullValue()
}

// secondsPerDay turns days into seconds.
const secondsPerDay = 24 * 60 * 60

// Prepare writes the end of the file and puts everything on disk.
func (s *sink) Prepare(ctx context.Context) error {
	if err := s.writer.Close(); err != nil {
		return workflow.FileError("parquet.Prepare", s.Artifact().Path, err)
	}
	return s.OutputFile.Prepare(ctx)
}
