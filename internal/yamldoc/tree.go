package yamldoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Tree is the value of a document without how it is written: comments, styles and
// aliases are gone. It can be compared, put into a canonical form and written. The
// zero Tree is null.
type Tree struct {
	// Tag tells what it is: "!!str", "!!int", "!!float", "!!bool", "!!null" for a
	// scalar, "!!seq" or "!!map".
	Tag string
	// Text is that of a scalar.
	Text string
	// List are the elements of a list.
	List []Tree
	// Keys are those of a mapping, in order.
	Keys []TreeKey
}

// TreeKey is a key of a mapping and its value.
type TreeKey struct {
	Name  string
	Value Tree
}

// Tags of a [Tree].
const (
	TagText  = "!!str"
	TagInt   = "!!int"
	TagFloat = "!!float"
	TagBool  = "!!bool"
	TagNull  = "!!null"
	TagList  = "!!seq"
	TagMap   = "!!map"
)

// TextTree is a text.
func TextTree(text string) Tree { return Tree{Tag: TagText, Text: text} }

// Tree is the node's value.
func (n Node) Tree() Tree {
	switch {
	case n.IsZero() || n.IsNull():
		return Tree{Tag: TagNull}
	case n.IsList():
		t := Tree{Tag: TagList}
		for _, e := range n.Elements() {
			t.List = append(t.List, e.Tree())
		}
		return t
	case n.IsMapping():
		t := Tree{Tag: TagMap}
		for _, e := range n.Entries() {
			t.Keys = append(t.Keys, TreeKey{e.Key.Text(), e.Value.Tree()})
		}
		return t
	}
	t := Tree{Tag: n.resolved().ShortTag(), Text: n.Text()}
	switch t.Tag {
	case TagBool:
		t.Text = strings.ToLower(t.Text)
	case TagInt:
		if i, err := strconv.ParseInt(number(t.Text), 0, 64); err == nil {
			t.Text = strconv.FormatInt(i, 10)
		}
	case TagFloat:
		if f, err := parseFloat(TagFloat, t.Text, 64); err == nil {
			t.Text = floatText(f)
		}
	case TagText:
	default: // a time is a text here
		t.Tag = TagText
	}
	return t
}

func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// IsNull reports whether the value is null.
func (t Tree) IsNull() bool { return t.Tag == TagNull || t.Tag == "" }

// Get finds the value of a key, null if there is none.
func (t Tree) Get(key string) Tree {
	for _, k := range t.Keys {
		if k.Name == key {
			return k.Value
		}
	}
	return Tree{Tag: TagNull}
}

// Without is a mapping without some of its keys.
func (t Tree) Without(names ...string) Tree {
	out := Tree{Tag: t.Tag, Text: t.Text, List: t.List}
	for _, k := range t.Keys {
		if !slices.Contains(names, k.Name) {
			out.Keys = append(out.Keys, k)
		}
	}
	return out
}

// Shaped puts the value into the canonical form of a struct with these fields:
// its keys in their order, without those that are null; durations, numbers and
// booleans written in one way. Keys of other mappings keep their order unless it
// has no meaning.
func (t Tree) Shaped(fields []Field) Tree {
	if t.Tag != TagMap {
		return t
	}
	out := Tree{Tag: TagMap}
	for _, f := range fields {
		if v := t.Get(f.Name); !v.IsNull() {
			out.Keys = append(out.Keys, TreeKey{f.Name, v.shapedAs(f)})
		}
	}
	for _, k := range t.Keys {
		if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == k.Name }) {
			out.Keys = append(out.Keys, k)
		}
	}
	return out
}

func (t Tree) shapedAs(f Field) Tree {
	switch {
	case f.Type == "duration":
		if d, err := time.ParseDuration(t.Text); err == nil {
			return TextTree(ShortDuration(d))
		}
	case f.Type == "number" && t.Tag == TagFloat:
		if v, err := strconv.ParseFloat(t.Text, 64); err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return Tree{Tag: TagInt, Text: strconv.FormatInt(int64(v), 10)}
		}
	case f.Type == "expression" && t.Tag != TagMap && t.Tag != TagList:
		return TextTree(t.Text)
	case t.Tag == TagMap && strings.HasPrefix(f.Type, "mapping of "):
		out := Tree{Tag: TagMap}
		for _, k := range t.Keys {
			k.Value = k.Value.shapedAs(Field{Type: strings.TrimPrefix(f.Type, "mapping of "), Fields: f.Fields})
			out.Keys = append(out.Keys, k)
		}
		if !f.Ordered {
			slices.SortStableFunc(out.Keys, func(a, b TreeKey) int { return strings.Compare(a.Name, b.Name) })
		}
		return out
	case t.Tag == TagMap && len(f.Fields) > 0:
		return t.Shaped(f.Fields)
	case t.Tag == TagList && strings.HasPrefix(f.Type, "list of "):
		out := Tree{Tag: TagList}
		for _, e := range t.List {
			out.List = append(out.List, e.shapedAs(Field{Type: strings.TrimPrefix(f.Type, "list of "), Fields: f.Fields}))
		}
		return out
	}
	return t
}

// ShortDuration is the text of a duration without parts that are zero: "1h",
// "1m30s".
func ShortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Equal reports whether both are the same value. The order of the keys of
// mappings counts.
func (t Tree) Equal(o Tree) bool {
	return (t.Tag == o.Tag || t.IsNull() && o.IsNull()) && t.Text == o.Text && slices.EqualFunc(t.List, o.List, Tree.Equal) &&
		slices.EqualFunc(t.Keys, o.Keys, func(a, b TreeKey) bool { return a.Name == b.Name && a.Value.Equal(b.Value) })
}

// MarshalJSON writes the value as JSON. What JSON has no number for is a text.
func (t Tree) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := t.json(&b)
	return b.Bytes(), err
}

func (t Tree) json(b *bytes.Buffer) error {
	text := func(s string) error {
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		err := e.Encode(s)
		b.Truncate(b.Len() - 1) // the line break
		return err
	}
	switch {
	case t.IsNull():
		b.WriteString("null")
	case t.Tag == TagList:
		b.WriteByte('[')
		for i, e := range t.List {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := e.json(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case t.Tag == TagMap:
		b.WriteByte('{')
		for i, k := range t.Keys {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := text(k.Name); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := k.Value.json(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case t.Tag != TagText && json.Valid([]byte(t.Text)):
		b.WriteString(t.Text)
	default:
		return text(t.Text)
	}
	return nil
}

// YAML writes the value in its canonical way: blocks indented by two, lists of
// scalars and of short mappings in one line. Read again it is the same value.
func (t Tree) YAML() ([]byte, error) {
	var b bytes.Buffer
	e, err := yaml.NewDumper(&b, yaml.WithIndent(2), yaml.WithCompactSeqIndent(false), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("yamldoc: %w", err)
	}
	if err := e.Dump(t.node()); err != nil {
		return nil, fmt.Errorf("yamldoc: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("yamldoc: %w", err)
	}
	return b.Bytes(), nil
}

func (t Tree) node() *yaml.Node {
	switch t.Tag {
	case TagList:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: TagList}
		flat := true
		for _, e := range t.List {
			n.Content = append(n.Content, e.node())
			flat = flat && e.Tag != TagList && e.Tag != TagMap && !strings.Contains(e.Text, "\n")
		}
		if flat {
			n.Style = yaml.FlowStyle
		}
		return n
	case TagMap:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: TagMap}
		for _, k := range t.Keys {
			n.Content = append(n.Content, TextTree(k.Name).node(), k.Value.node())
		}
		if len(t.Keys) == 0 {
			n.Style = yaml.FlowStyle
		}
		return n
	case TagNull, "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: TagNull, Value: "null"}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: t.Tag, Value: t.Text}
	if t.Tag == TagText && strings.Contains(t.Text, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}
