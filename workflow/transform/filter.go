package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// elseHandle is where the rows leave a filter that it does not keep.
const elseHandle = "else"

// FilterConfig is the "with" block of a node of the type filter.
type FilterConfig struct {
	Where workflow.Expr `yaml:"where,required" doc:"The condition, an expression of the type bool. A row for which it is null is not kept."`
}

var filterType = workflow.TransformType[FilterConfig]{
	Name:     "filter",
	Doc:      "Keeps the rows for which a condition is true. The others can be taken from the output else, and are dropped if nothing does.",
	Example:  `where: temp_max >= temp_min && weather != 'fog'`,
	Parallel: true,
	Side:     []string{elseHandle},
	Plan: func(c *workflow.Check, config FilterConfig) workflow.TransformPlan {
		where, ok := c.CompileTo("where", config.Where, workflow.KindBool)
		if !ok {
			return workflow.TransformPlan{}
		}
		schema := c.Input()
		return workflow.TransformPlan{
			Schema: schema,
			Side:   map[string]workflow.Schema{elseHandle: schema},
			New:    func(*workflow.Env) (workflow.Transform, error) { return &filter{where: where}, nil },
		}
	},
}

type filter struct {
	stateless
	where *workflow.Program
}

// Apply sorts the rows of a batch into kept and other ones.
func (f *filter) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	kept, other := newPick(in), newPick(in)
	var rejects []workflow.Reject
	for i, row := range in.Rows {
		switch match, err := f.where.Matches(row); {
		case err != nil:
			rejects = append(rejects, in.Reject(i, "", "where: "+err.Error()))
		case match:
			kept.add(i)
		default:
			other.add(i)
		}
	}
	return workflow.Output{
		Batch:   kept.batch(),
		Side:    map[string]workflow.Batch{elseHandle: other.batch()},
		Rejects: rejects,
	}, nil
}

// pick collects some of the rows of a batch.
type pick struct {
	in   workflow.Batch
	rows []int
}

func newPick(in workflow.Batch) *pick { return &pick{in: in} }

func (p *pick) add(i int) { p.rows = append(p.rows, i) }

// batch gives the picked rows. If that is all of them, it is the batch itself.
func (p *pick) batch() workflow.Batch {
	if len(p.rows) == len(p.in.Rows) {
		return p.in
	}
	out := workflow.Batch{Schema: p.in.Schema, File: p.in.File, Rows: make([]workflow.Row, len(p.rows))}
	if p.in.Lines != nil {
		out.Lines = make([]int, len(p.rows))
	}
	for to, from := range p.rows {
		out.Rows[to] = p.in.Rows[from]
		if out.Lines != nil {
			out.Lines[to] = p.in.Lines[from]
		}
	}
	return out
}
