package workflow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Kind is the type of a column and of the values in it.
type Kind uint8

// The kinds, in the order in which [Value.Compare] sorts values of different
// kinds. Int and Float compare with each other by number.
const (
	KindNull   Kind = iota // no value; as a column's kind: nothing but nulls
	KindBool               // true or false
	KindInt                // 64-bit signed integer
	KindFloat              // IEEE 754 double
	KindString             // UTF-8 text
	KindDate               // calendar day without a time of day or zone
	KindTime               // instant, nanoseconds, always UTC
)

var kindNames = [...]string{"null", "bool", "int", "float", "string", "date", "time"}

// String is the kind's name as it stands in definitions: null, bool, int,
// float, string, date, time.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// KindNames lists the kinds that a column may be declared with.
func KindNames() []string { return append([]string(nil), kindNames[1:]...) }

// ParseKind is the inverse of [Kind.String].
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	if meant := suggest.DidYouMean(name, kindNames[1:]); meant != "" {
		return KindNull, fmt.Errorf("unknown type %q; %s", name, meant)
	}
	return KindNull, fmt.Errorf("unknown type %q; expected one of %s", name, strings.Join(kindNames[1:], ", "))
}

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	parsed, err := ParseKind(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// UnmarshalNode reads the type of a column in a definition, which is not null.
func (k *Kind) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	parsed, err := ParseKind(n.Text())
	switch {
	case err != nil && n.IsString():
		return yamldoc.Errors{n.Errorf("%s", err)}
	case err != nil, parsed == KindNull:
		return yamldoc.Errors{n.Errorf("expected a type: one of %s", strings.Join(kindNames[1:], ", "))}
	}
	*k = parsed
	return nil
}

// YAMLType names the type in the documentation of node types.
func (k Kind) YAMLType() string { return "type" }

// Value is one cell: a null, or a value of one of the kinds. It is a small
// comparable value; == is the equality that grouping uses (nulls are equal to
// each other, so are NaNs, and −0 is stored as 0). The zero Value is null.
type Value struct {
	kind Kind
	nsec uint32 // KindTime: nanoseconds within the second
	num  int64  // bool, int, float bits, days or seconds since 1970
	str  string
}

// Null is the null value, equal to Value{}.
func Null() Value { return Value{} }

// Bool makes a value of [KindBool].
func Bool(v bool) Value {
	if v {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Int makes a value of [KindInt].
func Int(v int64) Value { return Value{kind: KindInt, num: v} }

// Float makes a value of [KindFloat]. Every NaN becomes the same NaN, and −0
// becomes 0.
func Float(v float64) Value {
	switch {
	case v == 0:
		v = 0
	case v != v:
		v = math.NaN()
	}
	return Value{kind: KindFloat, num: int64(math.Float64bits(v))} //nolint:gosec // the same 64 bits
}

// String makes a value of [KindString]. The text should be valid UTF-8.
func String(v string) Value { return Value{kind: KindString, str: v} }

const secondsPerDay = 24 * 60 * 60

// Date makes a value of [KindDate] from t's calendar day as seen in t's own
// location.
func Date(t time.Time) Value {
	y, m, d := t.Date()
	return Value{kind: KindDate, num: time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay}
}

// Time makes a value of [KindTime]. The location is dropped: the instant is
// kept in UTC.
func Time(t time.Time) Value {
	return Value{kind: KindTime, num: t.Unix(), nsec: uint32(t.Nanosecond())} //nolint:gosec // below 1e9
}

// Kind tells which of the accessors gives the value.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == KindNull }

// Bool gives the value of a [KindBool] and false for every other kind.
func (v Value) Bool() bool { return v.kind == KindBool && v.num == 1 }

// Int gives the value of a [KindInt] and 0 for every other kind.
func (v Value) Int() int64 {
	if v.kind != KindInt {
		return 0
	}
	return v.num
}

// Float gives the value of a [KindFloat], a [KindInt] converted, and 0 for
// every other kind.
func (v Value) Float() float64 {
	switch v.kind {
	case KindFloat:
		return math.Float64frombits(uint64(v.num)) //nolint:gosec // the same 64 bits
	case KindInt:
		return float64(v.num)
	}
	return 0
}

// Time gives the instant of a [KindTime], the UTC midnight of a [KindDate],
// and the zero time for every other kind.
func (v Value) Time() time.Time {
	switch v.kind {
	case KindTime:
		return time.Unix(v.num, int64(v.nsec)).UTC()
	case KindDate:
		return time.Unix(v.num*secondsPerDay, 0).UTC()
	}
	return time.Time{}
}

// Text gives the text of a [KindString] and "" for every other kind. Use
// [Value.String] for the text form of any value.
func (v Value) Text() string { return v.str }

// String is the canonical text form, which [ParseValue] reads back: true,
// -12, 0.1 (the shortest that reads back to the same float), the text itself,
// 2012-01-31, 2012-01-31T10:00:00.5Z, and "" for null.
func (v Value) String() string {
	if v.kind == KindString {
		return v.str
	}
	return string(v.AppendText(nil))
}

// AppendText appends the canonical text form to dst.
func (v Value) AppendText(dst []byte) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.num == 1)
	case KindInt:
		return strconv.AppendInt(dst, v.num, 10)
	case KindFloat:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64)
	case KindString:
		return append(dst, v.str...)
	case KindDate:
		return v.Time().AppendFormat(dst, time.DateOnly)
	case KindTime:
		return v.Time().AppendFormat(dst, time.RFC3339Nano)
	}
	return dst
}

// ParseValue reads the canonical text form of a value of the given kind. It
// reads no nulls: which text means null is the source's decision. The error
// says what was expected and does not repeat a long text.
func ParseValue(kind Kind, text string) (Value, error) {
	switch kind {
	case KindBool:
		if b, err := strconv.ParseBool(text); err == nil {
			return Bool(b), nil
		}
		return Value{}, parseError(text, "true or false")
	case KindInt:
		i, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return Int(i), nil
		}
		if errors.Is(err, strconv.ErrRange) {
			return Value{}, parseError(text, "an integer of 64 bits")
		}
		return Value{}, parseError(text, "an integer")
	case KindFloat:
		if strings.ContainsAny(text, "xXpP_") {
			return Value{}, parseError(text, "a number") // Go's own notations, not those of data
		}
		f, err := strconv.ParseFloat(text, 64)
		if err == nil {
			return Float(f), nil
		}
		if errors.Is(err, strconv.ErrRange) {
			return Value{}, parseError(text, "a number of 64 bits")
		}
		return Value{}, parseError(text, "a number")
	case KindString:
		return String(text), nil
	case KindDate:
		t, err := time.Parse(time.DateOnly, text)
		if err == nil {
			return Date(t), nil
		}
		return Value{}, parseError(text, "a date like 2012-01-31")
	case KindTime:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err == nil {
			return Time(t), nil
		}
		return Value{}, parseError(text, "a time like 2012-01-31T10:00:00Z")
	}
	return Value{}, fmt.Errorf("a %s value has no text form", kind)
}

func parseError(text, want string) error {
	const quoteMax = 60
	if len(text) > quoteMax {
		text = strings.ToValidUTF8(text[:quoteMax], "") + "…"
	}
	return fmt.Errorf("%q is not %s", text, want)
}

// Compare orders values: nulls first, then by kind in the order of the
// constants, then by value. Ints and floats are one order of numbers, NaN
// before all of them. Compare returns 0 for an int and a float of the same
// number although they are not ==.
func (v Value) Compare(w Value) int {
	if v.isNumber() && w.isNumber() {
		return compareNumbers(v, w)
	}
	if v.kind != w.kind {
		return cmp.Compare(v.kind, w.kind)
	}
	switch v.kind {
	case KindString:
		return strings.Compare(v.str, w.str)
	case KindBool:
		return cmp.Compare(v.num, w.num)
	}
	if c := cmp.Compare(v.num, w.num); c != 0 {
		return c
	}
	return cmp.Compare(v.nsec, w.nsec)
}

func (v Value) isNumber() bool { return v.kind == KindInt || v.kind == KindFloat }

// compareNumbers never rounds an int to a float, so that the order stays
// transitive beyond 2^53.
func compareNumbers(v, w Value) int {
	switch {
	case v.kind == w.kind && v.kind == KindInt:
		return cmp.Compare(v.num, w.num)
	case v.kind == w.kind:
		return cmp.Compare(v.Float(), w.Float())
	case v.kind == KindFloat:
		return -compareNumbers(w, v)
	}
	i, f := v.num, w.Float()
	switch {
	case f != f || f < -(1<<63):
		return 1
	case f >= 1<<63:
		return -1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(0, f-whole)
}

// MarshalJSON writes null, true, 12, 0.5 or a string. Floats that JSON has no
// number for are written as "NaN", "+Inf" and "-Inf".
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case KindNull:
		return []byte("null"), nil
	case KindBool, KindInt:
		return v.AppendText(nil), nil
	case KindFloat:
		if f := v.Float(); !math.IsInf(f, 0) && f == f {
			return json.Marshal(f)
		}
	}
	return json.Marshal(v.String())
}
