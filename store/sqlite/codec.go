package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The bytes that the journal, the chunks of streams and the bodies of messages
// are made of: unsigned and zigzag varints, and strings behind their length.

// castagnoli is the polynomial of all checksums; processors compute it in
// hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumBytes = 4

var (
	errShort = errors.New("ends too early")
	errSum   = errors.New("checksum does not match")
	errForm  = errors.New("has an unknown form")
	errGone  = errors.New("is not there")
)

func putUint(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

func putInt(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func putText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// putSum appends the checksum of what is in b from a place on, continuing that
// of a context that is not stored: moved to another place, the same bytes do not
// pass.
func putSum(b []byte, from int, context uint32) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Update(context, castagnoli, b[from:]))
}

// sumOf is the checksum of a context for putSum.
func sumOf(name string) uint32 { return crc32.Checksum([]byte(name), castagnoli) }

// rowSum is the checksum of the values of a row: int64, string or []byte.
func rowSum(values ...driver.Value) int64 {
	var b [10]byte
	sum := uint32(0)
	add := func(p []byte) { sum = crc32.Update(sum, castagnoli, p) }
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			add(binary.AppendVarint(b[:0], v))
		case string:
			add(binary.AppendVarint(b[:0], int64(len(v))))
			add([]byte(v))
		case []byte:
			add(binary.AppendVarint(b[:0], int64(len(v))))
			add(v)
		}
	}
	return int64(sum)
}

// checkSum verifies what putSum made and returns the bytes before the sum.
func checkSum(b []byte, context uint32) ([]byte, error) {
	if len(b) < sumBytes {
		return nil, errShort
	}
	body, sum := b[:len(b)-sumBytes], b[len(b)-sumBytes:]
	if crc32.Update(context, castagnoli, body) != binary.LittleEndian.Uint32(sum) {
		return nil, errSum
	}
	return body, nil
}

// A reader takes values off the front of b. After the first error it returns
// zero values, and err tells.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[size:]
	return n
}

// bytes returns a part of b, not a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	part := r.b[:n:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) text() string { return string(r.bytes()) }

// done returns the error, or one if bytes are left over.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		return errForm
	}
	return r.err
}
