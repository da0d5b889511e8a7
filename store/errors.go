package store

import (
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Errors of every engine. Each matches itself and its code with errors.Is; those
// that carry data have a type to find with errors.As as well.
var (
	// ErrInvalid is a request that makes no sense, whatever is stored.
	ErrInvalid = sentinel(fault.InvalidArgument, "invalid request", "")

	// ErrTooLarge is a payload, name or batch above a limit of [Limits].
	ErrTooLarge = sentinel(fault.InvalidArgument, "too large",
		"send less at once, keep large data elsewhere and its address here, or raise the limit")

	// ErrUnknownStream is a stream that never had an event, or was removed.
	ErrUnknownStream = sentinel(fault.NotFound, "no such stream",
		"check the name; a stream begins with its first append")

	// ErrTrimmed is a read from a position whose event has been trimmed.
	ErrTrimmed = sentinel(fault.OutOfRange, "the event has been trimmed",
		"read the snapshot and go on behind it, or read from 0 for what is left")

	// ErrNoSnapshot is a stream without a snapshot.
	ErrNoSnapshot = sentinel(fault.NotFound, "no snapshot", "read the events from 0 on")

	// ErrNoLetter is a dead letter that is not there (any more).
	ErrNoLetter = sentinel(fault.NotFound, "no such dead letter",
		"it may have been redriven or deleted; list the letters again")

	// ErrNoEntry is a key of the metadata that is not there.
	ErrNoEntry = sentinel(fault.NotFound, "no such entry", "")

	// ErrNoLease is a lease that never was acquired.
	ErrNoLease = sentinel(fault.NotFound, "no such lease", "acquire it first")

	// ErrNoRequest is a request id that is not remembered.
	ErrNoRequest = sentinel(fault.NotFound, "no such request",
		"it was never put with Dedup in this queue, or its time is over")

	// ErrWrongPosition is an append to a stream that is not at the expected
	// position. A [*PositionError] has both.
	ErrWrongPosition = sentinel(fault.Aborted, "wrong expected position",
		"read what was appended meanwhile, decide again and append with the actual position")

	// ErrDuplicate is a cursor that is not above the stored one. A
	// [*DuplicateError] has both.
	ErrDuplicate = sentinel(fault.AlreadyExists, "already taken in",
		"treat what the batch does as done; acknowledge the message alone")

	// ErrConflict is an entry or letter that has another version than expected.
	// A [*ConflictError] has both.
	ErrConflict = sentinel(fault.Aborted, "changed by somebody else",
		"read it again, decide again and use the actual version")

	// ErrStaleEpoch is a fence, or the renewal or release of a lease, with
	// another epoch than the lease has. An [*EpochError] has both.
	ErrStaleEpoch = sentinel(fault.Aborted, "stale epoch",
		"stop acting as the owner: another has taken over; acquire the lease again to go on")

	// ErrLeaseHeld is a lease that another owner holds. A [*HeldError] tells who
	// and until when.
	ErrLeaseHeld = sentinel(fault.FailedPrecondition, "held by another owner",
		"wait until it runs out or is released")

	// ErrReceiptLost is a receipt that is no longer good: the message is done, or
	// was received again after its time had run out.
	ErrReceiptLost = sentinel(fault.Aborted, "message no longer held under this receipt",
		"drop what was done for it; hold messages longer, or extend them while working")

	// ErrQueueFull is a queue that holds as many messages as it may.
	ErrQueueFull = sentinel(fault.ResourceExhausted, "queue is full",
		"slow down and try again later, or raise Limits.QueueMessages")

	// ErrClosed is a store that was closed.
	ErrClosed = sentinel(fault.Unavailable, "store is closed", "")

	// ErrInUse is an embedded store that another process, or another Store value
	// of this one, has open.
	ErrInUse = sentinel(fault.FailedPrecondition, "in use by another process",
		"stop the other one, or go through its API; two nodes need a server engine")

	// ErrReadOnly is a write to a store on a file or disk that cannot be written.
	ErrReadOnly = sentinel(fault.FailedPrecondition, "read-only",
		"check the permissions of the file and its folder and how the disk is mounted")

	// ErrDiskFull is a write for which there is no room. What is stored is
	// intact, and writing works again when there is room.
	ErrDiskFull = sentinel(fault.ResourceExhausted, "disk is full", "free or add space; nothing is lost")

	// ErrDisk is a disk that does not read or write. After a failed fsync nobody
	// knows what is on it; an embedded store then refuses all writes until it is
	// opened again, which finds out.
	ErrDisk = sentinel(fault.Unavailable, "disk error",
		"see the system's log and the limits of the process; then open the store again")

	// ErrDamaged is stored data that is not as it was written.
	ErrDamaged = sentinel(fault.DataLoss, "stored data is damaged",
		`see what is affected with "troupe store check", go back to a backup with "troupe store restore"`)

	// ErrNewerSchema is a store written by a newer version of this software.
	ErrNewerSchema = sentinel(fault.FailedPrecondition, "written by a newer version",
		"run that version or a later one, or restore a backup from before the upgrade")

	// ErrNotAStore is a file or database that something else has written.
	ErrNotAStore = sentinel(fault.FailedPrecondition, "not a store of this software",
		"check the path; an existing database of another program is left alone")

	// ErrOutcomeUnknown is a batch whose commit was under way when the connection
	// to the engine was lost: it was applied as a whole or not at all.
	ErrOutcomeUnknown = sentinel(fault.Unavailable, "outcome of the commit is unknown",
		"repeat the batch if it states expected positions, cursors or receipts, which refuse a second time")
)

func sentinel(code fault.Code, message, hint string) *fault.Error {
	e := fault.New(code, "store", "%s", message)
	e.Hint = hint
	return e
}

// A PositionError is the data of [ErrWrongPosition].
type PositionError struct {
	Stream   Stream
	Expected Position
	Actual   Position // [NoStream] for an unknown one
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("expected %s, found %s", position(e.Expected), position(e.Actual))
}

func position(p Position) string {
	if p == NoStream {
		return "no stream"
	}
	return fmt.Sprintf("position %d", p)
}

// A DuplicateError is the data of [ErrDuplicate].
type DuplicateError struct {
	Scope    string
	Producer Producer
	Seq      uint64 // of the batch
	Stored   uint64 // what was reached before
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("producer %q is at %d, the batch at %d", e.Producer, e.Stored, e.Seq)
}

// A ConflictError is the data of [ErrConflict].
type ConflictError struct {
	Key      string // of the entry, or the id of the letter
	Expected int64
	Actual   int64 // [Absent] if there is none
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("expected version %d, found %d", e.Expected, e.Actual)
}

// An EpochError is the data of [ErrStaleEpoch].
type EpochError struct {
	Lease  LeaseName
	Epoch  Epoch // of the caller
	Actual Epoch // the highest that was granted; 0 if none was
}

func (e *EpochError) Error() string {
	if e.Epoch == e.Actual {
		return fmt.Sprintf("epoch %d was released", e.Epoch)
	}
	return fmt.Sprintf("epoch %d is not the present one, %d", e.Epoch, e.Actual)
}

// A HeldError is the data of [ErrLeaseHeld].
type HeldError struct {
	Lease Lease // as it is held now
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("by %q until %s, epoch %d", e.Lease.Owner, e.Lease.Until.UTC().Format(time.RFC3339Nano), e.Lease.Epoch)
}

// Failure is for engines: it returns an error that matches the sentinel, names
// what it is about, and has cause, which may be nil, for the details. Its code
// is that of the sentinel, whatever the cause's is.
func Failure(sentinel *fault.Error, op, target string, cause error) error {
	e := sentinel.WithTarget(target)
	e.Op = op
	e.Cause = cause
	return e
}

// WrongPosition returns [ErrWrongPosition] with its data. It is for engines, as
// are the functions below.
func WrongPosition(s Stream, expected, actual Position) error {
	return Failure(ErrWrongPosition, "store.Commit", "stream "+string(s), &PositionError{s, expected, actual})
}

// DuplicateCursor returns [ErrDuplicate] with its data.
func DuplicateCursor(c Cursor, stored uint64) error {
	return Failure(ErrDuplicate, "store.Commit", "scope "+c.Scope, &DuplicateError{c.Scope, c.Producer, c.Seq, stored})
}

// EntryConflict returns [ErrConflict] with its data, for an entry.
func EntryConflict(key string, expected, actual int64) error {
	return Failure(ErrConflict, "store.Commit", "entry "+key, &ConflictError{key, expected, actual})
}

// LetterConflict returns [ErrConflict] with its data, for a letter.
func LetterConflict(id LetterID, expected, actual int64) error {
	text := fmt.Sprint(id)
	return Failure(ErrConflict, "store.Commit", "letter "+text, &ConflictError{text, expected, actual})
}

// StaleEpoch returns [ErrStaleEpoch] with its data.
func StaleEpoch(op string, name LeaseName, epoch, actual Epoch) error {
	return Failure(ErrStaleEpoch, op, "lease "+string(name), &EpochError{name, epoch, actual})
}

// LeaseHeld returns [ErrLeaseHeld] with its data.
func LeaseHeld(l Lease) error {
	return Failure(ErrLeaseHeld, "store.Acquire", "lease "+string(l.Name), &HeldError{l})
}

// ReceiptLost returns [ErrReceiptLost] for a receipt.
func ReceiptLost(op string, r Receipt) error {
	return Failure(ErrReceiptLost, op, fmt.Sprintf("message %d", r.ID), nil)
}
