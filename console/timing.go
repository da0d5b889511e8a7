package console

import "github.com/troupe-dev/troupe/actor"

// HandlerTime is how long handlers of one type of actor take, from samples.
type HandlerTime struct {
	Count       uint64   `json:"count"`
	MeanSeconds float64  `json:"mean_seconds"`
	P50Seconds  float64  `json:"p50_seconds"` // upper bound of the bucket that holds it
	P99Seconds  float64  `json:"p99_seconds"` // likewise
	Buckets     []Bucket `json:"buckets,omitempty"`
}

// Bucket is one bar of the histogram of handler times.
type Bucket struct {
	FromSeconds float64 `json:"from_seconds"`
	ToSeconds   float64 `json:"to_seconds,omitzero"` // left out: no upper bound
	Count       uint64  `json:"count"`
}

// tree makes the answer for a subtree of the snapshot.
func (s *snapshot) tree(root *sampled, w window) Tree {
	t := Tree{Root: root.view(w), Types: map[string]HandlerTime{}}
	shown := map[string]bool{}
	typesOf(&t.Root, shown)
	for i := range s.stats.Kinds {
		if k := &s.stats.Kinds[i]; shown[k.Type] && k.Timing.Count > 0 {
			t.Types[k.Type] = handlerTimeOf(k.Timing)
		}
	}
	return t
}

func typesOf(a *Actor, into map[string]bool) {
	into[a.Type] = true
	for i := range a.Children {
		typesOf(&a.Children[i], into)
	}
}

// handlerTimeOf sums up a histogram. Empty buckets at both ends are left out.
func handlerTimeOf(t actor.Timing) HandlerTime {
	h := HandlerTime{Count: t.Count, MeanSeconds: t.Sum.Seconds() / float64(t.Count)}
	bounds := actor.TimingBounds()
	first, last, seen := -1, -1, uint64(0)
	for i, n := range t.Buckets {
		if n == 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		upper := bounds[min(i, len(bounds)-1)].Seconds()
		if seen*2 < t.Count {
			h.P50Seconds = upper
		}
		if seen*100 < t.Count*99 {
			h.P99Seconds = upper
		}
		seen += n
	}
	for i := first; i >= 0 && i <= last; i++ {
		b := Bucket{Count: t.Buckets[i]}
		if i > 0 {
			b.FromSeconds = bounds[i-1].Seconds()
		}
		if i < len(bounds) {
			b.ToSeconds = bounds[i].Seconds()
		}
		h.Buckets = append(h.Buckets, b)
	}
	return h
}
