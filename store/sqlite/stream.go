package sqlite

import (
	"time"

	"github.com/troupe-dev/troupe/store"
)

// A stream is what memory knows of a stream: all of it since the last fold, and
// where the tables have the rest.
type stream struct {
	name   store.Stream
	sum    uint32 // of the name, for checksums
	no     int64  // in table streams; 0 if it is not there
	first  store.Position
	head   store.Position
	staged store.Position // the writer's own: head after what it has staged
	tail   []run          // events that are not folded, ending at head
	dirty  bool           // differs from the tables
}

func (s *stream) info() store.StreamInfo {
	return store.StreamInfo{Stream: s.name, First: s.first, Head: s.head}
}

// A run is some consecutive events, as they are in the journal and will be in a
// chunk.
type run struct {
	first, last store.Position
	data        []byte
}

// A blobRef is where a payload is: in the row if id is 0.
type blobRef struct {
	id   int64
	size int
}

// putPayload appends a payload, or where it is.
func putPayload(b []byte, data []byte, blob int64) []byte {
	b = putUint(b, uint64(len(data))<<1|uint64(min(blob, 1))) //nolint:gosec // a blob's id is not negative
	if blob != 0 {
		return putUint(b, uint64(blob)) //nolint:gosec // a blob's id is not negative
	}
	return append(b, data...)
}

// payload reads what putPayload wrote. The data is a part of r's bytes.
func (r *reader) payload() ([]byte, blobRef) {
	n := r.uint()
	size := n >> 1
	if n&1 == 1 {
		id := r.uint()
		if size > 1<<40 || id == 0 || id > 1<<62 {
			r.fail(errForm)
			return nil, blobRef{}
		}
		return nil, blobRef{int64(id), int(size)}
	}
	if size > uint64(len(r.b)) {
		r.fail(errShort)
		return nil, blobRef{}
	}
	data := r.b[:size:size]
	r.b = r.b[size:]
	return data, blobRef{size: int(size)}
}

// putEvent appends an event of a stream with its checksum.
func putEvent(b []byte, s *stream, e *store.Event, p store.Position, ms, blob int64) []byte {
	from := len(b)
	b = putUint(b, uint64(p)) //nolint:gosec // positions are not negative
	b = putInt(b, ms)
	b = putText(b, e.Type)
	b = putText(b, e.Meta)
	b = putPayload(b, e.Data, blob)
	return putSum(b, from, s.sum)
}

// event reads what putEvent wrote. Its slices are copies.
func (r *reader) event(name store.Stream, sum uint32) (store.Event, blobRef) {
	whole := r.b
	e := store.Event{Stream: name, Position: store.Position(r.uint()), Time: timeOf(r.int()), Type: r.text()} //nolint:gosec // the checksum decides
	meta := r.bytes()
	data, blob := r.payload()
	if r.err == nil && len(r.b) < sumBytes {
		r.fail(errShort)
	}
	if r.err != nil {
		return store.Event{}, blobRef{}
	}
	n := len(whole) - len(r.b) + sumBytes
	if _, err := checkSum(whole[:n], sum); err != nil {
		r.fail(err)
		return store.Event{}, blobRef{}
	}
	r.b = r.b[sumBytes:]
	e.Meta = append(e.Meta, meta...)
	if blob.id == 0 {
		e.Data = append(make([]byte, 0, len(data)), data...)
	}
	return e, blob
}

// publish adds a run to the end. Those who have read the slice keep it: what is
// within its length never changes.
func (s *stream) publish(r run) {
	s.tail = append(s.tail, r)
	s.head, s.staged = r.last, r.last
}

// trim forgets what is in memory up to a position.
func (s *stream) trim(through store.Position) {
	n := 0
	for n < len(s.tail) && s.tail[n].last <= through {
		n++
	}
	s.tail = s.tail[n:]
	s.first = max(s.first, through+1)
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func msOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
