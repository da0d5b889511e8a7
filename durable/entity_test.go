package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// command and event are the sealed protocol of an account.
type (
	command  interface{ isCommand() }
	deposit  struct{ Cents int }
	withdraw struct{ Cents int }
	balance  struct {
		Reply actor.Reply[int] `json:"-"`
	}
	explode struct{}

	event     interface{ isEvent() }
	deposited struct{ Cents int }
	withdrawn struct{ Cents int }

	depositedV1 struct{ Euros int }
)

func (deposit) isCommand()  {}
func (withdraw) isCommand() {}
func (balance) isCommand()  {}
func (explode) isCommand()  {}
func (deposited) isEvent()  {}
func (withdrawn) isEvent()  {}

var (
	commands = durable.NewUnion(
		durable.Type[command](wire.CBOR[deposit]("bank.Deposit")),
		durable.Type[command](wire.CBOR[withdraw]("bank.Withdraw")),
		durable.Type[command](wire.CBOR[balance]("bank.Balance")),
		durable.Type[command](wire.CBOR[explode]("bank.Explode")),
	)
	events = durable.NewUnion(
		durable.Type[event](wire.CBOR[deposited]("bank.Deposited.v2")),
		durable.Type[event](wire.CBOR[withdrawn]("bank.Withdrawn")),
		durable.Upcast(wire.CBOR[depositedV1]("bank.Deposited"), func(old depositedV1) (event, error) {
			if old.Euros < 0 {
				return nil, errors.New("negative")
			}
			return deposited{old.Euros * 100}, nil
		}),
	)
	balances    = wire.CBOR[int]("bank.Cents")
	errNoFunds  = fault.New(fault.FailedPrecondition, "account", "not enough money")
	accountSnap = wire.CBOR[int]("bank.Account")
)

// account is event-sourced.
type account struct {
	cents  int
	outbox *durable.Mailbox[note] // is told of each withdrawal
}

func (a *account) Decide(ctx *durable.Context[command], c command) ([]event, error) {
	switch c := c.(type) {
	case deposit:
		if err := durable.Answer(ctx, balances, a.cents+c.Cents); err != nil {
			return nil, err
		}
		return []event{deposited(c)}, nil
	case withdraw:
		if a.cents < c.Cents {
			durable.Reject(ctx, errNoFunds)
			return nil, nil
		}
		if a.outbox != nil {
			if err := durable.Emit(ctx, a.outbox, note{N: c.Cents}); err != nil {
				return nil, err
			}
		}
		return []event{withdrawn(c)}, durable.Answer(ctx, balances, a.cents-c.Cents)
	case balance:
		cents := a.cents
		ctx.Then(func() { c.Reply.Send(cents) })
		return nil, nil
	}
	panic("boom")
}

func (a *account) Apply(e event) {
	switch e := e.(type) {
	case deposited:
		a.cents += e.Cents
	case withdrawn:
		a.cents -= e.Cents
	}
}

func (a *account) Snapshot() (wire.Message, error) { return accountSnap.Encode(a.cents) }

func (a *account) Restore(m wire.Message) (err error) {
	a.cents, err = accountSnap.Decode(m)
	return err
}

func bank(t *testing.T, under actor.Parent, s store.Store, change func(*durable.EntitySpec[command, event])) *durable.Entities[command] {
	t.Helper()
	spec := durable.EntitySpec[command, event]{
		Kind: "account", New: func(string) durable.Entity[command, event] { return &account{} },
		Commands: commands, Events: events,
	}
	if change != nil {
		change(&spec)
	}
	accounts, err := durable.SpawnEntities(under, s, spec)
	if err != nil {
		t.Fatal(err)
	}
	return accounts
}

func cents(t *testing.T, ref actor.Ref[command]) int {
	t.Helper()
	n, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) command { return balance{r} })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEntity(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	sys := newSystem(t)
	accounts := bank(t, sys, s, nil)
	ref := accounts.Ref("42")
	for _, c := range []command{deposit{100}, deposit{50}, withdraw{30}} {
		if err := ref.Tell(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if got := cents(t, ref); got != 120 {
		t.Errorf("balance %d, want 120", got)
	}
	if got := cents(t, accounts.Ref("7")); got != 0 {
		t.Errorf("balance of another %d, want 0", got)
	}
	if accounts.Active() != 2 || ref != accounts.Ref("42") || ref == accounts.Ref("7") {
		t.Errorf("%d active; refs %v %v", accounts.Active(), ref, accounts.Ref("42"))
	}
	if err := accounts.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ref.Tell(t.Context(), deposit{1}); !errors.Is(err, actor.ErrStopped) {
		t.Errorf("Tell after Stop: %v", err)
	}
	again := bank(t, sys, s, nil) // the lease was released
	if got := cents(t, again.Ref("42")); got != 120 {
		t.Errorf("recovered balance %d, want 120", got)
	}
	var kinds []string
	for e, err := range s.Read(t.Context(), "account/42", 0) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Type)
	}
	if want := []string{"cbor:bank.Deposited.v2", "cbor:bank.Deposited.v2", "cbor:bank.Withdrawn"}; !slices.Equal(kinds, want) {
		t.Errorf("events %v", kinds)
	}
}

// Req F2, F10: a request repeated with its id has its effect once and gets the
// answer of the first time; a rejection is an answer, typed, and not retried.
func TestEntityAnswers(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	accounts := bank(t, newSystem(t), s, nil)
	box, err := accounts.Mailbox("42")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := durable.Ask(t.Context(), box, balances, durable.Post[command]{Message: deposit{100}, RequestID: "r1"})
		if err != nil || got != 100 {
			t.Fatalf("answer %d, %v", got, err)
		}
		_, err = durable.Ask(t.Context(), box, balances, durable.Post[command]{Message: withdraw{1000}, RequestID: "r2"})
		if !errors.Is(err, fault.FailedPrecondition) || !strings.Contains(err.Error(), "not enough money") {
			t.Fatalf("rejection %v", err)
		}
	}
	if got := cents(t, accounts.Ref("42")); got != 100 {
		t.Errorf("balance %d, want 100", got)
	}
	if n, err := s.CountLetters(t.Context(), store.LetterFilter{}); n != 0 || err != nil {
		t.Errorf("%d letters, %v", n, err)
	}
	if _, err := accounts.Mailbox(""); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("empty key: %v", err)
	}
}

// Outputs are in the commit of the events.
func TestEntityOutbox(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	mails := newBox(t, s, "mails")
	accounts := bank(t, newSystem(t), s, func(spec *durable.EntitySpec[command, event]) {
		spec.New = func(string) durable.Entity[command, event] { return &account{outbox: mails} }
	})
	for i := range 5 {
		for _, c := range []command{deposit{i + 1}, withdraw{i + 1}} {
			if err := accounts.Ref("42").Tell(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cents(t, accounts.Ref("42"))
	got, err := s.Messages(t.Context(), store.MessageFilter{Queue: "mails"})
	if err != nil || len(got) != 5 {
		t.Fatalf("%d mails, %v", len(got), err)
	}
	if got[0].Key != "account/42" || got[0].CallerID != "account/42" {
		t.Errorf("mail %+v", got[0])
	}
}

// Req W4-like recovery: from the snapshot and the events behind it; a snapshot
// that does not decode is passed over.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		sys := newSystem(t)
		accounts := bank(t, sys, s, func(spec *durable.EntitySpec[command, event]) { spec.SnapshotEvery = 10 })
		for range 25 {
			if err := accounts.Ref("42").Tell(t.Context(), deposit{1}); err != nil {
				t.Fatal(err)
			}
		}
		_ = cents(t, accounts.Ref("42"))
		snap, err := s.Snapshot(t.Context(), "account/42")
		if err != nil || snap.Position < 10 || snap.Type != "cbor:bank.Account" {
			t.Fatalf("snapshot %+v, %v", snap, err)
		}
		_ = accounts.Stop(t.Context())

		read := 0
		counted := bank(t, sys, s, func(spec *durable.EntitySpec[command, event]) {
			spec.Events = counting{events, &read}
		})
		if got := cents(t, counted.Ref("42")); got != 25 || read != 25-int(snap.Position) {
			t.Errorf("balance %d after reading %d events, want 25 and those behind %d", got, read, snap.Position)
		}
		_ = counted.Stop(t.Context())

		s.snaps["account/42"] = store.Snapshot{Stream: "account/42", Position: 20, Type: "cbor:bank.Account", Data: []byte{0xff}}
		read = 0
		counted = bank(t, sys, s, func(spec *durable.EntitySpec[command, event]) {
			spec.Events = counting{events, &read}
		})
		if got := cents(t, counted.Ref("42")); got != 25 || read != 25 {
			t.Errorf("balance %d after reading %d events, want 25 and 25", got, read)
		}
		_ = sys.Stop(t.Context())
	})
}

// counting counts what it decodes.
type counting struct {
	*durable.Union[event]
	n *int
}

func (c counting) Decode(m wire.Message) (event, error) {
	*c.n++
	return c.Union.Decode(m)
}

func TestUpcast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		put := func(key store.Stream, old depositedV1) {
			m, err := wire.CBOR[depositedV1]("bank.Deposited").Encode(old)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Commit(t.Context(), &store.Batch{Appends: []store.Append{{
				Stream: key, Expected: store.Any, Events: []store.Event{{Type: "cbor:bank.Deposited", Data: m.Data}},
			}}}); err != nil {
				t.Fatal(err)
			}
		}
		put("account/old", depositedV1{3})
		put("account/bad", depositedV1{-3})
		var failures []error
		sys := actor.NewSystem(actor.Options{Logger: discard, Hooks: []actor.Hooks{{
			Failed: func(_ actor.Address, err error, _ actor.Directive) { failures = append(failures, err) },
		}}})
		accounts := bank(t, sys, s, nil)
		if got := cents(t, accounts.Ref("old")); got != 300 {
			t.Errorf("balance %d, want 300", got)
		}
		// An entity that can't recover keeps its commands and tries again.
		if err := accounts.Ref("bad").Tell(t.Context(), deposit{1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := queued(t, s, "account/bad"); n != 1 {
			t.Errorf("%d commands wait, want 1", n)
		}
		if len(failures) == 0 || !strings.Contains(fmt.Sprint(failures[0]), "account/bad: the state can't be recovered: position 1") || fault.CodeOf(failures[0]) != fault.Poison {
			t.Errorf("failures %v", failures)
		}
		if len(failures) > 100 {
			t.Errorf("%d failures in a minute", len(failures))
		}
		_ = sys.Stop(t.Context())
	})
}

func TestUnionRefuses(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"no event": func() { durable.Type[event](wire.CBOR[note]("n")) },
		"name twice": func() {
			durable.NewUnion(durable.Type[event](wire.CBOR[deposited]("d")), durable.Type[event](wire.CBOR[withdrawn]("d")))
		},
		"type twice": func() {
			durable.NewUnion(durable.Type[event](wire.CBOR[deposited]("a")), durable.Type[event](wire.CBOR[deposited]("b")))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	u := durable.NewUnion(durable.Type[event](wire.CBOR[deposited]("bank.Deposited")))
	if _, err := u.Encode(withdrawn{}); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("encode of a stranger: %v", err)
	}
	_, err := u.Decode(wire.Message{Type: "bank.Deposit", Codec: "cbor"})
	if !errors.Is(err, wire.ErrUnregistered) || fault.CodeOf(err) != fault.Poison || !strings.Contains(err.Error(), `did you mean "bank.Deposited"`) {
		t.Errorf("decode of a stranger: %v", err)
	}
	up := durable.NewUnion(durable.Upcast(wire.CBOR[int]("n"), func(int) (event, error) { panic("no") }))
	if _, err := up.Decode(wire.Message{Type: "n", Codec: "cbor", Data: []byte{1}}); fault.CodeOf(err) != fault.Poison {
		t.Errorf("upcast that panics: %v", err)
	}
}

// An entity leaves memory when it is idle and comes back with the next command.
func TestPassivation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		sys := newSystem(t)
		accounts := bank(t, sys, s, func(spec *durable.EntitySpec[command, event]) { spec.Idle = time.Minute; spec.Active = 2 })
		for i := range 3 { // one more than may be in memory
			if err := accounts.Ref(fmt.Sprint(i)).Tell(t.Context(), deposit{10}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := accounts.Active(); n != 2 {
			t.Errorf("%d active, want 2", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := accounts.Active(); n != 1 { // the third had its turn
			t.Errorf("%d active, want 1", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := accounts.Active(); n != 0 {
			t.Errorf("%d active, want 0", n)
		}
		if got := cents(t, accounts.Ref("2")); got != 10 {
			t.Errorf("balance %d, want 10", got)
		}
		_ = sys.Stop(t.Context())
	})
}

// Req C9-like fencing, 8f: whoever has the lease writes; the other notices, takes
// back what it decided and waits.
func TestFencing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		sysA, sysB := actor.NewSystem(actor.Options{Name: "a", Logger: discard}), actor.NewSystem(actor.Options{Name: "b", Logger: discard})
		a := bank(t, sysA, s, nil)
		if got := cents(t, a.Ref("42")); got != 0 {
			t.Fatal(got)
		}
		b := bank(t, sysB, s, nil)
		if err := b.Ref("42").Tell(t.Context(), deposit{1}); err != nil {
			t.Fatal(err)
		}
		if got := cents(t, a.Ref("42")); got != 1 { // a has the lease and handles it
			t.Errorf("balance %d, want 1", got)
		}
		// While a is suspended its lease runs out and b takes it.
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := s.steal("entities/account", "b", time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := a.Ref("42").Tell(t.Context(), deposit{1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if head, err := s.Head(t.Context(), "account/42"); err != nil || head != 2 {
			t.Errorf("head %d, %v, want 2: each deposit once", head, err)
		}
		if l, _ := s.Holder(t.Context(), "entities/account"); l.Owner != "b" {
			t.Errorf("lease %+v, want b's", l)
		}
		_ = sysA.Stop(t.Context())
		_ = sysB.Stop(t.Context())
	})
}

// A commit that fails makes the entity anew from what is committed, and nothing
// is done twice or seen before it is committed.
func TestCommitFailure(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"refused": false, "outcome unknown": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newMemory()
				sys := newSystem(t)
				accounts := bank(t, sys, s, nil)
				if err := accounts.Ref("42").Tell(t.Context(), deposit{100}); err != nil {
					t.Fatal(err)
				}
				_ = cents(t, accounts.Ref("42"))
				failures := 3
				fail := func(b *store.Batch) error {
					if len(b.Appends) == 0 || failures == 0 {
						return nil
					}
					failures--
					return store.ErrOutcomeUnknown
				}
				s.mu.Lock()
				if after {
					s.afterCommit = fail
				} else {
					s.beforeCommit = fail
				}
				s.mu.Unlock()
				box, _ := accounts.Mailbox("42")
				got, err := durable.Ask(t.Context(), box, balances, durable.Post[command]{Message: deposit{1}, RequestID: "x"})
				if err != nil || got != 101 {
					t.Errorf("answer %d, %v", got, err)
				}
				if got := cents(t, accounts.Ref("42")); got != 101 {
					t.Errorf("balance %d, want 101", got)
				}
				_ = sys.Stop(context.Background())
			})
		})
	}
}

// A command that panics does not take the state, nor the others' effects, along.
func TestEntityPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		sys := newSystem(t)
		accounts := bank(t, sys, s, nil)
		ref := accounts.Ref("42")
		for _, c := range []command{deposit{1}, explode{}, deposit{2}} {
			if err := ref.Tell(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := cents(t, ref); got != 3 {
			t.Errorf("balance %d, want 3", got)
		}
		if n, _ := s.CountLetters(t.Context(), store.LetterFilter{}); n != 1 {
			t.Errorf("%d letters, want 1", n)
		}
		_ = sys.Stop(t.Context())
	})
}
