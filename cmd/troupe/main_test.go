package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "troupe-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "troupe")
	build := exec.Command("go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// testTimeout bounds everything that a test waits for.
const testTimeout = 3 * time.Minute

// A result is what a finished command left behind.
type result struct {
	stdout, stderr string
	code           exitCode
}

// cleanEnv is the environment without TROUPE_ variables, and extra ones.
func cleanEnv(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TROUPE_") {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

// command prepares the binary in a directory of its own. It may run as long as the
// test does.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = cleanEnv()
	return cmd
}

// finish runs a prepared command to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(testTimeout, func() { _ = cmd.Process.Kill() }) // its exit code tells
	err := cmd.Wait()
	late.Stop()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), exitCode(cmd.ProcessState.ExitCode())}
}

// troupe runs the binary to its end.
func troupe(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, command(t, args...))
}

// write puts a file into a directory and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// decode reads exactly one JSON document.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	if dec.More() {
		t.Fatalf("more than one JSON document:\n%s", text)
	}
	return v
}

// expect fails unless the command ended with the code and, if it failed, said
// so in lines that begin with the program's name and hold no stack.
func (r result) expect(t *testing.T, code exitCode, stderr ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, want := range stderr {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, ".go:") {
		t.Errorf("stderr shows a stack:\n%s", r.stderr)
	}
	if len(stderr) > 0 {
		for line := range strings.SplitSeq(strings.TrimSpace(r.stderr), "\n") {
			if !strings.HasPrefix(line, "troupe: ") {
				t.Errorf("an error line does not begin with the program's name: %q", line)
			}
		}
	}
}
