package workflow

import (
	"bufio"
	"context"
	"encoding/json"
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
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// Variables of the crash harness.
const (
	crashPlace  = "TROUPE_CRASH_PLACE"  // the address of the store; makes the process a child
	crashLog    = "TROUPE_CRASH_LOG"    // of a child: where tasks say that they begin
	crashRounds = "TROUPE_CRASH_ROUNDS" // how often a process is killed
	crashSeed   = "TROUPE_CRASH_SEED"   // when it is killed
)

// crashWorkflow has all that a process can die in: tasks, a fan-out, a wait for a
// moment, rows, a sub-workflow, retries.
const crashWorkflow = `
name: crash
output: steps.end.output
nodes:
  - {id: first, type: task.note}
  - id: all
    type: foreach
    after: first
    with: {items: "[1, 2, 3, 4]", parallel: 3}
    do:
      - {id: one, type: task.note, with: {text: "${{ item }}"}}
      - {id: two, type: task.note, after: one, retry: {max: 3, initial: 1ms}, with: {text: fail once}}
  - {id: nap, type: sleep, after: first, with: {for: 3ms}}
  - {id: child, type: workflow, after: nap, with: {workflow: child}}
  - {id: in, type: source.rows, after: nap, with: {columns: {n: int}, rows: 20}}
  - {id: out, type: sink.memory, from: in}
  - {id: end, type: task.note, after: [all, child, out], with: {text: "7"}}
`

const crashChild = "name: child\nnodes:\n  - {id: work, type: task.note}\n  - {id: more, type: task.note, after: work}\n"

// Req W4: however often the process is killed, no run is lost, none is there
// twice, and no step that was completed is done again.
func TestCrashSQLite(t *testing.T) {
	t.Parallel()
	newCrash(t, filepath.Join(t.TempDir(), "s.db")).play(6)
}

// The same on PostgreSQL.
func TestCrashPostgreSQL(t *testing.T) {
	t.Parallel()
	newCrash(t, postgrestest.Start(t)).play(3)
}

// TestCrashedProcess is the process that is killed: it starts runs, says which
// ones it started, and works.
func TestCrashedProcess(t *testing.T) {
	place := os.Getenv(crashPlace)
	if place == "" {
		return // not a child
	}
	log, err := os.OpenFile(os.Getenv(crashLog), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := crashEngine(t, place, log)
	for name, text := range map[string]string{"crash": crashWorkflow, "child": crashChild, "child again": "description: again\n" + crashChild} {
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: e.options.Registry})
		if err != nil {
			t.Fatal(err)
		}
		if versions, err := e.Versions(context.Background(), d.Name); err == nil && (d.Name == "crash" || len(versions) == 2) {
			continue
		}
		if _, err := e.Stage(context.Background(), d, name); err != nil {
			t.Fatal(err)
		}
	}
	crashRollout(t, e)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				r, err := e.Start(context.Background(), "crash", StartOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Println("started", r.ID())
				if _, err := r.Wait(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// crashEngine opens an engine whose tasks note each begin in a file.
func crashEngine(t *testing.T, place string, log *os.File) (e *Engine, s store.Store) {
	t.Helper()
	var err error
	if strings.HasPrefix(place, "postgres") {
		s, err = postgres.Open(context.Background(), place, postgres.Options{})
	} else {
		s, err = sqlite.Open(context.Background(), place, sqlite.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	registry := (&lab{}).registry()
	registry.Add(TaskType[playConfig]{
		Name: "task.note", Doc: "Notes that it begins.",
		Run: func(_ context.Context, task *Task, c playConfig) (json.RawMessage, error) {
			if _, err := fmt.Fprintf(log, "%s %d\n", task.Key, time.Now().UnixMilli()); err != nil {
				return nil, err
			}
			if c.Text == "fail once" {
				if task.Attempt == 1 {
					return nil, context.DeadlineExceeded
				}
				return nil, nil
			}
			return json.RawMessage(c.Text), nil
		},
	})
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = Open(context.Background(), sys, s, EngineOptions{Registry: registry, Files: fstest.MapFS{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, s
}

// crashRollout splits the child's runs between two versions, unless an earlier
// process has done it.
func crashRollout(t *testing.T, e *Engine) {
	t.Helper()
	ctx := context.Background()
	if _, err := e.Rollout(ctx, "child"); err == nil {
		return
	}
	if _, err := e.SetRollout(ctx, "child", Rollout{Split: []RolloutShare{{1, 50}, {2, 50}}}); err != nil {
		t.Fatal(err)
	}
}

type crash struct {
	t       *testing.T
	place   string
	log     string
	random  *rand.Rand
	started map[string]bool
}

func newCrash(t *testing.T, place string) *crash {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(crashSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", crashSeed, seed)
	c := &crash{t: t, place: place, log: filepath.Join(t.TempDir(), "log"), random: rand.New(rand.NewPCG(seed, 0)), started: map[string]bool{}}
	if err := os.WriteFile(c.log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// play kills processes and looks at what is left.
func (c *crash) play(rounds int) {
	c.t.Helper()
	if text := os.Getenv(crashRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			c.t.Fatal(err)
		}
	}
	for range rounds {
		c.kill(1 + c.random.IntN(60))
	}
	c.verify()
}

// kill starts a process and kills it once it has started so many runs.
func (c *crash) kill(after int) {
	c.t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashedProcess$")
	child.Env = append(os.Environ(), crashPlace+"="+c.place, crashLog+"="+c.log)
	out, err := child.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		c.t.Fatal(err)
	}
	var said []string
	lines := bufio.NewScanner(out)
	for n := 0; n < after && lines.Scan(); {
		id, ok := strings.CutPrefix(lines.Text(), "started ")
		if !ok {
			said = append(said, lines.Text())
			continue
		}
		c.started[id] = true
		n++
	}
	_ = child.Process.Kill() // it may have ended by itself, which is found below
	for lines.Scan() {       // what it had said before
		if id, ok := strings.CutPrefix(lines.Text(), "started "); ok && len(id) == 36 {
			c.started[id] = true
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		c.t.Fatalf("the process ended by itself: %v\n%s", err, strings.Join(said, "\n"))
	}
}

// verify lets the last process end all runs, and reads what they did.
func (c *crash) verify() {
	c.t.Helper()
	log, err := os.OpenFile(c.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	e, _ := crashEngine(c.t, c.place, log)
	select {
	case <-e.Ready():
	case <-ctx.Done():
		c.t.Fatal("the engine does not take up all runs")
	}
	runs, err := e.Runs(ctx, RunFilter{Workflow: "crash", Limit: 10_000})
	if err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]bool{}
	completed := map[string]time.Time{} // by key
	for _, summary := range runs {
		seen[summary.ID] = true
		r, err := e.Run(ctx, summary.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		info, err := r.Wait(ctx)
		if err != nil || string(info.Output) != "7" || info.RowsOut() != 20 {
			c.t.Errorf("run %s: %s, %d rows, %v", summary.ID, info.Output, info.RowsOut(), err)
		}
		for event, err := range r.History(ctx, 0) {
			if err != nil {
				c.t.Fatal(err)
			}
			if event.Type != NodeCompleted {
				continue
			}
			key := taskKey(summary.ID, event.Node, event.Iteration)
			if _, twice := completed[key]; twice {
				c.t.Errorf("%s completed twice", key)
			}
			completed[key] = event.At
		}
	}
	for id := range c.started {
		if !seen[id] {
			c.t.Errorf("the run %s is lost", id)
		}
	}
	children, err := e.Runs(ctx, RunFilter{Workflow: "child", Limit: 10_000})
	if err != nil || len(children) != len(runs) {
		c.t.Errorf("%d children of %d runs, %v", len(children), len(runs), err)
	}
	c.verifyRollout(ctx, e, children)
	for _, run := range append(children, runs...) {
		selfReplay(c.t, e, run)
	}
	begun := c.compare(completed)
	c.t.Logf("%d runs, %d of them acknowledged, %d steps, %d begins", len(runs), len(c.started), len(completed), begun)
}

// verifyRollout compares the figures of a rollout with the runs that it was about.
func (c *crash) verifyRollout(ctx context.Context, e *Engine, children []RunSummary) {
	c.t.Helper()
	rollout, err := e.Rollout(ctx, "child")
	if err != nil {
		c.t.Fatal(err)
	}
	var assigned, counted int64
	for _, summary := range children {
		r, err := e.Run(ctx, summary.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		if info, err := r.Info(ctx); err != nil {
			c.t.Fatal(err)
		} else if info.Start.Rollout == rollout.ID {
			assigned++
		}
	}
	for _, a := range rollout.Arms {
		counted += a.Completed
	}
	if counted != assigned || assigned == 0 {
		c.t.Errorf("a rollout has counted %d of %d runs: %+v", counted, assigned, rollout.Arms)
	}
}

// compare looks for tasks that began after they had been completed.
func (c *crash) compare(completed map[string]time.Time) (begun int) {
	c.t.Helper()
	text, err := os.ReadFile(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		millis, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			continue // a line that the kill cut short
		}
		begun++
		if done, ok := completed[key]; ok && millis > done.UnixMilli() {
			c.t.Errorf("%s began %d ms after it was completed", key, millis-done.UnixMilli())
		}
	}
	return begun
}
