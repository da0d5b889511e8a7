package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

func scanEntry(row pgx.Row) (e store.Entry, err error) {
	var sum int64
	if err := row.Scan(&e.Key, &e.Version, &e.Value, &sum); err != nil {
		return store.Entry{}, err
	}
	return e, checkSum(sum, entrySum(e.Key, e.Version, e.Value), "entry "+e.Key)
}

// Entry implements [store.Metadata].
func (s *Store) Entry(ctx context.Context, key string) (e store.Entry, err error) {
	err = s.one(ctx, "store.Entry", "entry", key, store.ErrNoEntry, func(row pgx.Row) (err error) {
		e, err = scanEntry(row)
		return err
	}, "SELECT key, version, value, sum FROM entry WHERE key = $1", key)
	return e, err
}

// Entries implements [store.Metadata].
func (s *Store) Entries(ctx context.Context, f store.EntryFilter) ([]store.Entry, error) {
	const op = "store.Entries"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, op, func(rows pgx.Rows) (store.Entry, error) { return scanEntry(rows) },
		`SELECT key, version, value, sum FROM entry WHERE key >= $1 AND key > $2 AND ($3 = '' OR key < $3)
		ORDER BY key LIMIT $4`, f.Prefix, f.After, behind(f.Prefix), limit)
}
