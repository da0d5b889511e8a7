package csv

import (
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// SourceConfig is the "with" block of a node of the type source.csv.
type SourceConfig struct {
	Path        string                         `yaml:"path,required" doc:"File to read. A relative path is relative to the definition."`
	Columns     workflow.Mapping[ColumnConfig] `yaml:"columns" doc:"Names and types of the columns. Without it every column of the header is a string."`
	Header      bool                           `yaml:"header" doc:"Whether the first row names the columns. If not, they stand in the declared order."`
	Extra       string                         `yaml:"extra" doc:"What to do about columns of the header that are not declared: error or ignore."`
	Delimiter   string                         `yaml:"delimiter" doc:"The character between fields."`
	Nulls       []string                       `yaml:"nulls" doc:"Texts that mean null. In a string column they do so only without quotes."`
	Encoding    string                         `yaml:"encoding" doc:"utf-8 or windows-1252."`
	MaxRowBytes int                            `yaml:"max_row_bytes" doc:"Longest row, line breaks in quotes included. A longer one is set aside."`
}

// Ways to treat columns of a header that are not declared.
const (
	extraError  = "error"
	extraIgnore = "ignore"
)

var sourceType = workflow.SourceType[SourceConfig]{
	Name: "source.csv",
	Doc:  "Reads a CSV file row by row. Rows that cannot be read as declared are set aside with line, column and reason.",
	Example: `path: seattle-weather.csv
columns:
  date: date
  temp_max: {type: float, required: true}
  seen_at: {type: time, layout: 02.01.2006 15:04}`,
	Default: SourceConfig{
		Header: true, Extra: extraError, Delimiter: ",", Nulls: []string{""}, Encoding: encodingUTF8, MaxRowBytes: DefaultMaxRowBytes,
	},
	Plan: planSource,
}

func planSource(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
	l := layout{
		path:        config.Path,
		header:      config.Header,
		ignoreExtra: config.Extra == extraIgnore,
		delimiter:   checkDelimiter(c, config.Delimiter),
		encoding:    config.Encoding,
		rowBytes:    config.MaxRowBytes,
	}
	checkEncoding(c, config.Encoding)
	if !slices.Contains([]string{extraError, extraIgnore}, config.Extra) {
		c.Unknown("extra", "choice", config.Extra, []string{extraError, extraIgnore})
	}
	if config.MaxRowBytes < 1 || config.MaxRowBytes > MaxRowBytesMax {
		c.Errorf("max_row_bytes", "%d is out of range; expected 1 to %d", config.MaxRowBytes, MaxRowBytesMax)
	}
	if len(config.Columns) > ColumnsMax {
		c.Errorf("columns", "%d columns; at most %d are allowed", len(config.Columns), ColumnsMax)
		return workflow.SourcePlan{}
	}
	var columns []workflow.Column
	for _, item := range config.Columns {
		item.Value.check(c, workflow.KeyPath("columns", item.Key))
		l.columns = append(l.columns, column{ColumnConfig: item.Value, name: item.Key, nulls: config.Nulls})
		columns = append(columns, workflow.Column{Name: item.Key, Kind: item.Value.Type})
	}
	if c.Failed() {
		return workflow.SourcePlan{}
	}
	if l.columns == nil && !l.header {
		c.Report("", "a file without a header needs its columns declared", "add columns: {name: type, …} in the order of the file")
		return workflow.SourcePlan{}
	}
	if names := checkFile(c, l); l.columns == nil {
		for _, name := range names {
			l.columns = append(l.columns, column{ColumnConfig: ColumnConfig{Type: workflow.KindString}, name: name, nulls: config.Nulls})
			columns = append(columns, workflow.Column{Name: name, Kind: workflow.KindString})
		}
	}
	schema, ok := c.Schema("columns", columns...)
	if !ok || c.Failed() {
		return workflow.SourcePlan{}
	}
	return workflow.SourcePlan{
		Schema: schema,
		New: func(env *workflow.Env) (workflow.Source, error) {
			return &source{layout: l, schema: schema, open: env.Open}, nil
		},
	}
}

// checkFile compares the file with what is declared, as far as that can be
// seen without reading it, and returns the names in its header.
func checkFile(c *workflow.Check, l layout) []string {
	file, ok := c.Open("path", l.path)
	if !ok {
		return nil
	}
	defer func() { _ = file.Close() }() // nothing was written
	if info, err := file.Stat(); err == nil && info.IsDir() {
		c.Report("path", fmt.Sprintf("%q is a directory; expected a file", l.path), "")
		return nil
	}
	head, err := l.begin(file)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if f.Cause != nil {
			f = &fault.Error{Target: f.Target, Message: f.Cause.Error(), Hint: f.Hint}
		}
		c.Report("path", f.Target+": "+f.Message, f.Hint)
		return nil
	}
	for _, m := range head.found {
		path := "columns"
		if m.column != "" {
			path = workflow.KeyPath(path, m.column)
		}
		c.Report(path, m.message, m.hint)
	}
	return head.names
}
