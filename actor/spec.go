package actor

import (
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// DefaultCapacity is the number of messages a mailbox holds unless its
// [Mailbox] says otherwise.
const DefaultCapacity = 4096

// Unbounded as a [Mailbox] capacity lets a mailbox grow as far as memory goes.
const Unbounded = -1

// Defaults of supervision and of stopping; each can be set per actor.
const (
	DefaultStopTimeout = 30 * time.Second
	DefaultWindow      = 10 * time.Second
	DefaultMaxRestarts = 5
)

// Spec says how to make an actor and how to keep it. The zero value of every
// field but New is a safe default.
type Spec[M any] struct {
	// Name is unique among the children of one parent and becomes the last
	// part of the actor's path: at most 255 bytes of printable UTF-8 without
	// '/', not beginning with '#'. Empty: the actor is anonymous and its path
	// ends in "#" and its id.
	Name string

	// New makes a behaviour. It is called once at spawn and once per restart,
	// always by one goroutine at a time. Required.
	New func() Behavior[M]

	// Mailbox bounds the queue of waiting messages.
	Mailbox Mailbox

	// Priority makes this a priority mailbox: of the waiting messages one with
	// the lowest number is handled first, equal ones in order of arrival. It is
	// called once per message by the sender and must be safe for concurrent
	// use. Nil: order of arrival.
	Priority func(M) int

	// Restart says when the actor is restarted after it ends by itself.
	// Default Transient.
	Restart Restart

	// Attempts is how many times one message may be handed to the behaviour
	// when it fails the actor each time; then the message becomes a dead
	// letter. A message that is asked is never handed over twice, as its asker
	// already has the error. Default 1: a message that failed is not repeated.
	Attempts int

	// Supervision says what happens when a child of this actor fails.
	Supervision Supervision

	// IdleTimeout passivates the actor: it is stopped once it had no message
	// for this long. Default 0: never.
	IdleTimeout time.Duration

	// StopTimeout bounds a graceful stop. After 90 % of it the actor's context
	// is cancelled, after all of it the actor is abandoned: it counts as
	// stopped while its handler may still be running. Default 30 s.
	StopTimeout time.Duration

	// Type is the name under which actors of this kind are counted together.
	// Default: the Go type of the behaviour. Keep the number of different
	// values small.
	Type string
}

// Mailbox bounds the queue of waiting messages.
type Mailbox struct {
	// Capacity is the number of messages that may wait. Default 4096;
	// Unbounded for no limit. Death notices and single timers are let in
	// beyond it, as nobody could wait for their place.
	Capacity int

	// Overflow says what a Tell does when the mailbox is full. Default Block.
	Overflow Overflow
}

// Overflow is what happens to a Tell that finds the mailbox full.
type Overflow uint8

// Overflow policies.
const (
	// Block waits until there is room or the sender's context ends.
	Block Overflow = iota
	// Refuse returns ErrMailboxFull at once.
	Refuse
	// DropOldest makes room: the message that waits longest becomes a dead letter.
	DropOldest
)

// Restart is an actor's restart type, as in an Erlang/OTP child specification.
type Restart uint8

// Restart types.
const (
	// Transient actors are restarted after a failure, not after a normal end.
	Transient Restart = iota
	// Permanent actors are restarted whenever they end by themselves.
	Permanent
	// Temporary actors are never restarted.
	Temporary
)

// Strategy says which children are restarted when one of them is.
type Strategy uint8

// Strategies of a supervisor, as in Erlang/OTP.
const (
	// OneForOne restarts the failed child.
	OneForOne Strategy = iota
	// OneForAll restarts all children.
	OneForAll
	// RestForOne restarts the failed child and those started after it.
	RestForOne
)

// Directive is a supervisor's decision on one failure.
type Directive uint8

// Directives.
const (
	// RestartChild makes a new behaviour; the mailbox is kept. The child's own
	// children end first; the contexts of their handlers end at once.
	RestartChild Directive = iota
	// ResumeChild keeps the behaviour and goes on with the next message.
	ResumeChild
	// StopChild ends the child.
	StopChild
	// Escalate makes the failure the supervisor's own.
	Escalate
)

// Supervision is how an actor looks after its children.
type Supervision struct {
	// Strategy says who is restarted along with a failed child. Default OneForOne.
	Strategy Strategy

	// Decide chooses by the error. It runs on the failing child's goroutine,
	// possibly for several children at once, and must not block. Nil: restart.
	// A child whose restart type forbids a restart is stopped instead.
	Decide func(child Address, err error) Directive

	// MaxRestarts is the restart intensity: more restarts than this within
	// Window and the supervisor stops the failing group and fails itself with a
	// *IntensityError. Default 5; negative: the first failure is one too many.
	MaxRestarts int

	// Window is the span in which restarts are counted. Default 10 s.
	Window time.Duration

	// Backoff is the wait before a restart.
	Backoff Backoff
}

// Backoff is the wait before each restart after the first within the window:
// Initial, then twice as long each time up to Max. The first is immediate.
type Backoff struct {
	// Initial is the wait before the second restart. Default 10 ms; negative:
	// never wait.
	Initial time.Duration
	// Max is the longest wait. Default 1 s.
	Max time.Duration
	// Jitter is the random share taken off each wait, 0 to 1. Default 0.2;
	// negative: none.
	Jitter float64
}

// options is what differs from the defaults in a Spec, kept once per actor that
// has any. Actors of a plain Spec share one value, which keeps them small.
type options struct {
	capacity    uint32
	overflow    Overflow
	restart     Restart
	attempts    uint8
	idleTimeout time.Duration
	stopTimeout time.Duration // 0: bounded by whoever asked for the stop
	supervision Supervision
}

var defaultOptions = options{capacity: DefaultCapacity, attempts: 1, supervision: Supervision{}.withDefaults()}

func (s Supervision) withDefaults() Supervision {
	switch {
	case s.MaxRestarts == 0:
		s.MaxRestarts = DefaultMaxRestarts
	case s.MaxRestarts < 0:
		s.MaxRestarts = 0
	}
	if s.Window <= 0 {
		s.Window = DefaultWindow
	}
	if s.Backoff.Initial == 0 {
		s.Backoff.Initial = 10 * time.Millisecond
	}
	if s.Backoff.Max == 0 {
		s.Backoff.Max = time.Second
	}
	if s.Backoff.Jitter == 0 {
		s.Backoff.Jitter = 0.2
	}
	return s
}

func (s Supervision) isZero() bool {
	return s.Decide == nil && s.Strategy == OneForOne && s.MaxRestarts == 0 && s.Window == 0 && s.Backoff == (Backoff{})
}

// options checks the spec and compiles it.
func (s *Spec[M]) options() (*options, error) {
	if s.New == nil {
		return nil, fault.New(fault.InvalidArgument, "actor.Spawn", "spec %q has no New; it must return a new behaviour", s.Name)
	}
	plain := s.Mailbox == Mailbox{} && s.Restart == Transient && s.Attempts == 0 && s.IdleTimeout == 0 &&
		s.StopTimeout == 0 && s.Supervision.isZero()
	if plain {
		return &defaultOptions, nil
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	o := &options{
		capacity:    uint32(s.Mailbox.Capacity), //nolint:gosec // checked above
		overflow:    s.Mailbox.Overflow,
		restart:     s.Restart,
		attempts:    uint8(s.Attempts), //nolint:gosec // checked above
		idleTimeout: s.IdleTimeout,
		stopTimeout: s.StopTimeout,
		supervision: s.Supervision.withDefaults(),
	}
	switch s.Mailbox.Capacity {
	case 0:
		o.capacity = DefaultCapacity
	case Unbounded:
		o.capacity = unlimited
	}
	if o.attempts == 0 {
		o.attempts = 1
	}
	return o, nil
}

// check says what is wrong with the spec.
func (s *Spec[M]) check() error {
	k := checker{name: s.Name}
	k.mailbox(s.Mailbox)
	k.enum("Restart", uint8(s.Restart), uint8(Temporary))
	if s.Attempts < 0 || s.Attempts > 255 {
		k.failf("%d attempts are out of range; it is 0 to 255", s.Attempts)
	}
	k.duration("IdleTimeout", s.IdleTimeout)
	k.duration("StopTimeout", s.StopTimeout)
	k.supervision(s.Supervision)
	return k.err
}
