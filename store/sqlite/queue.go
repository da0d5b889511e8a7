package sqlite

import (
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// A queue is the messages of one name. It is plain data: the memory's lock guards
// it, and nothing here knows of files.
type queue struct {
	name   store.Queue
	sum    uint32 // of the name, for checksums
	oldest *message
	newest *message
	ready  [2]heap[*message] // by priority; some of them may not be ready any more
	count  [3]int64          // by state
	staged int64             // the writer's own: puts that it has staged

	// busy has the messages of each key that are held or delayed, in order.
	// parked has those that were met behind one of them.
	busy   map[lane][]*message
	parked map[lane][]*message
}

// A lane is whose order is kept: a key within a priority.
type lane struct {
	key      string
	priority store.Priority
}

func (m *message) lane() lane { return lane{m.key, m.priority} }

func newQueue(name store.Queue) *queue {
	q := &queue{name: name, sum: sumOf(string(name)), busy: map[lane][]*message{}, parked: map[lane][]*message{}}
	for i := range q.ready {
		q.ready[i].before = earlier
	}
	return q
}

func (q *queue) size() int64 { return q.count[ready] + q.count[held] + q.count[delayed] }

// add puts a message, which is ready or delayed and newer than all others.
func (q *queue) add(m *message) {
	m.queue, m.prev = q, q.newest
	if q.newest != nil {
		q.newest.next = m
	} else {
		q.oldest = m
	}
	q.newest = m
	q.count[m.state]++
	q.enter(m)
}

// enter does what being in its state means for a message.
func (q *queue) enter(m *message) {
	switch m.state {
	case ready:
		if !m.listed {
			m.listed = true
			q.ready[m.priority].push(m)
		}
	case held, delayed:
		if m.key != "" {
			all := q.busy[m.lane()]
			i, _ := slices.BinarySearchFunc(all, m, byID)
			q.busy[m.lane()] = slices.Insert(all, i, m)
		}
	}
}

// move changes the state of a message.
func (q *queue) move(m *message, to state) {
	q.leave(m)
	q.count[m.state]--
	m.state = to
	q.count[to]++
	q.enter(m)
}

// leave ends what being in its state meant. Those that waited behind a message
// of their key are ready to be met again.
func (q *queue) leave(m *message) {
	if m.state == ready || m.key == "" {
		return
	}
	l := m.lane()
	all := q.busy[l]
	if i, found := slices.BinarySearchFunc(all, m, byID); found {
		all = slices.Delete(all, i, i+1)
	}
	if len(all) == 0 {
		delete(q.busy, l)
	} else {
		q.busy[l] = all
	}
	q.unpark(l)
}

func byID(a, b *message) int { return int(a.id - b.id) }

func (q *queue) unpark(l lane) {
	for _, m := range q.parked[l] {
		q.ready[l.priority].push(m)
	}
	delete(q.parked, l)
}

// remove ends a message.
func (q *queue) remove(m *message) {
	q.leave(m)
	q.count[m.state]--
	m.state = gone
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		q.oldest = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		q.newest = m.prev
	}
}

// take returns up to n messages to be handed out, in order, not more than
// maxBytes of payload but for the first. They stay ready, and out of the heap,
// until hold or putBack is called for them.
func (q *queue) take(n, maxBytes int, ordered bool) []*message {
	if !ordered {
		for l := range q.parked {
			q.unpark(l)
		}
	}
	var out []*message
	for p := int(store.High); p >= int(store.Normal); p-- {
		for h := &q.ready[p]; len(out) < n && h.len() > 0; {
			m := h.peek()
			switch {
			case m.state != ready:
				h.pop().listed = false
				continue
			case ordered && q.behind(m):
				q.parked[m.lane()] = append(q.parked[m.lane()], h.pop())
				continue
			case len(out) > 0 && m.size > maxBytes:
				return out
			}
			h.pop().listed = false
			maxBytes -= m.size
			out = append(out, m)
		}
	}
	return out
}

// behind reports whether an earlier message of its key is held or delayed.
func (q *queue) behind(m *message) bool {
	if m.key == "" {
		return false
	}
	all := q.busy[m.lane()]
	return len(all) > 0 && all[0].id < m.id
}

// A heap is a binary heap with a typed order.
type heap[T any] struct {
	items  []T
	before func(a, b T) bool
}

func (h *heap[T]) len() int { return len(h.items) }

func (h *heap[T]) peek() T { return h.items[0] }

func (h *heap[T]) push(x T) {
	h.items = append(h.items, x)
	i := len(h.items) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(x, h.items[parent]) {
			break
		}
		h.items[i] = h.items[parent]
		i = parent
	}
	h.items[i] = x
}

func (h *heap[T]) pop() T {
	top := h.items[0]
	n := len(h.items) - 1
	x := h.items[n]
	clear(h.items[n:])
	h.items = h.items[:n]
	if n == 0 {
		h.items = nil // a queue that is empty costs nothing
		return top
	}
	h.sink(0, x)
	return top
}

// sink puts x at a place, or below it where it belongs.
func (h *heap[T]) sink(i int, x T) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if child+1 < len(h.items) && h.before(h.items[child+1], h.items[child]) {
			child++
		}
		if !h.before(h.items[child], x) {
			break
		}
		h.items[i] = h.items[child]
		i = child
	}
	h.items[i] = x
}

// retain removes the items that keep does not want.
func (h *heap[T]) retain(keep func(T) bool) {
	h.items = slices.DeleteFunc(h.items, func(x T) bool { return !keep(x) })
	for i := len(h.items)/2 - 1; i >= 0; i-- {
		h.sink(i, h.items[i])
	}
}
