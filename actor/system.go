package actor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Options configures a [System]. The zero value is usable.
type Options struct {
	// Name is part of every actor's [Address]. Default "troupe".
	Name string

	// Logger takes what the runtime has to say: failures, escalations, dead
	// letters. Default slog.Default().
	Logger *slog.Logger

	// ShutdownTimeout bounds Stop: after 90 % of it all actors are killed,
	// after all of it what still runs is abandoned. Default 30 s.
	ShutdownTimeout time.Duration

	// Supervision is the policy for the top-level actors.
	Supervision Supervision

	// Hooks are listeners to what happens.
	Hooks []Hooks

	// Schedule, if not nil, is given every piece of work that the system wants
	// to run concurrently, instead of a goroutine of its own. Each call must
	// lead to one call of run. It lets a test decide the order in which actors
	// run, see package actortest; asks are then never answered on the asker's
	// goroutine and messages are handled one at a time.
	Schedule func(run func())
}

// System is the root of a tree of actors. It starts no goroutine of its own and
// holds no global state, so a process may have many and a test may run a whole
// system in a bubble of testing/synctest.
type System struct {
	opts   Options
	root   core
	nextID atomic.Uint64
	kinds  sync.Map // reflect.Type or string → *kind

	actors      atomic.Int64
	restarts    atomic.Uint64
	failures    atomic.Uint64
	deadLetters atomic.Uint64
	runaways    atomic.Int64
	abandoned   atomic.Uint64

	watch    handoffWatch
	wakes    sync.Pool // of chan struct{}, see envelope.await; a pool of its own, as channels belong to a synctest bubble
	topics   topics
	logLimit deadLetterLog

	warnedOfDepth atomic.Bool

	stopOnce  sync.Once
	done      chan struct{}
	started   time.Time
	stopTimer atomic.Pointer[time.Timer]
}

// NewSystem makes a system. It panics if Options.Supervision can't be meant. The
// system must be ended with [System.Stop] if actors were
// spawned in it.
func NewSystem(opts Options) *System {
	if opts.Name == "" {
		opts.Name = "troupe"
	}
	if opts.ShutdownTimeout <= 0 {
		opts.ShutdownTimeout = DefaultStopTimeout
	}
	k := checker{name: opts.Name}
	if k.supervision(opts.Supervision); k.err != nil {
		panic(k.err)
	}
	opts.Supervision = opts.Supervision.withDefaults()
	s := &System{opts: opts, done: make(chan struct{}), started: time.Now()}
	s.root.sys, s.root.opts, s.root.kind = s, &defaultOptions, &kind{name: "system"}
	return s
}

// Name is the system's name.
func (s *System) Name() string { return s.opts.Name }

func (s *System) asParent() *core { return &s.root }

func (s *System) log() *slog.Logger {
	if s.opts.Logger != nil {
		return s.opts.Logger
	}
	return slog.Default()
}

// noContext is for records that belong to no call.
var noContext = context.Background()

// start runs an actor on a goroutine of its own.
func (s *System) start(c *core) {
	if s.opts.Schedule != nil {
		s.opts.Schedule(func() { runActors(c) })
		return
	}
	if c.runFn == nil { // only the one who activated the actor gets here
		c.runFn = func() { runActors(c) }
	}
	go c.runFn()
}

// spawn runs f on a goroutine of its own.
func (s *System) spawn(f func()) {
	if s.opts.Schedule != nil {
		s.opts.Schedule(f)
		return
	}
	go f()
}

// dispatch runs f, which does not block, from a timer's goroutine.
func (s *System) dispatch(f func()) {
	if s.opts.Schedule != nil {
		s.opts.Schedule(f)
		return
	}
	f()
}

// after calls f once d has passed.
func (s *System) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { s.dispatch(f) })
}

// Stop ends all actors gracefully: the top-level actors one after the other,
// youngest first, each as [Ref.Stop] says. It waits until all have ended or ctx
// does; the stopping itself is bounded by Options.ShutdownTimeout. It may be
// called more than once and from several goroutines.
//
// Called with the context of a handler of this system it does not wait, as that
// handler is in the way.
//
// The error is the context's, or DEADLINE_EXCEEDED ([ErrAbandoned]) if handlers
// did not return in time and were left behind.
func (s *System) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		hard := s.opts.ShutdownTimeout / 10
		s.stopTimer.Store(time.AfterFunc(s.opts.ShutdownTimeout-hard, func() { s.cutShort(hard) }))
		s.root.closeFamily(true)
		s.root.mu.Lock()
		s.root.flags |= flagStopping
		s.root.mu.Unlock()
		s.stopNext()
	})
	if caller := callerOf(ctx); caller != nil && caller.sys == s {
		return nil
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		return &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "actor.Stop", Target: s.opts.Name, Message: "still stopping", Cause: ctx.Err()}
	}
	if n := s.abandoned.Load(); n > 0 {
		return fault.Wrap(fault.DeadlineExceeded, "actor.Stop", ErrAbandoned.WithTarget(s.opts.Name))
	}
	return nil
}

// Done is closed when the system has stopped.
func (s *System) Done() <-chan struct{} { return s.done }

// stopNext stops the youngest top-level actor, or ends the system if there is none.
func (s *System) stopNext() {
	if k := s.root.endIdleKids(); k != nil {
		k.requestStop(k.opts.stopTimeout)
		return
	}
	s.root.mu.Lock()
	defer s.root.mu.Unlock()
	if s.root.flags&flagStopped == 0 {
		s.root.flags |= flagStopped
		s.stopTimer.Load().Stop()
		close(s.done)
	}
}

// kidEnded goes on with the end of the system, if that is under way.
func (s *System) kidEnded(bool) {
	s.root.mu.Lock()
	stopping := s.root.flags&flagStopping != 0
	s.root.mu.Unlock()
	if stopping {
		s.stopNext()
	}
}

// cutShort kills what has not ended by now, and abandons what that does not end.
func (s *System) cutShort(wait time.Duration) {
	for _, k := range s.root.children() {
		k.kill()
	}
	timer := time.AfterFunc(wait, func() {
		for _, k := range s.root.children() {
			k.abandon()
		}
	})
	s.stopTimer.Store(timer)
	select {
	case <-s.done:
		timer.Stop()
	default:
	}
}
