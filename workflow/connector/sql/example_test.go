package sql_test

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/sql"
	"github.com/troupe-dev/troupe/workflow/transform"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// Two sinks write tables of one file. They appear together.
func Example() {
	files := fstest.MapFS{
		"rain.csv": {Data: []byte("day,mm\n2012-01-01,0\n2012-01-02,10.9\n2012-01-03,0.8\n")},
		"rain.yaml": {Data: []byte(`
name: rain
nodes:
  - {id: rain, type: source.csv, with: {path: rain.csv, columns: {day: date, mm: float}}}
  - {id: wet, type: filter, from: rain, with: {where: mm > 0.0}}
  - {id: all, type: sink.sql, from: rain, with: {database: "sqlite:rain.db", table: days, create: true}}
  - {id: some, type: sink.sql, from: wet, with: {database: "sqlite:rain.db", table: wet_days, create: true}}
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
	sql.Register(registry)
	transform.Register(registry)
	definition, err := workflow.LoadFS(files, "rain.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := workflowtest.Run(context.Background(), definition, workflow.EngineOptions{Registry: registry, Files: files, OutputDir: dir}); err != nil {
		fmt.Println(err)
		return
	}

	db, err := stdsql.Open("sqlite", filepath.Join(dir, "rain.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	var days, wet int
	var most float64
	err = db.QueryRow("SELECT (SELECT count(*) FROM days), count(*), max(mm) FROM wet_days").Scan(&days, &wet, &most)
	fmt.Println(days, "days,", wet, "wet, at most", most, "mm", err)
	// Output: 3 days, 2 wet, at most 10.9 mm <nil>
}
