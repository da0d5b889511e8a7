package systems

import (
	"context"
	"sync"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// MPSC is one goroutine that reads one linked lock-free queue: the core of many
// actor frameworks with nothing around it.
type MPSC struct{}

// Name is "mpsc".
func (MPSC) Name() string { return "mpsc" }

// counter is the receiver of the tell workloads.
type counter struct {
	mailbox[workload.Msg]
	receiver *workload.Receiver
	done     chan struct{}
}

func (c *counter) work() {
	defer close(c.done)
	for m, ok := c.take(); ok; m, ok = c.take() {
		c.receiver.Handle(m)
	}
}

// Tell implements [workload.System].
func (MPSC) Tell(t *workload.Tells) error {
	target := &counter{receiver: t.Receiver, done: make(chan struct{})}
	target.init(target)
	err := t.Produce(func(p *workload.Producer) error {
		for p.Next() {
			target.tell(p.Message())
		}
		return nil
	})
	if err != nil {
		return err
	}
	target.close()
	<-target.done
	return nil
}

// player is one side of a pair.
type player struct {
	mailbox[workload.Msg]
	side    *workload.Player
	peer    *player
	running *sync.WaitGroup
}

func (p *player) work() {
	defer p.running.Done()
	for m, ok := p.take(); ok; m, ok = p.take() {
		if reply, ok := p.side.Return(m); ok {
			p.peer.tell(reply)
		}
	}
}

// PingPong implements [workload.System].
func (MPSC) PingPong(t *workload.PingPongs) error {
	var running sync.WaitGroup
	running.Add(2 * t.Pairs())
	players := make([]*player, 0, 2*t.Pairs())
	for i := range t.Pairs() {
		first, second := t.Players(i)
		a := &player{side: first, running: &running}
		b := &player{side: second, running: &running, peer: a}
		a.peer = b
		a.init(a)
		b.init(b)
		players = append(players, a, b)
	}
	err := t.Play(func(pair int, ball workload.Msg) error {
		players[2*pair].tell(ball)
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range players {
		p.close()
	}
	running.Wait()
	return nil
}

// oracle is the target of the ask workloads.
type oracle struct {
	mailbox[workload.Msg]
	answerer *workload.Answerer
	done     chan struct{}
}

func (o *oracle) work() {
	defer close(o.done)
	for m, ok := o.take(); ok; m, ok = o.take() {
		m.Reply <- o.answerer.Answer(m.From, m.N)
	}
}

// Ask implements [workload.System]: the reply comes by a channel, one per
// asker.
func (MPSC) Ask(t *workload.Asks) error {
	target := &oracle{answerer: t.Answerer, done: make(chan struct{})}
	target.init(target)
	err := t.Drive(func(a *workload.Asker) error { return askQueue(t.Context(), &target.mailbox, a) })
	if err != nil {
		return err
	}
	target.close()
	<-target.done
	return nil
}

func askQueue(ctx context.Context, inbox *mailbox[workload.Msg], a *workload.Asker) error {
	reply := make(chan uint64, 1)
	expired := ctx.Done()
	for a.Next() {
		inbox.tell(workload.Msg{Kind: workload.Answer, From: a.From, N: a.N(), Reply: reply})
		if expired == nil {
			a.Got(<-reply)
			continue
		}
		select {
		case n := <-reply:
			a.Got(n)
		case <-expired:
			return ctx.Err()
		}
	}
	return nil
}

// Spawn implements [workload.System].
func (MPSC) Spawn(c *workload.Crowd) (workload.Residents, error) {
	return &mpscResidents{crowd: c}, nil
}

type mpscResidents struct {
	crowd   *workload.Crowd
	all     []*resident
	running sync.WaitGroup
}

// resident is one actor of a crowd.
type resident struct {
	mailbox[workload.Msg]
	workload.Resident
	running *sync.WaitGroup
}

func (r *resident) work() {
	for m, ok := r.take(); ok; m, ok = r.take() {
		r.Greet(m)
	}
	r.running.Done()
}

func (r *mpscResidents) Grow(n int) { r.all = make([]*resident, 0, n) }

func (r *mpscResidents) Spawn(n int) error {
	r.running.Add(n)
	for range n {
		one := &resident{Resident: workload.Resident{Crowd: r.crowd}, running: &r.running}
		one.init(one)
		r.all = append(r.all, one)
	}
	return nil
}

func (r *mpscResidents) Tell(m workload.Msg) error {
	for _, one := range r.all {
		one.tell(m)
	}
	return nil
}

func (r *mpscResidents) Stop() error {
	for _, one := range r.all {
		one.close()
	}
	r.running.Wait()
	r.all = nil
	return nil
}

func (r *mpscResidents) Close() error { return nil }

// Crash implements [workload.System].
func (MPSC) Crash(*workload.Crashes) error { return workload.ErrNotApplicable }
