package csv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
)

// none is the configuration of node types that need none.
type none struct{}

// planSourceWith checks the with block of a source, beside the given files.
func planSourceWith(with string, files map[string]string) (workflow.SourcePlan, error) {
	var got workflow.SourcePlan
	typ := sourceType
	typ.Plan = func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		got = planSource(c, config)
		return got
	}
	sinkType := workflow.SinkType[none]{Name: "sink.test", Doc: "Rows.", Plan: func(*workflow.Check, none) workflow.SinkPlan { return workflow.SinkPlan{} }}
	err := load(workflow.NewRegistry(typ, sinkType), files,
		"  - id: in\n    type: source.csv\n    with:\n"+indent(with)+"  - {id: out, type: sink.test, from: in}\n")
	return got, err
}

// planSinkWith checks the with block of a sink for rows of a schema.
func planSinkWith(with string, schema workflow.Schema) error {
	sourceType := workflow.SourceType[none]{Name: "source.test", Doc: "Rows.", Plan: func(*workflow.Check, none) workflow.SourcePlan {
		return workflow.SourcePlan{Schema: schema}
	}}
	return load(workflow.NewRegistry(sourceType, sinkType), nil,
		"  - {id: in, type: source.test}\n  - id: out\n    type: sink.csv\n    from: in\n    with:\n"+indent(with))
}

func load(registry *workflow.Registry, files map[string]string, nodes string) error {
	fsys := fstest.MapFS{"w.yaml": {Data: []byte("name: test\nnodes:\n" + nodes)}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, err := workflow.LoadFS(fsys, "w.yaml", workflow.LoadOptions{Registry: registry})
	return err
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ") + "\n"
}

// sourceOf makes a source of one file's text as the definition would.
func sourceOf(t testing.TB, with, text string) *source {
	t.Helper()
	files := fstest.MapFS{"in.csv": {Data: []byte(text)}}
	p, err := planSourceWith("path: in.csv\n"+with, map[string]string{"in.csv": text})
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.New(&workflow.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*source)
	s.open = files.Open
	return s
}

// read reads a source to its end in batches of up to max rows.
func read(t testing.TB, s workflow.Source, max int) (batches []workflow.Batch, rejects []workflow.Reject) {
	t.Helper()
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	for {
		b, r, err := s.Read(context.Background(), max)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if len(b.Rows) > max || len(b.Lines) != len(b.Rows) {
			t.Fatalf("a batch of %d rows and %d lines, at most %d were asked for", len(b.Rows), len(b.Lines), max)
		}
		batches, rejects = append(batches, b), append(rejects, r...)
		if err != nil {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return batches, rejects
}

// show prints rows with their lines, and rejects.
func show(batches []workflow.Batch, rejects []workflow.Reject) (rows, set []string) {
	for _, b := range batches {
		for i, row := range b.Rows {
			var texts []string
			for _, v := range row {
				text := v.String()
				if v.IsNull() {
					text = "-"
				} else if v.Kind() == workflow.KindString {
					text = "'" + text + "'"
				}
				texts = append(texts, text)
			}
			rows = append(rows, fmt.Sprintf("%d: %s", b.Line(i), strings.Join(texts, " ")))
		}
	}
	for _, r := range rejects {
		set = append(set, fmt.Sprintf("%s:%d %s %q %s", r.File, r.Line, r.Column, r.Raw, r.Reason))
	}
	return rows, set
}
