package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

// Acquire implements [store.Leases]. When the connection is lost it is tried
// again, after which the epoch may have risen by more than one.
func (s *Store) Acquire(ctx context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	const op = "store.Acquire"
	if err := s.checkLease(op, name, owner, ttl); err != nil {
		return store.Lease{}, err
	}
	got := store.Lease{Name: name, Owner: owner}
	err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		var until int64
		err := c.QueryRow(ctx, `INSERT INTO lease AS l (name, owner, epoch, until) VALUES ($1, $2, 1, `+nowMs+` + $3)
			ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = l.epoch + 1, until = excluded.until
				WHERE l.owner IN ('', excluded.owner) OR l.until <= `+nowMs+`
			RETURNING epoch, until`, string(name), owner, ceilMilli(ttl)).Scan(&got.Epoch, &until)
		if errors.Is(err, pgx.ErrNoRows) {
			held, err := holder(ctx, c, name)
			if err != nil {
				return err
			}
			return store.LeaseHeld(held)
		}
		got.Until = timeOf(until)
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	return got, nil
}

// Renew implements [store.Leases].
func (s *Store) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	const op = "store.Renew"
	if err := s.checkLease(op, l.Name, l.Owner, ttl); err != nil {
		return store.Lease{}, err
	}
	err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		var until int64
		err := c.QueryRow(ctx, "UPDATE lease SET until = "+nowMs+" + $4 WHERE name = $1 AND owner = $2 AND epoch = $3 RETURNING until",
			string(l.Name), l.Owner, int64(l.Epoch), ceilMilli(ttl)).Scan(&until)
		if errors.Is(err, pgx.ErrNoRows) {
			return stale(ctx, c, op, l)
		}
		l.Until = timeOf(until)
		return err
	})
	if err != nil {
		return store.Lease{}, err
	}
	return l, nil
}

// Release implements [store.Leases].
func (s *Store) Release(ctx context.Context, l store.Lease) error {
	const op = "store.Release"
	if err := s.checkLease(op, l.Name, l.Owner, time.Millisecond); err != nil {
		return err
	}
	again := false
	return s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, "UPDATE lease SET owner = '', until = "+nowMs+" WHERE name = $1 AND owner = $2 AND epoch = $3",
			string(l.Name), l.Owner, int64(l.Epoch))
		if err != nil || tag.RowsAffected() > 0 {
			again = true
			return err
		}
		err = stale(ctx, c, op, l)
		var e *store.EpochError
		if again && errors.As(err, &e) && e.Actual == l.Epoch {
			return nil // the attempt before has done it, though its connection was lost
		}
		return err
	})
}

// Holder implements [store.Leases].
func (s *Store) Holder(ctx context.Context, name store.LeaseName) (store.Lease, error) {
	const op = "store.Holder"
	if err := store.CheckName(op, "lease", string(name), s.limits); err != nil {
		return store.Lease{}, err
	}
	var found store.Lease
	err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) (err error) {
		found, err = holder(ctx, c, name)
		return err
	})
	if err == nil && found.Epoch == 0 {
		err = store.Failure(store.ErrNoLease, op, "lease "+string(name), nil)
	}
	return found, err
}

// holder reads a lease; its epoch is 0 if it never was acquired.
func holder(ctx context.Context, c *pgx.Conn, name store.LeaseName) (store.Lease, error) {
	l := store.Lease{Name: name}
	var until int64
	err := c.QueryRow(ctx, "SELECT owner, epoch, until FROM lease WHERE name = $1", string(name)).Scan(&l.Owner, &l.Epoch, &until)
	l.Until = timeOf(until)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return store.Lease{}, nil
	case err != nil:
		return store.Lease{}, err
	case l.Epoch == 0:
		return store.Lease{}, nil
	}
	return l, nil
}

func stale(ctx context.Context, c *pgx.Conn, op string, l store.Lease) error {
	now, err := holder(ctx, c, l.Name)
	if err != nil {
		return err
	}
	return store.StaleEpoch(op, l.Name, l.Epoch, now.Epoch)
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
