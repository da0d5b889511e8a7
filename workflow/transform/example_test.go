package transform_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/transform"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

const days = `day,sky,mm,people
2012-01-01,sun,0,10
2012-01-02,rain,10.5,0
2012-01-03,rain,1.5,4
2012-02-01,sun,0.1,2
2012-02-02,snow,,1
`

// show runs nodes between a source of days and a CSV file, and prints the file
// and the rows that were set aside. The last node is called result.
func show(nodes string) {
	files := fstest.MapFS{"days.csv": {Data: []byte(days)}, "example.yaml": {Data: []byte(`
name: example
nodes:
  - {id: days, type: source.csv, with: {path: days.csv, columns: {day: date, sky: string, mm: float, people: int}}}
` + nodes + `
  - {id: file, type: sink.csv, from: result, with: {path: result.csv}}
`)}}
	registry := workflow.NewRegistry()
	csv.Register(registry)
	transform.Register(registry)
	definition, err := workflow.LoadFS(files, "example.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	info, err := workflowtest.Run(context.Background(), definition, workflow.EngineOptions{Registry: registry, Files: files, OutputDir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := os.ReadFile(filepath.Join(dir, "result.csv"))
	fmt.Print(string(text))
	for _, r := range info.Rejects {
		fmt.Printf("set aside: line %d, %s: %s\n", r.Line, r.Column, r.Reason)
	}
}

// A condition that is null, as that of the last day is, is not true.
func Example_filter() {
	show(`
  - {id: result, type: filter, from: days, with: {where: mm < 1.0 && sky != 'rain'}}
`)
	// Output:
	// day,sky,mm,people
	// 2012-01-01,sun,0,10
	// 2012-02-01,sun,0.1,2
}

// The rows that a filter does not keep leave by its output else.
func Example_filterElse() {
	show(`
  - {id: dry, type: filter, from: days, with: {where: mm < 1.0}}
  - {id: wet, type: select, from: dry.else, with: {columns: [day, mm]}}
  - {id: result, type: sort, from: wet, with: {by: [day desc]}}
  - {id: rest, type: sink.csv, from: dry, with: {path: dry.csv}}
`)
	// Output:
	// day,mm
	// 2012-02-02,
	// 2012-01-03,1.5
	// 2012-01-02,10.5
}

// A row for which an expression fails is set aside.
func Example_compute() {
	show(`
  - id: shared
    type: map
    from: days
    with:
      columns:
        month: month(day)
        share: 20 / people
  - {id: result, type: select, from: shared, with: {columns: {m: month, share: share}}}
`)
	// Output:
	// m,share
	// 1,2
	// 1,5
	// 2,10
	// 2,20
	// set aside: line 3, share: division by zero
}

func Example_aggregate() {
	show(`
  - id: result
    type: aggregate
    from: days
    with:
      by: {month: month(day)}
      columns:
        days: count
        measured: {count: mm}
        mm: {sum: mm}
        mean: {avg: mm}
        skies: {count_distinct: sky}
        quiet: {count_if: people < 3}
`)
	// Output:
	// month,days,measured,mm,mean,skies,quiet
	// 1,3,3,12,4,2,1
	// 2,2,1,0.1,0.1,2,2
}

func Example_sortAndLimit() {
	show(`
  - {id: named, type: rename, from: days, with: {columns: {people: visitors}}}
  - {id: sorted, type: sort, from: named, with: {by: [visitors desc]}}
  - {id: result, type: limit, from: sorted, with: {rows: 2}}
`)
	// Output:
	// day,sky,mm,visitors
	// 2012-01-01,sun,0,10
	// 2012-01-03,rain,1.5,4
}
