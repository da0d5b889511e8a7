package store

import (
	"context"
	"iter"
	"time"
)

// A Store keeps streams, queues, leases, dead letters and metadata. See the
// package documentation for what holds for all of its methods.
type Store interface {
	// Commit applies a batch, all of it or nothing, and returns when it is
	// durable. Changes take effect in the order of the fields of [Batch], and
	// within a field in the order of its elements.
	//
	// When ctx ends before the engine has begun with the batch, nothing is
	// applied and the error is that of ctx. Once begun, a batch is finished
	// whatever ctx says, so that its outcome is known.
	//
	// Errors beside those of bad input ([ErrInvalid], [ErrTooLarge]):
	// [ErrStaleEpoch], [ErrWrongPosition], [ErrReceiptLost], [ErrDuplicate],
	// [ErrConflict], [ErrNoLetter], [ErrQueueFull], [ErrDiskFull],
	// [ErrReadOnly], [ErrOutcomeUnknown], [ErrClosed].
	Commit(ctx context.Context, b *Batch) (Result, error)

	Journal
	Queues
	Leases
	Letters
	Metadata

	// Close ends the store after the batches that it has begun with. Calls made
	// later, and those that wait, return [ErrClosed]. A second Close does
	// nothing.
	Close() error
}

// Journal reads streams.
type Journal interface {
	// Read returns the events of a stream from a position on, in order; 0 means
	// from the first that is still there. It reads in pages, sees what was
	// committed before each page, and ends at the head. A position beyond the head
	// gives no event, one within what was trimmed is [ErrTrimmed], an unknown
	// stream is [ErrUnknownStream]. An error is the last thing the sequence
	// yields.
	Read(ctx context.Context, s Stream, from Position) iter.Seq2[Event, error]

	// Head returns the position of the last event of a stream, also when it has
	// been trimmed, or [ErrUnknownStream].
	Head(ctx context.Context, s Stream) (Position, error)

	// Snapshot returns the snapshot of a stream, or [ErrNoSnapshot].
	Snapshot(ctx context.Context, s Stream) (Snapshot, error)

	// Streams lists streams in the order of their names.
	Streams(ctx context.Context, f StreamFilter) ([]StreamInfo, error)

	// Cursors returns the cursors of all producers of a scope, nil for an
	// unknown scope.
	Cursors(ctx context.Context, scope string) (map[Producer]uint64, error)
}

// Queues hands out messages and tells about them. They are put, acknowledged and
// given back by [Store.Commit].
type Queues interface {
	// Receive takes messages that are ready, at most r.Max of them, and holds
	// them for r.Hold: high priority first, then in the order in which they were
	// put. It does not wait: without a message it returns none. See [Receive]
	// for a call that waits.
	//
	// Each message carries a [Receipt], to be acknowledged, given back, buried or
	// extended. When none of it has happened in time, the message is ready again
	// at its old place. A receipt that has run out is still good until the
	// message has been received again.
	Receive(ctx context.Context, r ReceiveRequest) ([]Message, error)

	// Extend holds messages for d from now. It fails with [ErrReceiptLost] and
	// extends none when one of them is no longer held under its receipt.
	Extend(ctx context.Context, d time.Duration, receipts ...Receipt) error

	// Ready yields the names of queues with this prefix that have messages to
	// receive: first those that have some now, then each when a message is put,
	// is given back, or its hold or delay runs out. It yields a name once however
	// often that happened since it was yielded last, and may yield a queue that
	// somebody else has emptied meanwhile. It ends with ctx's error, or with
	// [ErrClosed].
	Ready(ctx context.Context, prefix Queue) iter.Seq2[Queue, error]

	// Messages lists the messages of one queue in the order of their ids, held
	// and delayed ones too. It takes none of them.
	Messages(ctx context.Context, f MessageFilter) ([]Message, error)

	// QueueStats lists queues in the order of their names, with what they hold. A
	// queue without a message may be missing.
	QueueStats(ctx context.Context, f QueueFilter) ([]QueueInfo, error)

	// Answer returns what is known of a request put with [Put.Dedup], or
	// [ErrNoRequest] when it never was or its time is over.
	Answer(ctx context.Context, q Queue, requestID string) (Answer, error)
}

// Leases gives names to one owner at a time. Times are those of the engine's
// clock: of this process for an embedded engine, of the server for another.
type Leases interface {
	// Acquire takes a lease for an owner and a time. A lease that another owner
	// holds is [ErrLeaseHeld] with a [*HeldError]. An owner that acquires
	// what it holds already gets it with the next epoch, which fences off its
	// former self.
	Acquire(ctx context.Context, name LeaseName, owner string, ttl time.Duration) (Lease, error)

	// Renew holds on to a lease for ttl from now, under the same epoch. It works
	// after the time has run out, as long as nobody else has taken the lease; then it is
	// [ErrStaleEpoch].
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)

	// Release gives a lease up. Its epoch is stale from then on. Releasing a
	// lease that another has taken is [ErrStaleEpoch].
	Release(ctx context.Context, l Lease) error

	// Holder returns the lease of a name as it is, held or not, or
	// [ErrNoLease] when it never was acquired.
	Holder(ctx context.Context, name LeaseName) (Lease, error)
}

// Letters reads dead letters. They are added, edited and deleted by
// [Store.Commit].
type Letters interface {
	// Letter returns one letter, or [ErrNoLetter].
	Letter(ctx context.Context, id LetterID) (Letter, error)

	// Letters lists letters in the order of their ids, the oldest first.
	Letters(ctx context.Context, f LetterFilter) ([]Letter, error)

	// CountLetters counts the letters that a filter lets through, without regard
	// to its After and Limit.
	CountLetters(ctx context.Context, f LetterFilter) (int64, error)
}

// Metadata reads entries. They are set by [Store.Commit].
type Metadata interface {
	// Entry returns the entry of a key, or [ErrNoEntry].
	Entry(ctx context.Context, key string) (Entry, error)

	// Entries lists entries in the order of their keys.
	Entries(ctx context.Context, f EntryFilter) ([]Entry, error)
}

// Submitter is what a store can do whose calls take their turns.
type Submitter interface {
	// Submit begins with a batch and returns a function, to be called once, that
	// waits for it and returns what Commit would. A Receive made after Submit has
	// returned comes after the batch: messages that the batch ends do not hold up
	// those behind them. The batch belongs to the store until wait has returned.
	Submit(b *Batch) (wait func() (Result, error))
}

// Checker is what a store can do that can examine itself.
type Checker interface {
	// Check reads everything and verifies structure and checksums. It returns
	// what is wrong, one finding for each damaged place but at most 1000, none
	// for a sound store. The error tells that the check could not be done.
	Check(ctx context.Context) ([]Finding, error)
}

// A Finding is one damaged place.
type Finding struct {
	Place   string // what is damaged: "stream account/42, position 7"
	Problem string // in which way
}

// Backuper is what a store can do that can copy itself.
type Backuper interface {
	// Backup writes a copy of the store as it was at one moment to a new file,
	// while the store goes on working. The copy is complete and durable when
	// Backup returns without an error, and there is no file when it fails. A file
	// that exists is not overwritten.
	Backup(ctx context.Context, path string) error
}
