package postgres

import (
	"context"
	"errors"
	"iter"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// A page of events has at most so many, and so many bytes of payload but for the
// first.
const (
	pageEvents = 4096
	pageBytes  = 4 << 20
)

// readPage counts the sizes of payloads without fetching those out of line.
const readPage = `SELECT position, time, type, meta, data, sum FROM (
		SELECT *, sum(length(data)) OVER (ORDER BY position) - length(data) AS before
		FROM event WHERE stream = $1 AND position >= $2 ORDER BY position LIMIT $3
	) AS page WHERE before < $4 ORDER BY position`

// Read implements [store.Journal].
func (s *Store) Read(ctx context.Context, name store.Stream, from store.Position) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		next, whole := max(from, 1), from <= 0
		for {
			page, head, err := s.page(ctx, name, next, whole)
			if err != nil {
				yield(store.Event{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				next = e.Position + 1
			}
			if len(page) == 0 || next > head {
				return
			}
			whole = false
		}
	}
}

// page reads events from a position on. Whole means that trimmed ones may be
// left out.
func (s *Store) page(ctx context.Context, name store.Stream, from store.Position, whole bool) (page []store.Event, head store.Position, err error) {
	const op = "store.Read"
	if err := store.CheckName(op, "stream", string(name), s.limits); err != nil {
		return nil, 0, err
	}
	err = s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		page = page[:0]
		var first store.Position
		b := &pgx.Batch{}
		b.Queue("SELECT first, head FROM stream WHERE name = $1", string(name))
		b.Queue(readPage, string(name), int64(from), pageEvents, pageBytes)
		results := c.SendBatch(ctx, b)
		defer results.Close() //nolint:errcheck // what was read is complete
		err := results.QueryRow().Scan(&first, &head)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return store.Failure(store.ErrUnknownStream, op, "stream "+string(name), nil)
		case err != nil:
			return err
		case from < first && !whole:
			return store.Failure(store.ErrTrimmed, op, "stream "+string(name), nil)
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		page, err = events(rows, name, page)
		return err
	})
	return page, head, err
}

// events reads the rows of readPage.
func events(rows pgx.Rows, name store.Stream, page []store.Event) ([]store.Event, error) {
	defer rows.Close()
	for rows.Next() {
		e := store.Event{Stream: name}
		var position, ms, sum int64
		if err := rows.Scan(&position, &ms, &e.Type, &e.Meta, &e.Data, &sum); err != nil {
			return nil, err
		}
		e.Position, e.Time = store.Position(position), timeOf(ms)
		if eventSum(name, e.Position, ms, &e) != sum {
			return nil, checkSum(sum, -1, eventPlace(name, e.Position))
		}
		page = append(page, e)
	}
	return page, rows.Err()
}

// Head implements [store.Journal].
func (s *Store) Head(ctx context.Context, name store.Stream) (store.Position, error) {
	const op = "store.Head"
	var head store.Position
	err := s.one(ctx, op, "stream", string(name), store.ErrUnknownStream, func(row pgx.Row) error {
		return row.Scan(&head)
	}, "SELECT head FROM stream WHERE name = $1", string(name))
	return head, err
}

// Snapshot implements [store.Journal].
func (s *Store) Snapshot(ctx context.Context, name store.Stream) (store.Snapshot, error) {
	n := store.Snapshot{Stream: name}
	err := s.one(ctx, "store.Snapshot", "stream", string(name), store.ErrNoSnapshot, func(row pgx.Row) error {
		var ms, sum int64
		if err := row.Scan(&n.Position, &ms, &n.Type, &n.Data, &sum); err != nil {
			return err
		}
		n.Time = timeOf(ms)
		return checkSum(sum, snapshotSum(&n, ms), "snapshot of stream "+string(name))
	}, "SELECT position, time, type, data, sum FROM snapshot WHERE stream = $1", string(name))
	if err != nil {
		return store.Snapshot{}, err
	}
	return n, nil
}

// Streams implements [store.Journal].
func (s *Store) Streams(ctx context.Context, f store.StreamFilter) ([]store.StreamInfo, error) {
	const op = "store.Streams"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, op, func(rows pgx.Rows) (i store.StreamInfo, err error) {
		return i, rows.Scan(&i.Stream, &i.First, &i.Head)
	}, `SELECT name, first, head FROM stream WHERE name >= $1 AND name > $2 AND ($3 = '' OR name < $3)
		ORDER BY name LIMIT $4`, string(f.Prefix), string(f.After), behind(string(f.Prefix)), limit)
}

// Cursors implements [store.Journal].
func (s *Store) Cursors(ctx context.Context, scope string) (map[store.Producer]uint64, error) {
	const op = "store.Cursors"
	if err := store.CheckName(op, "scope", scope, s.limits); err != nil {
		return nil, err
	}
	type cursor struct {
		producer store.Producer
		seq      uint64
	}
	all, err := list(ctx, s, op, func(rows pgx.Rows) (c cursor, err error) {
		return c, rows.Scan(&c.producer, &c.seq)
	}, "SELECT producer, seq FROM cursor WHERE scope = $1", scope)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	out := make(map[store.Producer]uint64, len(all))
	for _, c := range all {
		out[c.producer] = c.seq
	}
	return out, nil
}

// one reads one row about something with a name. No row is the error missing.
func (s *Store) one(ctx context.Context, op, what, name string, missing *fault.Error, scan func(pgx.Row) error, sql string, args ...any) error {
	if err := store.CheckName(op, what, name, s.limits); err != nil {
		return err
	}
	return s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		err := scan(c.QueryRow(ctx, sql, args...))
		if errors.Is(err, pgx.ErrNoRows) {
			return store.Failure(missing, op, what+" "+name, nil)
		}
		return err
	})
}

// list reads rows.
func list[T any](ctx context.Context, s *Store, op string, scan func(pgx.Rows) (T, error), sql string, args ...any) ([]T, error) {
	var out []T
	err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		out = nil
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			item, err := scan(rows)
			if err != nil {
				return err
			}
			out = append(out, item)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// behind returns the first text behind all that begin with a prefix, byte by byte
// or, which is the same in UTF-8, character by character; "" if there is none.
func behind(prefix string) string {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case r == utf8.MaxRune:
			continue
		case r == 0xD7FF:
			return prefix + "\uE000" // surrogates are no characters
		}
		return prefix + string(r+1)
	}
	return ""
}
