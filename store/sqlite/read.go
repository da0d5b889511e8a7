package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

// readChunks is how many rows of table chunks one page of a read has.
const readChunks = 32

// A view is what memory has of a stream at a moment.
type view struct {
	no          int64
	first, head store.Position
	tail        []run
}

// view returns what is known of a stream now: from memory, or else from the
// table. An unknown stream has head 0.
func (s *Store) view(ctx context.Context, op string, name store.Stream) (v view, err error) {
	s.mem.mu.RLock()
	st := s.mem.streams[name]
	if st != nil {
		v = view{st.no, st.first, st.head, st.tail}
	}
	s.mem.mu.RUnlock()
	if st != nil {
		return v, nil
	}
	err = s.read(ctx, op, func(c *conn) error {
		return c.query(ctx, streamSQL, []driver.Value{string(name)}, func(row []driver.Value) error {
			info, err := streamOf(row)
			v = view{no: intOf(row[0]), first: info.First, head: info.Head}
			return err
		})
	})
	return v, err
}

// Head implements [store.Journal].
func (s *Store) Head(ctx context.Context, name store.Stream) (store.Position, error) {
	const op = "store.Head"
	if err := s.checkOpen(op); err != nil {
		return 0, err
	}
	v, err := s.view(ctx, op, name)
	if err == nil && v.head == store.NoStream {
		err = store.Failure(store.ErrUnknownStream, op, "stream "+string(name), nil)
	}
	return v.head, err
}

// Read implements [store.Journal].
func (s *Store) Read(ctx context.Context, name store.Stream, from store.Position) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		if err := s.readAll(ctx, name, from, func(e store.Event) bool { return yield(e, nil) }); err != nil {
			yield(store.Event{}, err)
		}
	}
}

// readAll reads page after page. What memory has no longer, because it was folded
// meanwhile, the next look at the tables finds.
func (s *Store) readAll(ctx context.Context, name store.Stream, from store.Position, yield func(store.Event) bool) error {
	const op = "store.Read"
	at := "stream " + string(name)
	if from < 0 {
		return store.Failure(store.ErrInvalid, op, at, fmt.Errorf("position %d, want 0 or more", from))
	}
	next := from
	for began := false; ; began = true {
		if err := errors.Join(ctx.Err(), s.checkOpen(op)); err != nil {
			return err
		}
		v, err := s.view(ctx, op, name)
		switch {
		case err != nil:
			return err
		case v.head == store.NoStream && !began:
			return store.Failure(store.ErrUnknownStream, op, at, nil)
		case next == 0:
			next = v.first
		case next < v.first:
			return store.Failure(store.ErrTrimmed, op, at, fmt.Errorf("position %d, the first is %d", next, v.first))
		}
		if next > v.head {
			return nil
		}
		p := page{s: s, ctx: ctx, name: name, sum: sumOf(string(name)), next: next, head: v.head, yield: yield}
		if err := p.read(v); err != nil {
			return explain(op, s.path, err)
		}
		if p.stopped || p.next > v.head {
			return nil
		}
		if p.next == next {
			return s.missing(ctx, name, next)
		}
		next = p.next
	}
}

// missing tells why an event that should be there was not found: the stream was
// trimmed or removed meanwhile, or the file is damaged.
func (s *Store) missing(ctx context.Context, name store.Stream, p store.Position) error {
	const op = "store.Read"
	at := "stream " + string(name)
	v, err := s.view(ctx, op, name)
	switch {
	case err != nil:
		return err
	case v.head < p:
		return store.Failure(store.ErrUnknownStream, op, at, errors.New("it was removed while it was read"))
	case p < v.first:
		return store.Failure(store.ErrTrimmed, op, at, fmt.Errorf("position %d, the first is %d", p, v.first))
	}
	return damaged(op, fmt.Sprintf("%s, position %d", at, p), errGone)
}

// A page is one go at the tables and at memory.
type page struct {
	s       *Store
	ctx     context.Context
	name    store.Stream
	sum     uint32
	next    store.Position // to be yielded
	head    store.Position
	yield   func(store.Event) bool
	stopped bool
}

func (p *page) read(v view) error {
	if v.no != 0 && (len(v.tail) == 0 || p.next < v.tail[0].first) {
		var runs []run
		err := p.s.read(p.ctx, "store.Read", func(c *conn) (err error) {
			runs, err = p.chunks(c, v.no)
			return err
		})
		if err != nil {
			return err
		}
		return p.runs(runs)
	}
	return p.runs(v.tail)
}

// chunks reads rows of table chunks from the one on that has the next event. The
// connection is given back before any event is yielded.
func (p *page) chunks(c *conn, no int64) ([]run, error) {
	const sql = `SELECT first, last, data FROM chunks WHERE stream = ?1 AND first >=
		coalesce((SELECT max(first) FROM chunks WHERE stream = ?1 AND first <= ?2), 0) ORDER BY first LIMIT ?3`
	var runs []run
	err := c.query(p.ctx, sql, []driver.Value{no, int64(p.next), int64(readChunks)}, func(row []driver.Value) error {
		runs = append(runs, run{store.Position(intOf(row[0])), store.Position(intOf(row[1])), bytesOf(row[2])})
		return nil
	})
	return runs, err
}

// runs yields the events of runs that follow on.
func (p *page) runs(runs []run) error {
	for _, r := range runs {
		if r.last < p.next {
			continue
		}
		if r.first > p.next {
			return nil
		}
		rd := reader{b: r.data}
		for len(rd.b) > 0 {
			e, blob := rd.event(p.name, p.sum)
			if rd.err != nil {
				return damaged("store.Read", fmt.Sprintf("stream %s, position %d", p.name, p.next), rd.err)
			}
			if e.Position < p.next {
				continue
			}
			if e.Position != p.next {
				return damaged("store.Read", fmt.Sprintf("stream %s, position %d", p.name, p.next), errForm)
			}
			if e.Position > p.head {
				return nil
			}
			if blob.id != 0 {
				data, err := p.blob(e, blob)
				if err != nil {
					return err
				}
				e.Data = data
			}
			p.next++
			if !p.yield(e) {
				p.stopped = true
				return nil
			}
		}
	}
	return nil
}

func (p *page) blob(e store.Event, blob blobRef) (data []byte, err error) {
	err = p.s.read(p.ctx, "store.Read", func(c *conn) error {
		data, err = readBlob(p.ctx, c, fmt.Sprintf("stream %s, position %d", p.name, e.Position), blob)
		return err
	})
	if errors.Is(err, errGone) {
		err = p.s.missing(p.ctx, p.name, e.Position)
	}
	return data, err
}

// Snapshot implements [store.Journal].
func (s *Store) Snapshot(ctx context.Context, name store.Stream) (store.Snapshot, error) {
	const op = "store.Snapshot"
	at := "snapshot of stream " + string(name)
	n := store.Snapshot{Stream: name}
	err := s.read(ctx, op, func(c *conn) error {
		var blob blobRef
		const sql = "SELECT stream, position, time, type, blob, size, data, sum FROM snapshots WHERE stream = ?"
		// The payload may be in another table: both are read in one transaction.
		if err := c.script("BEGIN"); err != nil {
			return err
		}
		defer func() { _ = c.script("COMMIT") }() // it only read
		err := c.query(ctx, sql, []driver.Value{string(name)}, func(row []driver.Value) error {
			n.Position, n.Time, n.Type = store.Position(intOf(row[1])), timeOf(intOf(row[2])), textOf(row[3])
			blob, n.Data = blobRef{intOf(row[4]), int(intOf(row[5]))}, bytesOf(row[6])
			if rowSum(row[:7]...) != intOf(row[7]) {
				return damaged(op, at, errSum)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n.Position == 0 {
			return store.Failure(store.ErrNoSnapshot, op, "stream "+string(name), nil)
		}
		if blob.id != 0 {
			if n.Data, err = readBlob(ctx, c, at, blob); err != nil {
				if errors.Is(err, errGone) {
					return damaged(op, at, err)
				}
				return err
			}
		}
		return nil
	})
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
	// Memory first: what is folded in between is then found twice, not missed.
	fresh := map[store.Stream]store.StreamInfo{}
	s.mem.mu.RLock()
	for name, st := range s.mem.streams {
		if st.dirty && name > f.After && strings.HasPrefix(string(name), string(f.Prefix)) {
			fresh[name] = store.StreamInfo{Stream: name, First: st.first, Head: st.head}
		}
	}
	s.mem.mu.RUnlock()
	found := map[store.Stream]store.StreamInfo{}
	err = s.read(ctx, op, func(c *conn) error {
		low, high := span(string(f.Prefix))
		const sql = "SELECT no, name, first, head, sum FROM streams WHERE name > ?1 AND name >= ?2 AND name < ?3 ORDER BY name LIMIT ?4"
		return c.query(ctx, sql, []driver.Value{string(f.After), low, high, int64(limit + len(fresh))}, func(row []driver.Value) error {
			info, err := streamOf(row)
			found[info.Stream] = info
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for name, info := range fresh {
		if info.Head == store.NoStream {
			delete(found, name)
		} else {
			found[name] = info
		}
	}
	var out []store.StreamInfo
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if len(out) == limit {
			break
		}
		out = append(out, found[name])
	}
	return out, nil
}

// span returns the bounds of the names that have a prefix.
func span(prefix string) (low, high string) {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return prefix, "\xff" // above all names, which are UTF-8
	}
	b[len(b)-1]++
	return prefix, string(b)
}

// Cursors implements [store.Journal].
func (s *Store) Cursors(ctx context.Context, name string) (map[store.Producer]uint64, error) {
	const op = "store.Cursors"
	s.mem.mu.RLock()
	sc := s.mem.scopes[name]
	var seqs map[store.Producer]uint64
	if sc != nil {
		seqs = maps.Clone(sc.seqs)
	}
	s.mem.mu.RUnlock()
	if sc == nil {
		err := s.read(ctx, op, func(c *conn) (err error) {
			seqs, err = readCursors(ctx, c, name)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(seqs) == 0 {
		return nil, s.checkOpen(op)
	}
	return seqs, s.checkOpen(op)
}
