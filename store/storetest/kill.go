package storetest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// KillOptions say how [Kill] is done.
type KillOptions struct {
	Open   Opener
	Rounds int           // how often a process is killed; default 10. STORETEST_ROUNDS goes before it
	Acks   int           // the most batches that a process acknowledges before; default 400
	Hold   time.Duration // of messages by the child; default 1 h. A server's engine waits that long after each kill
}

// killPlace is the variable that makes a process a child of Kill.
const killPlace = "STORETEST_KILL_PLACE"

const (
	killProducers = 6
	killConsumers = 3
)

// Kill starts the test binary again and again as a child that works on a store,
// and kills it with SIGKILL after a random number of acknowledged batches. After
// the last round it opens the store and checks that
//
//   - every batch that was acknowledged is there,
//   - every message was handled, its effect happened once, and effects of one
//     sender are in order,
//   - nothing is held for ever.
//
// The calling test must be a top-level one, and do nothing else.
func Kill(t *testing.T, o KillOptions) {
	t.Helper()
	o.Rounds = rounds(t, o.Rounds)
	if o.Hold == 0 {
		o.Hold = time.Hour
	}
	if place := os.Getenv(killPlace); place != "" {
		killChild(t, o, place)
		return
	}
	rnd := seeded(t)
	place := t.TempDir()
	acked := make([]store.Position, killProducers)
	for round := range o.Rounds {
		if err := killOnce(t, place, rnd.IntN(cmp.Or(o.Acks, 400)), acked); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	verifyKilled(t, o, place, acked)
}

// rounds returns how often something is done: as the variable STORETEST_ROUNDS
// says, or else as the test does.
func rounds(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("STORETEST_ROUNDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("STORETEST_ROUNDS is %q, want a number", text)
		}
	}
	return cmp.Or(n, 10)
}

// killOnce runs a child until it has acknowledged n batches, and kills it.
func killOnce(t *testing.T, place string, n int, acked []store.Position) error {
	t.Helper()
	// The child must not outlive a parent that fails: its input ends then.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), killPlace+"="+place)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var failed error
	var other strings.Builder
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		var producer int
		var position store.Position
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "acknowledged %d %d", &producer, &position); err != nil {
			other.WriteString(line + "\n")
			if strings.HasPrefix(line, "wrong ") {
				failed = errors.New(line)
				break
			}
			continue
		}
		acked[producer] = max(acked[producer], position)
		// What it says between the decision and the kill counts, too.
		if seen++; seen == n+1 {
			if err := cmd.Process.Kill(); err != nil {
				return err
			}
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	if err := cmd.Wait(); failed == nil && cmd.ProcessState.Exited() {
		failed = fmt.Errorf("the child ended by itself: %w\n%s%s", err, other.String(), stderr.String())
	}
	return failed
}

// killChild works until it is killed.
func killChild(t *testing.T, o KillOptions, place string) {
	t.Helper()
	s := o.Open(t, place, store.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		cancel()
	}()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	var wg sync.WaitGroup
	for i := range killProducers {
		wg.Go(func() {
			say("wrong %v", produce(ctx, s, i, say)) // it only ends with an error
		})
	}
	for i := range killConsumers {
		wg.Go(func() {
			if err := consume(ctx, s, o.Hold, i, nil); err != nil {
				say("wrong %v", err)
			}
		})
	}
	wg.Wait()
}

func killStream(kind string, producer int) store.Stream {
	return store.Stream(kind + "/" + strconv.Itoa(producer))
}

// produce appends to a stream and puts a message in one batch, over and over, and
// says so when it is acknowledged. It goes on where the stream ends.
func produce(ctx context.Context, s store.Store, producer int, say func(string, ...any)) error {
	stream := killStream("sent", producer)
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(producer))) //nolint:gosec // sizes of payloads
	head, err := s.Head(ctx, stream)
	if err != nil && !errors.Is(err, store.ErrUnknownStream) {
		return err
	}
	for {
		n := head + 1
		data := fmt.Appendf(nil, "%d ", n)
		if rnd.IntN(10) == 0 {
			data = append(data, pattern(store.BlobThreshold+rnd.IntN(5000))...)
		}
		b := store.Batch{
			Appends: []store.Append{{Stream: stream, Expected: head, Events: []store.Event{{Data: data}}}},
			Puts:    []store.Put{{Queue: "work", Key: strconv.Itoa(producer), Envelope: store.Envelope{Data: data}}},
		}
		if rnd.IntN(5) == 0 {
			b.Snapshots = []store.Snapshot{{Stream: stream, Position: n, Data: data}}
		}
		if _, err := s.Commit(ctx, &b); err != nil {
			return err
		}
		say("acknowledged %d %d", producer, n)
		head = n
	}
}

// consume handles messages: the effect, the cursor of the producer and the
// acknowledgement are one batch. It gives some back, and returns when stop says
// so. That a message was handled before, or out of order, is an error, unless it was
// held for too long: then somebody else has it, and what came behind it.
func consume(ctx context.Context, s store.Store, hold time.Duration, consumer int, stop func() bool) error {
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(consumer)+1000)) //nolint:gosec // which to give back
	for {
		if stop != nil && stop() {
			return nil
		}
		got, err := store.Receive(ctx, s, store.ReceiveRequest{Queue: "work", Max: 1 + rnd.IntN(8), Hold: hold, Ordered: true})
		if err != nil {
			return err
		}
		for i, m := range got {
			back := rnd.IntN(20) == 0
			if back {
				err = returnAll(ctx, s, got[i:])
			} else {
				err = handle(ctx, s, m)
			}
			lost := errors.Is(err, store.ErrReceiptLost) || errors.Is(err, store.ErrWrongPosition)
			if lost && time.Now().After(m.Until) {
				break
			}
			if err != nil {
				return err
			}
			if back {
				break
			}
		}
	}
}

func returnAll(ctx context.Context, s store.Store, all []store.Message) error {
	var b store.Batch
	for _, m := range all {
		b.Nacks = append(b.Nacks, store.Nack{Receipt: m.Receipt, Uncounted: true})
	}
	_, err := s.Commit(ctx, &b)
	return err
}

func handle(ctx context.Context, s store.Store, m store.Message) error {
	b, err := effect(m)
	if err == nil {
		_, err = s.Commit(ctx, b)
	}
	return err
}

// effect is what handling a message means: its number is appended where those of
// its producer are, and the message acknowledged.
func effect(m store.Message) (*store.Batch, error) {
	text, _, _ := strings.Cut(string(m.Data), " ")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("message %d of producer %s: %w", m.ID, m.Key, err)
	}
	return &store.Batch{
		Appends: []store.Append{{Stream: store.Stream("done/" + m.Key), Expected: store.Position(n - 1), Events: []store.Event{{Data: []byte(text)}}}},
		Cursors: []store.Cursor{{Scope: "done", Producer: store.Producer(m.Key), Seq: uint64(n)}}, //nolint:gosec // it counts from 1
		Acks:    []store.Ack{{Receipt: m.Receipt}},
	}, nil
}

// verifyKilled handles what is left and checks everything.
func verifyKilled(t *testing.T, o KillOptions, place string, acked []store.Position) {
	t.Helper()
	s := o.Open(t, place, store.Limits{})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if c, can := s.(store.Checker); can {
		if findings, err := c.Check(ctx); err != nil || len(findings) > 0 {
			t.Errorf("Check: %v, %v", findings, err)
		}
	}
	if err := consume(ctx, s, time.Hour, 0, func() bool { return leftIn(ctx, t, s) == 0 }); err != nil {
		t.Fatalf("handling what is left: %v", err)
	}
	t.Logf("%d batches were acknowledged in %d lives", verifyStreams(ctx, t, s, acked), o.Rounds)
}

// leftIn counts the messages that are not handled yet.
func leftIn(ctx context.Context, t *testing.T, s store.Store) int64 {
	t.Helper()
	all, err := s.QueueStats(ctx, store.QueueFilter{Prefix: "work"})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, q := range all {
		n += q.Ready + q.Held + q.Delayed
	}
	return n
}

// verifyStreams checks that all that was acknowledged is there, and that all that
// is there was handled. It returns how much was acknowledged.
func verifyStreams(ctx context.Context, t *testing.T, s store.Store, acked []store.Position) (total store.Position) {
	t.Helper()
	for i, want := range acked {
		sent := countStream(ctx, t, s, killStream("sent", i))
		done := countStream(ctx, t, s, killStream("done", i))
		if sent < want {
			t.Errorf("producer %d: %d batches were acknowledged, %d are there", i, want, sent)
		}
		if done != sent {
			t.Errorf("producer %d: %d messages were sent, %d were handled", i, sent, done)
		}
		total += want
	}
	if total == 0 {
		t.Error("no batch was acknowledged at all")
	}
	return total
}

// countStream counts the events of a stream and checks that they are 1, 2, 3, ….
func countStream(ctx context.Context, t *testing.T, s store.Store, name store.Stream) store.Position {
	t.Helper()
	var n store.Position
	for e, err := range s.Read(ctx, name, 0) {
		if errors.Is(err, store.ErrUnknownStream) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		if text, _, _ := strings.Cut(string(e.Data), " "); text != strconv.FormatInt(int64(n), 10) || e.Position != n {
			t.Fatalf("%s: position %d has %q, want %d", name, e.Position, text, n)
		}
	}
	return n
}
