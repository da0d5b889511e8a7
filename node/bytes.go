package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. Its text form is a whole number with an optional
// unit: B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (powers of
// 1000). No unit means bytes.
type Bytes int64

// byteUnits lists the units, the largest first, which is the order in which
// String tries them.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"TiB", 1 << 40},
	{"TB", 1e12},
	{"GiB", 1 << 30},
	{"GB", 1e9},
	{"MiB", 1 << 20},
	{"MB", 1e6},
	{"KiB", 1 << 10},
	{"kB", 1e3},
	{"B", 1},
}

// ParseBytes reads a size such as "512MiB". Sizes below zero, fractions and
// sizes beyond 8 EiB are errors.
func ParseBytes(text string) (Bytes, error) {
	digits := strings.TrimSpace(text)
	unit := Bytes(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("want a size such as 512MiB or 2GB, got %q", text)
	}
	return Bytes(n) * unit, nil
}

// String returns the size in the largest unit that divides it: "512MiB".
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for _, u := range byteUnits {
		if b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) // not reached: every size divides by 1
}

// MarshalText returns what String returns.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a size; see [ParseBytes].
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = n
	return nil
}
