package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// postgresDialect is PostgreSQL's.
type postgresDialect struct{}

func (postgresDialect) name() string { return "postgres" }

func (postgresDialect) quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func (postgresDialect) placeholder(n int) string { return fmt.Sprintf("$%d", n) }

func (postgresDialect) open(l location) (*sql.DB, error) {
	config, err := pgx.ParseConfig(l.url.String())
	if err != nil {
		// The error repeats the URL.
		return nil, &fault.Error{
			Code: fault.InvalidArgument, Op: "sql.Open", Target: l.target, Message: "the URL is not one of PostgreSQL",
			Hint: "expected postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…; certificates that it names must be there",
		}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "troupe"
	}
	return stdlib.OpenDB(*config), nil
}

func (d postgresDialect) session(l location) session {
	return &serverSession{
		at: l, begun: "BEGIN", before: d.makeKeys, defining: "SELECT pg_advisory_xact_lock(" + tablesLock + ", hashtext($1))",
		expire: "DELETE FROM " + keysTable + " WHERE idempotency_key IN (SELECT idempotency_key FROM " + keysTable +
			" WHERE applied_at < $1 LIMIT " + keysDropped + " FOR UPDATE SKIP LOCKED)",
	}
}

// keysLock is the advisory lock under which the table of keys is made: IF NOT
// EXISTS alone fails when two do it at the same time.
const keysLock = 0x74726f757065 // "troupe"

// tablesLock is the class of the advisory locks under which the other tables are
// made, for the same reason.
const tablesLock = "1953656693" // "trou"

// makeKeys makes the table of keys, so that the transactions of runs need not
// wait for each other to make it. If it may not, apply says so.
func (d postgresDialect) makeKeys(ctx context.Context, conn *sql.Conn) error {
	there, err := d.columns(ctx, conn, keysTable)
	if err != nil || len(there) > 0 {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(keysLock)); err != nil {
		return err
	}
	_, _ = conn.ExecContext(ctx, d.keysTable()) // tried again, and its error shown, in the transaction
	_, err = conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(keysLock))
	return err
}

var postgresTypes = map[workflow.Kind]string{
	workflow.KindNull:   "text",
	workflow.KindBool:   "boolean",
	workflow.KindInt:    "bigint",
	workflow.KindFloat:  "double precision",
	workflow.KindString: "text",
	workflow.KindDate:   "date",
	workflow.KindTime:   "timestamptz",
}

func (postgresDialect) columnType(kind workflow.Kind, _ bool) string { return postgresTypes[kind] }

func (postgresDialect) kindOf(name string) (workflow.Kind, bool) {
	switch name {
	case "BOOL":
		return workflow.KindBool, true
	case "INT2", "INT4", "INT8", "OID":
		return workflow.KindInt, true
	case "FLOAT4", "FLOAT8", "NUMERIC":
		return workflow.KindFloat, true
	case "DATE":
		return workflow.KindDate, true
	case "TIMESTAMP", "TIMESTAMPTZ":
		return workflow.KindTime, true
	}
	return workflow.KindString, true
}

func (postgresDialect) bound(v workflow.Value) any {
	switch v.Kind() {
	case workflow.KindBool:
		return v.Bool()
	case workflow.KindInt:
		return v.Int()
	case workflow.KindFloat:
		return v.Float()
	case workflow.KindString:
		return v.Text()
	case workflow.KindDate, workflow.KindTime:
		return v.Time()
	}
	return nil
}

func (d postgresDialect) columns(ctx context.Context, conn *sql.Conn, table string) ([]string, error) {
	return listColumns(ctx, conn, "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
		qualified(d, table))
}

// check does nothing: what is wrong, PostgreSQL says when it is written to.
func (postgresDialect) check(context.Context, *sql.Conn, target) error { return nil }

func (d postgresDialect) keysTable() string {
	return "CREATE TABLE IF NOT EXISTS " + keysTable + " (idempotency_key text PRIMARY KEY, applied_at bigint NOT NULL)"
}

func (d postgresDialect) writer(tx *transaction, t target, schema workflow.Schema) writer {
	w := &copier{tx: tx, table: t.table, into: pgx.Identifier(strings.SplitN(t.table, ".", 2)), columns: schema.Names()}
	if t.mode == modeUpsert {
		w.aside(t, schema)
	}
	return w
}

// copier puts rows into a table by COPY, one for each batch. For an upsert they
// go into a temporary table first, which knows their order, and from there on
// in one statement: the last row of a key counts.
type copier struct {
	tx      *transaction
	table   string
	into    pgx.Identifier
	columns []string

	make   string // makes the temporary table; empty: there is none
	merge  string
	made   bool
	number int64
}

// The temporary table, and its column for the order of rows, which no column of
// a workflow is likely to be called.
const (
	asideTable = "troupe_aside"
	asideOrder = "troupe order"
)

func (w *copier) aside(t target, schema workflow.Schema) {
	d := w.tx.at.dialect
	names := strings.Join(quoteAll(d, schema.Names()), ", ")
	key := strings.Join(quoteAll(d, t.key), ", ")
	aside := d.quote(fmt.Sprintf("%s_%d", asideTable, len(w.tx.tables)))
	w.into = pgx.Identifier{fmt.Sprintf("%s_%d", asideTable, len(w.tx.tables))}
	order := d.quote(asideOrder)
	w.make = "CREATE TEMPORARY TABLE " + aside + " ON COMMIT DROP AS SELECT " + names + ", 0::bigint AS " + order +
		" FROM " + tableName(d, t.table) + " WITH NO DATA"
	w.merge = "INSERT INTO " + tableName(d, t.table) + " (" + names + ") SELECT " + names + " FROM (SELECT DISTINCT ON (" + key + ") * FROM " + aside +
		" ORDER BY " + key + ", " + order + " DESC) AS last" + onConflict(d, t, schema)
	w.columns = append(w.columns, asideOrder)
}

func (w *copier) rows(ctx context.Context, rows []workflow.Row) error {
	if w.make != "" && !w.made {
		if err := w.tx.exec(ctx, w.make); err != nil {
			return w.fault(err)
		}
		w.made = true
	}
	err := w.tx.conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().CopyFrom(ctx, w.into, w.columns, &copyRows{copier: w, rows: rows})
		return err
	})
	if err != nil || w.make == "" {
		return w.fault(err)
	}
	if err := w.tx.exec(ctx, w.merge); err != nil {
		return w.fault(err)
	}
	return w.fault(w.tx.exec(ctx, "TRUNCATE "+w.into.Sanitize()))
}

func (w *copier) fault(err error) error {
	if err == nil {
		return nil
	}
	return w.tx.fault("sql.Write", fmt.Errorf("table %s: %w", quoted(w.table), err))
}

// copyRows hands rows to COPY.
type copyRows struct {
	copier *copier
	rows   []workflow.Row
	at     int
	values []any
}

// Next goes on to the next row.
func (r *copyRows) Next() bool {
	r.at++
	return r.at <= len(r.rows)
}

// Values are those of the row.
func (r *copyRows) Values() ([]any, error) {
	r.values = r.values[:0]
	for _, v := range r.rows[r.at-1] {
		r.values = append(r.values, r.copier.tx.at.dialect.bound(v))
	}
	if r.copier.make != "" {
		r.copier.number++
		r.values = append(r.values, r.copier.number)
	}
	return r.values, nil
}

// Err is nil: the rows are here.
func (r *copyRows) Err() error { return nil }

// postgresFaults says what SQLSTATEs, or their classes, mean to a user.
var postgresFaults = map[string]known{
	"08":    {fault.Unavailable, "", "check that the server runs and can be reached"},
	"22":    {fault.InvalidArgument, "", "the value does not fit the column; convert it in front of the sink, or in the query"},
	"23":    {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	"25006": {fault.FailedPrecondition, "", "a source only reads; write with a sink"},
	"25P03": {fault.Unavailable, "", "the server ended the transaction because it waited too long; raise idle_in_transaction_session_timeout"},
	"28":    {fault.Unauthenticated, "", "check user and password in the URL of the database"},
	"3D":    {fault.NotFound, "", "check the name of the database in its URL"},
	"40":    {fault.Aborted, "", "run it again"},
	"42":    {fault.InvalidArgument, "", ""},
	"42501": {fault.PermissionDenied, "", "grant the right to the user in the URL of the database"},
	"42P01": {fault.FailedPrecondition, "", "check the name of the table and the search_path"},
	"42P10": {fault.FailedPrecondition, "", "upsert needs a primary key or unique index on exactly the key columns"},
	"53":    {fault.ResourceExhausted, "", ""},
	"55P03": {fault.Unavailable, "", "another transaction holds the lock; run it again later"},
	"57":    {fault.Unavailable, "", ""},
	"58":    {fault.Unavailable, "", ""},
}

func (postgresDialect) explain(err error) (known, bool) {
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if _, raised := errors.AsType[*pgconn.PgError](connect); !raised {
			return known{fault.Unavailable, "", "check that the server runs and can be reached"}, true
		}
	}
	raised, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return known{}, false
	}
	k, ok := postgresFaults[raised.Code]
	if !ok {
		k, ok = postgresFaults[raised.Code[:min(2, len(raised.Code))]]
	}
	if ok {
		var more []string
		for _, part := range []string{raised.Detail, raised.Where} {
			if part != "" {
				more = append(more, strings.Join(strings.Fields(part), " "))
			}
		}
		k.message = strings.Join(more, "; ")
	}
	return k, ok
}
