package csv

import (
	stdcsv "encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads every record; a broken one is shown as its line, raw text and
// the beginning of its reason.
func readAll(t *testing.T, r *recordReader) []string {
	t.Helper()
	if err := r.skipBOM(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		rec, err := r.next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.reason != "" {
			got = append(got, fmt.Sprintf("%d! %q %.40s", rec.line, rec.raw, rec.reason))
			continue
		}
		var texts []string
		for _, f := range rec.fields {
			text := f.text
			if f.quoted {
				text = "'" + text + "'"
			}
			texts = append(texts, text)
		}
		got = append(got, fmt.Sprintf("%d: %q", rec.line, texts))
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want []string
	}{
		{"nothing", "", nil},
		{"plain", "a,b\nc,d\n", []string{`1: ["a" "b"]`, `2: ["c" "d"]`}},
		{"no last line end", "a,b", []string{`1: ["a" "b"]`}},
		{"carriage returns", "a,b\r\nc,d\r", []string{`1: ["a" "b"]`, `2: ["c" "d"]`}},
		{"byte order mark", "\xef\xbb\xbfa,b\n", []string{`1: ["a" "b"]`}},
		{"empty fields", ",\n,,", []string{`1: ["" ""]`, `2: ["" "" ""]`}},
		{"empty lines", "a\n\nb\n", []string{`1: ["a"]`, `2: [""]`, `3: ["b"]`}},
		{"quotes", `"a","b,c",""` + "\n", []string{`1: ["'a'" "'b,c'" "''"]`}},
		{"doubled quotes", `"a ""b"" c",""""` + "\n", []string{`1: ["'a \"b\" c'" "'\"'"]`}},
		{"line breaks in quotes", "a,\"b\r\nc\"\r\nd,e\n", []string{`1: ["a" "'b\r\nc'"]`, `3: ["d" "e"]`}},
		{"quoted last field before CR LF", "\"a\"\r\nb\r\n", []string{`1: ["'a'"]`, `2: ["b"]`}},
		{"bare quote", "a,5\" pipe\nb,c\n", []string{
			`1! "a,5\" pipe" a quote stands inside an unquoted field;`, `2: ["b" "c"]`}},
		{"text after a quote", "\"a\"x,b\nc,d\n", []string{
			`1! "\"a\"x,b" text follows a closing quote; expected '`, `2: ["c" "d"]`}},
		{"open quote costs one line", "a,\"b\nc,d\ne,\"f\"\n", []string{
			`1! "a,\"b" text follows a closing quote; expected '`, `2: ["c" "d"]`, `3: ["e" "'f'"]`}},
		{"open to the end", "a,\"b\nc,d\n", []string{
			`1! "a,\"b" a quoted field is not closed before the `, `2: ["c" "d"]`}},
		{"open at the end", "a\n\"", []string{`1: ["a"]`, `2! "\"" a quoted field is not closed before the `}},
		{"row too long", "a\n" + strings.Repeat("x", 70) + "\nb\n", []string{
			`1: ["a"]`, fmt.Sprintf(`2! %q the row has 70 bytes; at most 64 are rea`, strings.Repeat("x", 64)), `3: ["b"]`}},
		{"longest row", strings.Repeat("x", 64) + "\r\nb\r\n", []string{
			fmt.Sprintf(`1: [%q]`, strings.Repeat("x", 64)), `2: ["b"]`}},
		{"quoted row too long", "\"a\n" + strings.Repeat("b\n", 40) + "c,d\n", slices.Concat(
			[]string{`1! "\"a" a quoted field is not closed within 64 b`}, numbered(2, 40, `["b"]`), []string{`42: ["c" "d"]`})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, src := range map[string]io.Reader{
				"at once":       strings.NewReader(tt.in),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(tt.in)),
				"data with EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				if got := readAll(t, newRecordReader(src, ',', 64)); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%s:\n got %v\nwant %v", how, strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
				}
			}
		})
	}
}

func numbered(first, n int, text string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%d: %s", first+i, text)
	}
	return lines
}

func TestRecordsGrowTheWindow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`x""y`+"\n", 50_000)
	in := "a\n\"" + long + "\",b\nc,d\n"
	r := newRecordReader(iotest.HalfReader(strings.NewReader(in)), ',', DefaultMaxRowBytes)
	r.next()
	rec, err := r.next()
	if err != nil || rec.reason != "" {
		t.Fatal(err, rec.reason)
	}
	if want := strings.ReplaceAll(long, `""`, `"`); len(rec.fields) != 2 || rec.fields[0].text != want {
		t.Errorf("%d fields, first of %d bytes, want 2, %d", len(rec.fields), len(rec.fields[0].text), len(want))
	}
	if rec, _ = r.next(); rec.line != 50_003 || rec.raw != "c,d" {
		t.Errorf("next record: line %d, %q", rec.line, rec.raw)
	}
}

func TestRecordsGiveTheReadersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("cable pulled")
	for _, in := range []string{"a,b\nc,", "a,b\n\"c", "a,b\n" + strings.Repeat("x", 100)} {
		r := newRecordReader(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), ',', 64)
		if _, err := r.next(); err != nil {
			t.Errorf("%q: first record: %v", in, err)
		}
		if _, err := r.next(); err != broken {
			t.Errorf("%q: error = %v, want %v", in, err, broken)
		}
	}
	if _, err := newRecordReader(stuck{}, ',', 64).next(); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v, want %v", err, io.ErrNoProgress)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestUTF16IsRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"\xff\xfea\x00", "\xfe\xff\x00a"} {
		if err := newRecordReader(strings.NewReader(in), ',', 64).skipBOM(); err != errUTF16 {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// Whatever the input: no line is lost or read twice, and where encoding/csv
// can read the whole input, both read the same.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		"", "a,b\nc,d\n", "\"a\n\"\"b\",c\r\n", "\"\n\"\n\"", "a\"b\n", "\"a\"b\n\"", "x,\"\n,\"\n", "\r\n\r", "\xef\xbb\xbf\"a", ",,,\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := newRecordReader(strings.NewReader(in), ',', 1<<16)
		if r.skipBOM() != nil {
			return
		}
		text := strings.TrimPrefix(in, "\xef\xbb\xbf")
		var raws []string
		var clean [][]string
		broken := false
		line := 1
		for {
			rec, err := r.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.line != line {
				t.Fatalf("record begins on line %d, want %d", rec.line, line)
			}
			line += 1 + strings.Count(rec.raw, "\n")
			raws = append(raws, rec.raw)
			broken = broken || rec.reason != ""
			if rec.raw != "" {
				clean = append(clean, texts(rec.fields))
			}
		}
		if got, want := withoutLineEnds(strings.Join(raws, "\n")), withoutLineEnds(text); got != want {
			t.Fatalf("read %q, want %q", got, want)
		}
		std := stdcsv.NewReader(strings.NewReader(text))
		std.FieldsPerRecord = -1
		// encoding/csv turns CR LF in quotes into LF; this package keeps it.
		if want, err := std.ReadAll(); err == nil && !strings.Contains(text, "\r") {
			if broken || !reflect.DeepEqual(clean, want) {
				t.Fatalf("read %q (broken: %v), encoding/csv reads %q", clean, broken, want)
			}
		}
	})
}

func texts(fields []field) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.text)
	}
	return all
}

func withoutLineEnds(s string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(s)
}
