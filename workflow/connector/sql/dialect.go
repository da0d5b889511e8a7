package sql

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// dialect is what is particular to a kind of database.
type dialect interface {
	// name is that of the kind: postgres, mysql, sqlite.
	name() string
	// open opens the database for reading.
	open(l location) (*sql.DB, error)
	// session makes what the transaction of a run needs.
	session(l location) session
	// quote makes an identifier of any text.
	quote(name string) string
	// columnType is what a column of a kind is declared as.
	columnType(kind workflow.Kind, inKey bool) string
	// kindOf is the kind for a type of a result's column.
	kindOf(databaseType string) (workflow.Kind, bool)
	// bound is the parameter for a value.
	bound(v workflow.Value) any
	// placeholder is that of the parameter n, from 1.
	placeholder(n int) string
	// columns lists the columns of a table; none: there is no such table.
	columns(ctx context.Context, conn *sql.Conn, table string) ([]string, error)
	// check reports what is wrong with a table for a mode and its key.
	check(ctx context.Context, conn *sql.Conn, t target) error
	// writer makes what puts rows into a table.
	writer(tx *transaction, t target, schema workflow.Schema) writer
	// keysTable is the statement that makes the table of keys unless it is there.
	keysTable() string
	// explain says what an error of the database means: code, message (empty:
	// the database's own) and hint. False: it is none of the database.
	explain(err error) (known, bool)
}

// session is the connection of a run's transaction.
type session interface {
	// begin connects and begins the transaction.
	begin(ctx context.Context) (*sql.DB, *sql.Conn, error)
	// define runs a statement that makes a table.
	define(ctx context.Context, tx *transaction, table, statement string) error
	// committing is called before a commit, committed after it, while the
	// connection is open.
	committing(ctx context.Context, tx *transaction) error
	committed(ctx context.Context, tx *transaction)
	// rolledBack is called after a rollback, before the connection is closed.
	rolledBack()
	// confirm finds out on another connection whether a commit whose answer
	// is lost has happened: whether the key is there.
	confirm(ctx context.Context, key string) bool
}

// writer puts rows into a table.
type writer interface {
	rows(ctx context.Context, rows []workflow.Row) error
}

// target is what a sink writes to and how.
type target struct {
	table  string // as it stands in the definition
	mode   string
	key    []string
	create bool
}

// known is the meaning of an error.
type known struct {
	code    fault.Code
	message string
	hint    string
}

// qualified quotes the name of a table that may stand in a schema: a.b.
func qualified(d dialect, table string) string {
	schema, name, found := strings.Cut(table, ".")
	if !found {
		return d.quote(table)
	}
	return d.quote(schema) + "." + d.quote(name)
}

// quoteAll quotes names.
func quoteAll(d dialect, names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = d.quote(name)
	}
	return quoted
}

// createTable is the statement that makes a table for a schema.
func createTable(d dialect, t target, schema workflow.Schema) string {
	var parts []string
	for _, c := range schema.Columns() {
		inKey := slices.Contains(t.key, c.Name)
		part := d.quote(c.Name) + " " + d.columnType(c.Kind, inKey)
		if inKey {
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	if len(t.key) > 0 {
		parts = append(parts, "PRIMARY KEY ("+strings.Join(quoteAll(d, t.key), ", ")+")")
	}
	return "CREATE TABLE IF NOT EXISTS " + tableName(d, t.table) + " (" + strings.Join(parts, ", ") + ")"
}

// tableName quotes the name of a table. SQLite has no schemas to speak of.
func tableName(d dialect, table string) string {
	if _, ok := d.(sqliteDialect); ok {
		return d.quote(table)
	}
	return qualified(d, table)
}

// listColumns reads names from a query of one column.
func listColumns(ctx context.Context, conn *sql.Conn, query string, args ...any) (names []string, err error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
