package actor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// remote is a target of one's own, as a connection to another node would be. It
// answers what it is asked by itself.
type remote struct{ log *journal }

type remoteMsg struct {
	n     int
	reply actor.Reply[int]
}

func (r *remote) Deliver(ctx context.Context, m remoteMsg) error {
	if m.n < 0 {
		return errTest
	}
	r.log.add("%d, waits: %v", m.n, ctx.Err() == nil)
	m.reply.Send(m.n + 1)
	return nil
}

func (r *remote) Address() actor.Address { return actor.Address{System: "far", Path: "/away", ID: 7} }

// A reference may point to something that is no local actor.
func TestRefToATargetOfOnesOwn(t *testing.T) {
	t.Parallel()
	sys := newSystem(t, actor.Options{})
	r := &remote{&journal{}}
	ref := actor.NewRef[remoteMsg](r)
	adapted := actor.Adapt(ref, func(n int) remoteMsg { return remoteMsg{n: n} })
	tell(t, ref, remoteMsg{n: 1})
	tell(t, adapted, 2)
	if err := errors.Join(ref.TryTell(remoteMsg{n: 3}), adapted.TryTell(4)); err != nil {
		t.Error(err)
	}
	build := func(n int) func(actor.Reply[int]) remoteMsg {
		return func(reply actor.Reply[int]) remoteMsg { return remoteMsg{n, reply} }
	}
	if got, err := actor.Ask(t.Context(), ref, build(5)); got != 6 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := actor.Ask(t.Context(), ref, build(-1)); err != errTest {
		t.Error(err)
	}
	wantJournal(t, r.log, "1, waits: true", "2, waits: true", "3, waits: false", "4, waits: false", "5, waits: true")
	if ref.String() != "far:/away@7" || adapted.Address() != ref.Address() || ref != actor.NewRef[remoteMsg](r) {
		t.Error(ref, adapted)
	}
	// It can't be stopped or watched, which harms nobody.
	ref.Kill()
	if err := ref.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	call(t, spawnDoer(t, sys, actor.Spec[do]{}), func(ctx *actor.Context[do]) error {
		actor.Watch(ctx, ref, func(actor.Down) do { return nothing })()
		if err := actor.Link(ctx, ref); !errors.Is(err, actor.ErrNoActor) {
			t.Error(err)
		}
		return nil
	})
}

// A pool and an adapter end as the actor behind them does.
func TestPoolAndAdapterEnd(t *testing.T) {
	t.Parallel()
	actortest.RunWith(t, actor.Options{Logger: discard()}, func(t *testing.T, sys *actor.System) {
		pool, err := actor.SpawnPool(sys, actor.PoolSpec[do]{Size: 2, Worker: actor.Spec[do]{New: newDoer}})
		if err != nil {
			t.Fatal(err)
		}
		adapted := actor.Adapt(pool, func(d do) do { return d })
		if got, err := actor.Ask(t.Context(), adapted, answer(3)); got != 3 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		adapted.Kill()
		<-adapted.Done()
		if d := actortest.ExpectDown(t, sys, pool); d.Reason != actor.ErrKilled {
			t.Error(d)
		}
		if d := actortest.ExpectDown(t, sys, adapted); d.Actor != pool.Address() {
			t.Error(d)
		}
	})
}

// An ask that makes room for a newer message is answered with the reason.
func TestDroppedAsk(t *testing.T) {
	t.Parallel()
	for _, priority := range []func(do) int{nil, func(do) int { return 0 }} {
		dead := &letters{}
		actortest.RunWith(t, actor.Options{Logger: discard(), Hooks: dead.hooks()}, func(t *testing.T, sys *actor.System) {
			ref := spawnDoer(t, sys, actor.Spec[do]{Priority: priority, Mailbox: actor.Mailbox{Capacity: 1, Overflow: actor.DropOldest}})
			gate, asked := make(chan struct{}), make(chan error)
			tell(t, ref, func(*actor.Context[do]) error { <-gate; return nil })
			synctest.Wait()
			go func() {
				_, err := actor.Ask(context.Background(), ref, answer(1))
				asked <- err
			}()
			synctest.Wait()
			tell(t, ref, nothing)
			if err := <-asked; !errors.Is(err, actor.ErrDropped) {
				t.Error(err)
			}
			close(gate)
			synctest.Wait()
			if all := dead.take(); len(all) != 0 {
				t.Errorf("dead letters: %v", all)
			}
		})
	}
}
