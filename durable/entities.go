package durable

import (
	"context"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store"
)

// Defaults of an [EntitySpec].
const (
	DefaultSnapshotEvery = 100
	DefaultIdle          = 2 * time.Minute
	DefaultActive        = 100_000
	DefaultTTL           = 30 * time.Second
)

// EntitySpec says how to make the entities of a kind and how to keep them. The
// zero value of every optional field is a safe default.
type EntitySpec[C, E any] struct {
	// Kind is the first part of the names of streams and queues: the entity of key
	// 42 has "account/42" of both. It has no "/". Required.
	Kind string

	// New makes the entity of a key, without any events, on any goroutine.
	// Required.
	New func(key string) Entity[C, E]

	// Commands and Events turn values into bytes: a [wire.Type], or a [Union].
	// Required.
	Commands Codec[C]
	Events   Codec[E]

	// SnapshotEvery is after how many events the state of a [Snapshotter] is
	// saved. Default 100; negative: never.
	SnapshotEvery int

	// Idle is how long an entity stays in memory without a command. Default 2 min;
	// negative: for ever.
	Idle time.Duration

	// Active is how many entities are in memory at most; others wait until one is
	// idle. Default 100,000.
	Active int

	// Lease is what the writing of all entities of this host is fenced by. It is
	// acquired when there is something to write, and released at the end. Whoever
	// acquires it next fences this host off; it notices with its next commit,
	// takes its entities back to what is committed and waits for the lease.
	// Default "entities/" and Kind.
	Lease store.LeaseName

	// TTL is for how long the lease is held without a commit. Default 30 s.
	TTL time.Duration

	// Fence, if it is not zero, is used instead of a lease of one's own: it was
	// granted elsewhere, such as by a cluster for a shard.
	Fence store.Fence

	// Dedup is as in [MailboxSpec], and Priority.
	Dedup    time.Duration
	Priority func(C) store.Priority

	Options
}

// Entities are the entities of a kind, on this host. It may be used from any
// goroutine.
type Entities[C any] struct {
	host  *host[C]
	store store.Store
	kind  string
	spec  MailboxSpec[C] // without its queue

	rehearsal func(store.Store) *host[C] // makes a host for one rehearsal
}

// SpawnEntities makes a host for the entities of a kind: an actor under which
// those entities live that have something to do. Commands for an entity can be
// sent from any process that has the store, see [NewMailbox]; with several hosts
// one of them, the holder of the lease, acts on them.
//
// Errors: INVALID_ARGUMENT for an unusable spec, and those of [actor.Spawn].
func SpawnEntities[C, E any](under actor.Parent, s store.Store, spec EntitySpec[C, E]) (*Entities[C], error) {
	const op = "durable.SpawnEntities"
	if err := spec.check(op, s); err != nil {
		return nil, err
	}
	work, err := spec.worker(op)
	if err != nil {
		return nil, err
	}
	spec.setDefaults()
	e := &Entities[C]{store: s, kind: spec.Kind, spec: MailboxSpec[C]{Codec: spec.Commands, Dedup: spec.Dedup, Priority: spec.Priority}}
	build := func(s store.Store, f *fence) *host[C] {
		h := &host[C]{
			store: s, local: newLocal[C](), work: work, opts: spec.Options,
			idle: max(spec.Idle, 0), active: spec.Active, prefix: store.Queue(spec.Kind + "/"), fence: f,
		}
		h.mailbox = func(q store.Queue) (*Mailbox[C], error) { return e.mailbox(string(q[len(h.prefix):]), h.local) }
		h.refOf = func(b *Mailbox[C]) actor.Ref[C] { return e.Ref(string(b.spec.Queue[len(h.prefix):])) }
		h.make = func(w *worker[C]) handler[C] {
			return &entity[C, E]{
				w: w, spec: &spec, fence: f,
				key: string(w.box.spec.Queue[len(h.prefix):]), stream: store.Stream(w.box.spec.Queue),
			}
		}
		return h
	}
	e.rehearsal = func(s store.Store) *host[C] { return build(s, newFence(s, "", store.Fence{}, "", spec.TTL)) }
	e.host = build(s, newFence(s, spec.Lease, spec.Fence, spec.Owner, spec.TTL))
	if err := e.host.spawn(under); err != nil {
		return nil, err
	}
	return e, nil
}

func (s *EntitySpec[C, E]) check(op string, st store.Store) error {
	switch {
	case st == nil:
		return invalid(op, s.Kind, "there is no store")
	case s.Kind == "" || strings.Contains(s.Kind, "/"):
		return invalid(op, s.Kind, "the kind %q must have a character at least and no \"/\"", s.Kind)
	case s.New == nil:
		return invalid(op, s.Kind, "there is no New; it must return a new entity")
	case s.Commands == nil || s.Events == nil:
		return invalid(op, s.Kind, "Commands and Events must have a codec, such as a wire.Type or a durable.Union")
	case s.Active < 0:
		return invalid(op, s.Kind, "Active is %d; it is 1 or more, or 0 for %d", s.Active, DefaultActive)
	case s.Lease != "" && s.Fence.Lease != "":
		return invalid(op, s.Kind, "there is a Lease, %q, and a Fence, of %q; give one of them", s.Lease, s.Fence.Lease)
	}
	if err := store.CheckName(op, "Kind", s.Kind, store.Limits{}); err != nil {
		return err
	}
	if s.TTL != 0 {
		return store.CheckTTL(op, s.TTL)
	}
	return nil
}

func (s *EntitySpec[C, E]) setDefaults() {
	set := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&s.Idle, DefaultIdle)
	set(&s.TTL, DefaultTTL)
	if s.SnapshotEvery == 0 {
		s.SnapshotEvery = DefaultSnapshotEvery
	}
	if s.Active == 0 {
		s.Active = DefaultActive
	}
	if s.Lease == "" && s.Fence.Lease == "" {
		s.Lease = store.LeaseName("entities/" + s.Kind)
	}
	if s.Name == "" {
		s.Name = s.Kind
	}
	if s.Type == "" {
		s.Type = "entity " + s.Kind
	}
}

// Ref returns the reference to the entity of a key, whether or not it is in
// memory. References to one entity are equal. The errors of a Tell are those of
// [Mailbox.Tell], and [actor.ErrStopped] when the host has ended.
func (e *Entities[C]) Ref(key string) actor.Ref[C] {
	return actor.NewRef[C](entityTarget[C]{e, key})
}

// Mailbox returns the mailbox of the entity of a key, to [Emit] to, to [Ask], or
// to send a [Post]. The error, INVALID_ARGUMENT, is that of a key that can't be
// part of a name.
func (e *Entities[C]) Mailbox(key string) (*Mailbox[C], error) {
	return e.mailbox(key, e.host.local)
}

func (e *Entities[C]) mailbox(key string, l *local[C]) (*Mailbox[C], error) {
	if key == "" {
		return nil, invalid("durable.Entities", e.kind, "the key is empty")
	}
	spec := e.spec
	spec.Queue = store.Queue(e.kind + "/" + key)
	return newMailbox(e.store, spec, l)
}

// Active is how many entities are in memory.
func (e *Entities[C]) Active() int {
	e.host.mu.Lock()
	defer e.host.mu.Unlock()
	return len(e.host.workers)
}

// Stop ends the host and its entities gracefully, as [actor.Ref.Stop] does.
// Commands stay in their mailboxes.
func (e *Entities[C]) Stop(ctx context.Context) error { return e.host.keeper.Stop(ctx) }

// Done is closed when the host has ended.
func (e *Entities[C]) Done() <-chan struct{} { return e.host.keeper.Done() }

// entityTarget is behind the reference to an entity.
type entityTarget[C any] struct {
	of  *Entities[C]
	key string
}

func (t entityTarget[C]) Deliver(ctx context.Context, c C) error {
	select {
	case <-t.of.Done():
		return actor.ErrStopped.WithTarget(t.Address().Path)
	default:
	}
	box, err := t.of.Mailbox(t.key)
	if err != nil {
		return err
	}
	return box.Deliver(ctx, c)
}

// Address is that of the host with the key; the entity's own number changes each
// time it is brought to memory.
func (t entityTarget[C]) Address() actor.Address {
	a := t.of.host.keeper.Address()
	a.Path += "/" + entityName(t.key)
	return a
}
