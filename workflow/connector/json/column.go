package json

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// ColumnConfig declares one column of a source. In a definition it is the name
// of a type, or a mapping with further keys.
type ColumnConfig struct {
	Type     workflow.Kind `yaml:"type,required" doc:"bool, int, float, string, date or time."`
	Path     string        `yaml:"path" doc:"Names that lead to the value, joined by dots; without it, the column's own name, dots and all."`
	Required bool          `yaml:"required" doc:"Set rows aside in which the value is missing or null."`
}

// UnmarshalNode reads the short form and the long one.
func (c *ColumnConfig) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		type long ColumnConfig
		return d.Decode(n, (*long)(c))
	}
	return d.Decode(n, &c.Type)
}

// MarshalTree writes the short form where it says all.
func (c ColumnConfig) MarshalTree() yamldoc.Tree {
	if c == (ColumnConfig{Type: c.Type}) {
		return yamldoc.TreeOf(c.Type)
	}
	type long ColumnConfig
	return yamldoc.TreeOf(long(c))
}

// YAMLType names the type in the documentation of node types.
func (ColumnConfig) YAMLType() string { return "type, or mapping of type, path, required" }

// column finds the value of one column in an object.
type column struct {
	name     string
	kind     workflow.Kind
	path     []string
	required bool
}

// Columns read the values of declared columns from objects. They are immutable
// and safe for concurrent use.
type Columns struct{ columns []column }

// NewColumns checks declarations that stand under the key columns, and gives
// their columns and schema. If they are wrong, it reports that and returns
// false.
func NewColumns(c *workflow.Check, config workflow.Mapping[ColumnConfig]) (Columns, workflow.Schema, bool) {
	columns, schema, ok := columnsOf(c, config)
	return Columns{columns}, schema, ok
}

// Fill fills a row, of the length of the schema, from the text of an object. If
// that is not possible, the reason says why, and column where.
func (c Columns) Fill(text []byte, row workflow.Row) (column, reason string) {
	o, reason := parseObject(text)
	if reason != "" {
		return "", reason
	}
	return fill(c.columns, o, row)
}

// columnsOf turns the configuration into columns and their schema.
func columnsOf(c *workflow.Check, config workflow.Mapping[ColumnConfig]) (columns []column, schema workflow.Schema, ok bool) {
	var declared []workflow.Column
	for _, item := range config {
		path := []string{item.Key}
		if item.Value.Path != "" {
			path = strings.Split(item.Value.Path, ".")
		}
		columns = append(columns, column{name: item.Key, kind: item.Value.Type, path: path, required: item.Value.Required})
		declared = append(declared, workflow.Column{Name: item.Key, Kind: item.Value.Type})
	}
	schema, ok = c.Schema("columns", declared...)
	return columns, schema, ok
}

// object is one that has been taken apart one level deep.
type object map[string]json.RawMessage

// parseObject takes an object apart. The reason says why it is none.
func parseObject(text []byte) (o object, reason string) {
	if !utf8.Valid(text) {
		return nil, "the text is not UTF-8"
	}
	if err := json.Unmarshal(text, &o); err != nil {
		if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // Unmarshal gives it bare
			return nil, fmt.Sprintf("it is not JSON: %s at byte %d", syntax, syntax.Offset)
		}
		return nil, "expected an object such as {\"name\": \"value\"}, found " + kindOfText(text)
	}
	if o == nil {
		return nil, "expected an object, found null"
	}
	return o, ""
}

// kindOfText names what a JSON text is.
func kindOfText(text []byte) string {
	switch text = bytes.TrimSpace(text); {
	case len(text) == 0:
		return "nothing"
	case text[0] == '{':
		return "an object"
	case text[0] == '[':
		return "a list"
	case text[0] == '"':
		return "a text"
	case text[0] == 't', text[0] == 'f':
		return "true or false"
	case text[0] == 'n':
		return "null"
	}
	return "a number"
}

// find follows the column's path.
func (c *column) find(o object) json.RawMessage {
	for i, name := range c.path {
		raw := o[name]
		if i == len(c.path)-1 || raw == nil {
			return raw
		}
		o = nil
		if json.Unmarshal(raw, &o) != nil {
			return nil
		}
	}
	return nil
}

var jsonNull = []byte("null")

// value reads the column's value of an object, or says why it is none.
func (c *column) value(o object) (v workflow.Value, reason string) {
	raw := bytes.TrimSpace(c.find(o))
	if len(raw) == 0 || bytes.Equal(raw, jsonNull) {
		if c.required {
			return v, "the value is missing and the column is required"
		}
		return v, ""
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return v, err.Error()
		}
		v, err := workflow.ParseValue(c.kind, text)
		if err != nil {
			return v, err.Error()
		}
		return v, ""
	}
	if c.kind == workflow.KindString {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return v, err.Error()
		}
		return workflow.String(compact.String()), ""
	}
	if raw[0] == '{' || raw[0] == '[' || c.kind == workflow.KindDate || c.kind == workflow.KindTime {
		return v, fmt.Sprintf("expected a %s, found %s", c.kind, kindOfText(raw))
	}
	v, err := workflow.ParseValue(c.kind, string(raw))
	if err != nil {
		return v, err.Error()
	}
	return v, ""
}

// fill fills a row from an object.
func fill(columns []column, o object, row workflow.Row) (name, reason string) {
	for i := range columns {
		v, reason := columns[i].value(o)
		if reason != "" {
			return columns[i].name, reason
		}
		row[i] = v
	}
	return "", ""
}

// Lookup is the text at a path of names joined by dots in a document. What is
// missing or null is empty; what is neither a text nor a number is an error.
func Lookup(document []byte, path string) (string, error) {
	var root object
	if err := json.Unmarshal(document, &root); err != nil {
		return "", fmt.Errorf("expected an object with %s, found %s", path, kindOfText(document))
	}
	c := column{name: path, kind: workflow.KindString, path: strings.Split(path, ".")}
	raw := c.find(root)
	if kind := kindOfText(raw); kind != "a text" && kind != "a number" && kind != "null" && kind != "nothing" {
		return "", fmt.Errorf("expected a text at %s, found %s", path, kind)
	}
	v, reason := c.value(root)
	if reason != "" {
		return "", fmt.Errorf("%s: %s", path, reason)
	}
	return v.String(), nil
}
