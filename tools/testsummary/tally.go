package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// An event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// A testID names a test or subtest. An empty test means the package itself.
type testID struct{ pkg, test string }

// A skip is a test that did not run, with what it said about that.
type skip struct {
	testID
	reason string
}

// A tally counts the outcomes of one run.
type tally struct {
	out      io.Writer
	passed   int
	failed   []testID
	skipped  []skip
	packages int               // packages with tests that passed or failed
	broken   []string          // packages that failed beyond their tests: no build, a crash
	open     map[testID]string // output of tests that have not ended
	order    []testID          // keys of open, as they started
	failures map[string]int    // failed tests by package
	lost     error             // the first error of out
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, open: map[testID]string{}, failures: map[string]int{}}
}

// read consumes the events up to the end. A line that is no event is copied.
func (t *tally) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &e) == nil && e.Action != "" {
				t.add(e)
			} else {
				t.print(string(line))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add counts one event.
func (t *tally) add(e event) {
	id := testID{e.Package, e.Test}
	if e.Action == "build-output" {
		t.print(e.Output)
		return
	}
	if e.Test == "" {
		t.addPackage(e)
		return
	}
	switch e.Action {
	case "run":
		t.open[id] = ""
		t.order = append(t.order, id)
	case "output":
		t.open[id] += e.Output
	case "pass":
		t.passed++
		delete(t.open, id)
	case "fail":
		t.failed = append(t.failed, id)
		t.failures[e.Package]++
		t.print(readable(t.open[id]))
		delete(t.open, id)
	case "skip":
		t.skipped = append(t.skipped, skip{id, reason(t.open[id])})
		delete(t.open, id)
	}
}

// addPackage counts an event of a package as a whole.
func (t *tally) addPackage(e event) {
	switch e.Action {
	case "output":
		if e.Output != "PASS\n" {
			t.print(e.Output)
		}
	case "pass":
		t.packages++
	case "fail":
		t.packages++
		// A crash or a timeout ends tests that report no end of their own.
		for _, id := range t.order {
			if text, running := t.open[id]; running && id.pkg == e.Package {
				t.failed = append(t.failed, id)
				t.failures[e.Package]++
				t.print(readable(text))
				delete(t.open, id)
			}
		}
		if t.failures[e.Package] == 0 {
			t.broken = append(t.broken, e.Package)
		}
	}
}

// print writes to the output. The first error is kept for the verdict: a run
// whose output is lost is not green.
func (t *tally) print(s string) {
	if _, err := io.WriteString(t.out, s); err != nil && t.lost == nil {
		t.lost = err
	}
}

// summary is the count in words, with one line for each test that failed or did
// not run.
func (t *tally) summary(label string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d passed, %d failed, %d skipped in %d packages (subtests and examples counted)\n",
		label, t.passed, len(t.failed), len(t.skipped), t.packages)
	for _, pkg := range t.broken {
		fmt.Fprintf(&b, "  FAIL %s (the package, not one of its tests)\n", pkg)
	}
	for _, id := range t.failed {
		fmt.Fprintf(&b, "  FAIL %s %s\n", id.pkg, id.test)
	}
	for _, s := range t.skipped {
		fmt.Fprintf(&b, "  SKIP %s %s: %s\n", s.pkg, s.test, s.reason)
	}
	return b.String()
}

// verdict is nil if the run may be called green.
func (t *tally) verdict(allowSkips bool) error {
	switch {
	case t.lost != nil:
		return t.lost
	case len(t.broken) > 0 || len(t.failed) > 0:
		return fmt.Errorf("%d tests and %d packages failed", len(t.failed), len(t.broken))
	case t.passed == 0:
		return errors.New("no test ran")
	case len(t.skipped) > 0 && !allowSkips:
		return fmt.Errorf("%d tests were skipped", len(t.skipped))
	}
	return nil
}

// framing matches the lines with which the testing package accompanies a test.
var framing = regexp.MustCompile(`(?m)^=== (RUN|PAUSE|CONT|NAME)\b.*\n`)

// readable is the output of a test as "go test" shows it without -v.
func readable(output string) string { return framing.ReplaceAllString(output, "") }

// position matches the "file.go:12: " in front of what a test logs.
var position = regexp.MustCompile(`^\S+\.go:\d+: `)

// reason is what a skipped test logged last, or a remark that it said nothing.
func reason(output string) string {
	why := "no reason given"
	for line := range strings.Lines(readable(output)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			why = position.ReplaceAllString(line, "")
		}
	}
	return why
}
