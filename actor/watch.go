package actor

import (
	"cmp"
	"errors"
	"maps"
	"slices"
)

// Down is a death notice: the actor has ended for good. A restart is not an end.
type Down struct {
	Actor  Address
	Reason error // nil for a normal end
}

// Abnormal reports whether the actor ended by a failure: with a reason other
// than passivation.
func (d Down) Abnormal() bool { return d.Reason != nil && !errors.Is(d.Reason, ErrPassivated) }

// Watchable is a [Target] whose end can be watched.
type Watchable interface {
	// Watch calls notify once, when the actor has ended, and at once if it has
	// already. The returned function takes the request back.
	Watch(notify func(Down)) (cancel func())
}

type watcher struct {
	notify func(Down)
	token  *byte
}

// Watch asks for a death notice: when target has ended, the message that notice
// makes is sent to the watching actor, after all that target has sent to it. If
// target has ended already the notice comes at once. The returned function takes
// the request back; the watcher's own end does too, its restart does not.
func Watch[T, M any](ctx *Context[M], target Ref[T], notice func(Down) M) (cancel func()) {
	c := ctx.c
	token := new(byte)
	notify := func(d Down) {
		c.unwatch(token)
		c.sys.guard("a watch's notice", func() { c.force(notice(d), nil) })
	}
	w, ok := target.target.(Watchable)
	if !ok {
		if target.IsZero() {
			notify(Down{Reason: ErrNoActor})
		}
		return func() {}
	}
	c.mu.Lock()
	x := c.extra()
	if x.watching == nil {
		x.watching = make(map[*byte]func())
	}
	x.watching[token] = nil
	c.mu.Unlock()
	takeBack := w.Watch(notify)
	c.mu.Lock()
	_, waiting := x.watching[token]
	if waiting { // else the notice came already, or the watcher has ended
		x.watching[token] = takeBack
	}
	c.mu.Unlock()
	if !waiting {
		takeBack()
	}
	return func() {
		c.unwatch(token)
		takeBack()
	}
}

// unwatch forgets a watch of this actor.
func (c *core) unwatch(token *byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.x != nil {
		delete(c.x.watching, token)
	}
}

// Watch makes a cell Watchable.
func (c *cell[M]) Watch(notify func(Down)) func() {
	return c.watch(watcher{notify: notify, token: new(byte)})
}

func (c *core) watch(w watcher) (cancel func()) {
	c.mu.Lock()
	x := c.extra()
	if c.flags&flagStopped != 0 {
		reason := x.reason
		c.mu.Unlock()
		w.notify(Down{Actor: c.address(), Reason: reason})
		return func() {}
	}
	x.watchers = append(x.watchers, w)
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range x.watchers {
			if x.watchers[i].token == w.token {
				x.watchers = append(x.watchers[:i:i], x.watchers[i+1:]...)
				return
			}
		}
	}
}

// Link ties two actors together: when one ends abnormally, the other fails with
// a *[LinkError] and its supervisor decides. A normal end and a restart break
// nothing. Linking to an actor that has ended abnormally fails at once.
func Link[T, M any](ctx *Context[M], peer Ref[T]) error {
	p, ok := peer.target.(*cell[T])
	if !ok {
		return ErrNoActor
	}
	a, b := &ctx.c.core, &p.core
	if a == b {
		return nil
	}
	a.link(b)
	if b.link(a) {
		return nil
	}
	a.unlink(b)
	b.mu.Lock()
	reason := b.x.reason
	b.mu.Unlock()
	if reason == nil {
		return ErrStopped.WithTarget(b.path())
	}
	return &LinkError{Peer: b.address(), Cause: reason}
}

// Unlink takes a link back.
func Unlink[T, M any](ctx *Context[M], peer Ref[T]) {
	if p, ok := peer.target.(*cell[T]); ok {
		ctx.c.unlink(&p.core)
		p.unlink(&ctx.c.core)
	}
}

// link adds a peer; it reports false if c has ended.
func (c *core) link(peer *core) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	if c.flags&flagStopped != 0 {
		return false
	}
	if x.links == nil {
		x.links = make(map[*core]struct{})
	}
	x.links[peer] = struct{}{}
	return true
}

func (c *core) unlink(peer *core) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.x != nil {
		delete(c.x.links, peer)
	}
}

// breakLinks passes an abnormal end on.
func (c *core) breakLinks(links map[*core]struct{}, reason error) {
	if len(links) == 0 {
		return
	}
	down := Down{Actor: c.address(), Reason: reason}
	// In the order of their ids, so that equal runs of a test stay equal.
	byID := func(a, b *core) int { return cmp.Compare(a.id, b.id) }
	for _, peer := range slices.SortedFunc(maps.Keys(links), byID) {
		peer.unlink(c)
		if down.Abnormal() {
			peer.post(signal{kind: signalFail, err: &LinkError{Peer: down.Actor, Cause: reason}})
		}
	}
}
