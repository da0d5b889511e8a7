package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

const (
	findingsMax = 1000
	checkRows   = 500 // in one round trip
)

// Check examines the store in a schema, which no process needs to have open, as
// [Store.Check] does. It changes nothing and leaves the schema at its version.
// Address and options are as for [Open], and so are the errors; a schema that is
// not there, or is empty, is [store.ErrNotAStore].
func Check(ctx context.Context, address string, o Options) ([]store.Finding, error) {
	version, err := versionAt(ctx, address, o.withDefaults())
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, address, o, min(version, schemaVersion()))
	if err != nil {
		return nil, err
	}
	findings, err := s.Check(ctx)
	return findings, errors.Join(err, s.Close())
}

// versionAt returns the version of a schema.
func versionAt(ctx context.Context, address string, o Options) (version int, err error) {
	const op = "postgres.Check"
	config, err := configure(address, o)
	if err != nil {
		return 0, err
	}
	s := &Store{target: targetOf(config.ConnConfig), closing: make(chan struct{})}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c, err := pgx.ConnectConfig(limited, config.ConnConfig)
	if err != nil {
		return 0, s.explain(ctx, op, fromConnect(err))
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only read
	err = pgx.BeginFunc(limited, c, func(tx pgx.Tx) error {
		version, err = versionOf(limited, tx, o.Schema)
		return err
	})
	if err == nil && version == 0 {
		return 0, store.Failure(store.ErrNotAStore, op, "schema "+o.Schema, errors.New("it is not there, or empty"))
	}
	return version, s.explain(ctx, op, err)
}

// Check implements [store.Checker]. It reads all rows that have a checksum, in
// pages, and looks for gaps in streams. What the server cannot read at all is a
// finding as well; its own tool pg_amcheck looks at the files.
func (s *Store) Check(ctx context.Context) ([]store.Finding, error) {
	c := checker{s: s}
	for _, step := range []func(context.Context) error{c.events, c.gaps, c.snapshots, c.entries, c.messages, c.letters} {
		if err := step(ctx); err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				return c.found, err
			}
			c.add("database", err.Error())
		}
	}
	return c.found, nil
}

type checker struct {
	s     *Store
	found []store.Finding
}

func (c *checker) add(place, problem string) {
	if len(c.found) < findingsMax {
		c.found = append(c.found, store.Finding{Place: place, Problem: problem})
	}
}

// sum adds a finding if the sums differ.
func (c *checker) sum(stored, actual int64, place string) {
	if stored != actual {
		c.add(place, errSum.Error())
	}
}

// pages runs a query with a growing start until a page is not full. Scan reads a
// row and moves the arguments on.
func (c *checker) pages(ctx context.Context, sql string, args []any, scan func(pgx.Rows) error) error {
	for {
		seen, err := list(ctx, c.s, "store.Check", func(rows pgx.Rows) (struct{}, error) {
			return struct{}{}, scan(rows)
		}, sql, append(args, checkRows)...)
		if err != nil || len(seen) < checkRows || len(c.found) >= findingsMax {
			return err
		}
	}
}

func eventPlace(name store.Stream, p store.Position) string {
	return fmt.Sprintf("stream %s, position %d", name, p)
}

func (c *checker) events(ctx context.Context) error {
	args := []any{"", int64(0)}
	return c.pages(ctx, `SELECT stream, position, time, type, meta, data, sum FROM event
		WHERE (stream, position) > ($1, $2) ORDER BY stream, position LIMIT $3`, args, func(rows pgx.Rows) error {
		var e store.Event
		var ms, sum int64
		if err := rows.Scan(&e.Stream, &e.Position, &ms, &e.Type, &e.Meta, &e.Data, &sum); err != nil {
			return err
		}
		args[0], args[1] = string(e.Stream), int64(e.Position)
		c.sum(sum, eventSum(e.Stream, e.Position, ms, &e), eventPlace(e.Stream, e.Position))
		return nil
	})
}

// gaps compares what streams should have with what they have.
func (c *checker) gaps(ctx context.Context) error {
	args := []any{""}
	return c.pages(ctx, `SELECT s.name, s.first, s.head, e.n, e.low, e.high FROM (
			SELECT * FROM stream WHERE name > $1 ORDER BY name LIMIT $2
		) AS s CROSS JOIN LATERAL (
			SELECT count(*) AS n, coalesce(min(position), 0) AS low, coalesce(max(position), 0) AS high FROM event WHERE stream = s.name
		) AS e ORDER BY s.name`, args, func(rows pgx.Rows) error {
		var name string
		var first, head, n, low, high int64
		if err := rows.Scan(&name, &first, &head, &n, &low, &high); err != nil {
			return err
		}
		args[0] = name
		if want := head - first + 1; n != want || n > 0 && (low != first || high != head) {
			c.add("stream "+name, fmt.Sprintf("has %d events from %d to %d, want %d from %d to %d", n, low, high, want, first, head))
		}
		return nil
	})
}

func (c *checker) snapshots(ctx context.Context) error {
	args := []any{""}
	return c.pages(ctx, "SELECT stream, position, time, type, data, sum FROM snapshot WHERE stream > $1 ORDER BY stream LIMIT $2", args, func(rows pgx.Rows) error {
		var n store.Snapshot
		var ms, sum int64
		if err := rows.Scan(&n.Stream, &n.Position, &ms, &n.Type, &n.Data, &sum); err != nil {
			return err
		}
		args[0] = string(n.Stream)
		c.sum(sum, snapshotSum(&n, ms), "snapshot of stream "+string(n.Stream))
		return nil
	})
}

func (c *checker) entries(ctx context.Context) error {
	args := []any{""}
	return c.pages(ctx, "SELECT key, version, value, sum FROM entry WHERE key > $1 ORDER BY key LIMIT $2", args, func(rows pgx.Rows) error {
		e, err := scanEntry(rows)
		return c.read(err, func() { args[0] = e.Key }, "entry "+e.Key)
	})
}

func (c *checker) messages(ctx context.Context) error {
	args, scan := []any{int64(0)}, newMessageScan()
	return c.pages(ctx, "SELECT "+messageColumns+" FROM message m WHERE id > $1 ORDER BY id LIMIT $2", args, func(rows pgx.Rows) error {
		m, err := scan.read(rows)
		return c.read(err, func() { args[0] = int64(m.ID) }, fmt.Sprintf("message %d", m.ID))
	})
}

func (c *checker) letters(ctx context.Context) error {
	args := []any{int64(0)}
	return c.pages(ctx, "SELECT "+letterColumns+" FROM dead_letter_queue WHERE id > $1 ORDER BY id LIMIT $2", args, func(rows pgx.Rows) error {
		l, err := scanLetter(rows)
		return c.read(err, func() { args[0] = int64(l.ID) }, fmt.Sprintf("letter %d", l.ID))
	})
}

// read turns a wrong checksum of a row that could be read into a finding.
func (c *checker) read(err error, next func(), place string) error {
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	next()
	if err != nil {
		c.add(place, errSum.Error())
	}
	return nil
}
