package main

import (
	"fmt"
	"math"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// metricsOf lists the figures of a workload in the order of the table.
func metricsOf(w workload.Name) []workload.Metric {
	switch w {
	case workload.AskOne, workload.AskDeadline:
		return []workload.Metric{workload.P50, workload.P99, workload.PerSecond, workload.AllocsPerOp, workload.BytesPerOp}
	case workload.SpawnRate:
		return []workload.Metric{workload.PerSecond, workload.UsablePerSec, workload.StopPerSecond, workload.AllocsPerOp}
	case workload.SpawnMemory:
		return []workload.Metric{workload.IdleBytes, workload.AfterOneBytes}
	case workload.CrashCycle:
		return []workload.Metric{workload.P50, workload.P99, workload.AllocsPerOp}
	}
	return []workload.Metric{workload.PerSecond, workload.AllocsPerOp, workload.BytesPerOp}
}

// label names a figure for a reader.
func label(w workload.Name, metric workload.Metric) string {
	switch metric {
	case workload.PerSecond:
		switch w {
		case workload.AskOne, workload.AskDeadline, workload.AskMany:
			return "asks/s"
		case workload.SpawnRate:
			return "spawns/s"
		}
		return "messages/s"
	case workload.P50:
		return "p50"
	case workload.P99:
		return "p99"
	case workload.AllocsPerOp:
		return "allocs/op"
	case workload.BytesPerOp:
		return "B/op"
	case workload.UsablePerSec:
		return "spawned and one message handled/s"
	case workload.StopPerSecond:
		return "stops/s"
	case workload.IdleBytes:
		return "never told anything"
	case workload.AfterOneBytes:
		return "after one message"
	}
	return string(metric)
}

// format writes a figure with its unit, to three digits.
func format(metric workload.Metric, v float64) string {
	switch metric {
	case workload.P50, workload.P99:
		return scaled(v, 1000, "ns", "µs", "ms", "s")
	case workload.IdleBytes, workload.AfterOneBytes:
		return scaled(v, 1000, "B", "kB", "MB", "GB")
	case workload.AllocsPerOp:
		if v < 10 {
			return fmt.Sprintf("%.2f", v)
		}
		return fmt.Sprintf("%.0f", v)
	}
	return scaled(v, 1000, "", "k", "M", "G") // a rate, or bytes that the label names
}

// scaled writes v in the largest unit that leaves at least one.
func scaled(v, step float64, units ...string) string {
	i := 0
	for math.Abs(v) >= step && i < len(units)-1 {
		v /= step
		i++
	}
	digits := 0
	switch a := math.Abs(v); {
	case i == 0 && a >= 10 || a >= 100:
	case a >= 10:
		digits = 1
	case i == 0 && a < 0.005:
	default:
		digits = 2
	}
	text := fmt.Sprintf("%.*f", digits, v)
	if units[i] == "" {
		return text
	}
	return text + " " + units[i]
}
