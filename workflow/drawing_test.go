package workflow

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// drawn is a definition with all that a drawing shows.
const drawn = `
name: a <b> & "c"
description: What it <is> for & "why".
nodes:
  - {id: rows, type: source.rows, doc: "makes <rows>", with: {columns: {n: int}, rows: 1}}
  - {id: few, type: filter, from: rows, with: {where: n > 3}}
  - {id: both, type: pairs, from: {left: few, right: others}}
  - {id: others, type: source.rows, with: {columns: {m: int}, rows: 1}}
  - {id: rest, type: sink.memory, from: few.else}
  - {id: out, type: sink.memory, from: both}
  - id: each
    type: foreach
    after: out
    with: {items: "[1, 2]"}
    do:
      - {id: check, type: branch, with: {cases: {large: item > 1}}}
      - {id: end, type: value, after: check.large, with: {output: item}}
      - id: again
        type: loop
        after: check.else
        with: {while: iteration < 3}
        do:
          - {id: subgraph, type: sleep, with: {for: 1s}}
  - {id: ok, type: approval, after: each, with: {title: Fine?}}
  - {id: tell, type: value, after: [ok.rejected, each.failed, out.failed], with: {output: "1"}}
`

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed; run with -update to accept it. Now:\n%s", path, got)
	}
}

// Req W1: a definition can be drawn, with what lies in a loop within its box; its
// texts are no markup.
func TestDrawings(t *testing.T) {
	t.Parallel()
	d, err := loadText(drawn, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "graph", "all.mmd"), []byte(d.Mermaid()))
	picture, err := d.SVG()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "graph", "all.svg"), picture)
	decoder := xml.NewDecoder(bytes.NewReader(picture))
	elements, texts := map[string]int{}, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
		case xml.CharData:
			texts += string(token) + "\n"
		}
	}
	if want := 1 + 2*len(d.Nodes); elements["rect"] != want || elements["path"] != 2*(len(d.Edges)+len(d.After)) || elements["b"] != 0 {
		t.Errorf("elements %v; want %d rectangles and two paths for each of %d edges", elements, want, len(d.Edges)+len(d.After))
	}
	for _, want := range []string{`a <b> & "c"`, `What it <is> for & "why".`, "makes <rows>", "large", "rejected", "right"} {
		if !strings.Contains(texts, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
}

// A graph that is long turns downwards, and names that are long are cut.
func TestDrawingOfManyNodes(t *testing.T) {
	t.Parallel()
	text := "name: long\nnodes:\n  - {id: n0, type: value, with: {output: '1'}}\n"
	for i := 1; i < 60; i++ {
		text += fmt.Sprintf("  - {id: n%d, type: value, after: n%d, with: {output: '1'}}\n", i, i-1)
	}
	long := strings.Repeat("very_", 12)
	text += "  - {id: " + long + ", type: value, with: {output: '1'}}\n"
	d, err := loadText(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.draw()
	if err != nil || g.layout.Width > drawTurn || g.layout.Height < 60*drawNodeHeight {
		t.Fatalf("%v by %v pixels: %v", g.layout.Width, g.layout.Height, err)
	}
	picture, err := d.SVG()
	if err != nil || !bytes.Contains(picture, []byte("…</text>")) || !bytes.Contains(picture, []byte("<title>"+long)) {
		t.Errorf("a long name is not cut, or its whole is not told: %v", err)
	}
}

// A graph beyond what can be drawn is refused with a way out.
func TestDrawingTooLarge(t *testing.T) {
	t.Parallel()
	d, err := loadText(drawn, nil)
	if err != nil {
		t.Fatal(err)
	}
	many := *d
	for range 10_001 {
		many.After = append(many.After, Dependency{From: "out", Handle: doneHandle, To: "each"})
	}
	if _, err := many.SVG(); fault.CodeOf(err) != fault.ResourceExhausted || !strings.Contains(err.Error(), "workflows of their own") {
		t.Errorf("got %v", err)
	}
}
