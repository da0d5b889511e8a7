package main

import (
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/systems"
	"github.com/troupe-dev/troupe/bench/internal/workload"
)

var benchSeconds = flag.Float64("bench.seconds", 1, "length of one measurement of a benchmark, in seconds")

// BenchmarkWorkload runs each workload on each system in this process, for
// profiling:
//
//	go test -run '^$' -bench 'Workload/L1/troupe' -benchtime 1x -cpuprofile cpu.out
//
// One iteration is one whole measurement of -bench.seconds; ns/op is the time
// for one message, ask or spawn all the same.
func BenchmarkWorkload(b *testing.B) {
	limits := workload.DefaultLimits(time.Duration(*benchSeconds * float64(time.Second)))
	for _, name := range workload.Names() {
		b.Run(string(name), func(b *testing.B) {
			for _, sys := range systems.All() {
				b.Run(sys.Name(), func(b *testing.B) { benchmark(b, name, sys, limits) })
			}
		})
	}
}

func benchmark(b *testing.B, name workload.Name, sys workload.System, limits workload.Limits) {
	sums := map[workload.Metric]float64{}
	var ops uint64
	var seconds float64
	runs := 0
	for b.Loop() {
		res, err := workload.Run(name, sys, limits)
		if errors.Is(err, workload.ErrNotApplicable) {
			b.Skip("does not apply")
		}
		if err != nil {
			b.Fatal(err)
		}
		runs++
		ops += res.Ops
		seconds += res.Seconds
		for metric, v := range res.Values {
			sums[metric] += v
		}
	}
	b.ReportMetric(seconds*1e9/float64(ops), "ns/op")
	for metric, sum := range sums {
		b.ReportMetric(sum/float64(runs), string(metric))
	}
}
