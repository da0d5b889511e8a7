package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// byLabel sums the figures of all types with the same label up.
func byLabel(l *labels, kinds []actor.KindStats) map[string]actor.KindStats {
	sorted := slices.SortedFunc(slices.Values(kinds), func(a, b actor.KindStats) int { return cmp.Compare(a.Type, b.Type) })
	sums := make(map[string]actor.KindStats, len(kinds))
	for _, k := range sorted {
		label := l.of(k.Type)
		sum := sums[label]
		sum.Type = label
		sum.Actors += k.Actors
		sum.Mailbox += k.Mailbox
		sum.Processed += k.Processed
		sum.Restarts += k.Restarts
		sum.Failures += k.Failures
		sum.Timing = addTimings(sum.Timing, k.Timing)
		sums[label] = sum
	}
	return sums
}

func addTimings(a, b actor.Timing) actor.Timing {
	if len(a.Buckets) < len(b.Buckets) {
		a, b = b, a
	}
	sum := actor.Timing{Count: a.Count + b.Count, Sum: a.Sum + b.Sum, Buckets: slices.Clone(a.Buckets)}
	for i, n := range b.Buckets {
		sum.Buckets[i] += n
	}
	return sum
}

// since returns what was added to earlier to make now.
func since(now, earlier actor.Timing) actor.Timing {
	d := actor.Timing{Sum: now.Sum - earlier.Sum, Buckets: slices.Clone(now.Buckets)}
	for i := range d.Buckets {
		if i < len(earlier.Buckets) {
			d.Buckets[i] -= min(d.Buckets[i], earlier.Buckets[i])
		}
		d.Count += d.Buckets[i]
	}
	return d
}

// quantile estimates the time below which the share q of the handlers took, as
// Prometheus' histogram_quantile does: straight between the bounds of a bucket,
// and the last bound for the bucket that has none. It is 0 without handlers.
func quantile(q float64, t actor.Timing, bounds []time.Duration) time.Duration {
	if t.Count == 0 || len(bounds) == 0 {
		return 0
	}
	rank := q * float64(t.Count)
	var below float64
	for i, n := range t.Buckets {
		if i >= len(bounds) {
			break
		}
		if in := float64(n); in > 0 && below+in >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = bounds[i-1]
			}
			return low + time.Duration(float64(bounds[i]-low)*(rank-below)/in)
		}
		below += float64(n)
	}
	return bounds[len(bounds)-1]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
