package main

import (
	"fmt"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// subject is the system whose targets are judged; reference is the one that
// relative targets refer to.
const (
	subject   = "troupe"
	reference = "channel"
)

// target is a figure that the subject must reach. A relative one is a multiple
// of the reference's figure in the same run, because absolute figures move with
// the machine.
type target struct {
	workload workload.Name
	metric   workload.Metric
	atLeast  bool // a lower bound; else an upper bound
	relative bool
	bound    float64
}

// targets is the column "Troupe must reach" of the project's numbers.
var targets = []target{
	{workload.Tell1, workload.PerSecond, true, true, 1.2},
	{workload.Tell1, workload.AllocsPerOp, false, false, 0},
	{workload.Tell8, workload.PerSecond, true, true, 1.0},
	{workload.PingPong, workload.PerSecond, true, true, 1.0},
	{workload.AskOne, workload.P50, false, false, 60},
	{workload.AskOne, workload.PerSecond, true, false, 12e6},
	{workload.AskOne, workload.AllocsPerOp, false, false, 0},
	{workload.AskMany, workload.PerSecond, true, false, 2e6},
	{workload.SpawnRate, workload.PerSecond, true, false, 1.5e6},
	{workload.SpawnMemory, workload.IdleBytes, false, false, 450},
	{workload.SpawnMemory, workload.AfterOneBytes, false, false, 800},
	{workload.CrashCycle, workload.P50, false, false, 4_000},
	{workload.CrashCycle, workload.P99, false, false, 100_000},
}

// home holds what the reference reached a second on the machine where the
// absolute targets were set: Debian, 2 cores, Go 1.26. They are judged as they
// stand; the report says how far this machine is from that one.
var home = map[workload.Name]float64{
	workload.Tell1:     26e6,
	workload.Tell8:     28.7e6,
	workload.PingPong:  11.6e6,
	workload.AskOne:    2.9e6,
	workload.AskMany:   1.09e6,
	workload.SpawnRate: 279e3,
}

// allocNoise is how many objects per operation still count as none: what is
// allocated in blocks allocates one now and then. The table has the bytes.
const allocNoise = 0.05

func targetOf(w workload.Name, m workload.Metric) (target, bool) {
	for _, t := range targets {
		if t.workload == w && t.metric == m {
			return t, true
		}
	}
	return target{}, false
}

// met reports whether got reaches the target, given the reference's figure.
func (t target) met(got, reference float64) bool {
	bound := t.bound
	if t.relative {
		bound *= reference
	}
	if t.metric == workload.AllocsPerOp {
		bound += allocNoise
	}
	if t.atLeast {
		return got >= bound
	}
	return got <= bound
}

func (t target) String() string {
	sign := "≤"
	if t.atLeast {
		sign = "≥"
	}
	if t.relative {
		return fmt.Sprintf("%s %.1f × %s", sign, t.bound, reference)
	}
	return sign + " " + format(t.metric, t.bound)
}
