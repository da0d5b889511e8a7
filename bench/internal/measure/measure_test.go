package measure

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantileIsNearestRank(t *testing.T) {
	t.Parallel()
	var h Histogram
	for i := 1; i <= 100; i++ {
		h.Record(time.Duration(i))
	}
	for _, c := range []struct{ q, want float64 }{
		{-1, 1}, {0, 1}, {0.01, 1}, {0.011, 2}, {0.5, 50}, {0.99, 99}, {0.991, 100}, {1, 100}, {2, 100},
	} {
		if got := h.Quantile(c.q); got != c.want {
			t.Errorf("Quantile(%v) = %v, want %v", c.q, got, c.want)
		}
	}
	if h.Count() != 100 {
		t.Errorf("Count = %d, want 100", h.Count())
	}
}

func TestHistogramPrecision(t *testing.T) {
	t.Parallel()
	values := []int64{0, 1, 127, 128, 129, 255, 256, 257, 1000, 4097, 1e6, 123_456_789, 1e9, 86_400e9, math.MaxInt64}
	for _, v := range values {
		var h Histogram
		h.Record(time.Duration(v))
		got := h.Quantile(0.5)
		if v < 256 && got != float64(v) {
			t.Errorf("%d came back as %v, want it exact", v, got)
		}
		if diff := math.Abs(got - float64(v)); diff > float64(v)*0.004 {
			t.Errorf("%d came back as %v, off by more than 0.4 %%", v, got)
		}
	}
}

// A bucket's index must grow with the value, without gaps or overlaps at the
// powers of two, or quantiles would be out of order.
func TestHistogramBucketsAreMonotonic(t *testing.T) {
	t.Parallel()
	last := -1
	for v := range uint64(1 << 16) {
		b := bucketOf(v)
		if b != last && b != last+1 {
			t.Fatalf("value %d is in bucket %d after bucket %d", v, b, last)
		}
		last = b
	}
	if b := bucketOf(math.MaxUint64); b >= buckets {
		t.Fatalf("the largest value falls in bucket %d of %d", b, buckets)
	}
}

func TestHistogramMergeAndReset(t *testing.T) {
	t.Parallel()
	var a, b, whole Histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		whole.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(&b)
	if a != whole {
		t.Error("the merged parts differ from the whole")
	}
	a.Reset()
	if !math.IsNaN(a.Quantile(0.5)) || a.Count() != 0 {
		t.Error("a reset histogram still holds recordings")
	}
}

func TestHistogramNegativeCountsAsZero(t *testing.T) {
	t.Parallel()
	var h Histogram
	h.Record(-time.Second)
	if got := h.Quantile(1); got != 0 {
		t.Errorf("a negative duration came back as %v, want 0", got)
	}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		values []float64
		want   Summary
	}{
		{"one", []float64{7}, Summary{7, 7, 7, 1}},
		{"odd", []float64{9, 1, 5}, Summary{5, 1, 9, 3}},
		{"even", []float64{4, 1, 3, 2}, Summary{2.5, 1, 4, 4}},
		{"outlier", []float64{10, 11, 12, 13, 1000}, Summary{12, 10, 1000, 5}},
	} {
		before := slices.Clone(c.values)
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%s: Summarize(%v) = %+v, want %+v", c.name, c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%s: the argument was modified", c.name)
		}
	}
	if s := Summarize(nil); s.N != 0 || !math.IsNaN(s.Median) {
		t.Errorf("Summarize(nil) = %+v, want NaN and N 0", s)
	}
}

var sink []byte

func TestMeterCountsAllocations(t *testing.T) {
	m := Start()
	for range 1000 {
		sink = make([]byte, 4096)
	}
	c := m.Stop()
	if c.Allocs < 1000 || c.Allocs > 1500 {
		t.Errorf("1000 allocations measured as %d", c.Allocs)
	}
	if c.Bytes < 1000*4096 {
		t.Errorf("%d bytes measured, at least %d were allocated", c.Bytes, 1000*4096)
	}
	if c.Elapsed <= 0 {
		t.Errorf("elapsed %v", c.Elapsed)
	}
}

var held [][]byte

func TestFootprintSeesHeldMemory(t *testing.T) {
	const n, size = 1000, 8192
	before := Footprint(5 * time.Second)
	for range n {
		held = append(held, make([]byte, size))
	}
	after := Footprint(5 * time.Second)
	// What the test itself held before may be gone by now: allow for a percent.
	if got := after - before; got < n*size*99/100 || got > n*size*11/10 {
		t.Errorf("%d bytes held, measured as %d", n*size, got)
	}
	held = nil
}
