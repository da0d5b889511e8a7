// Package postgres is the engine of package store for more than one node: a
// PostgreSQL server, version 15 or later, that all nodes share.
//
//	s, err := postgres.Open(ctx, "postgres://troupe@db/troupe", postgres.Options{})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// # How it works
//
// A small number of writers take the batches that wait, as many as there are,
// and commit them in one transaction: one round trip locks and reads what the
// batches depend on, the batches are checked one after the other in memory, and
// one more round trip writes what became of them, a statement for each table
// with arrays of rows, and commits. A batch that is refused leaves its
// neighbours alone. A batch is never held back to make a group larger.
//
// Messages are received in one round trip: the queue is locked, those that were held
// for too long come back, and one statement finds and takes what is ready. Plans of statements
// stay while a queue grows from nothing to a million messages, so each of those
// that look for messages fits one index only.
//
// The lease that a fence names is locked from the check to the commit, so no
// statement of a fenced batch takes effect under a stale epoch.
//
// Whoever waits in Ready is woken by LISTEN/NOTIFY, and in the same process
// directly. A poll of one index, every [Options.PollInterval] and only while
// somebody waits, is the net for a notification that was lost with a
// connection.
//
// # When the server goes away
//
// Calls are tried again until [Options.Timeout] is over, and then fail with
// [ErrUnavailable]; connections come back by themselves. When the connection is
// lost during a commit, the writer asks the next connection what became of it:
// each transaction leaves its number in a row of the writer and holds that row's
// lock to its end. So store.ErrOutcomeUnknown is returned only if the
// server stays away longer than the timeout.
//
// # Clock
//
// All times are those of the server.
//
// # Schema
//
// The tables are in one schema of the database, "troupe" by default, which Open
// creates and migrates. Table dead_letter_queue has one column for each thing that
// people filter by. Payloads are stored out of line above
// [store.BlobThreshold] by PostgreSQL itself (TOAST). Every row with a payload
// carries a checksum that is verified when it is read.
//
// [Store.Backup] copies what is stored to a file, [Restore] makes a store of it in
// an empty schema of the same or another server, and [Check] examines a store
// that nobody needs to have open. PostgreSQL's own pg_dump of the schema and base
// backups work as well.
package postgres
