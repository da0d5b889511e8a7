package durable_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// The pipeline under load of the crash harness is: senders → mailbox "in", a
// Behavior that sends on each note or gives it up → entity "count/<sender>", which
// records it as an event, answers, and sends it on → queue "out". Half of the
// senders number their notes, the others have request ids; the last one asks.

const crashSenders = 8

// givenUp says which notes become dead letters at first, those of senders with
// request ids.
func givenUp(n int) bool { return n%100 == 7 }

// numbered says which senders number their notes.
func numbered(sender string) bool { return sender < "4" }

const crashAsker = "7"

type pipeline struct {
	store store.Store
	in    *durable.Mailbox[note]
	count *durable.Entities[note]
}

// counted is an event: a note, and how many the entity has recorded with it.
type counted struct {
	Note  note `json:"note"`
	Count int  `json:"count"`
}

var countedType = wire.CBOR[counted]("test.Counted")

// counter records the notes of one sender.
type counter struct {
	out   *durable.Mailbox[note]
	count int
}

func (c *counter) Decide(ctx *durable.Context[note], n note) ([]counted, error) {
	if err := mishap(); err != nil {
		return nil, err
	}
	if err := durable.Answer(ctx, noteType, note{N: c.count + 1}); err != nil {
		return nil, err
	}
	return []counted{{n, c.count + 1}}, durable.Emit(ctx, c.out, n)
}

func (c *counter) Apply(counted) { c.count++ }

func (c *counter) Snapshot() (wire.Message, error) { return noteType.Encode(note{N: c.count}) }

func (c *counter) Restore(m wire.Message) error {
	n, err := noteType.Decode(m)
	c.count = n.N
	return err
}

// mishap fails now and then.
func mishap() error {
	switch rand.IntN(500) {
	case 0:
		return errors.New("not this time")
	case 1:
		panic("not this time")
	}
	return nil
}

// startPipeline starts the actors.
func startPipeline(sys *actor.System, s store.Store) (*pipeline, error) {
	box := func(q store.Queue) (*durable.Mailbox[note], error) {
		return durable.NewMailbox(s, durable.MailboxSpec[note]{Queue: q, Codec: noteType})
	}
	p := &pipeline{store: s}
	out, err := box("out")
	if err != nil {
		return nil, err
	}
	if p.in, err = box("in"); err != nil {
		return nil, err
	}
	options := durable.Options{
		Owner: strconv.Itoa(os.Getpid()), Hold: 500 * time.Millisecond,
		Retry: retry.Policy{Max: 100, Initial: time.Millisecond, Cap: 5 * time.Millisecond},
	}
	p.count, err = durable.SpawnEntities(sys, s, durable.EntitySpec[note, counted]{
		Kind: "count", New: func(string) durable.Entity[note, counted] { return &counter{out: out} }, TTL: 500 * time.Millisecond,
		Commands: noteType, Events: countedType, SnapshotEvery: 50, Options: options,
	})
	if err != nil {
		return nil, err
	}
	_, err = durable.Spawn(sys, p.in, durable.Spec[note]{Options: options, New: behave(func(ctx *durable.Context[note], n note) error {
		if err := mishap(); err != nil {
			return err
		}
		if givenUp(n.N) && !numbered(n.From) && ctx.Delivery().Redrives == 0 {
			return retry.Permanent(errors.New("given up"))
		}
		to, err := p.count.Mailbox(n.From)
		if err != nil {
			return err
		}
		return durable.Emit(ctx, to, n)
	})})
	return p, err
}

// redrive brings back the dead letters and returns what is wrong with them.
func (p *pipeline) redrive(ctx context.Context) (wrong []string) {
	letters := durable.NewLetters(p.store, nil)
	known := map[string]bool{}
	for l, err := range letters.All(ctx, store.LetterFilter{}) {
		if err != nil {
			return append(wrong, err.Error())
		}
		if known[l.RequestID] || !strings.Contains(l.ErrorMessage, "given up") || l.Queue != "in" {
			wrong = append(wrong, fmt.Sprintf("letter %+v", l))
		}
		known[l.RequestID] = true
	}
	r, err := letters.Redrive(ctx, durable.Redrive{})
	if err != nil || r.Redrive != len(known) || r.Handled != len(known) {
		wrong = append(wrong, fmt.Sprintf("%d letters were redriven: %+v, %v", len(known), r, err))
	}
	return wrong
}

// TestCrashChild is a process under load, until it is killed.
func TestCrashChild(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := openCrashed(ctx, child.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if m.name == child.Args[2] {
			s = &mutant{s, m.breaks}
		}
	}
	p, err := startPipeline(newSystem(t), s)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, last := range strings.Fields(child.Args[1]) {
		wg.Go(func() {
			// The first may have been committed when the last process died: its
			// number or its request id tells.
			n, _ := strconv.Atoi(last)
			for n++; ctx.Err() == nil; {
				err := p.send(ctx, strconv.Itoa(i), n)
				if fault.CodeOf(err).Transient() {
					continue // the server is away
				}
				if err != nil {
					t.Errorf("sender %d: %v", i, err)
					cancel()
					return
				}
				child.Say("%d %d", i, n)
				if rand.IntN(20) != 0 { // else it is told again
					n++
				}
			}
		})
	}
	wg.Wait()
}

// send tells note n of a sender.
func (p *pipeline) send(ctx context.Context, from string, n int) error {
	post := durable.Post[note]{Message: note{from, n}, Sender: from, RequestID: fmt.Sprint(from, "/", n)}
	if from == crashAsker {
		box, err := p.count.Mailbox(from)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		got, err := durable.Ask(ctx, box, noteType, post)
		if err == nil && got.N != n {
			return fault.New(fault.Internal, "ask", "the answer to %d is %d", n, got.N)
		}
		if fault.CodeOf(err) == fault.Internal && fault.CodeOf(errors.Unwrap(err)).Transient() {
			return fault.New(fault.Unavailable, "ask", "%v", err) // the mailbox could not be read at that moment
		}
		return err
	}
	if numbered(from) {
		post = durable.Post[note]{Message: post.Message, Origin: durable.Origin{Producer: store.Producer(from), Seq: uint64(n)}}
	}
	_, err := p.in.Send(ctx, post)
	return err
}

// recordedOf returns the numbers that the entity of a sender has recorded.
func recordedOf(ctx context.Context, s store.Store, sender int) (numbers []int, wrong []string) {
	for e, err := range s.Read(ctx, store.Stream("count/"+strconv.Itoa(sender)), 0) {
		if errors.Is(err, store.ErrUnknownStream) {
			return nil, nil
		}
		if err != nil {
			return numbers, append(wrong, err.Error())
		}
		got, err := countedType.Decode(wire.Message{Type: "test.Counted", Codec: "cbor", Data: e.Data})
		if err != nil || got.Count != int(e.Position) {
			wrong = append(wrong, fmt.Sprintf("sender %d: event %d is %+v, %v", sender, e.Position, got, err))
		}
		numbers = append(numbers, got.Note.N)
	}
	return numbers, wrong
}

// outputsOf returns the numbers that were sent on, by sender.
func outputsOf(ctx context.Context, t *testing.T, s store.Store) map[string][]int {
	t.Helper()
	all := map[string][]int{}
	for after := store.MessageID(0); ; {
		page, err := s.Messages(ctx, store.MessageFilter{Queue: "out", After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got, err := decodeNote(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			all[got.From] = append(all[got.From], got.N)
			after = m.ID
		}
		if len(page) == 0 {
			return all
		}
	}
}

// drained waits until nothing is left in the queues of the pipeline.
func drained(ctx context.Context, s store.Store) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	left := int64(0)
	for {
		queues, err := s.QueueStats(ctx, store.QueueFilter{Limit: 100})
		if err != nil {
			return fmt.Errorf("%d messages were left: %w", left, err)
		}
		left = 0
		for _, q := range queues {
			if q.Queue != "out" {
				left += q.Ready + q.Held + q.Delayed
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages are left: %+v", left, queues)
		}
	}
}
