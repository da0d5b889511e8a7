package yamldoc

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// Node is a value in a document: a text, number, boolean, null, list or
// mapping. It is a small value to be passed by copy. The zero Node stands for
// a value that is not there.
type Node struct {
	doc  *Document
	y    *yaml.Node
	path string
}

// IsZero reports whether n stands for no value.
func (n Node) IsZero() bool { return n.y == nil }

// Pos is where the value begins. A value that an alias repeats is where the
// alias stands.
func (n Node) Pos() Pos {
	if n.y == nil {
		return Pos{}
	}
	return Pos{File: n.doc.file, Line: max(n.y.Line, 1), Column: max(n.y.Column, 1)}
}

// Path leads from the root to the value: "nodes[2].with.columns". It is empty
// for the root.
func (n Node) Path() string { return n.path }

// Errorf makes an error that points at the value.
func (n Node) Errorf(format string, args ...any) *Error {
	return &Error{Pos: n.Pos(), Path: n.path, Message: fmt.Sprintf(format, args...)}
}

// resolved is the value itself where n is an alias.
func (n Node) resolved() *yaml.Node {
	if n.y != nil && n.y.Kind == yaml.AliasNode {
		return n.y.Alias
	}
	return n.y
}

// IsMapping reports whether the value is a mapping.
func (n Node) IsMapping() bool { return n.y != nil && n.resolved().Kind == yaml.MappingNode }

// IsList reports whether the value is a list.
func (n Node) IsList() bool { return n.y != nil && n.resolved().Kind == yaml.SequenceNode }

// IsNull reports whether the value is null, written or left out after a key.
func (n Node) IsNull() bool { return n.y != nil && n.resolved().ShortTag() == "!!null" }

// IsString reports whether the value is a text, rather than a number, boolean
// or null.
func (n Node) IsString() bool {
	if n.y == nil || n.resolved().Kind != yaml.ScalarNode {
		return false
	}
	tag := n.resolved().ShortTag()
	return tag == "!!str" || tag == "!!timestamp"
}

// Text is the text of a scalar as YAML understands it, without quotes and
// escapes, and "" for lists and mappings.
func (n Node) Text() string {
	if n.y == nil {
		return ""
	}
	return n.resolved().Value
}

// Len is the number of elements of a list, or of keys of a mapping.
func (n Node) Len() int {
	switch {
	case n.IsList():
		return len(n.resolved().Content)
	case n.IsMapping():
		return len(n.resolved().Content) / 2
	}
	return 0
}

// Elements are the values of a list in order.
func (n Node) Elements() []Node {
	if !n.IsList() {
		return nil
	}
	out := make([]Node, 0, n.Len())
	for i, child := range n.resolved().Content {
		out = append(out, Node{doc: n.doc, y: child, path: indexPath(n.path, i)})
	}
	return out
}

// Entry is a key of a mapping and its value.
type Entry struct {
	Key   Node
	Value Node
}

// Entries are the keys and values of a mapping in the order of the text.
func (n Node) Entries() []Entry {
	if !n.IsMapping() {
		return nil
	}
	content := n.resolved().Content
	out := make([]Entry, 0, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		path := keyPath(n.path, content[i].Value)
		out = append(out, Entry{Key: Node{n.doc, content[i], path}, Value: Node{n.doc, content[i+1], path}})
	}
	return out
}

// Get finds the value of a key. The second result is false if n is no mapping
// or has no such key.
func (n Node) Get(key string) (Node, bool) {
	for _, e := range n.Entries() {
		if e.Key.Text() == key {
			return e.Value, true
		}
	}
	return Node{}, false
}

// Key finds a key itself, to point at it rather than at its value.
func (n Node) Key(key string) (Node, bool) {
	for _, e := range n.Entries() {
		if e.Key.Text() == key {
			return e.Key, true
		}
	}
	return Node{}, false
}

// At follows a path such as "columns[2].name" from n and returns the value it
// leads to, or the innermost one on the way that exists: that is where an
// error about something missing points.
func (n Node) At(path string) Node {
	for path != "" {
		step, rest := cutStep(path)
		next, ok := n.step(step)
		if !ok {
			break
		}
		n, path = next, rest
	}
	return n
}

func (n Node) step(step string) (Node, bool) {
	if index, ok := strings.CutPrefix(step, "["); ok {
		i, err := strconv.Atoi(index)
		elements := n.Elements()
		if err != nil || i < 0 || i >= len(elements) {
			return Node{}, false
		}
		return elements[i], true
	}
	return n.Get(step)
}

// cutStep splits a path after its first step: a key, or "[" with an index. A
// key with a dot or bracket in it is quoted.
func cutStep(path string) (step, rest string) {
	switch {
	case path[0] == '[':
		step, rest, _ = strings.Cut(path, "]")
	case path[0] == '"':
		quoted, err := strconv.QuotedPrefix(path)
		if err != nil {
			return path, ""
		}
		step, _ = strconv.Unquote(quoted)
		rest = path[len(quoted):]
	default:
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			return path, ""
		}
		step, rest = path[:end], path[end:]
	}
	return step, strings.TrimPrefix(rest, ".")
}

// KeyPath is the path of a key below path, quoted where it needs to be.
func KeyPath(path, key string) string { return keyPath(path, key) }

// IndexPath is the path of the element i, from 0, of the list at path.
func IndexPath(path string, i int) string { return indexPath(path, i) }

func keyPath(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[\"' \t\n") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func indexPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Unknown makes the error for a name that is none of the known ones, with the
// closest of them as a suggestion, or else with the whole list if it is short.
func (n Node) Unknown(what, name string, known []string) *Error {
	err := n.Errorf("unknown %s %q", what, name)
	const listMax = 20
	if err.Hint = suggest.DidYouMean(name, known); err.Hint == "" && len(known) > 0 && len(known) <= listMax {
		err.Hint = "expected one of " + strings.Join(known, ", ")
	}
	return err
}

// describe names a value for a message: "a list", "the text \"abc\"".
func describe(y *yaml.Node) string {
	switch y.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	case yaml.AliasNode:
		return describe(y.Alias)
	}
	switch y.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the boolean " + y.Value
	case "!!int", "!!float":
		return "the number " + cut(y.Value)
	}
	return "the text " + strconv.Quote(cut(y.Value))
}

func cut(text string) string {
	const textMax = 60
	runes := []rune(text)
	if len(runes) > textMax {
		return string(runes[:textMax]) + "…"
	}
	return text
}
