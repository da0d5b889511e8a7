package workflow

import (
	"context"
	"log/slog"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
)

// BenchmarkRun is what a row costs on its way from a source over a filter to a
// sink, all of them in memory.
func BenchmarkRun(b *testing.B) {
	const rows = 100_000
	l := &lab{}
	text := `
name: bench
nodes:
  - {id: in, type: source.rows, with: {columns: {n: int, f: float, s: string}, rows: 100000}}
  - {id: keep, type: filter, from: in, with: {where: "n > 0 && f >= 0.5"}}
  - {id: out, type: sink.memory, from: keep}
`
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		b.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	b.ReportAllocs()
	for b.Loop() {
		r, err := startFlowRun(context.Background(), sys, d, flowOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if info, err := r.Wait(context.Background()); err != nil || info.RowsOut() != rows {
			b.Fatal(info.RowsOut(), err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	if err := sys.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStart is what a run costs that has hardly anything to do.
func BenchmarkStart(b *testing.B) {
	l := &lab{}
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(1, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		b.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	b.ReportAllocs()
	for b.Loop() {
		r, err := startFlowRun(context.Background(), sys, d, flowOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	if err := sys.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
