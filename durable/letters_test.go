package durable_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// dead makes dead letters of the notes 0 to n-1 by a handler that refuses them.
func dead(t *testing.T, s store.Store, n int) {
	t.Helper()
	box, sys := newBox(t, s, "notes"), newSystem(t)
	for i := range n {
		if err := box.Tell(t.Context(), note{"x", i}); err != nil {
			t.Fatal(err)
		}
	}
	left := n
	done := make(chan struct{})
	ref := spawn(t, sys, box, durable.Spec[note]{
		New: behave(func(*durable.Context[note], note) error { return retry.Permanent(errors.New("refused")) }),
		Options: durable.Options{Hooks: durable.Hooks{Buried: func(store.Queue, *fault.Error) {
			if left--; left == 0 {
				close(done)
			}
		}}},
	})
	<-done
	if err := ref.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = sys.Stop(t.Context())
}

func noteTypes(t *testing.T) *wire.Registry {
	t.Helper()
	types := &wire.Registry{}
	if err := wire.Register(types, noteType); err != nil {
		t.Fatal(err)
	}
	return types
}

// Req F9: list, inspect, edit, delete, redrive one.
func TestLetters(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	dead(t, s, 4)
	letters := durable.NewLetters(s, noteTypes(t))
	var ids []store.LetterID
	for l, err := range letters.All(t.Context(), store.LetterFilter{Queue: "notes", Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, l.ID)
	}
	if n, err := letters.Count(t.Context(), store.LetterFilter{}); len(ids) != 4 || n != 4 || err != nil {
		t.Fatalf("letters %v, %d, %v", ids, n, err)
	}
	in, err := letters.Inspect(t.Context(), ids[1])
	if err != nil || in.Problem != nil || string(in.JSON) != `{"from":"x","n":1}` || in.Codec != "cbor" || in.ErrorMessage != "refused" {
		t.Errorf("inspection %+v, %v", in, err)
	}
	blind, err := durable.NewLetters(s, nil).Inspect(t.Context(), ids[1])
	if err != nil || !errors.Is(blind.Problem, wire.ErrUnregistered) || blind.JSON != nil {
		t.Errorf("inspection %+v, %v", blind, err)
	}
	if _, err := letters.EditJSON(t.Context(), ids[1], "", []byte(`{"frm":"x"}`)); !errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), `unknown field "frm"`) {
		t.Errorf("edit: %v", err)
	}
	if l, err := letters.EditJSON(t.Context(), ids[1], "", []byte(`{"from":"x","n":100}`)); err != nil || l.Version != 2 {
		t.Errorf("edited %+v, %v", l, err)
	}
	_, err = letters.Edit(t.Context(), ids[1], func(l *store.Letter) error {
		_, err := letters.EditJSON(t.Context(), l.ID, "", []byte(`{"from":"y","n":100}`))
		return err
	})
	if !errors.Is(err, durable.ErrChanged) {
		t.Errorf("edit of what somebody else edits: %v", err)
	}
	refused := errors.New("no")
	if _, err := letters.Edit(t.Context(), ids[1], func(*store.Letter) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("edit that refuses: %v", err)
	}
	if err := letters.Delete(t.Context(), ids[0]); err != nil {
		t.Error(err)
	}
	if err := letters.Delete(t.Context(), ids[2], ids[0]); !errors.Is(err, store.ErrNoLetter) {
		t.Errorf("delete twice: %v", err)
	}
	if _, err := letters.RedriveOne(t.Context(), ids[0]); !errors.Is(err, store.ErrNoLetter) {
		t.Errorf("redrive of what is gone: %v", err)
	}
	id, err := letters.RedriveOne(t.Context(), ids[1])
	if err != nil || id == 0 {
		t.Fatal(err)
	}
	got, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "notes", Max: 10})
	if err != nil || len(got) != 1 || got[0].ID != id || string(got[0].Meta) != "cbor;redrives=1" {
		t.Errorf("queue has %+v, %v", got, err)
	}
	for _, dryRun := range []bool{true, false} {
		if n, err := letters.DeleteWhere(t.Context(), store.LetterFilter{Contains: "refused", Limit: 1}, dryRun); n != 2 || err != nil {
			t.Errorf("delete where, dry run %v: %d, %v", dryRun, n, err)
		}
	}
	if n, _ := letters.Count(t.Context(), store.LetterFilter{}); n != 0 {
		t.Errorf("%d letters are left", n)
	}
	if _, err := s.Commit(t.Context(), &store.Batch{LetterAdds: []store.Letter{{ErrorMessage: "from elsewhere"}}}); err != nil {
		t.Fatal(err)
	}
	all, _ := letters.List(t.Context(), store.LetterFilter{})
	if _, err := letters.RedriveOne(t.Context(), all[0].ID); !errors.Is(err, fault.FailedPrecondition) || !strings.Contains(err.Error(), "no queue") {
		t.Errorf("redrive to nowhere: %v", err)
	}
}

// What a message is about comes to its handler and stays with its letter, however
// it became one. Req F4, F9
func TestSubject(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	box, sys := newBox(t, s, "notes"), newSystem(t)
	var seen []string
	buried := make(chan struct{}, 1)
	ref := spawn(t, sys, box, durable.Spec[note]{
		New: behave(func(ctx *durable.Context[note], _ note) error {
			seen = append(seen, ctx.Delivery().Subject)
			return retry.Permanent(errors.New("refused"))
		}),
		Options: durable.Options{Hooks: durable.Hooks{Buried: func(store.Queue, *fault.Error) { buried <- struct{}{} }}},
	})
	const subject = "a;b=c/ü"
	if _, err := box.Send(t.Context(), durable.Post[note]{Message: note{"x", 1}, Subject: subject}); err != nil {
		t.Fatal(err)
	}
	<-buried
	letters := durable.NewLetters(s, noteTypes(t))
	all, err := letters.List(t.Context(), store.LetterFilter{})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if _, err := letters.EditJSON(t.Context(), all[0].ID, "", []byte(`{"from":"y","n":2}`)); err != nil {
		t.Fatal(err)
	}
	if in, err := letters.Inspect(t.Context(), all[0].ID); err != nil || in.Subject != subject || string(in.JSON) != `{"from":"y","n":2}` {
		t.Errorf("inspection %+v, %v", in, err)
	}
	if _, err := letters.RedriveOne(t.Context(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	<-buried
	added := store.Letter{Queue: "notes", Envelope: store.Envelope{Type: "test.Note", Data: []byte{0xff}}, ErrorMessage: "x", ErrorType: "POISON"}
	id, err := letters.Add(t.Context(), added, "cbor", subject)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := letters.Inspect(t.Context(), id); err != nil || in.Subject != subject || in.Codec != "cbor" || in.Problem == nil {
		t.Errorf("inspection %+v, %v", in, err)
	}
	if _, err := letters.EditJSON(t.Context(), id, "", []byte(`{"from":"z","n":3}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := letters.RedriveOne(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	<-buried
	if err := ref.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []string{subject, subject, subject}) {
		t.Errorf("the handler saw %q", seen)
	}
	if _, err := letters.Add(t.Context(), store.Letter{ID: 7}, "", ""); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a letter that names its id: %v", err)
	}
}

// Req F9: redrive by filter, at a rate, stopping when a share fails.
func TestRedrive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		letters int
		fails   func(n int) bool
		redrive durable.Redrive
		want    durable.RedriveReport
		stopped bool
		took    time.Duration // at least
	}{
		{
			name: "all", letters: 60,
			want: durable.RedriveReport{Found: 60, Redrive: 60, Handled: 60},
		},
		{
			name: "dry run", letters: 60, redrive: durable.Redrive{DryRun: true},
			want: durable.RedriveReport{Found: 60, Redrive: 60},
		},
		{
			name: "at a rate", letters: 30, redrive: durable.Redrive{Rate: 2},
			want: durable.RedriveReport{Found: 30, Redrive: 30, Handled: 30}, took: 14 * time.Second,
		},
		{
			name: "limited", letters: 30, redrive: durable.Redrive{Filter: store.LetterFilter{Limit: 13}},
			want: durable.RedriveReport{Found: 13, Redrive: 13, Handled: 13},
		},
		{
			name: "some fail, each once", letters: 60, fails: func(n int) bool { return n%3 == 0 },
			want: durable.RedriveReport{Found: 60, Redrive: 60, Handled: 40, Failed: 20},
		},
		{
			name: "all fail: the first wave stops it", letters: 60, fails: func(int) bool { return true },
			want: durable.RedriveReport{Found: 10, Redrive: 10, Failed: 10}, stopped: true,
		},
		{
			name: "more than a fifth fail from 10 on", letters: 100, fails: func(n int) bool { return n >= 10 && n%2 == 0 },
			redrive: durable.Redrive{FailShare: 0.2},
			want:    durable.RedriveReport{Found: 30, Redrive: 30, Handled: 20, Failed: 10}, stopped: true,
		},
		{
			name: "without waiting", letters: 20, fails: func(int) bool { return true }, redrive: durable.Redrive{Settle: -1},
			want: durable.RedriveReport{Found: 20, Redrive: 20, Pending: 20},
		},
		{
			name: "by other filters", letters: 10, redrive: durable.Redrive{Filter: store.LetterFilter{ErrorType: "POISON"}},
			want: durable.RedriveReport{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newMemory()
				dead(t, s, tt.letters)
				sys := newSystem(t)
				spawn(t, sys, newBox(t, s, "notes"), durable.Spec[note]{New: behave(func(_ *durable.Context[note], n note) error {
					if tt.fails != nil && tt.fails(n.N) {
						return retry.Permanent(errors.New("again"))
					}
					return nil
				})})
				start := time.Now()
				waves := 0
				tt.redrive.Progress = func(durable.RedriveReport) { waves++ }
				got, err := durable.NewLetters(s, nil).Redrive(t.Context(), tt.redrive)
				if err != nil || tt.stopped != errors.Is(got.Stopped, durable.ErrRedriveStopped) {
					t.Errorf("report %+v, %v", got, err)
				}
				got.Stopped = nil
				if got != tt.want {
					t.Errorf("report %+v, want %+v", got, tt.want)
				}
				if took := time.Since(start); took < tt.took {
					t.Errorf("took %v, want %v at least", took, tt.took)
				}
				if got.Found > 10 && waves < 2 {
					t.Errorf("%d waves", waves)
				}
				_ = sys.Stop(t.Context())
			})
		})
	}
}

func TestRedriveByID(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	dead(t, s, 3)
	letters := durable.NewLetters(s, nil)
	all, err := letters.List(t.Context(), store.LetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var l ledger
	spawn(t, newSystem(t), newBox(t, s, "notes"), durable.Spec[note]{New: behave(func(_ *durable.Context[note], n note) error { l.add(n); return nil })})
	got, err := letters.Redrive(t.Context(), durable.Redrive{IDs: []store.LetterID{all[2].ID, 999999, all[0].ID}})
	if want := (durable.RedriveReport{Found: 2, Redrive: 2, Handled: 2, Skipped: 1}); err != nil || got != want {
		t.Errorf("report %+v, %v", got, err)
	}
	if got := l.numbers(); !slices.Equal(got, []int{2, 0}) {
		t.Errorf("handled %v", got)
	}
	for _, bad := range []durable.Redrive{{Rate: -1}, {Wave: 9999}, {FailShare: -1}, {Filter: store.LetterFilter{Limit: -1}}} {
		if _, err := letters.Redrive(t.Context(), bad); !errors.Is(err, fault.InvalidArgument) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A rehearsal shows what would happen, and nothing does.
func TestRehearse(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	dead(t, s, 4)
	box, out := newBox(t, s, "notes"), newBox(t, s, "out")
	letters, err := s.Letters(t.Context(), store.LetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	then := false
	spec := durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
		if !ctx.Rehearsal() {
			t.Error("it is not known to be a rehearsal")
		}
		ctx.Then(func() { then = true })
		switch n.N {
		case 1:
			return errors.New("still wrong")
		case 2:
			panic("still wrong")
		case 3:
			durable.Reject(ctx, errors.New("no"))
			return nil
		}
		if err := durable.Answer(ctx, noteType, n); err != nil {
			return err
		}
		return durable.Emit(ctx, out, n)
	})}
	got, err := durable.Rehearse(t.Context(), box, spec, letters)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d rehearsals, %v", len(got), err)
	}
	if r := got[0]; r.Err != nil || r.Letter != letters[0].ID || len(r.Outputs) != 1 || r.Outputs[0].Queue != "out" || r.AnswerType != "cbor:test.Note" {
		t.Errorf("rehearsal %+v", r)
	}
	for i, want := range []string{"", "still wrong", "panic: still wrong"} {
		if r := got[i]; i > 0 && (r.Err == nil || !strings.Contains(r.Err.Error(), want) || r.Outputs != nil) {
			t.Errorf("rehearsal %+v, want %q", r, want)
		}
	}
	if r := got[3]; r.Err != nil || r.AnswerType != "fault:" {
		t.Errorf("rehearsal %+v", r)
	}
	if n, _ := s.CountLetters(t.Context(), store.LetterFilter{}); n != 4 || queued(t, s, "out") != 0 || queued(t, s, "notes") != 0 || then {
		t.Errorf("something happened: %d letters", n)
	}
	letters[0].Queue = "other"
	if _, err := durable.Rehearse(t.Context(), box, spec, letters); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("letter of another queue: %v", err)
	}
}

func TestRehearseEntity(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	accounts := bank(t, newSystem(t), s, nil)
	if err := accounts.Ref("42").Tell(t.Context(), deposit{100}); err != nil {
		t.Fatal(err)
	}
	_ = cents(t, accounts.Ref("42"))
	letter := func(q store.Queue, c command) store.Letter {
		m, err := commands.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		return store.Letter{ID: 1, Queue: q, Envelope: store.Envelope{Type: m.Type, Data: m.Data, Meta: []byte(m.Codec)}}
	}
	if _, err := s.Commit(t.Context(), &store.Batch{Appends: []store.Append{{Stream: "account/broken", Events: []store.Event{{Type: "cbor:none"}}}}}); err != nil {
		t.Fatal(err)
	}
	got, err := accounts.Rehearse(t.Context(), []store.Letter{
		letter("account/42", withdraw{30}), letter("account/42", withdraw{80}), letter("account/42", withdraw{180}), letter("account/42", explode{}), letter("account/broken", deposit{}),
	})
	if err != nil || len(got) != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []string{"1 events cbor:bank.Cents <nil>", "1 events cbor:bank.Cents <nil>", "0 events fault: <nil>", "0 events  panic: boom (INTERNAL)"} {
		if have := fmt.Sprintf("%d events %s %v", len(got[i].Events), got[i].AnswerType, got[i].Err); have != want {
			t.Errorf("rehearsal %d: %s, want %s", i, have, want)
		}
	}
	if !errors.Is(got[4].Err, durable.ErrRecovery) {
		t.Errorf("rehearsal of a broken entity: %v", got[4].Err)
	}
	if got := cents(t, accounts.Ref("42")); got != 100 {
		t.Errorf("balance %d, want 100", got)
	}
	if _, err := accounts.Rehearse(t.Context(), []store.Letter{letter("notes", deposit{})}); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("letter of another queue: %v", err)
	}
}
