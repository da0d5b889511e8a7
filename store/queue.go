package store

import (
	"context"
	"time"
)

// A Queue is the name of a queue. A queue is there when a message is put into
// it, without further ado.
type Queue string

// A MessageID identifies a message in a store. Within a queue ids rise in the
// order in which messages were put.
type MessageID int64

// A Priority is one of two: messages of high priority are received before all
// others of their queue.
type Priority uint8

// The priorities.
const (
	Normal Priority = 0
	High   Priority = 1
)

// An Envelope is what a message carries, from its sender through a queue to its
// receiver or to the dead letters. Every field is opaque to the store, but for
// RequestID in a [Put] with Dedup.
type Envelope struct {
	Type      string // which type Data is of
	Data      []byte // the payload
	Meta      []byte // what else came with it: deadline, trace state
	RequestID string
	CallerID  string
	TargetID  string
	TraceID   string // W3C trace id, 32 hex digits
	SpanID    string // W3C span id, 16 hex digits
}

// A Put adds a message to a queue.
type Put struct {
	Queue    Queue
	Priority Priority
	// Key is whose order matters: by convention the sender. Messages of one key
	// and priority can be received in order, see [ReceiveRequest.Ordered].
	Key string
	// Delay is how long the message cannot be received, in milliseconds; a
	// negative one counts as 0.
	Delay time.Duration
	// Dedup, if it is not 0, makes RequestID unique in the queue from now until
	// that long after the message was acknowledged or buried. A second put within
	// that time adds nothing and is reported in [PutResult], with the answer if
	// there is one. At most [Limits.DedupMax].
	Dedup time.Duration
	Envelope
}

// A PutResult tells what became of a [Put].
type PutResult struct {
	ID        MessageID // of this message, or of the first with this request id
	Duplicate bool      // there was one already
	Answer    Answer    // of a duplicate: what is known of the first
}

// An Answer is what is known of a request: whether it is done, and what was said
// when it was acknowledged.
type Answer struct {
	Done bool      // acknowledged or buried; false: still queued
	Time time.Time // when it was done, in milliseconds
	Type string    // [Ack.AnswerType]
	Data []byte    // [Ack.Answer]
}

// A Receipt says that a message was received, by which call. It is opaque; its
// numbers mean something to the engine only.
type Receipt struct {
	ID    MessageID
	Grant int64
}

// A Message is a message in a queue.
type Message struct {
	ID       MessageID
	Queue    Queue
	Priority Priority
	Key      string
	Time     time.Time // when it was put, in milliseconds
	Attempts int       // how often it was received and not given back uncounted, this time included

	// Receipt and Until are set when the message is held; in the lists of
	// [Queues.Messages] the receipt is not, so that looking is not taking.
	Receipt Receipt
	Owner   string    // who holds it, if it is held
	Until   time.Time // until when it is held or delayed; zero when it is ready

	LastError string // the reason of the last [Nack]
	Envelope
}

// A ReceiveRequest says what to receive.
type ReceiveRequest struct {
	Queue Queue
	Owner string        // who asks, for people who look; may be empty
	Max   int           // how many messages at most; default 1, at most 10,000
	Hold  time.Duration // how long they are held; default 30 s, at most 24 h

	// Ordered keeps the order within each key: a message is not handed out while
	// an earlier one of its key and priority is held under another call or
	// delayed. One call may return several messages of a key, in order; who
	// cannot handle one of them should give those behind it back uncounted.
	// Messages without a key have no order. An engine may look only at the first
	// 10,000 messages of a queue that it cannot hand out.
	Ordered bool
}

// An Ack ends a message: it has been handled and is removed.
type Ack struct {
	Receipt    Receipt
	AnswerType string // kept with Answer when the message was put with Dedup, else dropped
	Answer     []byte
}

// A Nack gives a message back: it is ready again after Delay, at its old place.
type Nack struct {
	Receipt   Receipt
	Delay     time.Duration // in milliseconds
	Uncounted bool          // it was not tried: Attempts falls back by one
	Reason    string        // kept as LastError, cut to 1 kB
}

// A Bury moves a message to the dead letters, where its id is that of the
// message, with RetryCount = Attempts - 1.
type Bury struct {
	Receipt Receipt
	Reason  string // the letter's ErrorMessage
	Code    string // the letter's ErrorType
}

// A MessageFilter says which messages of a queue to list.
type MessageFilter struct {
	Queue Queue
	After MessageID // ids above this one: the last of the page before
	Limit int       // default 100, at most 10,000
}

// A QueueFilter says which queues to list.
type QueueFilter struct {
	Prefix Queue // names that begin so; all if empty
	After  Queue // names after this one: the last of the page before
	Limit  int   // default 100, at most 10,000
}

// QueueInfo describes a queue.
type QueueInfo struct {
	Queue   Queue
	Ready   int64     // can be received now
	Held    int64     // received and not done
	Delayed int64     // put or given back with a delay that is not over
	Oldest  time.Time // when the oldest message was put; zero without one
}

// Receive takes messages as [Queues.Receive] does, and waits for the first one
// until ctx ends. It does not poll.
func Receive(ctx context.Context, q Queues, r ReceiveRequest) ([]Message, error) {
	if got, err := q.Receive(ctx, r); err != nil || len(got) > 0 {
		return got, err
	}
	for name, err := range q.Ready(ctx, r.Queue) {
		if err != nil {
			return nil, err
		}
		if name != r.Queue {
			continue // a longer name with this one as prefix
		}
		if got, err := q.Receive(ctx, r); err != nil || len(got) > 0 {
			return got, err
		}
	}
	return nil, context.Cause(ctx)
}
