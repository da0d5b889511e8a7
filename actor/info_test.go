package actor_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// Req A10: figures taken while everything moves never go back, and add up in the
// end, of ended actors too.
func TestStatsUnderLoad(t *testing.T) {
	actortest.NoLeaks(t)
	sys := actor.NewSystem(actor.Options{Logger: discard(), Supervision: never()})
	const senders, each = 4, 3000
	stop := make(chan struct{})
	var watching, sending sync.WaitGroup
	watching.Go(func() {
		var last uint64
		for {
			var now uint64
			st := sys.Stats()
			for _, k := range st.Kinds {
				now += k.Processed
				if k.Timing.Count > 0 && len(k.Timing.Buckets) != len(actor.TimingBounds())+1 {
					t.Error("buckets do not fit their bounds")
				}
			}
			if now < last || st.Actors < 0 || st.Running < 0 {
				t.Errorf("%d processed after %d; %+v", now, last, st)
			}
			last = now
			_ = sys.Tree()
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range senders {
		sending.Go(func() {
			ref := spawnDoer(t, sys, actor.Spec[do]{Type: "worker"})
			for i := range each {
				f := nothing
				if i%100 == 0 {
					f = failing
				}
				if i%300 == 299 { // a new actor of the same type
					tell(t, ref, f)
					if err := ref.Stop(context.Background()); err != nil {
						t.Error(err)
					}
					ref = spawnDoer(t, sys, actor.Spec[do]{Type: "worker"})
					continue
				}
				tell(t, ref, f)
			}
		})
	}
	sending.Wait()
	if err := sys.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	close(stop)
	watching.Wait()
	st := sys.Stats()
	if len(st.Kinds) != 1 || st.Kinds[0].Type != "worker" || st.Kinds[0].Processed != senders*each || st.Kinds[0].Actors != 0 {
		t.Errorf("%+v", st.Kinds)
	}
	if want := uint64(senders * each / 100); st.Failures != want || st.Restarts != want || st.DeadLetters != want {
		t.Errorf("%d failures, %d restarts, %d dead letters; want %d", st.Failures, st.Restarts, st.DeadLetters, want)
	}
}

// reporter is a behaviour that knows its size.
type reporter struct{ doer }

func (*reporter) MemoryBytes() int64 { return 1 << 20 }

// Req A10: what a snapshot says of one actor.
func TestInfo(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Name: "test", Logger: discard()}, func(t *testing.T, sys *actor.System) {
		ref := spawnDoer(t, sys, actor.Spec[do]{Name: "a", Mailbox: actor.Mailbox{Capacity: 3}, New: func() actor.Behavior[do] { return &reporter{} }})
		tell(t, ref, failing)
		gate := make(chan struct{})
		tell(t, ref, func(*actor.Context[do]) error { <-gate; return nil })
		synctest.Wait()
		for range 3 {
			tell(t, ref, nothing)
		}
		blocked := make(chan error)
		go func() { blocked <- ref.Tell(context.Background(), nothing) }()
		synctest.Wait()
		i, _ := infoOf(sys, "/a")
		if i.Mailbox != 3 || i.Blocked != 1 || i.Capacity != 3 || !i.Busy || i.State != actor.StateRunning || i.Type != "*actor_test.reporter" ||
			i.Message != "actor_test.do" || i.Restarts != 1 || i.Failures != 1 || i.LastError != "test failure" || i.Memory < 1<<20 {
			t.Errorf("%+v", i)
		}
		sleep(time.Second)
		close(gate)
		if err := <-blocked; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		i, _ = infoOf(sys, "/a")
		if i.Mailbox != 0 || i.Busy || i.Processed != 6 || i.Longest != 0 && i.Longest < time.Second {
			t.Errorf("%+v", i)
		}
		if got := ref.String(); got != "test:/a@1" {
			t.Error(got)
		}
	})
}
