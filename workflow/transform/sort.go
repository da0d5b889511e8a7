package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// DefaultMaxSorted bounds the rows that a sort holds.
const DefaultMaxSorted = 1_000_000

// SortConfig is the "with" block of a node of the type sort.
type SortConfig struct {
	By      []string `yaml:"by,required" doc:"Columns to sort by, the first weighs most. Add desc for the reverse order: temp_max desc."`
	MaxRows int      `yaml:"max_rows" doc:"How many rows are held at most; the run fails beyond."`
}

var sortType = workflow.TransformType[SortConfig]{
	Name:    "sort",
	Doc:     "Puts all rows in order. Nulls come first, or last in the reverse order; rows that are equal keep the order in which they came.",
	Example: `by: [year, rain_mm desc]`,
	Default: SortConfig{MaxRows: DefaultMaxSorted},
	Plan: func(c *workflow.Check, config SortConfig) workflow.TransformPlan {
		var by []sortKey
		for i, text := range config.By {
			name, sign := parseSortKey(c.Input(), text)
			if at, _, ok := c.Column(workflow.IndexPath("by", i), name); ok {
				by = append(by, sortKey{column: at, sign: sign})
			}
		}
		if len(config.By) == 0 {
			c.Report("by", "no columns to sort by", "name at least one")
		}
		if config.MaxRows < 1 {
			c.Errorf("max_rows", "%d is out of range; expected 1 or more", config.MaxRows)
		}
		schema := c.Input()
		return workflow.TransformPlan{
			Schema: schema,
			New: func(*workflow.Env) (workflow.Transform, error) {
				return &sorter{schema: schema, by: by, rowsMax: config.MaxRows}, nil
			},
		}
	},
}

// parseSortKey splits a direction off. A column whose own name ends in one is
// that column.
func parseSortKey(schema workflow.Schema, text string) (name string, sign int) {
	if _, ok := schema.Index(text); ok {
		return text, 1
	}
	if name, ok := strings.CutSuffix(text, " desc"); ok {
		return strings.TrimSpace(name), -1
	}
	return strings.TrimSpace(strings.TrimSuffix(text, " asc")), 1
}

type sortKey struct {
	column int
	sign   int
}

// sorter holds all rows until Flush.
type sorter struct {
	schema  workflow.Schema
	by      []sortKey
	rowsMax int
	rows    []sorted
	file    string // what all rows so far were read from
	files   bool   // they come from several
}

// sorted is a row with the line it was read from.
type sorted struct {
	row  workflow.Row
	line int
}

// Apply keeps the rows of a batch.
func (s *sorter) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	if len(s.rows)+len(in.Rows) > s.rowsMax {
		return workflow.Output{}, &fault.Error{
			Code: fault.FailedPrecondition, Op: "sort.Apply",
			Message: fmt.Sprintf("there are more than %d rows to sort", s.rowsMax), Hint: "sort after rows were filtered or grouped, or raise max_rows",
		}
	}
	s.files = s.files || len(s.rows) > 0 && s.file != in.File
	s.file = in.File
	for i, row := range in.Rows {
		s.rows = append(s.rows, sorted{row: row, line: in.Line(i)})
	}
	return workflow.Output{Held: len(in.Rows)}, nil
}

// Flush gives all rows in order. They know their lines if they all come from
// one file.
func (s *sorter) Flush(context.Context) (workflow.Output, error) {
	slices.SortStableFunc(s.rows, func(a, b sorted) int {
		for _, k := range s.by {
			if c := a.row[k.column].Compare(b.row[k.column]); c != 0 {
				return c * k.sign
			}
		}
		return 0
	})
	out := workflow.Batch{Schema: s.schema, Rows: make([]workflow.Row, len(s.rows))}
	if !s.files && s.file != "" {
		out.File, out.Lines = s.file, make([]int, len(s.rows))
	}
	for i, r := range s.rows {
		out.Rows[i] = r.row
		if out.Lines != nil {
			out.Lines[i] = r.line
		}
	}
	s.rows = nil
	return workflow.Output{Batch: out}, nil
}
