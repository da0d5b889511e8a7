package workflow

import (
	"encoding/binary"
	"math"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Events are kept as CBOR. Nearly all of them only tell that an attempt began or
// ended; those are encoded here, the others by the library, to the same bytes.

var eventType = wire.CBOR[*Event]("workflow.Event")

// eventBytes is the room that an event takes as a rule.
const eventBytes = 64

func appendEvent(b []byte, e *Event) ([]byte, error) {
	if !e.plain() {
		return eventType.Append(b, e)
	}
	at := len(b)
	b = append(b, cborMap)
	text := func(key byte, s string) {
		if s != "" {
			b[at]++
			b = append(b, cborText+1, key)
			b = append(appendHead(b, cborText, uint64(len(s))), s...)
		}
	}
	number := func(key byte, n uint64) {
		if n != 0 {
			b[at]++
			b = append(b, cborText+1, key)
			b = appendHead(b, cborUint, n)
		}
	}
	text('n', e.Node)
	number('a', uint64(e.Attempt))  //nolint:gosec // plain: not negative
	number('d', uint64(e.Duration)) //nolint:gosec // plain: not negative
	text('h', e.Handle)
	if len(e.Output) > 0 {
		b[at]++
		b = append(b, cborText+1, 'o')
		b = append(appendHead(b, cborBytes, uint64(len(e.Output))), e.Output...)
	}
	return b, nil
}

// plain reports whether an event has no fields but those that each attempt has.
func (e *Event) plain() bool {
	return len(e.Iteration) == 0 && e.Until.IsZero() && e.Signal == "" && e.Request == "" && len(e.Items) == 0 && e.Rows == 0 &&
		len(e.Nodes) == 0 && len(e.Rejects) == 0 && e.Error == "" && e.ErrorCode == 0 && e.Start == nil && e.Attempt >= 0 && e.Duration >= 0
}

// The major types of CBOR, see RFC 8949, 3.1.
const (
	cborUint  byte = 0 << 5
	cborBytes byte = 2 << 5
	cborText  byte = 3 << 5
	cborMap   byte = 5 << 5
)

// appendHead appends the head of a data item in its shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func decodeEvent(stored store.Event) (Event, error) {
	event, err := eventType.Decode(wire.Message{Type: eventType.Name(), Codec: eventType.CodecName(), Data: stored.Data})
	if err != nil {
		return Event{}, err
	}
	event.Type, event.At, event.Seq = EventType(stored.Type), stored.Time, int64(stored.Position)
	return *event, nil
}

// A commitRoom is the memory of one commit, which the next one uses again.
type commitRoom struct {
	batch  store.Batch
	first  [1]store.Append
	events []store.Event
	data   []byte
}

// commitRoomMax is how many events' room is kept.
const commitRoomMax = 64

// commitRoom returns room for a batch that appends so many events to a stream.
func (e *Engine) commitRoom(n int) *commitRoom {
	room, reused := e.commits.Get().(*commitRoom)
	if !reused {
		room = &commitRoom{}
	}
	if cap(room.events) < n {
		room.events, room.data = make([]store.Event, 0, n), make([]byte, 0, eventBytes*n)
	}
	return room
}

// free gives room back once the store is done with it.
func (e *Engine) free(room *commitRoom) {
	if cap(room.events) > commitRoomMax || cap(room.data) > commitRoomMax*eventBytes {
		return
	}
	clear(room.events)
	*room = commitRoom{events: room.events[:0], data: room.data[:0]}
	e.commits.Put(room)
}

// put encodes events into the room.
func (room *commitRoom) put(events []Event) error {
	for i := range events {
		start := len(room.data)
		var err error
		if room.data, err = appendEvent(room.data, &events[i]); err != nil {
			return err
		}
		end := len(room.data)
		room.events = append(room.events, store.Event{Time: events[i].At, Type: string(events[i].Type), Data: room.data[start:end:end]})
	}
	return nil
}
