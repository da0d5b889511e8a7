// Package store keeps what must survive: event streams, queues of messages,
// leases with fencing tokens, dead letters and small metadata, behind one
// interface that an embedded SQLite file (store/sqlite) and a PostgreSQL server
// (store/postgres) both implement. Package storetest is the suite that every
// engine passes.
//
// # One way to write
//
// All changes go through [Store.Commit], which takes a [Batch] and applies all
// of it or nothing. That is how an actor's new events, the acknowledgement of
// the message that caused them, the cursor of the producer it came from and the
// messages it sends on become one fact:
//
//	_, err := s.Commit(ctx, &store.Batch{
//		Fence:   store.Fence{Lease: "shard/17", Epoch: 4},
//		Appends: []store.Append{{Stream: "account/42", Expected: 7, Events: events}},
//		Acks:    []store.Ack{{Receipt: message.Receipt}},
//		Puts:    []store.Put{{Queue: "mail", Envelope: letter}},
//	})
//
// When Commit returns without an error the batch is on disk and survives a crash
// of the process, the operating system or the machine. When it returns one of
// this package's errors nothing of the batch was applied, except for
// [ErrOutcomeUnknown]. An engine commits concurrent batches together; a batch
// that fails does not fail the others.
//
// # What is in it
//
//   - A stream is a sequence of events with positions 1, 2, 3, …; an append states
//     the position it expects ([NoStream], [Any] or a number), which makes it a
//     compare-and-set. A stream has at most one snapshot, the latest.
//   - A queue holds messages until they are acknowledged. They are received for
//     a limited time, counted, and come back when that time is over.
//   - A lease is a name held by one owner at a time. Each time it changes hands
//     its epoch rises, and a batch fenced with a lower epoch is refused.
//   - A dead letter is a message that nobody could handle, kept with the reason.
//   - An entry is a key with a small value and a version to compare and set.
//
// # Concurrency and ownership
//
// All methods of a [Store] may be called from many goroutines. Slices given to
// it must not be changed until the call returns; slices it returns belong to the
// caller. Reads do not block writes, nor writes reads.
//
// # Sizes
//
// Everything has a limit, see [Limits]. Payloads above [BlobThreshold] are kept
// apart from the rows that are scanned, without the caller's noticing.
package store
