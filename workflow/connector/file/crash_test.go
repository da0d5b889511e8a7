package file_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/file"
)

const crashNodes = `
name: crash
inputs: {name: {type: string}}
nodes:
  - {id: in, type: source.watch, with: {folder: FOLDER, every: 100ms, stable: 0s, idle: 150ms, remember: true}}
  - {id: files, type: sink.csv, from: in, with: {path: "${name}.csv"}}
`

// crashEngine opens an engine whose workflow watches the folder in of a directory.
func crashEngine(t *testing.T, dir string) (e *workflow.Engine, end func()) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.NewRegistry()
	file.Register(r)
	csv.Register(r)
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, OutputDir: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(crashNodes, "FOLDER", strconv.Quote(filepath.Join(dir, "in")), 1)
	d, err := workflow.LoadText("crash.yaml", dir, []byte(text), workflow.LoadOptions{Registry: r, Open: true})
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

// crashRun ends the runs that are open, and then one of its own.
func crashRun(ctx context.Context, e *workflow.Engine, name string) error {
	open, err := e.Runs(ctx, workflow.RunFilter{States: []workflow.State{workflow.StateRunning}})
	if err != nil {
		return err
	}
	for _, summary := range open {
		run, err := e.Run(ctx, summary.ID)
		if err == nil {
			_, err = run.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	run, err := e.Start(ctx, "crash", workflow.StartOptions{Inputs: map[string]string{"name": name}})
	if err == nil {
		_, err = run.Wait(ctx)
	}
	return err
}

// TestCrashedProcess is the process that is killed. It starts a run after the other.
func TestCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	e, _ := crashEngine(t, child.Args[0])
	child.Say("open")
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if err := crashRun(context.Background(), e, name); err != nil {
			t.Fatal(err)
		}
		child.Say("run %s", name)
	}
}

// Req W4, W7: however often the process is killed, each file is in the result of one
// run, and once more if it has changed.
func TestKilledWatch(t *testing.T) {
	t.Parallel()
	h := crashtest.New(t, 4)
	dir := t.TempDir()
	folder := filepath.Join(dir, "in")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	last := map[string]string{} // the size of each file
	write := func(name string, size int) {
		t.Helper()
		aside := filepath.Join(folder, "."+name)
		if err := os.WriteFile(aside, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
		last[name] = strconv.Itoa(size)
	}
	for round := range h.Rounds {
		p := h.Start("TestCrashedProcess", dir)
		p.Await(1)
		for i := range 1 + h.Random.IntN(20) {
			write(fmt.Sprintf("%d-%d", round, i), 1)
		}
		h.Linger(p, 150*time.Millisecond)
		write(fmt.Sprintf("%d-0", h.Random.IntN(round+1)), 2+round)
		h.Linger(p, 300*time.Millisecond)
		p.Kill()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a net for what hangs
	defer cancel()
	e, end := crashEngine(t, dir)
	defer end()
	if err := crashRun(ctx, e, "the last one"); err != nil {
		t.Fatal(err)
	}
	got := crashRows(t, filepath.Join(dir, "out"))
	for _, wrong := range crashWrong(last, got) {
		t.Error(wrong)
	}
	t.Logf("%d files, %d rows", len(last), len(got))
}

// crashWrong says what must not be: each file is there once as it was last, and at
// most once as it was before.
func crashWrong(last map[string]string, rows map[[2]string]int) (wrong []string) {
	for name, size := range last {
		if rows[[2]string{name, size}] == 0 {
			wrong = append(wrong, fmt.Sprintf("the file %s of size %s is lost", name, size))
		}
	}
	for row, n := range rows {
		if n > 1 || last[row[0]] == "" {
			wrong = append(wrong, fmt.Sprintf("the file %s of size %s is there %d times", row[0], row[1], n))
		}
	}
	return wrong
}

// The checker finds what must not be.
func TestCrashCheckerFindsMutants(t *testing.T) {
	t.Parallel()
	last := map[string]string{"a": "2"}
	for want, rows := range map[string]map[[2]string]int{
		"[]":                             {{"a", "1"}: 1, {"a", "2"}: 1},
		"[the file a of size 2 is lost]": {{"a", "1"}: 1},
		"[the file a of size 2 is there 2 times]": {{"a", "2"}: 2},
		"[the file a of size 1 is there 2 times]": {{"a", "1"}: 2, {"a", "2"}: 1},
		"[the file b of size 1 is there 1 times]": {{"a", "2"}: 1, {"b", "1"}: 1},
	} {
		if got := fmt.Sprint(crashWrong(last, rows)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// crashRows counts the files in the results of all runs, by name and size.
func crashRows(t *testing.T, dir string) map[[2]string]int {
	t.Helper()
	results, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]string]int{}
	for _, path := range results {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			cells := strings.Split(line, ",")
			got[[2]string{cells[1], cells[2]}]++
		}
	}
	return got
}
