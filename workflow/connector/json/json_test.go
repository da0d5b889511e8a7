package json

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/internal/lines"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// run reads a file by a source and gives the rows that arrive.
func run(t *testing.T, node string, files workflowtest.Files) (rows string, rejects []workflow.Reject, err error) {
	t.Helper()
	var store memory.Store
	r := workflow.NewRegistry()
	Register(r)
	store.Register(r)
	files["w.yaml"] = "name: test\nbatch_rows: 3\nnodes:\n  - {id: in, " + node + "}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	d, err := files.Load(r)
	if err != nil {
		return "", nil, err
	}
	info, err := files.Run(t, r, t.TempDir())
	lines := []string{d.Nodes[0].Schema.String()}
	for _, row := range store.Rows("out") {
		lines = append(lines, show(row))
	}
	return strings.Join(lines, "\n"), info.Rejects, err
}

func show(row workflow.Row) string {
	texts := make([]string, len(row))
	for i, v := range row {
		texts[i] = v.String()
		if v.IsNull() {
			texts[i] = "-"
		}
	}
	return strings.Join(texts, "|")
}

const events = `{"id": 1, "at": "2012-01-31T10:00:00Z", "user": {"name": "Ann", "age": 3}, "ok": true, "mm": 1.5, "day": "2012-01-31"}
{"id": 2, "tags": ["a", 1 ], "mm": 2}

{"id": "3", "mm": "many"}
[1, 2]
{"id": 4
{"id": 9223372036854775807, "mm": null, "extra": 1}
{"mm": 1}` + "\n\xff\xfe\n"

// Req W2
func TestLines(t *testing.T) {
	t.Parallel()
	rows, rejects, err := run(t, "type: source.jsonl, with: {path: e.jsonl, max_row_bytes: 200, columns: {id: {type: int, required: true}, mm: float, name: {type: string, path: user.name}, tags: string, at: time, user: string}}",
		workflowtest.Files{"e.jsonl": events + strings.Repeat("x", 300)})
	if err != nil {
		t.Fatal(err)
	}
	want := `id int, mm float, name string, tags string, at time, user string
1|1.5|Ann|-|2012-01-31T10:00:00Z|{"name":"Ann","age":3}
2|2|-|["a",1]|-|-
9223372036854775807|-|-|-|-|-`
	if rows != want {
		t.Errorf("got\n%s\nwant\n%s", rows, want)
	}
	var got []string
	for _, r := range rejects {
		got = append(got, fmt.Sprintf("%s:%d %s: %s", r.File, r.Line, r.Column, r.Reason))
	}
	wantRejects := []string{
		`e.jsonl:4 mm: "many" is not a number`,
		`e.jsonl:5 : expected an object such as {"name": "value"}, found a list`,
		`e.jsonl:6 : it is not JSON: unexpected end of JSON input at byte 8`,
		`e.jsonl:8 id: the value is missing and the column is required`,
		`e.jsonl:9 : the text is not UTF-8`,
		`e.jsonl:10 : the line has 300 bytes; at most 200 are read`,
	}
	if strings.Join(got, "\n") != strings.Join(wantRejects, "\n") {
		t.Errorf("rejects\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantRejects, "\n"))
	}
}

func TestLinesInfer(t *testing.T) {
	t.Parallel()
	rows, rejects, err := run(t, "type: source.jsonl, with: {path: e.jsonl}", workflowtest.Files{"e.jsonl": `{"b": 1, "a": null, "day": "2012-01-31", "o": {"x": 1}}
{"b": 2.5, "a": true, "day": "2012-02-01"}
{"b": 3, "mixed": 1}
{"b": 4, "mixed": "x"}`})
	want := "b float, a bool, day date, o string, mixed string\n" + `1|-|2012-01-31|{"x":1}|-` + "\n2.5|true|2012-02-01|-|-\n3|-|-|-|1\n4|-|-|-|x"
	if err != nil || rows != want || len(rejects) != 0 {
		t.Errorf("got\n%s\n%v %v", rows, rejects, err)
	}
}

// Req W2
func TestDocument(t *testing.T) {
	t.Parallel()
	const doc = `{"skip": {"items": [1, {"x": []}]}, "data": {"n": 2, "items": [{"id": 1, "s": "a"}, {"id": "x"}, 7, {"id": 4}]}, "rest": `
	with := func(at, extra string) string {
		return "type: source.json, with: {path: d.json, at: " + at + ", columns: {id: int, s: string}" + extra + "}"
	}
	rows, rejects, err := run(t, with("data.items", ""), workflowtest.Files{"d.json": doc})
	if err != nil || rows != "id int, s string\n1|a\n4|-" || len(rejects) != 2 || rejects[0].Column != "id" || !strings.HasPrefix(rejects[1].Reason, "element 2: expected an object") {
		t.Errorf("got %s, %v, %v", rows, rejects, err)
	}
	for _, tt := range []struct{ at, extra, text, want string }{
		{"data.none", "", doc, "there is no data.none in it"},
		{"data.n", "", doc, "data.n is not an array"},
		{"''", "", doc, "the document is not an array"},
		{"''", "", `[{"id": 1}, {"id": `, "the file ends too early"},
		{"''", "", `[{"id": 1}, }]`, "at byte"},
		{"''", ", max_row_bytes: 40", `[{"id": 1}, {"s": "` + strings.Repeat("x", 100) + `"}]`, "has more than 40 bytes"},
		{"''", "", ``, "the file ends too early"},
	} {
		_, _, err := run(t, with(tt.at, tt.extra), workflowtest.Files{"d.json": tt.text})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "d.json") {
			t.Errorf("%s in %.30s: %v, want %s", tt.at, tt.text, err, tt.want)
		}
	}
	rows, _, err = run(t, "type: source.json, with: {path: d.json}", workflowtest.Files{"d.json": `[{"z": 1, "a": "2012-01-31"}, {"z": 2}]`})
	if err != nil || rows != "z int, a date\n1|2012-01-31\n2|-" {
		t.Errorf("inferred: %s, %v", rows, err)
	}
}

// Req W2: what the sink writes, the source reads.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	files := workflowtest.Files{"w.yaml": `
name: test
nodes:
  - id: in
    type: source.memory
    with:
      columns: {i: int, f: float, "odd \"name": string, b: bool, d: date, t: time}
      rows:
        - [-1, 0.1, "line\nbreak \"x\"", true, 2012-01-31, "2012-01-31T10:00:00.5Z"]
        - [null, NaN, "", false, null, null]
  - {id: out, type: sink.jsonl, from: in, with: {path: sub/o.jsonl}}
`}
	if _, err := files.Run(t, r, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "sub", "o.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"i":-1,"f":0.1,"odd \"name":"line\nbreak \"x\"","b":true,"d":"2012-01-31","t":"2012-01-31T10:00:00.5Z"}
{"i":null,"f":"NaN","odd \"name":"","b":false,"d":null,"t":null}
`
	if string(text) != want {
		t.Errorf("got\n%s", text)
	}
	rows, rejects, err := run(t, `type: source.jsonl, with: {path: o.jsonl, columns: {i: int, f: float, "odd \"name": string, b: bool, d: date, t: time}}`, workflowtest.Files{"o.jsonl": string(text)})
	if err != nil || len(rejects) != 0 || !strings.HasSuffix(rows, "\n-1|0.1|line\nbreak \"x\"|true|2012-01-31|2012-01-31T10:00:00.5Z\n-|NaN||false|-|-") {
		t.Errorf("got %s, %v, %v", rows, rejects, err)
	}
}

// FuzzSources reads any bytes as both kinds of file: every row met is given out
// or set aside, and nothing panics. Req S5
func FuzzSources(f *testing.F) {
	f.Add([]byte(events), 50)
	f.Add([]byte(`[{"id": 1}, 2, {"id": {"x": []}}]`), 20)
	f.Add([]byte(`[[[[{"id"`), 5)
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		limit = 1 + limit&0xff
		columns := []column{{name: "id", kind: workflow.KindInt, path: []string{"id"}}, {name: "x", kind: workflow.KindString, path: []string{"a", "b"}}}
		schema := workflow.MustSchema(workflow.Column{Name: "id", Kind: workflow.KindInt}, workflow.Column{Name: "x", Kind: workflow.KindString})
		fsys := fstest.MapFS{"f": {Data: text}}
		for _, s := range []interface {
			workflow.Source
			workflow.Counter
		}{
			&lineSource{open: fsys.Open, path: "f", columns: columns, schema: schema, rowBytes: limit},
			&documentSource{open: fsys.Open, config: DocumentConfig{Path: "f", MaxRowBytes: limit}, columns: columns, schema: schema},
		} {
			if s.Open(t.Context()) != nil {
				continue
			}
			seen := 0
			for {
				b, rejects, err := s.Read(t.Context(), 3)
				seen += len(b.Rows) + len(rejects)
				if err != nil {
					if errors.Is(err, io.EOF) && int64(seen) != s.RowsRead() {
						t.Errorf("%T met %d rows and gave out %d", s, s.RowsRead(), seen)
					}
					break
				}
			}
		}
		r := lines.NewReader(bytes.NewReader(text), limit)
		for {
			line, err := r.Next()
			if err != nil {
				break
			}
			if line.Reason == "" && len(line.Text) > limit {
				t.Errorf("a line of %d bytes", len(line.Text))
			}
		}
	})
}
