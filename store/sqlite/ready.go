package sqlite

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/store"
)

// Ready implements [store.Queues].
func (s *Store) Ready(ctx context.Context, prefix store.Queue) iter.Seq2[store.Queue, error] {
	const op = "store.Ready"
	return func(yield func(store.Queue, error) bool) {
		sub := s.subs.add(prefix)
		defer s.subs.remove(sub)
		sub.add(s.readyNow(prefix))
		for {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if err := s.checkOpen(op); err != nil {
				yield("", err)
				return
			}
			for _, name := range sub.take() {
				if !yield(name, nil) {
					return
				}
			}
			select {
			case <-sub.wake:
			case <-ctx.Done():
			case <-s.closing:
			}
		}
	}
}

// readyNow returns the queues that have messages to receive.
func (s *Store) readyNow(prefix store.Queue) []store.Queue {
	s.mem.mu.RLock()
	defer s.mem.mu.RUnlock()
	var names []store.Queue
	for name, q := range s.mem.queues {
		if q.count[ready] > 0 && strings.HasPrefix(string(name), string(prefix)) {
			names = append(names, name)
		}
	}
	return names
}

// subscribers are those who wait for messages, by the prefix they wait for. That
// a queue is told to them costs a look-up for each length of prefix there is,
// however many they are.
type subscribers struct {
	mu      sync.RWMutex
	by      map[store.Queue][]*subscriber
	lengths []int // of the prefixes, rising
}

type subscriber struct {
	prefix store.Queue
	wake   chan struct{} // has room for one
	mu     sync.Mutex
	names  map[store.Queue]bool // to be yielded
}

func (all *subscribers) add(prefix store.Queue) *subscriber {
	sub := &subscriber{prefix: prefix, wake: make(chan struct{}, 1), names: map[store.Queue]bool{}}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.by == nil {
		all.by = map[store.Queue][]*subscriber{}
	}
	all.by[prefix] = append(all.by[prefix], sub)
	all.measure()
	return sub
}

func (all *subscribers) remove(sub *subscriber) {
	all.mu.Lock()
	defer all.mu.Unlock()
	same := slices.DeleteFunc(all.by[sub.prefix], func(other *subscriber) bool { return other == sub })
	if len(same) == 0 {
		delete(all.by, sub.prefix)
	} else {
		all.by[sub.prefix] = same
	}
	all.measure()
}

// measure notes which lengths there are.
func (all *subscribers) measure() {
	lengths := map[int]bool{}
	for prefix := range all.by {
		lengths[len(prefix)] = true
	}
	all.lengths = slices.Sorted(maps.Keys(lengths))
}

// notify tells that queues have a message to receive.
func (all *subscribers) notify(woken []*queue) {
	if len(woken) == 0 {
		return
	}
	all.mu.RLock()
	defer all.mu.RUnlock()
	for _, q := range woken {
		for _, n := range all.lengths {
			if n > len(q.name) {
				break
			}
			for _, sub := range all.by[q.name[:n]] {
				sub.add([]store.Queue{q.name})
			}
		}
	}
}

func (sub *subscriber) add(names []store.Queue) {
	if len(names) == 0 {
		return
	}
	sub.mu.Lock()
	for _, name := range names {
		sub.names[name] = true
	}
	sub.mu.Unlock()
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// take returns the names to yield, in order.
func (sub *subscriber) take() []store.Queue {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	names := slices.Sorted(maps.Keys(sub.names))
	clear(sub.names)
	return names
}
