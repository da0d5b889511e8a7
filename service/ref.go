package service

import (
	"context"
	"sync/atomic"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Ref is the address of an actor that serves S. Where the actor lives is no
// concern of the caller: in this process, under a name that is looked up, or on
// another node. It has the type of the service, so a client for another does not
// compile. The zero value points nowhere.
type Ref[S any] struct{ target Target }

// Target is the implementer's side of a Ref: a way to an actor. It must be safe
// for concurrent use.
type Target interface {
	// Call performs the call and fills in its Response. The context has the
	// call's deadline; when it ends, Call returns without waiting further. If the
	// error is what the application answered, it also sets FromApplication.
	Call(ctx context.Context, c *Call) error
	// Address is the actor's path, for errors and breakers.
	Address() string
}

// NewRef makes a reference to a target of one's own.
func NewRef[S any](t Target) Ref[S] { return Ref[S]{t} }

// IsZero reports whether the reference points nowhere.
func (r Ref[S]) IsZero() bool { return r.target == nil }

// Address is the actor's path, "" for the zero Ref.
func (r Ref[S]) Address() string {
	if r.target == nil {
		return ""
	}
	return r.target.Address()
}

// Actor is the actor of a service that [Spawn] made, to be stopped or watched.
// For another Ref it is the zero reference.
func (r Ref[S]) Actor() actor.Ref[Query] {
	if c, ok := r.target.(*core); ok {
		return c.front
	}
	return actor.Ref[Query]{}
}

// Stats are the figures of a service that [Spawn] made; for another Ref they are
// zero.
func (r Ref[S]) Stats() Stats {
	if c, ok := r.target.(*core); ok {
		return c.stats.snapshot()
	}
	return Stats{}
}

// Stop ends the actor, as actor.Ref.Stop says, if [Spawn] made it; it does
// nothing for another Ref.
func (r Ref[S]) Stop(ctx context.Context) error {
	if a := r.Actor(); !a.IsZero() {
		return a.Stop(ctx)
	}
	return nil
}

// Named is the address of whatever serves S under a path of this system, such as
// "/shop/orders", now or later. If nobody does, a call fails with NOT_FOUND; with
// FAILED_PRECONDITION if the actor there is no service.
func Named[S any](sys *actor.System, path string) Ref[S] {
	return Ref[S]{&named{sys: sys, path: path}}
}

type named struct {
	sys   *actor.System
	path  string
	known atomic.Pointer[core] // who it was at last
}

func (n *named) Address() string { return n.path }

func (n *named) Call(ctx context.Context, c *Call) error {
	found, err := n.find(ctx)
	if err != nil {
		return err
	}
	return found.Call(ctx, c)
}

func (n *named) find(ctx context.Context) (*core, error) {
	if c := n.known.Load(); c != nil {
		select {
		case <-c.front.Done(): // another may have come after it
		default:
			return c, nil
		}
	}
	c, err := lookup(ctx, n.sys, n.path)
	if err == nil {
		n.known.Store(c)
	}
	return c, err
}

// lookup finds the service at a path.
func lookup(ctx context.Context, sys *actor.System, path string) (*core, error) {
	front, err := actor.Lookup[Query](sys, path)
	if err != nil {
		if fault.CodeOf(err) == fault.FailedPrecondition {
			return nil, &fault.Error{Code: fault.FailedPrecondition, Op: "service", Target: path, Message: "the actor is no service", Cause: err}
		}
		return nil, err
	}
	return actor.Ask(ctx, front, func(r actor.Reply[*core]) Query { return Query{r} })
}
