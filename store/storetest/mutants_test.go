package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/store/storetest"
)

// A mutant is a good engine with one defect, which the suite must find.
type mutant struct {
	store.Store
	defect string

	mu   sync.Mutex
	n    int
	last []store.Message
}

// every reports each n-th call.
func (m *mutant) every(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	return m.n%n == 0
}

func (m *mutant) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	c := *b
	switch m.defect {
	case "ignores the expected position":
		c.Appends = append([]store.Append(nil), b.Appends...)
		for i := range c.Appends {
			c.Appends[i].Expected = store.Any
		}
	case "ignores the fence":
		c.Fence = store.Fence{}
	case "loses an acknowledgement":
		if len(b.Acks) > 0 && m.every(2) {
			c.Acks = b.Acks[1:]
		}
	case "loses a message":
		if len(b.Puts) == 1 && b.Puts[0].Dedup == 0 && m.every(2) {
			p := b.Puts[0]
			p.Queue = "nowhere"
			c.Puts = []store.Put{p}
		}
	case "applies half of a batch":
		if len(b.Sets) > 0 && len(b.Appends) > 0 {
			if _, err := m.Store.Commit(ctx, &store.Batch{Sets: b.Sets}); err != nil {
				return store.Result{}, err
			}
			c.Sets = nil
			r, err := m.Store.Commit(ctx, &c)
			r.Versions = make([]int64, len(b.Sets))
			return r, err
		}
	case "forgets requests":
		c.Puts = append([]store.Put(nil), b.Puts...)
		for i := range c.Puts {
			c.Puts[i].Dedup = 0
		}
	}
	return m.Store.Commit(ctx, &c)
}

func (m *mutant) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	switch m.defect {
	case "hands out a message that is held":
		m.mu.Lock()
		if len(m.last) > 0 && m.last[0].Queue == r.Queue {
			defer m.mu.Unlock()
			got := m.last[:1]
			m.last = nil
			return got, nil
		}
		m.mu.Unlock()
		got, err := m.Store.Receive(ctx, r)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.last = got
		return got, err
	case "ignores the order of a key":
		r.Ordered = false
	case "ignores priorities":
		got, err := m.Store.Receive(ctx, r)
		for i, k := 0, len(got)-1; i < k; i, k = i+1, k-1 {
			got[i], got[k] = got[k], got[i]
		}
		return got, err
	case "forgets the hold":
		r.Hold = time.Millisecond
	}
	return m.Store.Receive(ctx, r)
}

func (m *mutant) Acquire(ctx context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	l, err := m.Store.Acquire(ctx, name, owner, ttl)
	if m.defect == "grants a lease twice" && err != nil {
		now, err := m.Store.Holder(ctx, name)
		if err != nil {
			return store.Lease{}, err
		}
		return store.Lease{Name: name, Owner: owner, Epoch: now.Epoch, Until: now.Until}, nil
	}
	return l, err
}

func (m *mutant) Head(ctx context.Context, s store.Stream) (store.Position, error) {
	head, err := m.Store.Head(ctx, s)
	if m.defect == "reads what is old" && head > 1 && m.every(3) {
		return head - 1, nil
	}
	return head, err
}

// defects names each defect and what of the suite must find it.
var defects = map[string][]string{
	"ignores the expected position":    {"linear", "model"},
	"ignores the fence":                {"linear", "model"},
	"grants a lease twice":             {"linear", "model"},
	"reads what is old":                {"linear"},
	"loses an acknowledgement":         {"model"},
	"loses a message":                  {"model"},
	"applies half of a batch":          {"model"},
	"forgets requests":                 {"model"},
	"hands out a message that is held": {"model"},
	"ignores the order of a key":       {"model"},
	"ignores priorities":               {"model"},
	"forgets the hold":                 {"model"},
}

const defectVariable = "STORETEST_DEFECT"

// TestMutant is the suite on a mutant, in a process of its own, as it must fail.
func TestMutant(t *testing.T) {
	part, defect, ok := strings.Cut(os.Getenv(defectVariable), ":")
	if !ok {
		part, defect = "model", "" // the engine without a defect, which must pass
	}
	open := func(tb testing.TB, place string, l store.Limits) store.Store {
		s, err := sqlite.Open(tb.Context(), filepath.Join(place, "store.db"), sqlite.Options{Limits: l})
		if err != nil {
			tb.Fatal(err)
		}
		return &mutant{Store: s, defect: defect}
	}
	switch part {
	case "linear":
		storetest.Linearizability(t, open)
	default:
		storetest.Model(t, open, 1000)
	}
}

// The suite finds each defect: porcupine those of conditional appends and leases,
// the model of a store those of queues and batches as well. Req F10
func TestSuiteFindsDefects(t *testing.T) {
	if os.Getenv(defectVariable) != "" {
		t.Skip("inside of itself")
	}
	for defect, parts := range defects {
		for _, part := range parts {
			t.Run(part+"/"+strings.ReplaceAll(defect, " ", "_"), func(t *testing.T) {
				t.Parallel()
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta("TestMutant")+"$", "-test.count=1")
				cmd.Env = append(os.Environ(), defectVariable+"="+part+":"+defect)
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(string(out), "--- FAIL: TestMutant") {
					t.Errorf("an engine that %s passes: %v\n%s", defect, err, out)
				}
			})
		}
	}
}
