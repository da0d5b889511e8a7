package node

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// demoSystem runs the demonstration tree in a system of its own.
func demoSystem(t *testing.T, config DemoConfig) *actor.System {
	t.Helper()
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := spawnDemo(sys, config); err != nil {
		t.Fatal(err)
	}
	return sys
}

// infoAt finds an actor in a snapshot.
func infoAt(t *testing.T, sys *actor.System, path string) actor.Info {
	t.Helper()
	var find func(actor.Info) (actor.Info, bool)
	find = func(i actor.Info) (actor.Info, bool) {
		if i.Path == path {
			return i, true
		}
		for _, c := range i.Children {
			if found, ok := find(c); ok {
				return found, true
			}
		}
		return actor.Info{}, false
	}
	info, ok := find(sys.Tree())
	if !ok {
		t.Fatalf("no actor at %s", path)
	}
	return info
}

// Req A5, A6: the demonstration child crashes when it should, is restarted each
// time, and no job is lost to a crash.
func TestDemoCrashesAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := demoSystem(t, DemoConfig{CrashEvery: 20 * time.Second, Rate: 200})
		<-time.After(61 * time.Second) // of virtual time: crashes at 3, 20, 40 and 60 s
		synctest.Wait()
		worker := infoAt(t, sys, DemoChild)
		if worker.Restarts != 4 || worker.Failures != 4 || worker.LastError == "" {
			t.Errorf("restarts %d, failures %d, last error %q; want 4, 4 and an error", worker.Restarts, worker.Failures, worker.LastError)
		}
		counter := infoAt(t, sys, "/demo/counter")
		if got, want := counter.Processed, uint64(61*200); got < want-200 || got > want {
			t.Errorf("%d jobs counted, want about %d", got, want)
		}
		if worker.Processed-worker.Failures != counter.Processed {
			t.Errorf("the worker did %d jobs, %d were counted", worker.Processed-worker.Failures, counter.Processed)
		}
	})
}

// A worker that a busy machine held up catches up with its producer, within a
// burst: otherwise its mailbox fills for good and the node looks sick.
func TestDemoCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := demoWork{pace: 4 * time.Millisecond}
		do := func(jobs int) time.Duration {
			begin := time.Now()
			for range jobs {
				if err := w.await(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begin)
		}
		do(1000)
		<-time.After(100 * time.Millisecond) // held up
		if took := do(25); took > 4*time.Millisecond {
			t.Errorf("25 late jobs took %s, want none of the time that was lost", took)
		}
		if took := do(1); took != 4*time.Millisecond {
			t.Errorf("the next job took %s, want the pace", took)
		}
		<-time.After(time.Hour) // suspended
		if took := do(1000); took < 4*time.Millisecond*time.Duration(1000)-demoBurst-4*time.Millisecond {
			t.Errorf("1000 jobs after an hour took %s, want no more than a burst made up for", took)
		}
	})
}

// Req A5: too many crashes in a row are the supervisor's failure; the tree comes
// back as a whole.
func TestDemoSurvivesEscalation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := demoSystem(t, DemoConfig{Rate: 10})
		for range actor.DefaultMaxRestarts + 1 {
			if err := crashDemo(sys); err != nil {
				t.Fatal(err)
			}
			<-time.After(500 * time.Millisecond)
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		if root := infoAt(t, sys, "/demo"); root.Restarts != 1 || root.State != actor.StateRunning {
			t.Errorf("supervisor: restarts %d, %s; want 1, running", root.Restarts, root.State)
		}
		before := infoAt(t, sys, "/demo/counter").Processed
		<-time.After(2 * time.Second)
		synctest.Wait()
		if after := infoAt(t, sys, "/demo/counter").Processed; after < before+14 {
			t.Errorf("jobs counted: %d, then %d; the producer has stopped", before, after)
		}
	})
}

func TestDemoOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := demoSystem(t, DemoConfig{})
		<-time.After(time.Hour)
		synctest.Wait()
		if worker := infoAt(t, sys, DemoChild); worker.Processed != 0 || worker.Restarts != 0 {
			t.Errorf("without a rate and crashes: %+v", worker)
		}
	})
}
