package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/store"
)

// ErrNotEmpty is a schema to restore to that has something in it.
var ErrNotEmpty = hinted(fault.FailedPrecondition, "the schema is not empty",
	"restore to an empty database or to another schema; or, if what is there may be lost, drop this one first")

// Backup implements [store.Backuper]. The copy is logical: it is read through a
// connection of the store, in one snapshot, and can be restored by [Restore] to
// a server of any version and on any machine. So it needs no access to the
// server's files, no program of PostgreSQL of the right version, and no right
// beyond that to read the schema. It takes no lock that others wait for, but the
// server keeps what is deleted meanwhile until it has ended.
//
// For going back to any moment, or a very large store, there are PostgreSQL's
// own base backups with archived WAL.
func (s *Store) Backup(ctx context.Context, path string) error {
	const op = "postgres.Backup"
	if s.isClosing() {
		return store.Failure(store.ErrClosed, op, s.target, nil)
	}
	return writeNew(op, path, func(f *os.File) error {
		w := newArchiveWriter(f)
		err := s.copyTo(ctx, w)
		if w.err != nil {
			return explainPath(op, path, w.err)
		}
		return s.explain(ctx, op, err)
	})
}

func (s *Store) copyTo(ctx context.Context, w *archiveWriter) error {
	c, err := connectPatiently(ctx, s.hub.config)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it any more
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, c, snapshot, func(tx pgx.Tx) error {
		h := archiveHeader{Format: archiveFormat, Made: time.Now().UTC()}
		if h.Schema, err = versionOf(ctx, tx, s.options.Schema); err != nil {
			return err
		}
		if h.Tables, err = tablesOf(ctx, tx, s.options.Schema); err != nil {
			return err
		}
		if err := w.header(h); err != nil {
			return err
		}
		for _, t := range h.Tables {
			if _, err := c.PgConn().CopyTo(ctx, w, "COPY "+t.sql()+" TO STDOUT (FORMAT binary)"); err != nil {
				return err
			}
			if err := w.frame(frameTableEnd, nil); err != nil {
				return err
			}
		}
		// Read last: a sequence is in no snapshot, and must not be behind the rows.
		var last int64
		if err := tx.QueryRow(ctx, "SELECT last_value FROM message_id").Scan(&last); err != nil {
			return err
		}
		return w.frame(frameSequence, binary.BigEndian.AppendUint64(nil, uint64(last))) //nolint:gosec // read back as it is
	})
	if err != nil {
		return err
	}
	return w.end()
}

// tablesOf returns the tables that are copied, with their columns.
func tablesOf(ctx context.Context, tx pgx.Tx, schema string) ([]archiveTable, error) {
	rows, err := tx.Query(ctx, `SELECT t.name, array_agg(c.column_name::text ORDER BY c.ordinal_position)
		FROM unnest($1::text[]) WITH ORDINALITY AS t (name, place)
		JOIN information_schema.columns c ON c.table_name = t.name AND c.table_schema = $2
		GROUP BY t.name, t.place ORDER BY t.place`, archivable, schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t archiveTable, err error) {
		return t, row.Scan(&t.Name, &t.Columns)
	})
}

// sql returns the table with its columns.
func (t *archiveTable) sql() string {
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = pgx.Identifier{c}.Sanitize()
	}
	return pgx.Identifier{t.Name}.Sanitize() + " (" + strings.Join(columns, ", ") + ")"
}

// connectPatiently connects without a limit on how long a statement may take.
func connectPatiently(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	config = config.Copy()
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fromConnect(err)
	}
	return c, nil
}

// Restore makes a schema what a store was when a backup was made. Address and
// options are as for [Open]. The schema must be empty or not there, otherwise it
// is [ErrNotEmpty]. The backup is checked first, and all is done in one
// transaction: when it fails nothing has changed.
//
// Errors: [store.ErrNotAStore] for a file that is no backup, [store.ErrDamaged],
// [store.ErrNewerSchema], and those of [Open].
func Restore(ctx context.Context, backup, address string, o Options) error {
	const op = "postgres.Restore"
	o = o.withDefaults()
	config, err := configure(address, o)
	if err != nil {
		return err
	}
	if err := CheckBackup(ctx, backup); err != nil {
		return err
	}
	s := &Store{options: o, limits: o.Limits, target: targetOf(config.ConnConfig), closing: make(chan struct{})}
	c, err := connectPatiently(ctx, config.ConnConfig)
	if err != nil {
		return s.explain(ctx, op, err)
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it any more
	if err := s.examine(ctx, c); err != nil {
		return s.explain(ctx, op, err)
	}
	return eachFile(op, backup, func(r *archiveReader, h archiveHeader) error {
		return s.explain(ctx, op, pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			return restore(ctx, tx, r, h, o.Schema)
		}))
	})
}

// restore fills a schema and brings it to the present version.
func restore(ctx context.Context, tx pgx.Tx, r *archiveReader, h archiveHeader, schema string) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey("migration "+schema)); err != nil {
		return err
	}
	var tables int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1", schema).Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return store.Failure(ErrNotEmpty, "postgres.Restore", "schema "+schema, fmt.Errorf("it has %d tables", tables))
	}
	if err := advance(ctx, tx, schema, 0, h.Schema); err != nil {
		return err
	}
	for _, t := range h.Tables {
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, r, "COPY "+t.sql()+" FROM STDIN (FORMAT binary)"); err != nil {
			return err
		}
	}
	last, err := r.finish()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT setval('message_id', $1)", last); err != nil {
		return err
	}
	return advance(ctx, tx, schema, h.Schema, schemaVersion())
}

// CheckBackup reads a backup from its beginning to its end and verifies its
// checksums. The rows in it are as they were: what was damaged in the store, as
// [Store.Check] finds it, is so in the backup too.
func CheckBackup(ctx context.Context, path string) error {
	return eachFile("postgres.CheckBackup", path, func(r *archiveReader, h archiveHeader) error {
		for range h.Tables {
			if _, err := io.Copy(io.Discard, &untilDone{ctx, r}); err != nil {
				return err
			}
		}
		_, err := r.finish()
		return err
	})
}

// untilDone is a reader that fails when a context has ended.
type untilDone struct {
	ctx context.Context //nolint:containedctx // lives for one call
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// eachFile opens a backup for f. What is wrong with the file is told by the errors
// of package store.
func eachFile(op, path string, f func(*archiveReader, archiveHeader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return explainPath(op, path, err)
	}
	defer file.Close()
	r, err := newArchiveReader(file)
	if err != nil {
		return store.Failure(store.ErrNotAStore, op, path, err)
	}
	h, err := r.header()
	switch {
	case errors.Is(err, errNoArchive):
		return store.Failure(store.ErrNotAStore, op, path, err)
	case err == nil && (h.Format > archiveFormat || h.Schema > schemaVersion()):
		return store.Failure(store.ErrNewerSchema, op, path,
			fmt.Errorf("it has format %d and schema %d, this software knows up to %d and %d", h.Format, h.Schema, archiveFormat, schemaVersion()))
	case err == nil:
		err = f(r, h)
	}
	var disk *os.PathError
	switch {
	case r.err == nil:
		return err
	case errors.As(r.err, &disk):
		return explainPath(op, path, r.err)
	default:
		return store.Failure(store.ErrDamaged, op, path, r.err)
	}
}

// explainPath explains an error of the operating system about a file.
func explainPath(op, path string, err error) error {
	reason, cause, _ := files.Explain(err)
	switch reason {
	case files.NoSpace:
		return store.Failure(store.ErrDiskFull, op, path, cause)
	case files.ReadOnly, files.Denied:
		return store.Failure(store.ErrReadOnly, op, path, cause)
	case files.Other:
		return store.Failure(store.ErrDisk, op, path, cause)
	default:
		return store.Failure(store.ErrInvalid, op, path, cause)
	}
}

// writeNew lets write fill a file that gets its name when it is on the disk. A
// file of that name must not be there.
func writeNew(op, path string, write func(*os.File) error) (err error) {
	exists := store.Failure(store.ErrInvalid, op, path, errors.New("there is a file of that name; choose another or remove it"))
	if _, err := os.Lstat(path); err == nil {
		return exists
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-")
	if err != nil {
		return explainPath(op, path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := write(f); err != nil {
		_ = f.Close() // it goes
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return explainPath(op, path, err)
	}
	// A link fails where a rename would replace a file.
	if err := os.Link(f.Name(), path); errors.Is(err, os.ErrExist) {
		return exists
	} else if err != nil {
		return explainPath(op, path, err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return explainPath(op, path, err)
	}
	_ = d.Sync() // not everywhere possible
	return d.Close()
}
