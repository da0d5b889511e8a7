package csv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

var allKinds = workflow.MustSchema(
	workflow.Column{Name: "b", Kind: workflow.KindBool},
	workflow.Column{Name: "i", Kind: workflow.KindInt},
	workflow.Column{Name: "f", Kind: workflow.KindFloat},
	workflow.Column{Name: "the, \"text\"", Kind: workflow.KindString},
	workflow.Column{Name: " d", Kind: workflow.KindDate},
	workflow.Column{Name: "t", Kind: workflow.KindTime},
)

func newSink(path string) *sink {
	return &sink{OutputFile: (&workflow.Env{}).OutputFile("csv", path), header: true, delimiter: ','}
}

// writeAll writes batches as a run does.
func writeAll(t *testing.T, s *sink, schema workflow.Schema, batches ...workflow.Batch) {
	t.Helper()
	must(t, s.Open(t.Context(), schema))
	for _, b := range batches {
		must(t, s.Write(t.Context(), b))
	}
	must(t, s.Prepare(t.Context()))
	must(t, s.Commit(t.Context()))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// Req W2
func TestSink(t *testing.T) {
	t.Parallel()
	at := time.Date(2012, 1, 31, 10, 0, 0, 500_000_000, time.UTC)
	rows := []workflow.Row{
		{workflow.Bool(true), workflow.Int(-12), workflow.Float(0.1), workflow.String("plain text"), workflow.Date(at), workflow.Time(at)},
		{{}, {}, {}, {}, {}, {}},
		{workflow.Bool(false), workflow.Int(0), workflow.Float(1e21), workflow.String(""), {}, {}},
		{{}, {}, {}, workflow.String("a,\"b\"\r\nc"), {}, {}},
		{{}, {}, {}, workflow.String("\ufeffmark"), {}, {}},
		{{}, {}, {}, workflow.String(" blanks "), {}, {}},
	}
	path := filepath.Join(t.TempDir(), "deep", "er", "out.csv")
	s := newSink(path)
	writeAll(t, s, allKinds, workflow.Batch{Schema: allKinds, Rows: rows[:2]}, workflow.Batch{Schema: allKinds}, workflow.Batch{Schema: allKinds, Rows: rows[2:]})
	must(t, s.Abort(t.Context()))
	want := "b,i,f,\"the, \"\"text\"\"\",\" d\",t\n" +
		"true,-12,0.1,plain text,2012-01-31,2012-01-31T10:00:00.5Z\n" +
		",,,,,\n" +
		"false,0,1e+21,\"\",,\n" +
		",,,\"a,\"\"b\"\"\r\nc\",,\n" +
		",,,\"\ufeffmark\",,\n" +
		",,, blanks ,,\n"
	if got := contents(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := names(t, filepath.Dir(path)); got != "out.csv" {
		t.Errorf("the directory holds %q", got)
	}
	if a := s.Artifact(); a.Type != "csv" || a.Path != path {
		t.Errorf("artifact = %+v", a)
	}
}

func TestSinkOptions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.csv")
	schema := workflow.MustSchema(workflow.Column{Name: "a", Kind: workflow.KindString}, workflow.Column{Name: "b", Kind: workflow.KindInt})
	s := &sink{OutputFile: (&workflow.Env{}).OutputFile("csv", path), delimiter: ';', null: "NULL"}
	writeAll(t, s, schema, workflow.Batch{Schema: schema, Rows: []workflow.Row{
		{workflow.String("NULL"), workflow.Int(1)}, {{}, {}}, {workflow.String(""), workflow.Int(2)}, {workflow.String("a,b;c"), workflow.Int(3)},
	}})
	if got, want := contents(t, path), "\"NULL\";1\nNULL;NULL\n;2\n\"a,b;c\";3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Req W1: a failed run leaves no half output.
func TestSinkAbort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out.csv")
	must(t, os.WriteFile(path, []byte("old\n"), 0o600))
	batch := workflow.Batch{Schema: allKinds, Rows: workflow.NewRows(10_000, allKinds.Len())}

	s := newSink(path)
	must(t, s.Open(t.Context(), allKinds))
	must(t, s.Write(t.Context(), batch))
	must(t, s.Abort(t.Context()))
	if got := contents(t, path) + names(t, dir); got != "old\nout.csv" {
		t.Errorf("after an abort: %q", got)
	}

	s = newSink(path)
	must(t, s.Open(t.Context(), allKinds))
	must(t, s.Prepare(t.Context()))
	must(t, s.Abort(t.Context()))
	if got := contents(t, path) + names(t, dir); got != "old\nout.csv" {
		t.Errorf("after an abort of a prepared file: %q", got)
	}
	must(t, newSink(filepath.Join(dir, "never")).Abort(t.Context()))
}

// Req S5
func TestSinkOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		path string
		want string
	}{
		{dir, ": it is a directory, not a file (INVALID_ARGUMENT); add a file name to the path"},
		{filepath.Join(file, "x.csv"), ": not a directory (INVALID_ARGUMENT); a part of the path is a file; check its spelling"},
		{os.DevNull, ": it is a device, a pipe or a socket (INVALID_ARGUMENT); choose the path of a regular file"},
	}
	for _, tt := range tests {
		s := newSink(tt.path)
		err := s.Open(t.Context(), allKinds)
		if want := "csv.Open " + tt.path + tt.want; fmt.Sprint(err) != want || fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		must(t, s.Abort(t.Context()))
	}
}

// Req W1, S5
func TestSinkPlanProblems(t *testing.T) {
	t.Parallel()
	tests := []struct{ with, want string }{
		{"path: out.csv", ""},
		{"path: out.csv\nnull_text: 'NULL'", ""},
		{"path: out/", `w.yaml:8:13: nodes[1].with.path: "out/" names a directory; expected a file; add a file name, such as out/rows.csv`},
		{"path: out.csv\nnull_text: 'a,b'", `"a,b" cannot stand for null`},
		{"path: out.csv\nnull_text: '0'", `w.yaml:9:18: nodes[1].with.null_text: "0" is also a value of the column "b"; choose another text, such as 'NULL'`},
		{"path: out.csv\ndelimiter: '\"'", `cannot be a delimiter`},
		{"path: out.csv\nhaeder: true", `did you mean "header"?`},
	}
	for _, tt := range tests {
		err := planSinkWith(tt.with, allKinds)
		if (err == nil) != (tt.want == "") || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s\n got %v\nwant %s", tt.with, err, tt.want)
		}
	}
}

// What the sink writes, the source reads back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		schema, with := randomSchema(rnd)
		rows := make([]workflow.Row, rnd.IntN(50))
		for i := range rows {
			for c := range schema.Len() {
				rows[i] = append(rows[i], randomValue(rnd, schema.Column(c).Kind))
			}
		}
		s := newSink(filepath.Join(t.TempDir(), "out.csv"))
		null := []string{"", "NULL", "\\N"}[rnd.IntN(3)]
		s.delimiter, s.null = []byte{',', ';', '\t', '|'}[rnd.IntN(4)], null
		writeAll(t, s, schema, workflow.Batch{Schema: schema, Rows: rows})
		text := contents(t, s.Artifact().Path)
		in := sourceOf(t, fmt.Sprintf("%s\ndelimiter: %q\nnulls: [%q]", with, s.delimiter, null), text)
		batches, rejects := read(t, in, 7)
		var got []workflow.Row
		for _, b := range batches {
			got = append(got, b.Rows...)
		}
		if len(rejects) > 0 || !slices.EqualFunc(got, rows, func(a, b workflow.Row) bool { return slices.Equal(a, b) }) {
			t.Fatalf("seed %d: %s\n%s\nrejects %+v", seed, schema, text, rejects)
		}
	}
}

func randomSchema(rnd *rand.Rand) (schema workflow.Schema, with string) {
	kinds := []workflow.Kind{workflow.KindBool, workflow.KindInt, workflow.KindFloat, workflow.KindString, workflow.KindDate, workflow.KindTime}
	var columns []workflow.Column
	with = "columns:"
	for i := range 1 + rnd.IntN(5) {
		c := workflow.Column{Name: fmt.Sprintf("c%d", i), Kind: kinds[rnd.IntN(len(kinds))]}
		columns = append(columns, c)
		with += fmt.Sprintf("\n  %s: %s", c.Name, c.Kind)
	}
	return workflow.MustSchema(columns...), with
}

func randomValue(rnd *rand.Rand, kind workflow.Kind) workflow.Value {
	if rnd.IntN(5) == 0 {
		return workflow.Null()
	}
	at := time.Unix(rnd.Int64N(4e9)-2e9, rnd.Int64N(1e9))
	switch kind {
	case workflow.KindBool:
		return workflow.Bool(rnd.IntN(2) == 0)
	case workflow.KindInt:
		return workflow.Int(int64(rnd.Uint64()))
	case workflow.KindFloat:
		return workflow.Float(rnd.NormFloat64() * 1e10)
	case workflow.KindDate:
		return workflow.Date(at.UTC())
	case workflow.KindTime:
		return workflow.Time(at)
	}
	var text strings.Builder
	for range rnd.IntN(6) {
		text.WriteString([]string{"a", " ", ",", ";", "\"", "\n", "\r", "\t", "|", "ü", "NULL", "\\N", "\ufeff", "0"}[rnd.IntN(14)])
	}
	return workflow.String(text.String())
}
