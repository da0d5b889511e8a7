package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFor(t *testing.T, path, key, content string) *Staged {
	t.Helper()
	s, err := CreateFor(path, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return s
}

// Req W4: what a process that died left aside is removed when its work is done
// again, and a file that is done stays as it is.
func TestSameKeyAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out.csv")
	left := writeFor(t, path, "run/node/0", "half") // and the process is killed
	if err := left.buf.Flush(); err != nil {
		t.Fatal(err)
	}
	s := writeFor(t, path, "run/node/0", "whole")
	if got := names(t, dir); strings.Count(got, ".tmp") != 1 {
		t.Errorf("the directory holds %q", got)
	}
	if err := left.Commit(); !errors.Is(err, ErrTakenOver) {
		t.Errorf("the first one commits: %v", err)
	}
	if err := left.Abort(); err != nil {
		t.Error(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path) + " " + names(t, dir); got != "whole out.csv" {
		t.Errorf("got %q", got)
	}
	if keyOf(path) == "" {
		t.Logf("%s keeps no attributes", dir)
		return
	}
	s = writeFor(t, path, "run/node/0", "again")
	if !s.Applied() {
		t.Error("the file is not known")
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if got := content(t, path) + " " + names(t, dir); got != "whole out.csv" {
		t.Errorf("after the second time: %q", got)
	}
	s = writeFor(t, path, "other/node/0", "newer")
	if err := s.Commit(); err != nil || s.Applied() {
		t.Fatalf("other work: %v, applied %v", err, s.Applied())
	}
	if got := content(t, path); got != "newer" {
		t.Errorf("other work left %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 5 {
		t.Error(info, err)
	}
}
