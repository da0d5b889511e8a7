package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// quoteName makes an identifier of any text.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// declared are the types that columns get. Drivers go by them when they read.
var declared = map[workflow.Kind]string{
	workflow.KindNull:   "TEXT",
	workflow.KindBool:   "BOOLEAN",
	workflow.KindInt:    "INTEGER",
	workflow.KindFloat:  "REAL",
	workflow.KindString: "TEXT",
	workflow.KindDate:   "DATE",
	workflow.KindTime:   "DATETIME",
}

// createTable is the statement that makes a table for a schema.
func createTable(table string, schema workflow.Schema) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + quoteName(table) + " (")
	for i, c := range schema.Columns() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteName(c.Name) + " " + declared[c.Kind])
	}
	return b.String() + ")"
}

// prepareTable makes the table ready to take rows of the schema.
func prepareTable(ctx context.Context, tx *transaction, table string, schema workflow.Schema, replace bool) error {
	found, err := kindOf(ctx, tx, table)
	switch {
	case err != nil:
		return sqlFault("sqlite.Open", tx.key.path, err)
	case found != "" && found != "table":
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sqlite.Open", Target: tx.key.path,
			Message: fmt.Sprintf("%s is a %s; expected a table, or nothing", quoteName(table), found), Hint: "choose another table",
		}
	case found != "" && !replace:
		return checkColumns(ctx, tx, table, schema)
	case found != "":
		if err := tx.exec(ctx, "DROP TABLE "+quoteName(table)); err != nil {
			return sqlFault("sqlite.Open", tx.key.path, err)
		}
	}
	return sqlFaultOrNil("sqlite.Open", tx.key.path, tx.exec(ctx, createTable(table, schema)))
}

func sqlFaultOrNil(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return sqlFault(op, path, err)
}

// kindOf tells what has a name in the file: "table", "view", "index"; nothing
// is "".
func kindOf(ctx context.Context, tx *transaction, name string) (kind string, err error) {
	row := tx.conn.QueryRowContext(ctx, "SELECT type FROM sqlite_schema WHERE type <> 'trigger' AND name = ? COLLATE NOCASE", name)
	if err = row.Scan(&kind); errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return kind, err
}

// checkColumns compares a table that rows are added to with what comes in.
func checkColumns(ctx context.Context, tx *transaction, table string, schema workflow.Schema) error {
	there, err := columnsOf(ctx, tx, table)
	if err != nil {
		return sqlFault("sqlite.Open", tx.key.path, err)
	}
	for _, name := range schema.Names() {
		if slices.ContainsFunc(there, func(c string) bool { return asciiLower(c) == asciiLower(name) }) {
			continue
		}
		hint := suggest.DidYouMean(name, there)
		if hint == "" {
			hint = "it has " + strings.Join(there, ", ") + "; use mode: replace, or a select in front of the sink"
		}
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sqlite.Open", Target: tx.key.path,
			Message: fmt.Sprintf("the table %s has no column %q", quoteName(table), name), Hint: hint,
		}
	}
	return nil
}

func columnsOf(ctx context.Context, tx *transaction, table string) (names []string, err error) {
	rows, err := tx.conn.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
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
