package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
	c := newCrash(t, filepath.Join(t.TempDir(), "s.db"), 6)
	c.play()
	c.verify()
}

// The same on PostgreSQL.
func TestCrashPostgreSQL(t *testing.T) {
	t.Parallel()
	c := newCrash(t, postgrestest.Start(t), 3)
	c.play()
	c.verify()
}

// The harness finds a store that forgets: here it is that of an hour before.
func TestCrashFindsLostRuns(t *testing.T) {
	t.Parallel()
	c := newCrash(t, filepath.Join(t.TempDir(), "s.db"), 1)
	c.kill()
	kept := t.TempDir()
	copyStore(t, filepath.Dir(c.place), kept)
	c.kill()
	c.place = filepath.Join(kept, "s.db")
	if wrong := c.evidence().wrong(); len(wrong) == 0 || !strings.HasSuffix(wrong[0], "is lost") {
		t.Errorf("it has found %q", wrong)
	}
}

func copyStore(t *testing.T, from, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "s.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(file)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashedProcess is the process that is killed: it starts runs, says which
// ones it started, and works.
func TestCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	log, err := os.OpenFile(child.Args[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := crashEngine(t, child.Args[0], log)
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
				child.Say("%s", r.ID())
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
	if info, err := e.Rollout(ctx, "child"); err == nil && info.State != RolloutNone {
		return
	}
	if _, err := e.SetRollout(ctx, "child", Rollout{Split: []RolloutShare{{1, 50}, {2, 50}}}); err != nil {
		t.Fatal(err)
	}
}

// crash is a harness at work.
type crash struct {
	*crashtest.Harness
	t     *testing.T
	place string
	log   string
	acked map[string]bool // runs
}

func newCrash(t *testing.T, place string, rounds int) *crash {
	t.Helper()
	c := &crash{Harness: crashtest.New(t, rounds), t: t, place: place, log: filepath.Join(t.TempDir(), "log"), acked: map[string]bool{}}
	if err := os.WriteFile(c.log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crash) play() {
	c.t.Helper()
	for range c.Rounds {
		c.kill()
	}
}

// kill starts a process and kills it some time after it has started some runs.
func (c *crash) kill() {
	c.t.Helper()
	p := c.Start("TestCrashedProcess", c.place, c.log)
	p.Await(1 + c.Random.IntN(50))
	c.Linger(p, 30*time.Millisecond)
	for _, id := range p.Kill() {
		c.acked[id] = true
	}
}

func (c *crash) verify() {
	c.t.Helper()
	found := c.evidence()
	for _, wrong := range found.wrong() {
		c.t.Error(wrong)
	}
	c.t.Log(found)
}
