package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// Req W1: a workflow runs to its end, and rows that cannot be read are reported
// with their line and reason.
func TestRun(t *testing.T) {
	t.Parallel()
	dir, file := workflowDir(t, goodDefinition)
	r := troupe(t, "run", file, "--out", filepath.Join(dir, "out"))
	r.expect(t, exitOK)
	for _, want := range []string{"people.csv:4: age: ", "people completed in ", "4 rows in, 2 out, 1 set aside", filepath.Join(dir, "out", "adults.csv")} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, r.stdout)
		}
	}
	if r.stderr != "" {
		t.Errorf("stderr is not empty: %s", r.stderr)
	}
	got, err := os.ReadFile(filepath.Join(dir, "out", "adults.csv"))
	if err != nil || string(got) != "name,age\nAda,36\nGrace,85\n" {
		t.Errorf("adults.csv: %q, %v", got, err)
	}
}

// Where the definition asks for a file of the rows set aside, it is named.
func TestRunNamesTheFileOfRejects(t *testing.T) {
	t.Parallel()
	dir, file := workflowDir(t, "rejects: bad.csv\n"+goodDefinition)
	r := troupe(t, "run", file, "--out", dir)
	r.expect(t, exitOK)
	if want := "\nset aside, all of it in " + filepath.Join(dir, "bad.csv") + ":\n"; !strings.Contains(r.stdout, want) {
		t.Errorf("stdout lacks %q:\n%s", want, r.stdout)
	}
}

func TestRunJSON(t *testing.T) {
	t.Parallel()
	_, file := workflowDir(t, goodDefinition)
	r := troupe(t, "run", "-o", "json", "--input", "age=40", file)
	r.expect(t, exitOK)
	info := decode[workflow.RunInfo](t, r.stdout)
	if info.State != workflow.StateCompleted || info.RowsIn() != 4 || info.RowsOut() != 1 || info.RejectedTotal != 1 {
		t.Errorf("%+v", info)
	}
}

// Req W1, O1: a run that cannot do its work says why in one line, and leaves
// nothing behind.
func TestRunErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		args   []string
		change func(t *testing.T, dir string)
		code   exitCode
		want   string
	}{
		{"no such definition", []string{"none.yaml"}, nil, exitEnvironment, "none.yaml"},
		{"no such input", []string{"people.yaml", "--input", "agee=1"}, nil, exitInvalid, `did you mean "age"?`},
		{"definition is a directory", []string{"."}, nil, exitEnvironment, `"."`},
		{"output below a file", []string{"people.yaml", "--out", "people.csv"}, nil, exitEnvironment, "not a directory"},
		{"output file is a directory", []string{"people.yaml"}, func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "adults.csv", "x"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, exitEnvironment, "adults.csv"},
		{"two files", []string{"people.yaml", "people.yaml"}, nil, exitUsage, "takes 1 FILE, got 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, _ := workflowDir(t, goodDefinition)
			if tt.change != nil {
				tt.change(t, dir)
			}
			before := listDir(t, dir)
			cmd := command(t, append([]string{"run"}, tt.args...)...)
			cmd.Dir = dir
			r := finish(t, cmd)
			r.expect(t, tt.code, tt.want)
			if n := strings.Count(r.stderr, "\n"); n != 1 {
				t.Errorf("%d lines on stderr:\n%s", n, r.stderr)
			}
			if after := listDir(t, dir); after != before {
				t.Errorf("left behind: %s, before: %s", after, before)
			}
		})
	}
}

// listDir names the entries of a directory.
func listDir(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// blockedDefinition reads from a pipe that nobody writes to.
const blockedDefinition = `name: blocked
nodes:
  - id: pipe
    type: source.csv
    with:
      path: pipe.csv
      header: false
      columns: {name: string, age: int}
  - id: out
    type: sink.csv
    from: pipe
    with: {path: out.csv}
`

// fillPipe writes more than a pipe holds, so that the source must be reading when
// it returns, and leaves the pipe open, so that the source waits for more. A
// reader that goes away in between was the check of the definition.
func fillPipe(t *testing.T, path string) {
	rows := []byte(strings.Repeat("Ada,36\n", 40_000))
	for {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err = w.Write(rows); err == nil {
			t.Cleanup(func() { _ = w.Close() }) // nobody reads any more
			return
		}
		_ = w.Close() // it has failed already
		if !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
			return
		}
	}
}

// blockedRun starts a run whose source is blocked in its handler.
func blockedRun(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	dir, file := workflowDir(t, blockedDefinition)
	pipe := filepath.Join(dir, "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	cmd := command(t, append([]string{"run", file, "--out", dir}, args...)...)
	p := start(t, cmd)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		fillPipe(t, pipe)
	}()
	select {
	case <-fed:
	case <-p.done:
		t.Fatalf("it did not read from the pipe: %s", p.stderr)
	case <-time.After(testTimeout):
		t.Fatalf("it did not read from the pipe in time: %s", p.stderr)
	}
	return p, dir
}

// A run whose terminal is gone cleans up as after Ctrl-C, unless it was told,
// as by nohup, that it may outlive it.
func TestRunOutlivedByItsTerminal(t *testing.T) {
	t.Parallel()
	p, dir := blockedRun(t, "--shutdown-timeout", "3s") // for the sink, as the source does not end
	p.signal(syscall.SIGHUP)
	p.wait().expect(t, exitInterrupted, "stopping; once more stops at once")
	if got := listDir(t, dir); strings.Contains(" "+got, " out.csv") || strings.Contains(got, ".tmp") {
		t.Errorf("it left: %s", got)
	}
}

// Req A8, O1: an interrupted run ends within the shutdown timeout, whatever its
// source is waiting for, and leaves no output.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	p, dir := blockedRun(t, "--shutdown-timeout", "300ms")
	p.signal(syscall.SIGTERM)
	r := p.wait()
	r.expect(t, exitInterrupted, "stopping; once more stops at once")
	if got := listDir(t, dir); strings.Contains(" "+got, " out.csv") {
		t.Errorf("an interrupted run left a result: %s", got)
	}
}
