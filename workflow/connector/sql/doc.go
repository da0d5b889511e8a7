// Package sql reads rows from and writes rows to SQL databases: the node types
// source.sql and sink.sql, for PostgreSQL, MySQL and MariaDB, and SQLite; and the
// node type sql, which runs a query over the rows that come in.
//
// # Databases
//
// A database is a URL, or a reference to a secret that holds one:
//
//	database: sqlite:weather.db
//	database: env:WEATHER_DATABASE           # postgres://user:password@host/name
//	database: file:/run/secrets/weather      # mysql://user:password@host:3306/name
//	database: postgres://reader@host/name    # without a password
//
// A URL with a password is refused where others may read it: in a definition.
// What is printed about a database is the reference, host and name.
//
// # Source
//
// The source runs one query, read-only, and streams its result. Values get into
// the query as bound parameters alone: params are expressions over the inputs,
// for the placeholders of the database ($1, $2 for PostgreSQL, ? for the others).
// A ${name} in the text of a query is refused. The types of the columns are those
// of the result, or declared under columns; a value that is not of its column's
// type sets its row aside. Without declared columns the database is asked for
// them when the definition is checked.
//
//	PostgreSQL, MySQL, SQLite type         kind
//	boolean                                bool
//	integers                               int    (an unsigned one beyond 2^63: set aside)
//	float, double, real, numeric, decimal  float  (declare string to keep all digits)
//	date (a day)                           date
//	timestamp, datetime                    time   (without a zone: UTC)
//	everything else                        string
//
// SQLite has types for values rather than columns: a column of the result that
// is no column of a table has the type of the value in its first row.
//
// # Sink
//
// A run writes each database in one transaction: the tables that it writes there
// appear together or not at all. Readers see what was there before; with SQLite,
// other writers wait. Rows go in batches: by COPY to PostgreSQL, by statements of
// many rows to the others. There are three modes:
//
//	insert   adds the rows
//	upsert   replaces the rows that have the same key columns, adds the others
//	replace  removes all rows of the table before, in the same transaction
//
// With create: true a missing table is made: with the columns that come in, and
// with key as its primary key. PostgreSQL and SQLite make it in the transaction;
// MySQL cannot, so that there an empty table stays behind a run that fails.
//
// # Exactly once
//
// The run's idempotency key is written in the transaction of its rows, into the
// table troupe_sink_keys (idempotency_key, applied_at in seconds since 1970) of
// the same database, which is made if it is missing. When the work is done again
// after a crash, the key is found and nothing is added. Keys are kept for 30 days.
//
// # SQLite
//
// A file that the sink makes is put into WAL mode, so that later runs do not
// block readers; an existing file keeps its mode. If a run fails, a file that it
// made is removed again.
//
//	kind    PostgreSQL        MySQL        SQLite
//	bool    boolean           BOOLEAN      BOOLEAN, 0 or 1
//	int     bigint            BIGINT       INTEGER
//	float   double precision  DOUBLE       REAL; MySQL and SQLite have no NaN: NULL
//	string  text              LONGTEXT     TEXT; in a key of MySQL VARCHAR(255)
//	date    "date"            DATE         as a DATE such as 2012-01-31
//	time    timestamptz       DATETIME(6)  DATETIME such as 2012-01-31 10:00:00.5, UTC
package sql

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.sql, sql and sink.sql.
func Register(r *workflow.Registry) { r.Add(sourceType, transformType, newSinkType()) }
