package csv

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// SinkConfig is the "with" block of a node of the type sink.csv.
type SinkConfig struct {
	Path      string `yaml:"path,required" doc:"File to write. A relative path is relative to the output directory of the run. Missing directories are made."`
	Header    bool   `yaml:"header" doc:"Whether the first row names the columns."`
	Delimiter string `yaml:"delimiter" doc:"The character between fields."`
	NullText  string `yaml:"null_text" doc:"How a null is written. A text that is the same is put in quotes."`
}

var sinkType = workflow.SinkType[SinkConfig]{
	Name:    "sink.csv",
	Doc:     "Writes rows to a CSV file, which appears when the run has succeeded and is left alone otherwise.",
	Example: `path: monthly.csv`,
	Default: SinkConfig{Header: true, Delimiter: ","},
	Plan:    planSink,
}

func planSink(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
	delimiter := checkDelimiter(c, config.Delimiter)
	if strings.ContainsAny(config.NullText, "\"\r\n") || strings.IndexByte(config.NullText, delimiter) >= 0 {
		c.Report("null_text", fmt.Sprintf("%q cannot stand for null", config.NullText), "choose a text without quotes, line breaks and the delimiter, such as 'NULL'")
	}
	for _, column := range c.Input().Columns() {
		if column.Kind == workflow.KindString || column.Kind == workflow.KindNull {
			continue // quotes tell the text from the null
		}
		if _, err := workflow.ParseValue(column.Kind, config.NullText); err == nil {
			c.Report("null_text", fmt.Sprintf("%q is also a value of the column %q", config.NullText, column.Name), "choose another text, such as 'NULL'")
			break
		}
	}
	if ends := strings.HasSuffix(config.Path, "/"); ends || filepath.Base(config.Path) == "." {
		c.Report("path", fmt.Sprintf("%q names a directory; expected a file", config.Path), "add a file name, such as "+config.Path+"rows.csv")
	}
	return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
		return &sink{OutputFile: env.OutputFile("csv", config.Path), header: config.Header, delimiter: delimiter, null: config.NullText}, nil
	}}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// sink writes one file. It implements [workflow.Sink], [workflow.Preparer] and
// [workflow.Producer].
type sink struct {
	*workflow.OutputFile
	header    bool
	delimiter byte
	null      string

	line []byte
	text []byte
}

// Open begins the file and writes its header.
func (s *sink) Open(_ context.Context, schema workflow.Schema) error {
	if err := s.Create(); err != nil || !s.header {
		return err
	}
	s.line = s.line[:0]
	for i, name := range schema.Names() {
		if i > 0 {
			s.line = append(s.line, s.delimiter)
		}
		s.text = append(s.text[:0], name...)
		s.appendField(name != strings.TrimSpace(name))
	}
	return s.writeLine()
}

// Write appends the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, row := range batch.Rows {
		s.line = s.line[:0]
		for i, v := range row {
			if i > 0 {
				s.line = append(s.line, s.delimiter)
			}
			if v.IsNull() {
				s.line = append(s.line, s.null...)
				continue
			}
			s.text = v.AppendText(s.text[:0])
			s.appendField(v.Kind() == workflow.KindString && string(s.text) == s.null)
		}
		if err := s.writeLine(); err != nil {
			return err
		}
	}
	return nil
}

// appendField appends s.text to the line, in quotes if it has to be or if the
// caller says so. A byte order mark is quoted because at the beginning of a
// file it would be taken for one.
func (s *sink) appendField(quote bool) {
	if !quote && bytes.IndexByte(s.text, s.delimiter) < 0 && !bytes.ContainsAny(s.text, "\"\r\n") && !bytes.HasPrefix(s.text, byteOrderMark) {
		s.line = append(s.line, s.text...)
		return
	}
	s.line = append(s.line, '"')
	for _, b := range s.text {
		if b == '"' {
			s.line = append(s.line, '"')
		}
		s.line = append(s.line, b)
	}
	s.line = append(s.line, '"')
}

func (s *sink) writeLine() error {
	s.line = append(s.line, '\n')
	return s.Append(s.line)
}
