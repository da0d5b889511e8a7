package actor

import (
	"container/heap"
	"context"
	"math"
)

// priorityHeap orders messages by priority, then by arrival.
type priorityHeap[M any] struct {
	items []prioritized[M]
	last  int64 // the number of the message that came last
	first int64 // of the message put back last, below all others
}

type prioritized[M any] struct {
	slot     slot[M]
	priority int
	seq      int64
}

func (h *priorityHeap[M]) Len() int { return len(h.items) }

func (h *priorityHeap[M]) Less(i, j int) bool {
	a, b := &h.items[i], &h.items[j]
	if a.priority != b.priority {
		return a.priority < b.priority
	}
	return a.seq < b.seq
}

func (h *priorityHeap[M]) Swap(i, j int) { h.items[i], h.items[j] = h.items[j], h.items[i] }

// Push and Pop are container/heap's side of the interface.

// Push appends an item.
func (h *priorityHeap[M]) Push(x any) { h.items = append(h.items, x.(prioritized[M])) }

// Pop removes the last item.
func (h *priorityHeap[M]) Pop() any {
	last := len(h.items) - 1
	it := h.items[last]
	h.items[last] = prioritized[M]{}
	h.items = h.items[:last]
	return it
}

func (h *priorityHeap[M]) push(s slot[M], priority int) {
	h.last++
	heap.Push(h, prioritized[M]{s, priority, h.last})
}

// pushFront puts a message ahead of its equals.
func (h *priorityHeap[M]) pushFront(s slot[M], priority int) {
	h.first--
	heap.Push(h, prioritized[M]{s, priority, h.first})
}

func (h *priorityHeap[M]) pop() slot[M] { return heap.Pop(h).(prioritized[M]).slot }

// oldest removes the message that arrived first among those of the least urgent
// priority: what a full mailbox can best do without.
func (h *priorityHeap[M]) oldest() slot[M] {
	worst := 0
	for i := range h.items {
		a, b := &h.items[i], &h.items[worst]
		if a.priority > b.priority || a.priority == b.priority && a.seq < b.seq {
			worst = i
		}
	}
	return heap.Remove(h, worst).(prioritized[M]).slot
}

// priorityOf calls the user's function, which must not be able to harm the
// runtime: a message whose priority can't be told comes last.
func (c *cell[M]) priorityOf(m M) (priority int) {
	defer func() {
		if value := recover(); value != nil {
			priority = math.MaxInt
			c.sys.log().Error("Spec.Priority panicked; the message is handled last", "actor", c.path(), "panic", value)
		}
	}()
	return c.rare.priority(m)
}

// acceptByPriority is accept for a priority mailbox; it is entered with the lock.
func (c *cell[M]) acceptByPriority(ctx context.Context, m M, env *envelope, wait bool) error {
	if c.waiting() < c.limit && c.flags&flagBlocked == 0 {
		c.enqueue(m, env)
		c.unlockAndStart()
		return nil
	}
	switch {
	case c.opts.overflow == DropOldest:
		dropped := c.rare.heap.oldest()
		c.enqueue(m, env)
		c.unlockAndStart()
		c.undelivered(dropped.m, dropped.env, ErrDropped)
		return nil
	case c.opts.overflow == Refuse || !wait:
		c.mu.Unlock()
		return ErrMailboxFull
	}
	return c.block(ctx, m, env)
}
