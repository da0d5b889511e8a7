package durable

import (
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Errors of this package, matched with errors.Is. Those of the store come through
// as they are.
var (
	// ErrWaits: TryTell on a durable mailbox. Code FAILED_PRECONDITION.
	ErrWaits = hinted(fault.FailedPrecondition, "durable.Tell", "a durable tell waits for its commit", "use Tell with a context")
	// ErrNobodyHere: a message with an [actor.Reply] for a mailbox whose actor is
	// not in this process. Code FAILED_PRECONDITION.
	ErrNobodyHere = hinted(fault.FailedPrecondition, "durable.Tell", "the message has a Reply, but its actor is not in this process",
		"spawn the actor with this Mailbox, or use durable.Ask, whose answers are stored")
	// ErrNoAnswer: a request was handled and no answer was given. Code NOT_FOUND.
	ErrNoAnswer = hinted(fault.NotFound, "durable.Ask", "the request was handled without an answer",
		"call durable.Answer or durable.Reject in the handler")
	// ErrBuried: a request became a dead letter. Code INTERNAL.
	ErrBuried = hinted(fault.Internal, "durable.Ask", "the request could not be handled and became a dead letter",
		"look at it with Letters.Inspect; redrive it when the cause is mended")
	// ErrOtherStore: an output to a mailbox in another store, which can't be
	// committed with the rest. Code INVALID_ARGUMENT.
	ErrOtherStore = hinted(fault.InvalidArgument, "durable.Emit", "the mailbox is in another store than the one being handled",
		"emit to a mailbox in the same store whose actor sends on")
	// ErrCommit: what an entity decided could not be committed; it is restarted
	// and decides again. The code is that of the cause.
	ErrCommit = errors.New("durable: not committed")
	// ErrRecovery: an entity could not be brought to memory; it is tried again.
	// The code is that of the cause.
	ErrRecovery = errors.New("durable: not recovered")
	// ErrChanged: a letter was edited or redriven by somebody else meanwhile. It
	// is the store's conflict. Code ABORTED.
	ErrChanged = store.ErrConflict
)

// errRepeated is the answer to an ask with an actor.Reply whose request id is known.
var errRepeated = hinted(fault.AlreadyExists, "durable.Tell", "a request with this id was made before", "use durable.Ask, which returns the stored answer")

func hinted(code fault.Code, op, message, hint string) *fault.Error {
	e := fault.New(code, op, "%s", message)
	e.Hint = hint
	return e
}

func invalid(op, target, format string, args ...any) error {
	return &fault.Error{Code: fault.InvalidArgument, Op: op, Target: target, Message: fmt.Sprintf(format, args...)}
}

// full makes a full queue look like a full mailbox as well.
func full(q store.Queue, err error) error {
	if !errors.Is(err, store.ErrQueueFull) {
		return err
	}
	return &fault.Error{
		Code: fault.ResourceExhausted, Op: "durable.Tell", Target: string(q),
		Message: "the mailbox is full", Cause: errors.Join(actor.ErrMailboxFull, err),
	}
}
