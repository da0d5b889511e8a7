package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	definition *workflow.Definition // what Start runs; nil: nothing
	files      fs.FS                // of definitions that are part of the program
	name       string               // of the node
	dir        string               // holds the directories of the runs
	keep       int
	maxActive  int
	log        *slog.Logger

	watchers sync.WaitGroup // one for each run under way
	pruning  sync.Mutex

	mu       sync.Mutex
	engine   *workflow.Engine // nil while another node runs the workflows of the store
	entries  []*runEntry      // oldest first
	active   int
	draining bool
	idle     chan struct{} // closed when draining and nothing is active
}

// runEntry is one run and where it writes.
type runEntry struct {
	run  *workflow.Run
	dir  string
	done bool
	info workflow.RunInfo // once it is done
}

func newRuns(config Config, options Options, log *slog.Logger) *Runs {
	return &Runs{
		definition: options.Workflow,
		files:      options.WorkflowFiles,
		name:       config.Name,
		dir:        filepath.Join(config.DataDir, "runs"),
		keep:       config.Runs.Keep,
		maxActive:  config.Runs.MaxActive,
		log:        log,
		idle:       make(chan struct{}),
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
// for 0, and notes the runs that it knows.
func (r *Runs) begin(ctx context.Context, patience time.Duration, parent actor.Parent, s store.Store) error {
	opening := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		opening, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	engine, err := workflow.Open(opening, parent, s, workflow.EngineOptions{
		Registry: NodeTypes(), Name: "runs", Owner: r.name, OutputDir: r.dir, Files: r.files, Log: r.log,
	})
	if err != nil {
		return err
	}
	if r.definition != nil {
		if _, err := engine.Deploy(ctx, r.definition, "deployed at the start of the node"); err != nil {
			return err
		}
	}
	known, err := engine.Runs(ctx, workflow.RunFilter{Limit: max(r.keep, 1)})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.engine = engine
	r.mu.Unlock()
	for _, summary := range slices.Backward(known) {
		run, err := engine.Run(ctx, summary.ID)
		if err != nil {
			return err
		}
		info, err := run.Info(ctx)
		if err != nil {
			return err
		}
		r.follow(&runEntry{run: run, dir: info.Start.OutputDir, done: info.State.Final(), info: info})
	}
	return nil
}

// follow notes a run and waits for its end.
func (r *Runs) follow(entry *runEntry) {
	r.mu.Lock()
	r.entries = append(r.entries, entry)
	r.mu.Unlock()
	if !entry.done { // else an earlier process has tidied up after it
		r.watchers.Go(func() { r.watch(entry) })
	}
}

// launch makes the directory of a run and starts it.
func (r *Runs) launch(ctx context.Context, engine *workflow.Engine) (*runEntry, error) {
	dir, err := r.makeDir(r.definition.Name)
	if err != nil {
		return nil, err
	}
	run, err := engine.Start(ctx, r.definition.Name, workflow.StartOptions{OutputDir: dir, Inputs: r.definition.Given()})
	if err != nil {
		return nil, errors.Join(err, removeEmpty(dir))
	}
	return &runEntry{run: run, dir: dir}, nil
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
		return nil, &fault.Error{Code: fault.Unavailable, Op: op, Message: "another node runs the workflows of this store", Hint: "ask that one"}
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
}

// watch waits for the end of a run and tidies up after it.
func (r *Runs) watch(entry *runEntry) {
	info, err := entry.run.Wait(context.Background())
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
	if err := removeEmpty(entry.dir); err != nil {
		r.log.Warn("the directory of a run cannot be removed", "error", err)
	}
	r.finished(entry, info)
	r.prune()
}

func (r *Runs) finished(entry *runEntry, info workflow.RunInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.done, entry.info = true, info
}

// List returns the runs, newest first.
func (r *Runs) List() []workflow.RunInfo {
	r.mu.Lock()
	entries := slices.Clone(r.entries)
	r.mu.Unlock()
	infos := make([]workflow.RunInfo, 0, len(entries))
	for _, e := range slices.Backward(entries) {
		if info, err := r.infoOf(e); err == nil {
			infos = append(infos, info)
		}
	}
	return infos
}

func (r *Runs) infoOf(e *runEntry) (workflow.RunInfo, error) {
	r.mu.Lock()
	done, info := e.done, e.info
	r.mu.Unlock()
	if done {
		return info, nil
	}
	return e.run.Info(context.Background())
}

// Get returns one run.
func (r *Runs) Get(id string) (workflow.RunInfo, bool) {
	entry := r.find(id)
	if entry == nil {
		return workflow.RunInfo{}, false
	}
	info, err := r.infoOf(entry)
	return info, err == nil
}

func (r *Runs) find(id string) *runEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.run.ID() == id {
			return e
		}
	}
	return nil
}

// Start starts the node's workflow and returns the new run's id. The run does
// not end with ctx.
//
// Errors: FAILED_PRECONDITION if the node has no workflow, RESOURCE_EXHAUSTED if
// too many runs are under way, UNAVAILABLE if the node is stopping or another one
// runs the workflows.
func (r *Runs) Start(ctx context.Context) (id string, err error) {
	if r.definition == nil {
		return "", fault.New(fault.FailedPrecondition, "node.Runs.Start", "this node has no workflow")
	}
	engine, err := r.reserve()
	if err != nil {
		return "", err
	}
	entry, err := r.launch(ctx, engine)
	if err != nil {
		r.release()
		return "", err
	}
	r.mu.Lock()
	r.entries = append(r.entries, entry)
	r.mu.Unlock()
	r.watchers.Go(func() {
		defer r.release()
		r.watch(entry)
	})
	return entry.run.ID(), nil
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
	entry := r.find(id)
	if entry == nil {
		return workflow.RunInfo{}, noRun("node.Runs.Wait", id)
	}
	return entry.run.Wait(ctx)
}

// Result reads a page of the table that a sink of a run wrote. The sink "" means
// the first of [Artifacts]: a sink.sql of SQLite if the run has one, else a sink.csv.
func (r *Runs) Result(ctx context.Context, id, sink string, limit, offset int) (console.Table, error) {
	const op = "node.Runs.Result"
	entry := r.find(id)
	if entry == nil {
		return console.Table{}, noRun(op, id)
	}
	info, err := r.infoOf(entry)
	if err != nil {
		return console.Table{}, err
	}
	if info.State != workflow.StateCompleted {
		return console.Table{}, &fault.Error{Code: fault.NotFound, Op: op, Target: id, Message: "the run has written no table; it is " + string(info.State)}
	}
	definition, err := entry.run.Definition(ctx)
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

func noRun(op, id string) error {
	return &fault.Error{Code: fault.NotFound, Op: op, Target: id, Message: "there is no such run"}
}

// drain refuses new runs and waits until those that this process started have
// ended. Those that are still under way when ctx ends are interrupted with the
// tree, and go on when the node starts again.
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
	r.mu.Unlock()
	select {
	case <-r.idle:
		return
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if !e.done {
			r.log.Warn("a workflow run is interrupted because the node stops; it goes on when the node starts again", "execution_id", e.run.ID())
		}
	}
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

// prune forgets the oldest runs beyond the number to keep, and removes the
// oldest directories, those of earlier processes included.
func (r *Runs) prune() {
	r.pruning.Lock()
	defer r.pruning.Unlock()
	r.mu.Lock()
	busy := map[string]bool{}
	finished := 0
	for _, e := range r.entries {
		if e.done {
			finished++
		}
	}
	r.entries = slices.DeleteFunc(r.entries, func(e *runEntry) bool {
		if !e.done {
			busy[e.dir] = true
			return false
		}
		finished--
		return finished >= r.keep
	})
	engine := r.engine
	r.mu.Unlock()
	if engine != nil && r.definition != nil {
		if _, err := engine.Prune(context.Background(), r.definition.Name, r.keep); err != nil && fault.CodeOf(err) != fault.Unavailable {
			r.log.Warn("the histories of old runs cannot be removed", "error", err)
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
