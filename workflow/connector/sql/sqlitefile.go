package sql

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/workflow"
)

// busyTimeoutMillis is how long a run waits for another writer of its file.
const busyTimeoutMillis = "5000"

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

// fileSession is the connection to a SQLite file.
type fileSession struct {
	at   location
	made bool // the file did not exist before
	db   *sql.DB
	conn *sql.Conn
}

// begin opens the file and takes its write lock. Between making the file and
// locking it another run may have removed it again; then the lock, or what
// went wrong with it, is about a file that is gone, and begin starts over.
func (s *fileSession) begin(ctx context.Context) (*sql.DB, *sql.Conn, error) {
	err := s.take(ctx)
	return s.db, s.conn, err
}

func (s *fileSession) take(ctx context.Context) error {
	for {
		before, made, err := makeFile(s.at.path)
		if err != nil {
			return workflow.FileError("sql.Open", s.at.path, err)
		}
		lockErr := s.lockMade(ctx, made)
		if now, err := os.Stat(s.at.path); err == nil && os.SameFile(before, now) {
			s.made = made && now.Size() == 0 // else another run was faster
			return lockErr
		}
		s.close()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// lockMade locks the file. One that the run has made is locked even if the run
// has been cancelled meanwhile, as without the lock it could not be removed.
func (s *fileSession) lockMade(ctx context.Context, made bool) error {
	if !made {
		return s.lock(ctx, false)
	}
	if err := s.lock(context.WithoutCancel(ctx), true); err != nil {
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
func (s *fileSession) lock(ctx context.Context, made bool) error {
	db, err := sql.Open("sqlite", sqliteName(s.at.path, url.Values{
		"_synchronous": {"FULL"},
		"_pragma":      {"cache_size(-16000)"}, // 16 MB; large transactions spill less
	}))
	if err != nil {
		return s.at.fault("sql.Open", err)
	}
	db.SetMaxOpenConns(1)
	s.db = db
	if s.conn, err = db.Conn(ctx); err != nil {
		return s.closeAfter(err)
	}
	if !made {
		if err := s.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return s.closeAfter(err)
		}
		return nil
	}
	if err := s.exec(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return s.closeAfter(err)
	}
	// The lock has to outlast a rollback, see rolledBack. Said before, the shared lock
	// with which it waits would outlast the wait, and hold up a writer that was
	// faster, which holds up this one.
	if err := s.exec(ctx, "PRAGMA locking_mode=EXCLUSIVE"); err != nil {
		return s.closeAfter(err)
	}
	return nil
}

func (s *fileSession) closeAfter(err error) error {
	s.close()
	return s.at.fault("sql.Open", err)
}

func (s *fileSession) exec(ctx context.Context, statement string) error {
	_, err := s.conn.ExecContext(ctx, statement)
	return err
}

// define runs the statement in the transaction.
func (s *fileSession) define(ctx context.Context, tx *transaction, _, statement string) error {
	return tx.exec(ctx, statement)
}

// committing removes old keys, in the transaction as another would cost as much.
func (s *fileSession) committing(ctx context.Context, tx *transaction) error {
	if tx.keyed == "" {
		return nil
	}
	return tx.exec(ctx, "DELETE FROM "+keysTable+" WHERE rowid IN (SELECT rowid FROM "+keysTable+" WHERE applied_at < ? LIMIT "+keysDropped+")",
		time.Now().Add(-keysKept).Unix())
}

// committed puts a new file into WAL mode.
func (s *fileSession) committed(ctx context.Context, tx *transaction) {
	if s.made {
		// The rows are safe whether or not this succeeds.
		_ = tx.exec(ctx, "PRAGMA locking_mode=NORMAL")
		_ = tx.exec(ctx, "PRAGMA journal_mode=WAL")
	}
}

// rolledBack removes a file that this transaction made. The lock is still held,
// so that nobody can have written to it, and who waits for the lock notices
// that the file is gone.
func (s *fileSession) rolledBack() {
	if s.made {
		_ = os.Remove(s.at.path)
		_ = os.Remove(s.at.path + "-journal")
	}
}

// confirm is not needed: the answer to a commit of a file is not lost.
func (s *fileSession) confirm(context.Context, string) bool { return false }

// close lets go of a file that could not be locked.
func (s *fileSession) close() {
	if s.conn != nil {
		_ = s.conn.Close() // it holds nothing
		s.conn = nil
	}
	if s.db != nil {
		_ = s.db.Close()
		s.db = nil
	}
}
