package measure

import (
	"math"
	"math/bits"
	"time"
)

// subBits sets the precision: 2^subBits buckets per power of two keep the
// relative error of a quantile below 1/2^(subBits+1), here 0.4 %.
const subBits = 7

const buckets = (64 - subBits + 1) << subBits

// Histogram counts durations in log-linear buckets: exact below 128 ns, within
// 0.4 % above. Recording never allocates. The zero value is empty and ready;
// one goroutine at a time may use it.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
}

// Record adds one duration; a negative one, which a clock should not produce,
// counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

// Merge adds everything other holds.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile returns the smallest recorded duration, in nanoseconds, that at
// least the share q of all recordings does not exceed (the nearest-rank
// quantile), to the histogram's precision. It is NaN for an empty histogram;
// q is clamped to 0…1.
func (h *Histogram) Quantile(q float64) float64 {
	if h.total == 0 {
		return math.NaN()
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(h.total)))
	rank = max(rank, 1)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return middleOf(i)
		}
	}
	return middleOf(buckets - 1)
}

// bucketOf maps v to its bucket: v itself below 2^subBits, else the exponent
// followed by the subBits bits after the leading one.
func bucketOf(v uint64) int {
	shift := bits.Len64(v) - subBits - 1
	if shift <= 0 {
		return int(v) //nolint:gosec // below 256
	}
	return shift<<subBits + int(v>>shift) //nolint:gosec // below 256
}

// middleOf is the middle of the values that bucketOf maps to i.
func middleOf(i int) float64 {
	shift := i>>subBits - 1
	if shift <= 0 {
		return float64(i)
	}
	low := float64(uint64(i-shift<<subBits) << shift) //nolint:gosec // 128 to 255
	return low + float64(uint64(1)<<shift-1)/2
}
