package memory

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

func registry(store *Store) *workflow.Registry {
	r := workflow.NewRegistry()
	Register(r)
	store.Register(r)
	return r
}

const definition = `
name: test
batch_rows: 4
nodes:
  - {id: in, type: source.sequence, with: {count: 10, start: 5, step: -2}}
  - {id: out, type: sink.memory, from: in, with: {name: out}}
`

// Req W2
func TestSequence(t *testing.T) {
	t.Parallel()
	var store Store
	if _, err := (workflowtest.Files{"w.yaml": definition}).Run(t, registry(&store), ""); err != nil {
		t.Fatal(err)
	}
	rows := store.Rows("out")
	if len(rows) != 10 || rows[0][0] != workflow.Int(5) || rows[9][0] != workflow.Int(-13) {
		t.Errorf("rows %v", rows)
	}
}

// A pace is kept, and a wait ends with the run.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sequence{SequenceConfig: SequenceConfig{Count: 5, Step: 1, Every: time.Second}, schema: workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt})}
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		began, n := time.Now(), 0
		for {
			b, _, err := s.Read(t.Context(), 100)
			n += len(b.Rows)
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if d := time.Since(began); n != 5 || d != 4*time.Second {
			t.Errorf("%d numbers in %s", n, d)
		}
		s = &sequence{SequenceConfig: SequenceConfig{Count: 5, Every: time.Hour}, schema: s.schema, next: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Read(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStoreLimitAndKey(t *testing.T) {
	t.Parallel()
	var store Store
	text := strings.Replace(definition, "{name: out}", "{name: out, max_rows: 9}", 1)
	if _, err := (workflowtest.Files{"w.yaml": text}).Run(t, registry(&store), ""); err == nil || !strings.Contains(err.Error(), "there are more than 9 rows") || len(store.Rows("out")) != 0 {
		t.Errorf("got %v and %d rows", err, len(store.Rows("out")))
	}
	for range 2 {
		s := &sink{store: &store, key: "run/out/0", config: SinkConfig{Name: "k"}, rows: []workflow.Row{{workflow.Int(1)}}}
		if err := s.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(store.Rows("k")); n != 1 {
		t.Errorf("%d rows after the second commit", n)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"source.memory, with: {columns: {a: int, b: date}, rows: [[1, 2012-01-31], [x, null]]}": `w.yaml:3:95: nodes[0].with.rows[1][0]: "x" is not an integer`,
		"source.memory, with: {columns: {a: int}, rows: [[1, 2]]}":                              "the row has 2 values; expected 1",
		"source.memory, with: {columns: {a: int}, rows: [[[1]]]}":                               "expected a int",
		"source.sequence, with: {count: -1}":                                                    "-1 is out of range",
		"source.sequence, with: {count: 3, every: -1s}":                                         "-1s is out of range",
		"source.sequence, with: {count: 9223372036854775807, start: 10}":                        "the last number is no integer of 64 bits",
	} {
		text := "name: x\nnodes:\n  - {id: in, type: " + source + "}\n  - {id: out, type: sink.memory, from: in, with: {name: o}}\n"
		if _, err := (workflowtest.Files{"w.yaml": text}).Load(registry(&Store{})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
