package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// flowActor is the actor of a run: it feeds what has happened to the machine
// and does what that decides. Its children are the nodes' actors.
type flowActor struct {
	run     *flow
	machine *machine
	nodes   map[string]actor.Ref[nodeMessage]
}

func newFlowActor(r *flow) *flowActor {
	return &flowActor{run: r, machine: newMachine(r.definition), nodes: map[string]actor.Ref[nodeMessage]{}}
}

// Start spawns the nodes, each after those that it feeds, so that it can be
// given their references. The youngest child is the first to be stopped, so
// that the sources end before what they feed, and first of all the guard.
func (a *flowActor) Start(ctx *actor.Context[input]) error {
	r := a.run
	for _, id := range slices.Backward(r.definition.order) {
		t := r.node(id)
		n := newNodeActor(r, t, ctx.Self(), a.nodes)
		ref, err := actor.Spawn(ctx, actor.Spec[nodeMessage]{
			Name:        id,
			New:         func() actor.Behavior[nodeMessage] { return n },
			Mailbox:     actor.Mailbox{Capacity: max(r.definition.QueueBatches, mailboxMin)},
			Restart:     actor.Temporary,
			StopTimeout: nodeStopTimeout,
			Type:        t.node.Type,
		})
		if err != nil {
			return err
		}
		t.path = ref.Address().Path
		a.nodes[id] = ref
	}
	_, err := actor.Spawn(ctx, actor.Spec[nodeMessage]{
		New:     func() actor.Behavior[nodeMessage] { return guard{r} },
		Restart: actor.Temporary,
		Type:    "workflow.guard",
	})
	return err
}

// mailboxMin is the least room in a node's mailbox: a source asks itself for
// its next batch while the message of the present one still counts.
const mailboxMin = 2

// guard is the first of a run's children to end. Its end tells the others,
// which may be waiting for each other or for the outside, that theirs is near.
type guard struct{ run *flow }

// Receive is never called: nobody has the guard's reference.
func (guard) Receive(*actor.Context[nodeMessage], nodeMessage) error { return nil }

// Stop ends the context that the nodes work under.
func (g guard) Stop(*actor.Context[nodeMessage]) error {
	g.run.cancel(errStopped)
	return nil
}

// judge is the supervisor's decision on a node that failed: it stays, so that
// it can clean up in its turn, and the run is told.
func (r *flow) judge(child actor.Address, err error) actor.Directive {
	id := child.Path[strings.LastIndexByte(child.Path, '/')+1:]
	if i := slices.IndexFunc(r.nodes, func(t *nodeTrack) bool { return t.node.ID == id }); i >= 0 {
		if _, panicked := errors.AsType[*actor.PanicError](err); panicked {
			err = &fault.Error{Message: r.nodes[i].describe(), Cause: err}
		}
		r.nodes[i].setState(StateFailed, err)
		_ = r.ref.TryTell(nodeFailed{node: id, err: err})
	}
	return actor.ResumeChild
}

// Receive feeds an input to the machine.
func (a *flowActor) Receive(ctx *actor.Context[input], in input) error {
	for queue := []input{in}; len(queue) > 0; queue = queue[1:] {
		for _, c := range a.machine.step(queue[0]) {
			if next := a.do(ctx, c); next != nil {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// do carries out a command. What it brings about at once is returned.
func (a *flowActor) do(ctx *actor.Context[input], c command) input {
	switch c.do {
	case doOpen:
		return a.tell(ctx, c.node, openNode{})
	case doRead:
		return a.tell(ctx, c.node, readSource{})
	case doPrepare:
		return a.tell(ctx, c.node, prepareSink{})
	case doCommit:
		return a.tell(ctx, c.node, commitSink{})
	case doAcknowledge:
		return a.tell(ctx, c.node, acknowledgeSource{})
	case doVerify:
		if err := checkConservation(a.run.nodes, a.run.edges); err != nil {
			return nodeFailed{err: err}
		}
		if err := a.run.rejects.prepare(); err != nil {
			return nodeFailed{err: err}
		}
		return rowsVerified{}
	case doFileRejects:
		if err := a.run.rejects.commit(); err != nil {
			return nodeFailed{err: err}
		}
		return rejectsFiled{}
	case doStop:
		a.run.beginStop(a.machine.outcome)
		// From within it does not wait: it begins when this handler has returned.
		_ = ctx.Self().Stop(ctx)
	}
	return nil
}

// tell tells a node what to do. Nothing else is under way when nodes are told
// something, so that it waits no longer than a handler takes to return.
func (a *flowActor) tell(ctx context.Context, node string, m nodeMessage) input {
	if err := a.nodes[node].Tell(ctx, m); err != nil {
		return nodeFailed{node: node, err: err}
	}
	return nil
}

// Stop gives the run its final state. By now every node has cleaned up.
func (a *flowActor) Stop(*actor.Context[input]) error {
	r := a.run
	var committed []string
	for _, t := range r.nodes {
		if info, _ := t.info(); info.Role == RoleSink && info.State == StateCompleted {
			committed = append(committed, info.ID)
		}
	}
	o := a.machine.interrupt(committed, errStopped)
	err := r.rejects.abort()
	if o.state != StateCompleted {
		o.err = r.withCleanup(o.err)
	}
	r.finish(o)
	return err
}

// withCleanup adds to the error of a run what could not be undone.
func (r *flow) withCleanup(err error) error {
	for _, t := range r.nodes {
		t.mu.Lock()
		if t.cleanup != nil && t.node.Role == RoleSink {
			err = fmt.Errorf("%w; then %w", err, t.cleanup)
		}
		t.mu.Unlock()
	}
	return err
}

// beginStop ends the work of the nodes, once the outcome is decided.
func (r *flow) beginStop(o outcome) {
	if o.err == nil {
		o.err = context.Canceled
	}
	r.cancel(o.err)
}
