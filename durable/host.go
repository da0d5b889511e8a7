package durable

import (
	"context"
	"math"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store"
)

// host keeps the actors of one queue, or of all queues with a prefix, and wakes
// them when there is something to do. In the tree it is an actor with its workers
// and one service, the watch, as children.
type host[M any] struct {
	store     store.Store
	local     *local[M]
	opts      workerOptions
	rehearsal bool

	only    store.Queue // the one queue, or
	prefix  store.Queue // what the names of all begin with
	mailbox func(store.Queue) (*Mailbox[M], error)
	make    func(w *worker[M]) handler[M]

	decide      func(error) actor.Directive
	backoff     actor.Backoff
	stopTimeout time.Duration
	idleTimeout time.Duration
	typeName    string
	activeMax   int

	keeper actor.Ref[hostMessage]

	mu      sync.Mutex
	workers map[store.Queue]*worker[M]
	waiting []store.Queue // for others to leave, as there are activeMax
	why     error         // the reason of the last worker that ended
}

// hostMessage is what the keeper of a host is told.
type hostMessage struct {
	wake store.Queue // there are messages
	down store.Queue // its worker has ended
	id   uint64      // the worker's actor
	why  error
}

// spawn starts a host. The box is that of the one queue, if it is for one.
func (h *host[M]) spawn(under actor.Parent, name string, box *Mailbox[M]) (actor.Ref[M], error) {
	if h.decide == nil {
		h.decide = decideDefault
	}
	h.workers = map[store.Queue]*worker[M]{}
	target := &hostTarget[M]{host: h, box: box}
	keeper, err := actor.Spawn(under, actor.Spec[hostMessage]{
		Name: name, Type: "durable.Host", StopTimeout: h.stopTimeout,
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // a queue is in it once
		New:     func() actor.Behavior[hostMessage] { return &keeper[M]{h: h, self: actor.NewRef[M](target)} },
		Supervision: actor.Supervision{
			Decide:      func(_ actor.Address, err error) actor.Directive { return h.decide(err) },
			MaxRestarts: math.MaxInt, Backoff: h.backoff,
		},
	})
	if err != nil {
		return actor.Ref[M]{}, err
	}
	target.keeper = keeper
	return actor.NewRef[M](target), nil
}

// keeper is the actor above the workers.
type keeper[M any] struct {
	h    *host[M]
	self actor.Ref[M]
}

// Start makes the worker of the one queue, and the watch.
func (k *keeper[M]) Start(ctx *actor.Context[hostMessage]) error {
	k.h.mu.Lock()
	clear(k.h.workers)
	k.h.mu.Unlock()
	k.h.keeper = ctx.Self()
	if k.h.opts.owner == "" {
		k.h.opts.owner = ctx.Address().System
	}
	if k.h.only != "" {
		if err := k.activate(ctx, k.h.only); err != nil {
			return err
		}
	}
	_, err := actor.SpawnService(ctx, actor.ServiceSpec{
		Name: "watch", Type: "durable.Watch", Restart: actor.Permanent,
		New: func() actor.Service { return actor.ServiceFunc(k.h.watch) },
	})
	if err == nil {
		k.h.local.serving.Add(1)
	}
	return err
}

// Stop ends the serving.
func (k *keeper[M]) Stop(*actor.Context[hostMessage]) error {
	k.h.local.serving.Add(-1)
	return nil
}

// Receive brings workers to life and forgets those that have left.
func (k *keeper[M]) Receive(ctx *actor.Context[hostMessage], m hostMessage) error {
	if m.wake != "" {
		return k.wake(ctx, m.wake)
	}
	h := k.h
	h.mu.Lock()
	w := h.workers[m.down]
	if w == nil || w.actor.Load() == nil || w.actor.Load().Address().ID != m.id {
		h.mu.Unlock()
		return nil // another has its place already
	}
	delete(h.workers, m.down)
	h.why = m.why
	var next store.Queue
	if len(h.waiting) > 0 {
		next, h.waiting = h.waiting[0], h.waiting[1:]
	}
	h.mu.Unlock()
	if h.only != "" {
		return actor.ErrStop
	}
	if next != "" {
		return k.wake(ctx, next)
	}
	return nil
}

func (k *keeper[M]) wake(ctx *actor.Context[hostMessage], q store.Queue) error {
	h := k.h
	h.mu.Lock()
	w := h.workers[q]
	if w == nil && h.activeMax > 0 && len(h.workers) >= h.activeMax {
		h.waiting = append(h.waiting, q)
		h.mu.Unlock()
		return nil
	}
	h.mu.Unlock()
	if w != nil && w.wake() {
		return nil
	}
	return k.activate(ctx, q)
}

// activate makes the worker of a queue.
func (k *keeper[M]) activate(ctx *actor.Context[hostMessage], q store.Queue) error {
	h := k.h
	box, err := h.mailbox(q)
	if err != nil {
		return err
	}
	w := &worker[M]{box: box, store: h.store, rehearsal: h.rehearsal, opts: h.opts, make: h.make, size: firstBatch, self: k.self}
	name := "handler"
	if h.only == "" {
		w.self = box.Ref()
		name = actorName(q[len(h.prefix):])
	}
	w.awake.Store(true) // until it has started
	ref, err := actor.Spawn(ctx, actor.Spec[item[M]]{
		Name: name, Type: h.typeName, Attempts: 255, IdleTimeout: h.idleTimeout, StopTimeout: h.stopTimeout,
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // looks, of which there are two at most, and own timers
		New:     func() actor.Behavior[item[M]] { return &shift[M]{w: w} },
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.workers[q] = w
	h.mu.Unlock()
	actor.Watch(ctx, ref, func(d actor.Down) hostMessage {
		return hostMessage{down: q, id: d.Actor.ID, why: d.Reason}
	})
	return nil
}

// watch waits for messages and wakes the workers.
func (h *host[M]) watch(ctx context.Context) error {
	prefix := h.prefix
	if h.only != "" {
		prefix = h.only
	}
	for q, err := range h.store.Ready(ctx, prefix) {
		if err != nil {
			return err
		}
		if h.only != "" && q != h.only {
			continue
		}
		h.mu.Lock()
		w := h.workers[q]
		h.mu.Unlock()
		if w != nil && w.wake() {
			continue
		}
		if err := h.keeper.Tell(ctx, hostMessage{wake: q}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// actorName makes a name of an actor from that of a queue.
func actorName(q store.Queue) string {
	return strings.ReplaceAll(url.PathEscape(strings.ReplaceAll(string(q), "/", ".")), "%20", " ")
}

// hostTarget is behind the reference to a host for one queue.
type hostTarget[M any] struct {
	host   *host[M]
	box    *Mailbox[M]
	keeper actor.Ref[hostMessage]
}

func (t *hostTarget[M]) Deliver(ctx context.Context, m M) error {
	select {
	case <-t.keeper.Done():
		return actor.ErrStopped.WithTarget(t.keeper.Address().Path)
	default:
		return t.box.Deliver(ctx, m)
	}
}

func (t *hostTarget[M]) Address() actor.Address         { return t.keeper.Address() }
func (t *hostTarget[M]) Stop(ctx context.Context) error { return t.keeper.Stop(ctx) }
func (t *hostTarget[M]) Kill()                          { t.keeper.Kill() }
func (t *hostTarget[M]) Done() <-chan struct{}          { return t.keeper.Done() }

// Watch waits for the end on a goroutine, which ends with it or with cancel.
func (t *hostTarget[M]) Watch(notify func(actor.Down)) (cancel func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.keeper.Done():
		}
		if ctx.Err() == nil {
			t.host.mu.Lock()
			why := t.host.why
			t.host.mu.Unlock()
			notify(actor.Down{Actor: t.keeper.Address(), Reason: why})
		}
	}()
	return cancel
}
