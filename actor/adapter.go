package actor

import "context"

// Adapt returns a reference that takes messages of type A and sends what f makes
// of them to the actor. f runs on the sender's goroutine and must be safe for
// concurrent use. Each call makes a different reference.
func Adapt[A, B any](to Ref[B], f func(A) B) Ref[A] { return Ref[A]{&adapter[A, B]{to, f}} }

type adapter[A, B any] struct {
	to Ref[B]
	f  func(A) B
}

func (a *adapter[A, B]) Deliver(ctx context.Context, m A) error { return a.to.Tell(ctx, a.f(m)) }

func (a *adapter[A, B]) accept(ctx context.Context, m A, env *envelope, wait bool) error {
	switch to := a.to.target.(type) {
	case *cell[B]:
		return to.acceptFor(ctx, a.f(m), env, wait)
	case acceptor[B]:
		return to.accept(ctx, a.f(m), env, wait)
	}
	return a.to.tellElsewhere(ctx, a.f(m), wait)
}

func (a *adapter[A, B]) Address() Address               { return a.to.Address() }
func (a *adapter[A, B]) Stop(ctx context.Context) error { return a.to.Stop(ctx) }
func (a *adapter[A, B]) Kill()                          { a.to.Kill() }
func (a *adapter[A, B]) Done() <-chan struct{}          { return a.to.Done() }

func (a *adapter[A, B]) Watch(notify func(Down)) func() {
	if w, ok := a.to.target.(Watchable); ok {
		return w.Watch(notify)
	}
	return func() {}
}
