package durable_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// note is the message of most tests.
type note struct {
	From string `json:"from"`
	N    int    `json:"n"`
}

var noteType = wire.CBOR[note]("test.Note")

var discard = slog.New(slog.DiscardHandler)

func newBox(t *testing.T, s store.Store, q store.Queue) *durable.Mailbox[note] {
	t.Helper()
	box, err := durable.NewMailbox(s, durable.MailboxSpec[note]{Queue: q, Codec: noteType})
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func newSystem(t *testing.T) *actor.System {
	t.Helper()
	sys := actor.NewSystem(actor.Options{Logger: discard})
	t.Cleanup(func() { _ = sys.Stop(context.Background()) })
	return sys
}

func openSQLite(t testing.TB) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ledger keeps what handlers did, for tests to look at.
type ledger struct {
	mu    sync.Mutex
	notes []note
	last  int           // the number to wait for
	came  chan struct{} // closed when it is there; nil if nobody waits
}

func (l *ledger) add(n note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, n)
	if l.came != nil && n.N == l.last {
		close(l.came)
		l.came = nil
	}
}

func (l *ledger) all() []note {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.notes)
}

func (l *ledger) numbers() []int {
	var all []int
	for _, n := range l.all() {
		all = append(all, n.N)
	}
	return all
}

func behave(f func(ctx *durable.Context[note], n note) error) func() durable.Behavior[note] {
	return func() durable.Behavior[note] { return durable.BehaviorFunc[note](f) }
}

func spawn(t *testing.T, under actor.Parent, box *durable.Mailbox[note], spec durable.Spec[note]) actor.Ref[note] {
	t.Helper()
	ref, err := durable.Spawn(under, box, spec)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// empty waits, in virtual time, until a queue is empty.
func queued(t *testing.T, s store.Store, q store.Queue) int {
	t.Helper()
	all, err := s.Messages(context.Background(), store.MessageFilter{Queue: q})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Req F10: tell, commit, handle, acknowledge, on a real store.
func TestTellIsHandledAndRemoved(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box, sys := newBox(t, s, "notes"), newSystem(t)
	if err := box.Tell(t.Context(), note{N: 1}); err != nil { // before there is an actor
		t.Fatal(err)
	}
	handled := make(chan int)
	ref := spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
		ctx.Then(func() { handled <- n.N })
		return nil
	})})
	if got := <-handled; got != 1 {
		t.Fatalf("handled %d first, want 1", got)
	}
	if err := ref.Tell(t.Context(), note{N: 2}); err != nil {
		t.Fatal(err)
	}
	if got := <-handled; got != 2 {
		t.Fatalf("handled %d, want 2", got)
	}
	if n := queued(t, s, "notes"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if err := ref.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ref.Tell(t.Context(), note{}); !errors.Is(err, actor.ErrStopped) {
		t.Errorf("Tell to a stopped actor: %v", err)
	}
}

// Req F10: a message that was being handled when the process died is handled
// again, by the next actor.
func TestRedeliveredAfterCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box := newBox(t, s, "notes")
		if err := box.Tell(t.Context(), note{N: 7}); err != nil {
			t.Fatal(err)
		}
		// The process that dies: it has received and does not end the message.
		got, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "notes", Hold: 30 * time.Second})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		start := time.Now()
		sys := newSystem(t)
		var attempt int
		done := make(chan struct{})
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
			attempt = ctx.Delivery().Attempt
			ctx.Then(func() { close(done) })
			return nil
		})})
		<-done
		if attempt != 2 || time.Since(start) != 30*time.Second {
			t.Errorf("attempt %d after %v, want 2 after 30s", attempt, time.Since(start))
		}
		_ = sys.Stop(t.Context())
	})
}

// Req F9, F11: a message that fails is tried after 1, 2 and 4 seconds, then it is
// a dead letter with what is known of it; the others of its sender wait for it.
func TestRetriesThenDeadLetter(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"error", "panic", "goexit"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { retriesThenDeadLetter(t, how) })
		})
	}
}

// retriesThenDeadLetter runs in synctest.
func retriesThenDeadLetter(t *testing.T, how string) {
	s := newMemory()
	box, sys := newBox(t, s, "notes"), newSystem(t)
	start := time.Now()
	var tries []time.Duration
	var done ledger
	finished := make(chan struct{})
	var buried []*fault.Error
	made := 0
	spec := durable.Spec[note]{
		New: func() durable.Behavior[note] {
			made++
			return durable.BehaviorFunc[note](func(ctx *durable.Context[note], n note) error {
				if n.N != 1 {
					done.add(n)
					if n.N == 2 {
						ctx.Then(func() { close(finished) })
					}
					return nil
				}
				tries = append(tries, time.Since(start).Truncate(time.Second))
				switch how {
				case "panic":
					panic("no such account")
				case "goexit":
					runtime.Goexit()
				}
				return errors.New("no such account")
			})
		},
		Options: durable.Options{Hooks: durable.Hooks{Buried: func(_ store.Queue, err *fault.Error) { buried = append(buried, err) }}},
	}
	spawn(t, sys, box, spec)
	for _, p := range []durable.Post[note]{
		{Message: note{"a", 1}, Sender: "a", RequestID: "r1", CallerID: "alice"}, {Message: note{"a", 2}, Sender: "a"}, {Message: note{"b", 3}, Sender: "b"},
	} {
		if _, err := box.Send(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	<-finished
	if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(tries, want) {
		t.Errorf("tried at %v, want %v", tries, want)
	}
	if got := done.numbers(); !slices.Equal(got, []int{3, 2}) {
		t.Errorf("handled %v, want 3 at once and 2 when 1 was given up", got)
	}
	letters, _ := s.Letters(t.Context(), store.LetterFilter{})
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	l := letters[0]
	if l.RequestID != "r1" || l.CallerID != "alice" || l.TargetID != "notes" || l.Type != "test.Note" || len(l.Data) == 0 ||
		how != "goexit" && !strings.Contains(l.ErrorMessage, "no such account") || l.RetryCount != 3 || l.CreatedAt.IsZero() {
		t.Errorf("letter %+v", l)
	}
	if len(buried) != 1 || buried[0].RequestID != "r1" || buried[0].RetryCount != 3 {
		t.Errorf("hook was told %v", buried)
	}
	want := 1
	if how != "error" {
		want = 5
	}
	if made-1 != want { // one is made to know its type
		t.Errorf("%d behaviours were made, want %d", made-1, want)
	}
	_ = sys.Stop(t.Context())
}

// Req F4: what does not decode is a dead letter at once.
func TestPoison(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box, sys := newBox(t, s, "notes"), newSystem(t)
	puts := []store.Put{
		{Queue: "notes", Envelope: store.Envelope{Type: "test.Note", Meta: []byte("cbor"), Data: []byte{0xff}}},
		{Queue: "notes", Envelope: store.Envelope{Type: "test.Other", Meta: []byte("cbor"), Data: []byte{0xa0}}},
		{Queue: "notes", Envelope: store.Envelope{Type: "test.Note", Meta: []byte("cbor;seq=x"), Data: []byte{0xa0}}},
	}
	if _, err := s.Commit(t.Context(), &store.Batch{Puts: puts}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
		ctx.Then(func() { close(done) })
		return nil
	})})
	if err := box.Tell(t.Context(), note{N: 1}); err != nil {
		t.Fatal(err)
	}
	<-done
	letters, err := s.Letters(t.Context(), store.LetterFilter{ErrorType: "POISON"})
	if err != nil || len(letters) != 3 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	if l := letters[0]; string(l.Data) != "\xff" || l.RetryCount != 0 || !strings.Contains(l.ErrorMessage, "does not decode") {
		t.Errorf("letter %+v", l)
	}
}

func decodeNote(data []byte) (note, error) {
	return noteType.Decode(wire.Message{Type: "test.Note", Codec: "cbor", Data: data})
}
