package actor

// Hooks are called by the runtime as things happen, on the goroutine on which
// they happen: they must be quick, must not block and may be called by several
// goroutines at once. A nil field costs nothing.
type Hooks struct {
	// Started: an actor was spawned.
	Started func(a Address)
	// Stopped: an actor has ended; reason is nil for a normal end.
	Stopped func(a Address, reason error)
	// Failed: a handler, Start or Stop failed, or a supervisor gave up; d is what
	// the supervisor decided.
	Failed func(a Address, err error, d Directive)
	// Restarted: an actor has a new behaviour; restarts counts them over its life.
	Restarted func(a Address, restarts int, cause error)
	// DeadLetter: a message will not be handled.
	DeadLetter func(DeadLetter)
}

// hook calls f for each of the listeners.
func (s *System) hook(f func(*Hooks)) {
	for i := range s.opts.Hooks {
		s.guard("a hook", func() { f(&s.opts.Hooks[i]) })
	}
}

// guard calls code of the user's that runs on the runtime's behalf. A panic in it
// must not harm whoever happens to run it.
func (s *System) guard(what string, f func()) {
	defer func() {
		if value := recover(); value != nil {
			err := newPanicError(value)
			s.log().Error("a callback panicked", "callback", what, "error", err.Error(), "stack", err.Stack())
		}
	}()
	f()
}
