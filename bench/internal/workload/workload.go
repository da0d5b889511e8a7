// Package workload defines what is measured: the messages, the work a handler
// does, the bound on messages in flight, the clock, and the checks that every
// message arrived once and in order. A [System] brings only the loops that send
// and receive, written in its own natural way, so that no interface call stands
// between a workload and the code it measures.
package workload

import (
	"errors"
	"fmt"
	"time"
)

// Name is a workload's short name, as the tables use it.
type Name string

// The workloads.
const (
	Tell1       Name = "L1"          // tell, one producer, one receiver
	Tell8       Name = "L2"          // tell, eight producers, one receiver
	PingPong    Name = "L3"          // 500 pairs return one ball each
	AskOne      Name = "L4a"         // one asker, an idle target
	AskDeadline Name = "L4a-timeout" // the same with a deadline on every ask
	AskMany     Name = "L4b"         // 64 askers of one actor
	SpawnRate   Name = "L5-spawn"    // spawn, then one message to each
	SpawnMemory Name = "L5-memory"   // bytes of an idle actor, before and after one message
	CrashCycle  Name = "L6"          // panic, restart, next message handled
)

// Names lists the workloads in the order of the tables.
func Names() []Name {
	return []Name{Tell1, Tell8, PingPong, AskOne, AskDeadline, AskMany, SpawnRate, SpawnMemory, CrashCycle}
}

// About says in a few words what a workload does.
func (n Name) About() string {
	switch n {
	case Tell1:
		return "tell 1→1"
	case Tell8:
		return "tell 8→1"
	case PingPong:
		return "500 ping-pong pairs"
	case AskOne:
		return "ask, one asker"
	case AskDeadline:
		return "ask with a deadline, one asker"
	case AskMany:
		return "ask, 64 askers of one actor"
	case SpawnRate:
		return "spawn an actor"
	case SpawnMemory:
		return "idle actor, heap + stack"
	case CrashCycle:
		return "panic → next message handled"
	}
	return string(n)
}

// Metric is the name of one measured quantity; its unit is its last word.
type Metric string

// The metrics.
const (
	PerSecond     Metric = "per_second"       // messages, asks, or spawns a second
	P50           Metric = "p50_ns"           // median, in nanoseconds
	P99           Metric = "p99_ns"           // 99th percentile, in nanoseconds
	AllocsPerOp   Metric = "allocs_per_op"    // heap objects
	BytesPerOp    Metric = "bytes_per_op"     // heap bytes allocated, freed or not
	UsablePerSec  Metric = "usable_per_sec"   // spawned and first message handled
	IdleBytes     Metric = "idle_bytes"       // heap and stack held by an actor that never got a message
	AfterOneBytes Metric = "after_one_bytes"  // the same after one message, at rest again
	StopPerSecond Metric = "stops_per_second" // actors stopped a second
)

// Result is one measurement in one process.
type Result struct {
	Workload Name               `json:"workload"`
	System   string             `json:"system"`
	Ops      uint64             `json:"ops"` // operations measured, as counted at the receiver
	Seconds  float64            `json:"seconds"`
	Values   map[Metric]float64 `json:"values"`
}

// Limits bound a measurement. The zero value measures nothing; see
// [DefaultLimits].
type Limits struct {
	Warm     time.Duration // run unmeasured first, for this long
	For      time.Duration // measure for this long
	Patience time.Duration // then wait this long for what is still in flight
	Pairs    int           // L3
	Askers   int           // L4b
	Spawns   int           // L5-spawn: actors spawned
	Actors   int           // L5-memory: actors held
	Crashes  int           // L6: samples
}

// DefaultLimits are those of the published table, measuring for d.
func DefaultLimits(d time.Duration) Limits {
	return Limits{
		Warm: min(d/5, 200*time.Millisecond), For: d, Patience: 20 * time.Second,
		Pairs: 500, Askers: 64, Spawns: 200_000, Actors: 100_000, Crashes: 5_000,
	}
}

// QuickLimits make every workload run for a moment, long enough to check
// counts and too short to judge times.
func QuickLimits() Limits {
	return Limits{
		Warm: time.Millisecond, For: 20 * time.Millisecond, Patience: 20 * time.Second,
		Pairs: 50, Askers: 64, Spawns: 5_000, Actors: 2_000, Crashes: 100,
	}
}

// System is one way to run actors. A method brings the loops of one workload
// and returns once everything it started has ended; an error is a failed
// measurement. After an error what it started may still run.
type System interface {
	// Name is the system's name in the tables.
	Name() string
	// Tell runs L1 and L2.
	Tell(*Tells) error
	// PingPong runs L3.
	PingPong(*PingPongs) error
	// Ask runs L4a and L4b.
	Ask(*Asks) error
	// Spawn opens the system for L5.
	Spawn(*Crowd) (Residents, error)
	// Crash runs L6.
	Crash(*Crashes) error
}

// ErrNotApplicable is returned by a system that has no such thing as the
// workload measures: a plain channel supervises nobody.
var ErrNotApplicable = errors.New("workload: does not apply to this system")

// A CountError says that a system lost, repeated, reordered or altered
// messages, so that its figures mean nothing.
type CountError struct {
	System   string
	Workload Name
	Detail   string // what was expected, what arrived
}

func (e *CountError) Error() string {
	return fmt.Sprintf("%s on %s: %s", e.Workload, e.System, e.Detail)
}

// Run measures one workload on one system. A figure is only returned when
// every message has been counted at its receiver; otherwise the error is a
// [*CountError].
func Run(name Name, sys System, limits Limits) (Result, error) {
	res := Result{Workload: name, System: sys.Name(), Values: map[Metric]float64{}}
	var err error
	switch name {
	case Tell1:
		err = runTell(sys, limits, 1, &res)
	case Tell8:
		err = runTell(sys, limits, 8, &res)
	case PingPong:
		err = runPingPong(sys, limits, &res)
	case AskOne:
		err = runAsk(sys, limits, 1, false, &res)
	case AskDeadline:
		err = runAsk(sys, limits, 1, true, &res)
	case AskMany:
		err = runAsk(sys, limits, limits.Askers, false, &res)
	case SpawnRate:
		err = runSpawn(sys, limits, &res)
	case SpawnMemory:
		err = runMemory(sys, limits, &res)
	case CrashCycle:
		err = runCrash(sys, limits, &res)
	default:
		err = fmt.Errorf("workload %q does not exist; the workloads are %v", name, Names())
	}
	if count, ok := errors.AsType[*CountError](err); ok {
		count.System, count.Workload = sys.Name(), name
	}
	return res, err
}

func miscount(format string, args ...any) error {
	return &CountError{Detail: fmt.Sprintf(format, args...)}
}
