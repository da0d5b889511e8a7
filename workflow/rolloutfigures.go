package workflow

import (
	"math"
	"time"
)

// rolloutFigures are what became of the runs of a version.
type rolloutFigures struct {
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
	// Buckets count the durations of runs that completed, see durationBucket; it is
	// as long as the longest needs.
	Buckets []int64 `json:"buckets,omitempty"`
}

// durationBuckets bounds the histogram: four buckets for each doubling from a
// millisecond to two days, so that a percentile is known to a fifth.
const durationBuckets = 112

func durationBucket(d time.Duration) int {
	if d <= time.Millisecond {
		return 0
	}
	return min(1+int(4*math.Log2(float64(d)/float64(time.Millisecond))), durationBuckets-1)
}

// bucketBounds are the shortest and the longest duration in a bucket.
func bucketBounds(i int) (least, most time.Duration) {
	edge := func(i int) time.Duration {
		return time.Duration(float64(time.Millisecond) * math.Exp2(float64(i)/4)).Round(time.Microsecond)
	}
	if i == 0 {
		return 0, time.Millisecond
	}
	return edge(i - 1), edge(i)
}

func (f *rolloutFigures) count(e rolloutEnd) {
	switch e.State {
	case StateFailed:
		f.Failed++
	case StateCancelled:
		f.Cancelled++
	case StateCompleted:
		f.Completed++
		at := durationBucket(e.Duration)
		for len(f.Buckets) <= at {
			f.Buckets = append(f.Buckets, 0)
		}
		f.Buckets[at]++
	}
}

// ended are the runs that say something: those that were cancelled do not.
func (f *rolloutFigures) ended() int64 { return f.Completed + f.Failed }

func (f *rolloutFigures) errorRate() float64 {
	if f.ended() == 0 {
		return 0
	}
	return float64(f.Failed) / float64(f.ended())
}

// errorBounds are the bounds between which the error rate almost certainly lies:
// the interval of Wilson (1927), which holds for few runs as well, of 99 %, as it
// is looked at after every run.
func (f *rolloutFigures) errorBounds() (least, most float64) {
	n := float64(f.ended())
	if n == 0 {
		return 0, 1
	}
	const z = 2.58
	p := float64(f.Failed) / n
	middle, spread := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max((middle-spread)/(1+z*z/n), 0), min((middle+spread)/(1+z*z/n), 1)
}

// quantile gives the bounds between which a percentile of the durations lies.
func (f *rolloutFigures) quantile(q float64) (least, most time.Duration) { return f.quantileAt(q, 0) }

// quantileAt is quantile for the bound of the percentile that lies z standard
// deviations of its rank from it: with few runs, one that was slow is not all.
func (f *rolloutFigures) quantileAt(q, z float64) (least, most time.Duration) {
	var total, seen int64
	for _, n := range f.Buckets {
		total += n
	}
	rank := int64(math.Ceil(q*float64(total) + z*math.Sqrt(float64(total)*q*(1-q))))
	rank = min(max(rank, 1), total)
	for i, n := range f.Buckets {
		if seen += n; n > 0 && seen >= rank {
			return bucketBounds(i)
		}
	}
	return 0, 0
}
