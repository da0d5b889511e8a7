// Package sqlite is the embedded engine of package store: one file, no server,
// nothing to set up.
//
//	s, err := sqlite.Open(ctx, "troupe.db", sqlite.Options{})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// # How it works
//
// SQLite gives the file its transactions, its crash safety and its tools; how it
// is used gives the speed. One goroutine writes. It takes all batches that wait,
// checks each against what is in memory, and commits what they do in one
// transaction with one fsync (group commit). A batch is never held back to make
// a group larger.
//
// What changes often, events, messages and entries, is not written into a table of its
// own right away. The whole group becomes one row of the table journal, and the
// change itself is made in memory. From time to time the writer folds: it moves
// what is in memory into the tables, many events of a stream as one row, and
// empties the journal in the same transaction. A message that is put and
// acknowledged between two folds never touches an index. When the store is
// opened it reads the journal and has the same memory as before.
//
// Snapshots, letters, leases and payloads above [store.BlobThreshold]
// go into their tables directly, in the transaction of the batch.
//
// # What it costs
//
// Memory: the journal ([Options.JournalBytes]), about 250 bytes for each message that is
// queued, and
// SQLite's page cache ([Options.CacheBytes]).
//
// # Durability
//
// The file is in WAL mode with synchronous=FULL: a batch is on disk when Commit
// returns. Only the counting of attempts is not synced on its own: after a crash
// of the machine, not of the process, the last ones can be missing.
//
// # One process
//
// One Store has a file open at a time; a second Open fails with
// [store.ErrInUse]. The files beside it are SQLite's -wal and -shm and a -lock
// that is empty. Copy a store with [Store.Backup], not with cp.
package sqlite
