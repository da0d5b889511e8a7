package actor

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/troupe-dev/troupe/fault"
)

// Routing says which worker of a pool gets a message.
type Routing uint8

// Routings.
const (
	// RoundRobin takes the workers in turn.
	RoundRobin Routing = iota
	// Random takes any worker.
	Random
	// SmallestMailbox takes the worker with the fewest waiting messages.
	SmallestMailbox
	// ConsistentHash takes the worker that PoolSpec.Key chooses: equal keys go
	// to the same worker, so their order is kept. A message whose key is empty has
	// none, and goes where SmallestMailbox would send it.
	ConsistentHash
	// Broadcast sends to all workers. An ask is answered by the first.
	Broadcast
)

// PoolSpec says how to make a pool of like actors behind one reference.
type PoolSpec[M any] struct {
	Name    string
	Size    int // number of workers, 1 to 65536
	Routing Routing
	Key     func(M) string // required for ConsistentHash; must be safe for concurrent use

	// Worker makes each of the workers; its Name is not used.
	Worker Spec[M]

	// Supervision is the pool's policy for its workers. Default: restart each by
	// itself; if that is too often, the pool fails and, by the policy above it,
	// begins again with new workers.
	Supervision Supervision
}

// SpawnPool makes a pool. A worker that ends for good leaves the pool, and the
// pool ends with its last. Messages are routed on the sender's goroutine, there
// is no actor in between. Stopping the reference stops the pool and its workers.
func SpawnPool[M any](parent Parent, spec PoolSpec[M]) (Ref[M], error) {
	switch {
	case spec.Size < 1 || spec.Size > 1<<16:
		return Ref[M]{}, fault.New(fault.InvalidArgument, "actor.SpawnPool", "pool %q: size %d is out of range; it is 1 to 65536", spec.Name, spec.Size)
	case spec.Routing == ConsistentHash && spec.Key == nil:
		return Ref[M]{}, fault.New(fault.InvalidArgument, "actor.SpawnPool", "pool %q routes by hash and has no Key", spec.Name)
	case spec.Routing > Broadcast:
		return Ref[M]{}, fault.New(fault.InvalidArgument, "actor.SpawnPool", "pool %q: unknown routing %d", spec.Name, spec.Routing)
	case spec.Worker.New == nil:
		return Ref[M]{}, fault.New(fault.InvalidArgument, "actor.SpawnPool", "pool %q: the worker's spec has no New", spec.Name)
	}
	p := &pool[M]{spec: spec}
	p.spec.Worker.Name = ""
	keeper, err := Spawn(parent, Spec[poolMessage]{
		Name: spec.Name, Supervision: spec.Supervision, Type: "actor.Pool",
		New: func() Behavior[poolMessage] { return &poolKeeper[M]{p} },
	})
	if err != nil {
		return Ref[M]{}, err
	}
	p.keeper = keeper
	return Ref[M]{p}, nil
}

// poolMessage tells the keeper of a pool that a worker has ended.
type poolMessage struct{ worker uint64 }

// poolKeeper is the actor above the workers.
type poolKeeper[M any] struct{ pool *pool[M] }

func (k *poolKeeper[M]) Receive(_ *Context[poolMessage], m poolMessage) error {
	left := slices.DeleteFunc(slices.Clone(*k.pool.workers.Load()), func(w *cell[M]) bool { return w.id == m.worker })
	k.pool.workers.Store(&left)
	if len(left) == 0 {
		return ErrStop
	}
	return nil
}

func (k *poolKeeper[M]) Start(ctx *Context[poolMessage]) error {
	workers := make([]*cell[M], k.pool.spec.Size)
	for i := range workers {
		spec := k.pool.spec.Worker
		spec.Name = strconv.Itoa(i)
		ref, err := Spawn(ctx, spec)
		if err != nil {
			return err
		}
		workers[i] = ref.target.(*cell[M])
		Watch(ctx, ref, func(d Down) poolMessage { return poolMessage{d.Actor.ID} })
	}
	k.pool.workers.Store(&workers)
	return nil
}

// pool is the target behind a pool's reference.
type pool[M any] struct {
	spec    PoolSpec[M]
	keeper  Ref[poolMessage]
	workers atomic.Pointer[[]*cell[M]]
	next    atomic.Uint64
}

func (p *pool[M]) Address() Address               { return p.keeper.Address() }
func (p *pool[M]) Stop(ctx context.Context) error { return p.keeper.Stop(ctx) }
func (p *pool[M]) Kill()                          { p.keeper.Kill() }
func (p *pool[M]) Done() <-chan struct{}          { return p.keeper.Done() }

func (p *pool[M]) Watch(notify func(Down)) func() {
	return p.keeper.target.(Watchable).Watch(notify)
}

func (p *pool[M]) Deliver(ctx context.Context, m M) error { return p.accept(ctx, m, traced(ctx), true) }

func (p *pool[M]) accept(ctx context.Context, m M, env *envelope, wait bool) error {
	workers := *p.workers.Load()
	if len(workers) == 0 {
		return ErrStopped.WithTarget(p.Address().Path)
	}
	if p.spec.Routing != Broadcast {
		return p.route(workers, m).acceptFor(ctx, m, env, wait)
	}
	var errs []error
	for _, w := range workers {
		if env != nil && env.kind == envelopeTell {
			env = env.asTell() // each counts its own attempts
		}
		if err := w.accept(ctx, m, env, wait); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// route chooses one worker.
func (p *pool[M]) route(workers []*cell[M], m M) *cell[M] {
	n := uint64(len(workers))
	switch p.spec.Routing {
	case Random:
		return workers[scramble(p.next.Add(1))%n]
	case SmallestMailbox:
		return smallest(workers, p.next.Add(1)%n)
	case ConsistentHash:
		if key := p.spec.Key(m); key != "" {
			return workers[jump(fnv1a(key), len(workers))]
		}
		return smallest(workers, p.next.Add(1)%n)
	}
	return workers[p.next.Add(1)%n]
}

// smallest is the first worker with the fewest waiting messages, looking from
// the given one on so that equal ones take turns.
func smallest[M any](workers []*cell[M], from uint64) *cell[M] {
	var best *cell[M]
	least := uint32(unlimited)
	for i := range workers {
		w := workers[(from+uint64(i))%uint64(len(workers))]
		w.mu.Lock()
		n := w.waiting()
		if w.flags&flagActive != 0 {
			n++
		}
		w.mu.Unlock()
		if n < least || best == nil {
			best, least = w, n
		}
		if least == 0 {
			break
		}
	}
	return best
}

// scramble makes a number that looks random out of a counter: the output function
// of SplitMix64 (Steele, Lea and Flood, 2014). Unlike a shared source of chance it
// needs no lock, and equal runs of a test stay equal.
func scramble(n uint64) uint64 {
	n *= 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// fnv1a is the 64-bit FNV-1a hash. It is the same in every process, so that a
// key keeps its worker.
func fnv1a(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

// jump is the consistent hash of Lamping and Veach, "A Fast, Minimal Memory,
// Consistent Hash Algorithm" (2014).
func jump(key uint64, buckets int) int {
	b, j := int64(-1), int64(0)
	for j < int64(buckets) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(b)
}
