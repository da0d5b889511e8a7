package service_test

import (
	"context"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/wire"
)

// memory is a mailbox that keeps nothing beyond the process: a stand-in for the
// durable one that fails on command. Its timers need a bubble of synctest.
type memory struct {
	mu    sync.Mutex
	wake  chan struct{}
	queue []service.Parcel
	kept  map[string]*entry
	dead  []service.Parcel

	broken error // what the store says
}

type entry struct {
	done   chan struct{}
	answer wire.Message
	err    error
	tries  int
}

func newMemory() *memory {
	return &memory{wake: make(chan struct{}, 1), kept: map[string]*entry{}}
}

// fail makes the store fail from now on, or work again with nil.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

func (m *memory) letters() []service.Parcel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *memory) Ask(ctx context.Context, p service.Parcel) (wire.Message, error) {
	m.mu.Lock()
	e := m.kept[p.RequestID]
	if e == nil && m.broken == nil {
		e = &entry{done: make(chan struct{})}
		m.kept[p.RequestID] = e
		m.put(p)
	}
	err := m.broken
	m.mu.Unlock()
	if err != nil {
		return wire.Message{}, err
	}
	select {
	case <-e.done:
		return e.answer, e.err
	case <-ctx.Done():
		return wire.Message{}, ctx.Err()
	}
}

func (m *memory) Queue(path string) string { return path }

func (m *memory) put(p service.Parcel) {
	m.queue = append(m.queue, p)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Serve works one request after the other, whatever the concurrency.
func (m *memory) Serve(parent actor.Parent, s service.Serving) error {
	_, err := actor.SpawnService(parent, actor.ServiceSpec{Name: "mailbox", New: func() actor.Service {
		return actor.ServiceFunc(func(ctx context.Context) error {
			for {
				if p, ok := m.take(); ok {
					answer, err := s.Handle(ctx, p)
					m.settle(p, answer, err)
					continue
				}
				select {
				case <-m.wake:
				case <-time.After(time.Second): // a store that failed is asked again
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}})
	return err
}

func (m *memory) take() (service.Parcel, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		for _, p := range m.queue { // those who wait are told; the requests stay
			e := m.kept[p.RequestID]
			e.err = m.broken
			close(e.done)
			m.kept[p.RequestID] = &entry{done: make(chan struct{}), tries: e.tries}
		}
		return service.Parcel{}, false
	}
	if len(m.queue) == 0 {
		return service.Parcel{}, false
	}
	p := m.queue[0]
	m.queue = m.queue[1:]
	return p, true
}

func (m *memory) settle(p service.Parcel, answer wire.Message, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.kept[p.RequestID]
	if e.tries++; err != nil && e.tries < 3 && fault.CodeOf(err) != fault.Poison {
		m.put(p)
		return
	}
	e.answer, e.err = answer, err
	if err != nil {
		m.dead = append(m.dead, p)
	}
	close(e.done)
}

var errDisk = &fault.Error{Code: fault.Internal, Op: "test.store", Message: "input/output error", Cause: service.ErrMailbox}
