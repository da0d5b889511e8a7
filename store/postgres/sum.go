package postgres

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// castagnoli is the polynomial of all checksums; processors compute it in
// hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errSum = errors.New("checksum does not match")

// A summer adds up the checksum of a row: each value behind its length, so that
// nothing can move from one column to the next.
type summer struct {
	crc uint32
	buf [binary.MaxVarintLen64]byte
}

func (s *summer) int(n int64) {
	s.crc = crc32.Update(s.crc, castagnoli, binary.AppendVarint(s.buf[:0], n))
}

func (s *summer) bytes(b []byte) {
	s.int(int64(len(b)))
	s.crc = crc32.Update(s.crc, castagnoli, b)
}

func (s *summer) texts(all ...string) {
	for _, t := range all {
		s.bytes([]byte(t))
	}
}

func (s *summer) sum() int64 { return int64(s.crc) }

func eventSum(stream store.Stream, p store.Position, ms int64, e *store.Event) int64 {
	var s summer
	s.texts(string(stream), e.Type)
	s.int(int64(p))
	s.int(ms)
	s.bytes(e.Meta)
	s.bytes(e.Data)
	return s.sum()
}

func snapshotSum(n *store.Snapshot, ms int64) int64 {
	return eventSum(n.Stream, n.Position, ms, &store.Event{Type: n.Type, Data: n.Data})
}

func entrySum(key string, version int64, value []byte) int64 {
	var s summer
	s.texts(key)
	s.int(version)
	s.bytes(value)
	return s.sum()
}

// envelopeSum is that of a message and of the letter that it becomes, which has
// its number.
func envelopeSum(id int64, e *store.Envelope) int64 {
	var s summer
	s.int(id)
	s.texts(e.Type, e.RequestID, e.CallerID, e.TargetID, e.TraceID, e.SpanID)
	s.bytes(e.Meta)
	s.bytes(e.Data)
	return s.sum()
}

func (r *requestRow) sum(key requestKey) int64 {
	var s summer
	s.texts(string(key.queue), key.id, r.answerType)
	s.bytes(r.answer)
	return s.sum()
}

// checkSum returns [store.ErrDamaged] about a place unless the sums are equal.
func checkSum(stored, actual int64, place string) error {
	if stored == actual {
		return nil
	}
	return store.Failure(store.ErrDamaged, "store", place, errSum)
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// msOr returns a time in milliseconds, or now if it is zero.
func msOr(t time.Time, now int64) int64 {
	if t.IsZero() {
		return now
	}
	return t.UnixMilli()
}
