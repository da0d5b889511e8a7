package workflow

import (
	"context"
	"log/slog"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// flowRun is a flow without the run that it is a step of, for tests of what
// moves rows.
type flowRun struct{ *flow }

func startFlowRun(ctx context.Context, parent actor.Parent, d *Definition, o flowOptions) (flowRun, error) {
	if ctx.Err() != nil {
		return flowRun{}, contextError(ctx)
	}
	if o.RunID == "" {
		o.RunID = newRunID(time.Now())
		o.Node = d.Name + "-" + o.RunID[len(o.RunID)-8:]
	}
	if o.RejectsKept == 0 {
		o.RejectsKept = RejectsKeptDefault
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, err := startFlow(ctx, parent, d, o)
	return flowRun{f}, err
}

// Info is what a run would tell of the flow.
func (f flowRun) Info() RunInfo {
	info := RunInfo{ID: f.options.RunID, Workflow: f.definition.Name, State: StateRunning}
	info.Nodes, info.Rejects = f.figures()
	for _, n := range info.Nodes {
		info.RejectedTotal += n.Rejected
	}
	for _, e := range f.edges {
		info.Edges = append(info.Edges, EdgeInfo{From: e.edge.From, Handle: e.edge.Handle, To: e.edge.To, Input: e.edge.Input, Rows: e.sent.Load()})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		return info
	}
	switch {
	case f.err == nil:
		info.State = StateCompleted
		if f.rejects != nil {
			info.RejectsFile = f.rejects.path
		}
	case fault.CodeOf(f.err) == fault.Canceled:
		info.State = StateCancelled
	default:
		info.State = StateFailed
	}
	if f.err != nil {
		info.Error, info.ErrorCode = f.err.Error(), fault.CodeOf(f.err)
	}
	return info
}

// Wait waits for the end.
func (f flowRun) Wait(ctx context.Context) (RunInfo, error) {
	select {
	case <-f.done:
	case <-f.ref.Done():
	case <-ctx.Done():
		return f.Info(), ctx.Err()
	}
	err := f.wait()
	return f.Info(), err
}

// Cancel ends the flow as the end of its context does.
func (f flowRun) Cancel() { _ = f.ref.TryTell(cancelRequested{cause: ErrCancelled}) }
