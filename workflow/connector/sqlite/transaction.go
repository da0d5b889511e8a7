package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
)

// busyTimeout is how long a run waits for another writer of its file.
const busyTimeoutMillis = "5000"

// transactions finds the transaction that the sinks of a run share on a file.
type transactions struct {
	mu   sync.Mutex
	open map[txKey]*transaction
}

type txKey struct{ run, path string }

func newTransactions() *transactions { return &transactions{open: map[txKey]*transaction{}} }

// join takes part in the transaction of a run on a file and begins it if need
// be.
func (t *transactions) join(ctx context.Context, run, path string) (*transaction, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, pathFault("sqlite.Open", path, err)
	}
	key := txKey{run: run, path: path}
	t.mu.Lock()
	tx := t.open[key]
	if tx == nil {
		tx = &transaction{home: t, key: key, tables: map[string]bool{}}
		t.open[key] = tx
	}
	tx.sinks++
	t.mu.Unlock()

	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.begun {
		tx.begun = true
		if err := tx.begin(ctx); err != nil {
			tx.fail(err)
		}
	}
	return tx, tx.failed
}

// resolve gives a file one name, whichever link leads to it, and makes the
// directories above it.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return path, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return path, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// transaction is the one of a run on a file. Its methods are called with mu
// held, but for do and abort, which take it.
type transaction struct {
	home *transactions
	key  txKey

	// sinks is how many have joined. It is guarded by home.mu.
	sinks int

	mu      sync.Mutex
	db      *sql.DB
	conn    *sql.Conn // nil before begin and after the end
	begun   bool
	made    bool // the file did not exist before
	tables  map[string]bool
	stmts   []*sql.Stmt
	waiting int   // sinks that have committed
	failed  error // why it was rolled back
}

var errRolledBack = fault.New(fault.Aborted, "sqlite.Write", "the transaction on the file was rolled back because another sink of the run failed")

// do runs f with the connection to itself. SQLite may end a transaction by
// itself when a statement fails, so that statements after it would no longer
// be part of one: any error of f rolls it back for good.
func (tx *transaction) do(f func() error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.conn == nil {
		return errRolledBack.WithTarget(tx.key.path)
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
			Code: fault.InvalidArgument, Op: "sqlite.Open", Target: tx.key.path,
			Message: "two sinks of the run write the table " + quoteName(table), Hint: "lead the rows of both into one sink, or give one of them another table",
		}
	}
	tx.tables[name] = true
	return nil
}

// begin opens the file and takes its write lock. Between making the file and
// locking it another run may have removed it again; then the lock, or what
// went wrong with it, is about a file that is gone, and begin starts over.
func (tx *transaction) begin(ctx context.Context) error {
	for {
		before, made, err := makeFile(tx.key.path)
		if err != nil {
			return pathFault("sqlite.Open", tx.key.path, err)
		}
		lockErr := tx.lockMade(ctx, made)
		if now, err := os.Stat(tx.key.path); err == nil && os.SameFile(before, now) {
			tx.made = made && now.Size() == 0 // else another run was faster
			return lockErr
		}
		tx.close()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// lockMade locks the file. One that the run has made is locked even if the run
// has been cancelled meanwhile, as without the lock it could not be removed.
func (tx *transaction) lockMade(ctx context.Context, made bool) error {
	if !made {
		return tx.lock(ctx, false)
	}
	if err := tx.lock(context.WithoutCancel(ctx), true); err != nil {
		return err
	}
	return ctx.Err()
}

// makeFile makes the file if it is not there.
func makeFile(path string) (info fs.FileInfo, made bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil {
		info, err = file.Stat()
		return info, true, errors.Join(err, file.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, false, err
	}
	info, err = os.Stat(path)
	switch {
	case err != nil:
		return nil, false, err
	case info.IsDir():
		return nil, false, files.ErrDirectory
	case !info.Mode().IsRegular():
		return nil, false, files.ErrNotRegular
	}
	return info, false, nil
}

// lock opens the file and begins the transaction in it.
func (tx *transaction) lock(ctx context.Context, made bool) error {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(tx.key.path)}
	name.RawQuery = url.Values{
		"_busy_timeout": {busyTimeoutMillis},
		"_synchronous":  {"FULL"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		"_pragma":       {"cache_size(-16000)"}, // 16 MB; large transactions spill less
	}.Encode()
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return sqlFault("sqlite.Open", tx.key.path, err)
	}
	db.SetMaxOpenConns(1)
	tx.db = db
	if tx.conn, err = db.Conn(ctx); err != nil {
		return tx.closeAfter(err)
	}
	begin := "BEGIN IMMEDIATE"
	if made {
		// The lock has to outlast a rollback, see remove.
		if err := tx.exec(ctx, "PRAGMA locking_mode=EXCLUSIVE"); err != nil {
			return tx.closeAfter(err)
		}
		begin = "BEGIN EXCLUSIVE"
	}
	if err := tx.exec(ctx, begin); err != nil {
		return tx.closeAfter(err)
	}
	return nil
}

func (tx *transaction) closeAfter(err error) error {
	tx.close()
	return sqlFault("sqlite.Open", tx.key.path, err)
}

func (tx *transaction) exec(ctx context.Context, statement string) error {
	_, err := tx.conn.ExecContext(ctx, statement)
	return err
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
	if err := tx.exec(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return sqlFault("sqlite.Commit", tx.key.path, err)
	}
	if tx.made {
		// The rows are safe whether or not this succeeds.
		_ = tx.exec(context.WithoutCancel(ctx), "PRAGMA locking_mode=NORMAL")
		_ = tx.exec(context.WithoutCancel(ctx), "PRAGMA journal_mode=WAL")
	}
	tx.close()
	tx.leave()
	return nil
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
		// An error means that SQLite has rolled back already. Closing the
		// connection would do it, too.
		_ = tx.exec(context.Background(), "ROLLBACK")
		tx.remove()
		tx.close()
	}
	tx.leave()
}

// remove removes a file that this transaction made. The lock is still held, so
// that nobody can have written to it, and who waits for the lock notices that
// the file is gone.
func (tx *transaction) remove() {
	if tx.made {
		_ = os.Remove(tx.key.path)
		_ = os.Remove(tx.key.path + "-journal")
	}
}

// leave makes room for a new transaction.
func (tx *transaction) leave() {
	tx.home.mu.Lock()
	defer tx.home.mu.Unlock()
	if tx.home.open[tx.key] == tx {
		delete(tx.home.open, tx.key)
	}
}

// prepare prepares a statement that lives as long as the transaction.
func (tx *transaction) prepare(ctx context.Context, statement string) (*sql.Stmt, error) {
	stmt, err := tx.conn.PrepareContext(ctx, statement)
	if err == nil {
		tx.stmts = append(tx.stmts, stmt)
	}
	return stmt, err
}

// close lets go of the file. A statement that is left would keep its lock.
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
