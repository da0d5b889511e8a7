// Package console shows rows to whoever runs a workflow: the node type
// sink.console.
package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// DefaultRows is how many rows are shown where nothing is said.
	DefaultRows = 20
	// RowsMax bounds what may be said, as the rows are held until the commit.
	RowsMax = 10_000
	// cellMax is how many characters of a value are shown.
	cellMax = 60
)

// Register adds the node type sink.console, whose sinks write to w. It is
// called for one table at a time by each run; runs at the same time need a
// writer that is safe for concurrent use, such as a file.
func Register(r *workflow.Registry, w io.Writer) {
	r.Add(workflow.SinkType[SinkConfig]{
		Name:    "sink.console",
		Doc:     "Shows the first rows as a table on standard output when the run has succeeded, and how many there are. If the run is done again after a crash, they may be shown again.",
		Example: "rows: 10",
		Default: SinkConfig{Rows: DefaultRows},
		Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
			if config.Rows < 0 || config.Rows > RowsMax {
				c.Errorf("rows", "%d is out of range; expected 0 to %d", config.Rows, RowsMax)
			}
			return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
				return &sink{out: w, node: env.Node, most: config.Rows}, nil
			}}
		},
	})
}

// SinkConfig is the "with" block of a node of the type sink.console.
type SinkConfig struct {
	Rows int `yaml:"rows" doc:"How many rows are shown."`
}

// sink holds the first rows until Commit.
type sink struct {
	out    io.Writer
	node   string
	most   int
	schema workflow.Schema
	rows   []workflow.Row
	total  int
}

// Open notes the columns.
func (s *sink) Open(_ context.Context, schema workflow.Schema) error {
	s.schema = schema
	return nil
}

// Write keeps the first rows.
func (s *sink) Write(_ context.Context, batch workflow.Batch) error {
	s.total += len(batch.Rows)
	s.rows = append(s.rows, batch.Rows[:min(len(batch.Rows), s.most-len(s.rows))]...)
	return nil
}

// Commit shows them.
func (s *sink) Commit(context.Context) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d rows\n", s.node, s.total)
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	cells := make([]string, s.schema.Len())
	for i, name := range s.schema.Names() {
		cells[i] = printable(name)
	}
	_, _ = fmt.Fprintf(w, "%s\n", strings.Join(cells, "\t"))
	for _, row := range s.rows {
		for i, v := range row {
			cells[i] = "null"
			if !v.IsNull() {
				cells[i] = printable(v.String())
			}
		}
		_, _ = fmt.Fprintf(w, "%s\n", strings.Join(cells, "\t"))
	}
	_ = w.Flush() // into memory
	if hidden := s.total - len(s.rows); hidden > 0 {
		fmt.Fprintf(&text, "… and %d more\n", hidden)
	}
	if _, err := io.WriteString(s.out, text.String()); err != nil {
		return fault.Wrap(fault.Unavailable, "console.Commit", err)
	}
	return nil
}

// Abort shows nothing.
func (s *sink) Abort(context.Context) error { return nil }

// printable is a text without what moves a terminal's cursor, and not too long.
func printable(text string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		switch n++; {
		case n > cellMax+1:
			return -1
		case n == cellMax+1:
			return '…'
		case !unicode.IsPrint(r):
			return '\ufffd'
		}
		return r
	}, text)
}
