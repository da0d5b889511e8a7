// Package crashtest kills processes in tests, to look at what is left of their
// work.
//
// A test starts another test of its binary as a process, which works and says
// what was acknowledged to it; at a random moment it is killed with SIGKILL, and
// the next one goes on where it was:
//
//	func TestKilled(t *testing.T) {
//		h := crashtest.New(t, 6)
//		dir := t.TempDir()
//		var acked []string
//		for range h.Rounds {
//			p := h.Start("TestKilledProcess", dir)
//			p.Await(1 + h.Random.IntN(60))
//			acked = append(acked, p.Kill()...)
//		}
//		// What was acknowledged must be there, once.
//	}
//
//	func TestKilledProcess(t *testing.T) {
//		child, ok := crashtest.Child(t)
//		if !ok {
//			return // not a child
//		}
//		for work(child.Args[0]) {
//			child.Say("it is done")
//		}
//	}
//
// The environment variable TROUPE_CRASH_ROUNDS says how often a process is killed
// and TROUPE_CRASH_SEED which random numbers are drawn, in all such tests. A seed
// fixes after what is killed, not the instant.
package crashtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Variables of the environment: for whoever runs the tests, and between a test
// and its processes.
const (
	roundsVariable = "TROUPE_CRASH_ROUNDS"
	seedVariable   = "TROUPE_CRASH_SEED"
	childVariable  = "TROUPE_CRASH_CHILD" // the test that a child is, and its arguments, as JSON
)

// said begins a line that a child has said. The other lines are those of the
// package testing, or of a panic.
const said = "said: "

// A Harness is the side that kills. One goroutine uses it.
type Harness struct {
	Rounds int        // how often to kill
	Random *rand.Rand // draws when; seeded, the seed is in the test's log

	tb testing.TB
}

// New makes a harness that kills so many times, unless the environment says
// otherwise.
func New(tb testing.TB, rounds int) *Harness {
	tb.Helper()
	seed := rand.Uint64()
	for name, set := range map[string]func(uint64){
		seedVariable:   func(n uint64) { seed = n },
		roundsVariable: func(n uint64) { rounds = int(n) }, //nolint:gosec // a number of rounds
	} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("%s is %q, want a number", name, text)
		}
		set(n)
	}
	tb.Logf("%s=%d, %d rounds", seedVariable, seed, rounds)
	return &Harness{Rounds: rounds, Random: rand.New(rand.NewPCG(seed, 0)), tb: tb}
}

// order is what a child is told.
type order struct {
	Test string   `json:"test"`
	Args []string `json:"args"`
}

// Start starts a top-level test of this binary as a process, with arguments. The
// process ends with the test at the latest, and with this process if that is
// killed.
func (h *Harness) Start(test string, args ...string) *Process {
	h.tb.Helper()
	text, err := json.Marshal(order{test, args})
	if err != nil {
		h.tb.Fatal(err)
	}
	p := &Process{tb: h.tb, ended: make(chan struct{})}
	p.more.L = &p.mu
	p.cmd = exec.CommandContext(h.tb.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(test)+"$", "-test.count=1")
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = &p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		h.tb.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		h.tb.Fatal(err)
	}
	go p.listen(out)
	h.tb.Cleanup(func() { p.end() })
	return p
}

// A Process is a child that works until it is killed. Signal, Await and Said may
// be called from any goroutine, the rest from that of the harness.
type Process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	in     io.Closer
	stderr strings.Builder
	ended  chan struct{} // closed when its output has ended

	mu    sync.Mutex
	more  sync.Cond
	said  []string
	seen  int      // how many of them Await has waited for
	other []string // what else it has printed
	over  bool     // its output has ended
	once  sync.Once
}

// listen notes what a process says, also what it said before it was killed.
func (p *Process) listen(out io.Reader) {
	defer close(p.ended)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n') // one that was cut short says nothing
		p.mu.Lock()
		if text, ok := strings.CutPrefix(line, said); ok && err == nil {
			p.said = append(p.said, strings.TrimSuffix(text, "\n"))
		} else if line != "" {
			p.other = append(p.other, line)
		}
		p.over = err != nil
		p.more.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Await waits until the process has said n more things than at the last call, or
// has ended.
func (p *Process) Await(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.seen += n; len(p.said) < p.seen && !p.over; {
		p.more.Wait()
	}
}

// Said returns what the process has said so far.
func (p *Process) Said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// Linger lets the process work for a random time of at most so much, or until it
// has ended.
func (h *Harness) Linger(p *Process, most time.Duration) {
	timer := time.NewTimer(time.Duration(h.Random.Int64N(int64(most) + 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
	}
}

// Signal sends the process a signal, such as SIGSTOP.
func (p *Process) Signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended, which Kill tells
}

// Kill kills the process, and returns all that it has said. One that has ended by
// itself fails the test.
func (p *Process) Kill() []string {
	p.tb.Helper()
	said, err := p.End()
	if err != nil {
		p.tb.Fatal(err)
	}
	return said
}

// End kills the process like Kill, and returns an error with what it has printed
// if it had ended by itself, or if the race detector has reported something.
func (p *Process) End() ([]string, error) {
	p.end()
	if errors := p.stderr.String(); strings.Contains(errors, "DATA RACE") {
		return p.said, fmt.Errorf("the process has a race:\n%s", errors)
	}
	if p.cmd.ProcessState.Exited() {
		return p.said, fmt.Errorf("the process has ended by itself: %v\n%s%s", p.cmd.ProcessState, strings.Join(p.other, ""), p.stderr.String())
	}
	return p.said, nil
}

// Wait waits until the process is gone, killed by someone else, and returns what
// End does.
func (p *Process) Wait() ([]string, error) {
	<-p.ended
	return p.End()
}

func (p *Process) end() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		_ = p.cmd.Wait() // ProcessState tells
		_ = p.in.Close()
	})
}

// A Work is the side of a process that is killed.
type Work struct {
	Args []string // as given to Start
}

// Child reports whether this process was started to be this test. If so, it ends
// when the process that has started it is gone.
func Child(tb testing.TB) (w *Work, ok bool) {
	tb.Helper()
	text := os.Getenv(childVariable)
	if text == "" {
		return nil, false
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil || o.Test != tb.Name() {
		tb.Fatalf("%s is %q: %v", childVariable, text, err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) //nolint:forbidigo // it is a process of its own, whose tests may hang
	}()
	return &Work{Args: o.Args}, true
}

// Say tells the harness something of one line: once it is told, a kill does not
// take it back. Any goroutine may call it.
func (w *Work) Say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, said+format+"\n", args...) // one write, so that lines stay whole
}
