package yamldoc

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TreeMarshaler is implemented by types that write themselves: the inverse of
// [Unmarshaler].
type TreeMarshaler interface {
	MarshalTree() Tree
}

// TreeOf is the value that [Node.Decode] reads v from. Fields of structs that hold
// their zero value are left out, so that their defaults apply; one behind a pointer
// is written whatever it holds. It panics for a type that cannot be read, and for
// an [encoding.TextMarshaler] that fails: both are mistakes of the program.
func TreeOf(v any) Tree { return treeOf(reflect.ValueOf(v)) }

func treeOf(v reflect.Value) Tree {
	if !v.IsValid() {
		return Tree{Tag: TagNull}
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return Tree{Tag: TagNull}
	}
	if t, ok := namedTree(v); ok {
		return t
	}
	switch v.Kind() {
	case reflect.Pointer:
		return treeOf(v.Elem())
	case reflect.Bool:
		return Tree{Tag: TagBool, Text: strconv.FormatBool(v.Bool())}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Tree{Tag: TagInt, Text: strconv.FormatInt(v.Int(), 10)}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Tree{Tag: TagInt, Text: strconv.FormatUint(v.Uint(), 10)}
	case reflect.Float32, reflect.Float64:
		return Tree{Tag: TagFloat, Text: floatText(v.Float())}
	case reflect.String:
		return TextTree(v.String())
	case reflect.Slice:
		t := Tree{Tag: TagList}
		for i := range v.Len() {
			t.List = append(t.List, treeOf(v.Index(i)))
		}
		return t
	case reflect.Map:
		t := Tree{Tag: TagMap}
		for key, value := range v.Seq2() {
			t.Keys = append(t.Keys, TreeKey{key.String(), treeOf(value)})
		}
		slices.SortFunc(t.Keys, func(a, b TreeKey) int { return strings.Compare(a.Name, b.Name) })
		return t
	case reflect.Struct:
		t := Tree{Tag: TagMap}
		for _, f := range fieldsOf(v.Type()) {
			if value := v.FieldByIndex(f.index); !value.IsZero() {
				t.Keys = append(t.Keys, TreeKey{f.name, treeOf(value)})
			}
		}
		return t
	}
	panic(fmt.Sprintf("yamldoc: a %s cannot be written", v.Type()))
}

// namedTree writes the types that are not written by their kind.
func namedTree(v reflect.Value) (Tree, bool) {
	switch own := v.Interface().(type) {
	case TreeMarshaler:
		return own.MarshalTree(), true
	case Node:
		return own.Tree(), true
	case time.Duration:
		return TextTree(ShortDuration(own)), true
	case encoding.TextMarshaler:
		text, err := own.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("yamldoc: a %s cannot be written: %s", v.Type(), err))
		}
		return TextTree(string(text)), true
	}
	return Tree{}, false
}

// MarshalTree writes a mapping.
func (o Ordered[T]) MarshalTree() Tree {
	t := Tree{Tag: TagMap}
	for _, item := range o {
		t.Keys = append(t.Keys, TreeKey{item.Key, TreeOf(item.Value)})
	}
	return t
}
