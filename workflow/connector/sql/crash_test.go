package sql

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/transform"
)

// crashWorkflow writes rows that no other run writes, into a table that all runs
// share, and into a file of its own.
const (
	crashRows     = 40
	crashWorkflow = `
name: crash
batch_rows: 10
inputs:
  first: {type: int}
nodes:
  - {id: in, type: source.sequence, with: {column: i, start: 0, count: 40}}
  - {id: rows, type: map, from: in, with: {columns: {n: inputs.first + i}}}
  - {id: table, type: sink.sql, from: rows, with: {database: "DATABASE", table: numbers, create: true}}
  - {id: file, type: sink.csv, from: rows, with: {path: "${first}.csv"}}
`
)

// crashPlaces are where processes that are killed have what lasts.
type crashPlaces struct {
	dir      string // files
	store    string // the address of the store: a path is SQLite's
	database string // the URL of the sink's
}

// crashEngine opens an engine, with the workflow deployed.
func crashEngine(t *testing.T, at crashPlaces) (e *workflow.Engine, end func()) {
	t.Helper()
	ctx := context.Background()
	var s store.Store
	var err error
	if filepath.IsAbs(at.store) {
		s, err = sqlite.Open(ctx, at.store, sqlite.Options{})
	} else {
		s, err = postgres.Open(ctx, at.store, postgres.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	transform.Register(r)
	csv.Register(r)
	files := fstest.MapFS{"w.yaml": {Data: []byte(strings.Replace(crashWorkflow, "DATABASE", at.database, 1))}}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: at.dir})
	if err != nil {
		t.Fatal(err)
	}
	d, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: r, Open: true})
	if err == nil {
		_, err = e.Deploy(ctx, d, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return e, func() {
		if err := errors.Join(sys.Stop(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestCrashedProcess is the process that is killed: it starts runs and says which.
func TestCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	e, _ := crashEngine(t, crashPlaces{child.Args[0], child.Args[1], child.Args[2]})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				first := strconv.Itoa((os.Getpid()*100_000 + worker*10_000 + i) * 100)
				r, err := e.Start(context.Background(), "crash", workflow.StartOptions{Inputs: map[string]string{"first": first}})
				if err == nil {
					child.Say("%s", first)
					_, err = r.Wait(context.Background())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Req W4, W7: however often the process is killed, each row of a run is in the
// database once, and a file is whole or absent.
func TestKilledSinks(t *testing.T) {
	t.Parallel()
	lite := func(t *testing.T, name string) string { t.Helper(); return filepath.Join(t.TempDir(), name) }
	for name, places := range map[string]func(t *testing.T) crashPlaces{
		"SQLite": func(t *testing.T) crashPlaces {
			return crashPlaces{store: lite(t, "s.db"), database: "sqlite:out.db"}
		},
		"PostgreSQL": func(t *testing.T) crashPlaces {
			return crashPlaces{store: lite(t, "s.db"), database: postgrestest.Start(t)}
		},
		"MariaDB": func(t *testing.T) crashPlaces {
			return crashPlaces{store: lite(t, "s.db"), database: startMariaDB(t)}
		},
		"PostgreSQL with its store there": func(t *testing.T) crashPlaces {
			return crashPlaces{store: postgrestest.Start(t), database: postgrestest.Start(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := places(t)
			at.dir = t.TempDir()
			playSinks(t, at)
		})
	}
}

func playSinks(t *testing.T, at crashPlaces) {
	t.Helper()
	h := crashtest.New(t, 3)
	found := &sinkEvidence{}
	for range h.Rounds {
		p := h.Start("TestCrashedProcess", at.dir, at.store, at.database)
		p.Await(1 + h.Random.IntN(20))
		h.Linger(p, 30*time.Millisecond)
		found.acked = append(found.acked, p.Kill()...)
		for _, wrong := range found.files(t, at.dir) {
			t.Error(wrong)
		}
	}
	found.read(t, at)
	for _, wrong := range found.wrong() {
		t.Error(wrong)
	}
	t.Logf("%d runs, %d of them acknowledged", len(found.runs), len(found.acked))
}

// sinkEvidence is what is left when processes have been killed and the last one
// has ended all runs. Runs are called by the number of their first row.
type sinkEvidence struct {
	acked []string
	runs  map[string]error // and how they ended
	rows  map[int64]int    // how often each is in the table
	lines map[string]int   // of files, by their names
}

// files counts lines, and says which files are not whole.
func (f *sinkEvidence) files(t *testing.T, dir string) (wrong []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	f.lines = map[string]int{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f.lines[filepath.Base(name)] = strings.Count(string(text), "\n")
	}
	return f.cut()
}

// cut says which files are not whole.
func (f *sinkEvidence) cut() (wrong []string) {
	for name, lines := range f.lines {
		if lines != crashRows+1 {
			wrong = append(wrong, fmt.Sprintf("%s has %d lines", name, lines))
		}
	}
	return wrong
}

// read lets all runs end, and looks at what they have written.
func (f *sinkEvidence) read(t *testing.T, at crashPlaces) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a net for what hangs
	defer cancel()
	e, end := crashEngine(t, at)
	defer end()
	f.runs, f.rows = map[string]error{}, map[int64]int{}
	for filter := (workflow.RunFilter{Workflow: "crash", Limit: 1000}); ; {
		page, err := e.Runs(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, summary := range page {
			r, err := e.Run(ctx, summary.ID)
			if err != nil {
				t.Fatal(err)
			}
			info, err := r.Wait(ctx)
			f.runs[info.Start.Inputs["first"]] = err
		}
		filter.After = page[len(page)-1].ID
	}
	f.files(t, at.dir)
	db, err := openCrashed(at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT n FROM numbers")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		f.rows[n]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func openCrashed(at crashPlaces) (*dbsql.DB, error) {
	if path, ok := sqlitePath(at.database); ok {
		return dbsql.Open("sqlite", filepath.Join(at.dir, path)+"?_pragma=busy_timeout(60000)")
	}
	return openURL(at.database)
}

// wrong says what must not be.
func (f *sinkEvidence) wrong() (wrong []string) {
	for _, first := range f.acked {
		if _, there := f.runs[first]; !there {
			wrong = append(wrong, fmt.Sprintf("the run of %s is lost", first))
		}
	}
	for first, err := range f.runs {
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("the run of %s: %v", first, err))
		}
		if f.lines[first+".csv"] == 0 {
			wrong = append(wrong, fmt.Sprintf("the file of %s is lost", first))
		}
		n, _ := strconv.ParseInt(first, 10, 64)
		for i := n; i < n+crashRows; i++ {
			if f.rows[i] != 1 {
				wrong = append(wrong, fmt.Sprintf("row %d is there %d times", i, f.rows[i]))
			}
		}
	}
	if want := len(f.runs) * crashRows; len(f.rows) != want {
		wrong = append(wrong, fmt.Sprintf("%d rows of %d runs, want %d", len(f.rows), len(f.runs), want))
	}
	return append(wrong, f.cut()...)
}

// The checker finds what sinks must not do.
func TestKilledSinksCheckerFindsMutants(t *testing.T) {
	t.Parallel()
	right := func() *sinkEvidence {
		f := &sinkEvidence{acked: []string{"100"}, runs: map[string]error{"100": nil, "200": nil}, rows: map[int64]int{}, lines: map[string]int{"100.csv": 41, "200.csv": 41}}
		for i := range int64(crashRows) {
			f.rows[100+i], f.rows[200+i] = 1, 1
		}
		return f
	}
	if wrong := right().wrong(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for want, mutate := range map[string]func(f *sinkEvidence){
		"row 207 is there 2 times":   func(f *sinkEvidence) { f.rows[207] = 2 },
		"row 239 is there 0 times":   func(f *sinkEvidence) { delete(f.rows, 239) },
		"81 rows of 2 runs, want 80": func(f *sinkEvidence) { f.rows[7] = 1 },
		"the run of 300 is lost":     func(f *sinkEvidence) { f.acked = append(f.acked, "300") },
		"100.csv has 12 lines":       func(f *sinkEvidence) { f.lines["100.csv"] = 12 },
		"the file of 200 is lost":    func(f *sinkEvidence) { delete(f.lines, "200.csv") },
		"the run of 100: broken":     func(f *sinkEvidence) { f.runs["100"] = errors.New("broken") },
	} {
		f := right()
		mutate(f)
		if wrong := f.wrong(); !slices.Contains(wrong, want) {
			t.Errorf("it has found %q, want %q", wrong, want)
		}
	}
}
