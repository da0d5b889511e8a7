package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// asNobody lets a command run as a user without rights. Root may read what it
// likes, so that only another user meets a file that cannot be read.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Req O1: a file that may not be read, and a directory that may not be written,
// are one clear line and exit code 4.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir, file := workflowDir(t, goodDefinition)
	if err := os.Chmod(filepath.Join(dir, "people.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	locked := write(t, dir, "locked.yaml", "name: x\n")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	sealed := filepath.Join(dir, "sealed")
	if err := os.Mkdir(sealed, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"definition", []string{"run", locked}, "permission denied"},
		{"validate", []string{"validate", locked}, "permission denied"},
		{"configuration", []string{"config", "explain", "--config", locked}, locked + ": the configuration cannot be read: permission denied"},
		{"output directory", []string{"run", file, "--out", sealed}, "permission denied"},
		{"data directory", []string{"dev", "--port", "0", "--data-dir", filepath.Join(sealed, "data")}, "the data directory cannot be used: permission denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, tt.args...)
			cmd.Dir = "/"
			asNobody(t, cmd)
			finish(t, cmd).expect(t, exitEnvironment, tt.want)
		})
	}
}
