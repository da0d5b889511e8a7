package actor

import (
	"sync"
	"time"
)

// family is an actor's children and what its supervision of them needs.
type family struct {
	mu          sync.Mutex
	first, last *core // in the order they started
	count       int
	names       map[string]*core
	closed      bool        // no more children
	restarts    []time.Time // within the window, oldest first

	// group holds a token while several children are restarted together.
	group chan struct{}
}

// groupTurn is where restarts of a group take their turn: whoever can send into
// it may go on, and receives when done.
func (f *family) groupTurn() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.group == nil {
		f.group = make(chan struct{}, 1)
	}
	return f.group
}

// family returns the actor's children, making the place for them.
func (c *core) family() *family {
	if f := c.kids.Load(); f != nil {
		return f
	}
	c.kids.CompareAndSwap(nil, &family{})
	return c.kids.Load()
}

// adopt makes child the youngest of parent's children.
func (parent *core) adopt(child *core) error {
	f := parent.family()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrStopped.WithTarget(parent.path())
	}
	if child.name != "" {
		if _, taken := f.names[child.name]; taken {
			return ErrNameTaken.WithTarget(child.path())
		}
		if f.names == nil {
			f.names = make(map[string]*core)
		}
		f.names[child.name] = child
	}
	child.prev = f.last
	if f.last != nil {
		f.last.next = child
	} else {
		f.first = child
	}
	f.last = child
	f.count++
	return nil
}

// disown removes a child that has ended and reports whether it was the last.
func (parent *core) disown(child *core) bool {
	f := parent.family()
	f.mu.Lock()
	defer f.mu.Unlock()
	if child.prev != nil {
		child.prev.next = child.next
	} else {
		f.first = child.next
	}
	if child.next != nil {
		child.next.prev = child.prev
	} else {
		f.last = child.prev
	}
	child.prev, child.next = nil, nil
	if child.name != "" && f.names[child.name] == child {
		delete(f.names, child.name)
	}
	f.count--
	return f.count == 0
}

// children lists the children in the order they started.
func (c *core) children() []*core {
	f := c.kids.Load()
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*core, 0, f.count)
	for k := f.first; k != nil; k = k.next {
		list = append(list, k)
	}
	return list
}

// youngest is the child that started last.
func (c *core) youngest() *core {
	f := c.kids.Load()
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// child finds a child by the last part of its path.
func (c *core) child(label string) *core {
	f := c.kids.Load()
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.names[label]; k != nil {
		return k
	}
	if len(label) > 1 && label[0] == '#' {
		for k := f.first; k != nil; k = k.next {
			if k.name == "" && k.label() == label {
				return k
			}
		}
	}
	return nil
}

// closeFamily lets no more children in, or opens it again after a restart.
func (c *core) closeFamily(closed bool) {
	if f := c.kids.Load(); f != nil || closed {
		f = c.family()
		f.mu.Lock()
		f.closed = closed
		f.mu.Unlock()
	}
}
