package node

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// lineWaiter is a log that tells of a line.
type lineWaiter struct {
	text string
	once sync.Once
	seen chan struct{}
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

// Req W3: a node forgets the ids of deliveries after the time of its configuration,
// and not before.
func TestDeliveriesKnown(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Log.Level = slog.LevelDebug
	c.Runs.DeliveriesKnown = 2 * time.Hour
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// known opens the store, puts in what is given, and says which ids there are.
	known := func(sets ...store.Set) (keys string) {
		t.Helper()
		s, err := sqlite.Open(t.Context(), filepath.Join(c.DataDir, StoreFile), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Commit(t.Context(), &store.Batch{Sets: sets}); err != nil {
			t.Fatal(err)
		}
		entries, err := s.Entries(t.Context(), store.EntryFilter{Prefix: "wf/request/trigger/"})
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			keys += entry.Key + " "
		}
		return keys
	}
	delivered := func(name string, ago time.Duration) store.Set {
		run := fmt.Sprintf("%012x", time.Now().Add(-ago).UnixMilli()) // how the id of a run begins
		return store.Set{Key: "wf/request/trigger/orders/" + name, Value: []byte(run[:8] + "-" + run[8:] + "-7000-8000-000000000000"), Expected: store.Absent}
	}
	known(delivered("new", time.Hour), delivered("old", 3*time.Hour))
	log := &lineWaiter{text: "old ids of deliveries were forgotten", seen: make(chan struct{})}
	n := startNode(t, c, Options{Log: log})
	select {
	case <-log.seen:
	case <-t.Context().Done():
		t.Fatal("nothing is forgotten")
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := known(), "wf/request/trigger/orders/new "; got != want {
		t.Errorf("known are %q, want %q", got, want)
	}
}
