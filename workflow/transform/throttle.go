package transform

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// ThrottleConfig is the "with" block of a node of the type throttle.
type ThrottleConfig struct {
	RowsPerSecond float64 `yaml:"rows_per_second,required" doc:"How many rows pass in a second."`
	Burst         int     `yaml:"burst" doc:"How many rows may pass at once after a pause."`
}

// rowsPerSecondMax bounds the rate: beyond it there is nothing to wait for.
const rowsPerSecondMax = 1e9

var throttleType = workflow.TransformType[ThrottleConfig]{
	Name:    "throttle",
	Doc:     "Lets rows pass at a rate, so that what comes after is not asked for more than it can do. The source waits.",
	Example: "rows_per_second: 100",
	Default: ThrottleConfig{Burst: 1},
	Plan: func(c *workflow.Check, config ThrottleConfig) workflow.TransformPlan {
		if !(config.RowsPerSecond > 0 && config.RowsPerSecond <= rowsPerSecondMax) {
			c.Errorf("rows_per_second", "%v is out of range; expected more than 0, at most %v", config.RowsPerSecond, rowsPerSecondMax)
		}
		if config.Burst < 1 {
			c.Errorf("burst", "%d is out of range; expected 1 or more", config.Burst)
		}
		schema := c.Input()
		return workflow.TransformPlan{Schema: schema, New: func(*workflow.Env) (workflow.Transform, error) {
			return &throttle{every: 1 / config.RowsPerSecond, burst: float64(config.Burst)}, nil
		}}
	},
}

// throttle is a bucket of tokens, one for each row. It may go below empty: a batch
// passes when the rows before it have had their time.
type throttle struct {
	stateless
	every float64 // seconds between two rows
	burst float64
	free  time.Time // when all rows so far have had their time
}

// Apply waits until it is the rows' turn.
func (t *throttle) Apply(ctx context.Context, in workflow.Batch) (workflow.Output, error) {
	now := time.Now()
	if full := now.Add(-seconds(t.burst * t.every)); t.free.Before(full) {
		t.free = full
	}
	t.free = t.free.Add(seconds(float64(len(in.Rows)) * t.every))
	if wait := t.free.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return workflow.Output{}, ctx.Err()
		}
	}
	return workflow.Output{Batch: in}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
