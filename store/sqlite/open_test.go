package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	_ "modernc.org/sqlite" // for a database of another program

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "store.db") // folders are made
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	_, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second Open: %v", err)
	}
	commit(t, s, store.Batch{Puts: []store.Put{{Queue: "q"}}}) // the first goes on
	must(t, s.Close())
	s, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	must(t, s.Close())
}

func TestOpenOfWhatIsNoStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	must(t, os.WriteFile(text, []byte(strings.Repeat("not a database. ", 1000)), 0o600))
	other := filepath.Join(dir, "other.db")
	execSQL(t, other, "CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('Ada')")
	newer := filepath.Join(dir, "newer.db")
	s, err := sqlite.Open(t.Context(), newer, sqlite.Options{})
	must(t, err)
	must(t, s.Close())
	execSQL(t, newer, "PRAGMA user_version = 1000")
	for _, c := range []struct {
		path   string
		target error
		text   string
	}{
		{text, store.ErrNotAStore, "not a database"},
		{other, store.ErrNotAStore, "another program"},
		{newer, store.ErrNewerSchema, "version 1000, this software knows up to"},
		{dir, store.ErrInvalid, "regular file"},
		{filepath.Join(text, "below", "a-file"), store.ErrInvalid, "not a directory"},
		{"", store.ErrInvalid, "path"},
		{"a\x00b", store.ErrInvalid, "path"},
	} {
		before, _ := os.ReadFile(c.path)
		_, err := sqlite.Open(t.Context(), c.path, sqlite.Options{})
		if !errors.Is(err, c.target) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("Open(%q): %v, want %v with %q", c.path, err, c.target, c.text)
		}
		if after, _ := os.ReadFile(c.path); string(after) != string(before) {
			t.Errorf("Open(%q) has changed the file", c.path)
		}
	}
}

func execSQL(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statements)
	must(t, err)
}

// Names that mean something in a URI or to SQLite are names of files.
func TestOpenStrangeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "a?b=c", "a%20b", "a#b", ":memory:", "file:x", "é", "a'b\"c"} {
		path := filepath.Join(t.TempDir(), name)
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		must(t, err)
		commit(t, s, store.Batch{Appends: []store.Append{{Stream: "s", Events: make([]store.Event, 1)}}})
		must(t, s.Close())
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v", name, err)
		}
		s, err = sqlite.Open(t.Context(), path, sqlite.Options{})
		must(t, err)
		if head, err := s.Head(t.Context(), "s"); err != nil || head != 1 {
			t.Errorf("%q: head %d, %v", name, head, err)
		}
		must(t, s.Close())
	}
}

// A store lives on virtual time, and leaves no goroutine behind: a bubble does not
// end before all of them have.
func TestBubble(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{})
		must(t, err)
		commit(t, s, store.Batch{Puts: []store.Put{
			{Queue: "q", Delay: 24 * time.Hour, Envelope: store.Envelope{Data: []byte("late")}},
			{Queue: "q", Delay: 1500 * time.Millisecond, Envelope: store.Envelope{Data: []byte("soon")}},
			{Queue: "r", Dedup: time.Minute, Envelope: store.Envelope{RequestID: "r"}},
		}})
		start := time.Now()
		for _, want := range []struct {
			data  string
			after time.Duration
		}{{"soon", 1500 * time.Millisecond}, {"soon", 31500 * time.Millisecond}} {
			got, err := store.Receive(t.Context(), s, store.ReceiveRequest{Queue: "q", Hold: 30 * time.Second})
			must(t, err)
			if after := time.Since(start); len(got) != 1 || string(got[0].Data) != want.data || after != want.after {
				t.Errorf("received %v after %v, want %s after %v", got, after, want.data, want.after)
			}
		}
		lease, err := s.Acquire(t.Context(), "l", "a", time.Minute)
		must(t, err)
		time.Sleep(time.Minute - time.Millisecond)
		if _, err := s.Acquire(t.Context(), "l", "b", time.Minute); !errors.Is(err, store.ErrLeaseHeld) {
			t.Errorf("a lease was taken too early: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		taken, err := s.Acquire(t.Context(), "l", "b", time.Minute)
		if err != nil || taken.Epoch != lease.Epoch+1 {
			t.Errorf("lease = %+v, %v", taken, err)
		}
		m, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "r"})
		must(t, err)
		commit(t, s, store.Batch{Acks: []store.Ack{{Receipt: m[0].Receipt}}})
		time.Sleep(59 * time.Second)
		if _, err := s.Answer(t.Context(), "r", "r"); err != nil {
			t.Errorf("a request was forgotten too early: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := s.Answer(t.Context(), "r", "r"); !errors.Is(err, store.ErrNoRequest) {
			t.Errorf("a request is still known: %v", err)
		}
		must(t, s.Close())
	})
}

// What is deleted leaves nothing behind: no blob without an owner.
func TestNoOrphans(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, options(60_000))
	must(t, err)
	fill(t, s)
	for i := range 20 {
		name := store.Stream(fmt.Sprintf("account/%d", i))
		commit(t, s, store.Batch{Trims: []store.Trim{{Stream: name, Through: store.Everything}}})
	}
	for _, q := range []store.Queue{"mail", "asked"} {
		got, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: q, Max: 1000})
		must(t, err)
		var b store.Batch
		for i, m := range got {
			if i%2 == 0 {
				b.Acks = append(b.Acks, store.Ack{Receipt: m.Receipt})
			} else {
				b.Buries = append(b.Buries, store.Bury{Receipt: m.Receipt})
			}
		}
		commit(t, s, b)
	}
	must(t, s.Close())
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	for _, table := range []string{"blobs", "chunks", "streams", "snapshots", "messages", "journal"} {
		var n int
		must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		if n > 0 {
			t.Errorf("table %s has %d rows left", table, n)
		}
	}
}

// A store that is closed while somebody reads leaves no log behind: the reader's
// connection is closed when the reader is done.
func TestCloseWhileReading(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	commit(t, s, store.Batch{Appends: []store.Append{{Stream: "s", Events: []store.Event{{Data: []byte("a")}, {Data: []byte("b")}}}}})
	for _, err := range s.Read(t.Context(), "s", 0) {
		must(t, err)
		must(t, s.Close())
		break
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log of a closed store: %v", err)
	}
}
