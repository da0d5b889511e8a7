package service_test

import (
	"context"
	"sync"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
)

// memory is a mailbox that keeps nothing beyond the process: a stand-in for the
// durable one that fails on command.
type memory struct {
	mu      sync.Mutex
	wake    chan struct{}
	queue   []service.Parcel
	answers map[string][]byte
	known   map[string]bool
	tries   map[string]int
	dead    []service.Parcel

	takeErr, putErr, doneErr, failErr error
}

func newMemory() *memory {
	return &memory{wake: make(chan struct{}, 1), answers: map[string][]byte{}, known: map[string]bool{}, tries: map[string]int{}}
}

// fail makes operations fail from now on; the pump is woken to see it.
func (m *memory) set(change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
	m.signal()
}

func (m *memory) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *memory) Put(_ context.Context, p service.Parcel) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.putErr != nil {
		return nil, false, m.putErr
	}
	if a, ok := m.answers[p.RequestID]; ok {
		return a, true, nil
	}
	if !m.known[p.RequestID] {
		m.known[p.RequestID] = true
		m.queue = append(m.queue, p)
		m.signal()
	}
	return nil, false, nil
}

func (m *memory) Take(ctx context.Context) (service.Lease, error) {
	for {
		m.mu.Lock()
		if m.takeErr != nil {
			defer m.mu.Unlock()
			return nil, m.takeErr
		}
		if len(m.queue) > 0 {
			p := m.queue[0]
			m.queue = m.queue[1:]
			if len(m.queue) > 0 {
				m.signal()
			}
			m.mu.Unlock()
			return &lease{m, p}, nil
		}
		m.mu.Unlock()
		select {
		case <-m.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

type lease struct {
	m *memory
	p service.Parcel
}

func (l *lease) Parcel() service.Parcel { return l.p }

func (l *lease) Done(_ context.Context, answer []byte) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.doneErr != nil {
		return l.m.doneErr
	}
	l.m.answers[l.p.RequestID] = answer
	return nil
}

func (l *lease) Fail(_ context.Context, cause error) (bool, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.failErr != nil {
		return false, l.m.failErr
	}
	l.m.tries[l.p.RequestID]++
	if l.m.tries[l.p.RequestID] >= 3 || fault.CodeOf(cause) == fault.Poison {
		l.m.dead = append(l.m.dead, l.p)
		return true, nil
	}
	l.m.queue = append(l.m.queue, l.p)
	l.m.signal()
	return false, nil
}
