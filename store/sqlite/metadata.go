package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/troupe-dev/troupe/store"
)

// Entry implements [store.Metadata].
func (s *Store) Entry(ctx context.Context, key string) (store.Entry, error) {
	const op = "store.Entry"
	var e store.Entry
	err := s.read(ctx, op, func(c *conn) error {
		return c.query(ctx, "SELECT key, version, value, sum FROM metadata WHERE key = ?", []driver.Value{key}, func(row []driver.Value) (err error) {
			e, err = entryOf(row)
			return err
		})
	})
	if err == nil && e.Version == store.Absent {
		err = store.Failure(store.ErrNoEntry, op, "entry "+key, nil)
	}
	return e, err
}

// Entries implements [store.Metadata].
func (s *Store) Entries(ctx context.Context, f store.EntryFilter) ([]store.Entry, error) {
	const op = "store.Entries"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	low, high := span(f.Prefix)
	var out []store.Entry
	err = s.read(ctx, op, func(c *conn) error {
		const sql = "SELECT key, version, value, sum FROM metadata WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
		return c.query(ctx, sql, []driver.Value{f.After, low, high, int64(limit)}, func(row []driver.Value) error {
			e, err := entryOf(row)
			out = append(out, e)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func entryOf(row []driver.Value) (store.Entry, error) {
	e := store.Entry{Key: textOf(row[0]), Version: intOf(row[1]), Value: bytesOf(row[2])}
	if rowSum(e.Key, e.Version, e.Value) != intOf(row[3]) {
		return store.Entry{}, damaged("store.Entry", "entry "+e.Key, errSum)
	}
	return e, nil
}
