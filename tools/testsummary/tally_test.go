package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stream builds events from lines "action package test output".
func stream(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		for len(f) < 4 {
			f = append(f, "")
		}
		fmt.Fprintf(&b, "{\"Action\":%q,\"Package\":%q,\"Test\":%q,\"Output\":%q}\n", f[0], f[1], f[2], f[3])
	}
	return b.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	green := []string{"run p TestA", "output p TestA === RUN   TestA\n", "output p TestA noise\n", "pass p TestA", "output p  PASS\n", "output p  ok p 0.1s\n", "pass p"}
	tests := []struct {
		name       string
		in         string
		allowSkips bool
		out        []string // parts of the output, in order
		not        string   // no part of the output
		err        string   // "" = green
	}{
		{name: "green", in: stream(green...), out: []string{"ok p 0.1s\n", "t: 1 passed, 0 failed, 0 skipped in 1 packages"}, not: "noise"},
		{name: "nothing ran", in: "", out: []string{"t: 0 passed"}, err: "no test ran"},
		{name: "only packages without tests", in: stream("output p  ? p [no test files]\n", "skip p"), out: []string{"? p [no test files]", "in 0 packages"}, err: "no test ran"},
		{
			name: "failure", err: "1 tests and 0 packages failed", not: "=== RUN",
			in:  stream("run p TestA", "output p TestA === RUN   TestA\n", "output p TestA     a_test.go:3: bad\n", "output p TestA --- FAIL: TestA\n", "fail p TestA", "output p  FAIL\n", "fail p"),
			out: []string{"a_test.go:3: bad", "--- FAIL: TestA", "FAIL\n", "t: 0 passed, 1 failed", "  FAIL p TestA\n"},
		},
		{
			name: "crash", err: "1 tests and 0 packages failed",
			in:  stream("run p TestA", "output p TestA panic: boom\n", "output p  FAIL p 0.1s\n", "fail p"),
			out: []string{"panic: boom", "  FAIL p TestA\n"},
		},
		{
			name: "no build", err: "0 tests and 1 packages failed",
			in:  stream("build-output   a.go:1: undefined: x\n", "output p  FAIL p [build failed]\n", "fail p"),
			out: []string{"undefined: x", "[build failed]", "  FAIL p (the package, not one of its tests)\n"},
		},
		{
			name: "skip", err: "1 tests were skipped",
			in:  stream(append(green, "run p TestB", "output p TestB     b_test.go:7: no browser here\n", "output p TestB --- SKIP: TestB (0.00s)\n", "skip p TestB")...),
			out: []string{"1 skipped", "  SKIP p TestB: no browser here\n"},
		},
		{
			name: "skip with leave", allowSkips: true,
			in:  stream(append(green, "run p TestB", "output p TestB --- SKIP: TestB (0.00s)\n", "skip p TestB")...),
			out: []string{"  SKIP p TestB: no reason given\n"},
		},
		{name: "lines that are no events", in: "go: downloading x\n{\"a\":1}\n" + stream(green...), out: []string{"go: downloading x\n", "{\"a\":1}\n"}},
		{name: "no newline at the end", in: strings.TrimSuffix(stream(green...), "\n"), out: []string{"1 passed, 0 failed, 0 skipped in 1 packages"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(strings.NewReader(tt.in), &out, "t", "", tt.allowSkips)
			if got := fmt.Sprint(err); err == nil && tt.err != "" || err != nil && got != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			rest := out.String()
			for _, part := range tt.out {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("output lacks %q (in order):\n%s", part, out.String())
				}
				rest = after
			}
			if tt.not != "" && strings.Contains(out.String(), tt.not) {
				t.Errorf("output contains %q:\n%s", tt.not, out.String())
			}
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestLostOutput(t *testing.T) {
	t.Parallel()
	err := run(strings.NewReader(stream("run p TestA", "pass p TestA", "pass p")), fullDisk{}, "t", "", false)
	if err == nil || err.Error() != "no space left" {
		t.Errorf("error %v, want that of the output", err)
	}
}

func TestSummaryFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "summary")
	for _, label := range []string{"first", "second"} {
		var out bytes.Buffer
		if err := run(strings.NewReader(stream("run p TestA", "pass p TestA", "pass p")), &out, label, file, false); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(got), "first: 1 passed") || !strings.Contains(string(got), "\nsecond: 1 passed") {
		t.Errorf("file = %q, %v", got, err)
	}
	if err := run(strings.NewReader(""), &bytes.Buffer{}, "t", t.TempDir(), true); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("error %v, want one about the directory", err)
	}
}
