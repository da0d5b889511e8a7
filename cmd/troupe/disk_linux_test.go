package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk is the directory of a file system of the given size.
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

// manyPeople are enough rows to fill a small disk.
func manyPeople() string {
	var b strings.Builder
	b.WriteString("name,age\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "person number %d with a long name,40\n", i)
	}
	return b.String()
}

// Req O1: a full disk is one clear line and exit code 4, and nothing of the run
// is left.
func TestRunFullDisk(t *testing.T) {
	t.Parallel()
	sqlite := strings.NewReplacer("sink.csv", "sink.sql", "path: adults.csv", "{database: 'sqlite:adults.db', table: adults, create: true}").Replace(goodDefinition)
	for name, definition := range map[string]string{"csv": goodDefinition, "sqlite": sqlite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t, "256k")
			dir, file := workflowDir(t, definition)
			write(t, dir, "people.csv", manyPeople())
			r := troupe(t, "run", file, "--out", disk)
			r.expect(t, exitEnvironment, "no space", "free some space")
			if n := strings.Count(r.stderr, "\n"); n != 1 {
				t.Errorf("%d lines:\n%s", n, r.stderr)
			}
			if left := listDir(t, disk); left != "" {
				t.Errorf("left on the disk: %s", left)
			}
		})
	}
}

// Req O1: a node does not start where it cannot write.
func TestDevFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "16k")
	filler := make([]byte, 64<<10)
	if err := os.WriteFile(filepath.Join(disk, "filler"), filler, 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	troupe(t, "dev", "--port", "0", "--data-dir", disk).expect(t, exitEnvironment, disk+": the data directory cannot be used: no space left on device")
}

// Req O1: a read-only file system is one clear line.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "1m")
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot make a file system read-only: %v", err)
	}
	troupe(t, "dev", "--port", "0", "--data-dir", disk).expect(t, exitEnvironment, disk+": the data directory cannot be used: read-only file system")
	_, file := workflowDir(t, goodDefinition)
	troupe(t, "run", file, "--out", disk).expect(t, exitEnvironment, "read-only file system")
}
