package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// Req O4
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "store.db"), filepath.Join(dir, "backup.db")
	s, err := sqlite.Open(t.Context(), path, options(60_000))
	must(t, err)
	fill(t, s)
	want, err := dump(s)
	must(t, err)
	must(t, s.Backup(t.Context(), backup))
	if err := s.Backup(t.Context(), backup); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a backup over a backup: %v", err)
	}
	// What comes later is not in it.
	commit(t, s, store.Batch{Trims: []store.Trim{{Stream: "account/7", Through: store.Everything}}})
	if _, err := sqlite.Restore(t.Context(), backup, path); !errors.Is(err, store.ErrInUse) {
		t.Errorf("restore of a store that is open: %v", err)
	}
	must(t, s.Close())

	kept, err := sqlite.Restore(t.Context(), backup, path)
	must(t, err)
	if !strings.HasPrefix(kept, path) {
		t.Errorf("the old store was kept as %q", kept)
	}
	for _, c := range []struct {
		path string
		same bool
	}{{path, true}, {kept, false}, {backup, true}} {
		s, err := sqlite.Open(t.Context(), c.path, sqlite.Options{})
		must(t, err)
		got, err := dump(s)
		if err != nil && c.same {
			t.Errorf("%s: %v", c.path, err)
		}
		if (got == want) != c.same {
			t.Errorf("%s has what the backup has: %v, want %v", c.path, got == want, c.same)
		}
		must(t, s.Close())
	}
	// To a place where there is nothing.
	fresh := filepath.Join(dir, "fresh.db")
	if kept, err := sqlite.Restore(t.Context(), backup, fresh); err != nil || kept != "" {
		t.Errorf("restore to a new place: %q, %v", kept, err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.restoring"))
	if must(t, err); len(names) > 0 {
		t.Errorf("files are left: %q", names)
	}
}

func TestRestoreOfWhatIsNoBackup(t *testing.T) {
	t.Parallel()
	path, want := filled(t)
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged.db")
	good, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(damaged, good[:len(good)/2], 0o600))
	empty := filepath.Join(dir, "empty.db")
	must(t, os.WriteFile(empty, nil, 0o600))
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, []byte("to whom it may concern"), 0o600))
	for backup, target := range map[string]error{
		damaged: store.ErrDamaged, empty: store.ErrNotAStore, text: store.ErrNotAStore, filepath.Join(dir, "none"): store.ErrInvalid, "": store.ErrInvalid,
	} {
		if _, err := sqlite.Restore(t.Context(), backup, path); !errors.Is(err, target) {
			t.Errorf("restore of %q: %v, want %v", backup, err, target)
		}
	}
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	defer s.Close()
	if got, err := dump(s); err != nil || got != want {
		t.Errorf("the store has changed: %v", err)
	}
}

// Req O4: a backup while the store is written is the store as of one moment.
func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{JournalBytes: 50_000})
	must(t, err)
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := make(chan struct{}, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			b := store.Batch{
				Appends:   []store.Append{{Stream: "s", Expected: store.Position(i), Events: []store.Event{{Data: bytesOf(500, i)}}}},
				Snapshots: []store.Snapshot{{Stream: "s", Position: store.Position(i + 1)}},
				Puts:      []store.Put{{Queue: "q"}},
			}
			if _, err := s.Commit(context.Background(), &b); err != nil {
				ended <- err
				return
			}
			select {
			case began <- struct{}{}:
			default:
			}
		}
		ended <- nil
	}()
	last := store.Position(0)
	for _, name := range []string{"1.db", "2.db", "3.db"} {
		<-began
		<-began
		must(t, s.Backup(t.Context(), filepath.Join(dir, name)))
		head := checkCrashed(t, filepath.Join(dir, name))
		if head <= last {
			t.Errorf("%s goes to %d, the one before to %d", name, head, last)
		}
		last = head
	}
	stop()
	must(t, <-ended)
}

func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), options(0))
	must(t, err)
	defer s.Close()
	fill(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, filepath.Join(dir, "backup.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "no", "such", "folder")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no folder: %v", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*backup*"))
	if must(t, err); len(names) > 0 {
		t.Errorf("files are left: %q", names)
	}
}
