package files

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// lockHelper names the file that the test binary is to lock, as a process of
// its own.
const lockHelper = "TROUPE_TEST_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(lockHelper); path != "" {
		os.Exit(holdLock(path))
	}
	os.Exit(m.Run())
}

// holdLock locks the file and waits to be killed.
func holdLock(path string) (code int) {
	held, err := TakeLock(path)
	if err != nil {
		return 1
	}
	defer held.Release() // keeps it from the garbage collector
	os.Stdout.WriteString("locked\n")
	select {}
}

func TestLock(t *testing.T) {
	t.Parallel()
	skipWithoutFlock(t)
	path := filepath.Join(t.TempDir(), ".lock")
	held, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = TakeLock(path)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Path != path {
		t.Errorf("the second lock: %v", err)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
	if _, err := TakeLock(filepath.Join(path, "below")); err == nil || errors.As(err, &locked) {
		t.Errorf("a path that cannot be: %v", err)
	}
}

// A process that is killed leaves no lock behind.
func TestLockOfAKilledProcess(t *testing.T) {
	t.Parallel()
	skipWithoutFlock(t)
	path := filepath.Join(t.TempDir(), ".lock")
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), lockHelper+"="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	_, err = TakeLock(path)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != holder.Process.Pid {
		t.Errorf("while it lives: %v, want it to name %d", err, holder.Process.Pid)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // "signal: killed"
	held, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}

func skipWithoutFlock(t *testing.T) {
	t.Helper()
	switch runtime.GOOS {
	case "windows", "plan9", "js", "wasip1", "aix", "solaris":
		t.Skip("this system has no flock")
	}
}
