package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/workflow"
)

// Runs are a node's workflow runs. The engine that runs them is the actor /runs;
// each writes into a directory of its own, runs/TIME-NAME below the data
// directory. Runs that were under way when the node ended go on when it starts
// again. Its methods are safe for concurrent use.
type Runs struct {
	demo            bool                 // the demonstration's workflow is deployed, too
	definition      *workflow.Definition // what Start runs; nil: nothing
	types           *workflow.Registry
	files           fs.FS  // of definitions that are part of the program
	name            string // of the node
	dir             string // holds the directories of the runs
	keep            int
	deliveriesKnown time.Duration
	maxActive       int
	log             *slog.Logger

	watchers sync.WaitGroup // one for each run under way
	pruning  sync.Mutex

	mu       sync.Mutex
	engine   *workflow.Engine  // nil while another node runs the workflows of the store
	busy     map[string]string // directories that runs under way write into, by the run's id
	followed map[string]bool   // runs that an earlier process started
	active   int
	draining bool
	idle     chan struct{} // closed when draining and nothing is active
	released chan struct{} // has room for one: fewer are active
}

func newRuns(config Config, options Options, log *slog.Logger) *Runs {
	dir := filepath.Join(config.DataDir, "runs")
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute // as the engine records it
	}
	return &Runs{
		definition:      options.Workflow,
		demo:            options.Demo,
		types:           NodeTypes(),
		files:           options.WorkflowFiles,
		name:            config.Name,
		dir:             dir,
		keep:            config.Runs.Keep,
		maxActive:       config.Runs.MaxActive,
		deliveriesKnown: config.Runs.DeliveriesKnown,
		log:             log,
		busy:            map[string]string{},
		followed:        map[string]bool{},
		idle:            make(chan struct{}),
		released:        make(chan struct{}, 1),
	}
}

// takeOver is how long the start of a node waits for the engine of another node
// on the same store. Then it starts without, and takes over when that one ends. A
// store that nobody else has is waited for longer: it is only slow.
const (
	takeOver  = 200 * time.Millisecond
	slowStore = 20 * time.Second
)

// open starts the engine, or waits in the background until the node that runs
// the workflows of the store has ended.
func (r *Runs) open(ctx context.Context, parent actor.Parent, s store.Store) error {
	err := r.begin(ctx, takeOver, parent, s)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrLeaseHeld) && ctx.Err() == nil {
		err = r.begin(ctx, slowStore, parent, s)
	}
	if !errors.Is(err, store.ErrLeaseHeld) || ctx.Err() != nil {
		return err
	}
	r.log.InfoContext(ctx, "another node runs the workflows of this store; this one takes over when it ends")
	_, err = actor.SpawnService(parent, actor.ServiceSpec{
		Name: "runs-standby", Type: "run-standby", Restart: actor.Transient,
		New: func() actor.Service {
			return actor.ServiceFunc(func(ctx context.Context) error { return r.begin(ctx, 0, parent, s) })
		},
	})
	return err
}

// begin opens the engine, for which it waits at most that long, or without a limit
// for 0, and follows the runs that are under way.
func (r *Runs) begin(ctx context.Context, patience time.Duration, parent actor.Parent, s store.Store) error {
	opening := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		opening, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	engine, err := workflow.Open(opening, parent, s, workflow.EngineOptions{
		Registry: r.types, Name: "runs", Owner: r.name, OutputDir: r.dir, DirPerRun: true, Files: r.files, Log: r.log,
		DeliveriesKnown: r.deliveriesKnown,
	})
	if err != nil {
		return err
	}
	if r.definition != nil {
		if _, err := engine.Deploy(ctx, r.definition, "deployed at the start of the node"); err != nil {
			return err
		}
	}
	if r.demo {
		if err := deployDemo(ctx, engine, r.types); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.engine = engine
	r.mu.Unlock()
	if err := r.spawnTidier(parent); err != nil {
		return err
	}
	underWay := workflow.RunFilter{States: []workflow.State{workflow.StateRunning, workflow.StatePaused, workflow.StateStopping}, Limit: followedMax}
	known, err := engine.Runs(ctx, underWay)
	if err != nil {
		return err
	}
	for _, summary := range known {
		run, err := engine.Run(ctx, summary.ID)
		if err != nil {
			return err
		}
		r.follow(ctx, run)
	}
	return nil
}

// followedMax bounds the runs of an earlier process after which the node tidies
// up when they end; it tidies up after the others with the next run that ends.
const followedMax = 1_000

// follow waits for the end of a run that was started before.
func (r *Runs) follow(ctx context.Context, run *workflow.Run) {
	info, err := run.Info(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "a run of an earlier process cannot be read", "execution_id", run.ID(), "error", err)
		return
	}
	r.mu.Lock()
	r.followed[run.ID()] = true
	r.mu.Unlock()
	r.mark(run.ID(), info.Start.OutputDir)
	r.watchers.Go(func() { r.watch(run) })
}

// mark notes that a run writes into a directory.
func (r *Runs) mark(id, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy[id] = dir
}

// reserve counts a run before it starts, so that drain waits for it.
func (r *Runs) reserve() (*workflow.Engine, error) {
	const op = "node.Runs.Start"
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.draining:
		return nil, fault.New(fault.Unavailable, op, "the node is stopping")
	case r.engine == nil:
		return nil, errElsewhere(op)
	case r.active >= r.maxActive:
		return nil, &fault.Error{
			Code: fault.ResourceExhausted, Op: op, Message: fmt.Sprintf("%d runs are under way, as many as runs.max_active allows", r.active),
			Hint: "wait for one to end",
		}
	}
	r.active++
	return r.engine, nil
}

// release gives a place back.
func (r *Runs) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active--
	if r.draining && r.active == 0 {
		close(r.idle)
	}
	select {
	case r.released <- struct{}{}:
	default:
	}
}

// watch waits for the end of a run and tidies up after it.
func (r *Runs) watch(run *workflow.Run) {
	info, err := run.Wait(context.Background())
	if !info.State.Final() {
		return // the engine has stopped; the run goes on with the next one
	}
	attrs := []any{
		"workflow_id", info.Workflow, "execution_id", info.ID, "state", string(info.State), "rows_in", info.RowsIn(),
		"rows_out", info.RowsOut(), "set_aside", info.RejectedTotal, "duration_ms", info.Finished.Sub(info.Started).Milliseconds(),
	}
	switch {
	case err == nil:
		r.log.Info("workflow run ended", attrs...)
	case info.State == workflow.StateCancelled:
		r.log.Warn("workflow run ended", append(attrs, "error", err)...) // as somebody wished
	default:
		r.log.Error("workflow run ended", append(attrs, "error", err)...)
	}
	if err := removeEmpty(info.Start.OutputDir); err != nil {
		r.log.Warn("the directory of a run cannot be removed", "error", err)
	}
	r.mu.Lock()
	delete(r.busy, run.ID())
	delete(r.followed, run.ID())
	r.mu.Unlock()
	r.prune(info.Workflow)
}

// Workflow implements [console.Runs].
func (r *Runs) Workflow() string {
	if r.definition == nil {
		return ""
	}
	return r.definition.Name
}

// Types implements [console.Runs].
func (r *Runs) Types() *workflow.Registry { return r.types }

// Start starts the node's workflow and returns the new run's id. The run does
// not end with ctx.
//
// Errors: FAILED_PRECONDITION if the node has no workflow, and those of Launch.
func (r *Runs) Start(ctx context.Context) (id string, err error) {
	if r.definition == nil {
		return "", fault.New(fault.FailedPrecondition, "node.Runs.Start", "this node has no workflow")
	}
	run, err := r.Launch(ctx, r.definition.Name, workflow.StartOptions{})
	if err != nil {
		return "", err
	}
	return run.ID(), nil
}

// Launch starts a run of a workflow, in a directory of its own unless the options
// name one. The node's own workflow has the inputs that it was loaded with, where
// the options say nothing else. The run does not end with ctx.
//
// Errors: RESOURCE_EXHAUSTED if too many runs are under way, UNAVAILABLE if the
// node is stopping or another one runs the workflows, and those of
// [workflow.Engine.Start].
func (r *Runs) Launch(ctx context.Context, name string, o workflow.StartOptions) (*workflow.Run, error) {
	if r.definition != nil && name == r.definition.Name && o.Inputs == nil {
		o.Inputs = r.definition.Given()
	}
	return r.begun(ctx, name, o.OutputDir, o.RequestID, func(engine *workflow.Engine, dir string) (*workflow.Run, error) {
		o.OutputDir = dir
		return engine.Start(ctx, name, o)
	})
}

// Rerun repeats a run, in a directory of its own. Errors: those of Launch, and of
// [workflow.Run.Rerun].
func (r *Runs) Rerun(ctx context.Context, run *workflow.Run, o workflow.RerunOptions) (*workflow.Run, error) {
	info, err := run.Info(ctx)
	if err != nil {
		return nil, err
	}
	return r.begun(ctx, info.Workflow, o.OutputDir, o.RequestID, func(_ *workflow.Engine, dir string) (*workflow.Run, error) {
		o.OutputDir = dir
		return run.Rerun(ctx, o)
	})
}

// Retry lets a run that failed or was cancelled go on. Errors: those of Launch,
// and of [workflow.Run.Retry].
func (r *Runs) Retry(ctx context.Context, run *workflow.Run) error {
	if _, err := r.reserve(); err != nil {
		return err
	}
	info, err := run.Info(ctx)
	if err == nil && info.Start.OutputDir != "" {
		err = os.MkdirAll(info.Start.OutputDir, 0o755) // what a run that failed leaves behind may be nothing
	}
	if err == nil {
		err = run.Retry(ctx)
	}
	if err != nil {
		r.release()
		return err
	}
	r.mark(run.ID(), info.Start.OutputDir)
	r.watchers.Go(func() {
		defer r.release()
		r.watch(run)
	})
	return nil
}

// begun starts a run and follows it, unless the request has started one before.
func (r *Runs) begun(ctx context.Context, name, dir, request string, start func(*workflow.Engine, string) (*workflow.Run, error)) (*workflow.Run, error) {
	engine, err := r.reserve()
	if err != nil {
		return nil, err
	}
	made := ""
	if dir == "" {
		if made, err = r.makeDir(name); err != nil {
			r.release()
			return nil, err
		}
		dir = made
		r.mark(made, made) // it has no run yet
		defer r.unmark(made)
	}
	run, err := start(engine, dir)
	repeated := false
	if err == nil && request != "" {
		var info workflow.RunInfo
		info, err = run.Info(ctx)
		repeated = info.Start.OutputDir != dir
	}
	if err != nil || repeated {
		r.release()
		if made != "" {
			err = errors.Join(err, removeEmpty(made))
		}
		return run, err
	}
	r.mark(run.ID(), dir)
	r.watchers.Go(func() {
		defer r.release()
		r.watch(run)
	})
	return run, nil
}

// unmark forgets a directory that had no run yet.
func (r *Runs) unmark(made string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, made)
}

// Engine is what runs the workflows, or nil while another node on the same store
// does.
func (r *Runs) Engine() *workflow.Engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine
}

// Wait waits until a run has ended. The error says why it failed or was
// cancelled, or is NOT_FOUND.
func (r *Runs) Wait(ctx context.Context, id string) (workflow.RunInfo, error) {
	run, err := r.find(ctx, id)
	if err != nil {
		return workflow.RunInfo{}, err
	}
	return run.Wait(ctx)
}

// find returns a run.
func (r *Runs) find(ctx context.Context, id string) (*workflow.Run, error) {
	engine := r.Engine()
	if engine == nil {
		return nil, errElsewhere("node.Runs")
	}
	return engine.Run(ctx, id)
}

func errElsewhere(op string) error {
	return &fault.Error{Code: fault.Unavailable, Op: op, Message: "another node runs the workflows of this store", Hint: "ask that one"}
}

// Result reads a page of the table that a sink of a run wrote. The sink "" means
// the first of [Artifacts]: a sink.sql of SQLite if the run has one, else a sink.csv.
func (r *Runs) Result(ctx context.Context, id, sink string, limit, offset int) (console.Table, error) {
	const op = "node.Runs.Result"
	run, err := r.find(ctx, id)
	if err != nil {
		return console.Table{}, err
	}
	info, err := run.Info(ctx)
	if err != nil {
		return console.Table{}, err
	}
	if info.State != workflow.StateCompleted {
		return console.Table{}, &fault.Error{Code: fault.NotFound, Op: op, Target: id, Message: "the run has written no table; it is " + string(info.State)}
	}
	definition, err := run.Definition(ctx)
	if err != nil {
		return console.Table{}, err
	}
	results := Artifacts(definition, info)
	if len(results) == 0 {
		return console.Table{}, &fault.Error{Code: fault.NotFound, Op: op, Target: id, Message: "the run wrote nothing that can be shown"}
	}
	sinks := make([]string, len(results))
	for i, result := range results {
		sinks[i] = result.Node
	}
	at := slices.Index(sinks, cmp.Or(sink, sinks[0]))
	if at < 0 {
		return console.Table{}, &fault.Error{
			Code: fault.NotFound, Op: op, Target: sink,
			Message: fmt.Sprintf("the run has no sink %.80q that can be shown", sink), Hint: "its sinks are " + strings.Join(sinks, ", "),
		}
	}
	shown := results[at]
	rows, err := ReadArtifact(ctx, shown.Artifact, shown.Schema, limit, offset)
	if err != nil {
		return console.Table{}, err
	}
	return console.Table{
		Name:    cmp.Or(shown.Artifact.Table, filepath.Base(shown.Artifact.Path)),
		Columns: shown.Schema.Columns(),
		Rows:    rows,
		Total:   int(shown.Rows),
		Sink:    shown.Node,
		Sinks:   sinks,
	}, nil
}

// A SinkResult is what one sink of a completed run wrote.
type SinkResult struct {
	Node     string // id of the sink
	Artifact workflow.Artifact
	Schema   workflow.Schema
	Rows     int64
}

// Artifacts lists what the sinks of a run wrote and [ReadArtifact] can read
// back, SQLite tables first.
func Artifacts(definition *workflow.Definition, info workflow.RunInfo) []SinkResult {
	var results []SinkResult
	for i, n := range info.Nodes {
		if n.Artifact == nil || n.Artifact.Type != "sqlite" && n.Artifact.Type != "csv" {
			continue
		}
		results = append(results, SinkResult{Node: n.ID, Artifact: *n.Artifact, Schema: definition.Nodes[i].Schema, Rows: n.RowsOut})
	}
	slices.SortStableFunc(results, func(a, b SinkResult) int { return -cmp.Compare(a.Artifact.Type, b.Artifact.Type) })
	return results
}

// drain refuses new runs and waits until those that this process started have
// ended, or only wait. Those that are still under way when ctx ends are interrupted
// with the tree. All of them go on when the node starts again.
func (r *Runs) drain(ctx context.Context) {
	r.mu.Lock()
	if r.draining {
		r.mu.Unlock()
		return
	}
	r.draining = true
	active := r.active
	if active == 0 {
		close(r.idle)
	}
	engine := r.engine
	r.mu.Unlock()
	if active == 0 || engine == nil {
		return
	}
	changes, stop := engine.Watch("")
	defer stop()
	for {
		waiting, working := r.underWay(ctx, engine)
		if r.count() <= waiting {
			return
		}
		select {
		case <-r.idle:
			return
		case <-changes:
		case <-r.released:
		case <-ctx.Done():
			for _, id := range working {
				r.log.Warn("a workflow run is interrupted because the node stops; it goes on when the node starts again", "execution_id", id)
			}
			return
		}
	}
}

// count is how many runs are under way, or have ended and are tidied up after.
func (r *Runs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active
}

// underWay counts the runs of this process that only wait, and lists the others.
func (r *Runs) underWay(ctx context.Context, engine *workflow.Engine) (waiting int, working []string) {
	r.mu.Lock()
	ids := slices.Sorted(maps.Keys(r.busy))
	ids = slices.DeleteFunc(ids, func(id string) bool { return r.followed[id] })
	r.mu.Unlock()
	for _, id := range ids {
		if run, err := engine.Run(ctx, id); err == nil && run.Waits(ctx) {
			waiting++
		} else {
			working = append(working, id)
		}
	}
	return waiting, working
}

// settle waits until everything that followed a run's end is done, or ctx ends.
func (r *Runs) settle(ctx context.Context) {
	settled := make(chan struct{})
	go func() {
		r.watchers.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// runDir is the shape of the names that makeDir gives; nothing else is ever
// removed.
var runDir = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}\.[0-9]{9}-[A-Za-z0-9_-]{1,40}$`)

// makeDir makes a directory for a run's output. Names sort by time.
func (r *Runs) makeDir(workflowName string) (string, error) {
	const what = "the output directory of the run cannot be made"
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return "", fileError(what, r.dir, err)
	}
	name := strings.Map(func(c rune) rune {
		if c < 128 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return c
		}
		return '-'
	}, workflowName)
	name = cmp.Or(name[:min(len(name), 40)], "run")
	for {
		dir := filepath.Join(r.dir, time.Now().UTC().Format("20060102-150405.000000000")+"-"+name)
		err := os.Mkdir(dir, 0o755)
		switch {
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrExist):
			return "", fileError(what, dir, err)
		}
	}
}

// removeEmpty removes the directory of a run that wrote nothing.
func removeEmpty(dir string) error {
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		return nil //nolint:nilerr // a directory that is gone needs no removal
	}
	return os.Remove(dir)
}

// prune removes the oldest runs of a workflow beyond the number to keep, and the
// oldest directories, those of earlier processes included.
func (r *Runs) prune(name string) {
	r.pruning.Lock()
	defer r.pruning.Unlock()
	r.mu.Lock()
	busy := map[string]bool{}
	for _, dir := range r.busy {
		busy[dir] = true
	}
	engine := r.engine
	r.mu.Unlock()
	removed, err := engine.Prune(context.Background(), name, r.keep)
	if err != nil && fault.CodeOf(err) != fault.Unavailable {
		r.log.Warn("the histories of old runs cannot be removed", "error", err)
	}
	for _, id := range removed { // of those that the engine itself has started
		if err := os.RemoveAll(filepath.Join(r.dir, id)); err != nil {
			r.log.Warn("the output of an old run cannot be removed", "error", err)
		}
	}
	listed, err := os.ReadDir(r.dir)
	if err != nil {
		return // nothing has been written
	}
	var dirs []string
	for _, d := range listed {
		dir := filepath.Join(r.dir, d.Name())
		if d.IsDir() && runDir.MatchString(d.Name()) && !busy[dir] {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	for _, dir := range dirs[:max(0, len(dirs)-r.keep)] {
		if err := os.RemoveAll(dir); err != nil {
			r.log.Warn("the output of an old run cannot be removed", "error", err)
		}
	}
}
