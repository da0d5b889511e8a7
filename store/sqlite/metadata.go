package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// Entry implements [store.Metadata].
func (s *Store) Entry(ctx context.Context, key string) (store.Entry, error) {
	const op = "store.Entry"
	if err := s.checkOpen(op); err != nil {
		return store.Entry{}, err
	}
	s.mem.mu.RLock()
	recent, found := s.mem.entries.Get(key)
	s.mem.mu.RUnlock()
	e := store.Entry{Key: key, Version: recent.version, Value: slices.Clone(recent.value)}
	var err error
	if !found {
		err = s.read(ctx, op, func(c *conn) error {
			return c.query(ctx, "SELECT key, version, value, sum FROM metadata WHERE key = ?", []driver.Value{key}, func(row []driver.Value) (err error) {
				e, err = entryOf(row)
				return err
			})
		})
	}
	if err == nil && e.Version == store.Absent {
		err = store.Failure(store.ErrNoEntry, op, "entry "+key, nil)
	}
	if err != nil {
		return store.Entry{}, err
	}
	return e, nil
}

// Entries implements [store.Metadata]. It sees memory and the table as of one
// moment.
func (s *Store) Entries(ctx context.Context, f store.EntryFilter) ([]store.Entry, error) {
	const op = "store.Entries"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	var out []store.Entry
	err = s.read(ctx, op, func(c *conn) (err error) {
		recent, err := s.recent(c, f, limit)
		if err == nil {
			out, err = entriesWith(ctx, c, f, limit, recent)
		}
		return errors.Join(err, c.script("COMMIT")) // it only read
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// A recentEntry is one that memory has.
type recentEntry struct {
	key string
	entry
}

// recent begins a transaction that sees the table as it is now, and returns what
// memory has at this moment: as much as a page can need.
func (s *Store) recent(c *conn, f store.EntryFilter, limit int) (all []recentEntry, err error) {
	s.mem.mu.RLock()
	defer s.mem.mu.RUnlock()
	if err := c.script("BEGIN; SELECT 1 FROM counters LIMIT 1"); err != nil { // it begins with the first look
		return nil, err
	}
	low, high := span(f.Prefix)
	live := 0
	s.mem.entries.Ascend(max(low, f.After), func(key string, e entry) bool {
		if live == limit || key >= high {
			return false
		}
		if key == f.After {
			return true
		}
		if e.version != store.Absent {
			live++
		}
		all = append(all, recentEntry{key, e})
		return true
	})
	return all, nil
}

// entriesWith reads a page of the table, in which recent entries take the place
// of those there.
func entriesWith(ctx context.Context, c *conn, f store.EntryFilter, limit int, recent []recentEntry) (out []store.Entry, err error) {
	low, high := span(f.Prefix)
	// take adds the recent entries up to a key, and reports whether that key is
	// one of them.
	take := func(upTo string) (replaced bool) {
		for len(recent) > 0 && recent[0].key <= upTo {
			if e := recent[0]; e.version != store.Absent {
				out = append(out, store.Entry{Key: e.key, Version: e.version, Value: slices.Clone(e.value)})
			}
			replaced = recent[0].key == upTo
			recent = recent[1:]
		}
		return replaced
	}
	const sql = "SELECT key, version, value, sum FROM metadata WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
	rows := []driver.Value{f.After, low, high, int64(limit + len(recent))}
	err = c.query(ctx, sql, rows, func(row []driver.Value) error {
		if len(out) >= limit || take(textOf(row[0])) {
			return nil
		}
		e, err := entryOf(row)
		out = append(out, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	take(high)
	return out[:min(limit, len(out))], nil
}

func entryOf(row []driver.Value) (store.Entry, error) {
	e := store.Entry{Key: textOf(row[0]), Version: intOf(row[1]), Value: bytesOf(row[2])}
	if rowSum(e.Key, e.Version, e.Value) != intOf(row[3]) {
		return store.Entry{}, damaged("store.Entry", "entry "+e.Key, errSum)
	}
	return e, nil
}
