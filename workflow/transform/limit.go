package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// LimitConfig is the "with" block of a node of the type limit.
type LimitConfig struct {
	Rows int `yaml:"rows,required" doc:"How many rows to keep."`
}

var limitType = workflow.TransformType[LimitConfig]{
	Name:    "limit",
	Doc:     "Keeps the first rows, in the order in which they come, and drops the rest. What feeds it still runs to its end.",
	Example: `rows: 10`,
	Plan: func(c *workflow.Check, config LimitConfig) workflow.TransformPlan {
		if config.Rows < 0 {
			c.Errorf("rows", "%d is out of range; expected 0 or more", config.Rows)
		}
		return workflow.TransformPlan{
			Schema: c.Input(),
			New:    func(*workflow.Env) (workflow.Transform, error) { return &limit{left: config.Rows}, nil },
		}
	},
}

type limit struct {
	stateless
	left int
}

// Apply keeps as many rows of a batch as are left.
func (l *limit) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	n := min(l.left, len(in.Rows))
	l.left -= n
	dropped := len(in.Rows) - n
	in.Rows = in.Rows[:n]
	if in.Lines != nil {
		in.Lines = in.Lines[:n]
	}
	return workflow.Output{Batch: in, Filtered: dropped}, nil
}
