package json

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// SinkConfig is the "with" block of a node of the type sink.jsonl.
type SinkConfig struct {
	Path string `yaml:"path,required" doc:"File to write. A relative path is relative to the output directory of the run. Missing directories are made."`
}

var sinkType = workflow.SinkType[SinkConfig]{
	Name:    "sink.jsonl",
	Doc:     "Writes each row as a JSON object on a line of its own. The file appears when the run has succeeded and is left alone otherwise.",
	Example: "path: monthly.jsonl",
	Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
		if strings.HasSuffix(config.Path, "/") {
			c.Report("path", fmt.Sprintf("%q names a directory; expected a file", config.Path), "add a file name, such as "+config.Path+"rows.jsonl")
		}
		return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
			return &sink{OutputFile: env.OutputFile("jsonl", config.Path)}, nil
		}}
	},
}

// sink writes one file.
type sink struct {
	*workflow.OutputFile
	encoder *Encoder
	line    []byte
}

// Open begins the file.
func (s *sink) Open(_ context.Context, schema workflow.Schema) error {
	s.encoder = NewEncoder(schema)
	return s.Create()
}

// Write appends the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, row := range batch.Rows {
		s.line = append(s.encoder.Append(s.line[:0], row), '\n')
		if err := s.Append(s.line); err != nil {
			return err
		}
	}
	return nil
}

// Encoder writes rows of a schema as objects.
type Encoder struct {
	names [][]byte // of the columns, with what stands around them
}

// NewEncoder makes an encoder.
func NewEncoder(schema workflow.Schema) *Encoder {
	e := &Encoder{}
	for i, name := range schema.Names() {
		before := ","
		if i == 0 {
			before = ""
		}
		quoted, _ := json.Marshal(name) // a text can be marshaled
		e.names = append(e.names, append(append([]byte(before), quoted...), ':'))
	}
	return e
}

// Append appends a row to dst as a JSON object on one line.
func (e *Encoder) Append(dst []byte, row workflow.Row) []byte {
	dst = append(dst, '{')
	for i, v := range row {
		text, _ := v.MarshalJSON() // every value can be marshaled
		dst = append(append(dst, e.names[i]...), text...)
	}
	return append(dst, '}')
}
