package actortest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// recorder is a testing.TB that keeps its failures. Its cleanups run when told.
type recorder struct {
	testing.TB
	name     string
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Name() string     { return r.name }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// fatal is what Fatalf of a recorder panics with.
type fatal string

func (r *recorder) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

// failure is the text with which f fails its test, "" if it does not.
func failure(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = string(v.(fatal))
		}
	}()
	f()
	return ""
}

func TestNoLeaksFindsAGoroutineOfThisTestOnly(t *testing.T) {
	release := make(chan struct{})
	foreign := make(chan struct{})
	go func() { <-foreign }() // started before: not this test's
	defer close(foreign)

	r := &recorder{name: "TestLeaky"}
	actortest.NoLeaks(r)
	left := make(chan struct{})
	go func() {
		defer close(left)
		go func() { <-release }() // a goroutine's goroutine
	}()
	<-left
	r.cleanups[0]()
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "TestNoLeaksFindsAGoroutineOfThisTestOnly.func") {
		t.Fatalf("failures: %q", r.failures)
	}
	close(release)

	r = &recorder{name: "TestTidy"}
	actortest.NoLeaks(r)
	go func() {}()
	r.cleanups[0]()
	if len(r.failures) != 0 {
		t.Fatalf("failures of a test without leaks: %q", r.failures)
	}
}

type event struct {
	Kind string
	N    int
}

// Req A13
func TestProbe(t *testing.T) {
	t.Parallel()
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		r := &recorder{}
		p := actortest.NewProbe[event](r, sys)
		tell := func(e event) {
			if err := p.Ref().TryTell(e); err != nil {
				t.Fatal(err)
			}
		}
		tell(event{"a", 1})
		tell(event{"b", 2})
		tell(event{"c", 3})
		if got := p.Next(); got != (event{"a", 1}) {
			t.Errorf("got %v", got)
		}
		if got := failure(func() { p.Expect(event{"b", 7}) }); !strings.Contains(got, "event\n\tN: got 2, want 7\nthe") {
			t.Errorf("a wrong message: %q", got)
		}
		p.Expect(event{"c", 3})
		start := time.Now()
		if got := failure(func() { p.Next() }); !strings.Contains(got, "no message within 10s") || !strings.Contains(got, "{Kind:c N:3}") {
			t.Errorf("no message: %q", got)
		}
		if took := time.Since(start); took != actortest.Patience {
			t.Errorf("waited %v", took)
		}
		p.ExpectNone(time.Hour)
		time.AfterFunc(time.Second, func() { tell(event{"late", 4}) })
		if got := failure(func() { p.ExpectNone(time.Hour) }); !strings.Contains(got, "late") {
			t.Errorf("an unexpected message: %q", got)
		}
		tell(event{"d", 5})
		tell(event{"e", 6})
		p.ExpectNone(0)
		_ = p.Drain()
	})
}

func TestExpectDown(t *testing.T) {
	t.Parallel()
	actortest.Run(t, func(t *testing.T, sys *actor.System) {
		p := actortest.NewProbe[int](t, sys)
		if got := failure(func() { actortest.ExpectDown(&recorder{}, sys, p.Ref()) }); !strings.Contains(got, "has not ended within 10s") {
			t.Errorf("of a living actor: %q", got)
		}
		p.Ref().Kill()
		if d := actortest.ExpectDown(t, sys, p.Ref()); d.Reason != actor.ErrKilled || d.Actor != p.Ref().Address() {
			t.Errorf("got %v", d)
		}
	})
}

// account has a bug: a withdrawal looks first and takes later, and the two are
// two messages.
type account struct{ balance int }

type accountMsg struct {
	look  actor.Reply[int]
	take  int
	check actor.Reply[int]
}

func (a *account) Receive(_ *actor.Context[accountMsg], m accountMsg) error {
	a.balance -= m.take
	m.look.Send(a.balance)
	m.check.Send(a.balance)
	return nil
}

// withdraw runs two customers of one account and returns the balance, and a log
// of who did what.
func withdraw(t *testing.T, sys *actor.System) (balance int, log []string) {
	ref, err := actor.Spawn(sys, actor.Spec[accountMsg]{New: func() actor.Behavior[accountMsg] { return &account{balance: 100} }})
	if err != nil {
		t.Fatal(err)
	}
	steps := actortest.NewProbe[string](t, sys)
	for i := range 2 {
		customer, err := actor.Spawn(sys, actor.Spec[int]{New: func() actor.Behavior[int] {
			return actor.BehaviorFunc[int](func(ctx *actor.Context[int], amount int) error {
				has, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) accountMsg { return accountMsg{look: r} })
				if err != nil {
					return err
				}
				if err := steps.Ref().TryTell(fmt.Sprintf("customer %d sees %d", i, has)); err != nil || has < amount {
					return err
				}
				return ref.Tell(ctx, accountMsg{take: amount})
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := customer.TryTell(80); err != nil {
			t.Fatal(err)
		}
	}
	log = []string{steps.Next(), steps.Next()}
	settled := time.NewTimer(time.Second)
	<-settled.C
	balance, err = actor.Ask(t.Context(), ref, func(r actor.Reply[int]) accountMsg { return accountMsg{check: r} })
	if err != nil {
		t.Fatal(err)
	}
	return balance, log
}

// Req A13: some orders show the bug, others do not; equal seeds give equal orders.
func TestExploreFindsAnInterleaving(t *testing.T) {
	outcomes := func() (overdrawn []int, logs []string) {
		run := 0
		actortest.Explore(t, 40, func(t *testing.T, sys *actor.System, _ *rand.Rand) {
			run++
			balance, log := withdraw(t, sys)
			if balance < 0 {
				overdrawn = append(overdrawn, run)
			}
			logs = append(logs, strings.Join(log, "; "))
		})
		return overdrawn, logs
	}
	first, firstLogs := outcomes()
	second, secondLogs := outcomes()
	if len(first) == 0 || len(first) == 40 {
		t.Errorf("%d of 40 orders show the bug; want some, not all", len(first))
	}
	if !slices.Equal(first, second) || !slices.Equal(firstLogs, secondLogs) {
		t.Errorf("the same seeds gave other orders: %v and %v\n%q\n%q", first, second, firstLogs, secondLogs)
	}
}
