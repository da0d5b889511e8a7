package actor

import (
	"math/bits"
	"reflect"
	"sync/atomic"
	"time"
)

// kind is what the actors of one type have in common: the name they are counted
// under and figures that outlive the single actor.
type kind struct {
	name     string
	restarts atomic.Uint64
	failures atomic.Uint64
	ended    atomic.Uint64 // messages handled by actors that have ended
	buckets  [timingBuckets]atomic.Uint64
	sum      atomic.Int64
	shown    atomic.Uint64 // the highest number of handled messages that Stats has given
}

// label is the kind's name, "" for an actor whose New has not returned yet.
func (k *kind) label() string {
	if k == nil {
		return ""
	}
	return k.name
}

// neverLess returns the highest number it was ever called with.
func (k *kind) neverLess(n uint64) uint64 {
	for {
		old := k.shown.Load()
		if n <= old {
			return old
		}
		if k.shown.CompareAndSwap(old, n) {
			return n
		}
	}
}

// timingBuckets are powers of two of a microsecond: up to 1 µs, 2 µs, … 2^24 µs
// (16.8 s), and beyond.
const timingBuckets = 26

// TimingBounds are the upper bounds of Timing's buckets but the last, which has
// none.
func TimingBounds() []time.Duration {
	bounds := make([]time.Duration, timingBuckets-1)
	for i := range bounds {
		bounds[i] = time.Microsecond << i
	}
	return bounds
}

// observe records the time a handler took, which stands for weight messages.
func (k *kind) observe(took time.Duration, weight uint64) {
	us := uint64(max(took-1, 0) / time.Microsecond)
	k.buckets[min(bits.Len64(us), timingBuckets-1)].Add(weight)
	k.sum.Add(int64(took) * int64(weight)) //nolint:gosec // a small factor
}

func (k *kind) addTiming(t *Timing) {
	t.Sum += time.Duration(k.sum.Load())
	for i := range k.buckets {
		n := k.buckets[i].Load()
		t.Buckets[i] += n
		t.Count += n
	}
}

// kindNamed is the kind with a name given in a Spec.
func (s *System) kindNamed(name string) *kind { return s.kindFor(name, name) }

// kindOf is the kind of actors with a behaviour of type b for messages of type m.
func (s *System) kindOf(b, m reflect.Type) *kind {
	if k, ok := s.kinds.Load(b); ok {
		return k.(*kind)
	}
	name := b.String()
	if b.Kind() == reflect.Func {
		name = "func(" + m.String() + ")"
	}
	return s.kindFor(b, name)
}

func (s *System) kindFor(key any, name string) *kind {
	if k, ok := s.kinds.Load(key); ok {
		return k.(*kind)
	}
	k, _ := s.kinds.LoadOrStore(key, &kind{name: name})
	return k.(*kind)
}
