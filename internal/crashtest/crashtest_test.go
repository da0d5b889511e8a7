package crashtest

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is killed when it has said enough, and what it has said is known.
func TestKill(t *testing.T) {
	t.Parallel()
	h := New(t, 3)
	for round := range 3 {
		p := h.Start("TestProcess", "count", "x y")
		p.Await(2)
		p.Await(1 + round)
		h.Linger(p, time.Millisecond)
		got := p.Kill()
		if len(got) < 3+round || !slices.Equal(got[:3], []string{"x y 0", "x y 1", "x y 2"}) {
			t.Errorf("it said %q", got)
		}
		if again := p.Kill(); !slices.Equal(again, got) {
			t.Errorf("killed twice, it said %q", again)
		}
	}
}

// One that ends by itself is told from one that was killed, with its reasons.
func TestEndedByItself(t *testing.T) {
	t.Parallel()
	h := New(t, 1)
	p := h.Start("TestProcess", "fail")
	p.Await(1000)
	h.Linger(p, time.Hour)
	if said, err := p.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "a reason to fail") || len(said) != 1 {
		t.Errorf("got %q, %v", said, err)
	}
	p = h.Start("TestProcess", "count", "")
	p.Await(1)
	p.Signal(syscall.SIGTERM)
	if _, err := p.Wait(); err != nil {
		t.Errorf("one that a signal has ended: %v", err)
	}
}

// A line that the kill has cut short was not said.
func TestCutShort(t *testing.T) {
	t.Parallel()
	p := New(t, 1).Start("TestProcess", "cut")
	if got, err := p.Wait(); len(got) != 1 || got[0] != "whole" || err == nil {
		t.Errorf("it said %q, %v", got, err)
	}
}

// A process does not outlive the one that has started it.
func TestOrphan(t *testing.T) {
	t.Parallel()
	p := New(t, 1).Start("TestProcess", "count", "")
	p.Await(1)
	_ = p.in.Close() // as the end of this process does
	if _, err := p.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v", err)
	}
}

// TestProcess is the process that is killed.
func TestProcess(t *testing.T) {
	child, ok := Child(t)
	if !ok {
		return // not a child
	}
	switch child.Args[0] {
	case "count":
		for i := 0; ; i++ {
			child.Say("%s %d", child.Args[1], i)
		}
	case "fail":
		child.Say("one thing")
		t.Fatal("a reason to fail")
	case "cut":
		child.Say("whole")
		_, _ = os.Stdout.WriteString(said + "par")
		os.Exit(0)
	}
}
