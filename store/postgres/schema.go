package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

// migrations lead from each version of the schema to the next. They are never
// changed once released, only added to. Names are compared byte by byte (collation
// C), as Go compares them.
var migrations = []string{
	`
CREATE TABLE writer (
	id   text PRIMARY KEY,
	seq  bigint NOT NULL,
	seen timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE lease (
	name  text COLLATE "C" PRIMARY KEY,
	owner text NOT NULL,
	epoch bigint NOT NULL,
	until bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE stream (
	name  text COLLATE "C" PRIMARY KEY,
	first bigint NOT NULL,
	head  bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE event (
	stream   text COLLATE "C" NOT NULL,
	position bigint NOT NULL,
	time     bigint NOT NULL,
	type     text NOT NULL,
	meta     bytea NOT NULL,
	data     bytea NOT NULL,
	sum      bigint NOT NULL,
	PRIMARY KEY (stream, position)
) WITH (toast_tuple_target = 4096);

CREATE TABLE snapshot (
	stream   text COLLATE "C" PRIMARY KEY,
	position bigint NOT NULL,
	time     bigint NOT NULL,
	type     text NOT NULL,
	data     bytea NOT NULL,
	sum      bigint NOT NULL
) WITH (toast_tuple_target = 4096);

CREATE TABLE cursor (
	scope    text COLLATE "C" NOT NULL,
	producer text COLLATE "C" NOT NULL,
	seq      bigint NOT NULL,
	PRIMARY KEY (scope, producer)
) WITH (fillfactor = 70);

CREATE TABLE entry (
	key     text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	value   bytea NOT NULL,
	sum     bigint NOT NULL
);

CREATE TABLE queue (
	name text COLLATE "C" PRIMARY KEY,
	size bigint NOT NULL
) WITH (fillfactor = 50);

CREATE SEQUENCE message_id;

-- due is 0 for a message that is ready, else until when it is held or delayed.
CREATE TABLE message (
	id           bigint PRIMARY KEY,
	queue        text COLLATE "C" NOT NULL,
	priority     smallint NOT NULL,
	sender_key   text COLLATE "C" NOT NULL,
	time         bigint NOT NULL,
	due          bigint NOT NULL,
	held         boolean NOT NULL,
	receipt      bigint NOT NULL,
	owner        text NOT NULL,
	attempts     integer NOT NULL,
	last_error   text NOT NULL,
	dedup        bigint NOT NULL,
	trace_id     text NOT NULL,
	span_id      text NOT NULL,
	request_id   text NOT NULL,
	caller_id    text NOT NULL,
	target_id    text NOT NULL,
	payload_type text NOT NULL,
	raw_bytes    bytea NOT NULL,
	meta         bytea NOT NULL,
	sum          bigint NOT NULL
) WITH (toast_tuple_target = 4096, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX message_ready ON message (queue, priority DESC, id) WHERE due = 0;
CREATE INDEX message_due ON message (due, queue) WHERE due > 0;
CREATE INDEX message_key ON message (queue, sender_key, priority, id) WHERE sender_key <> '';
CREATE INDEX message_busy ON message (queue, sender_key, priority, id) WHERE sender_key <> '' AND due > 0;
CREATE INDEX message_queue ON message (queue, id);

CREATE TABLE request (
	queue       text COLLATE "C" NOT NULL,
	request_id  text COLLATE "C" NOT NULL,
	message     bigint NOT NULL,
	done        bigint NOT NULL,
	until       bigint NOT NULL,
	answer_type text NOT NULL,
	answer      bytea NOT NULL,
	sum         bigint NOT NULL,
	PRIMARY KEY (queue, request_id)
) WITH (toast_tuple_target = 4096);
CREATE INDEX request_until ON request (until) WHERE done > 0;

CREATE TABLE dead_letter_queue (
	id            bigint PRIMARY KEY,
	version       bigint NOT NULL,
	queue         text COLLATE "C" NOT NULL,
	priority      smallint NOT NULL,
	sender_key    text NOT NULL,
	trace_id      text NOT NULL,
	span_id       text NOT NULL,
	request_id    text NOT NULL,
	caller_id     text NOT NULL,
	target_id     text NOT NULL,
	payload_type  text NOT NULL,
	raw_bytes     bytea NOT NULL,
	meta          bytea NOT NULL,
	error_message text NOT NULL,
	error_type    text NOT NULL,
	retry_count   bigint NOT NULL,
	created_at    timestamptz NOT NULL,
	last_retry_at timestamptz,
	sum           bigint NOT NULL
) WITH (toast_tuple_target = 4096);

-- Out of line, and not compressed: payloads often are already.
ALTER TABLE event ALTER data SET STORAGE EXTERNAL;
ALTER TABLE snapshot ALTER data SET STORAGE EXTERNAL;
ALTER TABLE message ALTER raw_bytes SET STORAGE EXTERNAL;
ALTER TABLE request ALTER answer SET STORAGE EXTERNAL;
ALTER TABLE dead_letter_queue ALTER raw_bytes SET STORAGE EXTERNAL;
`, `
-- Several rows for each queue, so that writers do not wait for one another.
ALTER TABLE queue ADD COLUMN shard smallint NOT NULL DEFAULT 0;
ALTER TABLE queue ALTER COLUMN shard DROP DEFAULT;
ALTER TABLE queue DROP CONSTRAINT queue_pkey;
ALTER TABLE queue ADD PRIMARY KEY (name, shard);
`, `
-- Fewer indexes, as a message passes through all of them twice. The predicates are
-- such that none implies another, and id + 0 is what the primary key can't serve: a
-- query fits one index, so that a plan made for an empty queue is right for a full one.
DROP INDEX message_key;
DROP INDEX message_busy;
DROP INDEX message_queue;
CREATE INDEX message_busy ON message (queue, sender_key, priority, (id + 0)) WHERE due + 0 > 0;
`,
}

// schemaVersion is the version that this code works with.
func schemaVersion() int { return len(migrations) }

// lockKey is the number of an advisory lock; all of a database share them.
func lockKey(what string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("troupe " + what)) // never fails
	return int64(h.Sum64())                  //nolint:gosec // any 64 bits will do
}

// migrate brings the schema to a version, in one transaction that nobody else
// can be in at the same time.
func migrate(ctx context.Context, c *pgx.Conn, schema string, to int) error {
	const op = "store.Open"
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey("migration "+schema)); err != nil {
			return err
		}
		version, err := versionOf(ctx, tx, schema)
		if err != nil {
			return err
		}
		if version > to {
			return store.Failure(store.ErrNewerSchema, op, "schema "+schema,
				fmt.Errorf("it has version %d, this software knows up to %d", version, to))
		}
		return advance(ctx, tx, schema, version, to)
	})
}

// advance brings the schema from one version to another; version 0 is none.
func advance(ctx context.Context, tx pgx.Tx, schema string, version, to int) error {
	if version == to {
		return nil
	}
	if version == 0 {
		name := pgx.Identifier{schema}.Sanitize()
		if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+name+"; CREATE TABLE "+name+".schema_version (version integer NOT NULL); INSERT INTO "+name+".schema_version VALUES (0)"); err != nil {
			return fmt.Errorf("create schema %s: %w", schema, err)
		}
	}
	for v := version; v < to; v++ {
		if _, err := tx.Exec(ctx, migrations[v]); err != nil {
			return fmt.Errorf("migrate schema %s to version %d: %w", schema, v+1, err)
		}
	}
	_, err := tx.Exec(ctx, "UPDATE schema_version SET version = $1", to)
	return err
}

// versionOf returns the version of a schema, 0 when it is not there or empty.
func versionOf(ctx context.Context, tx pgx.Tx, schema string) (int, error) {
	var ours, tables int
	err := tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE table_name = 'schema_version'), count(*)
		FROM information_schema.tables WHERE table_schema = $1`, schema).Scan(&ours, &tables)
	if err != nil {
		return 0, err
	}
	notOurs := func(cause error) error {
		return store.Failure(store.ErrNotAStore, "store.Open", "schema "+schema, cause)
	}
	switch {
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, notOurs(fmt.Errorf("it has %d tables, and none is schema_version", tables))
	}
	var version int
	err = tx.QueryRow(ctx, "SELECT version FROM "+pgx.Identifier{schema, "schema_version"}.Sanitize()).Scan(&version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, notOurs(errors.New("its table schema_version is empty"))
	case err != nil:
		return 0, err
	case version < 1:
		return 0, notOurs(fmt.Errorf("its version is %d", version))
	}
	return version, nil
}
