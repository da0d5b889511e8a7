package workflow

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Req W1: a run is cancelled by Cancel, by its context and by the end of the
// system, wherever its nodes are blocked.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(r flowRun, cancel context.CancelFunc, sys *actor.System){
		"Cancel":  func(r flowRun, _ context.CancelFunc, _ *actor.System) { r.Cancel() },
		"context": func(_ flowRun, cancel context.CancelFunc, _ *actor.System) { cancel() },
		"system":  func(_ flowRun, _ context.CancelFunc, sys *actor.System) { go sys.Stop(context.Background()) },
	} {
		for _, blocked := range []string{"in", "keep", "out"} {
			t.Run(name+" while blocked in "+blocked, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					block := func(ctx context.Context, node string) error {
						if node == blocked {
							<-ctx.Done()
							return ctx.Err()
						}
						return nil
					}
					l := &lab{
						read:  func(ctx context.Context, node string, _ int) error { return block(ctx, node) },
						apply: func(ctx context.Context, node string, _ Batch) error { return block(ctx, node) },
						write: func(ctx context.Context, node string, _ Batch) error { return block(ctx, node) },
					}
					d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(10_000, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
					if err != nil {
						t.Fatal(err)
					}
					sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					r, err := startFlowRun(ctx, sys, d, flowOptions{})
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if s := r.Info().State; s != StateRunning {
						t.Fatalf("the run is %s", s)
					}
					began := time.Now()
					how(r, cancel, sys)
					info, err := r.Wait(context.Background())
					if info.State != StateCancelled || fault.CodeOf(err) != fault.Canceled {
						t.Errorf("%s: %v", info.State, err)
					}
					if took := time.Since(began); took > 0 {
						t.Errorf("it took %s", took)
					}
					if got := strings.Join(l.sinks["out"].told, " "); got != "open abort" {
						t.Errorf("the sink was told to %s", got)
					}
					if len(l.closed) != 1 {
						t.Error("the source was not closed")
					}
					if err := sys.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// Req W1: the end of the context that a flow was started with is never missed,
// although the flow's own context, which is derived from it, may end first.
func TestCancelIsNotMissed(t *testing.T) {
	t.Parallel()
	l := &lab{write: func(ctx context.Context, _ string, _ Batch) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(1, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
			if err != nil {
				t.Fatal(err)
			}
			sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(context.Background())
			r, err := startFlowRun(ctx, sys, d, flowOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for range 5000 { // which are told, too, in any order: it takes a while
				context.AfterFunc(ctx, func() {})
			}
			synctest.Wait()
			cancel()
			if info, err := r.Wait(context.Background()); info.State != StateCancelled {
				t.Errorf("%s: %v", info.State, err)
			}
			_ = sys.Stop(context.Background())
		})
	}
}

// A cancel that comes while sinks are being committed is too late.
func TestCancelWhileCommitting(t *testing.T) {
	t.Parallel()
	l := &lab{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		l.tell = func(ctx context.Context, node, what string) error {
			if node == "rows" && what == "commit" {
				cancel()
				synctest.Wait()
			}
			return ctx.Err()
		}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(diamond)}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := startFlowRun(ctx, sys, d, flowOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := r.Wait(context.Background()); err != nil || info.State != StateCompleted {
			t.Errorf("%s: %v", info.State, err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Req W7: backpressure. While the sink is blocked, the source does not run
// ahead further than the queues between them hold.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	l := &lab{}
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l.write = func(ctx context.Context, _ string, _ Batch) error {
			<-gate
			return nil
		}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(100_000, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := startFlowRun(context.Background(), sys, d, flowOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			synctest.Wait()
			info := r.Info()
			ahead := info.Nodes[0].Batches - info.Nodes[2].RowsOut/10
			// Two queues of three, the batch in the hands of each of the three nodes,
			// and the sink's being counted when it is written.
			if ahead < 4 || ahead > 2*3+3 {
				t.Fatalf("the source is %d batches ahead:\n%s", ahead, figures(info))
			}
			gate <- struct{}{}
		}
		close(gate)
		if info, err := r.Wait(context.Background()); err != nil || info.RowsOut() != 100_000 {
			t.Errorf("%d rows, %v", info.RowsOut(), err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestStartWithAnEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(1, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		if _, err := startFlowRun(ctx, sys, d, flowOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A run is a child of whoever starts it: an actor's handler, too.
func TestStartBelowAnActor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(100, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		type start struct{ reply actor.Reply[flowRun] }
		boss, err := actor.Spawn(sys, actor.Spec[start]{Name: "runs", New: func() actor.Behavior[start] {
			return actor.BehaviorFunc[start](func(ctx *actor.Context[start], m start) error {
				r, err := startFlowRun(context.WithoutCancel(ctx), ctx, d, flowOptions{})
				if err != nil {
					return err
				}
				m.reply.Send(r)
				return nil
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := actor.Ask(t.Context(), boss, func(reply actor.Reply[flowRun]) start { return start{reply} })
		if err != nil {
			t.Fatal(err)
		}
		info, err := r.Wait(t.Context())
		if err != nil || !strings.HasPrefix(info.Nodes[0].ActorPath, "/runs/line-") || !strings.HasSuffix(info.Nodes[0].ActorPath, "/in") {
			t.Errorf("%s, %v", info.Nodes[0].ActorPath, err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
