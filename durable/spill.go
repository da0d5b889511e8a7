package durable

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store"
)

// SpillSpec says where messages go for which a mailbox in memory has no room.
type SpillSpec[M any] struct {
	// Name is that of the actor that moves messages back, unique among the
	// children of the parent. Default: the queue's name with "." for "/".
	Name string

	// Queue is where messages wait on disk. No other mailbox has it. Required.
	Queue store.Queue

	// Codec turns messages into bytes. Required.
	Codec Codec[M]

	// Batch is how many messages are moved back at a time. Default and most
	// 4096.
	Batch int

	// Hold is for how long messages are held while they are moved back; it is
	// renewed. Default 30 s.
	Hold time.Duration

	// Hooks are listeners; Buried and StoreFailed are called.
	Hooks Hooks
}

// Spill puts a disk behind the bounded mailbox of an ordinary actor. The
// reference it returns sends to the actor directly for as long as there is room.
// When there is none, messages go to a queue on disk, and so do all that follow,
// so that their order is kept, until what is on disk has been moved back: a Tell
// then takes a commit and does not wait for room. It is for bursts that outgrow
// memory; an actor that must not lose anything has a [Mailbox] from the start.
//
// What is on disk survives the end of the process and is delivered by the next
// Spill for the queue; a message that was being moved may then come twice. What is
// in memory is lost with the process, as in any actor. A message that does not
// decode becomes a dead letter.
//
// Stopping the reference stops the moving, and then the actor. Errors of Spill:
// INVALID_ARGUMENT, and those of [actor.Spawn]. Errors of a Tell: those of the
// actor, but not [actor.ErrMailboxFull]; once it spills those of [Mailbox.Tell].
func Spill[M any](under actor.Parent, to actor.Ref[M], s store.Store, spec SpillSpec[M]) (actor.Ref[M], error) {
	const op = "durable.Spill"
	if to.IsZero() {
		return to, invalid(op, spec.Name, "there is no actor to spill for")
	}
	box, err := NewMailbox(s, MailboxSpec[M]{Queue: spec.Queue, Codec: spec.Codec, Dedup: -1})
	if err != nil {
		return to, err
	}
	options := Options{Name: spec.Name, Batch: spec.Batch, Hold: spec.Hold, Hooks: spec.Hooks}
	work, err := options.worker(op)
	if err != nil {
		return to, err
	}
	if spec.Name == "" {
		spec.Name = actorName(spec.Queue)
	}
	t := &spill[M]{to: to, box: box, work: work}
	t.spilling.Store(true) // until what an earlier process left is moved
	box.serving.Add(1)
	t.mover, err = actor.SpawnService(under, actor.ServiceSpec{
		Name: spec.Name, Type: "durable.Spill", Restart: actor.Transient,
		New: func() actor.Service { return actor.ServiceFunc(t.serve) },
	})
	if err != nil {
		return to, err
	}
	return actor.NewRef[M](t), nil
}

// spill is the target behind the reference.
type spill[M any] struct {
	to    actor.Ref[M]
	box   *Mailbox[M]
	work  workerOptions
	mover actor.ServiceRef

	// spilling is whether messages go to the disk. It ends when the mover has seen
	// the queue empty and no message was on its way there meanwhile. A message
	// can't pass an earlier one of its sender by: that one's Deliver has returned,
	// so it was counted.
	spilling atomic.Bool
	mu       sync.Mutex
	onTheWay int
	arrived  uint64
}

func (t *spill[M]) Deliver(ctx context.Context, m M) error {
	if !t.spilling.Load() {
		if err := t.to.TryTell(m); !errors.Is(err, actor.ErrMailboxFull) {
			return err
		}
	}
	select {
	case <-t.to.Done():
		return actor.ErrStopped.WithTarget(t.Address().Path)
	case <-ctx.Done(): // it can't wait for a commit
		return actor.ErrMailboxFull.WithTarget(t.Address().Path)
	default:
	}
	t.mu.Lock()
	t.onTheWay++
	t.spilling.Store(true)
	t.mu.Unlock()
	err := t.box.Tell(ctx, m)
	t.mu.Lock()
	t.onTheWay--
	t.arrived++
	t.mu.Unlock()
	return err
}

// serve moves messages back to memory, until the actor has ended.
func (t *spill[M]) serve(ctx context.Context) error {
	for tired := 0; ; {
		err := t.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, actor.ErrStopped):
			return nil
		case err == nil:
			tired = 0
			continue
		}
		if h := t.work.hooks.StoreFailed; h != nil {
			h(t.box.spec.Queue, err)
		}
		tired++
		select {
		case <-ctx.Done():
		case <-time.After(storePause(tired)):
		}
	}
}

// round moves messages until there are none, and waits for more.
func (t *spill[M]) round(ctx context.Context) error {
	for {
		n, err := t.move(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := t.empty(ctx); err != nil {
		return err
	}
	for q, err := range t.box.store.Ready(ctx, t.box.spec.Queue) {
		if err != nil || q == t.box.spec.Queue {
			return err
		}
	}
	return ctx.Err()
}

// empty ends the spilling if there is nothing on disk.
func (t *spill[M]) empty(ctx context.Context) error {
	t.mu.Lock()
	before := t.arrived
	t.mu.Unlock()
	on, err := t.box.Stats(ctx)
	if err != nil {
		return err
	}
	if on.Ready+on.Held+on.Delayed > 0 {
		return nil // an earlier process holds some
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.onTheWay == 0 && t.arrived == before {
		t.spilling.Store(false)
	}
	return nil
}

// move moves some messages back and returns how many.
func (t *spill[M]) move(ctx context.Context) (int, error) {
	w := &worker[M]{box: t.box, store: t.box.store, opts: t.work}
	msgs, err := w.store.Receive(ctx, store.ReceiveRequest{
		Queue: t.box.spec.Queue, Owner: "spill", Max: w.opts.batch, Hold: w.opts.hold, Ordered: true,
	})
	if err != nil || len(msgs) == 0 {
		return 0, err
	}
	stop := w.keepHeld(ctx, msgs)
	defer stop()
	var parts []*part
	for i := range msgs {
		p := &part{msg: &msgs[i]}
		m, err := w.decode(p)
		if err != nil {
			p.end, p.reason = buried, err
		} else if err = t.to.Tell(ctx, m); err != nil {
			for ; i < len(msgs); i++ {
				parts = append(parts, untried(&msgs[i]))
			}
			return 0, errors.Join(err, t.end(ctx, w, parts))
		}
		parts = append(parts, p)
	}
	return len(parts), t.end(ctx, w, parts)
}

// end ends messages that were moved, or not.
func (t *spill[M]) end(ctx context.Context, w *worker[M], parts []*part) error {
	if err := w.commit(ctx, w.batchOf(parts)); err != nil {
		return err
	}
	for _, p := range parts {
		if p.end == givenBack {
			continue
		}
		w.box.live.drop(p.keep)
		if h := t.work.hooks.Buried; h != nil && p.end == buried {
			h(t.box.spec.Queue, p.record(p.reason))
		}
	}
	return nil
}

func (t *spill[M]) Address() actor.Address { return t.to.Address() }
func (t *spill[M]) Done() <-chan struct{}  { return t.to.Done() }

func (t *spill[M]) Stop(ctx context.Context) error {
	return errors.Join(t.mover.Stop(ctx), t.to.Stop(ctx))
}

func (t *spill[M]) Kill() {
	t.mover.Kill()
	t.to.Kill()
}
