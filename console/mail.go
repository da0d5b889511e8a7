package console

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/store"
)

// Mail is what the console shows of a node's store and does to it: the queues of
// durable actors and the dead letters. A [Client] is the Mail of another
// process. It must be safe for concurrent use.
type Mail interface {
	// Overview is the state of the queues, of the dead letters and of the
	// redrives. It may be some seconds old, if it takes long to find out.
	Overview(ctx context.Context) (MailOverview, error)
	// Letters lists dead letters, the oldest first.
	Letters(ctx context.Context, q LetterQuery) (LetterPage, error)
	// Letter returns one dead letter with its payload. NOT_FOUND without it.
	Letter(ctx context.Context, id store.LetterID) (Letter, error)
	// EditLetter changes a dead letter. ABORTED if it is not of the version that
	// the edit is made for; INVALID_ARGUMENT for a payload that is none.
	EditLetter(ctx context.Context, id store.LetterID, e LetterEdit) (Letter, error)
	// DeleteLetters removes dead letters for good and returns how many, or would
	// be with a dry run.
	DeleteLetters(ctx context.Context, d LetterDelete) (int, error)
	// Rehearse tells what would happen to dead letters if they were redriven now.
	// FAILED_PRECONDITION for one whose handler is not part of the node.
	Rehearse(ctx context.Context, ids []store.LetterID) ([]Rehearsal, error)
	// Redrive begins to bring dead letters back to their queues, and returns
	// while it goes on. A dry run is over when it returns.
	Redrive(ctx context.Context, r RedriveRequest) (Redrive, error)
	// RedriveOf returns a redrive that goes on or was the last to end. NOT_FOUND.
	RedriveOf(ctx context.Context, id string) (Redrive, error)
	// StopRedrive ends a redrive; what it has not brought back stays where it is.
	StopRedrive(ctx context.Context, id string) (Redrive, error)
}

// MailOverview is the answer of /api/mail, and the event "mail" of the stream.
type MailOverview struct {
	Engine      string    `json:"engine"`       // "sqlite" or "postgres"
	DeadLetters int64     `json:"dead_letters"` // all there are
	Newest      int64     `json:"newest"`       // a number that changes when a letter comes, goes or is edited by this node
	Queues      []Queue   `json:"queues"`       // at most QueuesShown, by name
	More        bool      `json:"more"`         // there are more queues
	Redrives    []Redrive `json:"redrives"`     // the newest first
	Error       string    `json:"error,omitempty"`
}

// QueuesShown is how many queues an overview has at most.
const QueuesShown = 200

// Queue is the state of a queue.
type Queue struct {
	Name    store.Queue `json:"name"`
	Ready   int64       `json:"ready"`           // can be received now
	Held    int64       `json:"held"`            // received and not done
	Delayed int64       `json:"delayed"`         // wait for their time, or for another attempt
	Oldest  time.Time   `json:"oldest,omitzero"` // when the oldest message was put
	Retried uint64      `json:"retried"`         // failures on this node that are tried again, since its start
	Buried  uint64      `json:"buried"`          // messages that became dead letters on this node, since its start
	Failed  uint64      `json:"store_failures"`  // times that the store failed its actor on this node, since its start
	Actor   string      `json:"actor,omitempty"` // path of the actor that handles it on this node
	CanTry  bool        `json:"can_rehearse"`    // its handler is on this node
}

// LetterFilter says which dead letters. Empty fields let everything through.
type LetterFilter struct {
	Queue     store.Queue `json:"queue,omitempty"`
	Type      string      `json:"type,omitempty"`       // of the payload
	Target    string      `json:"target,omitempty"`     // target id
	Caller    string      `json:"caller,omitempty"`     // caller id
	Request   string      `json:"request,omitempty"`    // request id
	Trace     string      `json:"trace,omitempty"`      // trace id
	ErrorType string      `json:"error_type,omitempty"` // such as POISON
	Contains  string      `json:"contains,omitempty"`   // part of the error message
	Since     time.Time   `json:"since,omitzero"`       // died at or after
	Before    time.Time   `json:"before,omitzero"`      // died before
}

// IsZero reports whether the filter lets everything through.
func (f LetterFilter) IsZero() bool { return f == LetterFilter{} }

// Store is the filter as the store takes it.
func (f LetterFilter) Store() store.LetterFilter {
	return store.LetterFilter{
		Queue: f.Queue, Type: f.Type, TargetID: f.Target, CallerID: f.Caller, RequestID: f.Request, TraceID: f.Trace,
		ErrorType: f.ErrorType, Contains: f.Contains, Since: f.Since, Before: f.Before,
	}
}

// LetterQuery asks for a page of dead letters.
type LetterQuery struct {
	LetterFilter
	After store.LetterID // the last of the page before
	Limit int            // default LettersDefault, at most LettersMax
}

// Limits of a page of dead letters.
const (
	LettersDefault = 50
	LettersMax     = 1_000
)

// LetterPage is the answer of /api/letters.
type LetterPage struct {
	Letters []LetterSummary `json:"letters"`
	Next    store.LetterID  `json:"next,omitempty"` // after= of the next page; 0 at the end
	Total   int64           `json:"total"`          // that the filter lets through
}

// LetterSummary is a dead letter without its payload.
type LetterSummary struct {
	ID           store.LetterID `json:"id"`
	Version      int64          `json:"version"` // rises with each edit
	Queue        store.Queue    `json:"queue"`
	Priority     store.Priority `json:"priority"`
	Sender       string         `json:"sender,omitempty"`
	Type         string         `json:"type"`
	Bytes        int            `json:"bytes"` // of the payload
	RequestID    string         `json:"request_id,omitempty"`
	CallerID     string         `json:"caller_id,omitempty"`
	TargetID     string         `json:"target_id,omitempty"`
	TraceID      string         `json:"trace_id,omitempty"`
	SpanID       string         `json:"span_id,omitempty"`
	ErrorType    string         `json:"error_type"`
	ErrorMessage string         `json:"error_message"`
	RetryCount   int            `json:"retry_count"`
	CreatedAt    time.Time      `json:"created_at"`
	LastRetryAt  time.Time      `json:"last_retry_at,omitzero"`
}

// Letter is the answer of /api/letters/{id}: a dead letter with its payload.
type Letter struct {
	LetterSummary
	Codec     string          `json:"codec,omitempty"`   // of the payload
	Subject   string          `json:"subject,omitempty"` // what it is about, such as the method of a service
	Redrives  int             `json:"redrives"`          // how often it was brought back before
	Payload   json.RawMessage `json:"payload,omitempty"` // as JSON, if its type is known and it decodes
	Hex       string          `json:"hex,omitempty"`     // the raw bytes, when there is no payload; cut at HexMax bytes
	Problem   string          `json:"problem,omitempty"` // why there is no payload
	CanTry    bool            `json:"can_rehearse"`      // its handler is on the node
	TypeNames []string        `json:"types,omitempty"`   // that a payload could be of
}

// HexMax is how many raw bytes of a payload are shown.
const HexMax = 64 << 10

// SummaryOf describes a letter.
func SummaryOf(l *store.Letter) LetterSummary {
	return LetterSummary{
		ID: l.ID, Version: l.Version, Queue: l.Queue, Priority: l.Priority, Sender: l.Key, Type: l.Type, Bytes: len(l.Data),
		RequestID: l.RequestID, CallerID: l.CallerID, TargetID: l.TargetID, TraceID: l.TraceID, SpanID: l.SpanID,
		ErrorType: l.ErrorType, ErrorMessage: l.ErrorMessage, RetryCount: l.RetryCount,
		CreatedAt: l.CreatedAt, LastRetryAt: l.LastRetryAt,
	}
}

// LetterOf describes a letter with its payload.
func LetterOf(in *durable.Inspection) Letter {
	l := Letter{LetterSummary: SummaryOf(&in.Letter), Codec: in.Codec, Subject: in.Subject, Redrives: in.Redrives, Payload: in.JSON}
	if in.JSON == nil {
		l.Hex = hex.EncodeToString(in.Data[:min(len(in.Data), HexMax)])
		if in.Problem != nil {
			l.Problem = in.Problem.Error()
		}
	}
	return l
}

// LetterEdit is the body of PUT /api/letters/{id}. What is left out stays as it
// is; of Payload and Hex one is given at most.
type LetterEdit struct {
	Version int64           `json:"-"`                 // that the edit is made for; If-Match
	Type    string          `json:"type,omitempty"`    // of Payload; default the letter's
	Payload json.RawMessage `json:"payload,omitempty"` // as JSON, of a type that the node knows
	Hex     string          `json:"hex,omitempty"`     // raw bytes, which are not looked at
	Queue   store.Queue     `json:"queue,omitempty"`   // where a redrive puts it
}

// LetterChoice says which dead letters an action is for: those of IDs, else those
// that Filter lets through, which must let through all only if All says so.
type LetterChoice struct {
	IDs    []store.LetterID `json:"ids,omitempty"`
	Filter LetterFilter     `json:"filter,omitzero"`
	All    bool             `json:"all,omitempty"`
}

// LetterDelete is the body of POST /api/letters/delete.
type LetterDelete struct {
	LetterChoice
	DryRun  bool  `json:"dry_run,omitempty"`
	Version int64 `json:"-"` // of the only letter of IDs; 0 for any
}

// RedriveRequest is the body of POST /api/redrives. Zero fields have the defaults
// of durable.Redrive.
type RedriveRequest struct {
	LetterChoice
	Rate          float64 `json:"rate,omitempty"`           // letters a second
	Wave          int     `json:"wave,omitempty"`           // under way at a time
	FailShare     float64 `json:"fail_share,omitempty"`     // of failures that stops it
	SettleSeconds float64 `json:"settle_seconds,omitempty"` // to wait for a wave; negative: don't
	Limit         int     `json:"limit,omitempty"`          // letters at most
	DryRun        bool    `json:"dry_run,omitempty"`
}

// Redrive is the state of a redrive.
type Redrive struct {
	ID       string         `json:"id,omitempty"` // empty for a dry run
	Request  RedriveRequest `json:"request"`
	Total    int64          `json:"total"` // letters that were chosen when it began
	Found    int            `json:"found"`
	Redriven int            `json:"redriven"` // brought back; in a dry run, that would be
	Handled  int            `json:"handled"`
	Failed   int            `json:"failed"`  // dead letters again
	Pending  int            `json:"pending"` // of which neither was known at the end
	Skipped  int            `json:"skipped"` // that somebody else dealt with
	Started  time.Time      `json:"started"`
	Finished time.Time      `json:"finished,omitzero"` // left out while it goes on
	Stopped  string         `json:"stopped,omitempty"` // why it ended before its end
}

// Done reports whether the redrive has ended.
func (r *Redrive) Done() bool { return !r.Finished.IsZero() }

// Take copies the figures of a report.
func (r *Redrive) Take(report durable.RedriveReport) {
	r.Found, r.Redriven, r.Handled, r.Failed = report.Found, report.Redrive, report.Handled, report.Failed
	r.Pending, r.Skipped = report.Pending, report.Skipped
	if report.Stopped != nil {
		r.Stopped = report.Stopped.Error()
	}
}

// Rehearsal is what would happen to a dead letter if it were redriven now.
type Rehearsal struct {
	Letter  store.LetterID `json:"letter"`
	Error   string         `json:"error,omitempty"` // why it would fail; empty: it would be handled
	Code    string         `json:"code,omitempty"`  // of the error
	Events  []Effect       `json:"events"`          // that an entity would record
	Outputs []Effect       `json:"outputs"`         // messages that would be sent on
	Answer  *Effect        `json:"answer,omitempty"`
}

// Effect is something that a handler would do.
type Effect struct {
	To      string          `json:"to,omitempty"` // the stream or queue
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Hex     string          `json:"hex,omitempty"` // when there is no payload
}
