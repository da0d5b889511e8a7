package actor

import (
	"context"
	"strconv"
)

// Address is the identity of an actor: its place in the tree and a number that
// tells it apart from earlier actors of the same path.
type Address struct {
	System string `json:"system"`
	Path   string `json:"path"`
	ID     uint64 `json:"id"`
}

// String is system/path#id, for people.
func (a Address) String() string { return a.System + ":" + a.Path + "@" + strconv.FormatUint(a.ID, 10) }

// Ref is a reference to an actor that takes messages of type M. It is small and
// comparable: two references are equal if they point to the same actor. It stays
// valid over restarts; once the actor has stopped, sends return [ErrStopped].
// The zero value points nowhere.
type Ref[M any] struct{ target Target[M] }

// Target is the implementer's side of a Ref: something that takes messages and
// is not a local actor, such as an actor on another node. Values must be
// comparable, as a Ref is.
type Target[M any] interface {
	// Deliver takes a message, waiting for room until ctx ends. A context that
	// has already ended asks not to wait at all.
	Deliver(ctx context.Context, m M) error
	// Address is the actor's identity.
	Address() Address
}

// Stoppable is a Target whose actor can be stopped through the reference.
type Stoppable interface {
	// Stop does what [Ref.Stop] says.
	Stop(ctx context.Context) error
	// Kill does what [Ref.Kill] says.
	Kill()
	// Done is closed when the actor has ended.
	Done() <-chan struct{}
}

// acceptor is a Target of this package, which can carry an envelope.
type acceptor[M any] interface {
	accept(ctx context.Context, m M, env *envelope, wait bool) error
}

// NewRef makes a reference to a target of one's own.
func NewRef[M any](t Target[M]) Ref[M] { return Ref[M]{t} }

// IsZero reports whether the reference points nowhere.
func (r Ref[M]) IsZero() bool { return r.target == nil }

// Tell sends a message. If the mailbox is full it does what the mailbox's policy
// says, by default wait until there is room or ctx ends. A nil error means that
// the message is in the mailbox.
//
// Errors: [ErrStopped], [ErrIsolated], [ErrMailboxFull] (policy Refuse),
// [ErrDeadlock] if waiting for room would never end, DEADLINE_EXCEEDED or
// CANCELED with ctx.
func (r Ref[M]) Tell(ctx context.Context, m M) error {
	if c, ok := r.target.(*cell[M]); ok {
		return c.accept(ctx, m, traced(ctx), true)
	}
	return r.tellElsewhere(ctx, m, true)
}

// TryTell is Tell that never waits: it returns [ErrMailboxFull] instead.
func (r Ref[M]) TryTell(m M) error {
	if c, ok := r.target.(*cell[M]); ok {
		return c.accept(context.Background(), m, nil, false)
	}
	return r.tellElsewhere(ended, m, false)
}

func (r Ref[M]) tellElsewhere(ctx context.Context, m M, wait bool) error {
	switch t := r.target.(type) {
	case nil:
		return ErrNoActor
	case acceptor[M]:
		return t.accept(ctx, m, traced(ctx), wait)
	default:
		return t.Deliver(ctx, m)
	}
}

// traced is the envelope of a tell, nil where the context carries no trace.
func traced(ctx context.Context) *envelope {
	t := traceOf(ctx)
	if t == nil {
		return nil
	}
	env := &envelope{}
	env.details().trace = t
	return env
}

// ended is a context that has ended.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Address is the actor's identity, the zero Address for the zero Ref.
func (r Ref[M]) Address() Address {
	if r.target == nil {
		return Address{}
	}
	return r.target.Address()
}

// String is the address, for logs.
func (r Ref[M]) String() string {
	if r.target == nil {
		return "no actor"
	}
	return r.target.Address().String()
}

// Stop asks the actor to end gracefully and waits until it has: its children end
// first, and may still send to it; then it takes no more messages and handles what
// is in its mailbox; then its behaviour is stopped. When the actor's StopTimeout is over it is
// cut short; when ctx ends, only the waiting is. Asked for by the actor itself or
// by one below it, Stop does not wait.
//
// The error is the context's; [ErrAbandoned] if the handler did not return in
// time; or [ErrDeadlock] if the actor, which is going to stop, waits for the one
// that asks for it. Stopping an actor that has stopped is not an error.
func (r Ref[M]) Stop(ctx context.Context) error {
	switch t := r.target.(type) {
	case nil:
		return ErrNoActor
	case *cell[M]:
		return t.stopAndWait(ctx)
	case Stoppable:
		return t.Stop(ctx)
	}
	return nil
}

// Kill ends the actor and those below it as soon as their present handlers
// return: contexts are cancelled, mailboxes become dead letters. It does not wait.
func (r Ref[M]) Kill() {
	switch t := r.target.(type) {
	case *cell[M]:
		t.kill()
	case Stoppable:
		t.Kill()
	}
}

// Done is closed when the actor has ended. For the zero Ref it is closed.
func (r Ref[M]) Done() <-chan struct{} {
	switch t := r.target.(type) {
	case *cell[M]:
		return t.doneChan()
	case Stoppable:
		return t.Done()
	}
	return ended.Done()
}

// Deliver and Address make a cell a Target.

// Deliver takes a message.
func (c *cell[M]) Deliver(ctx context.Context, m M) error {
	return c.accept(ctx, m, traced(ctx), true)
}

// Address is the actor's identity.
func (c *cell[M]) Address() Address { return c.address() }
