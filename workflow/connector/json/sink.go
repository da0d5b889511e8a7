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
	names [][]byte // of the columns, with what stands around them
	line  []byte
}

// Open begins the file.
func (s *sink) Open(_ context.Context, schema workflow.Schema) error {
	for i, name := range schema.Names() {
		quoted, err := json.Marshal(name)
		if err != nil {
			return err
		}
		before := ","
		if i == 0 {
			before = "{"
		}
		s.names = append(s.names, append(append([]byte(before), quoted...), ':'))
	}
	return s.Create()
}

// Write appends the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, row := range batch.Rows {
		s.line = s.line[:0]
		for i, v := range row {
			text, err := v.MarshalJSON()
			if err != nil {
				return err
			}
			s.line = append(append(s.line, s.names[i]...), text...)
		}
		s.line = append(s.line, "}\n"...)
		if err := s.Append(s.line); err != nil {
			return err
		}
	}
	return nil
}
