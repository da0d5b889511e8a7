package actor

// What tests of leaks count.

// WatchersOf is how many death notices an actor owes.
func WatchersOf[M any](r Ref[M]) int {
	c := r.target.(*cell[M])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.x == nil {
		return 0
	}
	return len(c.x.watchers)
}

// WatchesOf is how many death notices an actor waits for.
func WatchesOf[M any](r Ref[M]) int {
	c := r.target.(*cell[M])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.x == nil {
		return 0
	}
	return len(c.x.watching)
}

// Subscriptions is how many subscriptions a system has.
func Subscriptions(s *System) (n int) {
	for _, subs := range *s.topics.subs.Load() {
		n += len(subs)
	}
	return n
}
