package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"

	"github.com/troupe-dev/troupe/store"
)

// A group is the batches of one transaction. The writer stages each batch: it
// checks it against memory as it will be when the batches before it are visible,
// appends its records to the journal row and its ops to those to apply after the
// commit. A batch that fails is undone and the others do not notice.
type group struct {
	s   *Store
	now int64
	buf []byte // the journal row
	ops []op

	scratch []byte // a body in the making

	undo     []undo
	cursors  map[cursorKey]uint64 // staged; 0 if forgotten
	requests map[requestKey]request
	versions map[string]int64 // staged, of entries

	direct  bool // the transaction changed tables
	records int
}

type cursorKey struct {
	scope    string
	producer store.Producer
}

// An undo takes back one thing that was staged.
type undo struct {
	stream *stream // staged becomes head
	head   store.Position
	m      *message // is not staged any more
	queue  *queue   // has one put less
	key    string   // of an entry, which has again the version staged before
	before int64    // or unstaged
	f      func()
}

// unstaged is the version of an entry that the group had not set.
const unstaged int64 = -1

// A mark is a state of a group to go back to.
type mark struct {
	buf, ops, undo, records int
	direct                  bool
}

func (g *group) mark() mark {
	return mark{len(g.buf), len(g.ops), len(g.undo), g.records, g.direct}
}

// back undoes what was staged since a mark, in memory; the transaction is the
// caller's.
func (g *group) back(to mark) {
	for i := len(g.undo) - 1; i >= to.undo; i-- {
		switch u := g.undo[i]; {
		case u.stream != nil:
			u.stream.staged = u.head
		case u.m != nil:
			u.m.staged = false
		case u.queue != nil:
			u.queue.staged--
		case u.key != "":
			if g.versions[u.key] = u.before; u.before == unstaged {
				delete(g.versions, u.key)
			}
		default:
			u.f()
		}
	}
	clear(g.undo[to.undo:])
	clear(g.ops[to.ops:])
	g.buf, g.ops, g.undo, g.records, g.direct = g.buf[:to.buf], g.ops[:to.ops], g.undo[:to.undo], to.records, to.direct
}

// record notes that a record was appended to the journal row, with its op.
func (g *group) record(o op) {
	g.records++
	g.ops = append(g.ops, o)
}

// exec changes a table directly.
func (g *group) exec(sql string, args ...driver.Value) error {
	g.direct = true
	err := g.s.w.exec(sql, args...)
	return broken(err)
}

// one runs a query of at most one row and reports whether there was one. The
// values are copied.
func (g *group) one(sql string, args ...driver.Value) ([]driver.Value, error) {
	var found []driver.Value
	err := g.s.w.query(context.Background(), sql, args, func(row []driver.Value) error {
		found = append(found, row...)
		return nil
	})
	return found, broken(err)
}

// stage stages a batch. Its error is either a refusal, after which the group goes
// on, or a *sqlFailure, after which the transaction is no good.
func (g *group) stage(b *store.Batch) (store.Result, error) {
	to := g.mark()
	guarded := touchesTables(b)
	if guarded {
		if err := g.s.w.script("SAVEPOINT batch"); err != nil {
			return store.Result{}, broken(err)
		}
	}
	result, err := g.stageAll(b)
	if err != nil {
		g.back(to)
	}
	if guarded {
		end := "RELEASE batch"
		if err != nil {
			end = "ROLLBACK TO batch; RELEASE batch"
		}
		if e := g.s.w.script(end); e != nil {
			return store.Result{}, broken(e)
		}
	}
	return result, err
}

// touchesTables reports whether a batch may change tables before the fold, so
// that to refuse it half-way takes a savepoint.
func touchesTables(b *store.Batch) bool {
	if b.Fence.Raise || len(b.Snapshots)+len(b.Trims)+len(b.Buries)+
		len(b.LetterDeletes)+len(b.LetterEdits)+len(b.LetterAdds) > 0 {
		return true
	}
	for i := range b.Puts {
		if len(b.Puts[i].Data) > store.BlobThreshold {
			return true
		}
	}
	for i := range b.Appends {
		for k := range b.Appends[i].Events {
			if len(b.Appends[i].Events[k].Data) > store.BlobThreshold {
				return true
			}
		}
	}
	return false
}

func (g *group) stageAll(b *store.Batch) (r store.Result, err error) {
	// Most batches have two or three of these; to call the others costs nothing.
	if err = g.fence(b); err == nil {
		err = g.appends(b, &r)
	}
	if err == nil {
		err = g.snapshots(b)
	}
	if err == nil {
		err = g.trims(b)
	}
	if err == nil {
		err = g.cursorsOf(b)
	}
	if err == nil {
		err = g.sets(b, &r)
	}
	if err == nil {
		err = g.receipts(b)
	}
	if err == nil {
		err = g.letters(b, &r)
	}
	if err == nil {
		err = g.puts(b, &r)
	}
	if err != nil {
		return store.Result{}, err
	}
	return r, nil
}

// nextID gives out a number.
func (g *group) nextID() int64 {
	id := g.s.mem.nextID
	g.s.mem.nextID++
	return id
}

// blob stores a payload apart if it is large, and returns its number or 0.
func (g *group) blob(data []byte) (int64, error) {
	if len(data) <= store.BlobThreshold {
		return 0, nil
	}
	id := g.nextID()
	hash := sha256.Sum256(data)
	err := g.exec("INSERT INTO blobs (id, hash, data) VALUES (?, ?, ?)", id, hash[:], data)
	return id, err
}

func (g *group) appends(b *store.Batch, r *store.Result) error {
	for i := range b.Appends {
		a := &b.Appends[i]
		s, err := g.s.tables.stream(a.Stream)
		if err != nil {
			return err
		}
		if a.Expected != store.Any && a.Expected != s.staged {
			return store.WrongPosition(a.Stream, a.Expected, s.staged)
		}
		if len(a.Events) > 0 {
			if err := g.appendTo(s, a.Events); err != nil {
				return err
			}
		}
		if r.Heads == nil {
			r.Heads = make([]store.Position, 0, len(b.Appends))
		}
		r.Heads = append(r.Heads, s.staged)
	}
	return nil
}

func (g *group) appendTo(s *stream, events []store.Event) error {
	first := s.staged + 1
	g.buf = putAppend(g.buf, s.name, first, len(events))
	from := len(g.buf)
	for i := range events {
		e := &events[i]
		blob, err := g.blob(e.Data)
		if err != nil {
			return err
		}
		ms := g.now
		if !e.Time.IsZero() {
			ms = e.Time.UnixMilli()
		}
		g.buf = putEvent(g.buf, s, e, first+store.Position(i), ms, blob)
	}
	g.undo = append(g.undo, undo{stream: s, head: s.staged})
	s.staged += store.Position(len(events))
	g.record(op{kind: opAppend, stream: s, run: run{first, s.staged, g.buf[from:len(g.buf):len(g.buf)]}})
	return nil
}

func (g *group) snapshots(b *store.Batch) error {
	for i := range b.Snapshots {
		n := &b.Snapshots[i]
		s, err := g.s.tables.stream(n.Stream)
		if err != nil {
			return err
		}
		if n.Position > s.staged {
			return store.WrongPosition(n.Stream, n.Position, s.staged)
		}
		if err := g.dropSnapshot(n.Stream); err != nil {
			return err
		}
		blob, err := g.blob(n.Data)
		if err != nil {
			return err
		}
		ms, data := g.now, n.Data
		if !n.Time.IsZero() {
			ms = n.Time.UnixMilli()
		}
		if blob != 0 {
			data = nil
		}
		row := []driver.Value{string(n.Stream), int64(n.Position), ms, n.Type, blob, int64(len(n.Data)), data}
		err = g.exec("INSERT OR REPLACE INTO snapshots (stream, position, time, type, blob, size, data, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			append(row, rowSum(row...))...)
		if err != nil {
			return err
		}
	}
	return nil
}

// dropSnapshot deletes the snapshot of a stream with its blob.
func (g *group) dropSnapshot(s store.Stream) error {
	err := g.exec("DELETE FROM blobs WHERE id = (SELECT blob FROM snapshots WHERE stream = ? AND blob > 0)", string(s))
	if err != nil {
		return err
	}
	err = g.exec("DELETE FROM snapshots WHERE stream = ?", string(s))
	return err
}

func (g *group) trims(b *store.Batch) error {
	for _, t := range b.Trims {
		s, err := g.s.tables.stream(t.Stream)
		if err != nil {
			return err
		}
		if s.staged == store.NoStream {
			continue
		}
		undone := undo{stream: s, head: s.staged}
		if t.Through == store.Everything {
			if err := g.dropSnapshot(t.Stream); err != nil {
				return err
			}
			s.staged = 0
		} else if t.Through > s.staged {
			return store.WrongPosition(t.Stream, t.Through, s.staged)
		}
		g.undo = append(g.undo, undone)
		g.buf = putTrim(g.buf, t.Stream, t.Through)
		g.record(op{kind: opTrim, stream: s, run: run{last: t.Through}})
	}
	return nil
}

func (g *group) cursorsOf(b *store.Batch) error {
	for i := range b.Cursors {
		c := &b.Cursors[i]
		sc, err := g.s.tables.scope(c.Scope)
		if err != nil {
			return err
		}
		key := cursorKey{c.Scope, c.Producer}
		old, staged := g.cursors[key]
		stored := old
		if !staged {
			stored = sc.seqs[c.Producer]
		}
		next := c.Seq
		if c.Forget {
			next = 0
		} else if c.Seq <= stored {
			return store.DuplicateCursor(*c, stored)
		}
		g.undo = append(g.undo, undo{f: func() {
			if staged {
				g.cursors[key] = old
			} else {
				delete(g.cursors, key)
			}
		}})
		g.cursors[key] = next
		g.buf = putCursor(g.buf, c.Scope, c.Producer, next)
		g.record(op{kind: opCursor, text: c.Scope, producer: c.Producer, seq: next})
	}
	return nil
}

func (g *group) sets(b *store.Batch, r *store.Result) error {
	if len(b.Sets) > 0 {
		r.Versions = make([]int64, 0, len(b.Sets))
	}
	for i := range b.Sets {
		set := &b.Sets[i]
		before, staged := g.versions[set.Key]
		version := before
		if !staged {
			before = unstaged
			var err error
			if version, err = g.s.tables.version(set.Key); err != nil {
				return err
			}
		}
		if set.Expected != store.AnyVersion && set.Expected != version {
			return store.EntryConflict(set.Key, set.Expected, version)
		}
		value := set.Value
		if version++; set.Delete {
			version, value = store.Absent, nil
		}
		g.undo = append(g.undo, undo{key: set.Key, before: before})
		g.versions[set.Key] = version
		g.buf = putSet(g.buf, set.Key, version, value)
		end := len(g.buf)
		g.record(op{kind: opSet, text: set.Key, version: version, bytes: g.buf[end-len(value) : end : end]})
		r.Versions = append(r.Versions, version)
	}
	return nil
}
