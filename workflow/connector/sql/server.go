package sql

import (
	"context"
	"database/sql"
	"time"
)

// serverSession is the connection to a database server.
type serverSession struct {
	at location
	// before are statements before the transaction, begin is what begins it.
	before func(ctx context.Context, conn *sql.Conn) error
	begun  string
	// apart: statements that make tables run on a connection of their own,
	// because they would commit the transaction.
	apart bool
	// defining, if any, makes those wait that would make the same table, its
	// parameter, until the transaction ends.
	defining string
	// expire removes old keys.
	expire string
}

func (s *serverSession) begin(ctx context.Context) (*sql.DB, *sql.Conn, error) {
	db, err := s.at.dialect.open(s.at)
	if err != nil {
		return nil, nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close() // it holds no connection
		return nil, nil, err
	}
	if s.before != nil {
		err = s.before(ctx, conn)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, s.begun)
	}
	return db, conn, err
}

func (s *serverSession) define(ctx context.Context, tx *transaction, table, statement string) error {
	if s.apart {
		_, err := tx.db.ExecContext(ctx, statement)
		return err
	}
	if s.defining != "" {
		if err := tx.exec(ctx, s.defining, table); err != nil {
			return err
		}
	}
	return tx.exec(ctx, statement)
}

func (s *serverSession) committing(context.Context, *transaction) error { return nil }

// committed removes old keys. Others may be doing the same, or need the
// connection's time more: what fails now is done by the next run.
func (s *serverSession) committed(ctx context.Context, tx *transaction) {
	if tx.keyed != "" {
		_ = tx.exec(ctx, s.expire, time.Now().Add(-keysKept).Unix())
	}
}

func (s *serverSession) rolledBack() {}

func (s *serverSession) confirm(ctx context.Context, key string) bool {
	db, err := s.at.dialect.open(s.at)
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }() // the answer is known by then
	var found int
	query := "SELECT 1 FROM " + keysTable + " WHERE idempotency_key = " + s.at.dialect.placeholder(1)
	return db.QueryRowContext(ctx, query, key).Scan(&found) == nil
}
