package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, content string) *Staged {
	t.Helper()
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestCommitReplacesAndAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	path := filepath.Join(dir, "out.csv")

	s := write(t, path, "one")
	if got := names(t, dir); !strings.HasPrefix(got, ".out.csv.") || strings.Contains(got, " ") {
		t.Errorf("before Commit the directory holds %q", got)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if got := content(t, path); got != "one" {
		t.Errorf("content = %q", got)
	}

	s = write(t, path, "two")
	if err := s.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(); err != nil {
		t.Errorf("second Abort: %v", err)
	}
	if got := content(t, path); got != "one" {
		t.Errorf("content after Abort = %q", got)
	}

	s = write(t, path, "three")
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "one" {
		t.Errorf("content after Prepare = %q", got)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path) + " " + names(t, dir); got != "three out.csv" {
		t.Errorf("content and directory = %q", got)
	}
}

func TestCreateKeepsModeAndLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	s := write(t, link, "new")
	if s.Path() != target {
		t.Errorf("Path = %s, want %s", s.Path(), target)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(target)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	if to, err := os.Readlink(link); to != "target" || content(t, link) != "new" {
		t.Errorf("link to %q, %v; content %q", to, err, content(t, link))
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want Reason
	}{
		{dir, Directory},
		{filepath.Join(file, "x.csv"), NotDirectory},
		{os.DevNull, NotRegular},
		{filepath.Join(dir, strings.Repeat("x", 300)), TooLong},
	}
	for _, tt := range tests {
		s, err := Create(tt.path)
		if err == nil {
			t.Errorf("Create(%q) succeeded", tt.path)
			s.Abort()
			continue
		}
		if reason, cause, hint := Explain(err); reason != tt.want || cause == nil || hint == "" {
			t.Errorf("Create(%q): %v: reason %d, want %d (%v; %s)", tt.path, err, reason, tt.want, cause, hint)
		}
	}
	if got := names(t, dir); got != "file" {
		t.Errorf("the directory holds %q", got)
	}
}

// A Commit after a Prepare that failed must not let a part of the file pass
// for the whole.
func TestCommitAfterFailedPrepare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	s := write(t, path, "half")
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Prepare: %v", err)
	}
	if err := s.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if got := names(t, filepath.Dir(path)); got != "" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err   error
		want  Reason
		cause error
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, NoSpace, syscall.ENOSPC},
		{&os.LinkError{Op: "rename", Old: "x", New: "y", Err: syscall.EROFS}, ReadOnly, syscall.EROFS},
		{fmt.Errorf("close: %w", &fs.PathError{Op: "close", Path: "x", Err: syscall.EDQUOT}), NoSpace, syscall.EDQUOT},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, Denied, syscall.EACCES},
		{syscall.EPERM, Denied, syscall.EPERM},
		{syscall.ENOENT, Missing, syscall.ENOENT},
		{syscall.EMFILE, TooManyOpen, syscall.EMFILE},
		{&fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}, Other, syscall.EIO},
	}
	for _, tt := range tests {
		got, cause, hint := Explain(tt.err)
		if got != tt.want || cause != tt.cause || (hint == "") != (tt.want == Other) {
			t.Errorf("Explain(%v) = %d, %v, %q; want %d, %v", tt.err, got, cause, hint, tt.want, tt.cause)
		}
	}
}
