package console_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/console"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

func registry(w interface{ Write([]byte) (int, error) }) *workflow.Registry {
	r := workflow.NewRegistry()
	memory.Register(r)
	console.Register(r, w)
	return r
}

// Req W2: the first rows are shown, without what could harm a terminal.
func TestSink(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	_, err := workflowtest.Files{"w.yaml": `
name: test
nodes:
  - id: in
    type: source.memory
    with:
      columns: {city: string, mm: float}
      rows: [[Halle, 1.5], ["\e[31mred", null], [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, 1], [d, 1], [e, 2]]
  - {id: show, type: sink.console, from: in, with: {rows: 3}}
`}.Run(t, registry(&out), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 60) + "…"
	want := "show: 5 rows\ncity" + strings.Repeat(" ", 59) + "mm\nHalle" + strings.Repeat(" ", 58) + "1.5\n\ufffd[31mred" + strings.Repeat(" ", 55) + "null\n" + long + "  1\n… and 2 more\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the pipe is closed") }

func TestSinkFails(t *testing.T) {
	t.Parallel()
	files := workflowtest.Files{"w.yaml": "name: x\nnodes:\n  - {id: in, type: source.sequence, with: {count: 3}}\n  - {id: show, type: sink.console, from: in}\n"}
	if _, err := files.Run(t, registry(broken{}), t.TempDir()); err == nil || !strings.Contains(err.Error(), "the pipe is closed") {
		t.Errorf("got %v", err)
	}
	files["w.yaml"] = strings.Replace(files["w.yaml"], "from: in}", "from: in, with: {rows: 10001}}", 1)
	if _, err := files.Load(registry(os.Stdout)); err == nil || !strings.Contains(err.Error(), "10001 is out of range; expected 0 to 10000") {
		t.Errorf("got %v", err)
	}
}
