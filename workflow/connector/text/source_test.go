package text

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// Req W2
func TestLines(t *testing.T) {
	t.Parallel()
	var store memory.Store
	r := workflow.NewRegistry()
	Register(r)
	store.Register(r)
	info, err := workflowtest.Files{
		"log.txt": "\xef\xbb\xbffirst\r\n\nthird \xff\n" + strings.Repeat("x", 21) + "\n" + strings.Repeat("y", 20) + "\nlast",
		"w.yaml": `
name: test
batch_rows: 2
nodes:
  - {id: in, type: source.text, with: {path: log.txt, column: text, number: n, max_row_bytes: 20}}
  - {id: out, type: sink.memory, from: in, with: {name: out}}
`}.Run(t, r, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range store.Rows("out") {
		got = append(got, row[1].String()+":"+row[0].Text())
	}
	if want := "1:first 2: 5:" + strings.Repeat("y", 20) + " 6:last"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(info.Rejects) != 2 || info.Rejects[0].Line != 3 || info.Rejects[0].Reason != "the line is not UTF-8" ||
		info.Rejects[1].Line != 4 || info.Rejects[1].Reason != "the line has 21 bytes; at most 20 are read" {
		t.Errorf("rejects %+v", info.Rejects)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	Register(r)
	new(memory.Store).Register(r)
	for with, want := range map[string]string{
		"{path: none.txt}":                        `cannot open "none.txt": no such file`,
		"{path: w.yaml, max_row_bytes: 0}":        "0 is out of range",
		"{path: w.yaml, column: a, number: a}":    `column "a" stands twice`,
		"{path: w.yaml, column: a, number: line}": "",
	} {
		_, err := workflowtest.Files{"w.yaml": "name: x\nnodes:\n  - {id: in, type: source.text, with: " + with + "}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"}.Load(r)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", with, err)
		}
	}
}
