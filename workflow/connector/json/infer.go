package json

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// inferRows is how many rows are looked at for columns that are not declared.
const inferRows = 100

// inference collects the members of objects in the order in which they come,
// with the narrowest type that all their values have.
type inference struct {
	order []string
	kinds map[string]workflow.Kind
}

// add looks at one object.
func (f *inference) add(text []byte) {
	if f.kinds == nil {
		f.kinds = map[string]workflow.Kind{}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		key, ok := name.(string)
		var raw json.RawMessage
		if err != nil || !ok || d.Decode(&raw) != nil {
			return
		}
		kind := kindOfJSON(raw)
		known, met := f.kinds[key]
		if !met {
			f.order = append(f.order, key)
		}
		f.kinds[key] = wider(known, kind)
	}
}

// config is the declaration that the objects suggest.
func (f *inference) config() (columns workflow.Mapping[ColumnConfig]) {
	for _, name := range f.order {
		kind := f.kinds[name]
		if kind == workflow.KindNull {
			kind = workflow.KindString
		}
		columns = append(columns, yamldoc.Item[ColumnConfig]{Key: name, Value: ColumnConfig{Type: kind}})
	}
	return columns
}

func kindOfJSON(raw []byte) workflow.Kind {
	switch raw = bytes.TrimSpace(raw); raw[0] {
	case 'n':
		return workflow.KindNull
	case 't', 'f':
		return workflow.KindBool
	case '{', '[':
		return workflow.KindString
	case '"':
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return workflow.KindString
		}
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return workflow.KindDate
		}
		if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return workflow.KindTime
		}
		return workflow.KindString
	}
	if _, err := workflow.ParseValue(workflow.KindInt, string(raw)); err == nil {
		return workflow.KindInt
	}
	return workflow.KindFloat
}

// wider is the narrowest kind that has the values of both.
func wider(a, b workflow.Kind) workflow.Kind {
	number := func(k workflow.Kind) bool { return k == workflow.KindInt || k == workflow.KindFloat }
	switch {
	case a == b || b == workflow.KindNull:
		return a
	case a == workflow.KindNull:
		return b
	case number(a) && number(b):
		return workflow.KindFloat
	}
	return workflow.KindString
}
