package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// applicationID marks our files for SQLite and file(1): "TRUP".
const applicationID = 0x54525550

// migrations lead from each version of the schema to the next: the first makes
// version 1 of an empty file. They only go forward, and once released none of
// them changes, not even a comment: SQLite keeps the text, and checkSchema
// compares it. The version is SQLite's user_version.
var migrations = []string{
	// 1: the beginning. SQLite does not notice when a byte of a row is not what was
	// written, so each row has a checksum, sum, of its other columns: CRC-32C.
	`
-- What changed since the last fold, one row for each group of batches.
CREATE TABLE journal (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);

-- The next numbers to give out, as of the last fold: id, grant.
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE streams (
	no    INTEGER PRIMARY KEY,
	name  TEXT NOT NULL UNIQUE,
	first INTEGER NOT NULL,
	head  INTEGER NOT NULL,
	sum   INTEGER NOT NULL
);

-- Events, many to a row. The row id rises with time, so that folds write at the
-- end of the table and only small index entries are spread.
CREATE TABLE chunks (
	id     INTEGER PRIMARY KEY,
	stream INTEGER NOT NULL,
	first  INTEGER NOT NULL,
	last   INTEGER NOT NULL,
	data   BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_stream ON chunks (stream, first);

CREATE TABLE snapshots (
	stream   TEXT PRIMARY KEY,
	position INTEGER NOT NULL,
	time     INTEGER NOT NULL, -- as all times: milliseconds since 1970
	type     TEXT NOT NULL,
	blob     INTEGER NOT NULL, -- of table blobs, or 0 for data in the row
	size     INTEGER NOT NULL,
	sum      INTEGER NOT NULL,
	data     BLOB NOT NULL
);

CREATE TABLE cursors (
	scope    TEXT NOT NULL,
	producer TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	sum      INTEGER NOT NULL,
	PRIMARY KEY (scope, producer)
) WITHOUT ROWID;

CREATE TABLE messages (
	id         INTEGER PRIMARY KEY,
	queue      TEXT NOT NULL,
	priority   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	time       INTEGER NOT NULL,
	until      INTEGER NOT NULL, -- delayed until, or 0
	attempts   INTEGER NOT NULL,
	dedup      INTEGER NOT NULL, -- milliseconds
	last_error TEXT NOT NULL,
	sum        INTEGER NOT NULL, -- of the columns above; the body has its own
	body       BLOB NOT NULL
);

CREATE TABLE requests (
	queue       TEXT NOT NULL,
	request_id  TEXT NOT NULL,
	message     INTEGER NOT NULL,
	done        INTEGER NOT NULL, -- when, or 0
	until       INTEGER NOT NULL, -- forgotten then, or 0 while it is queued
	answer_type TEXT NOT NULL,
	sum         INTEGER NOT NULL,
	answer      BLOB NOT NULL,
	PRIMARY KEY (queue, request_id)
) WITHOUT ROWID;
CREATE INDEX requests_until ON requests (until) WHERE until > 0;

CREATE TABLE leases (
	name  TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	until INTEGER NOT NULL,
	sum   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE metadata (
	key     TEXT PRIMARY KEY,
	version INTEGER NOT NULL,
	sum     INTEGER NOT NULL,
	value   BLOB NOT NULL
);

CREATE TABLE blobs (
	id   INTEGER PRIMARY KEY,
	hash BLOB NOT NULL, -- SHA-256 of the payload
	data BLOB NOT NULL
);

-- raw_bytes comes last, so that lists and filters do not read it.
CREATE TABLE dead_letter_queue (
	id            INTEGER PRIMARY KEY,
	trace_id      TEXT NOT NULL,
	span_id       TEXT NOT NULL,
	request_id    TEXT NOT NULL,
	caller_id     TEXT NOT NULL,
	target_id     TEXT NOT NULL,
	payload_type  TEXT NOT NULL,
	error_message TEXT NOT NULL,
	error_type    TEXT NOT NULL,
	retry_count   INTEGER NOT NULL,
	created_at    INTEGER NOT NULL,
	last_retry_at INTEGER NOT NULL, -- or 0
	version       INTEGER NOT NULL,
	queue         TEXT NOT NULL,
	priority      INTEGER NOT NULL,
	sender_key    TEXT NOT NULL,
	sum           INTEGER NOT NULL, -- of id, meta and raw_bytes, so that SQL may edit the rest
	meta          BLOB NOT NULL,
	raw_bytes     BLOB NOT NULL
);
`,
	// 2: consoles and redrives look for the letters of one target or queue among
	// many.
	`
CREATE INDEX dead_letter_queue_target ON dead_letter_queue (target_id);
CREATE INDEX dead_letter_queue_queue ON dead_letter_queue (queue);
`,
}

// schemaVersion is the version that this code reads and writes.
var schemaVersion = int64(len(migrations))

// identify tells the schema version of a file: 0 for an empty one. Something
// that is not ours, or newer, is an error.
func identify(c *conn, op, path string) (int64, error) {
	var id, version, tables int64
	for sql, to := range map[string]*int64{
		"PRAGMA application_id":              &id,
		"PRAGMA user_version":                &version,
		"SELECT count(*) FROM sqlite_schema": &tables,
	} {
		err := c.query(context.Background(), sql, nil, func(row []driver.Value) error {
			*to = intOf(row[0])
			return nil
		})
		if err != nil {
			return 0, explain(op, path, err)
		}
	}
	switch {
	case id == 0 && version == 0 && tables == 0:
		return 0, nil
	case id != applicationID:
		return 0, store.Failure(store.ErrNotAStore, op, path, fmt.Errorf("it is a database of another program (application_id %d, %d tables)", id, tables))
	case version > schemaVersion:
		return 0, store.Failure(store.ErrNewerSchema, op, path, fmt.Errorf("schema version %d, this software knows up to %d", version, schemaVersion))
	case version < 1:
		return 0, damaged(op, path, fmt.Errorf("schema version %d", version))
	}
	return version, nil
}

// migrate brings a file from a version to another, each step in a transaction of
// its own.
func migrate(c *conn, from, to int64) error {
	for v := from; v < to; v++ {
		err := c.script(fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			migrations[v], applicationID, v+1))
		if err != nil {
			_ = c.script("ROLLBACK") // fails if SQLite has done it already
			return fmt.Errorf("migration to schema version %d: %w", v+1, err)
		}
	}
	return nil
}

// checkSchema compares the tables and indexes of a file with those of its version,
// whose text can be damaged like anything else in the file. What somebody has
// added is none of our business.
func checkSchema(ctx context.Context, c *conn, version int64) (problems []error, err error) {
	fresh, err := openConn(":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fresh.close()) }()
	if err := migrate(fresh, 0, version); err != nil {
		return nil, err
	}
	want, err := readSchema(ctx, fresh)
	if err != nil {
		return nil, err
	}
	got, err := readSchema(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			problems = append(problems, fmt.Errorf("the definition of %s is not that of schema version %d", name, version))
		}
	}
	return problems, nil
}

// readSchema returns the definition of each table and index.
func readSchema(ctx context.Context, c *conn) (map[string]string, error) {
	all := map[string]string{}
	err := c.query(ctx, "SELECT type, name, tbl_name, sql FROM sqlite_schema", nil, func(row []driver.Value) error {
		all[textOf(row[0])+" "+textOf(row[1])] = textOf(row[2]) + ": " + textOf(row[3])
		return nil
	})
	return all, err
}
