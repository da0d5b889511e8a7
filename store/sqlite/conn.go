package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"modernc.org/sqlite"
)

// A conn is one connection to the file with its prepared statements. It is used
// by one goroutine at a time. Package database/sql in between would cost more
// than SQLite itself does for a small statement.
type conn struct {
	raw   driver.Conn
	stmts map[string]*stmt
}

type stmt struct {
	raw  driver.Stmt
	args []driver.NamedValue
	row  []driver.Value
}

// openConn opens a connection and applies the pragmas, in order.
func openConn(dsn string, pragmas ...string) (*conn, error) {
	raw, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: map[string]*stmt{}}
	for _, p := range pragmas {
		if err := c.script("PRAGMA " + p); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var all []error
	for _, s := range c.stmts {
		all = append(all, s.raw.Close())
	}
	clear(c.stmts)
	return errors.Join(append(all, c.raw.Close())...)
}

// script runs statements without arguments and results, and keeps none.
func (c *conn) script(sql string) error {
	_, err := c.raw.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

func (c *conn) prepare(sql string) (*stmt, error) {
	if s := c.stmts[sql]; s != nil {
		return s, nil
	}
	raw, err := c.raw.Prepare(sql)
	if err != nil {
		return nil, err
	}
	s := &stmt{raw: raw}
	c.stmts[sql] = s
	return s, nil
}

func (s *stmt) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		if b, ok := a.([]byte); ok && b == nil {
			a = []byte{} // a nil slice is a value here, not NULL
		}
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// exec runs a statement. Arguments are int64, string or []byte.
func (c *conn) exec(sql string, args ...driver.Value) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	_, err = s.raw.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	clear(s.args)
	return err
}

// query runs a statement and calls f with each row. The row is good during the
// call only, its byte slices and strings for ever. An error of f ends the query
// and is returned. f may run other statements, but not the same.
func (c *conn) query(ctx context.Context, sql string, args []driver.Value, f func(row []driver.Value) error) (err error) {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	rows, err := s.raw.(driver.StmtQueryContext).QueryContext(ctx, s.bind(args))
	clear(s.args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if n := len(rows.Columns()); len(s.row) != n {
		s.row = make([]driver.Value, n)
	}
	for {
		switch err := rows.Next(s.row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(s.row); err != nil {
			return err
		}
	}
}

// Values of a row. SQLite keeps an empty blob as NULL in some builds, and a
// damaged file has anything anywhere, so a wrong type is a zero value: checksums
// and ranges find the damage.

func intOf(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func textOf(v driver.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func bytesOf(v driver.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}
