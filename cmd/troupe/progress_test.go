package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// The line is drawn over itself, other output stays above it, and nothing of it
// is left at the end.
func TestProgressLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newProgressLine(&out)
	l.live = true
	l.draw("one")
	l.draw("two")
	if _, err := l.Write([]byte("record\n")); err != nil {
		t.Fatal(err)
	}
	l.draw("three")
	l.clear()
	want := clearLine + "one" + clearLine + "two" + clearLine + "record\ntwo" + clearLine + "three" + clearLine
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// Nothing is drawn on what is no terminal.
func TestProgressLineOffTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newProgressLine(&out)
	l.draw("one")
	if _, err := l.Write([]byte("record\n")); err != nil {
		t.Fatal(err)
	}
	l.clear()
	if out.String() != "record\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestProgressText(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	info := workflow.RunInfo{
		Workflow: "weather", State: workflow.StateRunning, Started: start, RejectedTotal: 5,
		Nodes: []workflow.NodeInfo{{Role: workflow.RoleSource, RowsIn: 1472}, {Role: workflow.RoleSink, RowsOut: 1234567}},
	}
	want := "weather  running  1,472 rows in  1,234,567 out  5 set aside  1.5 s"
	if got := progressText(info, start.Add(1500*time.Millisecond)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for n, want := range map[int64]string{0: "0", 12: "12", 123: "123", 1234: "1,234", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
