package inbox

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// FuzzPost makes rows of any post: each fits the columns or has a reason, and
// nothing panics. Req W2
func FuzzPost(f *testing.F) {
	for _, post := range []string{`{"id": 1, "name": "x"}`, `[{"id": 1}, {"id": "x"}, 7, []]`, `"text"`, `7`, ` [ `, `[{"id": 1} {"id": 2}]`, `]`, "\xff", `{"a": [`} {
		f.Add([]byte(post))
	}
	var columns json.Columns
	watched := sourceType
	watched.Plan = func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		columns, _, _ = json.NewColumns(c, config.Columns)
		return sourceType.Plan(c, config)
	}
	r := workflow.NewRegistry(watched)
	new(memory.Store).Register(r)
	text := "name: x\nnodes:\n  - {id: in, type: source.webhook, with: {columns: {id: int, name: string}}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	if _, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: r}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, post []byte) {
		if text := bytes.TrimSpace(post); len(text) == 0 || string(text) == "null" {
			return // the last one, which has no rows
		}
		rows, err := rowsOf(post)
		if err != nil {
			return
		}
		row := make(workflow.Row, 2)
		for range len(post) + 1 { // there are fewer rows than bytes
			text, err := rows.Next()
			if err != nil {
				return
			}
			if _, reason := columns.Fill(text, row); reason == "" && row[0].Kind() != workflow.KindInt && !row[0].IsNull() {
				t.Errorf("%s gives %v", text, row)
			}
		}
		t.Error("it has more rows than bytes")
	})
}
