package actor

import (
	"reflect"

	"github.com/troupe-dev/troupe/fault"
)

// Parent is where an actor can be spawned: a [System] for the top of the tree,
// a handler's [Context] for a child of that actor.
type Parent interface {
	asParent() *core
}

// Spawn makes an actor. The behaviour is made and started on the calling
// goroutine, so an error of Start, or a panic in it, is returned and no actor
// exists.
//
// Errors: INVALID_ARGUMENT for an unusable spec, [ErrNameTaken], [ErrStopped]
// if the parent ends, and what Start returned.
func Spawn[M any](parent Parent, spec Spec[M]) (Ref[M], error) {
	c, err := newCell(parent.asParent(), &spec)
	if err != nil {
		return Ref[M]{}, err
	}
	if err := c.spawn(); err != nil {
		return Ref[M]{}, err
	}
	return Ref[M]{c}, nil
}

// newCell makes an actor that has no place in the tree yet.
func newCell[M any](p *core, spec *Spec[M]) (*cell[M], error) {
	opts, err := spec.options()
	if err != nil {
		return nil, err
	}
	if spec.Name != "" {
		if err := checkName(spec.Name); err != nil {
			return nil, err
		}
	}
	c := &cell[M]{create: spec.New, limit: opts.capacity}
	c.self = c
	c.sys, c.parent, c.opts, c.name = p.sys, p, opts, spec.Name
	c.id = p.sys.nextID.Add(1)
	c.flags = flagActive // nobody else may run it before it has started
	if spec.Priority != nil || opts.overflow == DropOldest {
		c.flags |= flagSingle
		c.rare = &rare[M]{}
		if spec.Priority != nil {
			c.rare.priority, c.rare.heap = spec.Priority, &priorityHeap[M]{}
		}
	}
	if spec.Type != "" {
		c.kind = p.sys.kindNamed(spec.Type)
	}
	return c, nil
}

// spawn gives the actor its place in the tree and starts it.
func (c *cell[M]) spawn() error {
	if err := c.parent.adopt(&c.core); err != nil {
		return err
	}
	c.sys.actors.Add(1)
	c.warnOfDepth()
	returned := false
	defer func() {
		if !returned { // New or Start called runtime.Goexit
			c.unspawn(newPanicError(nil))
		}
	}()
	err := c.construct()
	returned = true
	if err != nil {
		c.unspawn(err)
		return &fault.Error{Code: fault.CodeOf(err), Op: "actor.Spawn", Target: c.path(), Message: "start failed", Cause: err}
	}
	c.sys.hook(func(h *Hooks) {
		if h.Started != nil {
			h.Started(c.address())
		}
	})
	c.mu.Lock()
	if c.flags&^flagSingle == flagActive && c.waiting() == 0 && c.alert.Load() == 0 {
		c.flags &^= flagActive
		c.startIdleClock()
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	c.sys.start(&c.core) // it has messages already
	return nil
}

// MaxDepth is how deep a tree may be before it is warned of: a failure that has
// to climb far is decided on by policies that know little about it.
const MaxDepth = 5

func (c *core) warnOfDepth() {
	depth := 0
	for p := c.parent; p != nil; p = p.parent {
		depth++
	}
	if depth > MaxDepth && c.sys.warnedOfDepth.CompareAndSwap(false, true) {
		c.sys.log().Warn("the tree of actors is deeper than recommended", "actor", c.path(), "depth", depth, "recommended_max", MaxDepth)
	}
}

// unspawn takes back an actor that could not start.
func (c *cell[M]) unspawn(reason error) {
	kind := c.kind
	if kind == nil {
		kind = c.sys.kindNamed(reflect.TypeFor[M]().String())
	}
	c.mu.Lock()
	c.behavior = nil // nothing that was started, so nothing to stop
	c.kind = kind
	c.extra().unborn = true
	c.mu.Unlock()
	if c.end(reason) {
		c.sys.start(&c.core) // children that Start made have to end first
		<-c.doneChan()
	}
}

// construct makes and starts a behaviour.
func (c *cell[M]) construct() (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	b := c.create()
	if b == nil {
		return fault.New(fault.Internal, "actor.Spawn", "New of %s returned nil", c.path())
	}
	kind := c.kind
	if n, ok := b.(interface{ typeName() string }); ok && kind == nil {
		kind = c.sys.kindNamed(n.typeName())
	}
	if kind == nil {
		kind = c.sys.kindOf(reflect.TypeOf(b), reflect.TypeFor[M]())
	}
	c.mu.Lock()
	c.kind, c.behavior = kind, b
	c.mu.Unlock()
	if s, ok := b.(Starter[M]); ok {
		return s.Start(&c.tools().plain)
	}
	return nil
}

// destruct stops the behaviour that New made, whatever lies on top of it, and
// forgets it, so that it is stopped once.
func (c *cell[M]) destruct() (err error) {
	made := c.behavior
	if r := c.rareNow(); r != nil && len(r.behaviors) > 0 {
		made, r.behaviors = r.behaviors[0], nil
	}
	c.setBehavior(nil)
	b, ok := made.(Stopper[M])
	if !ok {
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	return b.Stop(&c.tools().plain)
}
