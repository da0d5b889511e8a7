package csv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// Req W2
func TestSource(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		with    string
		in      string
		rows    []string
		rejects []string
	}{
		{
			name: "types, nulls, order of columns by name",
			with: "columns: {n: int, x: float, s: string, ok: bool, day: date, at: time}",
			in: "s,n,x,ok,day,at\n" +
				"a b, 12 ,1.5,true,2012-01-31,2012-01-31T10:00:00+01:00\n" +
				",,,,,\n" +
				"\"\",\"7\",1e3,F,2012-02-29,2012-01-31T10:00:00.5Z\n",
			rows: []string{
				"2: 12 1.5 'a b' true 2012-01-31 2012-01-31T09:00:00Z",
				"3: - - - - - -",
				"4: 7 1000 '' false 2012-02-29 2012-01-31T10:00:00.5Z",
			},
		},
		{
			name: "rows that cannot be read",
			with: "columns: {day: date, mm: {type: float, required: true}, n: int}",
			in: "day,mm,n\n" +
				"2012-02-30,1,1\n" +
				"2012-02-28,trace,1\n" +
				"2012-02-28,1\n" +
				"2012-02-28,1,1,1\n" +
				"2012-02-28,,1\n" +
				"2012-02-28,1,1.5\n" +
				"2012-02-28,1,9223372036854775808\n" +
				"2012-02-28,\"1,1\n" +
				"2012-02-28,2,2\n" +
				"\xff,1,1\n",
			rows: []string{"10: 2012-02-28 2 2"},
			rejects: []string{
				`in.csv:2 day "2012-02-30,1,1" "2012-02-30" is not a date like 2012-01-31`,
				`in.csv:3 mm "2012-02-28,trace,1" "trace" is not a number`,
				`in.csv:4  "2012-02-28,1" the row has 2 fields; expected 3`,
				`in.csv:5  "2012-02-28,1,1,1" the row has 4 fields; expected 3`,
				`in.csv:6 mm "2012-02-28,,1" the value is missing and the column is required`,
				`in.csv:7 n "2012-02-28,1,1.5" "1.5" is not an integer`,
				`in.csv:8 n "2012-02-28,1,9223372036854775808" "9223372036854775808" is not an integer of 64 bits`,
				`in.csv:9 mm "2012-02-28,\"1,1" a quoted field is not closed before the end of the file`,
				`in.csv:11 day "�,1,1" "�" is not UTF-8; if the file is in a Western European encoding, set encoding: windows-1252`,
			},
		},
		{
			name: "layouts",
			with: "columns:\n  day: {type: date, layout: 2.1.2006}\n  at: {type: time, layout: 02/Jan/2006:15:04:05 -0700}",
			in:   "day,at\n3.2.2012,03/Feb/2012:10:00:00 +0100\n3/2/2012,03/Feb/2012:10:00:00 +0100\n",
			rows: []string{"2: 2012-02-03 2012-02-03T09:00:00Z"},
			rejects: []string{
				`in.csv:3 day "3/2/2012,03/Feb/2012:10:00:00 +0100" "3/2/2012" is not a date written like 2.1.2006`,
			},
		},
		{
			name: "no columns declared",
			in:   "a, b ,\"c,d\"\n1,,3\n",
			rows: []string{"2: '1' - '3'"},
		},
		{
			name:    "extra columns ignored",
			with:    "columns: {c: int, a: int}\nextra: ignore",
			in:      "a,b,c\n1,2,3\n1,2\n",
			rows:    []string{"2: 3 1"},
			rejects: []string{`in.csv:3  "1,2" the row has 2 fields; expected 3`},
		},
		{
			name: "no header, tabs, other nulls",
			with: "columns: {a: int, b: string}\nheader: false\ndelimiter: \"\\t\"\nnulls: [NA, '-']",
			in:   "1\tx\nNA\t-\n-\t\n\"NA\"\t\"NA\"\n",
			rows: []string{"1: 1 'x'", "2: - -", "3: - ''", "4: - 'NA'"},
		},
		{
			name: "delimiter written as an escape in a plain scalar",
			with: "columns: {a: int, b: int}\nheader: false\ndelimiter: \\t",
			in:   "1\t2\n",
			rows: []string{"1: 1 2"},
		},
		{
			name: "byte order mark, CR LF, quoted line breaks, empty lines",
			with: "columns: {a: string, b: int}",
			in:   "\xef\xbb\xbfa,b\r\n\r\n\"x\r\ny\",1\r\n\r\nz,2",
			rows: []string{"3: 'x\r\ny' 1", "6: 'z' 2"},
		},
		{
			name: "an empty line in a file of one column is a null",
			with: "columns: {a: string}",
			in:   "a\nx\n\n\"\"\n",
			rows: []string{"2: 'x'", "3: -", "4: ''"},
		},
		{
			name: "windows-1252",
			with: "columns: {a: string}\nencoding: windows-1252",
			in:   "a\n\x80 f\xfcr K\xe4se \x97\n",
			rows: []string{"2: '€ für Käse —'"},
		},
		{
			name:    "row limit",
			with:    "columns: {a: string}\nmax_row_bytes: 4",
			in:      "a\nabcd\nabcde\nabc\n",
			rows:    []string{"2: 'abcd'", "4: 'abc'"},
			rejects: []string{`in.csv:3  "abcd" the row has 5 bytes; at most 4 are read (its first 4 are kept here)`},
		},
		{name: "only a header", with: "columns: {a: string}", in: "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, max := range []int{1, 2, 1000} {
				s := sourceOf(t, tt.with, tt.in)
				batches, rejected := read(t, s, max)
				rows, rejects := show(batches, rejected)
				if !slices.Equal(rows, tt.rows) {
					t.Errorf("batches of %d: rows\n%s\nwant\n%s", max, strings.Join(rows, "\n"), strings.Join(tt.rows, "\n"))
				}
				if !slices.Equal(rejects, tt.rejects) {
					t.Errorf("batches of %d: rejects\n%s\nwant\n%s", max, strings.Join(rejects, "\n"), strings.Join(tt.rejects, "\n"))
				}
				if n := s.RowsRead(); n != int64(len(rows)+len(rejects)) {
					t.Errorf("RowsRead = %d, want %d + %d", n, len(rows), len(rejects))
				}
			}
		})
	}
}

// Req W1, S5
func TestSourcePlanProblems(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"in.csv":     "date,rain,temp_max\n",
		"twice.csv":  "date,rain,date\n",
		"empty.csv":  "",
		"utf16.csv":  "\xff\xfed\x00",
		"escape.csv": "\x1b[31mred,day\n1,2\n",
		"latin.csv":  "caf\xe9\n",
		"mac.csv":    "a,b\r1,2\r",
		"quote.csv":  "a,\"b\n",
		"dir/in.csv": "a\n",
	}
	tests := []struct {
		with string
		want []string // parts of the lines, in order
	}{
		{"path: in.csv\ncolumns: {date: date, rain: float, temp_max: float}", nil},
		{"path: in.csv\ncolumns: {date: date, rainn: float, temp_max: float}", []string{
			`w.yaml:7:36: nodes[0].with.columns.rainn: in.csv:1: the header has no column "rainn"; did you mean "rain"?`}},
		{"path: in.csv\ncolumns: {date: date, wind: float}", []string{
			`w.yaml:7:16: nodes[0].with.columns: in.csv:1:6: the header has a column "rain" that is not declared; declare it under columns, or set extra: ignore`,
			`in.csv:1:11: the header has a column "temp_max" that is not declared`,
			`w.yaml:7:35: nodes[0].with.columns.wind: in.csv:1: the header has no column "wind"; it has date, rain, temp_max`}},
		{"path: twice.csv\ncolumns: {date: date, rain: float}", []string{`twice.csv:1:11: the header has the column "date" twice`}},
		{"path: twice.csv", []string{`column "date" stands twice`}},
		{"path: inn.csv", []string{`w.yaml:6:13: nodes[0].with.path: cannot open "inn.csv": no such file`}},
		{"path: dir", []string{`w.yaml:6:13: nodes[0].with.path: `, "directory"}},
		{"path: empty.csv", []string{`the file is empty; expected a header; give it a header, or set header: false`}},
		{"path: utf16.csv", []string{`utf16.csv: the file is UTF-16; expected utf-8; convert it: iconv`}},
		{"path: latin.csv", []string{`latin.csv:1: the header is not UTF-8`, `set encoding: windows-1252`}},
		{"path: escape.csv\ncolumns: {rain: float}\nextra: ignore", []string{`has no column "rain"; it has "\x1b[31mred", day`}},
		{"path: mac.csv", []string{`carriage return without a line feed`}},
		{"path: quote.csv", []string{`quote.csv:1: the header cannot be read: a quoted field is not closed`}},
		{"path: in.csv\nheader: false", []string{`a file without a header needs its columns declared`}},
		{"path: in.csv\ncolumns: {date: dat}", []string{`w.yaml:7:23: nodes[0].with.columns.date: `, `"dat"`, `date`}},
		{"path: in.csv\ncolumns: {date: {type: date, layuot: x}}", []string{`w.yaml:7:36: `, `did you mean "layout"?`}},
		{"path: in.csv\ncolumns: {date: {layout: x}}", []string{`type`, `required`}},
		{"path: in.csv\ncolumns: {date: {type: date, layout: 15:04}}", []string{`w.yaml:7:44: nodes[0].with.columns.date.layout: the layout "15:04" does not give year, month and day`}},
		{"path: in.csv\ncolumns: {date: {type: int, layout: '2006'}}", []string{`a column of the type int has no layout`}},
		{"path: in.csv\nencoding: latin1", []string{`unknown encoding "latin1"; use "windows-1252"`}},
		{"path: in.csv\nencoding: utf8", []string{`w.yaml:7:17: nodes[0].with.encoding: unknown encoding "utf8"; expected one of ["utf-8" "windows-1252"]; did you mean "utf-8"?`}},
		{"path: in.csv\nextra: ignor", []string{`did you mean "ignore"?`}},
		{"path: in.csv\ndelimiter: ab", []string{`"ab" cannot be a delimiter; expected one ASCII character`}},
		{"path: in.csv\nmax_row_bytes: 0", []string{`0 is out of range; expected 1 to 67108864`}},
		{"pth: in.csv", []string{`w.yaml:6:7: nodes[0].with.pth: unknown key "pth"; did you mean "path"?`}},
	}
	for _, tt := range tests {
		_, err := planSourceWith(tt.with, files)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s\nerror = %v", tt.with, err)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s\n got %v\nwant %s", tt.with, err, part)
			}
		}
	}
}

// What was there when the definition was validated may have changed when the
// run opens it.
func TestSourceOpenErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		files fstest.MapFS
		code  fault.Code
		want  string
	}{
		{fstest.MapFS{}, fault.NotFound, "csv.Open in.csv: file does not exist (NOT_FOUND); check the spelling of the path and what it is relative to"},
		{fstest.MapFS{"in.csv/x": {}}, fault.InvalidArgument, "csv.Open in.csv: it is a directory, not a file (INVALID_ARGUMENT); add a file name to the path"},
		{fstest.MapFS{"in.csv": {}}, fault.FailedPrecondition, "csv.Open in.csv: the file is empty; expected a header (FAILED_PRECONDITION); give it a header, or set header: false"},
		{fstest.MapFS{"in.csv": {Data: []byte("b,c\n")}}, fault.FailedPrecondition,
			`csv.Open: in.csv:1: the header has no column "a", and 2 more differences (FAILED_PRECONDITION); it has b, c`},
	}
	for _, tt := range tests {
		s := sourceOf(t, "columns: {a: int}", "a\n")
		s.open = tt.files.Open
		err := s.Open(t.Context())
		if fault.CodeOf(err) != tt.code || fmt.Sprint(err) != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close after a failed Open: %v", err)
		}
	}
}

func TestSourceReadErrors(t *testing.T) {
	t.Parallel()
	s := sourceOf(t, "columns: {a: int}", "a\n1\n2\n")
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Open(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := s.Read(ctx, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Read of a cancelled run: %v", err)
	}
	s.open = func(string) (fs.File, error) { return failing{}, nil }
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, _, err := s.Read(t.Context(), 10)
	if want := "csv.Read in.csv:3: input/output error (UNKNOWN)"; fmt.Sprint(err) != want || len(b.Rows) != 1 {
		t.Errorf("%d rows, %v, want %s", len(b.Rows), err, want)
	}
}

// failing is a file whose disk breaks after the first row.
type failing struct{ fs.File }

func (failing) Stat() (fs.FileInfo, error) { return nil, errors.New("no information") }
func (failing) Close() error               { return nil }
func (failing) Read(p []byte) (int, error) {
	return copy(p, "a\n1\n"), &fs.PathError{Op: "read", Path: "in.csv", Err: syscall.EIO}
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	row := strings.Repeat("x", DefaultMaxRowBytes-1)
	s := sourceOf(t, "columns: {a: string}", "a\n"+strings.Repeat(row+"\n", 20))
	batches, rejects := read(t, s, 1000)
	if len(batches) < 3 || len(batches[0].Rows) != 9 || len(rejects) != 0 {
		t.Errorf("%d batches, the first of %d rows, %d rejects", len(batches), len(batches[0].Rows), len(rejects))
	}
}

func TestExampleOfSource(t *testing.T) {
	t.Parallel()
	if _, err := planSourceWith(sourceType.Example, map[string]string{"seattle-weather.csv": "date,temp_max,seen_at\n"}); err != nil {
		t.Error(err)
	}
}

// Whatever the input: no panic, and every row comes out or is set aside.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{
		"a,b,c\n1,x,2012-01-01\n", "a,b,c\n,,\n\"\",\"\",\"\"\n", "a,b,c\n1,\"x\ny\",2012-01-01\r\n1,\"x\n", "c,b,a\n2012-13-01,\xff,1e9\n\n\n", "\xef\xbb\xbfa,b,c",
	} {
		f.Add(seed, 2)
	}
	made := sourceOf(f, "columns: {a: int, b: string, c: date}", "a,b,c\n")
	f.Fuzz(func(t *testing.T, text string, max int) {
		if max < 1 || max > 1000 {
			return
		}
		s := &source{layout: made.layout, schema: made.schema, open: fstest.MapFS{"in.csv": {Data: []byte(text)}}.Open}
		if err := s.Open(t.Context()); err != nil {
			return
		}
		batches, rejects := read(t, s, max)
		rows, last := int64(0), 0
		for _, b := range batches {
			rows += int64(len(b.Rows))
			for i, line := range b.Lines {
				if line <= last || b.Rows[i][0].Kind() > workflow.KindInt {
					t.Fatalf("row on line %d after %d: %v", line, last, b.Rows[i])
				}
				last = line
			}
		}
		if rows+int64(len(rejects)) != s.RowsRead() {
			t.Fatalf("%d rows and %d rejects of %d rows read", rows, len(rejects), s.RowsRead())
		}
		for _, r := range rejects {
			if r.Line < 2 || r.Reason == "" || r.File != "in.csv" {
				t.Fatalf("reject %+v", r)
			}
		}
	})
}
