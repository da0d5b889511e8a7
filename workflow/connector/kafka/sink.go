package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
)

const (
	// DefaultMaxMessageBytes bounds a message where nothing is said. It is what
	// brokers allow by default.
	DefaultMaxMessageBytes = 1_000_000
	// keyHeader tells which work a message belongs to, where no transaction does.
	keyHeader = "idempotency-key"
)

// SinkConfig is the "with" block of a node of the type sink.kafka.
type SinkConfig struct {
	Server
	Topic           string                          `yaml:"topic,required" doc:"The topic to write to. It has to exist."`
	Key             workflow.Expr                   `yaml:"key" doc:"Expression for the key of a message. Messages with the same key go to the same partition. Null: none."`
	Value           workflow.Expr                   `yaml:"value" doc:"Expression for the value of a message; null: a message without one. Without it, it is the row as a JSON object."`
	Headers         workflow.Mapping[workflow.Expr] `yaml:"headers" doc:"Expressions for headers, by their names. Null: not sent."`
	Transactional   bool                            `yaml:"transactional" doc:"Write all rows of a run in one transaction, which is found again if the run is done again."`
	MaxMessageBytes int32                           `yaml:"max_message_bytes" doc:"Longest message; the run fails beyond."`
}

var sinkType = workflow.SinkType[SinkConfig]{
	Name:    "sink.kafka",
	Doc:     "Writes each row as a message when the run has succeeded up to there: all in one transaction, or none.",
	Example: "brokers: [localhost:9092]\ntopic: invoices\nkey: customer\nheaders: {kind: \"'invoice'\"}",
	Default: SinkConfig{Server: Server{Timeout: DefaultTimeout}, Transactional: true, MaxMessageBytes: DefaultMaxMessageBytes},
	Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
		config.Server.check(c)
		if !isTopic(config.Topic) {
			c.Errorf("topic", "%q is no name of a topic", config.Topic)
		}
		const messageBytesMin, messageBytesMax = 1 << 10, 256 << 20
		if config.MaxMessageBytes < messageBytesMin || config.MaxMessageBytes > messageBytesMax {
			c.Errorf("max_message_bytes", "%d is out of range; expected %d to %d", config.MaxMessageBytes, messageBytesMin, messageBytesMax)
		}
		p := messagePlan{}
		compile := func(path string, e workflow.Expr) *workflow.Program {
			if e == "" {
				return nil
			}
			program, _ := c.Compile(path, e)
			return program
		}
		p.key, p.value = compile("key", config.Key), compile("value", config.Value)
		for _, h := range config.Headers {
			p.headers = append(p.headers, header{h.Key, compile(workflow.KeyPath("headers", h.Key), h.Value)})
		}
		return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
			return &sink{config: config, plan: p, key: env.Key}, nil
		}}
	},
}

// messagePlan makes messages of rows.
type messagePlan struct {
	key, value *workflow.Program // nil: none, and the row as JSON
	headers    []header
}

type header struct {
	name  string
	value *workflow.Program
}

// message is one in the spool. A part that is nil is null.
type message struct {
	Key     []byte   `cbor:"1,keyasint"`
	Value   []byte   `cbor:"2,keyasint"`
	Headers [][]byte `cbor:"3,keyasint"` // as in the plan
}

// text is what an expression gives for a row; nil: null.
func text(p *workflow.Program, row workflow.Row) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	v, err := p.Eval(row)
	if err != nil || v.IsNull() {
		return nil, err
	}
	return v.AppendText([]byte{}), nil
}

func (p *messagePlan) message(row workflow.Row, encoder *json.Encoder) (m message, err error) {
	if m.Key, err = text(p.key, row); err != nil {
		return m, fmt.Errorf("key: %w", err)
	}
	if p.value == nil {
		m.Value = encoder.Append(nil, row)
	} else if m.Value, err = text(p.value, row); err != nil {
		return m, fmt.Errorf("value: %w", err)
	}
	for _, h := range p.headers {
		value, err := text(h.value, row)
		if err != nil {
			return m, fmt.Errorf("header %s: %w", h.name, err)
		}
		m.Headers = append(m.Headers, value)
	}
	return m, nil
}

// record is a message for the topic.
func (p *messagePlan) record(m message, topic string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}
	for i, h := range p.headers {
		if m.Headers[i] != nil {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.name, Value: m.Headers[i]})
		}
	}
	return r
}

// sink keeps messages aside until every sink of the run is ready.
type sink struct {
	config SinkConfig
	plan   messagePlan
	key    string

	client  *kgo.Client
	admin   *kadm.Client
	topic   kadm.TopicID
	encoder *json.Encoder
	spool   *workflow.Spool
	rows    int64
	applied bool // an earlier attempt has written the rows
	began   bool // a transaction is under way
}

// Open connects, ends what an earlier attempt has left open, and finds out whether
// it has committed.
func (s *sink) Open(ctx context.Context, schema workflow.Schema) (err error) {
	options := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(s.config.Timeout), kgo.ProducerBatchMaxBytes(s.config.MaxMessageBytes),
		kgo.DefaultProduceTopic(s.config.Topic),
	}
	if s.config.Transactional {
		options = append(options, kgo.TransactionalID(s.name()), kgo.TransactionTimeout(transactionTimeout))
	}
	if s.client, err = s.config.dial(options...); err != nil {
		return err
	}
	s.admin = kadm.NewClient(s.client)
	s.encoder = json.NewEncoder(schema)
	limited, cancel := s.config.limited(ctx)
	defer cancel()
	topics, err := s.admin.ListTopicsWithInternal(limited, s.config.Topic)
	if err == nil {
		err = topics.Error()
	}
	s.topic = topics[s.config.Topic].ID
	if err == nil && s.config.Transactional {
		s.applied, err = s.committed(limited)
	}
	if err != nil {
		return failed(limited, "kafka.Open", s.config.Topic, err)
	}
	s.spool, err = workflow.NewSpool("kafka")
	return err
}

// Write keeps the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if err := ctx.Err(); err != nil || s.applied {
		return err
	}
	for i, row := range batch.Rows {
		m, err := s.plan.message(row, s.encoder)
		if err != nil {
			reject := batch.Reject(i, "", "")
			return &fault.Error{
				Code: fault.InvalidArgument, Op: "kafka.Write", Target: s.config.Topic, Message: "the row " + reject.Raw, Cause: err,
				Hint: "filter such rows before, or compute the column there, so that they are set aside",
			}
		}
		encoded, err := cbor.Marshal(m)
		if err == nil {
			err = s.spool.Append(encoded)
		}
		if err != nil {
			return err
		}
		s.rows++
	}
	return nil
}

// Prepare puts all messages into a transaction.
func (s *sink) Prepare(ctx context.Context) error {
	if err := s.spool.Flush(); err != nil || s.applied || s.rows == 0 || !s.config.Transactional {
		return err
	}
	if err := s.client.BeginTransaction(); err != nil {
		return failed(ctx, "kafka.Prepare", s.config.Topic, err)
	}
	s.began = true
	if err := s.produce(ctx, "kafka.Prepare"); err != nil {
		return err
	}
	limited, cancel := s.config.limited(ctx)
	defer cancel()
	return failed(limited, "kafka.Prepare", s.config.Topic, s.mark(limited))
}

// Commit commits the transaction, or writes the messages where there is none.
func (s *sink) Commit(ctx context.Context) error {
	switch {
	case s.applied || s.rows == 0:
	case !s.config.Transactional:
		if err := s.produce(ctx, "kafka.Commit"); err != nil {
			return err
		}
	default:
		limited, cancel := s.config.limited(ctx)
		defer cancel()
		if err := s.client.EndTransaction(limited, kgo.TryCommit); err != nil {
			return failed(limited, "kafka.Commit", s.config.Topic, err)
		}
		s.began = false
	}
	return s.close()
}

// Abort takes back what was not committed.
func (s *sink) Abort(ctx context.Context) error {
	var err error
	if s.began {
		s.began = false
		err = s.client.AbortBufferedRecords(ctx)
		if ended := s.client.EndTransaction(ctx, kgo.TryAbort); ended != nil {
			// The broker aborts it when its time is over, or when the next attempt begins.
			err = errors.Join(err, ended)
		}
		err = failed(ctx, "kafka.Abort", s.config.Topic, err)
	}
	return errors.Join(err, s.close())
}

func (s *sink) close() error {
	if s.client != nil {
		s.client.Close()
	}
	return s.spool.Close()
}

// produce writes all messages and waits until they are acknowledged. It gives up
// when none was for the timeout.
func (s *sink) produce(ctx context.Context, op string) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	away := time.AfterFunc(s.config.Timeout, func() { cancel(errAway) })
	defer away.Stop()
	var first kgo.FirstErrPromise
	var sent, acknowledged atomic.Int64
	for encoded, err := range s.spool.Records() {
		var m message
		if err == nil {
			err = cbor.Unmarshal(encoded, &m)
		}
		if err != nil {
			return err
		}
		if limited.Err() != nil || first.Err() != nil {
			break
		}
		r := s.plan.record(m, s.config.Topic)
		if !s.config.Transactional {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: keyHeader, Value: fmt.Appendf(nil, "%s/%d", s.key, sent.Load())})
		}
		sent.Add(1)
		promise := first.Promise()
		s.client.Produce(limited, r, func(r *kgo.Record, err error) {
			away.Reset(s.config.Timeout)
			if err == nil {
				acknowledged.Add(1)
			}
			promise(r, err)
		})
	}
	err := s.client.Flush(limited)
	if cause := first.Err(); cause != nil {
		err = cause
	}
	if err == nil && acknowledged.Load() != s.rows {
		err = fault.New(fault.Internal, op, "%d of %d messages are acknowledged", acknowledged.Load(), s.rows)
	}
	return failed(limited, op, s.config.Topic, err)
}
