package sql

import (
	"bufio"
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// Variables of the crash harness.
const (
	crashDir    = "TROUPE_CRASH_DIR"    // makes the process a child, which works there
	crashRounds = "TROUPE_CRASH_ROUNDS" // how often a process is killed
	crashSeed   = "TROUPE_CRASH_SEED"   // when it is killed
)

const (
	crashRows     = 40
	crashWorkflow = `
name: crash
batch_rows: 10
inputs:
  tag: {type: int}
nodes:
  - {id: in, type: source.sequence, with: {column: n, start: 1, count: 40}}
  - {id: table, type: sink.sql, from: in, with: {database: "sqlite:out.db", table: "t${tag}", create: true}}
  - {id: file, type: sink.csv, from: in, with: {path: "${tag}.csv"}}
`
)

// crashEngine opens an engine in a directory, with the workflow deployed.
func crashEngine(t *testing.T, dir string) (e *workflow.Engine, end func()) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	csv.Register(r)
	files := fstest.MapFS{"w.yaml": {Data: []byte(crashWorkflow)}}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: dir})
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
	dir := os.Getenv(crashDir)
	if dir == "" {
		return // not a child
	}
	e, _ := crashEngine(t, dir)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				tag := fmt.Sprint(os.Getpid()*100_000 + worker*10_000 + i)
				r, err := e.Start(context.Background(), "crash", workflow.StartOptions{Inputs: map[string]string{"tag": tag}})
				if err == nil {
					fmt.Println("started", tag)
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
	seed, rounds := uint64(time.Now().UnixNano()), 4
	if text := os.Getenv(crashSeed); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv(crashRounds); text != "" {
		rounds, _ = strconv.Atoi(text)
	}
	t.Logf("%s=%d", crashSeed, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	started := map[string]bool{}
	for range rounds {
		killChild(t, dir, 1+random.IntN(25), started)
		files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			checkWhole(t, file)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	e, end := crashEngine(t, dir)
	defer end()
	runs, err := e.Runs(ctx, workflow.RunFilter{Limit: 10_000})
	if err != nil || len(runs) < len(started) {
		t.Fatalf("%d runs, %d were acknowledged, %v", len(runs), len(started), err)
	}
	// Runs write while their neighbours' rows are counted.
	db, err := dbsql.Open("sqlite", filepath.Join(dir, "out.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, summary := range runs {
		r, err := e.Run(ctx, summary.ID)
		if err != nil {
			t.Fatal(err)
		}
		info, err := r.Wait(ctx)
		if err != nil {
			t.Fatalf("%s: %v", summary.ID, err)
		}
		tag := info.Start.Inputs["tag"]
		delete(started, tag)
		var rows, different int
		if err := db.QueryRow(`SELECT count(*), count(DISTINCT n) FROM "t`+tag+`"`).Scan(&rows, &different); err != nil || rows != crashRows || different != crashRows {
			t.Errorf("t%s has %d rows, %d of them different, %v", tag, rows, different, err)
		}
		checkWhole(t, filepath.Join(dir, tag+".csv"))
	}
	if len(started) > 0 {
		t.Errorf("lost: %v", started)
	}
	t.Logf("%d runs", len(runs))
}

// killChild starts a process and kills it once it has started so many runs.
func killChild(t *testing.T, dir string, after int, started map[string]bool) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashedProcess$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	lines := bufio.NewScanner(out)
	for n := 0; n < after && lines.Scan(); n++ {
		said = append(said, lines.Text())
		if tag, ok := strings.CutPrefix(lines.Text(), "started "); ok {
			started[tag] = true
		}
	}
	_ = child.Process.Kill() // it may have ended by itself, which is found below
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process ended by itself: %v\n%s", err, strings.Join(said, "\n"))
	}
}

// checkWhole reports a file that lacks rows.
func checkWhole(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if lines := strings.Count(string(text), "\n"); err != nil || lines != crashRows+1 {
		t.Errorf("%s has %d lines, %v", filepath.Base(file), lines, err)
	}
}
