package sqlite

import "github.com/troupe-dev/troupe/store"

// A message is what memory knows of a message: everything but, once it is folded
// and there are many, its envelope.
type message struct {
	id        store.MessageID
	queue     *queue
	prev      *message // in the queue, in the order of ids
	next      *message
	key       string
	owner     string // who holds it
	lastError string
	requestID string // if it has one to be remembered
	body      []byte // the envelope as in the journal; nil when it is only in table messages
	time      int64  // when it was put; milliseconds, as all times
	until     int64  // until when it is held or delayed
	grant     int64  // of the last receive; 0 when its receipt is void
	dedup     int64
	blob      int64 // of table blobs; 0 if the payload is in the body
	size      int   // of the payload in bytes
	attempts  int32
	priority  store.Priority
	state     state
	listed    bool // it is in the queue's heap, or parked
	staged    bool // the writer's own: the group ends it or gives it back
	folded    bool // it has a row in table messages
	changed   bool // its row differs
}

// A state is what a message is doing.
type state uint8

const (
	ready state = iota
	held
	delayed
	gone
)

// earlier is the order in which messages of a priority are received.
func earlier(a, b *message) bool { return a.id < b.id }

// putEnvelope appends an envelope with its checksum.
func putEnvelope(b []byte, q *queue, e *store.Envelope, blob int64) []byte {
	from := len(b)
	b = putText(b, e.Type)
	b = putText(b, e.RequestID)
	b = putText(b, e.CallerID)
	b = putText(b, e.TargetID)
	b = putText(b, e.TraceID)
	b = putText(b, e.SpanID)
	b = putText(b, e.Meta)
	b = putPayload(b, e.Data, blob)
	return putSum(b, from, q.sum)
}

// openEnvelope reads what putEnvelope wrote for a queue with this checksum of its
// name. Its slices are copies; Data is empty when it is in a blob.
func openEnvelope(b []byte, sum uint32) (store.Envelope, blobRef, error) {
	b, err := checkSum(b, sum)
	if err != nil {
		return store.Envelope{}, blobRef{}, err
	}
	r := reader{b: b}
	e := store.Envelope{
		Type: r.text(), RequestID: r.text(), CallerID: r.text(), TargetID: r.text(), TraceID: r.text(), SpanID: r.text(),
	}
	e.Meta = append(e.Meta, r.bytes()...)
	data, blob := r.payload()
	if blob.id == 0 {
		e.Data = append(make([]byte, 0, len(data)), data...)
	}
	if err := r.done(); err != nil {
		return store.Envelope{}, blobRef{}, err
	}
	return e, blob, nil
}
