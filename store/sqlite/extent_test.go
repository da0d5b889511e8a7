package sqlite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Req F1: what is known of the names that the table has never hides a stream: an
// append to one that exists, as if it did not, is refused, before and after folds,
// after removals, and by a store that has just been opened.
func TestStreamsInAndBeyondTheTable(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "store.db")
	open := func() *Store {
		s, err := Open(t.Context(), path, Options{JournalBytes: 3 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	defer func() { s.Close() }()
	heads := map[store.Stream]store.Position{}
	known := 0
	for round := range 600 {
		folder := []string{"", "a/", "a/b/", "a0", "b/"}[random.IntN(5)]
		name := store.Stream(fmt.Sprintf("%s%02d", folder, random.IntN(40)))
		head := heads[name]
		var wrong *store.PositionError
		fresh := &store.Batch{Appends: []store.Append{{Stream: name, Events: []store.Event{{Type: "t"}}}}}
		if _, err := s.Commit(t.Context(), fresh); head == 0 && err != nil || head > 0 && (!errors.As(err, &wrong) || wrong.Actual != head) {
			t.Fatalf("round %d: a new stream %s, which is at %d: %v", round, name, head, err)
		}
		heads[name] = max(head, 1)
		switch random.IntN(12) {
		case 0:
			if _, err := s.Commit(t.Context(), &store.Batch{Trims: []store.Trim{{Stream: name, Through: store.Everything}}}); err != nil {
				t.Fatal(err)
			}
			delete(heads, name)
		case 1:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, held := range s.mem.streamNames.of { // its writer has ended
				if held != nil && held.greatest != "" {
					known++
				}
			}
			s = open()
		}
	}
	if known == 0 {
		t.Error("nothing is known of the names in the table")
	}
}
