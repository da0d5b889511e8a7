package sqlite

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// A row of the journal is what one group changed in memory:
//
//	form    byte, 1
//	id      8 bytes, the next number to give to a message, letter or blob
//	grant   8 bytes, the next number to give to a receive; both little endian
//	records until the checksum
//	sum     4 bytes, CRC-32C
//
// and a record is the kind of an op and its fields.

const (
	journalForm = 1
	journalHead = 1 + 8 + 8
)

// journalSum is the context of the checksums of journal rows.
var journalSum = sumOf("journal")

// beginJournalRow appends the head of a row; the numbers come at the end, because
// staging gives numbers out.
func beginJournalRow(b []byte) []byte {
	return append(append(b, journalForm), make([]byte, journalHead-1)...)
}

// sealJournalRow fills in the numbers and appends the checksum.
func sealJournalRow(b []byte, nextID, nextGrant int64) []byte {
	binary.LittleEndian.PutUint64(b[1:], uint64(nextID))    //nolint:gosec // not negative
	binary.LittleEndian.PutUint64(b[9:], uint64(nextGrant)) //nolint:gosec // not negative
	return putSum(b, 0, journalSum)
}

func putAppend(b []byte, s store.Stream, first store.Position, n int) []byte {
	b = append(b, byte(opAppend))
	b = putText(b, s)
	b = putUint(b, uint64(first)) //nolint:gosec // positions are not negative
	return putUint(b, uint64(n))  //nolint:gosec // a length; n events follow
}

func putTrim(b []byte, s store.Stream, through store.Position) []byte {
	b = append(b, byte(opTrim))
	b = putText(b, s)
	return putUint(b, uint64(through)) //nolint:gosec // positions are not negative
}

func putCursor(b []byte, scope string, p store.Producer, seq uint64) []byte {
	b = append(b, byte(opCursor))
	b = putText(b, scope)
	b = putText(b, p)
	return putUint(b, seq)
}

// putSet appends an entry; version 0 means that it was deleted.
func putSet(b []byte, key string, version int64, value []byte) []byte {
	b = append(b, byte(opSet))
	b = putText(b, key)
	b = putUint(b, uint64(version)) //nolint:gosec // versions are not negative
	return putText(b, value)
}

// putMessage appends a message; its body follows as a text.
func putMessage(b []byte, m *message) []byte {
	b = append(b, byte(opPut), byte(m.priority))
	b = putUint(b, uint64(m.id)) //nolint:gosec // ids are not negative
	b = putText(b, m.queue.name)
	b = putText(b, m.key)
	b = putInt(b, m.time)
	b = putInt(b, m.until)
	return putInt(b, m.dedup)
}

func putGrant(b []byte, grant int64, all []*message) []byte {
	b = append(b, byte(opGrant))
	b = putInt(b, grant)
	b = putUint(b, uint64(len(all)))
	for _, m := range all {
		b = putUint(b, uint64(m.id)) //nolint:gosec // ids are not negative
	}
	return b
}

func putDone(b []byte, id store.MessageID, when int64, answerType string, answer []byte) []byte {
	b = append(b, byte(opDone))
	b = putUint(b, uint64(id)) //nolint:gosec // ids are not negative
	b = putInt(b, when)
	b = putText(b, answerType)
	return putText(b, answer)
}

func putNack(b []byte, id store.MessageID, until int64, attempts int32, reason string) []byte {
	b = append(b, byte(opNack))
	b = putUint(b, uint64(id)) //nolint:gosec // ids are not negative
	b = putInt(b, until)
	b = putInt(b, int64(attempts))
	return putText(b, reason)
}

// A journalRow is a decoded row, with its records in the raw: they mean
// something only together with the memory they are applied to.
type journalRow struct {
	nextID, nextGrant int64
	records           []byte
}

func openJournalRow(b []byte) (journalRow, error) {
	b, err := checkSum(b, journalSum)
	if err != nil {
		return journalRow{}, err
	}
	if len(b) < journalHead || b[0] != journalForm {
		return journalRow{}, errForm
	}
	row := journalRow{
		nextID:    int64(binary.LittleEndian.Uint64(b[1:])), //nolint:gosec // below
		nextGrant: int64(binary.LittleEndian.Uint64(b[9:])), //nolint:gosec // below
		records:   b[journalHead:],
	}
	if row.nextID < 1 || row.nextGrant < 1 {
		return journalRow{}, errForm
	}
	return row, nil
}

// A lookup finds in the tables what a record is about.
type lookup interface {
	stream(store.Stream) (*stream, error)
	scope(string) (*scope, error)
}

// replay applies the records of a row to a memory, as the writer did when it
// wrote them. An error leaves the memory unfit for use.
func (mem *memory) replay(row journalRow, tables lookup) error {
	r := reader{b: row.records}
	for len(r.b) > 0 && r.err == nil {
		kind := opKind(r.b[0])
		r.b = r.b[1:]
		if err := mem.replayRecord(kind, &r, tables); err != nil {
			return err
		}
		mem.records++
	}
	mem.nextID, mem.nextGrant = max(mem.nextID, row.nextID), max(mem.nextGrant, row.nextGrant)
	mem.bytes += len(row.records)
	return r.err
}

func (mem *memory) replayRecord(kind opKind, r *reader, tables lookup) error {
	switch kind {
	case opAppend:
		return mem.replayAppend(r, tables)
	case opTrim:
		name, through := store.Stream(r.text()), store.Position(r.uint()) //nolint:gosec // below
		if r.err != nil || through < 1 {
			return errForm
		}
		s, err := tables.stream(name)
		if err != nil {
			return err
		}
		mem.apply(&op{kind: opTrim, stream: s, run: run{last: through}})
	case opCursor:
		o := op{kind: opCursor, text: r.text(), producer: store.Producer(r.text()), seq: r.uint()}
		if r.err != nil {
			return r.err
		}
		if _, err := tables.scope(o.text); err != nil {
			return err
		}
		mem.apply(&o)
	case opPut:
		return mem.replayPut(r)
	case opGrant:
		r.int()
		for n := r.uint(); n > 0 && r.err == nil; n-- {
			if m := mem.messages[store.MessageID(r.uint())]; m != nil { //nolint:gosec // it is looked up
				m.attempts++
				mem.touch(m)
			}
		}
	case opDone, opNack:
		return mem.replayEnd(kind, r)
	case opSet:
		o := op{kind: opSet, text: r.text(), version: int64(r.uint()), bytes: r.bytes()} //nolint:gosec // below
		if r.err == nil && o.version < 0 {
			return errForm
		}
		if r.err == nil {
			mem.apply(&o)
		}
	default:
		return errForm
	}
	return r.err
}

func (mem *memory) replayAppend(r *reader, tables lookup) error {
	name, first, n := store.Stream(r.text()), store.Position(r.uint()), r.uint() //nolint:gosec // below
	if r.err != nil || n == 0 || first < 1 {
		return errForm
	}
	s, err := tables.stream(name)
	if err != nil {
		return err
	}
	if first != s.head+1 {
		return fmt.Errorf("stream %s goes on at position %d behind %d", name, first, s.head)
	}
	start := r.b
	for i := range n {
		e, _ := r.event(name, s.sum)
		if r.err != nil {
			return r.err
		}
		if e.Position != first+store.Position(i) {
			return fmt.Errorf("stream %s has position %d in place of %d", name, e.Position, first+store.Position(i))
		}
	}
	data := start[:len(start)-len(r.b)]
	last := first + store.Position(n) - 1 //nolint:gosec // below the length of the row
	mem.apply(&op{kind: opAppend, stream: s, run: run{first, last, slices.Clip(data)}})
	return nil
}

func (mem *memory) replayPut(r *reader) error {
	if len(r.b) == 0 {
		return errShort
	}
	m := &message{priority: store.Priority(r.b[0])}
	r.b = r.b[1:]
	m.id = store.MessageID(r.uint()) //nolint:gosec // below
	m.queue = mem.queue(store.Queue(r.text()))
	m.key, m.time, m.until, m.dedup = r.text(), r.int(), r.int(), r.int()
	body := r.bytes()
	if r.err != nil || m.id < 1 || m.priority > store.High || mem.messages[m.id] != nil {
		return errForm
	}
	if err := m.restore(body); err != nil {
		return err
	}
	m.body = body
	mem.apply(&op{kind: opPut, m: m})
	return nil
}

// restore sets what a message takes from its body and from its times.
func (m *message) restore(body []byte) error {
	e, blob, err := openEnvelope(body, m.queue.sum)
	if err != nil {
		return err
	}
	m.blob, m.size = blob.id, blob.size
	if m.dedup > 0 {
		m.requestID = e.RequestID
	}
	if m.until > 0 {
		m.state = delayed
	}
	return nil
}

func (mem *memory) replayEnd(kind opKind, r *reader) error {
	o := op{kind: kind}
	id := store.MessageID(r.uint()) //nolint:gosec // it is looked up
	if kind == opDone {
		o.when, o.text = r.int(), r.text()
		o.bytes = append(o.bytes, r.bytes()...)
	} else {
		o.until, o.attempts, o.text = r.int(), int32(r.int()), r.text() //nolint:gosec // behind a checksum
	}
	if r.err != nil {
		return r.err
	}
	if o.m = mem.messages[id]; o.m == nil && mem.lost[id] {
		return nil
	} else if o.m == nil {
		return fmt.Errorf("message %d is not there", id)
	}
	mem.apply(&o)
	return nil
}
