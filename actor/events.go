package actor

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// The runtime's own events, for [Subscribe]. Each also has a hook.
type (
	// Failure tells that a handler, Start or Stop failed, or a supervisor gave up.
	Failure struct {
		Actor     Address
		Err       error
		Directive Directive
	}
	// Restarted tells that an actor has a new behaviour.
	Restarted struct {
		Actor    Address
		Restarts int // over the actor's life
		Cause    error
	}
	// Stopped tells that an actor has ended.
	Stopped struct {
		Actor  Address
		Reason error // nil for a normal end
	}
)

// topics is the event stream: who wants events of which type. Publishing reads
// it without a lock.
type topics struct {
	mu   sync.Mutex
	subs atomic.Pointer[map[reflect.Type][]*subscription]
}

type subscription struct {
	deliver func(event any) error
}

// Subscribe sends each event of type E that is published in the system to the
// actor, as the message that adapt makes of it. Delivery never waits: an event
// for a full mailbox is lost to that subscriber and counted as a dead letter.
// The subscription ends with the actor or by calling cancel.
func Subscribe[E, M any](s *System, to Ref[M], adapt func(E) M) (cancel func()) {
	sub := &subscription{deliver: func(event any) error { return to.TryTell(adapt(event.(E))) }}
	key := reflect.TypeFor[E]()
	s.topics.update(key, func(subs []*subscription) []*subscription { return append(subs, sub) })
	unsubscribe := func() { s.topics.remove(key, sub) }
	w, ok := to.target.(Watchable)
	if !ok {
		return unsubscribe
	}
	unwatch := w.Watch(func(Down) { unsubscribe() })
	return func() {
		unwatch()
		unsubscribe()
	}
}

// Publish sends an event to everybody who subscribed to its type.
func Publish[E any](s *System, event E) {
	if all := s.topics.subs.Load(); all != nil && len((*all)[reflect.TypeFor[E]()]) > 0 {
		publishThis(s, event)
	}
}

// publishThis is apart, so that an event that nobody wants stays on the stack.
//
//go:noinline
func publishThis[E any](s *System, event E) { publish(s, func() E { return event }) }

// publish makes the event only if somebody wants it. That question is apart from
// the rest, whose frame would make the stack of a young goroutine grow.
func publish[E any](s *System, event func() E) {
	all := s.topics.subs.Load()
	if all == nil {
		return
	}
	key := reflect.TypeFor[E]()
	if subs := (*all)[key]; len(subs) > 0 {
		publishTo(s, key, subs, event)
	}
}

//go:noinline
func publishTo[E any](s *System, key reflect.Type, subs []*subscription, event func() E) {
	var e any = event()
	for _, sub := range subs {
		var err error
		s.guard("a subscription's adapt", func() { err = sub.deliver(e) })
		switch {
		case err == nil:
		case errors.Is(err, ErrStopped):
			s.topics.remove(key, sub)
		default:
			s.deadLetters.Add(1)
		}
	}
}

func (t *topics) update(key reflect.Type, change func([]*subscription) []*subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[reflect.Type][]*subscription)
	if old := t.subs.Load(); old != nil {
		maps.Copy(next, *old)
	}
	next[key] = change(slices.Clone(next[key]))
	if len(next[key]) == 0 {
		delete(next, key)
	}
	t.subs.Store(&next)
}

func (t *topics) remove(key reflect.Type, sub *subscription) {
	t.update(key, func(subs []*subscription) []*subscription {
		return slices.DeleteFunc(subs, func(s *subscription) bool { return s == sub })
	})
}
