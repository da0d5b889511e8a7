package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// smallDisk is a folder on a file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// A full disk is an error, loses nothing, and when there is room the store goes on
// without being opened again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "6m")
	path, filler := filepath.Join(dir, "store.db"), filepath.Join(dir, "filler")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{JournalBytes: 100_000})
	must(t, err)
	must(t, os.WriteFile(filler, make([]byte, 2<<20), 0o600))
	n := 0 // batches that were acknowledged
	write := func() error {
		_, err := s.Commit(t.Context(), &store.Batch{
			Appends:   []store.Append{{Stream: "s", Expected: store.Position(n), Events: []store.Event{{Data: bytesOf(500, n)}}}},
			Snapshots: []store.Snapshot{{Stream: "s", Position: store.Position(n + 1), Data: bytesOf(700, n)}},
			Puts:      []store.Put{{Queue: "q", Envelope: store.Envelope{Data: bytesOf(300, n)}}},
		})
		if err == nil {
			n++
		}
		return err
	}
	for err == nil && n < 100_000 {
		err = write()
	}
	if !errors.Is(err, store.ErrDiskFull) || fault.CodeOf(err) != fault.ResourceExhausted {
		t.Fatalf("after %d batches: %v", n, err)
	}
	for range 5 {
		if err := write(); err != nil && !errors.Is(err, store.ErrDiskFull) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	full := n
	if head, err := s.Head(t.Context(), "s"); err != nil || int(head) != n {
		t.Errorf("head = %d, %v, but %d were acknowledged", head, err, n)
	}
	must(t, os.Remove(filler))
	for range 200 {
		must(t, write())
	}
	must(t, s.Close())
	if head := checkCrashed(t, path); int(head) != n || n != full+200 {
		t.Errorf("head = %d, but %d were acknowledged, %d of them before", head, n, full)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "6m")
	path := filepath.Join(dir, "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	commit(t, s, store.Batch{Appends: []store.Append{{Stream: "s", Events: make([]store.Event, 3)}}})
	must(t, s.Close())
	must(t, os.Remove(path+"-lock"))
	must(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for _, p := range []string{path, filepath.Join(dir, "new.db"), filepath.Join(dir, "below", "new.db")} {
		if _, err := sqlite.Open(t.Context(), p, sqlite.Options{}); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Open(%q): %v", p, err)
		}
	}
	// It can be examined, and copied to where there is a disk to write.
	if findings, err := sqlite.Check(t.Context(), path); err != nil || len(findings) > 0 {
		t.Errorf("Check: %v, %v", findings, err)
	}
	copied := filepath.Join(t.TempDir(), "store.db")
	if _, err := sqlite.Restore(t.Context(), path, copied); err != nil {
		t.Errorf("Restore: %v", err)
	}
	s, err = sqlite.Open(t.Context(), copied, sqlite.Options{})
	must(t, err)
	if head, err := s.Head(t.Context(), "s"); err != nil || head != 3 {
		t.Errorf("head = %d, %v", head, err)
	}
	must(t, s.Close())
}
