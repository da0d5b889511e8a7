package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// Mailbox keeps the requests of durable methods until they have been handled, and
// their answers for those who ask again. [NewMailbox] makes one on a store; others
// must be safe for concurrent use.
//
// A request is identified by its request id. Put again, it is not handled again,
// but gets the answer of the first time.
type Mailbox interface {
	// Ask keeps a request and waits for its answer, or for ctx. Once it is kept it
	// will be handled, whatever happens to the caller and to the node.
	//
	// Errors: one that matches [ErrMailbox] if the mailbox's store fails; the
	// context's, when the request may or may not be kept; that of the last attempt
	// if the request has become a dead letter.
	Ask(ctx context.Context, p Parcel) (answer wire.Message, err error)
	// Serve spawns, below parent, what hands the kept requests to the service,
	// until parent ends. It is called once for each start of the service. The
	// failure of its store does not end it: it tries again.
	Serve(parent actor.Parent, s Serving) error
	// Queue is the name under which the requests to the actor at a path are kept,
	// for who looks for them.
	Queue(path string) string
}

// Serving is what a [Mailbox] needs to know of the service.
type Serving struct {
	// Path is the path of the service's actor.
	Path string
	// Concurrency is how many requests may be handled at once, at least 1.
	Concurrency int
	// Handle has a request handled. With a nil error the request is done, and its
	// answer is kept in the same commit. An error is a failure of the framework:
	// the request is handed out again later, or becomes a dead letter, as the
	// mailbox's rules say; with the code POISON at once.
	Handle func(ctx context.Context, p Parcel) (answer wire.Message, err error)
	// Rehearse is Handle by an implementation whose effects are held back. Nil: the
	// service has none, see [Spec.Rehearse].
	Rehearse func(ctx context.Context, p Parcel) (answer wire.Message, err error)
}

// Parcel is a request as a mailbox keeps it.
type Parcel struct {
	RequestID string
	CallerID  string       // "" if nobody knows
	TargetID  string       // the path of the actor
	Trace     actor.Trace  // the zero value if there is none
	Method    string       // "service/method"
	Message   wire.Message // the request
	// Key says which requests must be handled one after the other, in the order
	// in which they were kept: those with equal keys. It is the key of the method,
	// or else the caller if the service handles one request at a time. Empty: any
	// may be handled at any time.
	Key string
	// Attempt counts, from 1, how often the request was handed out; 0 on the way in.
	Attempt int
}

// ErrMailbox is matched by the error of a [Mailbox] whose store failed: INTERNAL,
// or UNAVAILABLE where it may soon work again.
var ErrMailbox = fault.New(fault.Internal, "service.Mailbox", "the store of the mailbox failed")

// Names of the messages that a mailbox keeps as answers besides responses.
const (
	appErrorType = "troupe.Error"  // an error of the application
	faultType    = "troupe.Fault"  // the answer that could not be encoded, as JSON
	answerCodec  = "troupe.answer" // of both
)

// callDurably puts the request into the mailbox and waits for its answer. When
// the caller leaves, the request stays.
func (c *core) callDurably(ctx context.Context, call *Call) error {
	msg, err := call.method.encodeRequest(call.Request)
	if err != nil {
		return err
	}
	if err := wire.CheckSize(msg.Type, len(msg.Data), wire.DefaultMaxMessage); err != nil {
		return err
	}
	p := Parcel{
		RequestID: call.RequestID, CallerID: call.CallerID, TargetID: c.path,
		Method: call.Method.FullName(), Message: msg,
	}
	p.Trace, _ = actor.TraceFrom(ctx)
	if key, ok := call.method.keyOf(call.Request); ok {
		p.Key = key
	} else if c.concurrency == 1 {
		p.Key = call.CallerID
	}
	answer, err := c.mailbox.Ask(ctx, p)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return &fault.Error{
			Code: fault.CodeOf(ctx.Err()), Op: "service", Target: c.path, Message: "no answer in time", Cause: err,
			Hint: "a request that was kept will still be handled: ask again with the same request id",
		}
	default:
		if errors.Is(err, ErrMailbox) {
			c.mailboxFailed(ctx, call, err)
		}
		return err
	}
	out, err := c.openAnswer(answer, call.method)
	if err != nil {
		return err
	}
	call.Response, call.FromApplication = out.response, out.fromApplication
	return out.err
}

// mailboxFailed counts and logs a store that failed.
func (c *core) mailboxFailed(ctx context.Context, call *Call, cause error) {
	c.stats.mailboxFailures.Add(1)
	f := call.failure(ctx, cause)
	c.log.Load().LogAttrs(ctx, slog.LevelError, "the mailbox of a durable method failed", fault.Attrs(f)...)
}

// handleParcel has a kept request handled by a worker. The method's timeout begins
// anew with each attempt: the caller's is that of the caller.
func (c *core) handleParcel(ctx context.Context, p Parcel) (wire.Message, error) {
	name, method, _ := strings.Cut(p.Method, "/")
	r := &request{
		target: p.TargetID, service: name, method: method, requestID: p.RequestID, callerID: p.CallerID,
		trace: p.Trace, retries: max(0, p.Attempt-1), message: p.Message,
	}
	m, in, err := c.accept(r)
	if err != nil {
		if poison, ok := errors.AsType[*wire.PoisonError](err); ok {
			logPoison(ctx, c.log.Load(), r.letter(poison))
		}
		return wire.Message{}, err
	}
	if !p.Trace.IsZero() {
		ctx = actor.WithTrace(ctx, p.Trace)
	}
	bounded, cancel := context.WithTimeout(ctx, m.info().timeout())
	defer cancel()
	out, err := c.ask(bounded, in)
	if err != nil {
		return wire.Message{}, err
	}
	if out.err != nil && !out.fromApplication {
		return wire.Message{}, out.err
	}
	return c.closeAnswer(out, m), nil
}

// closeAnswer makes what a handler answered a message to keep. An answer that
// can't be encoded is an answer, too: its handler must not run again for it.
func (c *core) closeAnswer(out outcome, m method) wire.Message {
	var msg wire.Message
	var err error
	if out.err == nil {
		msg, err = m.encodeResponse(out.response)
	} else {
		msg = wire.Message{Type: appErrorType, Codec: answerCodec}
		msg.Data, err = c.errors.appendError(nil, out.err)
	}
	if err == nil {
		err = wire.CheckSize(msg.Type, len(msg.Data), wire.DefaultMaxMessage)
	}
	if err != nil {
		return wire.Message{Type: faultType, Codec: answerCodec, Data: faultJSON(unsendable(err))}
	}
	return msg
}

// openAnswer is what closeAnswer was given. The error is that of an answer which
// does not decode.
func (c *core) openAnswer(msg wire.Message, m methodType) (out outcome, err error) {
	switch {
	case msg.Codec == answerCodec && msg.Type == appErrorType:
		var e *Error
		if e, err = c.errors.decodeError(msg.Data); err == nil {
			return outcome{err: e, fromApplication: true}, nil
		}
	case msg.Codec == answerCodec && msg.Type == faultType:
		f := &fault.Error{}
		if err = f.UnmarshalJSON(msg.Data); err == nil {
			return outcome{err: f}, nil
		}
	default:
		out.response, err = m.decodeResponse(msg)
		return out, err
	}
	return out, &wire.PoisonError{Message: msg, Cause: err}
}

// unsendable is the failure of an answer that can't be encoded.
func unsendable(err error) error {
	return &fault.Error{Code: fault.Internal, Op: "service", Message: "the answer can't be sent", Cause: err}
}

// mailboxError makes the failure of a store one that matches [ErrMailbox].
func mailboxError(target string, cause error) error {
	e := ErrMailbox.WithTarget(target)
	if e.Cause = cause; fault.CodeOf(cause).Transient() {
		e.Code = fault.Unavailable
	}
	return e
}

// errNotServing is the failure of a mailbox that no service has.
func errNotServing(path string) error {
	return &fault.Error{
		Code: fault.FailedPrecondition, Op: "service.Mailbox", Target: path, Message: "the mailbox serves no actor yet",
		Hint: "give it to service.Spawn as Spec.Mailbox",
	}
}
