package store

import "time"

// A LetterID identifies a dead letter in a store. A buried message keeps its
// number, so a letter's id and a message's are never the same by chance.
type LetterID int64

// A Letter is a message that could not be handled, one row of the table
// dead_letter_queue. The names of its columns are in the comments.
type Letter struct {
	ID       LetterID // id; given by the store when 0
	Version  int64    // version; 1 when it is added, one more with each edit
	Queue    Queue    // queue; where it was, and where a redrive puts it
	Priority Priority // priority
	Key      string   // sender_key

	// Envelope is trace_id, span_id, request_id, caller_id, target_id,
	// payload_type, raw_bytes and meta.
	Envelope

	ErrorMessage string    // error_message
	ErrorType    string    // error_type: the name of a fault.Code, such as "POISON"
	RetryCount   int       // retry_count: how often it was tried again
	CreatedAt    time.Time // created_at, in milliseconds; the time of the commit if zero
	LastRetryAt  time.Time // last_retry_at, in milliseconds; zero if it never was
}

// Put returns the put that gives a letter another chance. To redrive is one batch
// of this put and a [LetterDelete] of the letter:
//
//	batch := &store.Batch{
//		Puts:          []store.Put{letter.Put()},
//		LetterDeletes: []store.LetterDelete{{ID: letter.ID, Version: letter.Version}},
//	}
//
// The put has no Dedup: the letter's request id may be remembered as done.
func (l Letter) Put() Put {
	return Put{Queue: l.Queue, Priority: l.Priority, Key: l.Key, Envelope: l.Envelope}
}

// A LetterDelete removes a letter. A letter that is not there is [ErrNoLetter],
// so that of two redrives of the same letter one fails as a whole.
type LetterDelete struct {
	ID      LetterID
	Version int64 // the expected version, or [ErrConflict]; 0 for any
}

// A LetterFilter says which letters to list or count. Empty fields let
// everything through.
type LetterFilter struct {
	Queue     Queue
	Type      string
	TargetID  string
	CallerID  string
	RequestID string
	TraceID   string
	ErrorType string
	Contains  string    // part of the error message; case does not matter for a to z
	Since     time.Time // created at or after
	Before    time.Time // created before

	After LetterID // ids above this one: the last of the page before
	Limit int      // default 100, at most 10,000
}
