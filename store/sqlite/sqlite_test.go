package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/store/storetest"
)

func open(tb testing.TB, place string, l store.Limits) store.Store {
	return openWith(tb, place, sqlite.Options{Limits: l})
}

// openRestless opens a store that folds after almost every batch.
func openRestless(tb testing.TB, place string, l store.Limits) store.Store {
	return openWith(tb, place, sqlite.Options{Limits: l, JournalBytes: 1000})
}

func openWith(tb testing.TB, place string, o sqlite.Options) store.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), filepath.Join(place, "store.db"), o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Req F9, F10
func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

func TestStoreThatFoldsAllTheTime(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openRestless)
}

// Req F10: kill -9, SQLite.
func TestKill(t *testing.T) {
	storetest.Kill(t, storetest.KillOptions{Open: openSmallJournal, Rounds: 25})
}

// openSmallJournal opens a store that folds a few times in a life of TestKill.
func openSmallJournal(tb testing.TB, place string, l store.Limits) store.Store {
	return openWith(tb, place, sqlite.Options{Limits: l, JournalBytes: 50_000})
}
