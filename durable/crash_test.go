package durable_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// Variables of the crash harness.
const (
	crashPlace  = "TROUPE_CRASH_PLACE"  // the address of the store; makes the process a child
	crashFrom   = "TROUPE_CRASH_FROM"   // of a child: the last acknowledged number of each sender
	crashMutant = "TROUPE_CRASH_MUTANT" // of a child: the mutant that it is
	crashRounds = "TROUPE_CRASH_ROUNDS" // how often something is killed
	crashSeed   = "TROUPE_CRASH_SEED"   // what is killed, and when
)

// Req F9, F10, decisions 8f and 9: however often the process is killed, what was
// acknowledged is handled, its effects are there once and in order, nothing is
// stuck, and the dead letters are those that were given up.
func TestCrashSQLite(t *testing.T) {
	t.Parallel()
	c := newCrash(t, t.TempDir(), 12)
	for range c.rounds {
		c.kill(c.start(), c.random.IntN(400))
	}
	if wrong := c.verify(); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}

// The same with PostgreSQL, where the server is killed, too, and processes are
// suspended for longer than their lease and go on beside their successor.
func TestCrashPostgreSQL(t *testing.T) {
	t.Parallel()
	server := postgrestest.New(t, postgrestest.Options{})
	c := newCrash(t, server.Database(t), 6)
	child := c.start()
	for range c.rounds {
		child.await(c.random.IntN(200))
		switch c.random.IntN(5) {
		case 0:
			server.Restart(t, syscall.SIGKILL)
		case 1:
			server.Restart(t, syscall.SIGQUIT)
		case 2:
			child = c.suspend(child)
		default:
			c.kill(child, 0)
			child = c.start()
		}
	}
	c.kill(child, 100)
	if wrong := c.verify(); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}

// The harness finds a package that does what it must not.
func TestCrashFindsMutants(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"messages end before their effects are there", "messages end after their effects are there", "cursors before the rest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, t.TempDir(), 0)
			c.mutant = name
			for range 40 {
				for range 4 {
					said := c.end(c.start(), c.random.IntN(100))
					if strings.Contains(said, "the answer to ") {
						t.Log(said) // the wrong one
						return
					}
					if said != "" {
						t.Fatal(said)
					}
				}
				if wrong := c.verify(); len(wrong) > 0 {
					t.Log(wrong[0])
					return
				}
				c.place, c.acked = t.TempDir(), make([]int, crashSenders)
			}
			t.Error("it has not found it")
		})
	}
}

// crash is a harness at work.
type crash struct {
	*testing.T
	place  string
	mutant string
	rounds int
	random *rand.Rand

	mu    sync.Mutex
	acked []int // by sender
}

func newCrash(t *testing.T, place string, rounds int) *crash {
	t.Helper()
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64); err == nil {
		seed = n
	}
	if n, err := strconv.Atoi(os.Getenv(crashRounds)); err == nil {
		rounds = n
	}
	t.Logf("%s=%d, %d rounds", crashSeed, seed, rounds)
	return &crash{T: t, place: place, rounds: rounds, random: rand.New(rand.NewPCG(seed, 0)), acked: make([]int, crashSenders)}
}

// child is a process under load.
type child struct {
	cmd   *exec.Cmd
	in    io.Closer
	says  chan struct{} // one for each tell that was acknowledged
	ended chan struct{}
	other []string
	err   strings.Builder
}

// start starts a child. It does not outlive the test: its input ends with it.
func (c *crash) start() *child {
	c.Helper()
	k := &child{says: make(chan struct{}, 1), ended: make(chan struct{})}
	k.cmd = exec.CommandContext(c.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.count=1")
	c.mu.Lock()
	from := strings.Trim(fmt.Sprint(c.acked), "[]")
	c.mu.Unlock()
	k.cmd.Env = append(os.Environ(), crashPlace+"="+c.place, crashFrom+"="+from, crashMutant+"="+c.mutant)
	k.cmd.Stderr = &k.err
	in, err := k.cmd.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	k.in = in
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	go c.listen(k, out)
	return k
}

// listen notes what a child says, also what it said before it was killed.
func (c *crash) listen(k *child, out io.Reader) {
	defer close(k.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var sender, number int
		if _, err := fmt.Sscanf(lines.Text(), "acked %d %d", &sender, &number); err != nil {
			k.other = append(k.other, lines.Text())
			continue
		}
		c.mu.Lock()
		c.acked[sender] = max(c.acked[sender], number)
		c.mu.Unlock()
		select {
		case k.says <- struct{}{}:
		case <-c.Context().Done():
		}
	}
}

// await waits for n acknowledged tells, and for one more.
func (k *child) await(n int) {
	for range n + 1 {
		select {
		case <-k.says:
		case <-k.ended:
			return
		}
	}
}

// kill kills a child after n acknowledged tells. One that ended by itself is a
// failure.
func (c *crash) kill(k *child, n int) {
	c.Helper()
	if said := c.end(k, n); said != "" {
		c.Fatalf("the child ended by itself:\n%s", said)
	}
}

// end kills a child after n acknowledged tells, or returns what it said when it
// ended by itself.
func (c *crash) end(k *child, n int) string {
	c.Helper()
	k.await(n)
	_ = k.cmd.Process.Kill() // it may have ended
	for open := true; open; {
		select {
		case <-k.says:
		case <-k.ended:
			open = false
		}
	}
	_ = k.cmd.Wait()
	_ = k.in.Close()
	if k.cmd.ProcessState.Exited() {
		return "it has ended: " + strings.Join(k.other, "\n") + "\n" + k.err.String()
	}
	return ""
}

// suspend stops a child until another has done some work, which takes the end of
// the lease, and returns that one. The first goes on for a while beside it.
func (c *crash) suspend(k *child) *child {
	c.Helper()
	_ = k.cmd.Process.Signal(syscall.SIGSTOP)
	next := c.start()
	next.await(50)
	_ = k.cmd.Process.Signal(syscall.SIGCONT)
	next.await(50)
	c.kill(k, 0)
	return next
}

// openCrashed opens the store of the harness: a folder is SQLite's.
func openCrashed(ctx context.Context, place string) (store.Store, error) {
	if filepath.IsAbs(place) {
		return sqlite.Open(ctx, filepath.Join(place, "crash.db"), sqlite.Options{})
	}
	for { // the server may be recovering
		s, err := postgres.Open(ctx, place, postgres.Options{})
		if err == nil || ctx.Err() != nil || !errors.Is(err, postgres.ErrUnavailable) {
			return s, err
		}
	}
}

// verify lets the pipeline finish what is left, redrives the dead letters and
// returns what is wrong.
func (c *crash) verify() (wrong []string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 10*time.Minute) // a net for what hangs
	defer cancel()
	s, err := openCrashed(ctx, c.place)
	if err != nil {
		c.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			c.Error(err)
		}
	}()
	if checker, ok := s.(store.Checker); ok {
		if found, err := checker.Check(ctx); err != nil || len(found) > 0 {
			wrong = append(wrong, fmt.Sprintf("damage %v, %v", found, err))
		}
	}
	sys := newSystem(c.T)
	p, err := startPipeline(sys, s)
	if err != nil {
		c.Fatal(err)
	}
	if err := drained(ctx, s); err != nil {
		return append(wrong, err.Error())
	}
	wrong = append(wrong, p.redrive(ctx)...)
	if err := drained(ctx, s); err != nil {
		return append(wrong, err.Error())
	}
	if err := sys.Stop(ctx); err != nil {
		c.Error(err)
	}
	total := 0
	outputs := outputsOf(ctx, c.T, s)
	for i, last := range c.acked {
		recorded, more := recordedOf(ctx, s, i)
		wrong = append(wrong, more...)
		if sent := outputs[strconv.Itoa(i)]; !slices.Equal(recorded, sent) {
			wrong = append(wrong, fmt.Sprintf("sender %d: %d recorded, %d sent on: %v, %v", i, len(recorded), len(sent), recorded, sent))
		}
		total += len(recorded)
		wrong = append(wrong, inOrder(i, recorded, last)...)
	}
	c.Logf("%d notes", total)
	return wrong
}

// inOrder checks the numbers that were recorded for a sender: each once, in order
// but for those that were redriven, which come at the end.
func inOrder(sender int, recorded []int, acked int) (wrong []string) {
	n := len(recorded)
	if n < acked || n > acked+1 { // the one that was on its way may be there
		wrong = append(wrong, fmt.Sprintf("sender %d: %d notes are recorded, %d were acknowledged", sender, n, acked))
	}
	var first []int
	for _, k := range recorded {
		if !givenUp(k) {
			first = append(first, k)
		}
	}
	if !slices.IsSorted(first) {
		wrong = append(wrong, fmt.Sprintf("sender %d: the order is %v", sender, recorded))
	}
	sorted := slices.Sorted(slices.Values(recorded))
	for i, k := range sorted {
		if k != i+1 {
			return append(wrong, fmt.Sprintf("sender %d: instead of note %d there is %d", sender, i+1, k))
		}
	}
	return wrong
}
