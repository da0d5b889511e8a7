package transform

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// joinRows runs a join of two tables and gives its rows in order.
func joinRows(t *testing.T, with, left, right string) (string, error) {
	t.Helper()
	var store memory.Store
	r := workflow.NewRegistry()
	memory.Register(r)
	store.Register(r)
	Register(r)
	_, err := workflowtest.Files{"w.yaml": `
name: test
batch_rows: 2
nodes:
  - {id: l, type: source.memory, with: {columns: {id: int, name: string}, rows: ` + left + `}}
  - {id: r, type: source.memory, with: {columns: {key: int, mm: float}, rows: ` + right + `}}
  - {id: both, type: join, from: {left: l, right: r}, with: {` + with + `}}
  - {id: out, type: sink.memory, from: both, with: {name: out}}
`}.Run(t, r, t.TempDir())
	var rows []string
	for _, row := range store.Rows("out") {
		rows = append(rows, show(row))
	}
	slices.Sort(rows)
	return strings.Join(rows, "; "), err
}

// Req W2: each kind of join, with keys that are there twice, once, not at all
// and null, through the engine.
func TestJoin(t *testing.T) {
	t.Parallel()
	const left, right = "[[1, a], [2, b], [2, c], [3, d], [null, e]]", "[[2, 0.5], [2, 1.5], [3, 2.5], [4, 3.5], [null, 4.5]]"
	for how, want := range map[string]string{
		"inner": "2 b 0.5; 2 b 1.5; 2 c 0.5; 2 c 1.5; 3 d 2.5",
		"left":  "- e -; 1 a -; 2 b 0.5; 2 b 1.5; 2 c 0.5; 2 c 1.5; 3 d 2.5",
		"right": "- - 4.5; 2 b 0.5; 2 b 1.5; 2 c 0.5; 2 c 1.5; 3 d 2.5; 4 - 3.5",
		"full":  "- - 4.5; - e -; 1 a -; 2 b 0.5; 2 b 1.5; 2 c 0.5; 2 c 1.5; 3 d 2.5; 4 - 3.5",
		"semi":  "2 b; 2 c; 3 d",
		"anti":  "- e; 1 a",
	} {
		got, err := joinRows(t, "how: "+how+", on: {id: key}", left, right)
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", how, err, got, want)
		}
		if _, err := joinRows(t, "how: "+how+", on: {id: key}", "[]", "[]"); err != nil {
			t.Errorf("%s of nothing: %v", how, err)
		}
	}
	for with, want := range map[string]string{
		"max_rows: 4, on: {id: key}":    "it holds more than 4 rows",
		"max_bytes: 500, on: {id: key}": "the rows it holds take more than 500 bytes",
	} {
		if _, err := joinRows(t, with, left, right); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// Rows of left stream past once right has ended, and nothing of them is held.
func TestJoinStreams(t *testing.T) {
	t.Parallel()
	schema := workflow.MustSchema(workflow.Column{Name: "id", Kind: workflow.KindInt})
	j := &join{joinPlan: joinPlan{how: joinInner, schema: schema, leftKeys: []int{0}, rightKeys: []int{0}, width: 1, rowsMax: 3, bytesMax: 1 << 20}, right: map[string][]*joined{}}
	right := rowsOf(t, schema, "1", "1")
	right.Input = rightInput
	if _, err := j.Apply(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	if _, err := j.InputEnded(t.Context(), rightInput); err != nil {
		t.Fatal(err)
	}
	left := rowsOf(t, schema, "1", "2")
	left.Input = leftInput
	for range 100 {
		out, err := j.Apply(t.Context(), left)
		if err != nil || len(out.Batch.Rows) != 2 || out.Made != 2 || out.Held != 2 || j.rows != 2 {
			t.Fatalf("%+v, %v, %d rows held", out, err, j.rows)
		}
	}
	many := rowsOf(t, schema, "1", "1")
	many.Input = leftInput
	if _, err := j.Apply(t.Context(), many); err == nil || !strings.Contains(err.Error(), "one batch of left makes more than 3 rows") {
		t.Errorf("got %v", err)
	}
}

func TestJoinProblems(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	memory.Register(r)
	new(memory.Store).Register(r)
	Register(r)
	for with, want := range map[string]string{
		"on: [idd]":            `unknown column of left "idd"; did you mean "id"?`,
		"on: {id: kez}":        `unknown column of right "kez"`,
		"on: {id: name}":       "id of left is a int, name of right a string; convert",
		"on: []":               "no columns to join by",
		"on: [id], how: outer": `unknown kind of join "outer"`,
		"on: [id]":             `both sides have a column "name"; set right_prefix`,
		"on: [id], right_prefix: r_, max_rows: 0, max_bytes: 0": "0 is out of range",
	} {
		text := "name: x\nnodes:\n  - {id: l, type: source.memory, with: {columns: {id: int, name: string}}}\n  - {id: r, type: source.memory, with: {columns: {id: int, name: string}}}\n" +
			"  - {id: j, type: join, from: {left: l, right: r}, with: {" + with + "}}\n  - {id: o, type: sink.memory, from: j, with: {name: o}}\n"
		_, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: r})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", with, err, want)
		}
	}
}
