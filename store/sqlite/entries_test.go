package sqlite

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Req F1: a page of entries is the same whether memory has them, the table, or
// each a part, with some that replace or delete others.
func TestEntriesOfMemoryAndTable(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), Options{JournalBytes: 6 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[string]store.Entry{}
	for round := range 300 {
		b := &store.Batch{}
		for range 1 + random.IntN(4) {
			// A key may come twice in a batch.
			key := fmt.Sprintf("%c/%02d", 'a'+rune(random.IntN(3)), random.IntN(30))
			set := store.Set{Key: key, Value: []byte(fmt.Sprint(round)), Expected: store.AnyVersion, Delete: random.IntN(3) == 0}
			b.Sets = append(b.Sets, set)
			if set.Delete {
				delete(want, key)
			} else {
				want[key] = store.Entry{Key: key, Value: set.Value, Version: want[key].Version + 1}
			}
		}
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		keys := slices.Sorted(maps.Keys(want))
		filter := store.EntryFilter{Prefix: []string{"", "a", "b/", "c/1", "d"}[random.IntN(5)], Limit: 1 + random.IntN(40)}
		if len(keys) > 0 && random.IntN(2) == 0 {
			filter.After = keys[random.IntN(len(keys))]
		}
		var page []store.Entry
		for _, key := range keys {
			if strings.HasPrefix(key, filter.Prefix) && key > filter.After && len(page) < filter.Limit {
				page = append(page, want[key])
			}
		}
		got, err := s.Entries(t.Context(), filter)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(page) {
			t.Fatalf("round %d, %+v:\n%v, %v; want\n%v", round, filter, got, err, page)
		}
	}
	if folds := s.stats.folds.Load(); folds < 5 {
		t.Errorf("only %d folds", folds)
	}
}
