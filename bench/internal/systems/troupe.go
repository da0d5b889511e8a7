package systems

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/troupe-dev/troupe/actor"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// Troupe is this project with its defaults, except that its log is discarded:
// mailboxes are bounded at 4096 messages and block.
type Troupe struct{}

// Name is "troupe".
func (Troupe) Name() string { return "troupe" }

// stopLimit bounds the end of a system; reaching it is an error.
const stopLimit = 20 * time.Second

func newTroupeSystem() *actor.System {
	return actor.NewSystem(actor.Options{
		Logger: slog.New(slog.DiscardHandler),
		// For the crash workload: restart always and at once.
		Supervision: actor.Supervision{
			MaxRestarts: math.MaxInt32,
			Backoff:     actor.Backoff{Initial: -1},
		},
	})
}

func stopTroupe(sys *actor.System) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return sys.Stop(ctx)
}

// troupeBehavior makes the function a behaviour without state to restart.
func troupeBehavior[M any](f actor.BehaviorFunc[M]) actor.Spec[M] {
	return actor.Spec[M]{New: func() actor.Behavior[M] { return f }}
}

// Tell implements [workload.System].
func (Troupe) Tell(t *workload.Tells) error {
	sys := newTroupeSystem()
	receiver := t.Receiver
	ref, err := actor.Spawn(sys, troupeBehavior(func(_ *actor.Context[workload.Msg], m workload.Msg) error {
		receiver.Handle(m)
		return nil
	}))
	if err != nil {
		return err
	}
	err = t.Produce(func(p *workload.Producer) error {
		ctx := context.Background()
		for p.Next() {
			if err := ref.Tell(ctx, p.Message()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return stopTroupe(sys)
}

// troupePlayer is one side of a pair; peer is set before the first ball.
type troupePlayer struct {
	player *workload.Player
	peer   actor.Ref[workload.Msg]
}

func (p *troupePlayer) Receive(ctx *actor.Context[workload.Msg], m workload.Msg) error {
	if reply, ok := p.player.Return(m); ok {
		return p.peer.Tell(ctx, reply)
	}
	return nil
}

// PingPong implements [workload.System].
func (Troupe) PingPong(t *workload.PingPongs) error {
	sys := newTroupeSystem()
	var firsts []actor.Ref[workload.Msg]
	for i := range t.Pairs() {
		first, second := t.Players(i)
		a, b := &troupePlayer{player: first}, &troupePlayer{player: second}
		toA, err := actor.Spawn(sys, actor.Spec[workload.Msg]{New: func() actor.Behavior[workload.Msg] { return a }})
		if err != nil {
			return err
		}
		toB, err := actor.Spawn(sys, actor.Spec[workload.Msg]{New: func() actor.Behavior[workload.Msg] { return b }})
		if err != nil {
			return err
		}
		a.peer, b.peer = toB, toA
		firsts = append(firsts, toA)
	}
	err := t.Play(func(pair int, ball workload.Msg) error {
		return firsts[pair].Tell(context.Background(), ball)
	})
	if err != nil {
		return err
	}
	return stopTroupe(sys)
}

// question is a request: like [workload.Msg] 24 bytes, with Troupe's own reply.
type question struct {
	kind  workload.Kind
	from  uint32
	n     uint64
	reply actor.Reply[uint64]
}

// Ask implements [workload.System].
func (Troupe) Ask(t *workload.Asks) error {
	sys := newTroupeSystem()
	answerer := t.Answerer
	ref, err := actor.Spawn(sys, troupeBehavior(func(_ *actor.Context[question], q question) error {
		q.reply.Send(answerer.Answer(q.from, q.n))
		return nil
	}))
	if err != nil {
		return err
	}
	ctx := t.Context()
	err = t.Drive(func(a *workload.Asker) error {
		for a.Next() {
			answer, err := actor.Ask(ctx, ref, func(r actor.Reply[uint64]) question {
				return question{kind: workload.Answer, from: a.From, n: a.N(), reply: r}
			})
			if err != nil {
				return err
			}
			a.Got(answer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return stopTroupe(sys)
}

// Spawn implements [workload.System].
func (Troupe) Spawn(c *workload.Crowd) (workload.Residents, error) {
	return &troupeResidents{
		sys: newTroupeSystem(),
		spec: actor.Spec[workload.Msg]{New: func() actor.Behavior[workload.Msg] {
			return &troupeResident{workload.Resident{Crowd: c}}
		}},
	}, nil
}

type troupeResidents struct {
	sys  *actor.System
	spec actor.Spec[workload.Msg]
	refs []actor.Ref[workload.Msg]
}

type troupeResident struct{ workload.Resident }

func (r *troupeResident) Receive(_ *actor.Context[workload.Msg], m workload.Msg) error {
	r.Greet(m)
	return nil
}

func (r *troupeResidents) Grow(n int) { r.refs = make([]actor.Ref[workload.Msg], 0, n) }

func (r *troupeResidents) Spawn(n int) error {
	for range n {
		ref, err := actor.Spawn(r.sys, r.spec)
		if err != nil {
			return err
		}
		r.refs = append(r.refs, ref)
	}
	return nil
}

func (r *troupeResidents) Tell(m workload.Msg) error {
	ctx := context.Background()
	for _, ref := range r.refs {
		if err := ref.Tell(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *troupeResidents) Stop() error {
	for _, ref := range r.refs {
		ref.Kill()
	}
	for _, ref := range r.refs {
		<-ref.Done()
	}
	r.refs = nil
	return nil
}

func (r *troupeResidents) Close() error { return stopTroupe(r.sys) }

type troupeVictim struct{ victim *workload.Victim }

func (v *troupeVictim) Receive(_ *actor.Context[workload.Msg], m workload.Msg) error {
	v.victim.Handle(m)
	return nil
}

// Crash implements [workload.System].
func (Troupe) Crash(t *workload.Crashes) error {
	sys := newTroupeSystem()
	ref, err := actor.Spawn(sys, actor.Spec[workload.Msg]{
		New: func() actor.Behavior[workload.Msg] { return &troupeVictim{t.NewVictim()} },
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := t.Drive(func(m workload.Msg) error { return ref.Tell(ctx, m) }); err != nil {
		return err
	}
	return stopTroupe(sys)
}
