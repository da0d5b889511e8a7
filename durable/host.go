package durable

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// host keeps the actors of one queue, or of all queues with a prefix, and wakes
// them when there is something to do. In the tree it is an actor, the keeper, with
// its workers and one service, the watch, as children.
type host[M any] struct {
	store     store.Store // the mailboxes', or a rehearsal's
	local     *local[M]
	work      workerOptions
	opts      Options
	idle      time.Duration // 0: for ever
	active    int           // 0: any number
	fence     *fence        // nil: none
	rehearsal bool

	only    store.Queue // the one queue, or
	prefix  store.Queue // what the names of all begin with
	mailbox func(store.Queue) (*Mailbox[M], error)
	refOf   func(*Mailbox[M]) actor.Ref[M]
	make    func(w *worker[M]) handler[M]

	keeper actor.Ref[hostMessage]

	mu      sync.Mutex
	workers map[store.Queue]*worker[M]
	// waiting are queues that can't have a worker now: there are as many as may
	// be, or the lease is somebody else's.
	waiting map[store.Queue]struct{}
	why     error // the reason of the last worker that ended
}

// hostMessage is what the keeper of a host is told.
type hostMessage struct {
	wake  store.Queue // there are messages
	down  store.Queue // its worker has ended
	id    uint64      // the worker's actor
	why   error
	retry bool // those that wait may have their turn
}

// heldPause is how often a lease that somebody else holds is asked for.
const heldPause = time.Second

// spawn starts a host.
func (h *host[M]) spawn(under actor.Parent) error {
	decide := h.opts.Decide
	if decide == nil {
		decide = decideDefault
	}
	h.workers, h.waiting = map[store.Queue]*worker[M]{}, map[store.Queue]struct{}{}
	keeper, err := actor.Spawn(under, actor.Spec[hostMessage]{
		Name: h.opts.Name, Type: "durable.Host", StopTimeout: h.opts.StopTimeout,
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // what is in it is bounded by the workers and their queues
		New:     func() actor.Behavior[hostMessage] { return &keeper[M]{h: h} },
		Supervision: actor.Supervision{
			Decide:      func(_ actor.Address, err error) actor.Directive { return decide(err) },
			MaxRestarts: math.MaxInt, Backoff: h.opts.Backoff,
		},
	})
	h.keeper = keeper
	return err
}

// keeper is the actor above the workers.
type keeper[M any] struct {
	h      *host[M]
	asleep bool // until the lease is asked for again
	tired  int  // how often in a row the store could not tell
}

// Start makes the worker of the one queue, and the watch.
func (k *keeper[M]) Start(ctx *actor.Context[hostMessage]) error {
	h, self := k.h, ctx.Self()
	h.mu.Lock()
	clear(h.workers)
	clear(h.waiting)
	h.mu.Unlock()
	if h.work.owner == "" {
		h.work.owner = ctx.Address().System
	}
	if h.fence != nil && h.fence.owner == "" {
		h.fence.owner = h.work.owner
	}
	if h.only != "" {
		if err := k.activate(ctx, h.only); err != nil {
			return err
		}
	}
	_, err := actor.SpawnService(ctx, actor.ServiceSpec{
		Name: "watch", Type: "durable.Watch", Restart: actor.Permanent,
		New: func() actor.Service {
			return actor.ServiceFunc(func(ctx context.Context) error { return h.watch(ctx, self) })
		},
	})
	if err == nil {
		h.local.serving.Add(1)
	}
	return err
}

// Stop ends the serving, when all workers have ended.
func (k *keeper[M]) Stop(ctx *actor.Context[hostMessage]) error {
	k.h.local.serving.Add(-1)
	if k.h.fence != nil {
		k.h.fence.release(context.WithoutCancel(ctx))
	}
	return nil
}

// Receive brings workers to life and forgets those that have left.
func (k *keeper[M]) Receive(ctx *actor.Context[hostMessage], m hostMessage) error {
	h := k.h
	switch {
	case m.wake != "":
		k.wake(ctx, m.wake)
		return nil
	case m.retry:
		k.asleep = false
		k.retry(ctx)
		return nil
	}
	h.mu.Lock()
	w := h.workers[m.down]
	if w == nil || w.actor.Load() == nil || w.actor.Load().Address().ID != m.id {
		h.mu.Unlock()
		return nil // another has its place already
	}
	delete(h.workers, m.down)
	h.why = m.why
	waits := len(h.waiting) > 0
	h.mu.Unlock()
	switch {
	case h.only != "":
		return actor.ErrStop
	case waits:
		k.retry(ctx)
	}
	return nil
}

// wake wakes the worker of a queue, or makes it.
func (k *keeper[M]) wake(ctx *actor.Context[hostMessage], q store.Queue) {
	h := k.h
	h.mu.Lock()
	w := h.workers[q]
	if w == nil && h.active > 0 && len(h.workers) >= h.active {
		h.waiting[q] = struct{}{}
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	if w != nil && w.wake() {
		return
	}
	if !k.mayWrite(ctx) {
		h.wait(q)
		return
	}
	if err := k.activate(ctx, q); err != nil {
		ctx.Log().LogAttrs(ctx, slog.LevelError, "a durable mailbox has messages and can't have an actor",
			append([]slog.Attr{slog.String("queue", string(q))}, fault.Attrs(err)...)...)
	}
}

// mayWrite reports whether the host may have workers. If it may not, or the store
// can't tell, the queues that wait have their turn later.
func (k *keeper[M]) mayWrite(ctx *actor.Context[hostMessage]) bool {
	h := k.h
	if h.fence == nil {
		return true
	}
	_, err := h.fence.current(ctx)
	switch {
	case err == nil:
		k.tired = 0
		return true
	case errors.Is(err, store.ErrLeaseHeld):
		k.sleep(ctx, heldPause)
	case !k.asleep && ctx.Err() == nil:
		k.tired++
		pause := storePause(k.tired)
		ctx.Log().LogAttrs(ctx, slog.LevelError, "the store of durable actors failed",
			append([]slog.Attr{slog.String("lease", string(h.fence.name)), slog.Duration("again_in", pause)}, fault.Attrs(err)...)...)
		if f := h.work.hooks.StoreFailed; f != nil {
			f(h.prefix, err)
		}
		k.sleep(ctx, pause)
	}
	return false
}

// wait notes that a queue has messages and no worker.
func (h *host[M]) wait(q store.Queue) {
	h.mu.Lock()
	h.waiting[q] = struct{}{}
	h.mu.Unlock()
}

// retry gives the queues that wait their turn.
func (k *keeper[M]) retry(ctx *actor.Context[hostMessage]) {
	h := k.h
	if !k.mayWrite(ctx) {
		return
	}
	h.mu.Lock()
	var next []store.Queue
	for q := range h.waiting {
		if h.active > 0 && len(h.workers)+len(next) >= h.active {
			break
		}
		next = append(next, q)
		delete(h.waiting, q)
	}
	h.mu.Unlock()
	for _, q := range next {
		k.wake(ctx, q)
	}
}

// sleep waits before the lease is asked for again.
func (k *keeper[M]) sleep(ctx *actor.Context[hostMessage], d time.Duration) {
	if !k.asleep {
		k.asleep = true
		ctx.After(d, hostMessage{retry: true})
	}
}

// activate makes the worker of a queue.
func (k *keeper[M]) activate(ctx *actor.Context[hostMessage], q store.Queue) error {
	h := k.h
	box, err := h.mailbox(q)
	if err != nil {
		return err
	}
	w := &worker[M]{box: box, store: h.store, rehearsal: h.rehearsal, opts: h.work, make: h.make, size: min(firstBatch, h.work.batch), self: h.refOf(box)}
	name := "handler"
	if h.only == "" {
		name = entityName(string(q[len(h.prefix):]))
		w.standBack = func() { h.wait(q) }
	}
	h.mu.Lock()
	h.workers[q] = w // before it starts, so that it can be found when it ends
	h.mu.Unlock()
	ref, err := actor.Spawn(ctx, actor.Spec[item[M]]{
		Name: name, Type: h.opts.Type, Attempts: 255, IdleTimeout: h.idle, StopTimeout: h.opts.StopTimeout,
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // looks, of which there are two at most, and own timers
		New:     func() actor.Behavior[item[M]] { return &shift[M]{w: w} },
	})
	if err != nil {
		h.mu.Lock()
		delete(h.workers, q)
		h.mu.Unlock()
		return err
	}
	actor.Watch(ctx, ref, func(d actor.Down) hostMessage {
		return hostMessage{down: q, id: d.Actor.ID, why: d.Reason}
	})
	return nil
}

// watch waits for messages and wakes the workers.
func (h *host[M]) watch(ctx context.Context, keeper actor.Ref[hostMessage]) error {
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
		w, waits := h.workers[q], false
		if w == nil {
			_, waits = h.waiting[q]
		}
		h.mu.Unlock()
		if waits || w != nil && w.wake() {
			continue
		}
		if err := keeper.Tell(ctx, hostMessage{wake: q}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// actorName makes a name of an actor from that of a queue.
func actorName(q store.Queue) string {
	return url.PathEscape(strings.ReplaceAll(string(q), "/", "."))
}

// entityName makes a name of an actor from a key. Other keys have other names.
func entityName(key string) string { return url.PathEscape(key) }

// hostTarget is behind the reference to a host for one queue.
type hostTarget[M any] struct {
	host *host[M]
	box  *Mailbox[M]
}

func (t *hostTarget[M]) Deliver(ctx context.Context, m M) error {
	select {
	case <-t.Done():
		return actor.ErrStopped.WithTarget(t.Address().Path)
	default:
		return t.box.Deliver(ctx, m)
	}
}

func (t *hostTarget[M]) Address() actor.Address         { return t.host.keeper.Address() }
func (t *hostTarget[M]) Stop(ctx context.Context) error { return t.host.keeper.Stop(ctx) }
func (t *hostTarget[M]) Kill()                          { t.host.keeper.Kill() }
func (t *hostTarget[M]) Done() <-chan struct{}          { return t.host.keeper.Done() }

// Watch waits for the end on a goroutine, which ends with it or with cancel.
func (t *hostTarget[M]) Watch(notify func(actor.Down)) (cancel func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.Done():
		}
		if ctx.Err() == nil {
			t.host.mu.Lock()
			why := t.host.why
			t.host.mu.Unlock()
			notify(actor.Down{Actor: t.Address(), Reason: why})
		}
	}()
	return cancel
}
