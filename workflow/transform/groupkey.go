package transform

import (
	"encoding/binary"
	"math"

	"github.com/troupe-dev/troupe/workflow"
)

// appendKey appends a form of v to dst that is equal for equal values alone,
// also when the forms of several values follow each other.
func appendKey(dst []byte, v workflow.Value) []byte {
	dst = append(dst, byte(v.Kind()))
	switch v.Kind() {
	case workflow.KindBool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case workflow.KindInt:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int()))
	case workflow.KindFloat:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	case workflow.KindString:
		dst = binary.AppendUvarint(dst, uint64(len(v.Text())))
		return append(dst, v.Text()...)
	case workflow.KindDate, workflow.KindTime:
		t := v.Time()
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.Unix()))
		return binary.BigEndian.AppendUint32(dst, uint32(t.Nanosecond()))
	}
	return dst
}
