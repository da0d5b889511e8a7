package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// storeTools are the store as a whole, as the console works on it.
type storeTools struct {
	store store.Store
	dir   string // for copies on their way to somebody
}

var errNoBackup = fault.New(fault.Unimplemented, "node.Backup", "this store cannot copy itself; use the tools of its database")

// backupPattern names the folders in the data directory in which copies are made.
const backupPattern = ".backup-*"

// Backup implements console.Store. The copy is in the data directory, where there
// should be room for it, and has no name any more when Backup returns: it is gone
// with the file that is returned, however the process ends.
func (t *storeTools) Backup(ctx context.Context) (file *os.File, err error) {
	b, ok := t.store.(store.Backuper)
	if !ok {
		return nil, errNoBackup
	}
	dir, err := os.MkdirTemp(t.dir, backupPattern)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "store")
	if err := b.Backup(ctx, path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Check implements console.Store.
func (t *storeTools) Check(ctx context.Context) ([]store.Finding, error) {
	c, ok := t.store.(store.Checker)
	if !ok {
		return nil, fault.New(fault.Unimplemented, "node.Check", "this store cannot check itself; use the tools of its database")
	}
	return c.Check(ctx)
}

// removeLeftovers removes the copies that a killed node was making. The caller
// has the lock of the data directory.
func removeLeftovers(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, backupPattern))
	for _, path := range found {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
