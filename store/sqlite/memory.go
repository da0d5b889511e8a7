package sqlite

import (
	"sync"

	"github.com/tidwall/btree"

	"github.com/troupe-dev/troupe/store"
)

// A memory is everything that is committed and not in the tables yet, with all
// messages, and what else the writer has looked up. The writer changes it with
// mu held, for as short as a commit takes to be made visible; others read it
// with mu held for reading. Fields of its parts that are marked as the writer's
// own need no lock.
type memory struct {
	mu       sync.RWMutex
	streams  map[store.Stream]*stream
	queues   map[store.Queue]*queue
	messages map[store.MessageID]*message
	lost     map[store.MessageID]bool // damaged in the table; what the journal says of them is ignored
	scopes   map[string]*scope
	requests map[requestKey]request   // since the last fold
	entries  btree.Map[string, entry] // since the last fold, those that were deleted among them
	due      heap[deadline]           // when messages that are held or delayed become ready
	compact  int                      // length of due at which it is worth looking for stale ones

	// What the next fold has to write.
	dirty   []*stream
	scoped  []string          // scopes that are dirty
	fresh   []*message        // put since the last fold; some are gone
	changed []*message        // folded ones that changed
	removed []store.MessageID // folded ones that are gone
	trimmed []trimmed
	blobs   []int64 // to delete

	kept int // bytes of folded messages' bodies

	bytes   int // journal since the last fold
	records int

	nextID    int64
	nextGrant int64

	// What the tables surely lack; the writer's own.
	streamNames *extents
	entryKeys   *extents
}

// trimmed is a part of the tables that is to be deleted.
type trimmed struct {
	no      int64
	through store.Position // store.Everything: the stream's own row, too
}

// An entry is what was set since the last fold.
type entry struct {
	version int64 // 0 if it was deleted
	value   []byte
}

// A deadline is when a message becomes ready, unless its until has changed.
type deadline struct {
	at int64
	m  *message
}

// A scope is all cursors of a scope.
type scope struct {
	seqs  map[store.Producer]uint64
	dirty map[store.Producer]bool // differ from the table
}

type requestKey struct {
	queue store.Queue
	id    string
}

// A request is what is remembered of a request id.
type request struct {
	message    store.MessageID
	done       int64 // when; 0 while it is queued
	until      int64 // forgotten then; 0 while it is queued
	answerType string
	answer     []byte
}

// expired reports whether r is to be forgotten.
func (r request) expired(now int64) bool { return r.until != 0 && r.until <= now }

func newMemory() *memory {
	return &memory{
		streams:   map[store.Stream]*stream{},
		queues:    map[store.Queue]*queue{},
		messages:  map[store.MessageID]*message{},
		lost:      map[store.MessageID]bool{},
		scopes:    map[string]*scope{},
		requests:  map[requestKey]request{},
		due:       heap[deadline]{before: func(a, b deadline) bool { return a.at < b.at }},
		nextID:    1,
		nextGrant: 1,

		streamNames: newExtents("streams", "name"),
		entryKeys:   newExtents("metadata", "key"),
	}
}

// queue returns the queue of a name, which it makes if need be.
func (mem *memory) queue(name store.Queue) *queue {
	q := mem.queues[name]
	if q == nil {
		q = newQueue(name)
		mem.queues[name] = q
	}
	return q
}

// An op is a change that a group has made durable and that is to be made visible.
// It is also what a record of the journal means.
type op struct {
	kind   opKind
	stream *stream
	run    run // of opAppend; opTrim uses last

	m        *message
	until    int64
	attempts int32
	text     string // a reason, an answer's type, a scope, a key
	bytes    []byte // an answer, a value
	when     int64
	producer store.Producer
	seq      uint64 // 0 forgets
	version  int64  // 0 deletes
}

type opKind uint8

// The numbers are in files: none ever changes its meaning.
const (
	opAppend opKind = 1
	opTrim   opKind = 2
	opCursor opKind = 3
	opPut    opKind = 4
	opGrant  opKind = 5
	opDone   opKind = 6
	opNack   opKind = 7
	opSet    opKind = 8
)

// apply makes an op visible. It returns the queue that has a message ready by it,
// or nil.
func (mem *memory) apply(o *op) *queue {
	switch o.kind {
	case opAppend:
		mem.soil(o.stream)
		o.stream.publish(o.run)
	case opTrim:
		mem.trim(o.stream, o.run.last)
	case opCursor:
		sc := mem.scopes[o.text]
		if len(sc.dirty) == 0 {
			mem.scoped = append(mem.scoped, o.text)
		}
		sc.dirty[o.producer] = true
		if o.seq == 0 {
			delete(sc.seqs, o.producer)
		} else {
			sc.seqs[o.producer] = o.seq
		}
	case opPut:
		return mem.put(o.m)
	case opDone:
		mem.finish(o)
	case opNack:
		return mem.giveBack(o)
	case opSet:
		mem.entries.Set(o.text, entry{o.version, o.bytes})
	}
	return nil
}

// soil notes that a stream will differ from the tables.
func (mem *memory) soil(s *stream) {
	if !s.dirty {
		s.dirty = true
		mem.dirty = append(mem.dirty, s)
	}
}

func (mem *memory) trim(s *stream, through store.Position) {
	mem.soil(s)
	for _, r := range s.tail {
		if r.first > through {
			break
		}
		mem.blobs = append(mem.blobs, blobsOf(r.data, s.name, s.sum, through)...)
	}
	if s.no != 0 {
		mem.trimmed = append(mem.trimmed, trimmed{s.no, through})
	}
	if through == store.Everything {
		*s = stream{name: s.name, sum: s.sum, first: 1, dirty: true}
		return
	}
	s.trim(through)
}

// blobsOf returns the blobs of the events in a run up to a position.
func blobsOf(data []byte, name store.Stream, sum uint32, through store.Position) []int64 {
	var ids []int64
	r := reader{b: data}
	for len(r.b) > 0 {
		e, blob := r.event(name, sum)
		if r.err != nil || e.Position > through {
			break // what is damaged keeps its blobs, which wastes their space only
		}
		if blob.id != 0 {
			ids = append(ids, blob.id)
		}
	}
	return ids
}

func (mem *memory) put(m *message) *queue {
	q := m.queue
	mem.messages[m.id] = m
	q.add(m)
	if !m.folded {
		mem.fresh = append(mem.fresh, m)
	}
	if m.requestID != "" && !m.folded {
		mem.requests[requestKey{q.name, m.requestID}] = request{message: m.id}
	}
	if m.state == delayed {
		mem.await(m)
		return nil
	}
	return q
}

// await notes when a message becomes ready. What was noted and is not so any more
// stays in the heap until that has doubled.
func (mem *memory) await(m *message) {
	if mem.due.len() >= max(mem.compact, 1024) {
		mem.due.retain(deadline.valid)
		mem.compact = 2 * mem.due.len()
	}
	mem.due.push(deadline{m.until, m})
}

// valid reports whether a deadline still says when its message becomes ready.
func (d deadline) valid() bool {
	return d.m.until == d.at && (d.m.state == held || d.m.state == delayed)
}

// finish ends a message and remembers the answer.
func (mem *memory) finish(o *op) {
	m := o.m
	q := m.queue
	q.remove(m)
	delete(mem.messages, m.id)
	if m.folded {
		mem.kept -= len(m.body)
		mem.removed = append(mem.removed, m.id)
	}
	if m.blob != 0 {
		mem.blobs = append(mem.blobs, m.blob)
	}
	m.body = nil
	if m.requestID != "" {
		mem.requests[requestKey{q.name, m.requestID}] = request{
			message: m.id, done: o.when, until: o.when + m.dedup, answerType: o.text, answer: o.bytes,
		}
	}
}

// giveBack makes a message ready again, now or later.
func (mem *memory) giveBack(o *op) *queue {
	m := o.m
	m.staged, m.grant, m.owner = false, 0, ""
	m.until, m.attempts, m.lastError = o.until, o.attempts, o.text
	mem.touch(m)
	if o.until != 0 {
		m.queue.move(m, delayed)
		mem.await(m)
		return nil
	}
	m.queue.move(m, ready)
	return m.queue
}

// touch notes that the row of a message differs from it.
func (mem *memory) touch(m *message) {
	if m.folded && !m.changed {
		m.changed = true
		mem.changed = append(mem.changed, m)
	}
}

// hold hands out a message that take returned.
func (mem *memory) hold(m *message, owner string, grant, until int64) {
	m.owner, m.grant, m.until = owner, grant, until
	m.attempts++
	mem.touch(m)
	m.queue.move(m, held)
	mem.await(m)
}

// putBack undoes hold.
func (mem *memory) putBack(m *message) {
	if m.state != held {
		return
	}
	m.owner, m.grant, m.until = "", 0, 0
	m.attempts--
	m.queue.move(m, ready)
}

// wake makes messages ready whose time has come and calls notify with the queue
// of each.
func (mem *memory) wake(now int64, notify func(*queue)) {
	for mem.due.len() > 0 && mem.due.peek().at <= now {
		d := mem.due.pop()
		m := d.m
		if !d.valid() {
			continue
		}
		m.until, m.owner = 0, ""
		m.queue.move(m, ready)
		notify(m.queue)
	}
}

// nextDue returns when wake is to be called next, or 0.
func (mem *memory) nextDue() int64 {
	for mem.due.len() > 0 {
		if d := mem.due.peek(); d.valid() {
			return d.at
		}
		mem.due.pop()
	}
	return 0
}
