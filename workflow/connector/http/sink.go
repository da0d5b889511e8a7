package http

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
)

const (
	// DefaultBatchRows is the number of rows in a request where nothing is said.
	DefaultBatchRows = 1000
	// BatchRowsMax bounds what may be said.
	BatchRowsMax = 100_000
	// answerMax bounds the answer to a request, of which nothing is used.
	answerMax = 1 << 20
)

// Forms of a request's body.
const (
	formArray = "array"
	formLines = "lines"
)

// SinkConfig is the "with" block of a node of the type sink.http.
type SinkConfig struct {
	URL       string                        `yaml:"url,required" doc:"The address, http or https."`
	Method    string                        `yaml:"method" doc:"POST or PUT."`
	Headers   workflow.Mapping[HeaderValue] `yaml:"headers" doc:"Headers by their names; secrets as {secret: env:NAME, prefix: 'Bearer '}."`
	Form      string                        `yaml:"form" doc:"array: a JSON array of objects; lines: an object on each line."`
	BatchRows int                           `yaml:"batch_rows" doc:"How many rows a request has at most."`
	Timeout   time.Duration                 `yaml:"timeout" doc:"Bound of one attempt of a request."`
}

var sinkType = workflow.SinkType[SinkConfig]{
	Name:    "sink.http",
	Doc:     "Sends rows as JSON to a server when the run has succeeded up to there, in requests of many rows with a key each, so that a server can tell one that is made again.",
	Example: "url: https://example.com/api/orders\nheaders:\n  Authorization: {secret: env:ORDERS_TOKEN, prefix: 'Bearer '}\nbatch_rows: 500",
	Default: SinkConfig{Method: http.MethodPost, Form: formArray, BatchRows: DefaultBatchRows, Timeout: DefaultTimeout},
	Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
		u := checkURL(c, config.URL)
		checkHeaders(c, config.Headers)
		if config.Method != http.MethodPost && config.Method != http.MethodPut {
			c.Unknown("method", "method", config.Method, []string{http.MethodPost, http.MethodPut})
		}
		if config.Form != formArray && config.Form != formLines {
			c.Unknown("form", "form", config.Form, []string{formArray, formLines})
		}
		if config.BatchRows < 1 || config.BatchRows > BatchRowsMax {
			c.Errorf("batch_rows", "%d is out of range; expected 1 to %d", config.BatchRows, BatchRowsMax)
		}
		if config.Timeout <= 0 {
			c.Errorf("timeout", "%s is out of range; expected more than 0", config.Timeout)
		}
		return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
			return &sink{config: config, url: u, key: env.Key}, nil
		}}
	},
}

// sink keeps bodies of requests aside until Commit.
type sink struct {
	config SinkConfig
	url    *url.URL
	key    string

	client  *client
	encoder *json.Encoder
	body    []byte
	rows    int // in body
	bodies  *workflow.Spool
	sent    int
}

// Open resolves the secrets and begins the spool.
func (s *sink) Open(_ context.Context, schema workflow.Schema) (err error) {
	if s.client, err = newClient(s.url, s.config.Headers, s.config.Timeout); err != nil {
		return err
	}
	s.encoder = json.NewEncoder(schema)
	s.bodies, err = workflow.NewSpool("http")
	return err
}

// Write keeps the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, row := range batch.Rows {
		switch {
		case s.config.Form == formLines:
		case s.rows == 0:
			s.body = append(s.body, '[')
		default:
			s.body = append(s.body, ',')
		}
		s.body = s.encoder.Append(s.body, row)
		if s.config.Form == formLines {
			s.body = append(s.body, '\n')
		}
		if s.rows++; s.rows == s.config.BatchRows {
			if err := s.keep(); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep ends a body.
func (s *sink) keep() error {
	if s.rows == 0 {
		return nil
	}
	if s.config.Form == formArray {
		s.body = append(s.body, ']')
	}
	err := s.bodies.Append(s.body)
	s.body, s.rows = s.body[:0], 0
	return err
}

// Prepare makes the last body.
func (s *sink) Prepare(context.Context) error {
	if err := s.keep(); err != nil {
		return err
	}
	return s.bodies.Flush()
}

// Commit makes the requests, one after the other.
func (s *sink) Commit(ctx context.Context) error {
	for body, err := range s.bodies.Records() {
		if err == nil {
			err = s.send(ctx, body)
		}
		if err != nil {
			return err
		}
	}
	return s.close()
}

func (s *sink) send(ctx context.Context, body []byte) error {
	form := "application/json"
	if s.config.Form == formLines {
		form = "application/x-ndjson"
	}
	header := http.Header{"Content-Type": {form}, "Idempotency-Key": {fmt.Sprintf("%s/%d", s.key, s.sent)}}
	if _, err := s.client.do(ctx, s.config.Method, s.url, body, header, answerMax); err != nil {
		err = failed("http.Commit", s.config.Method, s.url, err)
		if s.sent > 0 {
			f := fault.From(err)
			f.Message = fmt.Sprintf("after %d requests that were taken", s.sent)
			return f
		}
		return err
	}
	s.sent++
	return nil
}

// Abort drops what was not sent.
func (s *sink) Abort(context.Context) error { return s.close() }

func (s *sink) close() error {
	if s.client != nil {
		s.client.close()
	}
	return s.bodies.Close()
}
