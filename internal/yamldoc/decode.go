package yamldoc

import (
	"encoding"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// Unmarshaler is implemented by types that read themselves from a node. The
// errors it returns point into the document; nil means success.
type Unmarshaler interface {
	UnmarshalNode(d *Decoder, n Node) Errors
}

// Decoder holds the options of decoding. The zero value is ready for use.
type Decoder struct {
	// Expand, if not nil, is applied to every text that is decoded into a
	// field of the type string itself, not into fields of named types. Its
	// error becomes an error at the text.
	Expand func(text string) (string, error)
}

// Decode fills the value that into points to from n, and returns all mistakes
// or nil. Fields that the document leaves out keep what they held before, so
// that defaults are set before decoding. It panics if into is not a pointer to
// a type that can be read: bool, string, numbers, [time.Duration], structs,
// slices, maps with string keys, pointers to them, [Node],
// [encoding.TextUnmarshaler] and [Unmarshaler].
func (n Node) Decode(into any) Errors { return (&Decoder{}).Decode(n, into) }

// Decode is [Node.Decode] with the options of d.
func (d *Decoder) Decode(n Node, into any) Errors {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("yamldoc: Decode needs a pointer, not " + reflect.TypeOf(into).String())
	}
	return d.value(n, v.Elem()).sorted()
}

var (
	nodeType     = reflect.TypeFor[Node]()
	durationType = reflect.TypeFor[time.Duration]()
	stringType   = reflect.TypeFor[string]()
)

func (d *Decoder) value(n Node, v reflect.Value) Errors {
	flaws := n.doc.flaws[n.resolved()]
	return append(slices.Clip(flaws), d.sound(n, v)...)
}

// sound decodes a value whose own flaws are reported.
func (d *Decoder) sound(n Node, v reflect.Value) Errors {
	switch target := v.Addr().Interface().(type) {
	case *Node:
		*target = n
		return n.flawsBelow()
	case Unmarshaler:
		return target.UnmarshalNode(d, n)
	case *time.Duration:
		return d.duration(n, target)
	case encoding.TextUnmarshaler:
		return d.text(n, target)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.IsNull() {
			v.SetZero()
			return nil
		}
		// The value pointed to may be a default that is shared.
		target := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			target.Elem().Set(v.Elem())
		}
		v.Set(target)
		return d.value(n, target.Elem())
	case reflect.Struct:
		return d.structure(n, v)
	case reflect.Slice:
		return d.slice(n, v)
	case reflect.Map:
		return d.mapping(n, v)
	case reflect.String:
		return d.string(n, v)
	}
	return d.scalar(n, v)
}

// wrongType says what was expected, with a hint where quotes would help.
func wrongType(n Node, want string) Errors {
	err := n.Errorf("expected %s, found %s", want, describe(n.y))
	if y := n.resolved(); strings.HasPrefix(want, "a text") && len(y.Content) == 0 && y.Value != "" && !n.IsString() && !n.IsNull() {
		err.Hint = "put it in quotes: " + strconv.Quote(cut(y.Value))
	}
	return Errors{err}
}

func (d *Decoder) string(n Node, v reflect.Value) Errors {
	if !n.IsString() {
		return wrongType(n, "a text")
	}
	text := n.Text()
	if d.Expand != nil && v.Type() == stringType {
		expanded, err := d.Expand(text)
		if err != nil {
			return Errors{n.Errorf("%s", err)}
		}
		text = expanded
	}
	v.SetString(text)
	return nil
}

func (d *Decoder) text(n Node, target encoding.TextUnmarshaler) Errors {
	if n.IsMapping() || n.IsList() || n.IsNull() {
		return wrongType(n, "a text")
	}
	if err := target.UnmarshalText([]byte(n.Text())); err != nil {
		return Errors{n.Errorf("%s", err)}
	}
	return nil
}

func (d *Decoder) duration(n Node, target *time.Duration) Errors {
	parsed, err := time.ParseDuration(n.Text())
	if err != nil || n.IsMapping() || n.IsList() {
		return wrongType(n, "a duration such as 30s or 1m30s")
	}
	*target = parsed
	return nil
}

func (d *Decoder) scalar(n Node, v reflect.Value) Errors {
	tag, text := n.resolved().ShortTag(), n.Text()
	switch {
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if tag != "!!bool" || err != nil {
			return wrongType(n, "true or false")
		}
		v.SetBool(b)
	case v.CanInt():
		i, err := strconv.ParseInt(number(text), 0, v.Type().Bits())
		if tag != "!!int" || err != nil {
			return wrongType(n, intRange(v))
		}
		v.SetInt(i)
	case v.CanUint():
		u, err := strconv.ParseUint(number(text), 0, v.Type().Bits())
		if tag != "!!int" || err != nil {
			return wrongType(n, intRange(v))
		}
		v.SetUint(u)
	case v.CanFloat():
		f, err := parseFloat(tag, text, v.Type().Bits())
		if tag != "!!int" && tag != "!!float" || err != nil {
			return wrongType(n, "a number")
		}
		v.SetFloat(f)
	default:
		panic("yamldoc: cannot decode into " + v.Type().String())
	}
	return nil
}

// number strips what YAML's numbers have and Go's have not: an explicit plus.
func number(text string) string { return strings.TrimPrefix(text, "+") }

func parseFloat(tag, text string, bits int) (float64, error) {
	switch strings.ToLower(number(text)) {
	case ".inf":
		return math.Inf(1), nil
	case "-.inf":
		return math.Inf(-1), nil
	case ".nan":
		return math.NaN(), nil
	}
	if tag == "!!int" {
		if i, err := strconv.ParseInt(number(text), 0, 64); err == nil {
			return float64(i), nil
		}
	}
	return strconv.ParseFloat(number(text), bits)
}

func intRange(v reflect.Value) string {
	bits := v.Type().Bits()
	switch {
	case v.CanInt() && bits == 64:
		return "an integer"
	case v.CanInt():
		return "an integer from " + strconv.FormatInt(-1<<(bits-1), 10) + " to " + strconv.FormatInt(1<<(bits-1)-1, 10)
	case bits == 64:
		return "an integer that is not negative"
	}
	return "an integer from 0 to " + strconv.FormatUint(1<<bits-1, 10)
}

func (d *Decoder) slice(n Node, v reflect.Value) Errors {
	if n.IsNull() {
		v.SetZero()
		return nil
	}
	if !n.IsList() {
		return wrongType(n, "a list")
	}
	var errs Errors
	out := reflect.MakeSlice(v.Type(), n.Len(), n.Len())
	for i, element := range n.Elements() {
		errs = append(errs, d.value(element, out.Index(i))...)
	}
	v.Set(out)
	return errs
}

func (d *Decoder) mapping(n Node, v reflect.Value) Errors {
	if v.Type().Key().Kind() != reflect.String {
		panic("yamldoc: cannot decode into " + v.Type().String())
	}
	if n.IsNull() {
		v.SetZero()
		return nil
	}
	if !n.IsMapping() {
		return wrongType(n, "a mapping")
	}
	var errs Errors
	out := reflect.MakeMapWithSize(v.Type(), n.Len())
	for _, e := range n.Entries() {
		element := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, d.value(e.Value, element)...)
		out.SetMapIndex(reflect.ValueOf(e.Key.Text()).Convert(v.Type().Key()), element)
	}
	v.Set(out)
	return errs
}

func (d *Decoder) structure(n Node, v reflect.Value) Errors {
	if !n.IsMapping() && !n.IsNull() {
		return wrongType(n, "a mapping")
	}
	fields := fieldsOf(v.Type())
	known := make(map[string]int, len(fields))
	names := make([]string, len(fields))
	for i, f := range fields {
		known[f.name], names[i] = i, f.name
	}
	var errs Errors
	settled := make([]bool, len(fields)) // read, or probably misspelt
	for _, e := range n.Entries() {
		name := e.Key.Text()
		if i, ok := known[name]; ok {
			settled[i] = true
			errs = append(errs, d.value(e.Value, v.FieldByIndex(fields[i].index))...)
			continue
		}
		if meant, ok := suggest.Closest(name, names); ok {
			settled[known[meant]] = true
		}
		errs = append(errs, e.Key.Unknown("key", name, names))
	}
	for i, f := range fields {
		if f.required && !settled[i] {
			errs = append(errs, &Error{Pos: n.Pos(), Path: keyPath(n.path, f.name), Message: "the required key " + strconv.Quote(f.name) + " is missing", Hint: f.doc})
		}
	}
	return errs
}
