package durable_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// Req F9, F10, decisions 8f and 9: however often the process is killed, what was
// acknowledged is handled, its effects are there once and in order, nothing is
// stuck, and the dead letters are those that were given up.
func TestCrashSQLite(t *testing.T) {
	t.Parallel()
	c := newCrash(t, t.TempDir(), 12)
	for range c.Rounds {
		c.kill(c.start(), c.Random.IntN(400))
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
	for range c.Rounds {
		child.Await(1 + c.Random.IntN(200))
		switch c.Random.IntN(5) {
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
					err := c.end(c.start(), c.Random.IntN(100))
					if err != nil && strings.Contains(err.Error(), "the answer to ") {
						t.Log(err) // the wrong one
						return
					}
					if err != nil {
						t.Fatal(err)
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
	*crashtest.Harness
	place  string
	mutant string
	acked  []int // by sender
}

func newCrash(t *testing.T, place string, rounds int) *crash {
	t.Helper()
	return &crash{T: t, Harness: crashtest.New(t, rounds), place: place, acked: make([]int, crashSenders)}
}

// start starts a child under load, which goes on where the last one was: those
// that are still at work are told nothing.
func (c *crash) start() *crashtest.Process {
	c.Helper()
	return c.Start("TestCrashChild", c.place, strings.Trim(fmt.Sprint(c.acked), "[]"), c.mutant)
}

// kill kills a child after n acknowledged tells. One that ended by itself is a
// failure.
func (c *crash) kill(p *crashtest.Process, n int) {
	c.Helper()
	if err := c.end(p, n); err != nil {
		c.Fatal(err)
	}
}

// end kills a child after n acknowledged tells, or returns what it said when it
// ended by itself.
func (c *crash) end(p *crashtest.Process, n int) error {
	c.Helper()
	p.Await(n + 1)
	said, err := p.End()
	for _, line := range said {
		c.note(line)
	}
	return err
}

// note notes what was acknowledged.
func (c *crash) note(line string) {
	c.Helper()
	var sender, number int
	if _, err := fmt.Sscanf(line, "%d %d", &sender, &number); err != nil {
		c.Fatalf("the child says %q: %v", line, err)
	}
	c.acked[sender] = max(c.acked[sender], number)
}

// suspend stops a child until another has done some work, which takes the end of
// the lease, and returns that one. The first goes on for a while beside it.
func (c *crash) suspend(p *crashtest.Process) *crashtest.Process {
	c.Helper()
	p.Signal(syscall.SIGSTOP)
	for _, line := range p.Said() {
		c.note(line)
	}
	next := c.start()
	next.Await(51)
	p.Signal(syscall.SIGCONT)
	next.Await(51)
	c.kill(p, 0)
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
