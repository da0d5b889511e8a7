package yamldoc

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Field describes one key that a struct reads, for documentation.
type Field struct {
	// Name is the key.
	Name string `json:"name"`
	// Type names what is expected: "text", "boolean", "integer", "number",
	// "duration", "list of text", "mapping of number", "mapping".
	Type string `json:"type"`
	// Required tells that the key may not be left out.
	Required bool `json:"required,omitempty"`
	// Ordered tells that the order of the keys of the mapping counts.
	Ordered bool `json:"ordered,omitempty"`
	// Default is the value that holds where the key is left out; empty if it
	// is the zero value.
	Default string `json:"default,omitempty"`
	// Doc is the field's doc tag.
	Doc string `json:"doc,omitempty"`
	// Fields are the keys of a nested struct, or of the structs in a list or
	// mapping.
	Fields []Field `json:"fields,omitempty"`
}

// TypeNamer is implemented by types that name themselves in [Field.Type].
type TypeNamer interface {
	YAMLType() string
}

// Describe lists the keys that the struct v, or the struct that v points to,
// reads, in the order of its fields. The defaults are the values that it
// holds. A type that contains itself is described once.
func Describe(v any) []Field { return describeStruct(reflect.Indirect(reflect.ValueOf(v)), nil) }

func describeStruct(v reflect.Value, outer []reflect.Type) []Field {
	if slices.Contains(outer, v.Type()) {
		return nil
	}
	outer = append(slices.Clone(outer), v.Type())
	var out []Field
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.index)
		described := Field{Name: f.name, Type: typeName(value.Type()), Required: f.required, Doc: f.doc}
		if _, ok := reflect.TypeAssert[keepsOrder](value); ok {
			described.Ordered = true
		}
		if inner, ok := structWithin(value); ok {
			described.Fields = describeStruct(inner, outer)
		} else if !value.IsZero() {
			described.Default = fmt.Sprint(value.Interface())
		}
		out = append(out, described)
	}
	return out
}

// structWithin is v, or an element of the list or mapping v, if that is a
// struct that is read key by key.
func structWithin(v reflect.Value) (reflect.Value, bool) {
	for {
		if _, ok := namedType(v.Type()); ok {
			return reflect.Value{}, false
		}
		switch v.Kind() {
		case reflect.Struct:
			return v, true
		case reflect.Pointer, reflect.Slice, reflect.Map:
			v = reflect.Zero(v.Type().Elem())
		default:
			return reflect.Value{}, false
		}
	}
}

// namedType names the types that are not read by their kind.
func namedType(t reflect.Type) (string, bool) {
	switch t {
	case nodeType:
		return "any", true
	case durationType:
		return "duration", true
	}
	zero := reflect.New(t).Interface()
	if named, ok := zero.(TypeNamer); ok {
		return named.YAMLType(), true
	}
	if _, ok := zero.(Unmarshaler); ok {
		return "any", true
	}
	if _, ok := zero.(encoding.TextUnmarshaler); ok {
		return "text", true
	}
	return "", false
}

func typeName(t reflect.Type) string {
	if name, ok := namedType(t); ok {
		return name
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "mapping of " + typeName(t.Elem())
	case reflect.Struct:
		return "mapping"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "integer"
}

// field is one key of a struct type.
type field struct {
	name     string
	index    []int
	required bool
	doc      string
}

// fieldsOf lists the keys of a struct type. It panics if the type reads a key
// twice or has an option in its tag that does not exist: both are mistakes of
// the program.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
			continue
		}
		if !tagged || tag == "-" || !f.IsExported() {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if name == "" || option != "" && option != "required" {
			panic(fmt.Sprintf("yamldoc: the field %s.%s has the tag %q", t, f.Name, tag))
		}
		out = append(out, field{name: name, index: []int{i}, required: option == "required", doc: f.Tag.Get("doc")})
	}
	for i, f := range out {
		if slices.ContainsFunc(out[:i], func(other field) bool { return other.name == f.name }) {
			panic(fmt.Sprintf("yamldoc: the type %s reads the key %q twice", t, f.name))
		}
	}
	return out
}

// Ordered is a mapping whose keys keep the order of the document.
type Ordered[T any] []Item[T]

// Item is a key of an [Ordered] mapping with its value.
type Item[T any] struct {
	Key   string
	Value T
}

// keepsOrder is implemented by [Ordered].
type keepsOrder interface{ keepsOrder() }

func (o Ordered[T]) keepsOrder() {}

// UnmarshalNode reads a mapping.
func (o *Ordered[T]) UnmarshalNode(d *Decoder, n Node) Errors {
	if n.IsNull() {
		*o = nil
		return nil
	}
	if !n.IsMapping() {
		return wrongType(n, "a mapping")
	}
	var errs Errors
	items := make(Ordered[T], n.Len())
	for i, e := range n.Entries() {
		items[i].Key = e.Key.Text()
		errs = append(errs, d.Decode(e.Value, &items[i].Value)...)
	}
	*o = items
	return errs
}

// YAMLType names the type in [Field.Type].
func (o Ordered[T]) YAMLType() string { return "mapping of " + typeName(reflect.TypeFor[T]()) }
