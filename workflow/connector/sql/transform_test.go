package sql

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// transformRows runs a query over three rows.
func transformRows(t *testing.T, with string) (schema, rows string, rejects []workflow.Reject, err error) {
	t.Helper()
	var store memory.Store
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	store.Register(r)
	files := workflowtest.Files{"w.yaml": `
name: x
batch_rows: 2
inputs: {least: {type: float, default: 1}, city: {type: string, default: "x' OR '1'='1"}}
nodes:
  - id: in
    type: source.memory
    with:
      columns: {city: string, mm: float, wet: bool, day: date, at: time}
      rows:
        - [Halle, 1.5, true, 2012-01-31, "2012-01-31T10:00:00.5Z"]
        - [Jena, 0.5, false, 2012-02-01, null]
        - [Halle, 2.5, null, ~, null]
  - id: q
    type: sql
    from: in
    with:
      ` + strings.ReplaceAll(with, "\n", "\n      ") + `
  - {id: out, type: sink.memory, from: q, with: {name: out}}
`}
	d, err := files.Load(r)
	if err != nil {
		return "", "", nil, err
	}
	info, err := files.Run(t, r, t.TempDir())
	var lines []string
	for _, row := range store.Rows("out") {
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = v.String()
		}
		lines = append(lines, strings.Join(texts, "|"))
	}
	return d.Nodes[1].Schema.String(), strings.Join(lines, "; "), info.Rejects, err
}

// Req W2: SQL over the rows, with bound parameters.
func TestTransform(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ with, schema, rows string }{
		{"query: SELECT * FROM rows ORDER BY rowid", "city string, mm float, wet bool, day date, at time",
			"Halle|1.5|true|2012-01-31|2012-01-31T10:00:00.5Z; Jena|0.5|false|2012-02-01|; Halle|2.5|||"},
		{"query: SELECT city, sum(mm) AS mm, count(*) AS n FROM rows WHERE mm >= ? GROUP BY city\nparams: [inputs.least]\ncolumns: {city: string, mm: float, n: int}",
			"city string, mm float, n int", "Halle|4|2"},
		{"query: SELECT count(*) AS n, max(day) AS day FROM rows\ncolumns: {n: int, day: date}", "n int, day date", "3|2012-02-01"},
		{"query: SELECT mm FROM rows WHERE city = ?\nparams: [inputs.city]", "mm float", ""},
	} {
		schema, rows, rejects, err := transformRows(t, tt.with)
		if err != nil || schema != tt.schema || rows != tt.rows || len(rejects) > 0 {
			t.Errorf("%s:\n%s\n%s\n%v %v", tt.with, schema, rows, rejects, err)
		}
	}
	_, rows, rejects, err := transformRows(t, "query: SELECT city AS n FROM rows\ncolumns: {n: int}")
	if err != nil || rows != "" || len(rejects) != 3 || !strings.Contains(rejects[0].Reason, `row 1 of the result: "Halle" is not an integer`) {
		t.Errorf("%s %v %v", rows, rejects, err)
	}
	for with, want := range map[string]string{
		"query: SELECT citty FROM rows":                                      "no such column: citty",
		"query: SELECT '${city}' AS c FROM rows":                             "an input is never put into the text of a query",
		"query: SELECT max(mm) AS m FROM rows WHERE 0":                       `SQLite does not tell the type of the column "m"; declare columns`,
		"query: SELECT mm FROM rows\ncolumns: {a: int, b: int}":              "the query gives 1 columns; 2 are declared",
		"query: SELECT mm FROM rows\ncolumns: {m: float}":                    `column 1 of the query is "mm"`,
		"query: SELECT mm FROM rows\nmax_rows: 2":                            "more than 2 rows come in",
		"query: SELECT 1 AS n FROM rows, rows AS b, rows AS c\nmax_rows: 10": "more than 10 rows are in the result",
	} {
		if _, _, _, err := transformRows(t, with); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", with, err, want)
		}
	}
}
