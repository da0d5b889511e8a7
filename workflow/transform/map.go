package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// MapConfig is the "with" block of a node of the type map.
type MapConfig struct {
	Columns workflow.Mapping[workflow.Expr] `yaml:"columns,required" doc:"Expressions by the name of the column that gets their result. They see the columns that come in, not each other."`
	Keep    bool                            `yaml:"keep" doc:"Whether the columns that come in stay. If not, the rows have the computed columns alone, in their order."`
}

var mapType = workflow.TransformType[MapConfig]{
	Name: "map",
	Doc:  "Makes a row of each row by expressions: adds columns that are computed from the others, or keeps those alone. A column of a name that is there already is replaced in its place.",
	Example: `columns:
  temp_mean: (temp_max + temp_min) / 2.0
  month: month(date)`,
	Default:  MapConfig{Keep: true},
	Parallel: true,
	Plan:     planMap,
}

func planMap(c *workflow.Check, config MapConfig) workflow.TransformPlan {
	if len(config.Columns) == 0 {
		c.Report("columns", "there is nothing to compute", "add NAME: EXPRESSION")
	}
	var columns []workflow.Column
	if config.Keep {
		columns = c.Input().Columns()
	}
	var fields []computed
	for _, item := range config.Columns {
		program, ok := c.Compile(workflow.KeyPath("columns", item.Key), item.Value)
		if !ok {
			continue
		}
		at, there := c.Input().Index(item.Key)
		column := workflow.Column{Name: item.Key, Kind: program.Kind()}
		if there && config.Keep {
			columns[at] = column
		} else {
			at = len(columns)
			columns = append(columns, column)
		}
		fields = append(fields, computed{name: item.Key, at: at, program: program})
	}
	schema, ok := c.Schema("columns", columns...)
	if !ok {
		return workflow.TransformPlan{}
	}
	return workflow.TransformPlan{
		Schema: schema,
		New: func(*workflow.Env) (workflow.Transform, error) {
			return &mapping{schema: schema, fields: fields, keep: config.Keep}, nil
		},
	}
}

// computed is one computed column.
type computed struct {
	name    string
	at      int // its position in the rows that go out
	program *workflow.Program
}

type mapping struct {
	stateless
	schema workflow.Schema
	fields []computed
	keep   bool
}

// Apply computes the columns of each row.
func (t *mapping) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	out := workflow.Output{Batch: workflow.Batch{Schema: t.schema, File: in.File}}
	made := workflow.NewRows(len(in.Rows), t.schema.Len())
	if in.Lines != nil {
		out.Batch.Lines = make([]int, 0, len(in.Rows))
	}
	n := 0
rows:
	for i, row := range in.Rows {
		if t.keep {
			copy(made[n], row)
		}
		for _, f := range t.fields {
			v, err := f.program.Eval(row)
			if err != nil {
				out.Rejects = append(out.Rejects, in.Reject(i, f.name, err.Error()))
				continue rows
			}
			made[n][f.at] = v
		}
		n++
		if in.Lines != nil {
			out.Batch.Lines = append(out.Batch.Lines, in.Lines[i])
		}
	}
	out.Batch.Rows = made[:n]
	return out, nil
}
