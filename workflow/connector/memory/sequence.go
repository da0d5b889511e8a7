package memory

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// SequenceConfig is the "with" block of a node of the type source.sequence.
type SequenceConfig struct {
	Column string        `yaml:"column" doc:"Name of the column."`
	Start  int64         `yaml:"start" doc:"The first number."`
	Step   int64         `yaml:"step" doc:"What is added from one number to the next."`
	Count  int64         `yaml:"count,required" doc:"How many numbers there are."`
	Every  time.Duration `yaml:"every" doc:"Time between two numbers; 0 is as fast as they are taken."`
}

var sequenceType = workflow.SourceType[SequenceConfig]{
	Name:    "source.sequence",
	Doc:     "Counts: one row for each number of a sequence, at a pace if wanted.",
	Example: "count: 1000\nstart: 1\nevery: 10ms",
	Default: SequenceConfig{Column: "n", Start: 1, Step: 1},
	Plan: func(c *workflow.Check, config SequenceConfig) workflow.SourcePlan {
		if config.Count < 0 {
			c.Errorf("count", "%d is out of range; expected 0 or more", config.Count)
		}
		if config.Every < 0 {
			c.Errorf("every", "%s is out of range; expected 0 or more", config.Every)
		}
		if !c.Failed() && overflows(config) {
			c.Errorf("count", "the last number is no integer of 64 bits")
		}
		schema, _ := c.Schema("column", workflow.Column{Name: config.Column, Kind: workflow.KindInt})
		return workflow.SourcePlan{Schema: schema, New: func(*workflow.Env) (workflow.Source, error) {
			return &sequence{SequenceConfig: config, schema: schema}, nil
		}}
	},
}

// overflows reports whether the last number is beyond 64 bits.
func overflows(c SequenceConfig) bool {
	last := float64(c.Start) + float64(c.Step)*float64(max(c.Count-1, 0))
	return math.Abs(last) >= 1<<63
}

// sequence counts.
type sequence struct {
	SequenceConfig
	schema workflow.Schema
	done   int64
	next   time.Time // when the next number is due
}

// Open notes the time.
func (s *sequence) Open(context.Context) error {
	s.next = time.Now()
	return nil
}

// Read returns the next numbers: with a pace, those that are due, at least one.
func (s *sequence) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	n := min(int64(max), s.Count-s.done)
	if s.Every > 0 && n > 0 {
		if err := wait(ctx, time.Until(s.next)); err != nil {
			return batch, nil, err
		}
		n = min(n, 1+int64(time.Since(s.next)/s.Every))
		s.next = s.next.Add(time.Duration(n) * s.Every)
	}
	batch.Rows = workflow.NewRows(int(n), 1)
	for i := range batch.Rows {
		batch.Rows[i][0] = workflow.Int(s.Start + s.Step*s.done)
		s.done++
	}
	if s.done == s.Count {
		return batch, nil, io.EOF
	}
	return batch, nil, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RowsRead counts the numbers.
func (s *sequence) RowsRead() int64 { return s.done }

// Close does nothing.
func (s *sequence) Close() error { return nil }
