package workflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// nodeMessage is what a node's actor is told: by the run what to do, by the
// nodes before it what rows there are.
type nodeMessage interface{ isNodeMessage() }

type (
	openNode    struct{}
	readSource  struct{} // also from the source to itself, for the next batch
	prepareSink struct{}
	commitSink  struct{}
	// every sink has committed
	acknowledgeSource struct{}
	// rows that come over an edge, and the end of the edge
	rowsArrived struct {
		edge  *edgeTrack
		batch Batch
	}
	edgeEnded struct{ edge *edgeTrack }
)

func (openNode) isNodeMessage()          {}
func (readSource) isNodeMessage()        {}
func (prepareSink) isNodeMessage()       {}
func (commitSink) isNodeMessage()        {}
func (acknowledgeSource) isNodeMessage() {}
func (rowsArrived) isNodeMessage()       {}
func (edgeEnded) isNodeMessage()         {}

// errGone tells that a node has nobody to pass its rows on to, because the run
// is ending. It is no failure of the node.
var errGone = errors.New("workflow: the next node has stopped")

// nodeActor is the actor of a node: it hands batches to the node's source,
// transform or sink and passes on what comes back. Telling the next node
// blocks while its mailbox is full, which is the backpressure.
type nodeActor struct {
	run   *flow
	track *nodeTrack
	boss  actor.Ref[input]
	plan  plan
	outs  map[string][]outEdge // by handle
	left  int                  // edges into the node that have not ended
	leads map[string]int       // of them, those into each named input

	source  Source
	change  Transform
	sink    Sink
	workers workers // of a transform that works on several batches at a time

	opened    bool // Open was called, whatever came of it
	committed bool
	// broken: the node is not to work any more. It is set while a handler
	// runs, so that a panic leaves it set.
	broken bool
}

// outEdge is an edge that leaves the node.
type outEdge struct {
	track    *edgeTrack
	to       actor.Ref[nodeMessage]
	node     *nodeTrack // that it leads to
	overflow Overflow   // of that node
}

// newNodeActor makes the actor of a node. The nodes that it feeds are among
// the given ones.
func newNodeActor(r *flow, t *nodeTrack, boss actor.Ref[input], nodes map[string]actor.Ref[nodeMessage]) *nodeActor {
	n := &nodeActor{run: r, track: t, boss: boss, plan: r.definition.plans[t.node.ID], outs: map[string][]outEdge{}, leads: map[string]int{}}
	n.workers.most = n.plan.parallel
	for _, e := range r.edges {
		if e.edge.From == t.node.ID {
			n.outs[e.edge.Handle] = append(n.outs[e.edge.Handle], outEdge{
				track: e, to: nodes[e.edge.To], node: r.node(e.edge.To), overflow: r.definition.plans[e.edge.To].overflow,
			})
		}
		if e.edge.To == t.node.ID {
			n.left++
			n.leads[e.edge.Input]++
		}
	}
	return n
}

// Receive does what the node is told. Once the run is ending, rows are
// discarded: nothing of them will be committed.
func (n *nodeActor) Receive(ctx *actor.Context[nodeMessage], m nodeMessage) error {
	if n.broken || n.run.ctx.Err() != nil && !finishes(m) {
		return nil
	}
	n.broken = true
	err := n.handle(ctx, m)
	n.track.touch(time.Now())
	n.run.changed()
	switch {
	case err == nil:
		n.broken = false
		return nil
	case err == errGone, n.run.ctx.Err() != nil && isContextError(err): //nolint:errorlint // it is never wrapped
		return nil
	}
	return err
}

// finishes reports whether a message belongs to the end of a run that cannot be
// cancelled any more.
func finishes(m nodeMessage) bool {
	switch m.(type) {
	case commitSink, acknowledgeSource:
		return true
	}
	return false
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (n *nodeActor) handle(ctx *actor.Context[nodeMessage], m nodeMessage) error {
	switch m := m.(type) {
	case openNode:
		n.track.touch(time.Now())
		if err := n.open(ctx); err != nil {
			return n.fault("cannot be opened", err)
		}
		n.track.setState(StateRunning, nil)
		_, acknowledges := n.source.(Acknowledger)
		return n.tellBoss(nodeOpened{n.track.node.ID, acknowledges})
	case readSource:
		return n.read(ctx)
	case rowsArrived:
		m.edge.received.Add(int64(len(m.batch.Rows)))
		n.track.rowsIn.Add(int64(len(m.batch.Rows)))
		n.track.batches.Add(1)
		if n.sink != nil {
			return n.write(m.batch)
		}
		m.batch.Input = m.edge.edge.Input
		if n.workers.most > 1 {
			return n.begin(ctx.Self(), m.batch)
		}
		return n.apply(m.batch)
	case batchApplied:
		return n.passReady()
	case edgeEnded:
		return n.edgeEnded(m.edge.edge.Input)
	case prepareSink:
		if p, ok := n.sink.(Preparer); ok {
			if err := p.Prepare(n.run.ctx); err != nil {
				return n.fault("cannot finish its output", err)
			}
		}
		return n.tellBoss(sinkPrepared{n.track.node.ID})
	case commitSink:
		if err := n.sink.Commit(context.WithoutCancel(n.run.ctx)); err != nil {
			return n.fault("cannot commit its output", err)
		}
		n.committed = true
		n.track.setState(StateCompleted, nil)
		return n.tellBoss(sinkCommitted{n.track.node.ID})
	case acknowledgeSource:
		return n.acknowledge()
	}
	return nil
}

// acknowledgeTimeout bounds how long a source may acknowledge.
const acknowledgeTimeout = time.Minute

func (n *nodeActor) acknowledge() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.run.ctx), acknowledgeTimeout)
	defer cancel()
	if err := n.source.(Acknowledger).Acknowledge(ctx); err != nil {
		return n.fault("cannot acknowledge what it has read", err)
	}
	return n.tellBoss(acknowledged{n.track.node.ID})
}

// edgeEnded counts the edges that have ended, those of the input and all.
func (n *nodeActor) edgeEnded(input string) error {
	n.left--
	n.leads[input]--
	if err := n.passAll(); err != nil {
		return err
	}
	if e, ok := n.change.(InputEnder); ok && input != "" && n.leads[input] == 0 {
		out, err := e.InputEnded(n.run.ctx, input)
		if err := n.flushed(out, err); err != nil {
			return err
		}
	}
	if n.left > 0 {
		return nil
	}
	return n.end()
}

// tellBoss reports to the run. If that takes no more messages, it is ending.
func (n *nodeActor) tellBoss(in input) error {
	if err := n.boss.TryTell(in); err != nil {
		return n.toldNobody(err)
	}
	return nil
}

// fault is an error of the node: which node, what it was doing, why.
func (n *nodeActor) fault(doing string, err error) error {
	return &fault.Error{Message: n.track.describe() + " " + doing, Cause: err}
}

// toldNobody turns the error of telling a node into what it means: that the
// run is ending, or that something is wrong.
func (n *nodeActor) toldNobody(err error) error {
	if n.run.ctx.Err() != nil || errors.Is(err, actor.ErrStopped) {
		return errGone
	}
	return n.fault("cannot pass rows on", err)
}

// open makes the node's source, transform or sink and opens it.
func (n *nodeActor) open(ctx *actor.Context[nodeMessage]) (err error) {
	r, node := n.run, n.track.node
	env := &Env{
		RunID: r.options.RunID, Node: node.ID, Key: taskKey(r.options.RunID, node.ID, r.options.Iteration),
		files: r.definition.files, outputDir: r.options.OutputDir, claims: &r.claims,
		Log: r.options.Log.With("node", Instance(node.ID, r.options.Iteration), "actor", ctx.Address().Path),
	}
	switch node.Role {
	case RoleSource:
		if r.options.Journal != nil {
			env.Journal = r.options.Journal(node.ID)
		}
		if r.options.Memory != nil {
			env.Memory = r.options.Memory(node.ID)
		}
		if n.source, err = n.plan.source(env); err != nil {
			return err
		}
		n.opened = true
		return n.source.Open(r.ctx)
	case RoleTransform:
		n.change, err = n.plan.change(env)
		return err
	}
	if n.sink, err = n.plan.sink(env); err != nil {
		return err
	}
	n.opened = true
	if err := n.sink.Open(r.ctx, node.Schema); err != nil {
		return err
	}
	if p, ok := n.sink.(Producer); ok {
		return r.claim(n.track, p.Artifact())
	}
	return nil
}

// read reads one batch and passes it on, and asks itself for the next one.
func (n *nodeActor) read(ctx *actor.Context[nodeMessage]) error {
	batch, rejects, err := n.source.Read(n.run.ctx, n.run.definition.BatchRows)
	ended := errors.Is(err, io.EOF)
	if err != nil && !ended {
		return n.fault("cannot read", err)
	}
	if len(batch.Rows)+len(rejects) > 0 {
		n.track.rowsIn.Add(int64(len(batch.Rows) + len(rejects)))
		n.track.batches.Add(1)
	}
	if err := n.run.reject(n.track, rejects); err != nil {
		return n.fault("set rows aside", err)
	}
	if err := n.emit(OutHandle, batch); err != nil {
		return err
	}
	if !ended {
		if err := ctx.Self().TryTell(readSource{}); err != nil {
			return n.toldNobody(err)
		}
		return nil
	}
	if c, ok := n.source.(Counter); ok && c.RowsRead() != n.track.rowsIn.Load() {
		return n.fault("does not add up", &fault.Error{
			Code:    fault.Internal,
			Message: fmt.Sprintf("it met %d rows and gave out or set aside %d", c.RowsRead(), n.track.rowsIn.Load()),
		})
	}
	return n.end()
}

// apply hands a batch to the transform and passes on what it made of it.
func (n *nodeActor) apply(batch Batch) error {
	out, err := n.change.Apply(n.run.ctx, batch)
	return n.applied(batch, out, err)
}

// applied passes on what the transform has made of a batch.
func (n *nodeActor) applied(batch Batch, out Output, err error) error {
	if err != nil {
		return n.fault("failed on "+batch.describe(), err)
	}
	side := 0
	for _, b := range out.Side {
		side += len(b.Rows)
	}
	if total := len(out.Batch.Rows) + side + len(out.Rejects) + out.Filtered + out.Held; out.Made < 0 || total != len(batch.Rows)+out.Made {
		rows := fmt.Sprintf("%d rows", len(batch.Rows))
		if out.Made != 0 {
			rows += fmt.Sprintf(" and %d made", out.Made)
		}
		return n.fault("failed on "+batch.describe(), &fault.Error{
			Code: fault.Internal,
			Message: fmt.Sprintf("of %s it accounts for %d: %d out, %d out by other handles, %d set aside, %d filtered, %d held",
				rows, total, len(out.Batch.Rows), side, len(out.Rejects), out.Filtered, out.Held),
		})
	}
	n.track.filtered.Add(int64(out.Filtered))
	n.track.held.Add(int64(out.Held))
	n.track.made.Add(int64(out.Made))
	return n.pass(out)
}

// pass passes on rows and keeps rejects. Rows for a handle that no edge leaves
// from are dropped on purpose: the definition says so.
func (n *nodeActor) pass(out Output) error {
	if err := n.run.reject(n.track, out.Rejects); err != nil {
		return n.fault("set rows aside", err)
	}
	if err := n.emit(OutHandle, out.Batch); err != nil {
		return err
	}
	for handle, batch := range out.Side {
		if err := n.emit(handle, batch); err != nil {
			return err
		}
	}
	return nil
}

func (n *nodeActor) write(batch Batch) error {
	if err := n.sink.Write(n.run.ctx, batch); err != nil {
		return n.fault("cannot write "+batch.describe(), err)
	}
	n.track.rowsOut.Add(int64(len(batch.Rows)))
	return nil
}

// emit sends a batch over every edge of a handle, in parts of the run's batch
// size. It waits where a mailbox is full.
func (n *nodeActor) emit(handle string, batch Batch) error {
	if len(batch.Rows) == 0 {
		return nil
	}
	if err := batch.check(n.plan.schemas[handle]); err != nil {
		return n.fault("gave out a batch that is wrong", err)
	}
	if len(n.outs[handle]) == 0 {
		n.track.filtered.Add(int64(len(batch.Rows)))
		return nil
	}
	n.track.rowsOut.Add(int64(len(batch.Rows)))
	size := n.run.definition.BatchRows
	if n.plan.batchRows > 0 {
		size = n.plan.batchRows
	}
	for start := 0; start < len(batch.Rows); start += size {
		part := batch.slice(start, min(start+size, len(batch.Rows)))
		for _, e := range n.outs[handle] {
			if err := n.send(e, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends a batch over an edge. Where there is no room in front of the next
// node, that node's overflow says what happens.
func (n *nodeActor) send(e outEdge, part Batch) error {
	m := rowsArrived{edge: e.track, batch: part}
	err := e.to.TryTell(m)
	if err != nil && errors.Is(err, actor.ErrMailboxFull) {
		switch e.overflow {
		case OverflowDrop:
			e.node.dropped.Add(int64(len(part.Rows)))
			return nil
		case OverflowFail:
			return n.fault("cannot pass rows on", &fault.Error{
				Code: fault.ResourceExhausted, Message: fmt.Sprintf("%d batches wait in front of %s", n.run.definition.QueueBatches, e.node.describe()),
				Hint: "raise queue_batches, or set overflow: wait",
			})
		}
		err = e.to.Tell(n.run.ctx, m)
	}
	if err != nil {
		return n.toldNobody(err)
	}
	e.track.sent.Add(int64(len(part.Rows)))
	return nil
}

// end passes on what the node still holds, and then that there is no more.
func (n *nodeActor) end() error {
	if n.change != nil {
		out, err := n.change.Flush(n.run.ctx)
		if err := n.flushed(out, err); err != nil {
			return err
		}
	}
	for _, edges := range n.outs {
		for _, e := range edges {
			if err := e.to.Tell(n.run.ctx, edgeEnded{edge: e.track}); err != nil {
				return n.toldNobody(err)
			}
		}
	}
	if n.sink == nil {
		n.track.touch(time.Now())
		n.track.setState(StateCompleted, nil)
	}
	return n.tellBoss(nodeEnded{n.track.node.ID})
}

// flushed passes on rows that the transform has held, or made of those.
func (n *nodeActor) flushed(out Output, err error) error {
	if err != nil {
		return n.fault("failed on the rows it held", err)
	}
	made := len(out.Batch.Rows) + len(out.Rejects)
	for _, b := range out.Side {
		made += len(b.Rows)
	}
	n.track.made.Add(int64(made))
	return n.pass(out)
}

// Stop cleans up: a source is closed, a sink that is not committed is aborted.
func (n *nodeActor) Stop(*actor.Context[nodeMessage]) error {
	n.workers.running.Wait() // the context that they work under has ended
	if !n.opened {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.run.ctx), nodeStopTimeout)
	defer cancel()
	var err error
	switch {
	case n.source != nil:
		if err = n.source.Close(); err != nil {
			err = n.fault("cannot be closed", err)
		}
	case n.sink != nil && !n.committed:
		if err = n.sink.Abort(ctx); err != nil {
			err = n.fault("cannot undo its output", err)
		}
	}
	if err != nil {
		n.track.cleanupFailed(err)
	}
	return err
}
