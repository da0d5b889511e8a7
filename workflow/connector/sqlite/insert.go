package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// statementValues is how many values one INSERT carries at best: measured, a
// longer statement costs more a row again.
const statementValues = 160

// inserter puts rows into a table. Rows go in groups, by a statement that is
// prepared once, and what is left of a batch one by one.
type inserter struct {
	tx     *transaction
	table  string
	schema workflow.Schema
	group  int // rows in one statement
	many   *sql.Stmt
	one    *sql.Stmt
	args   []any
}

func newInserter(tx *transaction, table string, schema workflow.Schema) *inserter {
	return &inserter{tx: tx, table: table, schema: schema, group: max(1, statementValues/max(1, schema.Len()))}
}

// rows inserts rows. A statement that has begun is seen through; it is short.
func (n *inserter) rows(ctx context.Context, rows []workflow.Row) error {
	for len(rows) >= n.group {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := n.exec(ctx, &n.many, rows[:n.group]); err != nil {
			return err
		}
		rows = rows[n.group:]
	}
	for i := range rows {
		if err := n.exec(ctx, &n.one, rows[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (n *inserter) exec(ctx context.Context, statement **sql.Stmt, rows []workflow.Row) error {
	if *statement == nil {
		prepared, err := n.tx.prepare(ctx, n.text(len(rows))) //nolint:sqlclosecheck // closed with the transaction
		if err != nil {
			return n.fault(err)
		}
		*statement = prepared
	}
	n.args = n.args[:0]
	for _, row := range rows {
		for _, v := range row {
			n.args = append(n.args, bound(v))
		}
	}
	_, err := (*statement).ExecContext(context.WithoutCancel(ctx), n.args...)
	return n.fault(err)
}

func (n *inserter) fault(err error) error {
	if err == nil {
		return nil
	}
	return sqlFault("sqlite.Write", n.tx.key.path, fmt.Errorf("table %s: %w", quoteName(n.table), err))
}

// text is the statement for a number of rows.
func (n *inserter) text(rows int) string {
	names := n.schema.Names()
	for i, name := range names {
		names[i] = quoteName(name)
	}
	row := "(" + strings.Repeat("?,", len(names)-1) + "?)"
	return "INSERT INTO " + quoteName(n.table) + " (" + strings.Join(names, ",") + ") VALUES " + strings.Repeat(row+",", rows-1) + row
}

// timeLayout sorts as text as the times do.
const timeLayout = "2006-01-02 15:04:05.999999999"

// bound is the parameter for a value.
func bound(v workflow.Value) any {
	switch v.Kind() {
	case workflow.KindBool:
		if v.Bool() {
			return int64(1)
		}
		return int64(0)
	case workflow.KindInt:
		return v.Int()
	case workflow.KindFloat:
		return v.Float()
	case workflow.KindString:
		return v.Text()
	case workflow.KindDate:
		return v.Time().Format(time.DateOnly)
	case workflow.KindTime:
		return v.Time().Format(timeLayout)
	}
	return nil
}
