package workflow

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// newRunID makes a UUID of version 7 (RFC 9562): 48 bits of milliseconds and 12
// bits of a fraction of one, so that ids sort by time to a quarter of a
// microsecond, and 62 random bits, so that no two are the same.
func newRunID(now time.Time) string {
	var id [16]byte
	millis, rest := now.UnixMilli(), now.Nanosecond()%int(time.Millisecond)
	head := millis<<16 | 0x7000 | int64(rest)<<12/int64(time.Millisecond)
	binary.BigEndian.PutUint64(id[:8], uint64(head)) //nolint:gosec // the same 64 bits
	// Read never fails, see crypto/rand.
	_, _ = rand.Read(id[8:])
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
