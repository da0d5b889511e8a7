package csv

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// smallDisk is the directory of a file system that holds no more than a few
// pages.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// Req S5: a full disk gives one clear line, and leaves nothing behind.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=256k")
	path := filepath.Join(dir, "out.csv")
	s := newSink(path)
	must(t, s.Open(t.Context(), allKinds))
	batch := workflow.Batch{Schema: allKinds, Rows: workflow.NewRows(1000, allKinds.Len())}
	var err error
	for range 1000 {
		if err = s.Write(t.Context(), batch); err != nil {
			break
		}
	}
	want := "csv.Write " + path + ": no space left on device (RESOURCE_EXHAUSTED); free some space on its file system, or choose a path on another one"
	if fmt.Sprint(err) != want || fault.CodeOf(err) != fault.ResourceExhausted {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	must(t, s.Abort(t.Context()))
	if got := names(t, dir); got != "" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=256k")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	s := newSink(filepath.Join(dir, "out.csv"))
	err := s.Open(t.Context(), allKinds)
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), ": read-only file system (FAILED_PRECONDITION); choose a path on a file system that can be written") {
		t.Errorf("error = %v", err)
	}
}
