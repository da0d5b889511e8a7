package durable_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
)

// Decision 9: a message that its producer sends again has its effects once.
func TestOrigin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, out := newBox(t, s, "notes"), newBox(t, s, "out")
		var l ledger
		send := func(p store.Producer, seq uint64) {
			if _, err := box.Send(t.Context(), durable.Post[note]{Message: note{string(p), int(seq)}, Origin: durable.Origin{Producer: p, Seq: seq}}); err != nil {
				t.Error(err)
			}
		}
		start := func() *actor.System {
			sys := newSystem(t)
			spawn(t, sys, box, durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
				if n.N == 4 {
					return retry.Permanent(errors.New("four"))
				}
				l.add(n)
				return durable.Emit(ctx, out, n)
			})})
			return sys
		}
		for _, seq := range []uint64{1, 1, 2, 1, 2, 3} { // in one batch
			send("a", seq)
		}
		send("b", 1)
		sys := start()
		synctest.Wait()
		send("a", 3)
		send("a", 4) // becomes a letter, and its repetition is none
		send("a", 4)
		send("a", 5)
		synctest.Wait()
		_ = sys.Stop(t.Context())
		sys = start() // what was taken in is known to the next process
		send("a", 5)
		send("a", 6)
		synctest.Wait()
		var got []string
		for _, n := range l.all() {
			got = append(got, fmt.Sprint(n.From, n.N))
		}
		if want := []string{"a1", "a2", "a3", "b1", "a5", "a6"}; !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
		if n := queued(t, s, "out"); n != 6 {
			t.Errorf("%d outputs, want 6", n)
		}
		letters, _ := s.Letters(t.Context(), store.LetterFilter{})
		if len(letters) != 1 {
			t.Fatalf("%d letters, want 1", len(letters))
		}
		// Redriven, it is not taken for a repetition.
		if _, err := durable.NewLetters(s, nil).RedriveOne(t.Context(), letters[0].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if letters, _ = s.Letters(t.Context(), store.LetterFilter{}); len(letters) != 1 {
			t.Errorf("%d letters after the redrive of one that fails, want 1", len(letters))
		}
		if err := box.Forget(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if c, _ := s.Cursors(t.Context(), "queue/notes"); len(c) != 1 {
			t.Errorf("cursors %v, want that of b", c)
		}
		_ = sys.Stop(t.Context())
	})
}

// A message that overtakes those of lower priority does not make them known.
func TestOriginAndPriority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		box, sys := newBox(t, s, "notes"), newSystem(t)
		post := func(seq uint64, p store.Priority, sender string) error {
			_, err := box.Send(t.Context(), durable.Post[note]{
				Message: note{N: int(seq)}, Origin: durable.Origin{Producer: "a", Seq: seq}, Priority: p, Sender: sender,
			})
			return err
		}
		for seq, p := range []store.Priority{store.Normal, store.High, store.Normal, store.High} {
			for range 2 {
				if err := post(uint64(seq)+1, p, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := post(5, store.Normal, "b"); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("a sender that is not the producer: %v", err)
		}
		var l ledger
		spawn(t, sys, box, durable.Spec[note]{New: behave(func(_ *durable.Context[note], n note) error { l.add(n); return nil })})
		synctest.Wait()
		if got := l.numbers(); !slices.Equal(got, []int{2, 4, 1, 3}) {
			t.Errorf("handled %v", got)
		}
		_ = sys.Stop(t.Context())
	})
}
