package node

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// CheckStore examines the store of a configuration that no node has open: what is
// damaged, or nothing. The errors are those of sqlite.Check and postgres.Check.
func CheckStore(ctx context.Context, config Config, env []string) ([]store.Finding, error) {
	address, err := StoreAddress(config, env)
	if err != nil {
		return nil, err
	}
	if address == "" {
		return sqlite.Check(ctx, StorePath(config))
	}
	return postgres.Check(ctx, address, PostgresOptions(config))
}

// BackupStore copies the store of a configuration that no node has open to a new
// file. A file store that is not there is an error: a copy of nothing is no backup.
func BackupStore(ctx context.Context, config Config, env []string, path string) error {
	if file := StorePath(config); file != "" {
		if _, err := os.Stat(file); err != nil {
			return fileError("there is no store to copy", file, err)
		}
	}
	s, _, err := openStore(ctx, config, env, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	b, ok := s.(store.Backuper)
	if !ok {
		return errors.Join(errNoBackup, s.Close())
	}
	return errors.Join(b.Backup(ctx, path), s.Close())
}

// RestoreStore makes the store of a configuration what it was in a backup. No node
// may run with it. A store file that is there is kept beside, under the name that
// is returned; a database must be empty. The errors are those of sqlite.Restore
// and postgres.Restore.
func RestoreStore(ctx context.Context, config Config, env []string, backup string) (kept string, err error) {
	address, err := StoreAddress(config, env)
	if err != nil {
		return "", err
	}
	if address != "" {
		return "", postgres.Restore(ctx, backup, address, PostgresOptions(config))
	}
	if err := prepareDir(config.DataDir); err != nil {
		return "", err
	}
	lock, err := lockDir(config.DataDir)
	if err != nil {
		return "", err
	}
	kept, err = sqlite.Restore(ctx, backup, StorePath(config))
	return kept, errors.Join(err, lock.Release())
}
