package sqlite

import (
	"context"
	"database/sql/driver"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

// recordBytes is what a record counts for at least when the writer decides whether
// to fold: small ones take as long to fold as large ones.
const recordBytes = 256

// chunkBytes is how large a row of table chunks becomes; one run may exceed it.
const chunkBytes = 32 << 10

// What memory keeps of what it has looked up and could look up again.
const (
	streamsKept = 64 << 10
	scopesKept  = 8 << 10
	bodiesKept  = 32 << 20 // bytes; those of the oldest messages, which are received first
)

// A folder writes memory into the tables.
type folder struct {
	c   *conn
	mem *memory
	now int64
	err error
}

func (f *folder) exec(sql string, args ...driver.Value) {
	if f.err == nil {
		f.err = f.c.exec(sql, args...)
	}
}

// write writes everything and empties the journal. It changes nothing in memory,
// except for the numbers that it returns: those of streams that are new in the
// table.
func (f *folder) write() map[*stream]int64 {
	for _, t := range f.mem.trimmed {
		f.trim(t)
	}
	numbers := map[*stream]int64{}
	slices.SortFunc(f.mem.dirty, func(a, b *stream) int { return strings.Compare(string(a.name), string(b.name)) })
	for _, s := range f.mem.dirty {
		f.stream(s, numbers)
	}
	f.messages()
	for key, r := range f.mem.requests {
		f.exec("INSERT OR REPLACE INTO requests (queue, request_id, message, done, until, answer_type, answer, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			string(key.queue), key.id, int64(r.message), r.done, r.until, r.answerType, r.answer, r.rowSum(key))
	}
	f.exec("DELETE FROM requests WHERE until > 0 AND until <= ?", f.now)
	for _, name := range f.mem.scoped {
		f.scope(name, f.mem.scopes[name])
	}
	f.mem.entries.Scan(func(key string, e entry) bool {
		f.entry(key, e)
		return f.err == nil
	})
	for _, id := range f.mem.blobs {
		f.exec("DELETE FROM blobs WHERE id = ?", id)
	}
	f.exec(counterSQL, "id", f.mem.nextID, rowSum("id", f.mem.nextID))
	f.exec(counterSQL, "grant", f.mem.nextGrant, rowSum("grant", f.mem.nextGrant))
	f.exec("DELETE FROM journal")
	return numbers
}

const counterSQL = "INSERT OR REPLACE INTO counters (name, value, sum) VALUES (?, ?, ?)"

func (f *folder) trim(t trimmed) {
	if f.err == nil {
		f.err = f.trimBlobs(t)
	}
	f.exec("DELETE FROM chunks WHERE stream = ? AND last <= ?", t.no, int64(t.through))
	if t.through == store.Everything {
		f.exec("DELETE FROM streams WHERE no = ?", t.no)
	}
}

// trimBlobs deletes the blobs of events that go with their chunk.
func (f *folder) trimBlobs(t trimmed) error {
	var name store.Stream
	err := f.c.query(context.Background(), "SELECT name FROM streams WHERE no = ?", []driver.Value{t.no}, func(row []driver.Value) error {
		name = store.Stream(textOf(row[0]))
		return nil
	})
	if err != nil {
		return err
	}
	sum := sumOf(string(name))
	return f.c.query(context.Background(), "SELECT data FROM chunks WHERE stream = ? AND last <= ?", []driver.Value{t.no, int64(t.through)}, func(row []driver.Value) error {
		for _, id := range blobsOf(bytesOf(row[0]), name, sum, t.through) {
			f.exec("DELETE FROM blobs WHERE id = ?", id)
		}
		return f.err
	})
}

// stream writes the row of a stream and its tail.
func (f *folder) stream(s *stream, numbers map[*stream]int64) {
	no := s.no
	switch {
	case no != 0:
		f.exec("UPDATE streams SET first = ?, head = ?, sum = ? WHERE no = ?", int64(s.first), int64(s.head), streamSum(no, s.info()), no)
	case s.head == store.NoStream:
		return // it was removed, or never was
	default:
		no = f.mem.nextID
		f.mem.nextID++
		numbers[s] = no
		f.mem.streamNames.add(string(s.name))
		f.exec("INSERT INTO streams (no, name, first, head, sum) VALUES (?, ?, ?, ?, ?)", no, string(s.name), int64(s.first), int64(s.head), streamSum(no, s.info()))
	}
	for rest := s.tail; len(rest) > 0; {
		n, size := 1, len(rest[0].data)
		for n < len(rest) && size+len(rest[n].data) <= chunkBytes {
			size += len(rest[n].data)
			n++
		}
		data := rest[0].data
		if n > 1 {
			data = make([]byte, 0, size)
			for _, r := range rest[:n] {
				data = append(data, r.data...)
			}
		}
		f.exec("INSERT INTO chunks (stream, first, last, data) VALUES (?, ?, ?, ?)", no, int64(rest[0].first), int64(rest[n-1].last), data)
		rest = rest[n:]
	}
}

func (f *folder) messages() {
	for _, id := range f.mem.removed {
		f.exec("DELETE FROM messages WHERE id = ?", int64(id))
	}
	for _, m := range f.mem.changed {
		if m.state != gone {
			f.exec("UPDATE messages SET until = ?, attempts = ?, last_error = ?, sum = ? WHERE id = ?", m.delayedUntil(), int64(m.attempts), m.lastError, m.rowSum(), int64(m.id))
		}
	}
	for _, m := range f.mem.fresh {
		if m.state != gone {
			f.exec("INSERT INTO messages (id, queue, priority, key, time, until, attempts, dedup, last_error, sum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				int64(m.id), string(m.queue.name), int64(m.priority), m.key, m.time, m.delayedUntil(), int64(m.attempts), m.dedup, m.lastError, m.rowSum(), m.body)
		}
	}
}

// rowSum is the checksum of the row of a message, without its body.
func (m *message) rowSum() int64 {
	return rowSum(int64(m.id), string(m.queue.name), int64(m.priority), m.key, m.time, m.delayedUntil(), int64(m.attempts), m.dedup, m.lastError)
}

// delayedUntil is until, of a message that is not merely held: after a crash
// nobody holds anything.
func (m *message) delayedUntil() int64 {
	if m.state == delayed {
		return m.until
	}
	return 0
}

func (f *folder) scope(name string, sc *scope) {
	for p := range sc.dirty {
		if seq := sc.seqs[p]; seq != 0 {
			f.exec("INSERT OR REPLACE INTO cursors (scope, producer, seq, sum) VALUES (?, ?, ?, ?)",
				name, string(p), int64(seq), rowSum(name, string(p), int64(seq))) //nolint:gosec // checked when it came in
		} else {
			f.exec("DELETE FROM cursors WHERE scope = ? AND producer = ?", name, string(p))
		}
	}
}

func (f *folder) entry(key string, e entry) {
	if e.version == store.Absent {
		f.exec("DELETE FROM metadata WHERE key = ?", key)
		return
	}
	f.mem.entryKeys.add(key)
	f.exec("INSERT OR REPLACE INTO metadata (key, version, value, sum) VALUES (?, ?, ?, ?)", key, e.version, e.value, rowSum(key, e.version, e.value))
}

// folded makes memory what it is after a fold that is committed.
func (mem *memory) folded(numbers map[*stream]int64) {
	for _, s := range mem.dirty {
		if no := numbers[s]; no != 0 {
			s.no = no
		}
		s.tail, s.dirty = nil, false
		if s.head == store.NoStream {
			delete(mem.streams, s.name)
		}
	}
	for _, name := range mem.scoped {
		clear(mem.scopes[name].dirty)
	}
	if len(mem.streams) > streamsKept {
		clear(mem.streams)
	}
	if len(mem.scopes) > scopesKept {
		clear(mem.scopes)
	}
	for _, m := range mem.fresh {
		m.folded = true
		switch {
		case m.state == gone:
		case mem.kept+len(m.body) > bodiesKept:
			m.body = nil
		default:
			m.body = slices.Clone(m.body) // so that the rest of its journal row can go
			mem.kept += len(m.body)
		}
	}
	for _, m := range mem.changed {
		m.changed = false
	}
	for name, q := range mem.queues {
		if q.size() == 0 && q.staged == 0 {
			delete(mem.queues, name)
		}
	}
	clear(mem.requests)
	mem.entries.Clear()
	mem.dirty, mem.scoped = nil, nil
	mem.fresh, mem.changed, mem.removed, mem.trimmed, mem.blobs = nil, nil, nil, nil, nil
	mem.bytes, mem.records = 0, 0
}
