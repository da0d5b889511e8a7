package actor

// Behavior handles an actor's messages, one at a time. An error returned, or a
// panic, is a failure of the actor: its supervisor decides what follows.
// [ErrStop] ends the actor normally.
type Behavior[M any] interface {
	Receive(ctx *Context[M], m M) error
}

// BehaviorFunc is a function as a Behavior.
type BehaviorFunc[M any] func(ctx *Context[M], m M) error

// Receive calls f.
func (f BehaviorFunc[M]) Receive(ctx *Context[M], m M) error { return f(ctx, m) }

// Starter is a behaviour that has something to do before its first message. An
// error at spawn is returned by Spawn; one at a restart is a failure like any
// other.
type Starter[M any] interface {
	Start(ctx *Context[M]) error
}

// Stopper is a behaviour that has something to do at its end: once per
// behaviour made, before a restart as well. An error is reported, nothing else
// follows from it.
type Stopper[M any] interface {
	Stop(ctx *Context[M]) error
}

// Annotator is a behaviour that knows more about a failure of its handler than the
// runtime does: which request it was about, for example. Annotate is called on the
// actor's goroutine, before anybody is told, and returns err or an error that
// wraps it, such as a *[fault.Error] with the request's id. What it returns is what
// the asker, the supervisor, the hooks and the log get.
type Annotator interface {
	Annotate(err error) error
}

// MemoryReporter is a behaviour that knows how many bytes it holds. It is asked
// from another goroutine while a handler may run, at most a few times a second.
type MemoryReporter interface {
	MemoryBytes() int64
}
