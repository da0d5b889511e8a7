package sqlite_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// filled makes a file with something in every table, a part of it in the journal,
// that nobody has open, and returns its path and what is in it.
func filled(t *testing.T) (path, content string) {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "live.db"), options(60_000))
	must(t, err)
	defer s.Close()
	fill(t, s)
	if stats := s.Stats(); stats.Folds == 0 || stats.Pending == 0 {
		t.Fatalf("everything, or nothing, is in the journal: %+v", stats)
	}
	content, err = dump(s)
	must(t, err)
	path = filepath.Join(dir, "store.db")
	must(t, s.Backup(t.Context(), path))
	return path, content
}

// A flipped bit anywhere in the file never gives wrong data: what is read is what
// was written, or there is an error. And Check finds what matters.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	path, content := filled(t)
	good, err := os.ReadFile(path)
	must(t, err)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	offsets := []int{0, 15, 16, 18, 19, 20, 24, 28, 32, 44, 56, 60, 63, 68, 71, 96, 100, 103, 105, 108}
	for range 130 {
		offsets = append(offsets, rnd.IntN(len(good)))
	}
	noticed := 0
	for _, at := range offsets {
		bad := append([]byte(nil), good...)
		bad[at] ^= 1 << rnd.IntN(8)
		if checkDamaged(t, bad, content) {
			noticed++
		}
		if t.Failed() {
			t.Fatalf("with a bit of byte %d of %d flipped (seed %d)", at, len(good), seed)
		}
	}
	t.Logf("%d of %d flips did damage, and were noticed", noticed, len(offsets))
	if noticed < len(offsets)/4 {
		t.Error("most flips went unnoticed: the file is mostly empty, or the test is")
	}
}

// checkDamaged opens a damaged file and reports whether that was noticed.
func checkDamaged(t *testing.T, bad []byte, content string) bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bad.db")
	must(t, os.WriteFile(path, bad, 0o600))
	findings, checkErr := sqlite.Check(t.Context(), path)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotAStore) && !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("Open: %v", err)
		}
		if len(findings) == 0 && checkErr == nil {
			t.Errorf("Open: %v, but Check finds nothing", err)
		}
		return true
	}
	defer s.Close()
	got, err := dump(s)
	switch {
	case err != nil && !errors.Is(err, store.ErrDamaged):
		t.Errorf("reading: %v", err)
	case got == content:
		return false
	case err == nil && s.Stats().Damaged == 0:
		t.Errorf("something else is read, without an error; Check finds %v, %v", findings, checkErr)
	case len(findings) == 0 && checkErr == nil:
		t.Errorf("reading: %v, but Check finds nothing", err)
	}
	return true
}

func TestCutFiles(t *testing.T) {
	t.Parallel()
	path, _ := filled(t)
	good, err := os.ReadFile(path)
	must(t, err)
	for _, n := range []int{1, 15, 16, 99, 511, 512, 4096, 8191, 8192, 8193, len(good) / 2, len(good) - 8192, len(good) - 1} {
		bad := filepath.Join(t.TempDir(), "cut.db")
		must(t, os.WriteFile(bad, good[:n], 0o600))
		findings, err := sqlite.Check(t.Context(), bad)
		if len(findings) == 0 && !errors.Is(err, store.ErrNotAStore) {
			t.Errorf("cut to %d bytes: Check finds nothing, %v", n, err)
		}
		_, err = sqlite.Open(t.Context(), bad, sqlite.Options{})
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotAStore) {
			t.Errorf("cut to %d bytes: Open: %v", n, err)
		} else if !strings.Contains(err.Error(), "cut.db") || !strings.Contains(err.Error(), "; ") {
			t.Errorf("the error does not say which file, or what to do: %v", err)
		}
		if left, err := os.ReadFile(bad); err != nil || len(left) != n {
			t.Errorf("cut to %d bytes: the file has %d now, %v", n, len(left), err)
		}
	}
}

// After a crash the log may end anywhere behind what was synced. Whatever is
// missing at its end, the rest is whole.
func TestCutLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{JournalBytes: 30_000})
	must(t, err)
	defer s.Close()
	for i := range 200 {
		commit(t, s, store.Batch{
			Appends:   []store.Append{{Stream: "s", Expected: store.Position(i), Events: []store.Event{{Data: bytesOf(500, i)}}}},
			Snapshots: []store.Snapshot{{Stream: "s", Position: store.Position(i + 1), Data: bytesOf(700, i)}},
			Puts:      []store.Put{{Queue: "q", Envelope: store.Envelope{Data: bytesOf(300, i)}}},
		})
	}
	file, err := os.ReadFile(filepath.Join(dir, "store.db"))
	must(t, err)
	log, err := os.ReadFile(filepath.Join(dir, "store.db-wal"))
	must(t, err)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	last := store.Position(0)
	for range 25 {
		crashed := t.TempDir()
		must(t, os.WriteFile(filepath.Join(crashed, "store.db"), file, 0o600))
		must(t, os.WriteFile(filepath.Join(crashed, "store.db-wal"), log[:rnd.IntN(len(log)+1)], 0o600))
		head := checkCrashed(t, filepath.Join(crashed, "store.db"))
		last = max(last, head)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if last == 0 {
		t.Error("nothing was there in any case")
	}
}

// checkCrashed checks that what was written in one batch is there or not there
// together, and returns how far it goes.
func checkCrashed(t *testing.T, path string) store.Position {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	defer s.Close()
	var head store.Position
	for e, err := range s.Read(t.Context(), "s", 0) {
		if errors.Is(err, store.ErrUnknownStream) {
			break
		}
		must(t, err)
		head = e.Position
		if string(e.Data) != string(bytesOf(500, int(head-1))) {
			t.Errorf("event %d is not what was written", head)
		}
	}
	n, err := s.Snapshot(t.Context(), "s")
	if n.Position != head {
		t.Errorf("the snapshot is at %d, %v, the stream at %d", n.Position, err, head)
	}
	all, err := s.Messages(t.Context(), store.MessageFilter{Queue: "q", Limit: 1000})
	must(t, err)
	if len(all) != int(head) {
		t.Errorf("%d messages, %d events", len(all), head)
	}
	if findings, err := s.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("Check: %v, %v", findings, err)
	}
	return head
}

func TestCheckOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := sqlite.Check(t.Context(), filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, store.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.db")
	must(t, os.WriteFile(empty, nil, 0o600))
	if _, err := sqlite.Check(t.Context(), empty); !errors.Is(err, store.ErrNotAStore) {
		t.Errorf("an empty file: %v", err)
	}
	path, _ := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sqlite.Check(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if findings, err := sqlite.Check(t.Context(), path); err != nil || len(findings) > 0 {
		t.Errorf("a sound file: %v, %v", findings, err)
	}
}
