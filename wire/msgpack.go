package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// checkMsgpack reports whether data is exactly one well-formed MessagePack value
// of bounded depth. The library that decodes it would take a length for granted,
// descend without a limit and ignore what follows the value.
func checkMsgpack(data []byte) error {
	open := []uint64{1} // values that are still to come, for each level
	for len(open) > 0 {
		last := len(open) - 1
		if open[last] == 0 {
			open = open[:last]
			continue
		}
		open[last]--
		size, inside, err := msgpackHead(data)
		if err != nil {
			return err
		}
		if size > uint64(len(data)) {
			return errShort
		}
		data = data[size:]
		if inside > uint64(len(data)) {
			return errShort // each takes a byte at least
		}
		if inside > 0 {
			if len(open) > MaxDepth {
				return errTooDeep
			}
			open = append(open, inside)
		}
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes follow the value", len(data))
	}
	return nil
}

var errShort = errors.New("the data ends in the middle of a value")

// msgpackHead reads the head of the first value. Size is its length in bytes
// without the values inside it, of which it has as many as inside says.
func msgpackHead(data []byte) (size, inside uint64, err error) {
	if len(data) == 0 {
		return 0, 0, errShort
	}
	switch c := data[0]; {
	case c <= 0x7f, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // small integers, nil, booleans
		return 1, 0, nil
	case c <= 0x8f: // small map
		return 1, 2 * uint64(c&0x0f), nil
	case c <= 0x9f: // small array
		return 1, uint64(c & 0x0f), nil
	case c <= 0xbf: // short string
		return 1 + uint64(c&0x1f), 0, nil
	case c == 0xc1:
		return 0, 0, errors.New("0xc1 begins no value")
	case c >= 0xca && c <= 0xd3: // numbers
		return [...]uint64{5, 9, 2, 3, 5, 9, 2, 3, 5, 9}[c-0xca], 0, nil
	case c >= 0xd4 && c <= 0xd8: // extensions of fixed length
		return 2 + 1<<(c-0xd4), 0, nil
	default:
		return msgpackLong(c, data[1:])
	}
}

// msgpackLong is msgpackHead for values whose head has a length.
func msgpackLong(c byte, rest []byte) (size, inside uint64, err error) {
	width := map[byte]int{
		0xc4: 1, 0xc5: 2, 0xc6: 4, // bytes
		0xc7: 1, 0xc8: 2, 0xc9: 4, // extensions
		0xd9: 1, 0xda: 2, 0xdb: 4, // strings
		0xdc: 2, 0xdd: 4, // arrays
		0xde: 2, 0xdf: 4, // maps
	}[c]
	if len(rest) < width {
		return 0, 0, errShort
	}
	var buf [4]byte
	copy(buf[4-width:], rest[:width])
	n, head := uint64(binary.BigEndian.Uint32(buf[:])), uint64(1+width) //nolint:gosec // width is at most 4
	switch {
	case c >= 0xde:
		return head, 2 * n, nil
	case c >= 0xdc:
		return head, n, nil
	case c >= 0xc7 && c <= 0xc9:
		return head + 1 + n, 0, nil
	}
	return head + n, 0, nil
}
