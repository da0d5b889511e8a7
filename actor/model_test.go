package actor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// model runs random operations on a random tree and keeps account.
type model struct {
	t     *testing.T
	sys   *actor.System
	asked int

	mu                  sync.Mutex
	random              *rand.Rand
	refs                []actor.Ref[do]
	sent, handled, dead int
}

func (m *model) intn(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

func (m *model) add(what *int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*what++
}

// Req A6, A8, A13: whatever actors do to each other, in any order: nothing hangs,
// each message that was accepted is handled or a dead letter, each ask comes to an
// end, and after the stop nothing is left.
func TestRandomTreesAndOperations(t *testing.T) {
	for part := range uint64(4) {
		var m *model
		hooks := []actor.Hooks{{DeadLetter: func(d actor.DeadLetter) {
			if d.Message.(do) != nil && d.Reason != actor.ErrExpired { // a notice is nobody's message, an ask is not counted
				m.add(&m.dead)
			}
		}}}
		opts := actor.Options{Logger: discard(), Hooks: hooks, Supervision: randomPolicy(rand.New(rand.NewPCG(part, 1)))}
		actortest.ExploreWith(t, opts, 150, func(t *testing.T, sys *actor.System, random *rand.Rand) {
			m = &model{t: t, sys: sys, random: random}
			m.run()
		})
	}
}

func randomPolicy(r *rand.Rand) actor.Supervision {
	return actor.Supervision{
		Strategy: actor.Strategy(r.IntN(3)), MaxRestarts: 1 + r.IntN(6), Backoff: actor.Backoff{Jitter: -1},
		Decide: func(_ actor.Address, err error) actor.Directive {
			switch {
			case errors.Is(err, errEscalates):
				return actor.Escalate
			case errors.Is(err, errResumes):
				return actor.ResumeChild
			}
			return actor.RestartChild
		},
	}
}

var (
	errEscalates = errors.New("escalate this")
	errResumes   = errors.New("resume after this")
)

func (m *model) policy() actor.Supervision {
	m.mu.Lock()
	defer m.mu.Unlock()
	return randomPolicy(m.random)
}

func (m *model) run() {
	for range 3 {
		m.grow(m.sys)
	}
	begin := time.Now()
	asks := make(chan struct{}, 1000)
	for i := range 60 {
		if i%10 == 9 {
			m.grow(m.sys) // as much of the tree may be gone by now
		}
		if m.intn(3) == 0 {
			m.asked++
			ref, op := m.pick(), m.operation(3)
			go func() {
				_, _ = actor.Ask(context.Background(), ref, func(r actor.Reply[int]) do {
					return func(ctx *actor.Context[do]) error { defer r.Send(1); return op(ctx) }
				})
				asks <- struct{}{}
			}()
			continue
		}
		m.send(context.Background(), m.pick(), m.operation(3))
		if m.intn(10) == 0 {
			sleep(time.Duration(m.intn(20)) * time.Millisecond)
		}
	}
	sleep(time.Second)
	stopped := m.sys.Stop(context.Background())
	if stopped != nil {
		m.t.Errorf("stop: %v", stopped)
	}
	for range m.asked {
		<-asks
	}
	sleep(time.Second)
	if took := time.Since(begin); took > 10*time.Second {
		m.t.Errorf("it took %v: something was stuck until a timeout", took)
	}
	if m.handled+m.dead != m.sent {
		m.t.Errorf("%d sent, %d handled, %d dead letters", m.sent, m.handled, m.dead)
	}
	if st := m.sys.Stats(); st.Actors != 0 || st.Runaways != 0 {
		m.t.Errorf("%+v", st)
	}
}

// grow adds an actor and perhaps some below it.
func (m *model) grow(parent actor.Parent) {
	spec := actor.Spec[do]{
		Restart: actor.Restart(m.intn(3)), Supervision: m.policy(), Attempts: m.intn(3),
		Mailbox: actor.Mailbox{Capacity: 4 << m.intn(6)},
	}
	if m.intn(4) == 0 {
		spec.Priority = func(do) int { return 0 }
	}
	if m.intn(4) == 0 {
		spec.IdleTimeout = time.Duration(1+m.intn(100)) * time.Millisecond
	}
	kids := m.intn(3)
	if m.size() > 60 {
		kids = 0
	}
	spec.New = func() actor.Behavior[do] {
		return &doer{start: func(ctx *actor.Context[do]) error {
			for range kids {
				m.grow(ctx)
			}
			if m.intn(20) == 0 && m.size() > 3 {
				return errTest
			}
			return nil
		}}
	}
	if ref, err := actor.Spawn(parent, spec); err == nil {
		m.mu.Lock()
		m.refs = append(m.refs, ref)
		m.mu.Unlock()
	}
}

func (m *model) pick() actor.Ref[do] {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refs[m.random.IntN(len(m.refs))]
}

func (m *model) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.refs)
}

// send tells f and keeps account of it.
func (m *model) send(ctx context.Context, to actor.Ref[do], f do) {
	first := true
	err := to.Tell(ctx, func(ctx *actor.Context[do]) error {
		err := f(ctx)
		if first && err == nil {
			m.add(&m.handled) // one that fails at last becomes a dead letter
			first = false
		} else if first && errors.Is(err, actor.ErrStop) {
			m.add(&m.handled)
			first = false
		}
		return err
	})
	if err == nil {
		m.add(&m.sent)
	}
}

// operation is what a message makes an actor do.
func (m *model) operation(depth int) do {
	n := m.intn(20)
	if depth == 0 {
		n = m.intn(4)
	}
	to, op := m.pick(), do(nothing)
	if depth > 0 {
		op = m.operation(depth - 1)
	}
	return func(ctx *actor.Context[do]) error {
		switch n {
		case 1, 4:
			return fmt.Errorf("wrapped: %w", errTest)
		case 2:
			panic("model")
		case 5:
			return errEscalates
		case 6:
			return errResumes
		case 7:
			return actor.ErrStop
		case 8, 9, 10:
			m.send(ctx, to, op)
		case 11, 12, 13:
			_, _ = actor.Ask(ctx, to, func(r actor.Reply[int]) do {
				return func(ctx *actor.Context[do]) error { defer r.Send(1); return op(ctx) }
			})
		case 14:
			m.grow(ctx)
		case 15:
			// A circle through a graceful stop is not an error, the StopTimeout
			// ends it; so wait for as long as is of use only.
			soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_ = to.Stop(soon)
		case 16:
			to.Kill()
		case 17:
			actor.Watch(ctx, to, func(actor.Down) do { return nil })
		case 18:
			_ = actor.Link(ctx, to)
		case 19:
			ctx.After(time.Duration(m.intn(30))*time.Millisecond, func(ctx *actor.Context[do]) error {
				m.send(ctx, ctx.Self(), op)
				return nil
			})
		}
		return nil
	}
}
