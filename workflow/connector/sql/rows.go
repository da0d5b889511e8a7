package sql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// manyRows puts rows into a table by statements of many rows, each prepared
// once. Several rows of one key
// follow each other, as if they came in statements of their own.
type manyRows struct {
	tx     *transaction
	table  string
	schema workflow.Schema
	insert string // up to the rows
	end    string // after the rows
	group  int    // rows in one statement
	args   []any

	statements map[int]*sql.Stmt // by their rows
}

// newManyRows makes the writer. Values is how many of them one statement
// carries at best.
func newManyRows(tx *transaction, t target, schema workflow.Schema, values int, end string) *manyRows {
	d := tx.at.dialect
	return &manyRows{
		tx: tx, table: t.table, schema: schema, group: max(1, values/max(1, schema.Len())), end: end, statements: map[int]*sql.Stmt{},
		insert: "INSERT INTO " + tableName(d, t.table) + " (" + strings.Join(quoteAll(d, schema.Names()), ",") + ") VALUES ",
	}
}

// rows inserts rows, as many at a time as fit, and what is left by statements
// of half as many rows, and again half, so that few have to be prepared.
func (n *manyRows) rows(ctx context.Context, rows []workflow.Row) error {
	for size := n.group; len(rows) > 0; {
		if size > len(rows) {
			size = max(1, size/2)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := n.exec(ctx, rows[:size]); err != nil {
			return err
		}
		rows = rows[size:]
	}
	return nil
}

// exec runs one statement. Begun, it is seen through; it is short.
func (n *manyRows) exec(ctx context.Context, rows []workflow.Row) error {
	statement := n.statements[len(rows)]
	if statement == nil {
		row := "(" + strings.Repeat("?,", n.schema.Len()-1) + "?)"
		text := n.insert + strings.Repeat(row+",", len(rows)-1) + row + n.end
		prepared, err := n.tx.prepare(ctx, text)
		if err != nil {
			return n.fault(err)
		}
		statement = prepared
		n.statements[len(rows)] = statement
	}
	n.args = n.args[:0]
	for _, row := range rows {
		for _, v := range row {
			n.args = append(n.args, n.tx.at.dialect.bound(v))
		}
	}
	_, err := statement.ExecContext(context.WithoutCancel(ctx), n.args...)
	return n.fault(err)
}

func (n *manyRows) fault(err error) error {
	if err == nil {
		return nil
	}
	return n.tx.fault("sql.Write", fmt.Errorf("table %s: %w", quoted(n.table), err))
}
