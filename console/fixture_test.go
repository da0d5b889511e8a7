package console_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// fixture is a console over a real actor system and runs that the test moves.
type fixture struct {
	sys     *actor.System
	events  *console.Events
	runs    *fakeRuns
	level   *slog.LevelVar
	console *console.Console
	demo    actor.Ref[command]
	child   actor.Ref[command]
}

// command is what the actors of the fixture understand.
type command struct {
	crash string        // fail with this text
	hold  chan struct{} // wait for it
	done  chan struct{} // close it
}

type worker struct{}

func (worker) Receive(ctx *actor.Context[command], c command) error {
	if c.hold != nil {
		<-c.hold
	}
	if c.done != nil {
		close(c.done)
	}
	if c.crash != "" {
		return errors.New(c.crash)
	}
	return nil
}

// newFixture makes the tree
//
//	/demo          supervises child and four pools' worth of workers
//	/demo/child    fails on command
//	/pool/w001 …   120 workers, more than a page shows at first
func newFixture(t *testing.T, change func(*console.Options)) *fixture {
	t.Helper()
	f := &fixture{events: console.NewEvents(0), runs: newFakeRuns(), level: new(slog.LevelVar)}
	f.sys = actor.NewSystem(actor.Options{
		Name:   "weather-1",
		Logger: slog.New(slog.DiscardHandler),
		Hooks:  []actor.Hooks{f.events.Hooks()},
	})
	t.Cleanup(func() {
		if err := f.sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	f.demo = spawnParent(t, f.sys, "demo", func(ctx *actor.Context[command]) error {
		var err error
		f.child, err = actor.Spawn(ctx, actor.Spec[command]{Name: "child", Type: "demo.Child", New: newWorker, Restart: actor.Permanent})
		return err
	})
	spawnParent(t, f.sys, "pool", func(ctx *actor.Context[command]) error {
		for i := range 120 {
			if _, err := actor.Spawn(ctx, actor.Spec[command]{Name: fmt.Sprintf("w%03d", i), Type: "pool.Worker", New: newWorker}); err != nil {
				return err
			}
		}
		return nil
	})
	opts := console.Options{
		System: f.sys, Events: f.events, Runs: f.runs, LogLevel: f.level, Version: "v0.1.0",
		Actions: []console.Action{{
			Path: "/demo/child", Verb: "crash", Label: "Crash the demo child", Title: "Makes /demo/child fail, so that it is restarted",
			Do: func(ctx context.Context) error { return f.child.Tell(ctx, command{crash: "crashed on purpose"}) },
		}},
	}
	if change != nil {
		change(&opts)
	}
	f.console = console.New(opts)
	return f
}

func newWorker() actor.Behavior[command] { return worker{} }

// parent spawns its children when it starts.
type parent struct {
	worker
	start func(*actor.Context[command]) error
}

func (p parent) Start(ctx *actor.Context[command]) error { return p.start(ctx) }

func spawnParent(t *testing.T, sys *actor.System, name string, start func(*actor.Context[command]) error) actor.Ref[command] {
	t.Helper()
	ref, err := actor.Spawn(sys, actor.Spec[command]{Name: name, Type: "supervisor", New: func() actor.Behavior[command] { return parent{start: start} }})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// tell sends n messages to the child and waits until all are handled and counted.
func (f *fixture) tell(t *testing.T, n int) {
	t.Helper()
	done := make(chan struct{})
	for i := range n {
		c := command{}
		if i == n-1 {
			c.done = done
		}
		if err := f.child.Tell(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	for busy(f.sys.Tree()) {
		runtime.Gosched()
	}
}

// busy says whether an actor handles a message: its counters follow at the end of
// the batch that the message belongs to.
func busy(i actor.Info) bool { return i.Busy || slices.ContainsFunc(i.Children, busy) }

// do sends a request to the console as a browser on this machine would.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8080"+target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.console.ServeHTTP(w, r)
	return w
}

// get sends a GET request.
func (f *fixture) get(target string) *httptest.ResponseRecorder {
	return f.do(http.MethodGet, target, "")
}

// fakeRuns are runs of the weather workflow that a test moves on by hand.
type fakeRuns struct {
	mu      sync.Mutex
	runs    []workflow.RunInfo // newest first
	refused error              // returned by Start
	table   console.Table
}

func newFakeRuns() *fakeRuns { return &fakeRuns{table: monthly()} }

// edges of the weather workflow, and its nodes in order.
var (
	weatherNodes = []workflow.NodeInfo{
		{ID: "seattle", Type: "source.csv", Role: workflow.RoleSource},
		{ID: "late", Type: "source.csv", Role: workflow.RoleSource},
		{ID: "plausible", Type: "filter", Role: workflow.RoleTransform},
		{ID: "derive", Type: "compute", Role: workflow.RoleTransform},
		{ID: "monthly", Type: "aggregate", Role: workflow.RoleTransform},
		{ID: "database", Type: "sink.sql", Role: workflow.RoleSink},
		{ID: "file", Type: "sink.csv", Role: workflow.RoleSink},
	}
	weatherEdges = []workflow.EdgeInfo{
		{From: "seattle", Handle: "out", To: "plausible"}, {From: "late", Handle: "out", To: "plausible"}, {From: "plausible", Handle: "out", To: "derive"},
		{From: "derive", Handle: "out", To: "monthly"}, {From: "monthly", Handle: "out", To: "database"}, {From: "monthly", Handle: "out", To: "file"},
	}
)

func (r *fakeRuns) List() []workflow.RunInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.runs)
}

func (r *fakeRuns) Get(id string) (workflow.RunInfo, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.runs {
		if run.ID == id {
			return run, true
		}
	}
	return workflow.RunInfo{}, false
}

func (r *fakeRuns) Start(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused != nil {
		return "", r.refused
	}
	return r.start(), nil
}

// start adds a run that has read half of its rows; the lock is held.
func (r *fakeRuns) start() string {
	run := workflow.RunInfo{
		ID: fmt.Sprintf("run-%d", len(r.runs)+1), Workflow: "weather", State: workflow.StateRunning,
		Started: time.Now(), Nodes: slices.Clone(weatherNodes), Edges: slices.Clone(weatherEdges),
	}
	for i := range run.Nodes {
		run.Nodes[i].State = workflow.StateRunning
		run.Nodes[i].ActorPath = "/pool/w000"
	}
	r.runs = slices.Insert(r.runs, 0, run)
	r.fill(&r.runs[0], 2)
	return run.ID
}

// finish completes the newest run.
func (r *fakeRuns) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := &r.runs[0]
	run.State, run.Finished = workflow.StateCompleted, run.Started.Add(412*time.Millisecond)
	for i := range run.Nodes {
		run.Nodes[i].State = workflow.StateCompleted
	}
	r.fill(run, 1)
}

// enlarge makes the newest run one of a million rows with named outputs.
func (r *fakeRuns) enlarge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := &r.runs[0]
	for i := range run.Nodes {
		run.Nodes[i].RowsIn, run.Nodes[i].RowsOut = 1_000_000, 137_700
	}
	for i, rows := range []int64{1_000_000, 9_999, 137_700, 1_250_000, 15_300, 155_000} {
		run.Edges[i].Rows = rows
	}
	run.Edges[4].Handle, run.Edges[5].Handle = "else", "a very long name"
}

// fail ends the newest run with an error.
func (r *fakeRuns) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := &r.runs[0]
	run.State, run.Error, run.Finished = workflow.StateFailed, text, run.Started.Add(80*time.Millisecond)
	for i := range run.Nodes {
		run.Nodes[i].State = workflow.StateCancelled
	}
	run.Nodes[6].State, run.Nodes[6].Error = workflow.StateFailed, text
}

// fill sets the counts of a run of which one share-th is done.
func (r *fakeRuns) fill(run *workflow.RunInfo, share int64) {
	for i, c := range [][3]int64{{1461, 1461, 0}, {7, 3, 4}, {1464, 1460, 0}, {1460, 1460, 0}, {1460, 48, 0}, {48, 48, 0}, {48, 48, 0}} {
		n := &run.Nodes[i]
		n.RowsIn, n.RowsOut, n.Rejected, n.Batches = c[0]/share, c[1]/share, c[2]/share, max(1, c[0]/1000/share)
		if n.Role == workflow.RoleSink {
			n.Artifact = &workflow.Artifact{Type: strings.TrimPrefix(n.Type, "sink."), Path: "/data/out/monthly." + n.ID}
		}
		n.Duration = time.Duration(i+1) * 7 * time.Millisecond / time.Duration(share)
	}
	run.Nodes[2].Filtered = 4 / share
	for i, rows := range []int64{1461, 3, 1460, 1460, 48, 48} {
		run.Edges[i].Rows = rows / share
	}
	run.RejectedTotal = 4 / share
	run.Rejects = []workflow.Reject{
		{Node: "late", File: "/data/seattle-weather-late.csv", Line: 3, Column: "temp_max", Reason: `"n/a" is not a number`, Raw: "2016-01-02,0.0,n/a,1.1,2.2,sun"},
		{Node: "late", File: "/data/seattle-weather-late.csv", Line: 4, Reason: "the row has 5 fields, the header has 6", Raw: "2016-01-03,0.0,7.2,0.6,3.1"},
		{Node: "late", File: "/data/seattle-weather-late.csv", Line: 6, Column: "date", Reason: `"2016-13-05" is not a date like 2012-01-31`, Raw: "2016-13-05,1.5,9.4,3.3,4.4,rain"},
		{Node: "late", File: "/data/seattle-weather-late.csv", Line: 7, Column: "wind", Reason: `"strong <b>" is not a number`, Raw: "2016-01-06,0.3,8.9,2.8,strong <b>,rain"},
	}[:4/share]
}

func (r *fakeRuns) Result(_ context.Context, id, sink string, limit, offset int) (console.Table, error) {
	run, ok := r.Get(id)
	if !ok {
		return console.Table{}, fault.New(fault.NotFound, "runs", "there is no run %s", id)
	}
	if run.State != workflow.StateCompleted {
		return console.Table{}, fault.New(fault.NotFound, "runs", "run %s has not written a table", id)
	}
	t := r.table
	t.Sink, t.Sinks = cmp.Or(sink, "database"), []string{"database", "file"}
	switch t.Sink {
	case "database":
	case "file":
		t.Name, t.Columns, t.Rows = "days.csv", t.Columns[:2], slices.Clone(t.Rows[:12])
		for i := range t.Rows {
			t.Rows[i] = t.Rows[i][:2]
		}
	default:
		return console.Table{}, fault.New(fault.NotFound, "runs", "run %s has no sink %q", id, sink)
	}
	t.Total = len(t.Rows)
	t.Rows = t.Rows[min(offset, len(t.Rows)):]
	t.Rows = t.Rows[:min(limit, len(t.Rows))]
	return t, nil
}

// monthly is a table in the shape of the weather workflow's result.
func monthly() console.Table {
	t := console.Table{Name: "monthly_weather", Columns: []workflow.Column{
		{Name: "month", Kind: workflow.KindString}, {Name: "days", Kind: workflow.KindInt},
		{Name: "temp_min", Kind: workflow.KindFloat}, {Name: "temp_mean", Kind: workflow.KindFloat}, {Name: "temp_max", Kind: workflow.KindFloat},
		{Name: "precipitation", Kind: workflow.KindFloat}, {Name: "wind_mean", Kind: workflow.KindFloat},
	}}
	round := func(v float64, digits float64) workflow.Value { return workflow.Float(math.Round(v*digits) / digits) }
	for i := range 48 {
		season := math.Cos(2 * math.Pi * (float64(i%12) - 6.6) / 12)
		wobble := math.Sin(float64(i) * 1.7)
		month := time.Date(2012, time.Month(i+1), 1, 0, 0, 0, 0, time.UTC)
		t.Rows = append(t.Rows, workflow.Row{
			workflow.String(month.Format("2006-01")), workflow.Int(int64(month.AddDate(0, 1, -1).Day())),
			round(3.5+6.2*season+wobble, 10), round(11.9+7.6*season+wobble, 100), round(20.8+9.4*season+2*wobble, 10),
			round(max(0.3, 86-78*season+34*wobble), 10), round(3.2-0.3*season+0.2*wobble, 100),
		})
	}
	return t
}

// fresh reads an actor from a snapshot taken after the call.
func (f *fixture) fresh(t *testing.T, path string) console.Actor {
	t.Helper()
	// A snapshot is used again for a moment; another console has none.
	c := console.New(console.Options{System: f.sys})
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/api/tree?path="+path, nil))
	return decode[console.Tree](t, w, http.StatusOK).Root
}
