package transform

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
)

// plan checks a with block of a node type over rows of a schema, as a
// definition with that node between a source and a sink would.
func plan[C any](typ workflow.TransformType[C], schema workflow.Schema, with string) (workflow.TransformPlan, error) {
	var got workflow.TransformPlan
	inner := typ.Plan
	typ.Plan = func(c *workflow.Check, config C) workflow.TransformPlan {
		got = inner(c, config)
		return got
	}
	type none struct{}
	registry := workflow.NewRegistry(
		workflow.SourceType[none]{Name: "source.test", Doc: "Rows.", Plan: func(*workflow.Check, none) workflow.SourcePlan {
			return workflow.SourcePlan{Schema: schema}
		}},
		workflow.SinkType[none]{Name: "sink.test", Doc: "Rows.", Plan: func(*workflow.Check, none) workflow.SinkPlan { return workflow.SinkPlan{} }},
		typ,
	)
	text := "name: test\nnodes:\n" +
		"  - {id: in, type: source.test}\n" +
		"  - id: node\n    type: " + typ.Name + "\n    from: in\n    with:\n      " + strings.ReplaceAll(strings.TrimSpace(with), "\n", "\n      ") + "\n" +
		"  - {id: out, type: sink.test, from: node}\n"
	_, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: registry})
	return got, err
}

// build makes the transform of a with block.
func build[C any](t *testing.T, typ workflow.TransformType[C], schema workflow.Schema, with string) (workflow.Transform, workflow.Schema) {
	t.Helper()
	p, err := plan(typ, schema, with)
	if err != nil {
		t.Fatal(err)
	}
	transform, err := p.New(&workflow.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return transform, p.Schema
}

// result is what a transform made of some batches.
type result struct {
	rows    []string
	side    []string // rows of the side outputs, as handle: row
	rejects []string
	lines   []int
	dropped int
}

// run sends batches through a transform. It checks what the engine does: every
// batch has the promised schema, and every row is accounted for.
func run(t *testing.T, transform workflow.Transform, schema workflow.Schema, batches ...workflow.Batch) result {
	t.Helper()
	var r result
	for _, in := range batches {
		out, err := transform.Apply(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		accounted := len(out.Batch.Rows) + len(out.Rejects) + out.Filtered + out.Held
		for handle, b := range out.Side {
			accounted += len(b.Rows)
			for _, row := range b.Rows {
				r.side = append(r.side, handle+": "+show(row))
			}
		}
		if accounted != len(in.Rows)+out.Made {
			t.Fatalf("%d of %d rows are accounted for", accounted, len(in.Rows))
		}
		r.take(t, out, schema)
	}
	out, err := transform.Flush(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.take(t, out, schema)
	return r
}

func (r *result) take(t *testing.T, out workflow.Output, schema workflow.Schema) {
	t.Helper()
	if len(out.Batch.Rows) > 0 && !out.Batch.Schema.Equal(schema) {
		t.Fatalf("schema = %s, promised was %s", out.Batch.Schema, schema)
	}
	if out.Batch.Lines != nil && len(out.Batch.Lines) != len(out.Batch.Rows) {
		t.Fatalf("%d lines for %d rows", len(out.Batch.Lines), len(out.Batch.Rows))
	}
	for _, row := range out.Batch.Rows {
		if len(row) != schema.Len() {
			t.Fatalf("a row of %d values for %d columns", len(row), schema.Len())
		}
		for i, v := range row {
			if v.Kind() != schema.Column(i).Kind && !v.IsNull() {
				t.Fatalf("column %q holds a %s, promised was %s", schema.Column(i).Name, v.Kind(), schema.Column(i).Kind)
			}
		}
		r.rows = append(r.rows, show(row))
	}
	r.lines = append(r.lines, out.Batch.Lines...)
	r.dropped += out.Filtered
	for _, reject := range out.Rejects {
		r.rejects = append(r.rejects, fmt.Sprintf("%s:%d %s [%s] %s", reject.File, reject.Line, reject.Column, reject.Raw, reject.Reason))
	}
}

// show prints a row with a dash for nulls.
func show(row workflow.Row) string {
	var texts []string
	for _, v := range row {
		text := v.String()
		if v.IsNull() {
			text = "-"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// rowsOf makes a batch of rows of texts; a dash is a null.
func rowsOf(t *testing.T, schema workflow.Schema, rows ...string) workflow.Batch {
	t.Helper()
	b := workflow.Batch{Schema: schema, File: "in.csv"}
	for n, text := range rows {
		var row workflow.Row
		for i, field := range strings.Fields(text) {
			if field == "-" {
				row = append(row, workflow.Null())
				continue
			}
			v, err := workflow.ParseValue(schema.Column(i).Kind, field)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		b.Rows = append(b.Rows, row)
		b.Lines = append(b.Lines, n+2)
	}
	return b
}
