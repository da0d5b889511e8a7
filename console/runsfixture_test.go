package console_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/webhook"
)

// testRuns are runs of an engine on a SQLite store, whose nodes stop half-way
// until the test lets them go on. The engine has an actor system of its own, so
// that the tree that the console shows stays as it is.
type testRuns struct {
	engine *workflow.Engine
	types  *workflow.Registry
	dir    string

	mu      sync.Mutex
	stops   map[string]*halfway // by run
	started []string            // ids, the oldest first
	refused error               // returned by Launch
	table   console.Table
}

// halfway is where a run waits for the test.
type halfway struct {
	on   chan struct{} // closed when it is to go on
	once sync.Once
	mu   sync.Mutex
	err  error // that the sink "file" then fails with
}

const weatherText = `name: weather
nodes:
  - {id: seattle, type: source.csv, with: {rows: 1461, first: 731}}
  - {id: late, type: source.csv, with: {rows: 3, first: 1, bad: 2}}
  - {id: plausible, type: filter, from: [seattle, late], with: {in: 1464, out: 1460}}
  - {id: derive, type: compute, from: plausible, with: {in: 1460, out: 1460}}
  - {id: monthly, type: aggregate, from: derive, with: {hold: true, out: 48}}
  - {id: database, type: sink.sql, from: monthly}
  - {id: file, type: sink.csv, from: monthly}
`

// millionText is a large run with named outputs.
const millionText = `name: weather
nodes:
  - {id: seattle, type: source.csv, with: {rows: 1000000, first: 1000000}}
  - {id: late, type: source.csv, with: {rows: 9999, first: 9999}}
  - {id: plausible, type: filter, from: [seattle, late], with: {in: 1009999, out: 137700}}
  - {id: derive, type: compute, from: plausible, with: {in: 137700, out: 1250000}}
  - {id: monthly, type: aggregate, from: derive, with: {in: 1250000, out: 0, else: 15300, long: 155000}}
  - {id: database, type: sink.sql, from: monthly.else}
  - {id: file, type: sink.csv, from: monthly.a_very_long_name}
`

func newTestRuns(tb testing.TB) *testRuns {
	tb.Helper()
	r := &testRuns{stops: map[string]*halfway{}, table: monthly(), dir: tb.TempDir()}
	r.types = workflow.NewRegistry(r.source("source.csv"), r.transform("filter"), r.transform("compute"), r.transform("aggregate"),
		r.sink("sink.sql"), r.sink("sink.csv"), r.task())
	webhook.Register(r.types)
	s, err := sqlite.Open(context.Background(), filepath.Join(r.dir, "store.db"), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	r.engine, err = workflow.Open(context.Background(), sys, s, workflow.EngineOptions{Registry: r.types, Files: fstest.MapFS{}, OutputDir: r.dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(sys.Stop(context.Background()), s.Close()); err != nil {
			tb.Errorf("stop: %v", err)
		}
	})
	r.deploy(tb, weatherText)
	return r
}

// deploy makes a text the active version of its workflow.
func (r *testRuns) deploy(tb testing.TB, text string) {
	tb.Helper()
	d, err := workflow.LoadText("w.yaml", r.dir, []byte(text), workflow.LoadOptions{Registry: r.types, Open: true})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.engine.Deploy(context.Background(), d, ""); err != nil {
		tb.Fatal(err)
	}
}

// stop is where a run waits.
func (r *testRuns) stop(id string) *halfway {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stops[id] == nil {
		r.stops[id] = &halfway{on: make(chan struct{})}
	}
	return r.stops[id]
}

// wait waits until the run may go on.
func (h *halfway) wait(ctx context.Context) error {
	select {
	case <-h.on:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *halfway) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// release lets a run go on; with an error, to its failure.
func (h *halfway) release(err error) {
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
	h.once.Do(func() { close(h.on) })
}

// id is the id of the n-th run, from 1.
func (r *testRuns) id(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started[n-1]
}

// newest is the run that was started last.
func (r *testRuns) newest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started[len(r.started)-1]
}

// start starts a run of the weather workflow and waits until it is half-way.
func (r *testRuns) start(tb testing.TB) string {
	tb.Helper()
	run, err := r.Launch(context.Background(), "weather", workflow.StartOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	r.await(tb, run.ID(), func(info workflow.RunInfo) bool { return info.Nodes[4].RowsIn == 730 })
	return run.ID()
}

// await waits for a state of a run. Figures change without a signal.
func (r *testRuns) await(tb testing.TB, id string, is func(workflow.RunInfo) bool) {
	tb.Helper()
	run, err := r.engine.Run(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		info, err := run.Info(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		if is(info) {
			return
		}
		if info.State.Final() {
			tb.Fatalf("the run has ended: %+v", info)
		}
		runtime.Gosched()
	}
}

// finish completes the newest run.
func (r *testRuns) finish(tb testing.TB) { r.end(tb, nil) }

// fail ends the newest run with an error.
func (r *testRuns) fail(tb testing.TB, text string) { r.end(tb, errors.New(text)) }

func (r *testRuns) end(tb testing.TB, err error) {
	tb.Helper()
	id := r.newest()
	r.stop(id).release(err)
	run, found := r.engine.Run(context.Background(), id)
	if found != nil {
		tb.Fatal(found)
	}
	if info, _ := run.Wait(context.Background()); !info.State.Final() {
		tb.Fatalf("the run is %s", info.State)
	}
}

// Engine implements console.Runs.
func (r *testRuns) Engine() *workflow.Engine { return r.engine }

// Types implements console.Runs.
func (r *testRuns) Types() *workflow.Registry { return r.types }

// Workflow implements console.Runs.
func (r *testRuns) Workflow() string { return "weather" }

// Launch implements console.Runs.
func (r *testRuns) Launch(ctx context.Context, name string, o workflow.StartOptions) (*workflow.Run, error) {
	r.mu.Lock()
	refused := r.refused
	r.mu.Unlock()
	if refused != nil {
		return nil, refused
	}
	return r.note(r.engine.Start(ctx, name, o))
}

// Rerun implements console.Runs.
func (r *testRuns) Rerun(ctx context.Context, run *workflow.Run, o workflow.RerunOptions) (*workflow.Run, error) {
	return r.note(run.Rerun(ctx, o))
}

// Retry implements console.Runs.
func (r *testRuns) Retry(ctx context.Context, run *workflow.Run) error { return run.Retry(ctx) }

func (r *testRuns) note(run *workflow.Run, err error) (*workflow.Run, error) {
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.started, run.ID()) {
		r.started = append(r.started, run.ID())
	}
	return run, nil
}

// Result implements console.Runs, with a table that no run has written.
func (r *testRuns) Result(ctx context.Context, id, sink string, limit, offset int) (console.Table, error) {
	run, err := r.engine.Run(ctx, id)
	if err != nil {
		return console.Table{}, err
	}
	info, err := run.Info(ctx)
	if err != nil {
		return console.Table{}, err
	}
	if info.State != workflow.StateCompleted {
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

// The node types. Each does what its configuration says in figures.

var oneColumn = workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt})

func rowsOf(n int) workflow.Batch {
	rows := workflow.NewRows(n, 1)
	for i := range rows {
		rows[i][0] = workflow.Int(int64(i))
	}
	return workflow.Batch{Schema: oneColumn, Rows: rows}
}

type sourceConfig struct {
	Rows  int `yaml:"rows" doc:"Rows that it gives."`
	First int `yaml:"first" doc:"Of these, before it waits."`
	Bad   int `yaml:"bad" doc:"Rows that it sets aside before it waits, and again after."`
}

func (r *testRuns) source(name string) workflow.Type {
	return workflow.SourceType[sourceConfig]{Name: name, Doc: "Makes rows.", Plan: func(_ *workflow.Check, c sourceConfig) workflow.SourcePlan {
		return workflow.SourcePlan{Schema: oneColumn, New: func(env *workflow.Env) (workflow.Source, error) {
			return &testSource{stop: r.stop(env.RunID), config: c}, nil
		}}
	}}
}

type testSource struct {
	stop   *halfway
	config sourceConfig
	given  int
	bad    int
}

func (s *testSource) Open(context.Context) error { return nil }
func (s *testSource) Close() error               { return nil }

var badRows = []workflow.Reject{
	{File: "/data/seattle-weather-late.csv", Line: 3, Column: "temp_max", Reason: `"n/a" is not a number`, Raw: "2016-01-02,0.0,n/a,1.1,2.2,sun"},
	{File: "/data/seattle-weather-late.csv", Line: 4, Reason: "the row has 5 fields, the header has 6", Raw: "2016-01-03,0.0,7.2,0.6,3.1"},
	{File: "/data/seattle-weather-late.csv", Line: 6, Column: "date", Reason: `"2016-13-05" is not a date like 2012-01-31`, Raw: "2016-13-05,1.5,9.4,3.3,4.4,rain"},
	{File: "/data/seattle-weather-late.csv", Line: 7, Column: "wind", Reason: `"strong <b>" is not a number`, Raw: "2016-01-06,0.3,8.9,2.8,strong <b>,rain"},
}

// Read gives the first rows, waits, and gives the rest.
func (s *testSource) Read(ctx context.Context, most int) (workflow.Batch, []workflow.Reject, error) {
	end := s.config.First
	if s.given >= end && s.bad >= s.config.Bad {
		if err := s.stop.wait(ctx); err != nil {
			return workflow.Batch{}, nil, err
		}
		end = s.config.Rows
	}
	batch := rowsOf(min(most, end-s.given))
	s.given += len(batch.Rows)
	var rejects []workflow.Reject
	if until := s.config.Bad; s.bad < until || end == s.config.Rows && s.bad < 2*until {
		rejects = slices.Clone(badRows[s.bad : s.bad+until]) // the flow writes into it
		s.bad += until
	}
	if s.given == s.config.Rows && end == s.config.Rows && s.stop.open() {
		return batch, rejects, io.EOF
	}
	return batch, rejects, nil
}

// open reports whether the run goes on.
func (h *halfway) open() bool {
	select {
	case <-h.on:
		return true
	default:
		return false
	}
}

type transformConfig struct {
	In   int  `yaml:"in" doc:"Rows that come in altogether."`
	Out  int  `yaml:"out" doc:"Rows that go out altogether."`
	Else int  `yaml:"else" doc:"Rows that go out by else."`
	Long int  `yaml:"long" doc:"Rows that go out by a_very_long_name."`
	Hold bool `yaml:"hold" doc:"Give rows at the end only."`
}

func (r *testRuns) transform(name string) workflow.Type {
	side := []string{"else", "a_very_long_name"}
	return workflow.TransformType[transformConfig]{Name: name, Doc: "Changes rows.", Side: side, Plan: func(_ *workflow.Check, c transformConfig) workflow.TransformPlan {
		return workflow.TransformPlan{
			Schema: oneColumn, Side: map[string]workflow.Schema{side[0]: oneColumn, side[1]: oneColumn},
			New: func(*workflow.Env) (workflow.Transform, error) { return &testTransform{config: c}, nil },
		}
	}}
}

type testTransform struct {
	config transformConfig
	in     int
}

// share is how many of all rows are due for the rows that are in between.
func (t *testTransform) share(all, before int) int {
	return t.in*all/t.config.In - before*all/t.config.In
}

func (t *testTransform) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	n := len(in.Rows)
	if t.config.Hold {
		return workflow.Output{Held: n}, nil
	}
	before := t.in
	t.in += n
	out := workflow.Output{Batch: rowsOf(t.share(t.config.Out, before)), Side: map[string]workflow.Batch{
		"else": rowsOf(t.share(t.config.Else, before)), "a_very_long_name": rowsOf(t.share(t.config.Long, before)),
	}}
	more := len(out.Batch.Rows) + len(out.Side["else"].Rows) + len(out.Side["a_very_long_name"].Rows) - n
	out.Made, out.Filtered = max(0, more), max(0, -more)
	return out, nil
}

func (t *testTransform) Flush(context.Context) (workflow.Output, error) {
	if !t.config.Hold {
		return workflow.Output{Batch: rowsOf(0)}, nil
	}
	return workflow.Output{Batch: rowsOf(t.config.Out)}, nil
}

type sinkConfig struct{}

func (r *testRuns) sink(name string) workflow.Type {
	return workflow.SinkType[sinkConfig]{Name: name, Doc: "Takes rows.", Plan: func(*workflow.Check, sinkConfig) workflow.SinkPlan {
		return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
			return &testSink{stop: r.stop(env.RunID), file: name == "sink.csv", artifact: workflow.Artifact{Type: name[5:], Path: "/data/out/monthly." + env.Node}}, nil
		}}
	}}
}

type testSink struct {
	stop     *halfway
	file     bool
	artifact workflow.Artifact
}

func (s *testSink) Artifact() workflow.Artifact                 { return s.artifact }
func (*testSink) Open(context.Context, workflow.Schema) error   { return nil }
func (s *testSink) Write(context.Context, workflow.Batch) error { return nil }
func (s *testSink) Commit(context.Context) error                { return nil }
func (s *testSink) Abort(context.Context) error                 { return nil }

// Prepare fails if the test says so.
func (s *testSink) Prepare(context.Context) error {
	if !s.file {
		return nil
	}
	return s.stop.failure()
}

type taskConfig struct {
	Say  string `yaml:"say" doc:"What it gives out."`
	Wait bool   `yaml:"wait" doc:"Wait until the test lets it go on."`
	Fail bool   `yaml:"fail" doc:"Fail until the test lets it go on."`
}

func (r *testRuns) task() workflow.Type {
	return workflow.TaskType[taskConfig]{Name: "task.play", Doc: "Does what the test says.", Run: func(ctx context.Context, t *workflow.Task, c taskConfig) (json.RawMessage, error) {
		stop := r.stop(t.RunID)
		if c.Wait {
			if err := stop.wait(ctx); err != nil {
				return nil, err
			}
		}
		if c.Fail && !stop.open() {
			return nil, fault.New(fault.FailedPrecondition, "", "as the test wishes")
		}
		return json.RawMessage(fmt.Sprintf("%q", c.Say)), nil
	}}
}
