package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// A lease is a row of table leases. The writer has all of them in memory.
type lease struct {
	owner string // empty when it was released, or raised by a fence
	epoch store.Epoch
	until int64
}

func (l lease) public(name store.LeaseName) store.Lease {
	return store.Lease{Name: name, Owner: l.owner, Epoch: l.epoch, Until: timeOf(l.until)}
}

// writeLease changes a lease in the table and, until the group is undone, in the
// writer's map.
func (g *group) writeLease(name store.LeaseName, l lease) error {
	leases := g.s.leases
	old, was := leases[name]
	g.undo = append(g.undo, undo{f: func() {
		if was {
			leases[name] = old
		} else {
			delete(leases, name)
		}
	}})
	leases[name] = l
	err := g.exec("INSERT OR REPLACE INTO leases (name, owner, epoch, until, sum) VALUES (?, ?, ?, ?, ?)",
		string(name), l.owner, int64(l.epoch), l.until, rowSum(string(name), l.owner, int64(l.epoch), l.until))
	return err
}

func (g *group) fence(b *store.Batch) error {
	f := b.Fence
	if f == (store.Fence{}) {
		return nil
	}
	l := g.s.leases[f.Lease]
	switch {
	case f.Raise && f.Epoch > l.epoch:
		return g.writeLease(f.Lease, lease{epoch: f.Epoch})
	case f.Epoch != l.epoch, l.owner == "" && !f.Raise:
		return store.StaleEpoch("store.Commit", f.Lease, f.Epoch, l.epoch)
	}
	return nil
}

// Acquire implements [store.Leases].
func (s *Store) Acquire(ctx context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	const op = "store.Acquire"
	if err := s.checkLease(op, name, owner, ttl); err != nil {
		return store.Lease{}, err
	}
	var got lease
	err := s.change(ctx, op, func(g *group) error {
		l := s.leases[name]
		if l.owner != "" && l.owner != owner && l.until > g.now {
			return store.LeaseHeld(l.public(name))
		}
		got = lease{owner: owner, epoch: l.epoch + 1, until: g.now + ceilMilli(ttl)}
		return g.writeLease(name, got)
	})
	if err != nil {
		return store.Lease{}, err
	}
	return got.public(name), nil
}

// Renew implements [store.Leases].
func (s *Store) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	const op = "store.Renew"
	if err := s.checkLease(op, l.Name, l.Owner, ttl); err != nil {
		return store.Lease{}, err
	}
	var got lease
	err := s.change(ctx, op, func(g *group) error {
		now := s.leases[l.Name]
		if now.owner != l.Owner || now.epoch != l.Epoch {
			return store.StaleEpoch(op, l.Name, l.Epoch, now.epoch)
		}
		got = lease{owner: now.owner, epoch: now.epoch, until: g.now + ceilMilli(ttl)}
		return g.writeLease(l.Name, got)
	})
	if err != nil {
		return store.Lease{}, err
	}
	return got.public(l.Name), nil
}

// Release implements [store.Leases].
func (s *Store) Release(ctx context.Context, l store.Lease) error {
	const op = "store.Release"
	if err := s.checkLease(op, l.Name, l.Owner, time.Millisecond); err != nil {
		return err
	}
	return s.change(ctx, op, func(g *group) error {
		now := s.leases[l.Name]
		if now.owner != l.Owner || now.epoch != l.Epoch {
			return store.StaleEpoch(op, l.Name, l.Epoch, now.epoch)
		}
		return g.writeLease(l.Name, lease{epoch: now.epoch, until: g.now})
	})
}

func (s *Store) checkLease(op string, name store.LeaseName, owner string, ttl time.Duration) error {
	if err := store.CheckName(op, "lease", string(name), s.limits); err != nil {
		return err
	}
	if err := store.CheckName(op, "owner", owner, s.limits); err != nil {
		return err
	}
	return store.CheckTTL(op, ttl)
}

// Holder implements [store.Leases].
func (s *Store) Holder(ctx context.Context, name store.LeaseName) (store.Lease, error) {
	const op = "store.Holder"
	var found *store.Lease
	err := s.read(ctx, op, func(c *conn) error {
		return c.query(ctx, "SELECT name, owner, epoch, until, sum FROM leases WHERE name = ?", []driver.Value{string(name)}, func(row []driver.Value) error {
			_, l, err := leaseOf(row)
			public := l.public(name)
			found = &public
			return err
		})
	})
	if err != nil {
		return store.Lease{}, err
	}
	if found == nil {
		return store.Lease{}, store.Failure(store.ErrNoLease, op, "lease "+string(name), nil)
	}
	return *found, nil
}

// loadLeases reads all leases.
func loadLeases(c *conn) (map[store.LeaseName]lease, error) {
	all := map[store.LeaseName]lease{}
	err := c.query(context.Background(), "SELECT name, owner, epoch, until, sum FROM leases", nil, func(row []driver.Value) error {
		name, l, err := leaseOf(row)
		all[name] = l
		return err
	})
	return all, err
}

// leaseOf turns a row of table leases into a lease.
func leaseOf(row []driver.Value) (store.LeaseName, lease, error) {
	name, l := store.LeaseName(textOf(row[0])), lease{textOf(row[1]), store.Epoch(intOf(row[2])), intOf(row[3])}
	if rowSum(string(name), l.owner, int64(l.epoch), l.until) != intOf(row[4]) {
		return name, l, damaged("store", "lease "+string(name), errSum)
	}
	return name, l, nil
}
