package actor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// brood is a supervisor with children that keep a journal.
type brood struct {
	log  *journal
	sup  actor.Ref[do]
	kids map[string]actor.Ref[do]
}

func newBrood(t *testing.T, sys *actor.System, s actor.Supervision, names ...string) *brood {
	t.Helper()
	b := &brood{log: &journal{}, kids: map[string]actor.Ref[do]{}}
	b.sup = spawnDoer(t, sys, actor.Spec[do]{Name: "sup", Supervision: s})
	for _, name := range names {
		spec := actor.Spec[do]{Name: name, New: func() actor.Behavior[do] {
			return &doer{
				start: func(*actor.Context[do]) error { b.log.add("+%s", name); return nil },
				stop:  func(*actor.Context[do]) error { b.log.add("-%s", name); return nil },
			}
		}}
		if strings.HasPrefix(name, "temp") {
			spec.Restart = actor.Temporary
		}
		b.kids[name] = spawnChild(t, b.sup, spec)
	}
	b.log.take()
	return b
}

// Req A4: who is restarted along with a failed child, and in which order: the
// youngest is stopped first and started last; a temporary one does not return.
func TestGroupStrategies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		strategy actor.Strategy
		failed   string
		want     string
	}{
		{actor.OneForOne, "b", "-b +b"},
		{actor.OneForAll, "b", "-b -d -temp -a +a +b +d"},
		{actor.OneForAll, "temp", "-temp"},
		{actor.RestForOne, "a", "-a -d -temp -b +a +b +d"},
		{actor.RestForOne, "b", "-b -d -temp +b +d"},
		{actor.RestForOne, "d", "-d +d"},
	} {
		t.Run(fmt.Sprint(tt.strategy, tt.failed), func(t *testing.T) {
			t.Parallel()
			actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
				b := newBrood(t, sys, actor.Supervision{Strategy: tt.strategy}, "a", "b", "temp", "d")
				var handled atomic.Int32
				for _, name := range []string{"a", "b", "d"} { // what waits survives
					tell(t, b.kids[name], func(*actor.Context[do]) error { handled.Add(1); return nil })
				}
				tell(t, b.kids[tt.failed], failing)
				synctest.Wait()
				for _, name := range []string{"a", "b", "d"} {
					call(t, b.kids[name], func(*actor.Context[do]) error { return nil })
				}
				if got := strings.Join(b.log.take(), " "); got != tt.want || handled.Load() != 3 {
					t.Errorf("got %s, want %s; %d handled", got, tt.want, handled.Load())
				}
				_, gone := infoOf(sys, "/sup/temp")
				if gone == strings.Contains(tt.want, "-temp") {
					t.Errorf("the temporary child is there: %v", gone)
				}
			})
		})
	}
}

// Req A4: two siblings that fail at the same time, in any order, lead to a group
// that runs. Req A9: and soon.
func TestConcurrentFailuresInAGroup(t *testing.T) {
	opts := actor.Options{Logger: discard()}
	for _, strategy := range []actor.Strategy{actor.OneForAll, actor.RestForOne} {
		actortest.ExploreWith(t, opts, 40, func(t *testing.T, sys *actor.System, _ *rand.Rand) {
			b := newBrood(t, sys, actor.Supervision{Strategy: strategy, Backoff: actor.Backoff{Jitter: -1}}, "a", "b", "c")
			tell(t, b.kids["a"], failing)
			tell(t, b.kids["b"], failing)
			tell(t, b.kids["c"], failing)
			begin := time.Now()
			for _, name := range []string{"a", "b", "c"} {
				call(t, b.kids[name], func(*actor.Context[do]) error { return nil })
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("the group is back after %v", took)
			}
		})
	}
}

// A sibling whose handler waits for the failed one does not hold its restart up.
func TestGroupRestartWhileASiblingAsks(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		b := newBrood(t, sys, actor.Supervision{Strategy: actor.OneForAll}, "a", "temp", "c")
		gate := make(chan struct{})
		begin := time.Now()
		tell(t, b.kids["a"], func(*actor.Context[do]) error { <-gate; return errTest })
		for _, name := range []string{"c", "temp"} {
			tell(t, b.kids[name], func(ctx *actor.Context[do]) error {
				_, err := actor.Ask(ctx, b.kids["a"], answer(1))
				return err
			})
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		call(t, b.kids["a"], func(*actor.Context[do]) error { return nil })
		call(t, b.kids["c"], func(ctx *actor.Context[do]) error { return ctx.Err() })
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if i, _ := infoOf(sys, "/sup/c"); i.Failures != 0 {
			t.Errorf("an interrupted sibling counts %d failures: %s", i.Failures, i.LastError)
		}
	})
}

// A member that can't start again begins the restart of the group anew, until
// the intensity is used up and the supervisor fails.
func TestFailureDuringGroupRestart(t *testing.T) {
	t.Parallel()
	for _, failures := range []int{2, 1 << 20} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			t.Parallel()
			actortest.RunWith(t, actor.Options{Logger: discard(), Supervision: actor.Supervision{MaxRestarts: -1}}, func(t *testing.T, sys *actor.System) {
				sup := spawnDoer(t, sys, actor.Spec[do]{Name: "sup", Supervision: actor.Supervision{Strategy: actor.OneForAll}})
				a := spawnChild(t, sup, actor.Spec[do]{Name: "a"})
				starts := 0
				bad := spawnChild(t, sup, actor.Spec[do]{Name: "b", New: func() actor.Behavior[do] {
					return &doer{start: func(*actor.Context[do]) error {
						starts++
						if starts > 1 && starts <= 1+failures {
							return errTest
						}
						return nil
					}}
				}})
				tell(t, a, failing)
				if failures > 5 {
					<-sup.Done()
					return
				}
				sleep(time.Second)
				call(t, bad, func(*actor.Context[do]) error { return nil })
				call(t, a, func(*actor.Context[do]) error { return nil })
				if starts != 2+failures {
					t.Errorf("%d starts", starts)
				}
			})
		})
	}
}

// Req A8: a stop during the backoff of a group ends at once and leaves nothing.
func TestStopDuringGroupBackoff(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		b := newBrood(t, sys, actor.Supervision{Strategy: actor.OneForAll, Backoff: actor.Backoff{Initial: 240 * time.Hour, Max: 240 * time.Hour}}, "a", "b")
		tell(t, b.kids["a"], failing)
		synctest.Wait()
		tell(t, b.kids["b"], failing)
		synctest.Wait()
		begin := time.Now()
		if err := b.sup.Stop(context.Background()); err != nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// Req A5: at the top of the tree the group is stopped, as nobody is above.
func TestTopLevelGroupIsStopped(t *testing.T) {
	t.Parallel()
	opts := actor.Options{Logger: discard(), Supervision: actor.Supervision{Strategy: actor.RestForOne, MaxRestarts: -1}}
	actortest.RunWith(t, opts, func(t *testing.T, sys *actor.System) {
		a, b, c := spawnDoer(t, sys, actor.Spec[do]{Name: "a"}), spawnDoer(t, sys, actor.Spec[do]{Name: "b"}), spawnDoer(t, sys, actor.Spec[do]{Name: "c"})
		tell(t, b, failing)
		<-b.Done()
		<-c.Done()
		call(t, a, func(*actor.Context[do]) error { return nil })
	})
}
