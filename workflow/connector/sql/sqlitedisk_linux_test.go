package sql

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// smallDisk is the directory of a file system of 512 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// Req S5: a full disk gives one clear line, and the file is as it was.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	path := filepath.Join(dir, "x.db")
	s := open(t, newRunner("1").sink(path, "t", modeReplace))
	must(t, s.Write(t.Context(), rowsFrom(1, 10)))
	must(t, s.Commit(t.Context()))
	before := names(t, dir)

	for _, file := range []string{path, filepath.Join(dir, "new.db")} {
		s = open(t, newRunner("2").sink(file, "t", modeReplace))
		var err error
		for i := range 1000 {
			if err = s.Write(t.Context(), wideRowsFrom(1000*i, 1000)); err != nil {
				break
			}
		}
		if err == nil {
			err = s.Commit(t.Context())
		}
		if fault.CodeOf(err) != fault.ResourceExhausted || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), "no space is left for the file") || !strings.Contains(err.Error(), "; free some space on its file system") {
			t.Errorf("error = %v", err)
		}
		must(t, s.Abort(t.Context()))
	}
	if got := query(t, path, "SELECT count(*), max(id) FROM t"); got != "10|10" {
		t.Errorf("the table holds %s", got)
	}
	if got := names(t, dir); got != before {
		t.Errorf("the directory holds %q, before it were %q", got, before)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	path := filepath.Join(dir, "x.db")
	execute(t, path, tableOf("t"))
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	err := newRunner("1").sink(path, "t", modeReplace).Open(t.Context(), schema)
	if fault.CodeOf(err) != fault.PermissionDenied || !strings.Contains(err.Error(), "the file cannot be written") {
		t.Errorf("an existing file: %v", err)
	}
	err = newRunner("1").sink(filepath.Join(dir, "new.db"), "t", modeReplace).Open(t.Context(), schema)
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("a new file: %v", err)
	}
}
