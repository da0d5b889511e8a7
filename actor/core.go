package actor

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// flags are the states of an actor that a sender, a runner or a supervisor has
// to know at once. They are guarded by core.mu.
type flags uint32

const (
	flagActive    flags = 1 << iota // a goroutine owns the actor: it runs a handler or is about to
	flagSuspended                   // messages wait: the actor is between two behaviours, or ending
	flagStopping                    // a stop was asked for
	flagClosed                      // takes no more messages
	flagStopped                     // has ended
	flagIsolated                    // takes no new messages until released
	flagKilled                      // ends without draining its mailbox
	flagFailed                      // the suspension is due to a failure of this actor
	flagSingle                      // messages are taken out of the mailbox one by one
	flagBlocked                     // senders wait for room
	flagBuried                      // has left the tree, and whoever waited for that was told
	flagTrimming                    // the mailbox's memory will be looked at
)

// specialMask are the states in which a message can't simply be queued.
const specialMask = flagClosed | flagStopped | flagIsolated | flagSingle | flagBlocked

// core is what the runtime knows of an actor apart from the type of its
// messages. The order of locks is: family.mu before core.mu of a child;
// core.mu is never held while another lock is taken.
type core struct {
	alert  atomic.Uint32 // not 0: the runner must look at the system lane before the next message
	slow   atomic.Bool   // handlers take long: one message a batch, so that figures stay exact
	depth  atomic.Uint32 // how many handlers ran on top of each other when this was last asked; run clears it
	runner atomic.Pointer[runner]
	runFn  func() // runs the actor; made when it is first needed, so that a start costs no allocation
	id     uint64
	sys    *System
	parent *core
	self   incarnation
	opts   *options
	kind   *kind
	name   string

	// prev and next are the siblings in the order they started, guarded by the
	// parent's family.
	prev, next *core

	kids atomic.Pointer[family]
	// waitsFor is the actor that this actor's handler waits for, see deadlock.go.
	waitsFor atomic.Pointer[core]

	mu    sync.Mutex
	flags flags

	// The rest is guarded by mu.
	restarts   uint32
	x          *extra
	processed  uint64
	nextSample uint64        // the number of processed messages at which the next is timed
	busy       time.Duration // estimated from the timed messages
	longest    time.Duration
}

// extra is the state that most actors never need.
type extra struct {
	lane      []signal // the system lane
	unsettled []*envelope
	watchers  []watcher
	watching  map[*byte]func() // takes the watches of others back
	links     map[*core]struct{}
	timers    map[*timerState]struct{}

	life   context.Context // cancelled when the actor must end now
	cancel context.CancelFunc
	done   chan struct{}

	reason       error // why it ends; nil for a normal end
	failures     uint64
	lastErr      error
	lastErrAt    time.Time
	origin       origin // of the failure that is about to be recorded
	restartDelay time.Duration
	afterKids    afterKids
	draining     bool          // the graceful end has begun: the mailbox is closed once there is a behaviour to empty it
	interrupted  bool          // life is cancelled; for a member of a group, until it is restarted
	unborn       bool          // it did not start, and nobody was told of it
	halted       chan struct{} // told when the behaviour and the children are gone
	stopTimer    *time.Timer
	idleTimer    *time.Timer
	idleSince    time.Time
	log          *actorLog
}

// incarnation is a core's cell: the parts that know the type of the messages.
type incarnation interface {
	run() *runner
	construct() error
	destruct() error
	clear() []undelivered
	endIdle() bool
	describe(*Info)
}

// undelivered is a message that can no longer be handled.
type undelivered struct {
	message any
	env     *envelope
}

// extra returns the rare state; c.mu is held.
func (c *core) extra() *extra {
	if c.x == nil {
		c.x = &extra{}
	}
	return c.x
}

// signalKind is what the runtime tells an actor ahead of its messages.
type signalKind uint8

const (
	signalStop     signalKind = iota // end gracefully
	signalKill                       // end now
	signalKidsGone                   // the last child has ended
	signalRestart                    // make a new behaviour
	signalHalt                       // give up the behaviour, as a sibling's failure restarts the group
	signalFail                       // fail with the error
	signalEnd                        // end without draining, for the reason given
	signalPassivate
	signalStartFailed // the new behaviour could not start, with the error
)

// signal is an entry of the system lane.
type signal struct {
	kind  signalKind
	err   error
	reply chan struct{} // buffered; told when a halt or a restart is done
}

// post puts a signal in the system lane and makes sure that somebody handles
// it. It reports false if the actor has ended.
func (c *core) post(s signal) bool {
	c.mu.Lock()
	if c.flags&flagStopped != 0 {
		c.mu.Unlock()
		return false
	}
	x := c.extra()
	x.lane = append(x.lane, s)
	c.alert.Store(1)
	start := c.flags&flagActive == 0
	c.flags |= flagActive
	c.mu.Unlock()
	if start {
		c.sys.start(c)
	}
	return true
}

// takeSignals empties the system lane; c.mu is held.
func (c *core) takeSignals() []signal {
	if c.x == nil || len(c.x.lane) == 0 {
		return nil
	}
	lane := c.x.lane
	c.x.lane = nil
	return lane
}

// label is the last part of the actor's path.
func (c *core) label() string {
	if c.name != "" {
		return c.name
	}
	return "#" + strconv.FormatUint(c.id, 10)
}

// path is the actor's place in the tree, "/" for the root.
func (c *core) path() string {
	if c.parent == nil {
		return "/"
	}
	if c.parent.parent == nil {
		return "/" + c.label()
	}
	return c.parent.path() + "/" + c.label()
}

// address is the actor's identity.
func (c *core) address() Address {
	return Address{System: c.sys.opts.Name, Path: c.path(), ID: c.id}
}

// lifetime is a context that ends when the actor must end now.
func (c *core) lifetime() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	if x.life == nil {
		x.life, x.cancel = context.WithCancel(context.Background())
		if c.flags&(flagStopped|flagKilled) != 0 || x.interrupted {
			x.cancel()
		}
	}
	return x.life
}

// doneChan is closed when the actor has ended.
func (c *core) doneChan() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	if x.done == nil {
		x.done = make(chan struct{})
		if c.flags&flagBuried != 0 {
			close(x.done)
		}
	}
	return x.done
}

// isAncestorOf reports whether d is c or below it.
func (c *core) isAncestorOf(d *core) bool {
	for ; d != nil; d = d.parent {
		if d == c {
			return true
		}
	}
	return false
}
