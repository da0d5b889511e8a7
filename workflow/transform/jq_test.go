package transform

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

var tagSchema = workflow.MustSchema(
	workflow.Column{Name: "id", Kind: workflow.KindInt}, workflow.Column{Name: "tags", Kind: workflow.KindString}, workflow.Column{Name: "f", Kind: workflow.KindFloat},
)

// Req W2: one row becomes several, none, or is set aside.
func TestJQ(t *testing.T) {
	t.Parallel()
	transform, schema := build(t, jqType, tagSchema, `filter: '. as $r | .tags[] | {id: ($r.id + 1), tag: ., half: ($r.f / 2)}'
json: [tags]
columns: {id: int, tag: string, half: float}`)
	r := run(t, transform, schema, rowsOf(t, tagSchema, `1 ["a","b"] 3`, `2 [] 1`, `3 [{"x":1},["y"]] 1`, `4 nonsense 1`, `5 {"x":"z"} 0.5`, `6 7 1`))
	if got, want := strings.Join(r.rows, "; "), `2 a 1.5; 2 b 1.5; 4 {"x":1} 0.5; 4 ["y"] 0.5; 6 z 0.25`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r.dropped != 1 || len(r.rejects) != 2 || !strings.Contains(r.rejects[0], "in.csv:5 tags") || !strings.Contains(r.rejects[0], "it is not JSON") ||
		!strings.Contains(r.rejects[1], "filter: cannot iterate over: number (7)") {
		t.Errorf("dropped %d, rejects %q", r.dropped, r.rejects)
	}
	if len(r.lines) != 5 || r.lines[1] != 2 || r.lines[4] != 6 {
		t.Errorf("lines %v", r.lines)
	}
}

// Req S5: filters that never end, give no objects, or reach for the outside.
func TestJQBounds(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]string{
		"repeat({id: 1})":       "more than 10000 results",
		".id":                   "expected an object as the result, found number",
		"{id: \"x\"}":           `"x" is not an integer`,
		"{id: 1.5}":             "expected a int, found 1.5",
		"error(\"no\")":         "filter: error: no",
		"{id: (env | length)}":  "",
		"halt":                  "",
		"{id: ($ENV | length)}": "",
	} {
		transform, schema := build(t, jqType, tagSchema, "filter: '"+filter+"'\ncolumns: {id: int}")
		r := run(t, transform, schema, rowsOf(t, tagSchema, "1 [] 1"))
		switch {
		case want != "" && (len(r.rejects) != 1 || !strings.Contains(r.rejects[0], want)):
			t.Errorf("%s: %v, want %s", filter, r.rejects, want)
		case strings.Contains(strings.ToLower(filter), "env") && strings.Join(r.rows, "") != "0":
			t.Errorf("%s sees variables of the environment: %v", filter, r.rows)
		}
	}
	for with, want := range map[string]string{
		"filter: '.['\ncolumns: {a: int}":                          "not a jq filter",
		"filter: 'nothing(1)'\ncolumns: {a: int}":                  "function not defined: nothing/1",
		"filter: 'import \"x\" as x; .'\ncolumns: {a: int}":        "not a jq filter",
		"filter: .\njson: [id]\ncolumns: {a: int}":                 `the column "id" is a int; expected a string`,
		"filter: " + strings.Repeat(".", 1) + "\ncolumns: {a: it}": "unknown type",
	} {
		if _, err := plan(jqType, tagSchema, with); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", with, err, want)
		}
	}
}

// Req W2
func TestDistinct(t *testing.T) {
	t.Parallel()
	batches := func() []workflow.Batch {
		return []workflow.Batch{rowsOf(t, tagSchema, "1 a 1", "1 a 1", "- a 1", "1 a 2"), rowsOf(t, tagSchema, "- a 1", "1 b 1", "1 a 1")}
	}
	transform, schema := build(t, distinctType, tagSchema, "{}")
	r := run(t, transform, schema, batches()...)
	if got := strings.Join(r.rows, "; "); got != "1 a 1; - a 1; 1 a 2; 1 b 1" || len(r.side) != 3 {
		t.Errorf("all columns: %s, else %v", got, r.side)
	}
	transform, schema = build(t, distinctType, tagSchema, "by: [tags]")
	if got := strings.Join(run(t, transform, schema, batches()...).rows, "; "); got != "1 a 1; 1 b 1" {
		t.Errorf("by tags: %s", got)
	}
	transform, _ = build(t, distinctType, tagSchema, "max_rows: 2")
	if _, err := transform.Apply(t.Context(), batches()[0]); err == nil || !strings.Contains(err.Error(), "there are more than 2 different rows") {
		t.Errorf("limit: %v", err)
	}
	if _, err := plan(distinctType, tagSchema, "by: [tag]"); err == nil || !strings.Contains(err.Error(), `did you mean "tags"?`) {
		t.Errorf("got %v", err)
	}
}
