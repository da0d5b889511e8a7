package transform

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// DistinctConfig is the "with" block of a node of the type distinct.
type DistinctConfig struct {
	By      []string `yaml:"by" doc:"Columns that tell rows apart. Without it all columns do."`
	MaxRows int      `yaml:"max_rows" doc:"How many different rows are remembered at most; the run fails beyond."`
}

var distinctType = workflow.TransformType[DistinctConfig]{
	Name:    "distinct",
	Doc:     "Keeps the first of the rows that are the same in some columns, or in all. The others can be taken from the output else, and are dropped if nothing does. Nulls are the same.",
	Example: `by: [station, date]`,
	Side:    []string{elseHandle},
	Default: DistinctConfig{MaxRows: DefaultMaxGroups},
	Plan: func(c *workflow.Check, config DistinctConfig) workflow.TransformPlan {
		var columns []int
		for i, name := range config.By {
			if at, _, ok := c.Column(workflow.IndexPath("by", i), name); ok {
				columns = append(columns, at)
			}
		}
		if config.By == nil {
			for i := range c.Input().Len() {
				columns = append(columns, i)
			}
		}
		if config.MaxRows < 1 {
			c.Errorf("max_rows", "%d is out of range; expected 1 or more", config.MaxRows)
		}
		schema := c.Input()
		return workflow.TransformPlan{
			Schema: schema, Side: map[string]workflow.Schema{elseHandle: schema},
			New: func(*workflow.Env) (workflow.Transform, error) {
				return &distinct{columns: columns, most: config.MaxRows, seen: map[string]struct{}{}}, nil
			},
		}
	},
}

// distinct remembers the keys of the rows that it has kept.
type distinct struct {
	stateless
	columns []int
	most    int
	seen    map[string]struct{}
	code    []byte
}

// Apply keeps the rows whose key is new.
func (d *distinct) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	kept, other := newPick(in), newPick(in)
	for i, row := range in.Rows {
		d.code = d.code[:0]
		for _, c := range d.columns {
			d.code = appendKey(d.code, row[c])
		}
		if _, met := d.seen[string(d.code)]; met {
			other.add(i)
			continue
		}
		if len(d.seen) == d.most {
			return workflow.Output{}, &fault.Error{
				Code: fault.FailedPrecondition, Op: "distinct.Apply",
				Message: fmt.Sprintf("there are more than %d different rows", d.most), Hint: "tell rows apart by fewer columns, or raise max_rows",
			}
		}
		d.seen[string(d.code)] = struct{}{}
		kept.add(i)
	}
	return workflow.Output{Batch: kept.batch(), Side: map[string]workflow.Batch{elseHandle: other.batch()}}, nil
}
