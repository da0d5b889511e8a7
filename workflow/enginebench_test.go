package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// benchStores are the stores to measure, both with fsync.
var benchStores = []struct {
	name string
	open func(b *testing.B) (store.Store, error)
}{
	{"sqlite", func(b *testing.B) (store.Store, error) {
		return sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "s.db"), sqlite.Options{})
	}},
	{"postgres", func(b *testing.B) (store.Store, error) {
		return postgres.Open(b.Context(), postgrestest.Start(b), postgres.Options{})
	}},
}

// onStores runs a benchmark on each of the stores.
func onStores(b *testing.B, name string, run func(b *testing.B, open func(b *testing.B) (store.Store, error))) {
	for _, s := range benchStores {
		b.Run("store="+s.name+name, func(b *testing.B) { run(b, s.open) })
	}
}

// benchEngine opens an engine with a task that does nothing but note that it was
// begun.
func benchEngine(b *testing.B, open func(b *testing.B) (store.Store, error), begun func()) (e *Engine, stop func()) {
	b.Helper()
	s, err := open(b)
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
func BenchmarkTrigger(b *testing.B) { onStores(b, "", benchTrigger) }

func benchTrigger(b *testing.B, open func(b *testing.B) (store.Store, error)) {
	begun := make(chan time.Time, 1)
	e, stop := benchEngine(b, open, func() { begun <- time.Now() })
	defer stop()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		r, err := e.Start(context.Background(), "chain1", StartOptions{})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-begun).Sub(start))
		if _, err := r.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	reportTimes(b, took, "trigger")
}

// reportTimes reports the median and the 99th percentile of how long something took.
func reportTimes(b *testing.B, took []time.Duration, what string) {
	slices.Sort(took)
	for name, at := range map[string]int{"p50": len(took) / 2, "p99": len(took) * 99 / 100} {
		b.ReportMetric(float64(took[at].Nanoseconds())/1e6, name+"-ms/"+what)
	}
}

// BenchmarkSteps measures step transitions a second with so many runs at a
// time, each a chain of ten tasks.
func BenchmarkSteps(b *testing.B) {
	for _, runs := range []int{1, 64, 1000} {
		onStores(b, fmt.Sprint("/runs=", runs), func(b *testing.B, open func(b *testing.B) (store.Store, error)) {
			benchRuns(b, open, "chain10", 10, runs)
		})
	}
}

// BenchmarkStarts measures how many runs of one task begin and end a second.
func BenchmarkStarts(b *testing.B) {
	for _, callers := range []int{1, 64, 1000} {
		onStores(b, fmt.Sprint("/callers=", callers), func(b *testing.B, open func(b *testing.B) (store.Store, error)) {
			benchRuns(b, open, "chain1", 1, callers)
		})
	}
}

func benchRuns(b *testing.B, open func(b *testing.B) (store.Store, error), workflow string, steps, callers int) {
	var done atomic.Int64
	e, stop := benchEngine(b, open, func() { done.Add(1) })
	defer stop()
	runs := (b.N + steps - 1) / steps
	var next atomic.Int64
	took := make([]time.Duration, runs)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range min(callers, runs) {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(runs); n = next.Add(1) {
				start := time.Now()
				r, err := e.Start(context.Background(), workflow, StartOptions{})
				if err == nil {
					_, err = r.Wait(context.Background())
				}
				if err != nil {
					b.Error(err)
					return
				}
				took[n-1] = time.Since(start)
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
	reportTimes(b, took, "run")
}

// BenchmarkRecover measures how long the next engine takes until the runs go on
// that were under way when the last one was killed, each with a task that had
// begun: until the first of them, and until all.
func BenchmarkRecover(b *testing.B) {
	for _, runs := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint("runs=", runs), func(b *testing.B) { benchRecover(b, runs) })
	}
}

func benchRecover(b *testing.B, runs int) {
	path := filepath.Join(b.TempDir(), "s.db")
	begun := make(chan struct{}, runs)
	registry := NewRegistry(TaskType[playConfig]{
		Name: "task.hold", Doc: "Goes on until it is interrupted.",
		Run: func(ctx context.Context, _ *Task, _ playConfig) (json.RawMessage, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	open := func(path string) (e *Engine, stop func()) {
		s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		if e, err = Open(context.Background(), sys, s, EngineOptions{Registry: registry, Files: fstest.MapFS{}}); err != nil {
			b.Fatal(err)
		}
		return e, func() {
			_ = sys.Stop(context.Background())
			_ = s.Close()
		}
	}
	e, stop := open(path)
	text := "name: hold\nnodes:\n  - {id: a, type: value, with: {output: \"1\"}}\n  - {id: b, type: task.hold, after: a}\n"
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: registry})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := e.Deploy(context.Background(), d, ""); err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 256 {
		wg.Go(func() {
			for next.Add(1) <= int64(runs) {
				if _, err := e.Start(context.Background(), "hold", StartOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for range runs {
		<-begun
	}
	left := path + ".killed"
	benchCopy(b, path, left)
	stop()
	var first, all time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		benchCopy(b, left, path)
		b.StartTimer()
		start := time.Now()
		_, stop = open(path)
		<-begun
		first += time.Since(start)
		for range runs - 1 {
			<-begun
		}
		all += time.Since(start)
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	b.ReportMetric(first.Seconds()/float64(b.N), "s/first")
	b.ReportMetric(all.Seconds()/float64(b.N), "s/all")
}

// benchCopy copies a store that nobody writes at present, as a kill leaves it:
// with all that is in SQLite's log and in the journal.
func benchCopy(b *testing.B, from, to string) {
	b.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + suffix)
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut measures a run of one foreach with so many tasks.
func BenchmarkFanOut(b *testing.B) {
	for _, tasks := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint("tasks=", tasks), func(b *testing.B) {
			var done atomic.Int64
			e, stop := benchEngine(b, benchStores[0].open, func() { done.Add(1) })
			defer stop()
			e.options.Registry.Add(TaskType[playConfig]{
				Name: "task.list", Doc: "Gives out a list.",
				Run: func(context.Context, *Task, playConfig) (json.RawMessage, error) {
					return json.Marshal(make([]int, tasks))
				},
			})
			const text = `
name: fan
nodes:
  - {id: list, type: task.list}
  - id: all
    type: foreach
    after: list
    with: {items: steps.list.output, parallel: 1000}
    do:
      - {id: one, type: task.nop}
`
			d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: e.options.Registry})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := e.Deploy(context.Background(), d, ""); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				r, err := e.Start(context.Background(), "fan", StartOptions{})
				if err == nil {
					_, err = r.Wait(context.Background())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if done.Load() != int64(b.N*tasks) {
				b.Fatalf("%d tasks", done.Load())
			}
			b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}
