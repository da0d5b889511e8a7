package parquet

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// read reads a file by a source.
func read(t *testing.T, with string, data []byte) (schema, rows string, rejects []workflow.Reject, err error) {
	t.Helper()
	var store memory.Store
	r := workflow.NewRegistry()
	Register(r)
	store.Register(r)
	files := workflowtest.Files{
		"f.parquet": string(data),
		"w.yaml":    "name: test\nbatch_rows: 7\nnodes:\n  - {id: in, type: source.parquet, with: {path: f.parquet" + with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n",
	}
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
			if v.IsNull() {
				texts[i] = "-"
			}
		}
		lines = append(lines, strings.Join(texts, "|"))
	}
	return d.Nodes[0].Schema.String(), strings.Join(lines, "\n"), info.Rejects, err
}

// Req W2: what the sink writes, the source reads, the columns in their order.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	text := `
name: test
nodes:
  - id: in
    type: source.memory
    with:
      columns: {z: int, f: float, a: string, b: bool, d: date, t: time}
      rows:
        - [-1, 0.1, "ä\n", true, 1912-01-31, "2012-01-31T10:00:00.123456789Z"]
        - [null, ~, ~, ~, ~, ~]
` + strings.Repeat("        - [9223372036854775807, -1e300, '', false, 2012-01-31, 1969-12-31T23:59:59Z]\n", 20) +
		"  - {id: out, type: sink.parquet, from: in, with: {path: o.parquet}}\n"
	info, err := workflowtest.Files{"w.yaml": text}.Run(t, r, dir)
	if err != nil || info.Nodes[1].Artifact.Type != "parquet" {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "o.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	schema, rows, rejects, err := read(t, "", data)
	want := "-1|0.1|ä\n|true|1912-01-31|2012-01-31T10:00:00.123456789Z\n-|-|-|-|-|-" +
		strings.Repeat("\n9223372036854775807|-1e+300||false|2012-01-31|1969-12-31T23:59:59Z", 20)
	if err != nil || schema != "z int, f float, a string, b bool, d date, t time" || rows != want || len(rejects) != 0 {
		t.Errorf("%s\n%s\n%v %v", schema, rows, rejects, err)
	}
	schema, rows, _, err = read(t, ", columns: [t, z]", data)
	if err != nil || schema != "t time, z int" || !strings.HasPrefix(rows, "2012-01-31T10:00:00.123456789Z|-1\n-|-\n") {
		t.Errorf("%s\n%s\n%v", schema, rows, err)
	}
	for with, want := range map[string]string{
		", columns: [zz]": `unknown column "zz"; expected one of z, f, a, b, d, t`,
	} {
		if _, _, _, err := read(t, with, data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// What other programs write: other widths, units, decimals, nested columns.
func TestForeignTypes(t *testing.T) {
	t.Parallel()
	type inner struct{ A, B int32 }
	type row struct {
		Small    int16     `parquet:"small"`
		Unsigned uint64    `parquet:"unsigned"`
		Ratio    float32   `parquet:"ratio"`
		Price    int64     `parquet:"price,decimal(2:18)"`
		Day      int32     `parquet:"day,date"`
		Milli    int64     `parquet:"milli,timestamp(millisecond)"`
		Micro    time.Time `parquet:"micro,timestamp(microsecond)"`
		ID       [16]byte  `parquet:"id,uuid"`
		Raw      []byte    `parquet:"raw"`
		Nested   inner     `parquet:"nested"`
		List     []int64   `parquet:"list,list"`
		Kind     string    `parquet:"kind,enum"`
		Absent   *float64  `parquet:"absent,optional"`
	}
	at := time.Date(2012, 1, 31, 10, 0, 0, 123456000, time.UTC)
	var file bytes.Buffer
	w := parquet.NewGenericWriter[row](&file)
	_, err := w.Write([]row{
		{Small: -3, Unsigned: 7, Ratio: 0.5, Price: -1250, Day: 15370, Milli: at.UnixMilli(), Micro: at, ID: [16]byte{1, 2}, Raw: []byte("ok"), List: []int64{1, 2, 3}, Kind: "a"},
		{Unsigned: 1 << 63, Raw: []byte("x"), Kind: "b"},
		{Raw: []byte{0xff}, Kind: "c"},
		{Raw: []byte("last"), Kind: "d", Nested: inner{1, 2}},
	})
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	_, _, _, err = read(t, "", file.Bytes())
	if err == nil || !strings.Contains(err.Error(), "the columns nested, list are nested or repeated; name the columns to read, without them") {
		t.Errorf("all columns: %v", err)
	}
	if _, _, _, err = read(t, ", columns: [list]", file.Bytes()); err == nil || !strings.Contains(err.Error(), `the column "list" is nested or repeated`) {
		t.Errorf("a list: %v", err)
	}
	schema, rows, rejects, err := read(t, ", columns: [small, unsigned, ratio, price, day, milli, micro, id, raw, kind, absent]", file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if want := "small int, unsigned int, ratio float, price float, day date, milli time, micro time, id string, raw string, kind string, absent float"; schema != want {
		t.Errorf("schema %s, want %s", schema, want)
	}
	want := "-3|7|0.5|-12.5|2012-01-31|2012-01-31T10:00:00.123Z|2012-01-31T10:00:00.123456Z|01020000-0000-0000-0000-000000000000|ok|a|-"
	if got := strings.Split(rows, "\n"); len(got) != 2 || got[0] != want || !strings.HasSuffix(got[1], "|last|d|-") {
		t.Errorf("rows\n%s\nwant\n%s", rows, want)
	}
	if len(rejects) != 2 || rejects[0].Column != "unsigned" || rejects[0].Line != 2 || rejects[1].Column != "raw" || rejects[1].Line != 3 {
		t.Errorf("rejects %+v", rejects)
	}
}

func TestDecimalBytes(t *testing.T) {
	t.Parallel()
	for text, n := range map[string]int64{"-12.34": -1234, "0.05": 5, "1": 100} {
		b := make([]byte, 16)
		v := new(big.Int).Add(big.NewInt(n), new(big.Int).Lsh(big.NewInt(1), 128))
		new(big.Int).Mod(v, new(big.Int).Lsh(big.NewInt(1), 128)).FillBytes(b)
		got, reason := readDecimal(parquet.FixedLenByteArray, 2)(parquet.FixedLenByteArrayValue(b))
		if got.String() != text || reason != "" {
			t.Errorf("%d: %s, %s; want %s", n, got, reason, text)
		}
	}
}

// Req S5
func TestDamaged(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "PAR1", "no parquet file at all", "PAR1" + strings.Repeat("\xff", 100) + "PAR1"} {
		_, _, _, err := read(t, "", []byte(data))
		if err == nil || !strings.Contains(err.Error(), "f.parquet: it is no Parquet file, or is damaged") || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// FuzzSource reads damaged files: an error or rows, no panic. Req S5
func FuzzSource(f *testing.F) {
	var file bytes.Buffer
	schema := workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt}, workflow.Column{Name: "s", Kind: workflow.KindString})
	w := parquet.NewGenericWriter[any](&file, schemaOf(schema))
	for i := range 10 {
		_, err := w.WriteRows([]parquet.Row{{parquet.Int64Value(int64(i)).Level(0, 1, 0), parquet.ByteArrayValue([]byte(fmt.Sprint("text", i))).Level(0, 1, 1)}})
		if err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes(), 5, byte(0))
	f.Add(file.Bytes(), 40, byte(0xff))
	f.Fuzz(func(t *testing.T, data []byte, at int, b byte) {
		if len(data) > 1<<14 {
			return
		}
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= b
		}
		s := &source{open: fstest.MapFS{"f": {Data: data}}.Open, path: "f", schema: schema}
		if err := s.Open(t.Context()); err != nil {
			if code := fault.CodeOf(err); code != fault.DataLoss && code != fault.FailedPrecondition {
				t.Errorf("open: %v", err)
			}
			return
		}
		for range 100 {
			if _, _, err := s.Read(t.Context(), 4); err != nil {
				if err != io.EOF && fault.CodeOf(err) != fault.DataLoss {
					t.Errorf("read: %v", err)
				}
				break
			}
		}
		_ = s.Close()
	})
}
