package systems

import (
	"runtime"
	"sync/atomic"
)

// queue is an unbounded queue for many producers and one consumer, a linked
// node for each element (Dmitry Vyukov's non-intrusive MPSC queue): a push is
// one exchange and one store, and waits for nobody.
type queue[T any] struct {
	head atomic.Pointer[node[T]] // the newest node; producers exchange it
	tail *node[T]                // the node before the oldest element; the consumer's
	stub node[T]
}

type node[T any] struct {
	next  atomic.Pointer[node[T]]
	value T
}

func (q *queue[T]) init() {
	q.head.Store(&q.stub)
	q.tail = &q.stub
}

func (q *queue[T]) push(v T) {
	n := &node[T]{value: v}
	q.head.Swap(n).next.Store(n)
}

// pop returns false when the queue is empty, and also for the instant in which
// a producer has exchanged the head and not yet linked its node.
func (q *queue[T]) pop() (v T, ok bool) {
	next := q.tail.next.Load()
	if next == nil {
		return v, false
	}
	var none T
	v, next.value = next.value, none
	q.tail = next
	return v, true
}

func (q *queue[T]) empty() bool { return q.head.Load() == q.tail }

// The states of a mailbox.
const (
	unstarted int32 = iota // no goroutine yet
	awake                  // the goroutine takes messages
	asleep                 // the goroutine waits for wake
)

// mailbox is a queue whose consumer is a goroutine that starts with the first
// message and sleeps on a channel while the queue is empty.
type mailbox[T any] struct {
	queue[T]
	worker worker
	wake   chan struct{} // made by the consumer before it first sleeps
	state  atomic.Int32
	closed atomic.Bool
}

// worker is what runs on a mailbox's goroutine: it takes until take returns
// false.
type worker interface{ work() }

func (m *mailbox[T]) init(w worker) {
	m.queue.init()
	m.worker = w
}

func (m *mailbox[T]) tell(v T) {
	m.push(v)
	if s := m.state.Load(); s != awake {
		m.rouse(s)
	}
}

// close lets the consumer end once the queue is empty. No tell may follow.
func (m *mailbox[T]) close() {
	m.closed.Store(true)
	if s := m.state.Load(); s != awake {
		m.rouse(s)
	}
}

func (m *mailbox[T]) rouse(from int32) {
	if !m.state.CompareAndSwap(from, awake) {
		return // somebody else does it, or the consumer woke by itself
	}
	if from == unstarted {
		go m.worker.work()
		return
	}
	m.wake <- struct{}{}
}

// take returns the next element, waiting for one; false means closed.
func (m *mailbox[T]) take() (v T, ok bool) {
	for {
		if v, ok = m.pop(); ok {
			return v, true
		}
		if !m.empty() {
			runtime.Gosched() // a producer is between its two steps
			continue
		}
		if m.closed.Load() && m.empty() {
			return v, false
		}
		m.sleep()
	}
}

func (m *mailbox[T]) sleep() {
	if m.wake == nil {
		m.wake = make(chan struct{}, 1)
	}
	m.state.Store(asleep)
	// Whoever pushed before the store saw no need to wake; whoever pushes after
	// it does. So look again.
	if (!m.empty() || m.closed.Load()) && m.state.CompareAndSwap(asleep, awake) {
		return
	}
	<-m.wake
}
