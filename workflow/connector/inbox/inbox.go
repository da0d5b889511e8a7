// Package inbox is a source whose rows are sent to a run while it is open: the
// node type source.webhook.
//
// Each post is a signal to the run, named rows/NODE ([workflow.RowsSignal]):
//
//	POST /api/runs/{id}/signals/rows%2FNODE   [{"id": 1}, {"id": 2}]
//
// or [workflow.Run.Signal]. Who posts has its answer when the rows are recorded in
// the history of the run: they are there again after a crash, and a request id makes
// a post that is repeated count once. A post without a payload, or null, is the last
// one. What comes after the end is refused, so that no post is taken and not used.
//
// A run takes at most 1000 posts, each of 1 MiB. To start a run for each request
// there are webhook triggers; this source is for the rows of one run.
package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
)

// SourceConfig is the "with" block of a node of the type source.webhook.
type SourceConfig struct {
	Columns workflow.Mapping[json.ColumnConfig] `yaml:"columns,required" doc:"Names and types of the columns, as for source.json."`
	MaxRows int64                               `yaml:"max_rows" doc:"Ends with the post by which so many rows have come. 0: not by their number."`
	For     time.Duration                       `yaml:"for" doc:"Ends after this time. 0: not by the time."`
}

// Register adds the node type source.webhook.
func Register(r *workflow.Registry) { r.Add(sourceType) }

var sourceType = workflow.SourceType[SourceConfig]{
	Name:    "source.webhook",
	Doc:     "Takes the rows that are posted to the run while it is open, as signals: an object or an array of objects each. It ends by their number, by time, or with a post of nothing.",
	Example: "columns: {id: int, total: float}\nmax_rows: 1000\nfor: 10m",
	Plan: func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		if config.MaxRows < 0 {
			c.Errorf("max_rows", "%d is out of range; expected 0 or more", config.MaxRows)
		}
		if config.For < 0 {
			c.Errorf("for", "%s is out of range; expected 0 or more", config.For)
		}
		columns, schema, ok := json.NewColumns(c, config.Columns)
		if !ok || c.Failed() {
			return workflow.SourcePlan{}
		}
		return workflow.SourcePlan{Schema: schema, Receives: true, New: func(env *workflow.Env) (workflow.Source, error) {
			return &source{config: config, columns: columns, schema: schema, journal: env.Journal}, nil
		}}
	},
}

// source reads the entries of its journal. It implements [workflow.Source] and
// [workflow.Counter].
type source struct {
	config  SourceConfig
	columns json.Columns
	schema  workflow.Schema
	journal *workflow.Journal

	entry int // the next one
	until time.Time
	asked bool // the end is recorded by this source
	post  *json.Array
	at    int // rows of the post that are read
	rows  int64
}

// Open begins the time.
func (s *source) Open(context.Context) error {
	if s.config.For > 0 {
		s.until = time.Now().Add(s.config.For)
	}
	return nil
}

// Read returns rows of a post. It waits for one.
func (s *source) Read(ctx context.Context, most int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema}
	if s.post == nil {
		if s.config.MaxRows > 0 && s.rows >= s.config.MaxRows {
			if err := s.finish(ctx); err != nil {
				return batch, nil, err
			}
		}
		entry, err := s.next(ctx)
		if err != nil {
			return batch, nil, err
		}
		if s.post, err = rowsOf(entry); err != nil {
			s.rows++
			return batch, []workflow.Reject{s.reject("", err.Error(), entry)}, nil
		}
		s.at = 0
	}
	batch.File = s.name()
	var rejects []workflow.Reject
	rows, n := workflow.NewRows(most, s.schema.Len()), 0
	for n < most && len(rejects) < most {
		text, err := s.post.Next()
		if err != nil {
			s.post = nil
			if !errors.Is(err, io.EOF) { // what follows the mistake cannot be told apart
				s.rows++
				rejects = append(rejects, s.reject("", err.Error(), nil))
			}
			break
		}
		s.rows++
		s.at++
		if column, reason := s.columns.Fill(text, rows[n]); reason != "" {
			rejects = append(rejects, s.reject(column, fmt.Sprintf("element %d: %s", s.at-1, reason), text))
			continue
		}
		n++
	}
	batch.Rows = rows[:n]
	return batch, rejects, nil
}

// name is what rejects call the post under way.
func (s *source) name() string { return fmt.Sprintf("post %d", s.entry) }

func (s *source) reject(column, reason string, text []byte) workflow.Reject {
	return workflow.Reject{File: s.name(), Column: column, Reason: reason, Raw: strings.ToValidUTF8(string(text), "\ufffd")}
}

// next is the next post, or io.EOF after the last one.
func (s *source) next(ctx context.Context) ([]byte, error) {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if !s.until.IsZero() && !s.asked {
		waiting, cancel = context.WithDeadline(ctx, s.until)
	}
	defer cancel()
	entry, err := s.journal.Entry(waiting, s.entry)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		if err := s.finish(ctx); err != nil {
			return nil, err
		}
		entry, err = s.journal.Entry(ctx, s.entry)
	}
	if err != nil {
		return nil, err
	}
	s.entry++
	if text := bytes.TrimSpace(entry); len(text) == 0 || string(text) == "null" {
		return nil, io.EOF
	}
	return entry, nil
}

// finish records the end. Posts that came before it are read; those after it are
// refused.
func (s *source) finish(ctx context.Context) error {
	if s.asked {
		return nil
	}
	s.asked = true
	return s.journal.Append(ctx, nil)
}

// rowsOf are the rows of a post: an array, or one object.
func rowsOf(entry []byte) (*json.Array, error) {
	text := bytes.TrimSpace(entry)
	if text[0] != '[' {
		text = append(append([]byte{'['}, text...), ']')
	}
	return json.NewArray(bytes.NewReader(text), "", workflow.TaskOutputMax)
}

// RowsRead counts the rows met so far, good or bad.
func (s *source) RowsRead() int64 { return s.rows }

// Close does nothing.
func (s *source) Close() error { return nil }
