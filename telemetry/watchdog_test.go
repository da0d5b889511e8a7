package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/telemetry"
)

// glutton holds as much memory as it was last told to.
type glutton struct{ bytes int64 }

func (g *glutton) Receive(_ *actor.Context[int64], bytes int64) error {
	g.bytes = bytes
	return nil
}

func (g *glutton) MemoryBytes() int64 { return g.bytes }

// alerts collects what is published.
func alerts(t *testing.T, sys *actor.System) <-chan telemetry.Alert {
	t.Helper()
	got := make(chan telemetry.Alert, 100)
	ref := spawn(t, sys, "alerts", func(_ *actor.Context[telemetry.Alert], a telemetry.Alert) error {
		got <- a
		return nil
	})
	actor.Subscribe(sys, ref, func(a telemetry.Alert) telemetry.Alert { return a })
	return got
}

func spawn[M any](t *testing.T, sys *actor.System, name string, receive actor.BehaviorFunc[M]) actor.Ref[M] {
	t.Helper()
	ref, err := actor.Spawn(sys, actor.Spec[M]{Name: name, Type: name, New: func() actor.Behavior[M] { return receive }})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func stop(t *testing.T, sys *actor.System) {
	t.Helper()
	if err := sys.Stop(context.Background()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// Req A10
func TestWatchdogIsolatesAndReleases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		sys := actor.NewSystem(actor.Options{Logger: telemetry.NewLogger(&bytes.Buffer{}, nil)})
		defer stop(t, sys)
		got := alerts(t, sys)
		ref, err := actor.Spawn(sys, actor.Spec[int64]{Name: "glutton", Type: "glutton", New: func() actor.Behavior[int64] { return &glutton{} }})
		if err != nil {
			t.Fatal(err)
		}
		w := telemetry.NewWatchdog(sys, telemetry.WatchdogOptions{Logger: telemetry.NewLogger(&log, nil)})
		if _, err := actor.SpawnService(sys, actor.ServiceSpec{Name: "watchdog", New: func() actor.Service { return w }}); err != nil {
			t.Fatal(err)
		}
		second := func() {
			<-time.After(time.Second)
			synctest.Wait()
		}

		if err := ref.Tell(t.Context(), 600<<20); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 3 {
			second()
		}
		a := <-got
		if a.Rule != telemetry.RuleMemory || !a.Firing || !a.Isolated || a.Path != "/glutton" || a.Type != "glutton" || a.Value < 600<<20 {
			t.Errorf("alert %+v", a)
		}
		if active := w.Active(); len(active) != 1 || active[0].Path != "/glutton" {
			t.Errorf("active alerts %v", active)
		}
		if err := ref.TryTell(1); !errors.Is(err, actor.ErrIsolated) {
			t.Errorf("a message to an isolated actor: %v, want ErrIsolated", err)
		}

		// It gets smaller by itself, as after it has worked off its mailbox.
		if err := sys.Release("/glutton"); err != nil {
			t.Fatal(err)
		}
		if err := ref.Tell(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			second()
		}
		if a := <-got; a.Rule != telemetry.RuleMemory || a.Firing || a.Isolated {
			t.Errorf("alert %+v", a)
		}
		if err := ref.TryTell(1); err != nil {
			t.Errorf("a message to a released actor: %v", err)
		}
		if active := w.Active(); len(active) != 0 {
			t.Errorf("active alerts %v", active)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `"level":"WARN","msg":"alert","firing":true,"alert":"/glutton: 600 MiB held, limit 512 MiB; isolated","rule":"memory"`) ||
			!strings.Contains(lines[1], `"level":"INFO","msg":"alert","firing":false`) {
			t.Errorf("logged\n%s", log.String())
		}
	})
}

// A handler that never returns is seen, and so is that a waiting one costs
// nothing. Req A10
func TestWatchdogSeesAHandlerThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		cpu      float64 // processors the process uses
		isolated bool
	}{{"busy", 1, true}, {"waiting", 0.01, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sys := actor.NewSystem(actor.Options{Logger: telemetry.NewLogger(&bytes.Buffer{}, nil)})
				defer stop(t, sys)
				release := make(chan struct{})
				defer close(release)
				ref := spawn(t, sys, "loop", func(*actor.Context[int], int) error {
					<-release
					return nil
				})
				begin := time.Now()
				w := telemetry.NewWatchdog(sys, telemetry.WatchdogOptions{
					Logger: telemetry.NewLogger(t.Output(), nil),
					CPU:    func() time.Duration { return time.Duration(tt.cpu * float64(time.Since(begin))) },
				})
				if _, err := actor.SpawnService(sys, actor.ServiceSpec{Name: "watchdog", New: func() actor.Service { return w }}); err != nil {
					t.Fatal(err)
				}
				if err := ref.TryTell(1); err != nil {
					t.Fatal(err)
				}
				<-time.After(10 * time.Second)
				synctest.Wait()
				if err := ref.TryTell(2); errors.Is(err, actor.ErrIsolated) != tt.isolated {
					t.Errorf("a second message: %v; isolated should be %v", err, tt.isolated)
				}
			})
		})
	}
}

func TestWatchdogAlertOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(actor.Options{Logger: telemetry.NewLogger(&bytes.Buffer{}, nil)})
		defer stop(t, sys)
		got := alerts(t, sys)
		ref, err := actor.Spawn(sys, actor.Spec[int64]{Name: "glutton", New: func() actor.Behavior[int64] { return &glutton{bytes: 1 << 40} }})
		if err != nil {
			t.Fatal(err)
		}
		w := telemetry.NewWatchdog(sys, telemetry.WatchdogOptions{
			AlertOnly: true, Interval: time.Minute, Limits: telemetry.Limits{Samples: 1},
			Logger: telemetry.NewLogger(&bytes.Buffer{}, nil),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Serve(ctx) }()
		if a := <-got; a.Isolated || !a.Firing || a.Path != "/glutton" {
			t.Errorf("alert %+v", a)
		}
		if active := w.Active(); len(active) != 1 || active[0].Isolated {
			t.Errorf("active alerts %v", active)
		}
		if err := ref.TryTell(1 << 40); err != nil {
			t.Errorf("a message: %v", err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
	})
}
