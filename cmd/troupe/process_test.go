package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A process is the binary while it runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *lines
	stderr *lines
	done   chan struct{} // closed when it has ended
}

// lines collects an output line by line and lets a test wait for one.
type lines struct {
	mu    sync.Mutex
	text  strings.Builder
	more  chan struct{} // replaced with each line; closed by the next one
	ended bool
}

// start runs a prepared command in the background. The test kills it at its end
// if it is still there.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, done: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	p.stdout, p.stderr = collect(stdout, &readers), collect(stderr, &readers)
	go func() {
		defer close(p.done)
		readers.Wait()
		_ = cmd.Wait() // its exit code is what the tests look at
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most have ended
		<-p.done
	})
	return p
}

func collect(r io.Reader, readers *sync.WaitGroup) *lines {
	l := &lines{more: make(chan struct{})}
	readers.Go(func() {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			l.add(scanner.Text()+"\n", false)
		}
		l.add("", true)
	})
	return l
}

func (l *lines) add(line string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line)
	l.ended = l.ended || end
	close(l.more)
	l.more = make(chan struct{})
}

// String is everything so far.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor waits until a line holds the text and returns that line.
func (p *process) waitFor(l *lines, text string) string {
	p.t.Helper()
	deadline := time.After(testTimeout)
	for {
		l.mu.Lock()
		all, more, ended := l.text.String(), l.more, l.ended
		l.mu.Unlock()
		for line := range strings.Lines(all) {
			if strings.Contains(line, text) {
				return strings.TrimSuffix(line, "\n")
			}
		}
		if ended {
			p.t.Fatalf("it ended without printing %q\nstdout: %s\nstderr: %s", text, p.stdout, p.stderr)
		}
		select {
		case <-more:
		case <-deadline:
			p.t.Fatalf("it did not print %q in time\nstdout: %s\nstderr: %s", text, p.stdout, p.stderr)
		}
	}
}

// signal sends a signal.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// wait waits for the end.
func (p *process) wait() result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(testTimeout):
		p.t.Fatalf("it did not end in time\nstdout: %s\nstderr: %s", p.stdout, p.stderr)
	}
	return result{p.stdout.String(), p.stderr.String(), exitCode(p.cmd.ProcessState.ExitCode())}
}
