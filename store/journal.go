package store

import "time"

// A Stream is the name of a stream, by convention "kind/id" such as
// "account/42". It has 1 to [Limits.NameBytes] bytes of valid UTF-8 without
// control characters, as all names here.
type Stream string

// A Position is the place of an event in its stream. The first event has
// position 1.
type Position int64

// What an [Append] can expect other than a number.
const (
	NoStream Position = 0  // the stream has no event and never had one
	Any      Position = -1 // any head at all, an unknown stream included
)

// Everything, as the position of a [Trim], removes a stream as if it had never
// been.
const Everything Position = 1<<63 - 1

// An Event is a fact in a stream.
type Event struct {
	Stream   Stream    // set by the store
	Position Position  // set by the store
	Time     time.Time // in milliseconds; the time of the commit if zero
	Type     string    // which type Data is of, with its version if it has one
	Meta     []byte    // what came with it: trace, cause; opaque to the store
	Data     []byte    // opaque to the store
}

// A Snapshot is the state of whatever a stream describes, as it was after the
// event at Position. To recover, read the snapshot and then the events from
// Position+1 on.
type Snapshot struct {
	Stream   Stream
	Position Position  // at most the head of the stream, the appends of the same batch included
	Time     time.Time // in milliseconds; the time of the commit if zero
	Type     string    // which type Data is of
	Data     []byte    // opaque to the store
}

// A StreamFilter says which streams to list.
type StreamFilter struct {
	Prefix Stream // names that begin so; all if empty
	After  Stream // names after this one: the last of the page before
	Limit  int    // default 100, at most 10,000
}

// StreamInfo describes a stream.
type StreamInfo struct {
	Stream Stream
	First  Position // of the first event that is still there; Head+1 if all are trimmed
	Head   Position // of the last event
}

// A Producer is the name of whoever sends numbered messages: a sender together
// with its incarnation.
type Producer string
