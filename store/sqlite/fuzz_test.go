package sqlite

import (
	"testing"

	"github.com/troupe-dev/troupe/store"
)

// noTables finds nothing in any table.
type noTables struct{ mem *memory }

func (t noTables) stream(name store.Stream) (*stream, error) {
	s := t.mem.streams[name]
	if s == nil {
		s = &stream{name: name, sum: sumOf(string(name)), first: 1}
		t.mem.streams[name] = s
	}
	return s, nil
}

func (t noTables) scope(name string) (*scope, error) {
	sc := t.mem.scopes[name]
	if sc == nil {
		sc = &scope{seqs: map[store.Producer]uint64{}, dirty: map[store.Producer]bool{}}
		t.mem.scopes[name] = sc
	}
	return sc, nil
}

// sampleRow is a journal row with a record of each kind.
func sampleRow() []byte {
	b := beginJournalRow(nil)
	s := &stream{name: "a", sum: sumOf("a")}
	b = putAppend(b, "a", 1, 2)
	b = putEvent(b, s, &store.Event{Type: "t", Meta: []byte("m"), Data: []byte("data")}, 1, 1000, 0)
	b = putEvent(b, s, &store.Event{Data: make([]byte, 5000)}, 2, 1000, 77)
	b = putTrim(b, "a", 1)
	b = putTrim(b, "z", store.Everything)
	b = putCursor(b, "s", "p", 7)
	b = putCursor(b, "s", "q", 0)
	q := newQueue("q")
	for id := range 3 {
		b = putMessage(b, &message{id: store.MessageID(id + 1), queue: q, key: "k", time: 5, dedup: 60, until: int64(id) * 9, priority: store.High})
		b = putText(b, putEnvelope(nil, q, &store.Envelope{Type: "t", RequestID: "r", Data: []byte("x")}, 0))
	}
	b = putGrant(b, 4, []*message{{id: 1}, {id: 2}})
	b = putDone(b, 1, 99, "reply", []byte("answer"))
	b = putNack(b, 2, 500, 3, "why")
	b = putSet(b, "k", 3, []byte("value"))
	b = putSet(b, "deleted", store.Absent, nil)
	return sealJournalRow(b, 10, 20)
}

// FuzzJournal replays rows whose checksum is right and whose content is anything:
// it must fail or succeed, and not panic, nor use more memory than the row is
// worth.
func FuzzJournal(f *testing.F) {
	row := sampleRow()
	f.Add(row[:len(row)-sumBytes])
	f.Add([]byte{journalForm})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = openJournalRow(data) // most often with a wrong checksum
		row, err := openJournalRow(putSum(append([]byte(nil), data...), 0, journalSum))
		if err != nil {
			return
		}
		mem := newMemory()
		if mem.replay(row, noTables{mem}) != nil {
			return
		}
		for name, q := range mem.queues {
			n := int64(0)
			for m := q.oldest; m != nil; m = m.next {
				n++
			}
			if n != q.size() {
				t.Errorf("queue %s lists %d messages and counts %d", name, n, q.size())
			}
		}
		for _, s := range mem.streams {
			if s.head != store.NoStream && s.first > s.head+1 && s.first != s.head+1 && len(s.tail) > 0 {
				t.Errorf("stream %s: first %d, head %d, with a tail", s.name, s.first, s.head)
			}
		}
	})
}

func TestJournalRow(t *testing.T) {
	t.Parallel()
	row, err := openJournalRow(sampleRow())
	if err != nil {
		t.Fatal(err)
	}
	mem := newMemory()
	if err := mem.replay(row, noTables{mem}); err != nil {
		t.Fatal(err)
	}
	s := mem.streams["a"]
	if s.first != 2 || s.head != 2 || mem.nextID != 10 || mem.nextGrant != 20 || mem.scopes["s"].seqs["p"] != 7 {
		t.Errorf("stream %d to %d, ids %d and %d, cursors %v", s.first, s.head, mem.nextID, mem.nextGrant, mem.scopes["s"].seqs)
	}
	if m := mem.messages[2]; mem.messages[1] != nil || m.attempts != 3 || m.state != delayed || m.until != 500 || m.lastError != "why" {
		t.Errorf("message = %+v", m)
	}
	if r := mem.requests[requestKey{"q", "r"}]; r.message != 1 || r.done != 99 || r.until != 159 || string(r.answer) != "answer" {
		t.Errorf("request = %+v", r)
	}
	if e, _ := mem.entries.Get("k"); e.version != 3 || string(e.value) != "value" {
		t.Errorf("entry = %+v", e)
	}
	if e, known := mem.entries.Get("deleted"); !known || e.version != store.Absent {
		t.Errorf("deleted entry = %+v, %v", e, known)
	}
	// A record that is cut, anywhere.
	for n := range row.records {
		mem := newMemory()
		_ = mem.replay(journalRow{records: row.records[:n]}, noTables{mem}) // must not panic
	}
}

func FuzzEvent(f *testing.F) {
	s := &stream{name: "a", sum: sumOf("a")}
	b := putEvent(nil, s, &store.Event{Type: "t", Meta: []byte("m"), Data: []byte("data")}, 1, 1000, 0)
	f.Add(b[:len(b)-sumBytes])
	b = putEvent(nil, s, &store.Event{Data: make([]byte, 5000)}, 1<<40, -1, 9)
	f.Add(b[:len(b)-sumBytes])
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reader{b: putSum(append([]byte(nil), data...), 0, s.sum)}
		e, blob := r.event("a", s.sum)
		if r.err != nil {
			return
		}
		if len(r.b) > len(data) || len(e.Data)+len(e.Meta)+len(e.Type) > len(data) {
			t.Errorf("%d bytes became %+v, %+v", len(data), e, blob)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	q := newQueue("q")
	b := putEnvelope(nil, q, &store.Envelope{
		Type: "t", Data: []byte("d"), Meta: []byte("m"), RequestID: "r", CallerID: "c", TargetID: "a", TraceID: "x", SpanID: "y",
	}, 0)
	f.Add(b[:len(b)-sumBytes])
	f.Fuzz(func(t *testing.T, data []byte) {
		e, blob, err := openEnvelope(putSum(append([]byte(nil), data...), 0, q.sum), q.sum)
		if err != nil || blob.id != 0 {
			return
		}
		// What is read is written again the same way, up to the form of its numbers.
		again := putEnvelope(nil, q, &e, 0)
		same, _, err := openEnvelope(again, q.sum)
		if err != nil || same.RequestID != e.RequestID || string(same.Data) != string(e.Data) || len(again) > len(data)+sumBytes {
			t.Errorf("%+v became %+v, %v", e, same, err)
		}
	})
}
