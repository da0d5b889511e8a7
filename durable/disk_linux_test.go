package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// A disk that becomes full while an actor is told: the teller
// gets the store's error, what was acknowledged is handled once there is room, and
// actor and store are the same ones all the time.
//
// Req F3, F10
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	t.Cleanup(func() {
		// Detached, as a process that another test is starting may still have its files.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "test.db"), sqlite.Options{JournalBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sys := newSystem(t)
	box, out := newBox(t, s, "notes"), newBox(t, s, "out")
	var last atomic.Int64
	var failures atomic.Int64
	handled := make(chan struct{}, 1)
	made := 0
	ref := spawn(t, sys, box, durable.Spec[note]{
		New: func() durable.Behavior[note] {
			made++
			return durable.BehaviorFunc[note](func(ctx *durable.Context[note], n note) error {
				ctx.Then(func() {
					last.Store(int64(n.N))
					select {
					case handled <- struct{}{}:
					default:
					}
				})
				return durable.Emit(ctx, out, n)
			})
		},
		Options: durable.Options{Hooks: durable.Hooks{StoreFailed: func(store.Queue, error) { failures.Add(1) }}},
	})
	told := 0
	tell := func() error {
		err := ref.Tell(t.Context(), note{From: string(make([]byte, 500)), N: told + 1})
		if err == nil {
			told++
		}
		return err
	}
	for err == nil && told < 100_000 {
		err = tell()
	}
	if !errors.Is(err, store.ErrDiskFull) {
		t.Fatalf("after %d: %v", told, err)
	}
	for range 20 {
		if err := tell(); err != nil && !errors.Is(err, store.ErrDiskFull) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := tell(); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	for last.Load() != int64(told) {
		<-handled
	}
	if made != 2 { // one is made to know its type
		t.Errorf("%d behaviours were made", made)
	}
	if err := ref.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var numbers, want []int
	for after := store.MessageID(0); ; {
		page, err := s.Messages(t.Context(), store.MessageFilter{Queue: "out", After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			n, err := decodeNote(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, n.N)
			after = m.ID
		}
	}
	for n := range told {
		want = append(want, n+1)
	}
	if !slices.Equal(numbers, want) || queued(t, s, "notes") != 0 {
		t.Errorf("sent on %v, %d left, want 1 to %s", numbers, queued(t, s, "notes"), strconv.Itoa(told))
	}
	t.Logf("%d told, %d failures were reported", told, failures.Load())
}
