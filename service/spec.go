package service

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// Spec says how to serve S by an actor. Generated code fills in Service, Methods
// and New; the zero value of everything else is a safe default.
type Spec[S any] struct {
	// Service is the full name of the service. Required.
	Service string
	// Methods are what is served. Required.
	Methods []Binding[S]
	// New makes the implementation: once per worker, and again when a supervisor
	// restarts one. What it returns serves one call at a time and needs no lock
	// for what is its own. Required.
	New func() S

	// Name is the actor's name, unique among the children of its parent. Empty:
	// the actor is anonymous.
	Name string

	// Concurrency is how many calls may be served at once, each by a worker with
	// an implementation of its own. Calls of methods with a Key go to the worker
	// that the key chooses: equal keys are served one after the other, in order,
	// by the same implementation. Default 1: one call at a time.
	Concurrency int

	// Errors are the application's errors that cross borders typed. Default: none.
	Errors *ErrorTypes

	// Interceptors are put around the implementation, the first outermost.
	Interceptors []Interceptor

	// Supervised makes a panic the actor's failure, so that its supervisor decides
	// and a restart makes a new implementation. Default: the caller gets INTERNAL,
	// the panic is logged, and the implementation goes on with the next call.
	Supervised bool

	// Supervision is the policy for the workers, if Supervised.
	Supervision actor.Supervision

	// Inbox bounds the calls that wait for a worker. A call waits for its place
	// as long as for its answer unless Inbox.Overflow says otherwise.
	Inbox actor.Mailbox

	// Mailbox keeps the requests of durable methods. Required if there are any:
	//
	//	spec.Mailbox = service.NewMailbox(store, service.MailboxOptions{})
	Mailbox Mailbox

	// Rehearse makes an implementation whose effects on the world are held back, to
	// see what would become of a dead letter, see [StoreMailbox.Rehearse]. It is
	// made anew for each letter. Nil: there are no rehearsals.
	Rehearse func() S
}

// Query is the message type of a service's actor. It has no public use.
type Query struct{ reply actor.Reply[*core] }

// Message is the message type of a service's workers: one call. It is made by
// this package only.
type Message struct{ in *incoming }

// Spawn makes an actor that serves S. Its path is the address of the service; the
// workers are its children.
//
// Errors: INVALID_ARGUMENT for an unusable spec; FAILED_PRECONDITION if a method
// is durable and there is no Mailbox; those of actor.Spawn.
func Spawn[S any](parent actor.Parent, spec Spec[S]) (Ref[S], error) {
	if err := spec.validate(); err != nil {
		return Ref[S]{}, err
	}
	c := newCore(&spec)
	_, err := actor.Spawn(parent, actor.Spec[Query]{
		Name: spec.Name, Type: "service.Service", Supervision: spec.Supervision,
		New: func() actor.Behavior[Query] { return &keeper[S]{spec: &spec, core: c} },
	})
	if err != nil {
		return Ref[S]{}, err
	}
	return Ref[S]{c}, nil
}

func (s *Spec[S]) validate() error {
	invalid := func(format string, args ...any) error {
		return &fault.Error{Code: fault.InvalidArgument, Op: "service.Spawn", Target: s.Service, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Service == "":
		return invalid("the spec has no Service")
	case s.New == nil:
		return invalid("the spec has no New")
	case len(s.Methods) == 0:
		return invalid("the spec has no Methods")
	case s.Concurrency < 0 || s.Concurrency > 1<<16:
		return invalid("Concurrency is %d; it is 1 to 65536, or 0 for one call at a time", s.Concurrency)
	}
	var names []string
	for _, b := range s.Methods {
		if b.method == nil {
			return invalid("a method is the zero Binding; make it with service.Bind")
		}
		m := b.method.info()
		switch {
		case m.Service != s.Service:
			return invalid("method %s belongs to another service", m.FullName())
		case slices.Contains(names, m.Name):
			return invalid("method %s is bound twice", m.Name)
		case m.Durable && s.Mailbox == nil:
			return &fault.Error{
				Code: fault.FailedPrecondition, Op: "service.Spawn", Target: s.Service, Message: "method " + m.Name + " is durable and the spec has no Mailbox",
				Hint: "set Spec.Mailbox, to service.NewMailbox(store, service.MailboxOptions{}) for example",
			}
		}
		names = append(names, m.Name)
	}
	return nil
}

// keeper is the actor of a service: it makes the workers and says where they are.
// It does nothing else, so that it is always there to say it.
type keeper[S any] struct {
	spec *Spec[S]
	core *core
}

// Start makes the workers.
func (k *keeper[S]) Start(ctx *actor.Context[Query]) error {
	if k.core.front.IsZero() { // a restart finds them as they are
		k.core.front, k.core.path = ctx.Self(), ctx.Address().Path
	}
	k.core.log.Store(ctx.Log())
	workers, err := k.spawnWorkers(ctx)
	if err != nil {
		return err
	}
	k.core.workers.Store(&workers)
	if k.spec.Mailbox == nil {
		return nil
	}
	serving := Serving{Path: k.core.path, Concurrency: k.core.concurrency, Handle: k.core.handleParcel}
	if k.spec.Rehearse != nil {
		serving.Rehearse = k.rehearse
	}
	return k.spec.Mailbox.Serve(ctx, serving)
}

// rehearse has a kept request handled by an implementation without effects, in a
// system of its own: nothing of it is counted or logged.
func (k *keeper[S]) rehearse(ctx context.Context, p Parcel) (wire.Message, error) {
	silent := slog.New(slog.DiscardHandler)
	sys := actor.NewSystem(actor.Options{Name: "rehearsal", Logger: silent})
	defer func() { _ = sys.Stop(context.WithoutCancel(ctx)) }() // bounded by the system's own timeout
	spec := *k.spec
	spec.New = spec.Rehearse
	c := newCore(&spec)
	c.path = k.core.path
	c.log.Store(silent)
	worker, err := actor.Spawn(sys, actor.Spec[Message]{
		Type: k.spec.Service, New: func() actor.Behavior[Message] { return newServer(&spec, c) },
	})
	if err != nil {
		return wire.Message{}, err
	}
	c.workers.Store(&worker)
	return c.handleParcel(ctx, p)
}

func (k *keeper[S]) spawnWorkers(ctx *actor.Context[Query]) (actor.Ref[Message], error) {
	worker := actor.Spec[Message]{
		Name: "worker", Type: k.spec.Service, Mailbox: k.spec.Inbox,
		New: func() actor.Behavior[Message] { return newServer(k.spec, k.core) },
	}
	if k.spec.Concurrency <= 1 {
		return actor.Spawn(ctx, worker)
	}
	return actor.SpawnPool(ctx, actor.PoolSpec[Message]{
		Name: "workers", Size: k.spec.Concurrency, Routing: actor.ConsistentHash, Key: k.core.key,
		Worker: worker, Supervision: k.spec.Supervision,
	})
}

// Receive says where the workers are.
func (k *keeper[S]) Receive(_ *actor.Context[Query], q Query) error {
	q.reply.Send(k.core)
	return nil
}
