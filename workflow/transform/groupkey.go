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
		return binary.AppendVarint(dst, v.Int())
	case workflow.KindFloat:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	case workflow.KindString:
		dst = binary.AppendVarint(dst, int64(len(v.Text())))
		return append(dst, v.Text()...)
	case workflow.KindDate, workflow.KindTime:
		t := v.Time()
		return binary.AppendVarint(binary.AppendVarint(dst, t.Unix()), int64(t.Nanosecond()))
	}
	return dst
}
