package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// benchEngine opens an engine on SQLite with fsync, with a task that does
// nothing but note that it was begun.
func benchEngine(b *testing.B, begun func()) (e *Engine, stop func()) {
	b.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(b.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	registry := NewRegistry(TaskType[playConfig]{
		Name: "task.nop", Doc: "Does nothing.",
		Run: func(context.Context, *Task, playConfig) (json.RawMessage, error) {
			if begun != nil {
				begun()
			}
			return nil, nil
		},
	})
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = Open(context.Background(), sys, s, EngineOptions{Registry: registry, Files: fstest.MapFS{}})
	if err != nil {
		b.Fatal(err)
	}
	for _, steps := range []int{1, 10} {
		var text strings.Builder
		fmt.Fprintf(&text, "name: chain%d\nnodes:\n", steps)
		for i := range steps {
			fmt.Fprintf(&text, "  - {id: s%d, type: task.nop", i)
			if i > 0 {
				fmt.Fprintf(&text, ", after: s%d", i-1)
			}
			text.WriteString("}\n")
		}
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text.String())}}, "w.yaml", LoadOptions{Registry: registry})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Deploy(context.Background(), d, ""); err != nil {
			b.Fatal(err)
		}
	}
	return e, func() {
		_ = sys.Stop(context.Background())
		_ = s.Close()
	}
}

// BenchmarkTrigger measures the time from a call of Start to the begin of the
// first task, with one caller, fsync on.
func BenchmarkTrigger(b *testing.B) {
	begun := make(chan time.Time, 1)
	e, stop := benchEngine(b, func() { begun <- time.Now() })
	defer stop()
	var total time.Duration
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		r, err := e.Start(context.Background(), "chain1", StartOptions{})
		if err != nil {
			b.Fatal(err)
		}
		total += (<-begun).Sub(start)
		if _, err := r.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/trigger")
}

// BenchmarkSteps measures step transitions a second with so many runs at a
// time, each a chain of ten tasks.
func BenchmarkSteps(b *testing.B) {
	for _, runs := range []int{1, 64, 1000} {
		b.Run(fmt.Sprint("runs=", runs), func(b *testing.B) { benchRuns(b, "chain10", 10, runs) })
	}
}

// BenchmarkStarts measures how many runs of one task begin and end a second.
func BenchmarkStarts(b *testing.B) {
	for _, callers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) { benchRuns(b, "chain1", 1, callers) })
	}
}

func benchRuns(b *testing.B, workflow string, steps, callers int) {
	var done atomic.Int64
	e, stop := benchEngine(b, func() { done.Add(1) })
	defer stop()
	runs := (b.N + steps - 1) / steps
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range min(callers, runs) {
		wg.Go(func() {
			for next.Add(1) <= int64(runs) {
				r, err := e.Start(context.Background(), workflow, StartOptions{})
				if err == nil {
					_, err = r.Wait(context.Background())
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if done.Load() != int64(runs*steps) {
		b.Fatalf("%d steps of %d", done.Load(), runs*steps)
	}
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(runs)/b.Elapsed().Seconds(), "runs/s")
}
