package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
)

// Defaults of a [Spec].
const (
	DefaultTimeout = 30 * time.Second
	DefaultHold    = 30 * time.Second
	DefaultBatch   = 4096
)

// Spec says how to make an actor for a mailbox and how to keep it. The zero value
// of every field but New is a safe default.
type Spec[M any] struct {
	// New makes a behaviour, at spawn and at every restart. Required.
	New func() Behavior[M]

	Options
}

// Options say how to keep a durable actor. The zero value of each field is a safe
// default.
type Options struct {
	// Name is unique among the children of the parent, see [actor.Spec]. Default:
	// the queue's name with "." for "/", or the kind of entities.
	Name string

	// Retry says when a message that failed is tried again and how often. Default:
	// 3 retries after 1, 2 and 4 s. An error's [retry.RetryAfter] makes it later.
	// A Retryable that returns false makes a dead letter at once.
	Retry retry.Policy

	// Timeout is how long a handler may take: then its context ends. It can't be
	// stopped, and an error it returns after that has the code DEADLINE_EXCEEDED.
	// Default 30 s, negative: none.
	Timeout time.Duration

	// Hold is for how long messages are held. It is renewed while a handler runs,
	// so it is how long after a crash the messages being handled come back.
	// Default 30 s, at least 100 ms.
	Hold time.Duration

	// Batch is how many messages are received and ended together at most. How many
	// really adapts to the time that handlers take. Default and most 4096.
	Batch int

	// Owner is who holds the messages and leases, for people and for other
	// processes that use the same store: the id of the node. Default: the name of
	// the actor system.
	Owner string

	// Decide chooses what follows a failure of a handler. Nil: the behaviour
	// lives on after an error and is made anew after a panic.
	Decide func(err error) actor.Directive

	// Backoff is the wait before restarts. There is no limit to their number, as
	// it is the message that is given up, not the actor.
	Backoff actor.Backoff

	// StopTimeout bounds a graceful stop. What is in the mailbox stays there, so
	// only the batch at hand is finished. Default 30 s.
	StopTimeout time.Duration

	// Type is the name under which actors of this kind are counted together.
	// Default: the Go type of the behaviour, or "entity " and the kind.
	Type string

	// Hooks are listeners to what happens.
	Hooks Hooks
}

// Hooks are called as things happen, on the actor's goroutine: they must be quick
// and not block. A nil field costs nothing. The errors have what a record of a
// failure has, see [fault.Attrs].
type Hooks struct {
	// Handled: so many messages were handled and their ends committed. It is
	// called once a commit.
	Handled func(q store.Queue, messages int)
	// Retried: a message failed and will be tried again.
	Retried func(q store.Queue, err *fault.Error)
	// Buried: a message became a dead letter.
	Buried func(q store.Queue, err *fault.Error)
	// StoreFailed: the store could not be read or written. The actor goes on
	// trying.
	StoreFailed func(q store.Queue, err error)
}

// Spawn makes the actor of a mailbox and returns the reference to it, to be told,
// asked, watched and stopped as any other. Several actors, in one process or in
// many, may share a mailbox; each message is handled by one of them and the order
// per sender is kept.
//
// The behaviour is made and started on the calling goroutine, so an error of
// Start is returned. Errors: INVALID_ARGUMENT for an unusable spec, and those of
// [actor.Spawn].
func Spawn[M any](under actor.Parent, box *Mailbox[M], spec Spec[M]) (actor.Ref[M], error) {
	const op = "durable.Spawn"
	switch {
	case box == nil:
		return actor.Ref[M]{}, invalid(op, spec.Name, "there is no mailbox")
	case spec.New == nil:
		return actor.Ref[M]{}, invalid(op, spec.Name, "there is no New; it must return a new behaviour")
	}
	opts, err := spec.worker(op)
	if err != nil {
		return actor.Ref[M]{}, err
	}
	if spec.Name == "" {
		spec.Name = actorName(box.spec.Queue)
	}
	if spec.Type == "" {
		spec.Type = fmt.Sprintf("%T", spec.New())
	}
	h := &host[M]{
		store: box.store, local: box.local, work: opts, opts: spec.Options, only: box.spec.Queue,
		mailbox: func(store.Queue) (*Mailbox[M], error) { return box, nil },
		make:    func(*worker[M]) handler[M] { return &plain[M]{behavior: spec.New()} },
	}
	target := &hostTarget[M]{host: h, box: box}
	h.refOf = func(*Mailbox[M]) actor.Ref[M] { return actor.NewRef[M](target) }
	if err := h.spawn(under); err != nil {
		return actor.Ref[M]{}, err
	}
	return actor.NewRef[M](target), nil
}

// worker checks the options and returns what a worker needs of them.
func (s *Options) worker(op string) (workerOptions, error) {
	o := workerOptions{retry: s.Retry, timeout: s.Timeout, hold: s.Hold, batch: s.Batch, owner: s.Owner, hooks: s.Hooks}
	if o.timeout == 0 {
		o.timeout = DefaultTimeout
	}
	if o.hold == 0 {
		o.hold = DefaultHold
	}
	if o.batch == 0 {
		o.batch = DefaultBatch
	}
	if err := s.Retry.Validate(); err != nil {
		return o, err
	}
	if o.hold < 100*time.Millisecond {
		return o, invalid(op, s.Name, "Hold is %v; it is at least 100ms", o.hold)
	}
	if err := store.CheckHold(op, o.hold); err != nil {
		return o, err
	}
	if o.batch < 1 || o.batch > 4096 {
		return o, invalid(op, s.Name, "Batch is %d; it is 1 to 4096", s.Batch)
	}
	return o, nil
}

// plain is a Behavior as the handler of a worker.
type plain[M any] struct{ behavior Behavior[M] }

func (p *plain[M]) start(x *Context[M]) error {
	if p.behavior == nil {
		return fault.New(fault.Internal, "durable.Spawn", "New returned nil")
	}
	if s, ok := p.behavior.(Starter[M]); ok {
		return s.Start(x)
	}
	return nil
}

func (p *plain[M]) stop(x *Context[M]) error {
	if s, ok := p.behavior.(Stopper[M]); ok {
		return s.Stop(x)
	}
	return nil
}

func (p *plain[M]) ready(context.Context) error           { return nil }
func (p *plain[M]) receive(x *Context[M], m M) error      { return p.behavior.Receive(x, m) }
func (p *plain[M]) stage(*store.Batch, []*part)           {}
func (p *plain[M]) settled(context.Context, *store.Batch) {}
func (p *plain[M]) undone(error) bool                     { return false }

// decideDefault keeps a behaviour that returned an error and replaces one that
// panicked or whose state is not what was committed.
func decideDefault(err error) actor.Directive {
	var panicked *actor.PanicError
	if errors.As(err, &panicked) || errors.Is(err, ErrCommit) || errors.Is(err, ErrRecovery) {
		return actor.RestartChild
	}
	return actor.ResumeChild
}
