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
