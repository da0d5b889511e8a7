package sql

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// keysTable holds the idempotency keys of the runs that have written to a
// database, see the package's documentation.
const keysTable = "troupe_sink_keys"

const (
	// keysKept is how long keys are kept.
	keysKept = 30 * 24 * time.Hour
	// keysDropped is how many keys one run removes at most.
	keysDropped = "100"
	// confirmTimeout bounds the question whether a commit has happened.
	confirmTimeout = 10 * time.Second
)

// transactions finds the transaction that the sinks of a run share on a
// database.
type transactions struct {
	mu   sync.Mutex
	open map[txKey]*transaction
}

type txKey struct{ run, database string }

func newTransactions() *transactions { return &transactions{open: map[txKey]*transaction{}} }

// join takes part in the transaction of a run on a database and begins it if
// need be.
func (t *transactions) join(ctx context.Context, run string, l location) (*transaction, error) {
	if l.path != "" {
		path, err := resolve(l.path)
		if err != nil {
			return nil, workflow.FileError("sql.Open", path, err)
		}
		l.path, l.target, l.identity = path, path, sqliteScheme+path
	}
	key := txKey{run: run, database: l.identity}
	t.mu.Lock()
	tx := t.open[key]
	if tx == nil {
		tx = &transaction{home: t, key: key, at: l, session: l.dialect.session(l), tables: map[string]bool{}}
		t.open[key] = tx
	}
	tx.sinks++
	t.mu.Unlock()

	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.begun {
		tx.begun = true
		var err error
		if tx.db, tx.conn, err = tx.session.begin(ctx); err != nil {
			tx.fail(tx.fault("sql.Open", err))
		}
	}
	return tx, tx.failed
}

// transaction is the one of a run on a database. Its methods are called with
// mu held, but for do and abort, which take it.
type transaction struct {
	home    *transactions
	key     txKey
	at      location
	session session

	// sinks is how many have joined. It is guarded by home.mu.
	sinks int

	mu      sync.Mutex
	db      *sql.DB
	conn    *sql.Conn // nil before begin and after the end
	begun   bool
	tables  map[string]bool
	stmts   []*sql.Stmt
	keyed   string // one of the keys that this transaction adds
	waiting int    // sinks that have committed
	failed  error  // why it was rolled back
}

var errRolledBack = fault.New(fault.Aborted, "sql.Write", "the transaction was rolled back because another sink of the run failed")

// do runs f with the connection to itself. A database may end a transaction by
// itself when a statement fails, so that statements after it would no longer be
// part of one: any error of f rolls it back for good.
func (tx *transaction) do(f func() error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.conn == nil {
		return errRolledBack.WithTarget(tx.at.target)
	}
	if err := f(); err != nil {
		tx.fail(err)
		return err
	}
	return nil
}

// claim reserves a table for one sink.
func (tx *transaction) claim(table string) error {
	name := asciiLower(table)
	if tx.tables[name] {
		return &fault.Error{
			Code: fault.InvalidArgument, Op: "sql.Open", Target: tx.at.target,
			Message: "two sinks of the run write the table " + quoted(table), Hint: "lead the rows of both into one sink, or give one of them another table",
		}
	}
	tx.tables[name] = true
	return nil
}

// apply writes a key. It returns false if it is there: the work is done.
func (tx *transaction) apply(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return true, nil
	}
	d := tx.at.dialect
	if len(tx.keyed) == 0 {
		if there, err := d.columns(ctx, tx.conn, keysTable); err != nil {
			return false, tx.fault("sql.Open", err)
		} else if len(there) == 0 {
			if err := tx.session.define(ctx, tx, keysTable, d.keysTable()); err != nil {
				err := fault.From(tx.fault("sql.Open", err))
				err.Message, err.Hint = strings.TrimSuffix("cannot make the table "+keysTable+": "+err.Message, ": "), "make it by hand: "+d.keysTable()
				return false, err
			}
		}
	}
	into := "INSERT INTO "
	end := " ON CONFLICT DO NOTHING"
	if d.name() == "mysql" {
		into, end = "INSERT IGNORE INTO ", ""
	}
	result, err := tx.conn.ExecContext(ctx, into+keysTable+" (idempotency_key, applied_at) VALUES ("+d.placeholder(1)+", "+d.placeholder(2)+")"+end, key, time.Now().Unix())
	if err != nil {
		return false, tx.fault("sql.Open", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, tx.fault("sql.Open", err)
	}
	if n > 0 {
		tx.keyed = key
	}
	return n > 0, nil
}

// commit counts the sinks that are done and commits after the last.
func (tx *transaction) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx.waiting++
	tx.home.mu.Lock()
	last := tx.waiting == tx.sinks
	tx.home.mu.Unlock()
	if !last {
		return nil
	}
	// Begun, a commit is seen through: its outcome must be known.
	ctx = context.WithoutCancel(ctx)
	if err := tx.session.committing(ctx, tx); err != nil {
		return tx.fault("sql.Commit", err)
	}
	if err := tx.exec(ctx, "COMMIT"); err != nil {
		if !tx.confirmed(ctx) {
			return tx.fault("sql.Commit", err)
		}
	} else {
		tx.session.committed(ctx, tx)
	}
	tx.close()
	tx.leave()
	return nil
}

// confirmed asks whether a commit has happened whose answer is an error.
func (tx *transaction) confirmed(ctx context.Context) bool {
	if tx.keyed == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return tx.session.confirm(ctx, tx.keyed)
}

// abort rolls back unless that has been done or all is committed.
func (tx *transaction) abort() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.conn != nil {
		tx.fail(errRolledBack)
	}
}

// fail rolls back and remembers why.
func (tx *transaction) fail(reason error) {
	tx.failed = reason
	if tx.conn != nil {
		// An error means that the database has rolled back already. Closing
		// the connection would do it, too.
		_ = tx.exec(context.Background(), "ROLLBACK")
		tx.session.rolledBack()
		tx.close()
	}
	tx.leave()
}

// leave makes room for a new transaction.
func (tx *transaction) leave() {
	tx.home.mu.Lock()
	defer tx.home.mu.Unlock()
	if tx.home.open[tx.key] == tx {
		delete(tx.home.open, tx.key)
	}
}

func (tx *transaction) exec(ctx context.Context, statement string, args ...any) error {
	_, err := tx.conn.ExecContext(ctx, statement, args...)
	return err
}

// prepare prepares a statement that lives as long as the transaction.
func (tx *transaction) prepare(ctx context.Context, statement string) (*sql.Stmt, error) {
	stmt, err := tx.conn.PrepareContext(ctx, statement)
	if err == nil {
		tx.stmts = append(tx.stmts, stmt)
	}
	return stmt, err
}

// close lets go of the database. A statement that is left would keep its locks.
func (tx *transaction) close() {
	for _, stmt := range tx.stmts {
		_ = stmt.Close()
	}
	tx.stmts = nil
	if tx.conn != nil {
		_ = tx.conn.Close() // it holds nothing that is not committed or rolled back
		tx.conn = nil
	}
	if tx.db != nil {
		_ = tx.db.Close()
		tx.db = nil
	}
}

func (tx *transaction) fault(op string, err error) error { return tx.at.fault(op, err) }
