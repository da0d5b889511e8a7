package workflow_test

import (
	"context"
	"encoding/json"
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
	"github.com/troupe-dev/troupe/workflow/connector/file"
	"github.com/troupe-dev/troupe/workflow/connector/inbox"
	"github.com/troupe-dev/troupe/workflow/connector/webhook"
)

// deliveredWorkflow is what a delivery starts, postedWorkflow a run that rows are
// posted to.
const (
	deliveredWorkflow = "name: delivered\ninputs: {name: {type: string, default: ''}}\noutput: inputs.name\nnodes: [{id: nap, type: sleep, with: {for: 1ms}}]\n"
	postedWorkflow    = `
name: posted
inputs: {name: {type: string, default: ''}}
nodes:
  - {id: in, type: source.webhook, with: {columns: {n: int}}}
  - {id: out, type: sink.csv, from: in, with: {path: "${name}.csv"}}
`
	postsMax = 500 // to a run
)

// Req W3, W4: however often the process is killed, each delivery that was
// acknowledged has one run, each file one, and each row that was posted is there
// once.
func TestTriggerCrashSQLite(t *testing.T) {
	t.Parallel()
	playTriggers(t, filepath.Join(t.TempDir(), "s.db"), 4)
}

// The same on PostgreSQL.
func TestTriggerCrashPostgreSQL(t *testing.T) {
	t.Parallel()
	playTriggers(t, postgrestest.Start(t), 2)
}

// triggerEngine opens an engine with both triggers.
func triggerEngine(t *testing.T, place, dir string) (e *workflow.Engine, end func()) {
	t.Helper()
	ctx := context.Background()
	var s store.Store
	var err error
	if filepath.IsAbs(place) {
		s, err = sqlite.Open(ctx, place, sqlite.Options{})
	} else {
		s, err = postgres.Open(ctx, place, postgres.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.NewRegistry()
	for _, register := range []func(*workflow.Registry){webhook.Register, file.Register, inbox.Register, csv.Register} {
		register(r)
	}
	files := fstest.MapFS{"d.yaml": {Data: []byte(deliveredWorkflow)}, "p.yaml": {Data: []byte(postedWorkflow)}}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		d, err := workflow.LoadFS(files, name, workflow.LoadOptions{Registry: r})
		if err == nil {
			_, err = e.Deploy(ctx, d, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, trigger := range []workflow.Trigger{
		{Name: "hook", Workflow: "delivered", Kind: "webhook", With: json.RawMessage(`{"unsigned": true, "id_header": "X-Id"}`), Inputs: map[string]string{"name": "${{ trigger.id }}"}},
		{Name: "folder", Workflow: "delivered", Kind: "file", With: json.RawMessage(`{"folder": "in", "every": "100ms", "stable": "0s"}`), Inputs: map[string]string{"name": "${{ trigger.attributes.name }}"}},
	} {
		if _, err := e.PutTrigger(ctx, trigger, store.AnyVersion); err != nil {
			t.Fatal(err)
		}
	}
	return e, func() {
		if err := errors.Join(sys.Stop(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestTriggerCrashedProcess is the process that is killed. What is asked of it
// and not acknowledged is asked of the next one again.
func TestTriggerCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	ctx := context.Background()
	e, _ := triggerEngine(t, child.Args[0], child.Args[1])
	var all sync.WaitGroup
	again := child.Args[2:]
	for worker := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if worker == 0 && i < len(again) {
					id = again[i]
				}
				child.Say("hook? %s", id)
				for range 1 + i%2 { // every other one is sent twice
					d, err := e.Deliver(ctx, "hook", workflow.Delivery{Header: map[string][]string{"X-Id": {id}}})
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					child.Say("hook %s %s", id, d.Run.ID())
				}
			}
		})
	}
	all.Go(func() {
		name := strconv.Itoa(os.Getpid())
		run, err := e.Start(ctx, "posted", workflow.StartOptions{Inputs: map[string]string{"name": name}})
		for i := 1; err == nil && i <= postsMax; i++ {
			row := json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))
			child.Say("post? %s %d", name, i)
			for range 1 + i%2 {
				err = errors.Join(err, run.Signal(ctx, workflow.RowsSignal("in", nil), row, "post-"+strconv.Itoa(i)))
			}
			child.Say("post %s %d", name, i)
		}
		if err != nil {
			t.Errorf("posts: %v", err)
		}
	})
	all.Wait()
}

func playTriggers(t *testing.T, place string, rounds int) {
	t.Helper()
	h := crashtest.New(t, rounds)
	dir := t.TempDir()
	folder := filepath.Join(dir, "in")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &triggerEvidence{hooks: map[string]string{}, posted: map[string]int{}, asked: map[string]int{}}
	put := func(name string) {
		t.Helper()
		f.files = append(f.files, name)
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for round := range h.Rounds {
		put(fmt.Sprintf("before-%d", round))
		p := h.Start("TestTriggerCrashedProcess", append([]string{place, dir}, f.open...)...)
		p.Await(1 + h.Random.IntN(100))
		put(fmt.Sprintf("during-%d", round))
		p.Await(1 + h.Random.IntN(100))
		h.Linger(p, 100*time.Millisecond)
		if err := f.heard(p.Kill()); err != nil {
			t.Fatal(err)
		}
	}
	e, end := triggerEngine(t, place, dir)
	defer end()
	f.repeat(t, e)
	put("the last one") // the folder is gone through in the order of names, and no other run is begun
	f.read(t, e, dir)
	for _, wrong := range f.wrong() {
		t.Error(wrong)
	}
	t.Logf("%d deliveries, %d files, %d posts to %d runs", len(f.hooks), len(f.files), len(f.rows), len(f.asked))
}

// triggerEvidence is what is left when processes have been killed and the last
// one has ended all runs.
type triggerEvidence struct {
	hooks  map[string]string // the run of each delivery that was acknowledged
	open   []string          // deliveries that were not
	posted map[string]int    // by run, the last post that was acknowledged
	asked  map[string]int    // and that was sent
	files  []string
	broken []string // what came out of order

	runs map[string][]string // by what has started them
	rows map[string][]string // by run of posts
}

// heard notes what a process has said. What it was to ask again and did not come to
// stays open.
func (f *triggerEvidence) heard(said []string) error {
	open := map[string]bool{}
	for _, id := range f.open {
		open[id] = true
	}
	for _, line := range said {
		word := strings.Fields(line)
		n := 0
		if len(word) == 3 && strings.HasPrefix(word[0], "post") {
			n, _ = strconv.Atoi(word[2])
		}
		switch {
		case len(word) == 2 && word[0] == "hook?":
			open[word[1]] = true
		case len(word) == 3 && word[0] == "hook":
			delete(open, word[1])
			if run := f.hooks[word[1]]; run != "" && run != word[2] {
				f.broken = append(f.broken, fmt.Sprintf("the delivery %s has started %s, and was acknowledged with %s", word[1], run, word[2]))
			}
			f.hooks[word[1]] = word[2]
		case word[0] == "post?" && n > 0:
			f.asked[word[1]] = n
		case word[0] == "post" && n > 0:
			f.posted[word[1]] = n
		default:
			return fmt.Errorf("the process says %q", line)
		}
	}
	f.open = f.open[:0]
	for id := range open {
		f.open = append(f.open, id)
	}
	slices.Sort(f.open)
	return nil
}

// repeat sends what has no answer again.
func (f *triggerEvidence) repeat(t *testing.T, e *workflow.Engine) {
	t.Helper()
	for _, id := range f.open {
		d, err := e.Deliver(t.Context(), "hook", workflow.Delivery{Header: map[string][]string{"X-Id": {id}}})
		if err != nil {
			t.Fatal(err)
		}
		f.hooks[id] = d.Run.ID()
	}
}

// read ends all runs, and reads what they did.
func (f *triggerEvidence) read(t *testing.T, e *workflow.Engine, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a net for what hangs
	defer cancel()
	changes, stop := e.Watch("")
	defer stop()
	for !newest(ctx, t, e, "the last one") {
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatal("the last file is not taken up")
		}
	}
	f.runs, f.rows = map[string][]string{}, map[string][]string{}
	for _, run := range runsOf(ctx, t, e, "posted") {
		if err := run.Signal(ctx, workflow.RowsSignal("in", nil), nil, "the end"); err != nil {
			t.Fatal(err)
		}
		info, err := run.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		name := info.Start.Inputs["name"]
		text, err := os.ReadFile(filepath.Join(dir, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		f.rows[name] = strings.Fields(string(text))[1:]
	}
	for _, run := range runsOf(ctx, t, e, "delivered") {
		info, err := run.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.runs[info.Start.Inputs["name"]] = append(f.runs[info.Start.Inputs["name"]], run.ID())
	}
}

// newest reports whether the newest run is the one of a file.
func newest(ctx context.Context, t *testing.T, e *workflow.Engine, name string) bool {
	t.Helper()
	runs, err := e.Runs(ctx, workflow.RunFilter{Workflow: "delivered", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, summary := range runs {
		run, err := e.Run(ctx, summary.ID)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := run.Info(ctx); err != nil {
			t.Fatal(err)
		} else if info.Start.Inputs["name"] == name {
			return true
		}
	}
	return false
}

func runsOf(ctx context.Context, t *testing.T, e *workflow.Engine, name string) (all []*workflow.Run) {
	t.Helper()
	for filter := (workflow.RunFilter{Workflow: name, Limit: 1000}); ; {
		page, err := e.Runs(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		for _, summary := range page {
			run, err := e.Run(ctx, summary.ID)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, run)
		}
		filter.After = page[len(page)-1].ID
	}
}

// wrong says what must not be.
func (f *triggerEvidence) wrong() []string {
	wrong := slices.Clone(f.broken)
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for id, run := range f.hooks {
		if got := f.runs[id]; len(got) != 1 || got[0] != run {
			add("the delivery %s has the runs %v, want %s", id, got, run)
		}
	}
	for _, name := range f.files {
		if got := f.runs[name]; len(got) != 1 {
			add("the file %s has the runs %v", name, got)
		}
	}
	if want := len(f.hooks) + len(f.files); len(f.runs) != want {
		add("there are runs for %d deliveries and files, want %d", len(f.runs), want)
	}
	for name, acked := range f.posted {
		got := f.rows[name]
		if len(got) < acked || len(got) > f.asked[name] {
			add("the run %s has %d rows; %d were acknowledged, %d sent", name, len(got), acked, f.asked[name])
		}
		for i, text := range got {
			if text != strconv.Itoa(i+1) {
				add("the run %s has %s as row %d", name, text, i+1)
			}
		}
	}
	return wrong
}

// The checker finds what an engine must not do.
func TestTriggerCrashCheckerFindsMutants(t *testing.T) {
	t.Parallel()
	right := func() *triggerEvidence {
		f := &triggerEvidence{
			hooks: map[string]string{}, posted: map[string]int{}, asked: map[string]int{}, files: []string{"x"},
			runs: map[string][]string{"a": {"1"}, "x": {"2"}}, rows: map[string][]string{"p": {"1", "2"}},
		}
		if err := f.heard([]string{"hook? a", "hook a 1", "post? p 1", "post p 1", "post? p 2"}); err != nil || len(f.open) > 0 {
			t.Fatal(f.open, err)
		}
		return f
	}
	if wrong := right().wrong(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	f := right()
	for _, said := range [][]string{{"hook? b", "hook? c"}, {"hook? b", "hook b 3"}, {}} {
		if err := f.heard(said); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(f.open, []string{"c"}) || f.hooks["b"] != "3" {
		t.Errorf("open are %v, answered %v; a process that is killed early does not settle what it was to ask again", f.open, f.hooks)
	}
	for want, mutate := range map[string]func(f *triggerEvidence){
		"the delivery a has the runs [], want 1":                    func(f *triggerEvidence) { delete(f.runs, "a") },
		"the delivery a has the runs [1 3], want 1":                 func(f *triggerEvidence) { f.runs["a"] = []string{"1", "3"} },
		"the delivery a has started 1, and was acknowledged with 5": func(f *triggerEvidence) { _ = f.heard([]string{"hook a 5"}) },
		"the file x has the runs [2 2]":                             func(f *triggerEvidence) { f.runs["x"] = []string{"2", "2"} },
		"there are runs for 3 deliveries and files, want 2":         func(f *triggerEvidence) { f.runs["y"] = []string{"4"} },
		"the run p has 0 rows; 1 were acknowledged, 2 sent":         func(f *triggerEvidence) { f.rows["p"] = nil },
		"the run p has 3 rows; 1 were acknowledged, 2 sent":         func(f *triggerEvidence) { f.rows["p"] = []string{"1", "2", "3"} },
		"the run p has 1 as row 2":                                  func(f *triggerEvidence) { f.rows["p"] = []string{"1", "1"} },
	} {
		f := right()
		mutate(f)
		if wrong := f.wrong(); !slices.Contains(wrong, want) {
			t.Errorf("it has found %q, want %q", wrong, want)
		}
	}
}
