package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// errStopped is the cause of a flow whose actor was stopped from outside.
var errStopped = fault.New(fault.Canceled, "", "the run was stopped with the actor system")

const (
	// nodeStopTimeout bounds how long one node may clean up.
	nodeStopTimeout = 10 * time.Second
	// flowStopTimeout bounds how long all nodes of a flow may, one after the other.
	flowStopTimeout = 5 * time.Minute
)

// flowOptions says how to execute a flow.
type flowOptions struct {
	RunID       string
	Node        string // of the flow
	Iteration   []int
	OutputDir   string // where relative paths of sinks and of the file of rejects begin
	RejectsKept int    // how many of the rows that one node sets aside are kept
	Log         *slog.Logger
	Journal     func(node string) *Journal
	Memory      func(node string) *Memory
	// Admit waits for the turn of a flow that competes with others; nil: it need not.
	Admit   func(context.Context) (release func(), err error)
	Changed func() // called when a figure has changed; quick
}

// flow is one execution of nodes that pass rows to each other.
type flow struct {
	definition *Definition
	options    flowOptions
	nodes      []*nodeTrack // in the order of the definition
	edges      []*edgeTrack
	rejects    *rejectsFile

	// ctx is what nodes work under. It ends when the outcome is decided.
	ctx    context.Context
	cancel context.CancelCauseFunc
	ref    actor.Ref[input]
	done   chan struct{}
	claims claims

	mu     sync.Mutex
	ended  bool
	err    error
	detach func() bool // from the context that it was started with
}

// startFlow begins the nodes of a flow as actors below parent. It returns before
// they are open. The flow ends with ctx, and with its parent; one that is
// cancelled or fails leaves nothing behind in its sinks.
func startFlow(ctx context.Context, parent actor.Parent, definition *Definition, options flowOptions) (*flow, error) {
	r := newFlow(definition, options)
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if err := r.createRejects(); err != nil {
		r.cancel(err)
		return nil, err
	}
	ref, err := actor.Spawn(parent, actor.Spec[input]{
		Name:        flowName(options),
		New:         func() actor.Behavior[input] { return newFlowActor(r) },
		Restart:     actor.Temporary,
		Supervision: actor.Supervision{Decide: r.judge},
		StopTimeout: flowStopTimeout,
		Type:        "workflow.flow",
	})
	if err != nil {
		err = errors.Join(err, r.rejects.abort())
		r.cancel(err)
		return nil, err
	}
	r.ref = ref
	r.endWith(ctx)
	// Told only now, so that the handle is complete before a node works.
	if options.Admit != nil {
		go r.admit()
		return r, nil
	}
	if err := ref.Tell(ctx, runStarted{}); err != nil {
		return nil, errors.Join(err, ref.Stop(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// endWith ends the flow when ctx ends. Until the flow has ended, and not only until
// its own context has: that is derived from ctx and may end a moment before.
func (r *flow) endWith(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.detach = context.AfterFunc(ctx, func() { _ = r.ref.TryTell(cancelRequested{cause: contextError(ctx)}) })
	}
}

// admit begins the flow when it is its turn, and lets the next one in when it has
// ended. It ends with the flow.
func (r *flow) admit() {
	release, err := r.options.Admit(r.ctx)
	switch {
	case r.ctx.Err() != nil: // it ends by itself
		if err == nil {
			release()
		}
		return
	case err != nil:
		_ = r.ref.TryTell(nodeFailed{err: err}) // or it has ended
		return
	}
	defer release()
	_ = r.ref.Tell(r.ctx, runStarted{}) // or it has ended
	<-r.ref.Done()
}

func newFlow(d *Definition, options flowOptions) *flow {
	r := &flow{definition: d, options: options, done: make(chan struct{})}
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

func (r *flow) createRejects() (err error) {
	if r.definition.Rejects != "" {
		env := Env{outputDir: r.options.OutputDir}
		path := env.OutputPath(r.definition.Rejects)
		if err := r.claims.writes("the rows that are set aside are written to it", Artifact{Path: path}); err != nil {
			return err
		}
		r.rejects, err = createRejects(path, taskKey(r.options.RunID, "rejects", r.options.Iteration))
	}
	return err
}

// flowName is the name of a flow's actor among those of its run.
func flowName(o flowOptions) string {
	return strings.NewReplacer("[", "-", "]", "").Replace(Instance(o.Node, o.Iteration))
}

// contextError says why a context has ended, as an error with a code.
func contextError(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == context.Canceled { //nolint:errorlint // the bare error says nothing more
		return ErrCancelled
	}
	return &fault.Error{Message: "the run was cancelled", Cause: cause}
}

// wait waits until the flow has ended and every node has cleaned up. The error
// is nil if it is completed, and says why if it failed or was cancelled.
func (r *flow) wait() error {
	select {
	case <-r.done:
	case <-r.ref.Done():
		r.finish(outcome{state: StateFailed, err: actor.ErrAbandoned})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// figures takes a snapshot of the nodes, and of the first rows that were set
// aside.
func (r *flow) figures() ([]NodeInfo, []Reject) {
	nodes := make([]NodeInfo, len(r.nodes))
	var rejects []Reject
	for i, t := range r.nodes {
		var some []Reject
		nodes[i], some = t.info()
		rejects = append(rejects, some...)
		for _, e := range r.edges {
			if e.edge.From != nodes[i].ID {
				continue
			}
			if nodes[i].Sent == nil {
				nodes[i].Sent = map[string]int64{}
			}
			nodes[i].Sent[e.edge.Handle] = e.sent.Load()
		}
	}
	return nodes, rejects
}

// changed tells that a figure has changed.
func (r *flow) changed() {
	if r.options.Changed != nil {
		r.options.Changed()
	}
}

// finish sets the outcome, once.
func (r *flow) finish(o outcome) {
	r.cancel(o.err)
	for _, t := range r.nodes {
		t.setState(StateCancelled, nil)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended, r.err = true, o.err
	if r.detach != nil {
		r.detach()
	}
	close(r.done)
	r.changed()
}

// reject counts rows that a node has set aside, and keeps or files them.
func (r *flow) reject(t *nodeTrack, rejects []Reject) error {
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
func (r *flow) claim(t *nodeTrack, a Artifact) error {
	if err := r.claims.writes("the node "+quote(t.node.ID)+" writes it", a); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.artifact = &a
	return nil
}

// node finds the figures of a node.
func (r *flow) node(id string) *nodeTrack {
	return r.nodes[slices.IndexFunc(r.nodes, func(t *nodeTrack) bool { return t.node.ID == id })]
}

// describe names a node in an error.
func (t *nodeTrack) describe() string { return fmt.Sprintf("node %q (%s)", t.node.ID, t.node.Type) }
