package durable_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

func TestNewMailboxRefuses(t *testing.T) {
	t.Parallel()
	s := newMemory()
	for _, tt := range []struct {
		store store.Store
		spec  durable.MailboxSpec[note]
		want  string
	}{
		{nil, durable.MailboxSpec[note]{Queue: "q", Codec: noteType}, "there is no store"},
		{s, durable.MailboxSpec[note]{Codec: noteType}, "is empty"},
		{s, durable.MailboxSpec[note]{Queue: "a\nb", Codec: noteType}, "control character"},
		{s, durable.MailboxSpec[note]{Queue: "q"}, "there is no Codec"},
	} {
		if _, err := durable.NewMailbox(tt.store, tt.spec); !errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

func TestSpawnRefuses(t *testing.T) {
	t.Parallel()
	sys, box := newSystem(t), newBox(t, newMemory(), "q")
	ok := behave(func(*durable.Context[note], note) error { return nil })
	for _, tt := range []struct {
		box  *durable.Mailbox[note]
		spec durable.Spec[note]
		want string
	}{
		{nil, durable.Spec[note]{New: ok}, "there is no mailbox"},
		{box, durable.Spec[note]{}, "there is no New"},
		{box, durable.Spec[note]{New: ok, Options: durable.Options{Hold: time.Millisecond}}, "at least 100ms"},
		{box, durable.Spec[note]{New: ok, Options: durable.Options{Hold: 100 * time.Hour}}, "24h"},
		{box, durable.Spec[note]{New: ok, Options: durable.Options{Batch: 5000}}, "1 to 4096"},
		{box, durable.Spec[note]{New: ok, Options: durable.Options{Retry: retry.Policy{Jitter: 3}}}, "Jitter"},
		{box, durable.Spec[note]{New: ok, Options: durable.Options{Name: "a/b"}}, "contain"},
		{box, durable.Spec[note]{New: func() durable.Behavior[note] { return nil }}, "New returned nil"},
	} {
		if _, err := durable.Spawn(sys, tt.box, tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	for _, change := range []func(*durable.EntitySpec[command, event]){
		func(s *durable.EntitySpec[command, event]) { s.Kind = "" },
		func(s *durable.EntitySpec[command, event]) { s.Kind = "a/b" },
		func(s *durable.EntitySpec[command, event]) { s.New = nil },
		func(s *durable.EntitySpec[command, event]) { s.Events = nil },
		func(s *durable.EntitySpec[command, event]) { s.Active = -1 },
		func(s *durable.EntitySpec[command, event]) { s.TTL = 1 },
		func(s *durable.EntitySpec[command, event]) { s.Lease, s.Fence.Lease = "a", "b" },
	} {
		spec := durable.EntitySpec[command, event]{
			Kind: "account", New: func(string) durable.Entity[command, event] { return &account{} }, Commands: commands, Events: events,
		}
		change(&spec)
		if _, err := durable.SpawnEntities(sys, newMemory(), spec); !errors.Is(err, fault.InvalidArgument) {
			t.Errorf("%+v: error %v", spec, err)
		}
	}
}

// Req A1, F10: an ordinary ask works: the message is stored, its Reply is kept.
func TestAskWithReply(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	type get struct {
		N     int                 `json:"n"`
		Reply actor.Reply[string] `json:"-"`
	}
	box, err := durable.NewMailbox(s, durable.MailboxSpec[get]{Queue: "gets", Codec: wire.CBOR[get]("test.Get")})
	if err != nil {
		t.Fatal(err)
	}
	build := func(r actor.Reply[string]) get { return get{3, r} }
	if _, err := actor.Ask(t.Context(), box.Ref(), build); !errors.Is(err, durable.ErrNobodyHere) {
		t.Errorf("ask without an actor: %v", err)
	}
	ref, err := durable.Spawn(newSystem(t), box, durable.Spec[get]{New: func() durable.Behavior[get] {
		return durable.BehaviorFunc[get](func(ctx *durable.Context[get], m get) error {
			if m.N < 0 {
				return retry.Permanent(errors.New("negative"))
			}
			m.Reply.Send(strings.Repeat("x", m.N))
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := actor.Ask(t.Context(), ref, build); got != "xxx" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}
	_, err = actor.Ask(t.Context(), ref, func(r actor.Reply[string]) get { return get{-1, r} })
	if !errors.Is(err, durable.ErrBuried) || !strings.Contains(err.Error(), "negative") {
		t.Errorf("ask of a message that is buried: %v", err)
	}
	if err := ref.TryTell(get{N: 1}); !errors.Is(err, durable.ErrWaits) {
		t.Errorf("TryTell: %v", err)
	}
	ended, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := ref.Tell(ended, get{N: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Tell with a context that has ended: %v", err)
	}
}

// Req F10: FIFO per sender, with failures, over several actors on one mailbox;
// messages of high priority first.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, actors := range []int{1, 3} {
		t.Run(fmt.Sprint(actors), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newMemory()
				box, sys := newBox(t, s, "notes"), newSystem(t)
				random := rand.New(rand.NewPCG(1, 2))
				var mu sync.Mutex
				handled := map[string][]int{}
				for i := range actors {
					spawn(t, sys, box, durable.Spec[note]{
						New: behave(func(ctx *durable.Context[note], n note) error {
							mu.Lock()
							defer mu.Unlock()
							switch random.IntN(6) {
							case 0:
								return errors.New("not today")
							case 1:
								panic("not today")
							}
							handled[n.From] = append(handled[n.From], n.N)
							return nil
						}),
						Options: durable.Options{Name: fmt.Sprint("worker", i), Owner: fmt.Sprint(i), Retry: retry.Policy{Max: 50, Initial: time.Millisecond}},
					})
				}
				const senders, each = 5, 40
				var wg sync.WaitGroup
				for i := range senders {
					wg.Go(func() {
						name := fmt.Sprint(i)
						for n := range each {
							if err := box.Tell(durable.WithSender(t.Context(), name), note{name, n}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := queued(t, s, "notes"); n != 0 {
					t.Errorf("%d messages are left", n)
				}
				for name, numbers := range handled {
					if len(numbers) != each || !slices.IsSorted(numbers) {
						t.Errorf("sender %s: handled %v", name, numbers)
					}
				}
				_ = sys.Stop(t.Context())
			})
		})
	}
}

func TestPriority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, err := durable.NewMailbox(s, durable.MailboxSpec[note]{
			Queue: "notes", Codec: noteType, Priority: func(n note) store.Priority { return store.Priority(n.N % 2) },
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if err := box.Tell(t.Context(), note{N: i}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := box.Send(t.Context(), durable.Post[note]{Message: note{N: 8}, Priority: store.High, Sender: "x"}); err != nil {
			t.Fatal(err)
		}
		if _, err := box.Send(t.Context(), durable.Post[note]{Message: note{N: 10}, Delay: time.Minute, Sender: "y"}); err != nil {
			t.Fatal(err)
		}
		var l ledger
		sys := newSystem(t)
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(_ *durable.Context[note], n note) error { l.add(n); return nil })})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := l.numbers(); !slices.Equal(got, []int{1, 3, 5, 8, 0, 2, 4, 10}) {
			t.Errorf("order %v", got)
		}
		_ = sys.Stop(t.Context())
	})
}

// Req F10: de-duplication by request id with the stored answer, F2: rejections
// are answers.
func TestAsk(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box := newBox(t, s, "notes")
	answers := wire.JSON[string]("test.Answer")
	var l ledger
	// An actor with a Mailbox of its own, as in another process.
	ref := spawn(t, newSystem(t), newBox(t, s, "notes"), durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
		l.add(n)
		switch n.N {
		case 0:
			return nil
		case 1:
			durable.Reject(ctx, fault.New(fault.NotFound, "test", "no note %d", n.N))
			return nil
		case 2:
			return retry.Permanent(errors.New("torn"))
		}
		return durable.Answer(ctx, answers, fmt.Sprint("note ", n.N))
	})})
	ask := func(n int, id string) (string, error) {
		return durable.Ask(t.Context(), box, answers, durable.Post[note]{Message: note{N: n}, RequestID: id})
	}
	for range 3 {
		if _, err := ask(0, "a"); !errors.Is(err, durable.ErrNoAnswer) {
			t.Errorf("no answer: %v", err)
		}
		if _, err := ask(1, "b"); !errors.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no note 1") {
			t.Errorf("rejected: %v", err)
		}
		if _, err := ask(2, "c"); !errors.Is(err, durable.ErrBuried) || !strings.Contains(err.Error(), "torn") {
			t.Errorf("buried: %v", err)
		}
		if got, err := ask(3, "d"); err != nil || got != "note 3" {
			t.Errorf("answer %q, %v", got, err)
		}
	}
	if got, err := ask(4, ""); err != nil || got != "note 4" {
		t.Errorf("answer %q, %v", got, err)
	}
	if got := l.numbers(); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("handled %v, want each once", got)
	}
	p, err := box.Send(t.Context(), durable.Post[note]{Message: note{N: 3}, RequestID: "d"})
	if err != nil || !p.Duplicate || !p.Done {
		t.Errorf("posted %+v, %v", p, err)
	}
	if _, err := durable.Ask(t.Context(), box, wire.JSON[int]("test.Int"), durable.Post[note]{Message: note{N: 3}, RequestID: "d"}); fault.CodeOf(err) != fault.Poison {
		t.Errorf("answer of another type: %v", err)
	}
	_ = ref.Stop(t.Context())
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := durable.Ask(soon, box, answers, durable.Post[note]{Message: note{N: 5}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}

// Outputs and the end of their message are one commit; a failure drops them.
func TestEmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, out, sys := newBox(t, s, "notes"), newBox(t, s, "out"), newSystem(t)
		other := newBox(t, newMemory(), "other")
		then := 0
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
			if err := durable.Emit(ctx, other, n); !errors.Is(err, durable.ErrOtherStore) {
				t.Errorf("emit to another store: %v", err)
			}
			ctx.Then(func() { then++ })
			if err := durable.Emit(ctx, out, n); err != nil {
				return err
			}
			if ctx.Delivery().Attempt == 1 {
				return errors.New("after the output")
			}
			return nil
		})})
		for i := range 3 {
			if err := box.Tell(t.Context(), note{N: i}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := queued(t, s, "out"); n != 3 || then != 3 {
			t.Errorf("%d outputs, %d calls after the commit, want 3 and 3", n, then)
		}
		_ = sys.Stop(t.Context())
	})
}

// A message that kills the process each time it is handled is found out, and
// takes no others along.
func TestProcessKiller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box := newBox(t, s, "notes")
		for i := range 50 {
			if err := box.Tell(durable.WithSender(t.Context(), fmt.Sprint(i)), note{N: i}); err != nil {
				t.Fatal(err)
			}
		}
		var l ledger
		crashes := 0
		for range 30 {
			crashed := make(chan struct{})
			sys := newSystem(t)
			spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
				if n.N == 7 {
					// The process dies: nothing more of it is committed.
					s.mu.Lock()
					s.beforeCommit = func(*store.Batch) error { return store.ErrClosed }
					s.mu.Unlock()
					close(crashed)
					return nil
				}
				l.add(n)
				return nil
			})})
			select {
			case <-crashed:
				crashes++
			case <-time.After(time.Minute):
			}
			sys.Tree()
			_ = sys.Stop(t.Context())
			s.mu.Lock()
			s.beforeCommit = nil
			s.mu.Unlock()
			s.crash()
		}
		if n := queued(t, s, "notes"); n != 0 {
			t.Errorf("%d messages are left", n)
		}
		letters, _ := s.Letters(t.Context(), store.LetterFilter{})
		if len(letters) != 1 || letters[0].ErrorType != "POISON" || !strings.Contains(letters[0].ErrorMessage, "never ended") {
			t.Errorf("%d letters, want that of 7: %.300v", len(letters), letters)
		}
		if crashes != 8 {
			t.Errorf("%d crashes before it was found out, want 8", crashes)
		}
		seen := map[int]bool{}
		for _, n := range l.numbers() {
			seen[n] = true
		}
		if len(seen) != 49 {
			t.Errorf("%d others were handled, want 49", len(seen))
		}
	})
}

// Req F3: a store that fails to dequeue: INTERNAL to the caller, a hook, and the
// actor goes on when the store does.
func TestDequeueFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, sys := newBox(t, s, "notes"), newSystem(t)
		broken := true
		s.beforeReceive = func() error {
			if broken {
				return store.ErrDamaged
			}
			return nil
		}
		failures := 0
		var l ledger
		spawn(t, sys, box, durable.Spec[note]{
			New:     behave(func(_ *durable.Context[note], n note) error { l.add(n); return nil }),
			Options: durable.Options{Hooks: durable.Hooks{StoreFailed: func(store.Queue, error) { failures++ }}},
		})
		_, err := durable.Ask(t.Context(), box, noteType, durable.Post[note]{Message: note{N: 1}})
		if fault.CodeOf(err) != fault.Internal || !errors.Is(err, store.ErrDamaged) {
			t.Errorf("the caller got %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if failures < 10 || failures > 30 {
			t.Errorf("%d failures in a minute, want some and not a storm", failures)
		}
		s.mu.Lock()
		broken = false
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := l.numbers(); !slices.Equal(got, []int{1}) {
			t.Errorf("handled %v", got)
		}
		_ = sys.Stop(t.Context())
	})
}

// What was handled while the store could not be written is not handled again.
func TestAckFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			s := newMemory()
			box, sys := newBox(t, s, "notes"), newSystem(t)
			full := true
			fail := func(b *store.Batch) error {
				if full && len(b.Acks) > 0 {
					return store.ErrDiskFull
				}
				return nil
			}
			s.beforeCommit = fail
			if after {
				s.beforeCommit, s.afterCommit = nil, func(b *store.Batch) error {
					if fail(b) != nil {
						return store.ErrOutcomeUnknown
					}
					return nil
				}
			}
			var l ledger
			then := 0
			spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
				l.add(n)
				ctx.Then(func() { then++ })
				return nil
			})})
			for i := range 3 {
				if err := box.Tell(t.Context(), note{N: i}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			s.mu.Lock()
			full = false
			s.mu.Unlock()
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if got := l.numbers(); !slices.Equal(got, []int{0, 1, 2}) || queued(t, s, "notes") != 0 {
				t.Errorf("handled %v, %d left", got, queued(t, s, "notes"))
			}
			if !after && then != 3 {
				t.Errorf("%d calls after the commit, want 3", then)
			}
			_ = sys.Stop(t.Context())
		}
	})
}

// A message whose effects can't be committed does not hold up the others.
func TestEffectsTooLarge(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box, sys := newBox(t, s, "notes"), newSystem(t)
	texts, err := durable.NewMailbox(s, durable.MailboxSpec[string]{Queue: "texts", Codec: wire.CBOR[string]("test.Text")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := box.Tell(durable.WithSender(t.Context(), fmt.Sprint(i)), note{N: i}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Add(4)
	var buried []*fault.Error
	done := make(chan struct{})
	spawn(t, sys, box, durable.Spec[note]{
		New: behave(func(ctx *durable.Context[note], n note) error {
			ctx.Then(wg.Done)
			size := 10
			if n.N == 2 {
				size = 9 << 20
			}
			return durable.Emit(ctx, texts, strings.Repeat("x", size))
		}),
		Options: durable.Options{Hooks: durable.Hooks{Buried: func(_ store.Queue, err *fault.Error) {
			buried = append(buried, err)
			close(done)
		}}},
	})
	wg.Wait()
	<-done
	if len(buried) != 1 || !errors.Is(buried[0], store.ErrTooLarge) {
		t.Errorf("buried %v", buried)
	}
	if n := queued(t, s, "texts"); n != 4 {
		t.Errorf("%d outputs, want 4", n)
	}
}

// Req F8: a handler's context ends when its time is over; a slow one keeps its
// messages.
func TestTimeoutAndHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, sys := newBox(t, s, "notes"), newSystem(t)
		var l ledger
		var errs []error
		new := behave(func(ctx *durable.Context[note], n note) error {
			l.add(n)
			if n.N == 1 {
				deadline, _ := ctx.Deadline()
				<-ctx.Done()
				if !time.Now().Equal(deadline) {
					t.Errorf("the context ended at %v, its deadline is %v", time.Now(), deadline)
				}
				return ctx.Err()
			}
			time.Sleep(25 * time.Second) // longer than the messages are held
			return nil
		})
		for i := range 2 { // two actors, so that one could take what the other let go
			spawn(t, sys, box, durable.Spec[note]{New: new, Options: durable.Options{
				Name: fmt.Sprint(i), Hold: 9 * time.Second, Retry: retry.Policy{Max: -1},
				Hooks: durable.Hooks{Buried: func(_ store.Queue, err *fault.Error) { errs = append(errs, err) }},
			}})
		}
		for i := range 3 {
			if err := box.Tell(t.Context(), note{N: i}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := l.numbers(); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("handled %v", got)
		}
		if len(errs) != 1 || fault.CodeOf(errs[0]) != fault.DeadlineExceeded {
			t.Errorf("buried %v", errs)
		}
		_ = sys.Stop(t.Context())
	})
}

// What an actor sends to itself is not stored, and has no delivery.
func TestOwnMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, out, sys := newBox(t, s, "notes"), newBox(t, s, "out"), newSystem(t)
		var l ledger
		child := make(chan actor.Ref[int], 1)
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
			l.add(n)
			switch n.N {
			case 0:
				c, err := actor.Spawn(ctx, actor.Spec[int]{Name: "child", New: func() actor.Behavior[int] {
					return actor.BehaviorFunc[int](func(*actor.Context[int], int) error { return actor.ErrStop })
				}})
				if err != nil {
					return err
				}
				durable.Watch(ctx, c, func(actor.Down) note { return note{N: 1} })
				child <- c
				return c.Tell(ctx, 1)
			case 1:
				ctx.After(time.Second, note{N: 2})
			case 2:
				ctx.Pipe(func(context.Context) note { return note{N: 3} })
			case 3:
				if ctx.Delivery() != (durable.Delivery{}) {
					t.Errorf("delivery %+v", ctx.Delivery())
				}
				if err := durable.Emit(ctx, out, n); err != nil {
					return err
				}
				return ctx.Self().Tell(ctx, note{N: 4}) // this one is
			case 4:
				if ctx.Delivery().Sender != "notes" {
					t.Errorf("sender %q", ctx.Delivery().Sender)
				}
				ctx.After(time.Second, note{N: 5})
				ctx.After(time.Hour, note{N: 6}) // lost with the restart
			case 5:
				panic("own messages are not repeated")
			}
			return nil
		})})
		if err := box.Tell(t.Context(), note{N: 0}); err != nil {
			t.Fatal(err)
		}
		if got := (<-child).Address().Path; got != "/notes/handler/child" {
			t.Errorf("child %s", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := l.numbers(); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
			t.Errorf("handled %v", got)
		}
		if n := queued(t, s, "out"); n != 1 {
			t.Errorf("%d outputs, want 1", n)
		}
		_ = sys.Stop(t.Context())
	})
}

// Req F13, T3: who asked and the trace travel with the message.
func TestMetadataTravels(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box, out, sys := newBox(t, s, "notes"), newBox(t, s, "out"), newSystem(t)
	trace := actor.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Flags: 1}
	done := make(chan struct{})
	spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
		if got, ok := actor.TraceFrom(ctx); !ok || got != trace {
			t.Errorf("trace %+v", got)
		}
		d := ctx.Delivery()
		if d.RequestID != "r" || d.CallerID != "troupe:/caller" || d.Sender != "troupe:/caller" || d.Attempt != 1 || d.Told.IsZero() || d.ID == 0 {
			t.Errorf("delivery %+v", d)
		}
		ctx.Then(func() { close(done) })
		return durable.Emit(ctx, out, n)
	})})
	caller, err := actor.Spawn(sys, actor.Spec[note]{Name: "caller", New: func() actor.Behavior[note] {
		return actor.BehaviorFunc[note](func(ctx *actor.Context[note], n note) error {
			_, err := box.Send(ctx, durable.Post[note]{Message: n, RequestID: "r"})
			return err
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.Tell(actor.WithTrace(t.Context(), trace), note{N: 1}); err != nil {
		t.Fatal(err)
	}
	<-done
	got, err := s.Messages(t.Context(), store.MessageFilter{Queue: "out"})
	if err != nil || len(got) != 1 || got[0].TraceID != trace.TraceID() || got[0].SpanID != trace.SpanID() {
		t.Errorf("output %+v, %v", got, err)
	}
}

// Req A6: the stack of a panic leads to the handler.
func TestPanicStack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stacks := make(chan string, 8)
		sys := actor.NewSystem(actor.Options{Logger: discard, Hooks: []actor.Hooks{{Failed: func(_ actor.Address, err error, _ actor.Directive) {
			if p, ok := errors.AsType[*actor.PanicError](err); ok {
				stacks <- p.Stack()
			}
		}}}})
		box := newBox(t, newMemory(), "notes")
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(*durable.Context[note], note) error { return panicking() })})
		if err := box.Tell(t.Context(), note{}); err != nil {
			t.Fatal(err)
		}
		if s := <-stacks; !strings.Contains(s, "panicking") {
			t.Errorf("stack\n%s", s)
		}
		_ = sys.Stop(t.Context())
	})
}

//go:noinline
func panicking() error { panic("boom") }

func TestStopAndWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, sys := newBox(t, newMemory(), "notes"), newSystem(t)
		ref := spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
			if n.N == 9 {
				ctx.Stop()
			}
			return nil
		})})
		downs := make(chan actor.Down, 1)
		if _, err := actor.Spawn(sys, actor.Spec[actor.Down]{New: func() actor.Behavior[actor.Down] { return &watcher{ref, downs} }}); err != nil {
			t.Fatal(err)
		}
		if err := ref.Tell(t.Context(), note{N: 9}); err != nil {
			t.Fatal(err)
		}
		if d := <-downs; d.Reason != nil || d.Actor != ref.Address() {
			t.Errorf("down %+v", d)
		}
		<-ref.Done()
		_ = sys.Stop(t.Context())
	})
}

type watcher struct {
	ref   actor.Ref[note]
	downs chan actor.Down
}

func (w *watcher) Start(ctx *actor.Context[actor.Down]) error {
	actor.Watch(ctx, w.ref, func(d actor.Down) actor.Down { return d })
	return nil
}

func (w *watcher) Receive(_ *actor.Context[actor.Down], d actor.Down) error {
	w.downs <- d
	return nil
}
