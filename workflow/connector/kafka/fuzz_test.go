package kafka

import (
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// FuzzRecord makes rows of any message: one fits the columns or has a reason, and
// nothing panics. Req W2
func FuzzRecord(f *testing.F) {
	for _, value := range []string{`{"id": 1, "name": "x", "at": "2026-01-31T00:00:00Z"}`, `{"id": 1e99}`, `{"id": "1"}`, `[`, `null`, "\xff", `{"name": "\ud800"}`, ``} {
		f.Add([]byte(value), []byte("key"), false, int64(1<<40))
		f.Add([]byte(value), []byte("\xfe"), true, int64(-1))
	}
	record := "record: {topic: t, partition: p, offset: o, timestamp: when, key: k}"
	object := plannedColumns(f, "columns: {id: int, name: string, at: {type: time, required: true}}, "+record)
	text := plannedColumns(f, "format: text, "+record)
	f.Fuzz(func(t *testing.T, value, key []byte, none bool, millis int64) {
		r := &kgo.Record{Topic: "orders", Value: value, Key: key, Timestamp: time.UnixMilli(millis)}
		if none {
			r.Value = nil
		}
		for _, columns := range []*rowColumns{&object, &text} {
			row := make(workflow.Row, columns.width+len(columns.further))
			if _, reason := columns.fill(r, row); reason != "" {
				if !utf8.ValidString(reason) {
					t.Errorf("the reason %q is no text", reason)
				}
				continue
			}
			for _, v := range row {
				if v.Kind() == workflow.KindString && !utf8.ValidString(v.Text()) {
					t.Errorf("%q is no text", v.Text())
				}
			}
			if columns == &object && (row[0].Kind() != workflow.KindInt && !row[0].IsNull() || row[2].Kind() != workflow.KindTime) {
				t.Errorf("the row is %v", row)
			}
		}
	})
}

// plannedColumns are the columns of a source with a configuration.
func plannedColumns(tb testing.TB, with string) (columns rowColumns) {
	tb.Helper()
	watched := sourceType
	watched.Plan = func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		columns, _, _ = planColumns(c, config)
		return sourceType.Plan(c, config)
	}
	r := workflow.NewRegistry(watched)
	new(memory.Store).Register(r)
	text := "name: x\nnodes:\n  - {id: in, type: source.kafka, with: {brokers: ['localhost:1'], topics: [orders], " + with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	if _, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: r}); err != nil {
		tb.Fatal(err)
	}
	return columns
}
