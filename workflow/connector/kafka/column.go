package kafka

import (
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/workflow"
)

// further is a column for something that is known of a message beside its value.
type further struct {
	name  string
	kind  workflow.Kind
	value func(*kgo.Record) workflow.Value
}

// columns are those that have a name.
func (c RecordColumns) columns() (out []further) {
	for _, f := range []further{
		{c.Topic, workflow.KindString, func(r *kgo.Record) workflow.Value { return workflow.String(r.Topic) }},
		{c.Partition, workflow.KindInt, func(r *kgo.Record) workflow.Value { return workflow.Int(int64(r.Partition)) }},
		{c.Offset, workflow.KindInt, func(r *kgo.Record) workflow.Value { return workflow.Int(r.Offset) }},
		{c.Timestamp, workflow.KindTime, func(r *kgo.Record) workflow.Value { return workflow.Time(r.Timestamp.UTC()) }},
		{c.Key, workflow.KindString, keyOf},
	} {
		if f.name != "" {
			out = append(out, f)
		}
	}
	return out
}

func keyOf(r *kgo.Record) workflow.Value {
	if r.Key == nil {
		return workflow.Null()
	}
	return workflow.String(string(r.Key))
}

// fill fills a row from a message, or says why that is not possible, and in which
// column.
func (c *rowColumns) fill(r *kgo.Record, row workflow.Row) (column, reason string) {
	switch {
	case c.text && r.Value == nil:
		row[0] = workflow.Null()
	case c.text && !utf8.Valid(r.Value):
		return valueColumn, "the text is not UTF-8"
	case c.text:
		row[0] = workflow.String(string(r.Value))
	case r.Value == nil:
		return "", "the message has no value"
	default:
		if column, reason := c.object.Fill(r.Value, row[:c.width]); reason != "" {
			return column, reason
		}
	}
	for i, f := range c.further {
		v := f.value(r)
		if v.Kind() == workflow.KindString && !utf8.ValidString(v.Text()) {
			return f.name, "the text is not UTF-8"
		}
		row[c.width+i] = v
	}
	return "", ""
}
