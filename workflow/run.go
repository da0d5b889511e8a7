package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// ErrCancelled is the cause of a run that [Run.Cancel] ended.
var ErrCancelled = fault.New(fault.Canceled, "", "the run was cancelled")

// errStopped is the cause of a run whose actor was stopped from outside.
var errStopped = fault.New(fault.Canceled, "", "the run was stopped with the actor system")

const (
	// nodeStopTimeout bounds how long one node may clean up.
	nodeStopTimeout = 10 * time.Second
	// runStopTimeout bounds how long all nodes of a run may, one after the other.
	runStopTimeout = 5 * time.Minute
)

// StartOptions says how to run a definition. The zero value is ready for use.
type StartOptions struct {
	// OutputDir is where relative paths of sinks and of the file of rejects
	// begin. Default: the working directory. Sinks make it if it is missing.
	OutputDir string
	// RejectsKept is how many of the rows that one node sets aside are kept in
	// memory for [RunInfo]. Default 100; negative: none. Counted are all.
	RejectsKept int
	// Log gets what nodes have to say, with the attributes workflow_id,
	// execution_id and node. Default: nothing is logged.
	Log *slog.Logger
}

// Run is a run of a workflow. Its methods may be called from any goroutine,
// also after it has ended.
type Run struct {
	id         string
	definition *Definition
	options    StartOptions
	started    time.Time
	nodes      []*nodeTrack // in the order of the definition
	edges      []*edgeTrack
	rejects    *rejectsFile

	// ctx is what nodes work under. It ends when the outcome is decided.
	ctx    context.Context
	cancel context.CancelCauseFunc
	ref    actor.Ref[input]
	done   chan struct{}
	claims claims

	mu          sync.Mutex
	state       State
	finished    time.Time
	err         error
	history     []Event
	subscribers map[chan struct{}]struct{}
}

// Start begins a run of a definition as an actor below parent, an
// [*actor.System] or the context of an actor's handler, with one actor for
// each node below it. It returns before the nodes are open; use [Run.Wait].
//
// The run ends with ctx: it is cancelled when ctx is. It is also cancelled when
// its parent stops. A run that is cancelled or fails leaves nothing behind in
// its sinks.
func Start(ctx context.Context, parent actor.Parent, definition *Definition, options StartOptions) (*Run, error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	dir, err := filepath.Abs(options.OutputDir)
	if err != nil {
		return nil, fault.Wrap(fault.FailedPrecondition, "workflow.Start", err)
	}
	options.OutputDir = dir
	r := newRun(definition, options)
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if err := r.createRejects(); err != nil {
		r.cancel(err)
		return nil, err
	}
	ref, err := actor.Spawn(parent, actor.Spec[input]{
		Name:        actorName(definition.Name, r.id),
		New:         func() actor.Behavior[input] { return newRunActor(r) },
		Restart:     actor.Temporary,
		Supervision: actor.Supervision{Decide: r.judge},
		StopTimeout: runStopTimeout,
		Type:        "workflow.run",
	})
	if err != nil {
		err = errors.Join(err, r.rejects.abort())
		r.cancel(err)
		return nil, err
	}
	r.ref = ref
	// Both end with the run: its actor cancels r.ctx.
	detach := context.AfterFunc(ctx, func() { _ = ref.TryTell(cancelRequested{cause: contextError(ctx)}) })
	context.AfterFunc(r.ctx, func() { detach() })
	// Told only now, so that the handle is complete before a node works.
	if err := ref.Tell(ctx, runStarted{}); err != nil {
		return nil, errors.Join(err, ref.Stop(context.WithoutCancel(ctx)))
	}
	return r, nil
}

func newRun(d *Definition, options StartOptions) *Run {
	if options.RejectsKept == 0 {
		options.RejectsKept = RejectsKeptDefault
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	r := &Run{
		id: newRunID(now), definition: d, options: options, started: now, state: StateRunning,
		done: make(chan struct{}), subscribers: map[chan struct{}]struct{}{},
	}
	for _, n := range d.Nodes {
		r.nodes = append(r.nodes, &nodeTrack{node: n, state: StatePending})
	}
	for _, e := range d.Edges {
		r.edges = append(r.edges, &edgeTrack{edge: e})
	}
	if d.info != nil {
		r.claims.read = append(r.claims.read, claim{what: "it is the definition of the workflow", info: d.info})
	}
	return r
}

func (r *Run) createRejects() (err error) {
	if r.definition.Rejects != "" {
		env := Env{outputDir: r.options.OutputDir}
		path := env.OutputPath(r.definition.Rejects)
		if err := r.claims.writes("the rows that are set aside are written to it", Artifact{Path: path}); err != nil {
			return err
		}
		r.rejects, err = createRejects(path, r.id+"/rejects")
	}
	return err
}

// actorName is the workflow's name as far as it can stand in a path, made
// unique by the random part of the run's id.
func actorName(workflow, id string) string {
	const nameMax = 40
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '-'
	}, workflow)
	return name[:min(len(name), nameMax)] + "-" + id[len(id)-8:]
}

// contextError says why a context has ended, as an error with a code.
func contextError(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == context.Canceled { //nolint:errorlint // the bare error says nothing more
		return ErrCancelled
	}
	return &fault.Error{Message: "the run was cancelled", Cause: cause}
}

// ID is the run's id, a UUID of version 7: ids sort by the time of the start.
func (r *Run) ID() string { return r.id }

// Definition is what runs.
func (r *Run) Definition() *Definition { return r.definition }

// Cancel ends the run, unless its sinks are being committed already. It does
// not wait; use [Run.Wait].
func (r *Run) Cancel() { _ = r.ref.TryTell(cancelRequested{cause: ErrCancelled}) }

// Done is closed when the run has ended and every node has cleaned up.
func (r *Run) Done() <-chan struct{} { return r.done }

// Wait waits until the run has ended. The error is nil if it is completed, and
// says why if it failed or was cancelled. If ctx ends first, its error is
// returned with the present state, and the run goes on.
func (r *Run) Wait(ctx context.Context) (RunInfo, error) {
	select {
	case <-r.done:
	case <-r.ref.Done():
		r.finish(outcome{state: StateFailed, err: actor.ErrAbandoned})
	case <-ctx.Done():
		return r.Info(), ctx.Err()
	}
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	return r.Info(), err
}

// Info takes a snapshot of the run.
func (r *Run) Info() RunInfo {
	info := RunInfo{
		ID: r.id, Workflow: r.definition.Name, Started: r.started,
		Nodes: make([]NodeInfo, len(r.nodes)), Edges: make([]EdgeInfo, len(r.edges)),
	}
	r.mu.Lock()
	info.State, info.Finished = r.state, r.finished
	if r.err != nil {
		info.Error, info.ErrorCode = r.err.Error(), fault.CodeOf(r.err)
	}
	r.mu.Unlock()
	if r.rejects != nil && info.State == StateCompleted {
		info.RejectsFile = r.rejects.path
	}
	for i, t := range r.nodes {
		var rejects []Reject
		info.Nodes[i], rejects = t.info()
		info.RejectedTotal += info.Nodes[i].Rejected
		info.Rejects = append(info.Rejects, rejects...)
	}
	for i, e := range r.edges {
		info.Edges[i] = EdgeInfo{From: e.edge.From, Handle: e.edge.Handle, To: e.edge.To, Input: e.edge.Input, Rows: e.sent.Load()}
	}
	return info
}

// History lists what has happened so far, oldest first.
func (r *Run) History() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.history)
}

// Subscribe returns a channel that gets a value after the run has changed.
// Changes come together: there is one value for all of them that the receiver
// has not seen, so that a slow receiver holds nobody up and misses nothing that
// [Run.Info] does not tell. The last value comes after the run has ended. The
// returned function ends the subscription.
func (r *Run) Subscribe() (changes <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Final() {
		c <- struct{}{}
	}
	r.subscribers[c] = struct{}{}
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subscribers, c)
	}
}

// changed tells the subscribers.
func (r *Run) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify()
}

// notify is changed for who holds the lock.
func (r *Run) notify() {
	for c := range r.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// record adds an event to the history and returns it.
func (r *Run) record(e Event) Event {
	e.At, e.Workflow, e.RunID = time.Now(), r.definition.Name, r.id
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, e)
	r.notify()
	return e
}

// finish sets the run's final state, once.
func (r *Run) finish(o outcome) {
	r.cancel(o.err)
	for _, t := range r.nodes {
		t.setState(StateCancelled, nil)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Final() {
		return
	}
	r.state, r.err, r.finished = o.state, o.err, time.Now()
	close(r.done)
	r.notify()
}

// reject counts rows that a node has set aside, and keeps or files them.
func (r *Run) reject(t *nodeTrack, rejects []Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	for i := range rejects {
		rejects[i].Node = t.node.ID
	}
	t.keep(rejects, max(r.options.RejectsKept, 0))
	return r.rejects.write(rejects)
}

// claim notes what a sink writes, unless that is read or written already.
func (r *Run) claim(t *nodeTrack, a Artifact) error {
	if err := r.claims.writes("the node "+quote(t.node.ID)+" writes it", a); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.artifact = &a
	return nil
}

// node finds the figures of a node.
func (r *Run) node(id string) *nodeTrack {
	return r.nodes[slices.IndexFunc(r.nodes, func(t *nodeTrack) bool { return t.node.ID == id })]
}

// describe names a node in an error.
func (t *nodeTrack) describe() string { return fmt.Sprintf("node %q (%s)", t.node.ID, t.node.Type) }
