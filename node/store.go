package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// StoreFile is the name of the embedded store in the data directory.
const StoreFile = "troupe.db"

// The engines of a store.
const (
	engineSQLite   = "sqlite"
	enginePostgres = "postgres"
)

// StorePath returns the file of the embedded store of a configuration, or "" if
// it names a database.
func StorePath(config Config) string {
	if !config.Store.URL.IsZero() {
		return ""
	}
	return filepath.Join(config.DataDir, StoreFile)
}

// StoreAddress returns the URL of the database of a configuration, which may hold
// a password, or "" for the embedded store. The error is [Problems].
func StoreAddress(config Config, env []string) (string, error) {
	address, err := config.Store.URL.Resolve(env)
	if err != nil {
		return "", Problems{{Key: "store.url", Message: err.Error()}}
	}
	return address, nil
}

// PostgresOptions are the settings of a configuration for a PostgreSQL store.
func PostgresOptions(config Config) postgres.Options {
	return postgres.Options{MaxConns: config.Store.MaxConns, Timeout: config.Store.Timeout}
}

// openStore opens the store of a configuration.
func openStore(ctx context.Context, config Config, env []string, log *slog.Logger) (s store.Store, engine string, err error) {
	address, err := StoreAddress(config, env)
	if err != nil {
		return nil, "", err
	}
	if address == "" {
		s, err := sqlite.Open(ctx, StorePath(config), sqlite.Options{Logger: log})
		if err != nil {
			return nil, "", err
		}
		return s, engineSQLite, nil
	}
	p, err := postgres.Open(ctx, address, PostgresOptions(config))
	switch {
	case errors.Is(err, store.ErrInvalid):
		return nil, "", Problems{{Key: "store.url", Message: err.Error()}}
	case err != nil:
		return nil, "", err
	}
	return p, enginePostgres, nil
}

// storeCheck is the probe of /ready for the store: it writes, as only that tells
// that a mailbox can be told.
func storeCheck(name string, s func() store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		open := s()
		if open == nil {
			return fault.New(fault.Unavailable, "node", "the store is not open")
		}
		_, err := open.Commit(ctx, &store.Batch{Sets: []store.Set{{Key: "node/" + name + "/ready", Value: []byte("ready"), Expected: store.AnyVersion}}})
		return err
	}
}

// OpenMail opens the store of a configuration for as long as no node has it: the
// way to its dead letters while no node runs. Close gives it back. The error is
// store.ErrInUse if another process has it open.
func OpenMail(ctx context.Context, config Config, env []string, log *slog.Logger) (m *Mail, closeMail func(context.Context) error, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, engine, err := openStore(ctx, config, env, log)
	if err != nil {
		return nil, nil, err
	}
	sys := actor.NewSystem(actor.Options{Name: "troupe", Logger: log})
	closeMail = func(ctx context.Context) error { return errors.Join(sys.Stop(ctx), s.Close()) }
	return newMail(engine, s, &wire.Registry{}, sys), closeMail, nil
}

// RunningNode tells where the node is that uses the data directory: its address,
// as Start has written it down, or false if no node runs there. A node that runs
// and has not written its address yet is an error.
func RunningNode(dir string) (url string, running bool, err error) {
	lock, err := files.TakeLock(filepath.Join(dir, lockFile))
	if err == nil {
		return "", false, lock.Release()
	}
	locked, ok := errors.AsType[*files.LockedError](err)
	if !ok {
		if errors.Is(err, errNotThere) {
			return "", false, nil
		}
		return "", false, fileError("the data directory cannot be used", dir, err)
	}
	address, err := readAddress(dir)
	if err != nil {
		return "", true, &describedError{fmt.Sprintf("%s: the node there (process %d) has not said where it listens; name it with --node", dir, locked.PID), err}
	}
	return address, true, nil
}
