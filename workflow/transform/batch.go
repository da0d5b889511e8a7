package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// BatchConfig is the "with" block of a node of the type batch.
type BatchConfig struct {
	Rows   int    `yaml:"rows,required" doc:"How many rows a batch has; the last one may have fewer."`
	Number string `yaml:"number" doc:"Name of a column for the number of the batch, from 0. Without it there is none."`
}

var batchType = workflow.TransformType[BatchConfig]{
	Name:    "batch",
	Doc:     "Puts rows together in batches of a size, in which the next node takes them: so many rows in a request or a statement. With number, rows know their batch, so that an aggregate can sum each up.",
	Example: "rows: 500\nnumber: batch",
	Plan: func(c *workflow.Check, config BatchConfig) workflow.TransformPlan {
		if config.Rows < 1 || config.Rows > workflow.BatchRowsMax {
			c.Errorf("rows", "%d is out of range; expected 1 to %d", config.Rows, workflow.BatchRowsMax)
		}
		columns := c.Input().Columns()
		if config.Number != "" {
			columns = append(columns, workflow.Column{Name: config.Number, Kind: workflow.KindInt})
		}
		schema, ok := c.Schema("number", columns...)
		if !ok {
			return workflow.TransformPlan{}
		}
		return workflow.TransformPlan{Schema: schema, BatchRows: config.Rows, New: func(*workflow.Env) (workflow.Transform, error) {
			return &batch{rows: config.Rows, numbered: config.Number != "", schema: schema}, nil
		}}
	},
}

// batch holds the rows of the batch that is not full.
type batch struct {
	rows     int
	numbered bool
	schema   workflow.Schema
	held     []workflow.Row
	number   int64
}

// Apply gives out the batches that the rows fill, as one: the engine cuts it.
func (t *batch) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	before := len(t.held)
	t.held = append(t.held, in.Rows...)
	full := len(t.held) / t.rows * t.rows
	var out workflow.Output
	if full > 0 {
		out.Batch, out.Made = t.take(full), before // which are no rows of this input
	}
	out.Held = len(in.Rows) + out.Made - full
	return out, nil
}

// take gives out the first rows that are held.
func (t *batch) take(n int) workflow.Batch {
	b := workflow.Batch{Schema: t.schema, Rows: t.held[:n:n]}
	t.held = append([]workflow.Row(nil), t.held[n:]...)
	if !t.numbered {
		return b
	}
	rows := workflow.NewRows(n, t.schema.Len())
	for i, row := range b.Rows {
		copy(rows[i], row)
		rows[i][len(row)] = workflow.Int(t.number + int64(i/t.rows))
	}
	t.number += int64(n / t.rows)
	b.Rows = rows
	return b
}

// Flush gives out the last batch.
func (t *batch) Flush(context.Context) (workflow.Output, error) {
	return workflow.Output{Batch: t.take(len(t.held))}, nil
}
