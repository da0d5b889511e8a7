package actor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

// job is a message for a worker.
type job struct {
	key  string
	do   func() error
	who  actor.Reply[uint64]
	gate chan struct{}
}

// team is a pool of workers that count what they get.
type team struct {
	mu   sync.Mutex
	jobs map[uint64][]string
}

func newTeam(t *testing.T, sys actor.Parent, spec actor.PoolSpec[job]) (actor.Ref[job], *team) {
	t.Helper()
	tm := &team{jobs: map[uint64][]string{}}
	spec.Worker.New = func() actor.Behavior[job] {
		return actor.BehaviorFunc[job](func(ctx *actor.Context[job], j job) error {
			tm.mu.Lock()
			id := ctx.Address().ID
			tm.jobs[id] = append(tm.jobs[id], j.key)
			tm.mu.Unlock()
			j.who.Send(id)
			if j.gate != nil {
				<-j.gate
			}
			if j.do != nil {
				return j.do()
			}
			return nil
		})
	}
	ref, err := actor.SpawnPool(sys, spec)
	if err != nil {
		t.Fatal(err)
	}
	return ref, tm
}

func (tm *team) has(id uint64) bool {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.jobs[id] != nil
}

// counts is how many jobs each worker has had, without their names.
func (tm *team) counts() (workers, total, least, most int) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	least = 1 << 30
	for _, j := range tm.jobs {
		workers++
		total += len(j)
		least, most = min(least, len(j)), max(most, len(j))
	}
	return workers, total, least, most
}

// Req A2: how each routing spreads messages.
func TestPoolRoutings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		routing             actor.Routing
		total, atLeast, max int
	}{
		{actor.RoundRobin, 400, 100, 100},
		{actor.Random, 400, 60, 140},
		{actor.SmallestMailbox, 400, 100, 100},
		{actor.ConsistentHash, 400, 40, 200},
		{actor.Broadcast, 1600, 400, 400},
	} {
		t.Run(fmt.Sprint(tt.routing), func(t *testing.T) {
			t.Parallel()
			actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
				ref, tm := newTeam(t, sys, actor.PoolSpec[job]{Name: "pool", Size: 4, Routing: tt.routing, Key: func(j job) string { return j.key }})
				for i := range 400 {
					tell(t, ref, job{key: fmt.Sprint(i % 100)})
					if tt.routing == actor.SmallestMailbox {
						synctest.Wait()
					}
				}
				synctest.Wait()
				workers, total, least, most := tm.counts()
				if workers != 4 || total != tt.total || least < tt.atLeast || most > tt.max {
					t.Errorf("%d workers, %d jobs, %d to %d each", workers, total, least, most)
				}
				if tt.routing == actor.ConsistentHash {
					home := map[string]uint64{}
					for id, keys := range tm.jobs {
						for _, k := range keys {
							if at, ok := home[k]; ok && at != id {
								t.Errorf("key %s has two workers", k)
							}
							home[k] = id
						}
					}
				}
				if err := ref.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if err := ref.TryTell(job{}); !errors.Is(err, actor.ErrStopped) {
					t.Error(err)
				}
			})
		})
	}
}

// The smallest mailbox is one that is not busy, also for what has no key.
func TestPoolSmallestMailboxAvoidsTheBusy(t *testing.T) {
	t.Parallel()
	for _, routing := range []actor.Routing{actor.SmallestMailbox, actor.ConsistentHash} {
		actortest.Run(t, func(t *testing.T, sys *actor.System) {
			ref, tm := newTeam(t, sys, actor.PoolSpec[job]{Size: 3, Routing: routing, Key: func(j job) string { return j.key }})
			gate := make(chan struct{})
			for range 2 {
				tell(t, ref, job{gate: gate})
			}
			for range 10 {
				tell(t, ref, job{})
				synctest.Wait()
			}
			if _, _, least, most := tm.counts(); least != 1 || most != 10 {
				t.Errorf("%v: %d to %d", routing, least, most)
			}
			close(gate)
		})
	}
}

// Req A4: a worker that fails is restarted by itself; one that ends for good
// leaves the pool, which ends with its last; too many failures begin it anew.
func TestPoolFailures(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		ref, tm := newTeam(t, sys, actor.PoolSpec[job]{Name: "pool", Size: 3})
		fail, end := func() error { return errTest }, func() error { return actor.ErrStop }
		for range 3 {
			tell(t, ref, job{do: fail})
		}
		synctest.Wait()
		if i, _ := infoOf(sys, "/pool"); len(i.Children) != 3 || i.Restarts != 0 || i.Type != "actor.Pool" {
			t.Errorf("%+v", i)
		}
		for left := 2; left >= 0; left-- {
			tell(t, ref, job{do: end})
			sleep(time.Second)
			for range 2 * left {
				tell(t, ref, job{}) // none goes to one that has ended
			}
			synctest.Wait()
		}
		<-ref.Done()
		if _, total, _, _ := tm.counts(); total != 3+3+4+2 {
			t.Errorf("%d jobs", total)
		}

		ref, tm = newTeam(t, sys, actor.PoolSpec[job]{Name: "pool", Size: 2, Supervision: actor.Supervision{MaxRestarts: -1}})
		tell(t, ref, job{do: fail})
		sleep(time.Second)
		for range 4 {
			tell(t, ref, job{})
		}
		synctest.Wait()
		if workers, total, _, _ := tm.counts(); workers != 3 || total != 5 {
			t.Errorf("%d workers, %d jobs", workers, total)
		}
	})
}

// An ask goes to one worker, or to all of which the first answers; a traced tell
// to all is tried by each as often as it may be.
func TestPoolAskAndTrace(t *testing.T) {
	t.Parallel()
	dead := &letters{}
	actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
		for _, routing := range []actor.Routing{actor.RoundRobin, actor.Broadcast} {
			ref, tm := newTeam(t, sys, actor.PoolSpec[job]{Size: 3, Routing: routing, Supervision: never(), Worker: actor.Spec[job]{Attempts: 2}})
			id, err := actor.Ask(t.Context(), ref, func(r actor.Reply[uint64]) job { return job{who: r} })
			if err != nil || !tm.has(id) {
				t.Error(id, err)
			}
			ctx := actor.WithTrace(context.Background(), actor.Trace{ID: [16]byte{1}})
			synctest.Wait()
			_, before, _, _ := tm.counts()
			if err := ref.Tell(ctx, job{do: func() error { return errTest }}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			reached := 1
			if routing == actor.Broadcast {
				reached = 3
			}
			if _, total, _, _ := tm.counts(); total-before != 2*reached || len(dead.take()) != reached {
				t.Errorf("%v: %d tries", routing, total-before)
			}
		}
	})
}

func TestPoolSpecIsChecked(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	worker := actor.Spec[job]{New: func() actor.Behavior[job] { return nil }}
	for name, spec := range map[string]actor.PoolSpec[job]{
		"size":    {Worker: worker},
		"big":     {Size: 1 << 17, Worker: worker},
		"key":     {Size: 1, Routing: actor.ConsistentHash, Worker: worker},
		"routing": {Size: 1, Routing: 99, Worker: worker},
		"worker":  {Size: 1},
	} {
		if _, err := actor.SpawnPool(sys, spec); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := actor.SpawnPool(sys, actor.PoolSpec[job]{Size: 2, Worker: worker}); err == nil {
		t.Error("a pool whose workers can't start")
	}
	if n := sys.Stats().Actors; n != 0 {
		t.Errorf("%d actors are left", n)
	}
}
