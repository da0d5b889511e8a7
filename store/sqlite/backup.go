package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Backup implements [store.Backuper]. It reads for as long as the copy takes, and
// SQLite's log grows meanwhile by what is written.
func (s *Store) Backup(ctx context.Context, path string) error {
	const op = "sqlite.Backup"
	if err := checkPath(path); err != nil {
		return err
	}
	return writeNew(op, path, func(temp string) error {
		return s.read(ctx, op, func(c *conn) error {
			return vacuumInto(ctx, c, temp)
		})
	})
}

// Restore makes the store in the file path what it was in a backup, which is
// checked first and stays as it is. A store that is there must not be open; it is
// kept beside, under the name that Restore returns, which is empty if there was
// none.
//
// A backup that is damaged is [store.ErrDamaged], and nothing changes.
func Restore(ctx context.Context, backup, path string) (kept string, err error) {
	const op = "sqlite.Restore"
	for _, p := range []string{backup, path} {
		if err := checkPath(p); err != nil {
			return "", err
		}
	}
	findings, err := Check(ctx, backup)
	if err != nil {
		return "", err
	}
	if len(findings) > 0 {
		return "", store.Failure(store.ErrDamaged, op, backup, fmt.Errorf("%d findings, the first: %s: %s", len(findings), findings[0].Place, findings[0].Problem))
	}
	s := &Store{path: path}
	if err := s.lockFile(); err != nil {
		return "", errors.Join(explain(op, path, err), s.release())
	}
	defer func() { err = errors.Join(err, s.release()) }()
	temp := path + ".restoring"
	if err := errors.Join(os.RemoveAll(temp), copyStore(ctx, backup, temp)); err != nil {
		return "", errors.Join(explain(op, temp, err), os.RemoveAll(temp))
	}
	if kept, err = setAside(path); err != nil {
		return kept, explainPath(op, path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return kept, explainPath(op, path, err)
	}
	return kept, explain(op, path, syncDir(filepath.Dir(path)))
}

// copyStore copies a store with what is in its log.
func copyStore(ctx context.Context, from, to string) error {
	c, err := openForCheck(from)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	if err := vacuumInto(ctx, c, to); err != nil {
		return err
	}
	return syncFile(to)
}

func vacuumInto(ctx context.Context, c *conn, path string) error {
	return c.query(ctx, "VACUUM INTO ?", []driver.Value{path}, func([]driver.Value) error { return nil })
}

// setAside renames a store's files, if there are any.
func setAside(path string) (string, error) {
	kept := path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000")
	any := false
	for _, suffix := range []string{"-wal", "-shm", ""} { // the log first: without its file it is nothing
		err := os.Rename(path+suffix, kept+suffix)
		switch {
		case err == nil:
			any = true
		case !errors.Is(err, os.ErrNotExist):
			return kept, err
		}
	}
	if !any {
		return "", nil
	}
	return kept, nil
}

// writeNew lets write make a file under another name, and gives it its name when
// it is on the disk. A file of that name must not be there.
func writeNew(op, path string, write func(temp string) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return store.Failure(store.ErrInvalid, op, path, errors.New("there is a file of that name; choose another or remove it"))
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".backup-")
	if err != nil {
		return explainPath(op, path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	temp := filepath.Join(dir, "store.db")
	if err := write(temp); err != nil {
		return err
	}
	if err := syncFile(temp); err != nil {
		return explainPath(op, path, err)
	}
	// A link fails where a rename would replace a file made meanwhile.
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return explainPath(op, path, err)
		}
		if err := os.Rename(temp, path); err != nil {
			return explainPath(op, path, err)
		}
	}
	return explain(op, path, syncDir(filepath.Dir(path)))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes a new name durable, where folders can be synced.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync() // not everywhere possible
	return d.Close()
}
