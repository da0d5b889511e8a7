package memory

import (
	"context"
	"fmt"
	"io"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// RowsConfig is the "with" block of a node of the type source.memory.
type RowsConfig struct {
	Columns workflow.Mapping[workflow.Kind] `yaml:"columns,required" doc:"Names and types of the columns."`
	Rows    []Cells                         `yaml:"rows" doc:"The rows, each a list of a value for each column, or null."`
}

// Cells are the values of a row as they stand in a definition.
type Cells []Cell

// Cell is one of [Cells].
type Cell struct {
	text string
	null bool
	list bool // it is a list or mapping
}

// UnmarshalNode reads any single value.
func (c *Cell) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	*c = Cell{text: n.Text(), null: n.IsNull(), list: n.IsList() || n.IsMapping()}
	return nil
}

// MarshalTree writes the value.
func (c Cell) MarshalTree() yamldoc.Tree {
	if c.null {
		return yamldoc.Tree{Tag: yamldoc.TagNull}
	}
	return yamldoc.TextTree(c.text)
}

// CellsOf is a row of values, for definitions that are written in Go.
func CellsOf(values ...workflow.Value) Cells {
	row := make(Cells, len(values))
	for i, v := range values {
		row[i] = Cell{text: v.String(), null: v.IsNull()}
	}
	return row
}

// YAMLType names the type in the documentation of node types.
func (Cell) YAMLType() string { return "value" }

var rowsType = workflow.SourceType[RowsConfig]{
	Name:    "source.memory",
	Doc:     "Gives the rows that stand in the definition.",
	Example: "columns: {city: string, rain: float}\nrows:\n  - [Seattle, 10.9]\n  - [Halle, null]",
	Plan: func(c *workflow.Check, config RowsConfig) workflow.SourcePlan {
		var columns []workflow.Column
		for _, item := range config.Columns {
			columns = append(columns, workflow.Column{Name: item.Key, Kind: item.Value})
		}
		schema, ok := c.Schema("columns", columns...)
		if !ok {
			return workflow.SourcePlan{}
		}
		rows := workflow.NewRows(len(config.Rows), len(columns))
		for i, cells := range config.Rows {
			path := workflow.IndexPath("rows", i)
			if len(cells) != len(columns) {
				c.Errorf(path, "the row has %d values; expected %d", len(cells), len(columns))
				continue
			}
			for j, cell := range cells {
				if cell.list {
					c.Errorf(workflow.IndexPath(path, j), "expected a %s", columns[j].Kind)
				}
				if cell.null || cell.list {
					continue
				}
				v, err := workflow.ParseValue(columns[j].Kind, cell.text)
				if err != nil {
					c.Errorf(workflow.IndexPath(path, j), "%s", err)
				}
				rows[i][j] = v
			}
		}
		return workflow.SourcePlan{Schema: schema, New: func(*workflow.Env) (workflow.Source, error) {
			return &rowSource{schema: schema, rows: rows}, nil
		}}
	},
}

// rowSource gives rows that are there.
type rowSource struct {
	schema workflow.Schema
	rows   []workflow.Row
	read   int64
}

// Open does nothing.
func (s *rowSource) Open(context.Context) error { return nil }

// Read returns the next rows.
func (s *rowSource) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	n := min(max, len(s.rows))
	batch.Rows, s.rows = s.rows[:n:n], s.rows[n:]
	s.read += int64(n)
	if len(s.rows) == 0 {
		return batch, nil, io.EOF
	}
	return batch, nil, nil
}

// RowsRead counts the rows.
func (s *rowSource) RowsRead() int64 { return s.read }

// Close does nothing.
func (s *rowSource) Close() error { return nil }

// String shows a cell in messages.
func (c Cell) String() string {
	if c.null {
		return "null"
	}
	return fmt.Sprintf("%q", c.text)
}
