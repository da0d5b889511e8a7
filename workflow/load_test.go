package workflow

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func loadText(text string, inputs map[string]string) (*Definition, error) {
	fsys := fstest.MapFS{"w.yaml": {Data: []byte(text)}}
	return LoadFS(fsys, "w.yaml", LoadOptions{Registry: (&lab{}).registry(), Inputs: inputs})
}

// Req W1: a definition that is not valid is refused with all its mistakes,
// each with position, expectation and, where a name is close, a suggestion.
// Each testdata/bad/*.yaml has its messages beside it.
func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d test files: %v", len(paths), err)
	}
	for _, path := range paths {
		_, err := LoadFS(os.DirFS("testdata/bad"), filepath.Base(path), LoadOptions{Registry: (&lab{}).registry()})
		var problems Problems
		if !errors.As(err, &problems) || fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: got %v", path, err)
			continue
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".golden"
		got := []byte(err.Error() + "\n")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
	}
}

const goodText = `
name: weather
description: Counts.
inputs:
  least: {type: int, default: 3, doc: Smallest number kept.}
  label: {type: string, default: a}
batch_rows: 10
nodes:
  - id: small
    type: filter
    from: [one, two]
    with: {where: n >= inputs.least}
  - {id: one, type: source.rows, with: {columns: {n: int, s: string}, rows: 5, label: "${label}-$${x}"}}
  - {id: two, type: source.rows, with: {columns: {n: int, s: string}, rows: 5}}
  - {id: wider, type: compute, from: small, with: {set: {half: "double(n) / 2.0"}}}
  - {id: out, type: sink.memory, from: wider}
  - {id: rest, type: sink.memory, from: [small.else], doc: The others.}
`

// Req W1: edges with handles, schemas at every edge, inputs.
func TestGoodDefinition(t *testing.T) {
	t.Parallel()
	d, err := loadText(goodText, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "weather" || d.Description != "Counts." || d.BatchRows != 10 || d.QueueBatches != QueueBatchesDefault {
		t.Errorf("got %+v", d)
	}
	var edges []string
	for _, e := range d.Edges {
		edges = append(edges, fmt.Sprintf("%s.%s>%s (%s)", e.From, e.Handle, e.To, e.Schema))
	}
	want := "one.out>small (n int, s string); two.out>small (n int, s string); small.out>wider (n int, s string); " +
		"wider.out>out (n int, s string, half float); small.else>rest (n int, s string)"
	if got := strings.Join(edges, "; "); got != want {
		t.Errorf("edges: %s\nwant   %s", got, want)
	}
	if d.Nodes[0].ID != "small" || d.Nodes[5].Doc != "The others." || d.Nodes[4].Schema.Len() != 3 {
		t.Errorf("nodes: %+v", d.Nodes)
	}
	if d.Inputs[0].Value != Int(3) || d.Inputs[1].Value != String("a") {
		t.Errorf("inputs: %+v", d.Inputs)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	d, err := loadText(goodText, map[string]string{"least": "5", "label": "z"})
	if err != nil || d.Inputs[0].Value != Int(5) || d.Inputs[1].Value != String("z") {
		t.Errorf("got %v, %v", d, err)
	}
	for _, tc := range []struct {
		inputs map[string]string
		want   string
	}{
		{map[string]string{"least": "many"}, `w.yaml: the value of the input "least": "many" is not an integer`},
		{map[string]string{"leest": "1"}, `w.yaml: the workflow has no input "leest"; did you mean "least"?`},
	} {
		_, err := loadText(goodText, tc.inputs)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%v: got %v, want %s", tc.inputs, err, tc.want)
		}
	}
}

func TestUnreadableDefinitions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := LoadOptions{Registry: (&lab{}).registry()}
	for _, tc := range []struct {
		path string
		want string
		code fault.Code
	}{
		{filepath.Join(dir, "none.yaml"), "no such file", fault.NotFound},
		{dir, "is a directory", fault.InvalidArgument},
	} {
		_, err := LoadFile(tc.path, options)
		if err == nil || !strings.Contains(err.Error(), tc.want) || fault.CodeOf(err) != tc.code {
			t.Errorf("%s: got %v", tc.path, err)
		}
	}
	if _, err := LoadFS(fstest.MapFS{}, "none.yaml", options); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestDefinitionTooLong(t *testing.T) {
	t.Parallel()
	_, err := loadText("#"+strings.Repeat("x", FileBytesMax), nil)
	if err == nil || !strings.Contains(err.Error(), "longer than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

// Req S5: whatever the text, there is a definition or problems with positions.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(goodText))
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := loadText(string(text), nil)
		if err == nil {
			if d.Name == "" || len(d.Nodes) == 0 {
				t.Fatalf("accepted as %+v", d)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, p := range problems {
			if p.File != "w.yaml" || p.Message == "" || p.Line < 1 || p.Column < 1 {
				t.Fatalf("no position: %+v", p)
			}
		}
	})
}

func TestRegistryRefusesMistakes(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][]Type{
		"source without prefix":    {SourceType[emptyConfig]{Name: "csv", Doc: "x"}},
		"sink named as a source":   {SinkType[emptyConfig]{Name: "source.csv", Doc: "x"}},
		"transform named as sink":  {TransformType[emptyConfig]{Name: "sink.csv", Doc: "x"}},
		"name with capitals":       {TransformType[emptyConfig]{Name: "Filter", Doc: "x"}},
		"no documentation":         {TransformType[emptyConfig]{Name: "filter"}},
		"the same name registered": {TransformType[emptyConfig]{Name: "filter", Doc: "x"}, TransformType[sumConfig]{Name: "filter", Doc: "x"}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewRegistry(types...)
		}()
	}
}

func TestRegistryDescribes(t *testing.T) {
	t.Parallel()
	var names []string
	for _, info := range (&lab{}).registry().Types() {
		names = append(names, string(info.Role)+" "+info.Name)
	}
	if got := strings.Join(names, ", "); got != "source source.rows, transform compute, transform filter, transform pairs, transform sum, sink sink.memory, "+
		"control approval, control branch, control foreach, control loop, control sleep, control value, control wait, control workflow" {
		t.Errorf("got %s", got)
	}
	info, ok := (&lab{}).registry().Lookup("filter")
	if !ok || fmt.Sprint(info.Outputs) != "[out else]" || info.Config[0].Type != "expression" || !info.Config[0].Required {
		t.Errorf("got %+v", info)
	}
}
