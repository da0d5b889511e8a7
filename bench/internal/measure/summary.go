package measure

import (
	"math"
	"slices"
)

// Summary is what is kept of repeated measurements of one quantity.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// Summarize returns the median of values with their range. The median of an
// even number of values is the mean of the middle two. No values give a Summary
// of NaNs with N zero. The argument is not modified.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	median := sorted[mid]
	if len(sorted)%2 == 0 {
		median = (sorted[mid-1] + sorted[mid]) / 2
	}
	return Summary{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], N: len(sorted)}
}
