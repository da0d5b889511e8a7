package actor

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/troupe-dev/troupe/fault"
)

// envelope is what accompanies a message that is more than a plain tell.
type envelope struct {
	kind  envelopeKind
	tries uint8 // failed attempts to handle the message

	state atomic.Uint32 // of an ask, see below

	// more is set once, by the sender or by whoever needs it first.
	more atomic.Pointer[envelopeMore]
}

// envelopeMore is what few envelopes have; keeping it apart keeps calls small.
type envelopeMore struct {
	err  error         // the answer, if it is one
	wake chan struct{} // buffered; set while the asker is parked

	ctx    context.Context // the asker's, if it can end
	asker  *core           // the actor that asks
	trace  *Trace
	timer  *timerState
	answer any // func(R, error) of a Reply made by NewReply

	context any // room for the *Context[M] that the handler gets; nil: make one
}

// details returns what the envelope has more, making the place for it.
func (e *envelope) details() *envelopeMore {
	if m := e.more.Load(); m != nil {
		return m
	}
	e.more.CompareAndSwap(nil, &envelopeMore{})
	return e.more.Load()
}

// asTell is an envelope for a plain tell with the same trace, nil if there is none.
func (e *envelope) asTell() *envelope {
	m := e.more.Load()
	if m == nil || m.trace == nil {
		return nil
	}
	tell := &envelope{}
	tell.details().trace = m.trace
	return tell
}

// answerError is the error that an ask was answered with.
func (e *envelope) answerError() error {
	if m := e.more.Load(); m != nil {
		return m.err
	}
	return nil
}

type envelopeKind uint8

const (
	envelopeTell envelopeKind = iota
	envelopeAsk
	envelopeTimer
)

// States of an ask. An answer is claimed, written, then published, so that of
// several replies exactly one counts, and none after the asker has left.
const (
	askWaiting   uint32 = iota
	askParked           // waiting, and wake is to be signalled
	askAnswering        // claimed
	askAnswered
	askLeft // the asker no longer waits
)

// claim reserves the right to answer and reports whether the asker is parked.
func (e *envelope) claim() (parked, ok bool) {
	for {
		switch s := e.state.Load(); s {
		case askWaiting, askParked:
			if e.state.CompareAndSwap(s, askAnswering) {
				return s == askParked, true
			}
		default:
			return false, false
		}
	}
}

// publish makes a claimed and written answer visible.
func (e *envelope) publish(parked bool) {
	e.state.Store(askAnswered)
	if parked {
		e.more.Load().wake <- struct{}{}
	}
}

// fail answers with an error.
func (e *envelope) fail(err error) bool {
	parked, ok := e.claim()
	if !ok {
		return false
	}
	e.details().err = err
	e.publish(parked)
	return true
}

// settled reports whether nobody waits for an answer any more.
func (e *envelope) settled() bool {
	s := e.state.Load()
	return s == askAnswered || s == askLeft
}

// expired reports whether the asker has given up before the message was handled.
func (e *envelope) expired() bool {
	if e.state.Load() == askLeft {
		return true
	}
	m := e.more.Load()
	return m != nil && m.ctx != nil && m.ctx.Err() != nil
}

// await parks the caller until the answer is there or ctx ends. The error is
// the asker's own reason not to wait; nil means that an answer is there.
//
// The channel to wait on comes from the pool, if one is given, and goes back
// empty: it is signalled once if the answer was claimed while the asker was
// parked, and never otherwise.
func (e *envelope) await(ctx context.Context, wakes *sync.Pool) error {
	more := e.details()
	if wakes != nil {
		more.wake, _ = wakes.Get().(chan struct{})
		defer func() { wakes.Put(more.wake) }()
	}
	if more.wake == nil {
		more.wake = make(chan struct{}, 1)
	}
	if !e.state.CompareAndSwap(askWaiting, askParked) {
		for e.state.Load() != askAnswered {
			runtime.Gosched() // an answer is being written
		}
		return nil
	}
	select {
	case <-more.wake:
		return nil
	case <-ctx.Done():
		if e.state.CompareAndSwap(askParked, askLeft) {
			return &fault.Error{Code: fault.CodeOf(ctx.Err()), Op: "actor.Ask", Message: "no answer in time", Cause: ctx.Err()}
		}
		<-more.wake
		return nil
	}
}
