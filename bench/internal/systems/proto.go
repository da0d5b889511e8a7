package systems

import (
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// Proto is Proto.Actor for Go with its defaults, except that its log is
// discarded.
type Proto struct{}

// Name is "protoactor".
func (Proto) Name() string { return "protoactor" }

func newProtoSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// noTimeout makes a request without a timer.
const noTimeout = -1

// Tell implements [workload.System].
func (Proto) Tell(t *workload.Tells) error {
	sys := newProtoSystem()
	defer sys.Shutdown()
	receiver := t.Receiver
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(workload.Msg); ok {
			receiver.Handle(m)
		}
	}))
	root := sys.Root
	err := t.Produce(func(p *workload.Producer) error {
		for p.Next() {
			root.Send(pid, p.Message())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return root.PoisonFuture(pid).Wait()
}

// protoPlayer is one side of a pair; peer is set before the first ball.
type protoPlayer struct {
	player *workload.Player
	peer   *actor.PID
}

func (p *protoPlayer) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(workload.Msg); ok {
		if reply, ok := p.player.Return(m); ok {
			ctx.Send(p.peer, reply)
		}
	}
}

// PingPong implements [workload.System].
func (Proto) PingPong(t *workload.PingPongs) error {
	sys := newProtoSystem()
	defer sys.Shutdown()
	var pids []*actor.PID
	spawn := func(p *workload.Player) (*protoPlayer, *actor.PID) {
		player := &protoPlayer{player: p}
		pid := sys.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return player }))
		pids = append(pids, pid)
		return player, pid
	}
	for i := range t.Pairs() {
		first, second := t.Players(i)
		a, toA := spawn(first)
		b, toB := spawn(second)
		a.peer, b.peer = toB, toA
	}
	err := t.Play(func(pair int, ball workload.Msg) error {
		sys.Root.Send(pids[2*pair], ball)
		return nil
	})
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := sys.Root.PoisonFuture(pid).Wait(); err != nil {
			return err
		}
	}
	return nil
}

// Ask implements [workload.System]. Proto.Actor takes a duration rather than a
// context, so the deadline costs it a timer for each request.
func (Proto) Ask(t *workload.Asks) error {
	sys := newProtoSystem()
	defer sys.Shutdown()
	answerer := t.Answerer
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(workload.Msg); ok {
			ctx.Respond(answerer.Answer(m.From, m.N))
		}
	}))
	timeout := time.Duration(noTimeout)
	if end, ok := t.Context().Deadline(); ok {
		timeout = time.Until(end)
	}
	root := sys.Root
	err := t.Drive(func(a *workload.Asker) error {
		for a.Next() {
			v, err := root.RequestFuture(pid, workload.Msg{Kind: workload.Answer, From: a.From, N: a.N()}, timeout).Result()
			if err != nil {
				return err
			}
			a.Got(v.(uint64))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return root.PoisonFuture(pid).Wait()
}

// Spawn implements [workload.System].
func (Proto) Spawn(c *workload.Crowd) (workload.Residents, error) {
	r := &protoResidents{sys: newProtoSystem()}
	r.props = actor.PropsFromProducer(func() actor.Actor {
		return &protoResident{Resident: workload.Resident{Crowd: c}, running: &r.running}
	})
	return r, nil
}

type protoResidents struct {
	sys     *actor.ActorSystem
	props   *actor.Props
	pids    []*actor.PID
	running sync.WaitGroup
}

type protoResident struct {
	workload.Resident
	running *sync.WaitGroup
}

func (r *protoResident) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case workload.Msg:
		r.Greet(m)
	case *actor.Stopped:
		r.running.Done()
	}
}

func (r *protoResidents) Grow(n int) { r.pids = make([]*actor.PID, 0, n) }

func (r *protoResidents) Spawn(n int) error {
	r.running.Add(n)
	for range n {
		r.pids = append(r.pids, r.sys.Root.Spawn(r.props))
	}
	return nil
}

func (r *protoResidents) Tell(m workload.Msg) error {
	for _, pid := range r.pids {
		r.sys.Root.Send(pid, m)
	}
	return nil
}

func (r *protoResidents) Stop() error {
	for _, pid := range r.pids {
		r.sys.Root.Stop(pid)
	}
	r.running.Wait()
	r.pids = nil
	return nil
}

func (r *protoResidents) Close() error {
	r.sys.Shutdown()
	return nil
}

// protoVictim is one behaviour of the actor that crashes.
type protoVictim struct{ victim *workload.Victim }

func (v *protoVictim) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(workload.Msg); ok {
		v.victim.Handle(m)
	}
}

// Crash implements [workload.System], under the strategy that restarts always
// and at once.
func (Proto) Crash(t *workload.Crashes) error {
	sys := newProtoSystem()
	defer sys.Shutdown()
	pid := sys.Root.Spawn(actor.PropsFromProducer(
		func() actor.Actor { return &protoVictim{t.NewVictim()} },
		actor.WithGuardian(actor.NewRestartingStrategy()),
	))
	err := t.Drive(func(m workload.Msg) error {
		sys.Root.Send(pid, m)
		return nil
	})
	if err != nil {
		return err
	}
	return sys.Root.PoisonFuture(pid).Wait()
}
