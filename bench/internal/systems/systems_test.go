package systems

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// Every system must run every workload with right counts, or say that it does
// not apply.
func TestEverySystemCountsRight(t *testing.T) {
	t.Parallel()
	for _, sys := range All() {
		for _, name := range workload.Names() {
			t.Run(sys.Name()+"/"+string(name), func(t *testing.T) {
				t.Parallel()
				res, err := workload.Run(name, sys, workload.QuickLimits())
				plain := sys.Name() == "channel" || sys.Name() == "mpsc"
				switch {
				case plain && name == workload.CrashCycle: // nobody restarts a plain goroutine
					if !errors.Is(err, workload.ErrNotApplicable) {
						t.Errorf("error %v, want %v", err, workload.ErrNotApplicable)
					}
				case err != nil:
					t.Fatal(err)
				case res.Ops == 0:
					t.Error("no operations")
				}
			})
		}
	}
}

func TestByName(t *testing.T) {
	t.Parallel()
	for _, want := range All() {
		got, err := ByName(want.Name())
		if err != nil || got != want {
			t.Errorf("ByName(%q) = %v, %v", want.Name(), got, err)
		}
	}
	if _, err := ByName("chanel"); err == nil {
		t.Error("a system that does not exist was found")
	}
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	var q queue[int]
	q.init()
	if !q.empty() {
		t.Fatal("a new queue is not empty")
	}
	for i := range 10 {
		q.push(i)
	}
	for want := range 10 {
		if got, ok := q.pop(); !ok || got != want {
			t.Fatalf("pop = %d, %v, want %d", got, ok, want)
		}
	}
	if v, ok := q.pop(); ok || !q.empty() {
		t.Fatalf("popped %d from an empty queue", v)
	}
}

// collector takes numbers until its mailbox is closed.
type collector struct {
	mailbox[[2]int]
	got  [][2]int
	done chan struct{}
}

func (c *collector) work() {
	for v, ok := c.take(); ok; v, ok = c.take() {
		c.got = append(c.got, v)
		if len(c.got)%7 == 0 {
			runtime.Gosched() // let producers find it both awake and asleep
		}
	}
	close(c.done)
}

// The reference must not lose a wake-up, or it would hang rather than be slow.
func TestMailboxKeepsAllOfManyProducers(t *testing.T) {
	t.Parallel()
	const producers, each = 8, 5_000
	c := &collector{done: make(chan struct{})}
	c.init(c)
	var sending sync.WaitGroup
	for p := range producers {
		sending.Go(func() {
			for i := range each {
				c.tell([2]int{p, i})
				if i%13 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	sending.Wait()
	c.close()
	<-c.done
	if len(c.got) != producers*each {
		t.Fatalf("%d of %d arrived", len(c.got), producers*each)
	}
	for p := range producers {
		var own []int
		for _, v := range c.got {
			if v[0] == p {
				own = append(own, v[1])
			}
		}
		if len(own) != each || !slices.IsSorted(own) {
			t.Errorf("producer %d: %d arrived, in order: %v", p, len(own), slices.IsSorted(own))
		}
	}
}

func TestMailboxClosedBeforeItsFirstMessage(t *testing.T) {
	t.Parallel()
	c := &collector{done: make(chan struct{})}
	c.init(c)
	c.close()
	<-c.done
	if len(c.got) != 0 {
		t.Errorf("got %v", c.got)
	}
}
