package csv_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// A source reads a file of European spreadsheets, a sink writes it in the plain
// form. The row that has no date in it is set aside.
func Example() {
	files := fstest.MapFS{
		"rain.csv": {Data: []byte("tag;ort;mm\n31.1.2012;\"Halle (Saale)\";1.5\n32.1.2012;Jena;2\n1.2.2012;Jena;-\n")},
		"convert.yaml": {Data: []byte(`
name: convert
nodes:
  - id: in
    type: source.csv
    with:
      path: rain.csv
      delimiter: ;
      nulls: ['-']
      columns:
        tag: {type: date, layout: 2.1.2006}
        ort: string
        mm: float
  - {id: out, type: sink.csv, from: in, with: {path: out/rain.csv}}
`)},
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	registry := workflow.NewRegistry()
	csv.Register(registry)
	definition, err := workflow.LoadFS(files, "convert.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := workflowtest.Run(context.Background(), definition, workflow.EngineOptions{Registry: registry, Files: files, OutputDir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := os.ReadFile(filepath.Join(dir, "out", "rain.csv"))
	fmt.Print(string(text))
	for _, r := range info.Rejects {
		fmt.Printf("%s:%d: %s: %s\n", r.File, r.Line, r.Column, r.Reason)
	}
	// Output:
	// tag,ort,mm
	// 2012-01-31,Halle (Saale),1.5
	// 2012-02-01,Jena,
	// rain.csv:3: tag: "32.1.2012" is not a date written like 2.1.2006
}
