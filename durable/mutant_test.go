package durable_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/store"
)

// The simulation finds a package that does what it must not: a mutant of it, made
// by a store that takes commits apart.
func TestSimulationFindsMutants(t *testing.T) {
	for _, tt := range mutants {
		t.Run(tt.name, func(t *testing.T) {
			found := 0
			actortest.ExploreWith(t, actor.Options{Logger: discard}, 30, func(t *testing.T, sys *actor.System, random *rand.Rand) {
				if found > 0 {
					return
				}
				s := newSimulation(t, sys, random, tt.breaks)
				s.run()
				if wrong := s.verify(); len(wrong) > 0 {
					found++
					t.Log(strings.Join(wrong, "\n"))
				}
			})
			if found == 0 {
				t.Error("no seed has found it")
			}
		})
	}
}

// mutant is a store that takes commits apart.
type mutant struct {
	store.Store
	breaks func(*store.Batch) []*store.Batch
}

func (m *mutant) Commit(ctx context.Context, b *store.Batch) (r store.Result, err error) {
	for _, b := range m.breaks(b) {
		if r, err = m.Store.Commit(ctx, b); err != nil {
			return store.Result{}, err
		}
	}
	return r, nil
}

var mutants = []struct {
	name   string
	breaks func(b *store.Batch) []*store.Batch
}{
	{"messages end before their effects are there", func(b *store.Batch) []*store.Batch {
		if len(b.Acks) == 0 || len(b.Puts)+len(b.Appends) == 0 {
			return []*store.Batch{b}
		}
		first, rest := store.Batch{Acks: b.Acks}, *b
		rest.Acks = nil
		return []*store.Batch{&first, &rest}
	}},
	{"messages end after their effects are there", func(b *store.Batch) []*store.Batch {
		if len(b.Acks) == 0 || len(b.Puts)+len(b.Appends) == 0 {
			return []*store.Batch{b}
		}
		first, rest := *b, store.Batch{Acks: b.Acks}
		first.Acks = nil
		return []*store.Batch{&first, &rest}
	}},
	{"no fence", func(b *store.Batch) []*store.Batch {
		open := *b
		open.Fence = store.Fence{}
		for i := range open.Appends {
			open.Appends[i].Expected = store.Any
		}
		return []*store.Batch{&open}
	}},
	{"cursors before the rest", func(b *store.Batch) []*store.Batch {
		if len(b.Acks) == 0 || len(b.Cursors) == 0 {
			return []*store.Batch{b}
		}
		first, rest := store.Batch{Cursors: b.Cursors}, *b
		rest.Cursors = nil
		return []*store.Batch{&first, &rest}
	}},
	{"outputs before the rest", func(b *store.Batch) []*store.Batch {
		if len(b.Acks) == 0 || len(b.Puts) == 0 {
			return []*store.Batch{b}
		}
		first, rest := store.Batch{Puts: b.Puts}, *b
		rest.Puts = nil
		return []*store.Batch{&first, &rest}
	}},
	{"letters go after their messages have come", func(b *store.Batch) []*store.Batch {
		if len(b.LetterDeletes) == 0 || len(b.Puts) == 0 {
			return []*store.Batch{b}
		}
		first, rest := store.Batch{Puts: b.Puts}, *b
		rest.Puts = nil
		return []*store.Batch{&first, &rest}
	}},
}
