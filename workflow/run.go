package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// StartOptions say how to start a run. The zero value is ready for use.
type StartOptions struct {
	// Version is the version to run; 0: the one that a rollout chooses, or else the
	// active one.
	Version int64
	// Inputs are values for the definition's inputs, as texts by name. An input
	// that is not among them has the default that the definition gives.
	Inputs map[string]string
	// OutputDir is where relative paths of sinks begin. Default: that of the
	// engine.
	OutputDir string
	// Key is whose run it is, in the words of who starts it.
	Key string
	// Trigger says what starts it. Default "manual".
	Trigger string
	// Priority of its tasks where they compete for a limit: higher goes first.
	Priority int
	// RequestID makes the start unique: a second one with the same id gives the
	// run of the first.
	RequestID string

	parent     string
	parentNode string
	rerun      *rerun
	// scheduled is the instant of a schedule that the run is started for, and
	// along what is set in the same commit.
	scheduled time.Time
	along     func(runID string) (store.Set, error)
}

// Run is a run of a workflow, under way or ended. Its methods may be called from
// any goroutine.
type Run struct {
	engine *Engine
	id     string
	first  *liveRun // as it was when it was started by this process
}

// Start starts a run of a workflow. When it returns, the start is recorded and
// nothing can undo it: the run goes on, whatever dies, until it ends.
//
// Errors: NOT_FOUND for an unknown workflow or version, [Problems] for inputs
// that do not fit, UNAVAILABLE if the engine is stopping, those of the store.
func (e *Engine) Start(ctx context.Context, workflow string, o StartOptions) (*Run, error) {
	const op = "workflow.Engine.Start"
	if e.isClosing() {
		return nil, fault.New(fault.Unavailable, op, "the engine is stopping")
	}
	now := time.Now()
	id := newRunID(now)
	e.starting.RLock()
	defer e.starting.RUnlock()
	version, rollout, definition, err := e.versionFor(ctx, workflow, id, &o)
	if err != nil {
		return nil, err
	}
	start := RunStart{
		Version: version, Rollout: rollout, Inputs: o.Inputs, OutputDir: o.OutputDir, Key: o.Key, Trigger: o.Trigger, Priority: o.Priority,
		Parent: o.parent, ParentNode: o.parentNode, Scheduled: o.scheduled,
	}
	if start.OutputDir == "" {
		start.OutputDir = e.options.OutputDir
		if e.options.DirPerRun {
			start.OutputDir = filepath.Join(start.OutputDir, id)
		}
	} else if dir, err := filepath.Abs(start.OutputDir); err == nil {
		start.OutputDir = dir
	}
	if start.Trigger == "" {
		start.Trigger = "manual"
	}
	d := &decider{runState: newRunState(definition, id), now: now.Truncate(time.Millisecond)}
	if o.rerun != nil {
		start.RerunOf = o.rerun.of
	}
	d.begin(start, o.RequestID, o.rerun)
	events, _ := d.taken()
	if o.along != nil {
		if d.along, err = o.along(d.id); err != nil {
			return nil, err
		}
	}
	if err := e.commit(ctx, d.runState, 0, events, o.RequestID); err != nil {
		if errors.Is(err, store.ErrConflict) && o.RequestID != "" {
			return e.started(ctx, o.RequestID)
		}
		return nil, err
	}
	e.publish(events)
	e.changed(d.id, d.end(nil))
	run := &Run{engine: e, id: d.id}
	if d.state.Final() {
		return run, nil
	}
	// The start is recorded: whatever ctx says now, the run is to go on.
	run.first, err = actor.Ask(context.WithoutCancel(ctx), e.ref, func(r actor.Reply[*liveRun]) engineMessage { return activate{d.id, d, r} })
	if err != nil && !e.isClosing() {
		return nil, err
	}
	return run, nil
}

// versionFor is the version that a run begins with: the one that was asked for,
// the one that a rollout chooses, or the active one. Inputs that only the candidate
// of a rollout refuses are a failure of it, and the run begins with the stable one.
func (e *Engine) versionFor(ctx context.Context, workflow, id string, o *StartOptions) (version int64, rollout string, d *Definition, err error) {
	version = o.Version
	if version == 0 {
		version, rollout = e.assign(workflow, o.Key, id)
	}
	if version == 0 {
		if version, err = e.active(ctx, workflow); err != nil {
			return 0, "", nil, err
		}
	}
	if d, err = e.definition(ctx, workflow, version, o.Inputs); err == nil || rollout == "" || fault.CodeOf(err) != fault.InvalidArgument {
		return version, rollout, d, err
	}
	stable, activeErr := e.active(ctx, workflow)
	if activeErr != nil || stable == version {
		return 0, "", nil, err
	}
	d, stableErr := e.definition(ctx, workflow, stable, o.Inputs)
	if stableErr != nil {
		return 0, "", nil, err
	}
	e.log.Warn("a version in a rollout refuses the inputs of a start; the active version takes it", "workflow", workflow, "version", version, "error", err)
	if err := e.refused(ctx, workflow, rollout, id, version); err != nil {
		return 0, "", nil, err
	}
	return stable, "", d, nil
}

// started finds the run that a request started.
func (e *Engine) started(ctx context.Context, requestID string) (*Run, error) {
	entry, err := e.store.Entry(ctx, requestPrefix+requestID)
	if err != nil {
		return nil, err
	}
	return &Run{engine: e, id: string(entry.Value)}, nil
}

func (e *Engine) isClosing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closing
}

// Run returns a run. Errors: NOT_FOUND.
func (e *Engine) Run(ctx context.Context, id string) (*Run, error) {
	r := &Run{engine: e, id: id}
	if r.live() != nil {
		return r, nil
	}
	for _, err := range e.store.Read(ctx, store.Stream(runPrefix+id), 0) {
		if errors.Is(err, store.ErrUnknownStream) || errors.Is(err, store.ErrInvalid) {
			return nil, noRun("workflow.Engine.Run", id)
		}
		return r, err
	}
	return nil, noRun("workflow.Engine.Run", id)
}

// ID is the run's id, a UUID of version 7: ids sort by the time of the start.
func (r *Run) ID() string { return r.id }

func (r *Run) live() *liveRun {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	return r.engine.live[r.id]
}

// Info takes a snapshot of the run.
func (r *Run) Info(ctx context.Context) (RunInfo, error) {
	if live := r.live(); live != nil {
		live.mu.Lock()
		defer live.mu.Unlock()
		if live.state != nil {
			return live.state.info(live), nil
		}
	}
	d, err := r.engine.read(ctx, r.id)
	if err != nil {
		return RunInfo{}, err
	}
	return d.info(nil), nil
}

// Definition is what the run is pinned to.
func (r *Run) Definition(ctx context.Context) (*Definition, error) {
	if live := r.live(); live != nil {
		live.mu.Lock()
		defer live.mu.Unlock()
		if live.state != nil {
			return live.state.definition, nil
		}
	}
	d, err := r.engine.read(ctx, r.id)
	if err != nil {
		return nil, err
	}
	return d.definition, nil
}

// Wait waits until the run has ended. The error is nil if it is completed, and
// says why if it failed or was cancelled. If ctx ends first, its error is
// returned with the present state, and the run goes on.
func (r *Run) Wait(ctx context.Context) (RunInfo, error) {
	ended := r.ended()
	defer r.stopWaiting(ended)
	if !r.underWay() {
		if r.first != nil {
			if end := r.first.end.Load(); end != nil {
				return end.result()
			}
		}
		info, err := r.Info(context.WithoutCancel(ctx))
		if err != nil {
			return info, err
		}
		if info.State.Final() {
			return info, info.failure()
		}
	}
	var why error
	select {
	case end, ok := <-ended:
		if ok {
			return end.result()
		}
		why = fault.New(fault.Unavailable, "workflow.Run.Wait", "the engine has stopped; the run goes on with the next one")
	case <-ctx.Done():
		select {
		case end, ok := <-ended: // with all the causes, which the stored text has not
			if ok {
				return end.result()
			}
		default:
		}
		why = ctx.Err()
	}
	info, err := r.Info(context.WithoutCancel(ctx))
	if err == nil && info.State.Final() { // it has ended at the same moment
		return info, info.failure()
	}
	return info, errors.Join(err, why)
}

// Waits reports whether the run has not ended and nothing of it is under way in
// this process: it waits for a signal, an approval, a time or its next attempt, and
// loses nothing when the process ends. A run that cannot be read does not wait.
func (r *Run) Waits(ctx context.Context) bool {
	live := r.live()
	if live == nil {
		info, err := r.Info(ctx)
		return err == nil && !info.State.Final()
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	return live.state != nil && !live.state.state.Final() && !live.state.busy()
}

// underWay reports whether the run is in memory and has not ended.
func (r *Run) underWay() bool {
	live := r.live()
	if live == nil {
		return false
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	return live.state != nil && !live.state.state.Final()
}

// Done is closed when the run has ended, or the engine has.
func (r *Run) Done() <-chan struct{} {
	done := make(chan struct{})
	ended := r.ended()
	if info, err := r.Info(context.Background()); err != nil || info.State.Final() {
		r.stopWaiting(ended)
		close(done)
		return done
	}
	go func() {
		<-ended
		close(done)
	}()
	return done
}

// Changes returns a channel that gets a value after the run has changed, see
// [Engine.Watch].
func (r *Run) Changes() (changes <-chan struct{}, cancel func()) { return r.engine.Watch(r.id) }

// ended returns a channel that gets how the run ended, and is closed when it or
// the engine ends. Of a run that has ended it gets nothing.
func (r *Run) ended() chan *runEnd {
	c := make(chan *runEnd, 1)
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	if r.engine.closing {
		close(c)
		return c
	}
	r.engine.waiters[r.id] = append(r.engine.waiters[r.id], c)
	return c
}

// stopWaiting forgets a channel that ended has made.
func (r *Run) stopWaiting(c chan *runEnd) {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	left := slices.DeleteFunc(r.engine.waiters[r.id], func(other chan *runEnd) bool { return other == c })
	if r.engine.waiters[r.id] = left; len(left) == 0 {
		delete(r.engine.waiters, r.id)
	}
}

// runFailure is why a run did not complete, as it is recorded.
type runFailure struct {
	code fault.Code
	text string
}

// Error is the text that was recorded.
func (f *runFailure) Error() string { return f.text }

// FaultCode classifies the error, see [fault.CodeOf].
func (f *runFailure) FaultCode() fault.Code { return f.code }

// failure is why a run did not complete.
func (i RunInfo) failure() error {
	if i.State == StateCompleted {
		return nil
	}
	return &runFailure{i.ErrorCode, i.Error}
}

// command has something decided by the run's actor.
func (r *Run) command(ctx context.Context, decide func(d *decider) error) error {
	for {
		live, err := r.engine.activate(ctx, r.id)
		if err != nil {
			return err
		}
		_, err = actor.Ask(ctx, live.ref, func(reply actor.Reply[struct{}]) runMessage { return runCommand{decide, reply} })
		if !errors.Is(err, actor.ErrStopped) || ctx.Err() != nil || r.engine.isClosing() {
			return err
		}
		live.leaving.Store(true) // it left memory at the same moment: it is brought back
	}
}

// Cancel ends the run: what is under way is interrupted, what was done is undone
// as far as the definition says how. It returns when the wish is recorded; use
// [Run.Wait]. Why may be empty.
func (r *Run) Cancel(ctx context.Context, why string) error {
	if why == "" {
		why = ErrCancelled.Message
	}
	return r.command(ctx, func(d *decider) error { return d.cancel(why, "") })
}

// Pause keeps the run from beginning anything new. What is under way goes on.
func (r *Run) Pause(ctx context.Context) error {
	return r.command(ctx, func(d *decider) error { return d.pause(true, "") })
}

// Resume ends a pause.
func (r *Run) Resume(ctx context.Context) error {
	return r.command(ctx, func(d *decider) error { return d.pause(false, "") })
}

// Signal sends a signal to the run: the first node that waits for its name goes
// on with the payload, JSON or nil, as its output; if none does, it is kept for
// one to come. With a request id, which may be empty, a signal that is repeated
// has no effect. It returns when it is recorded.
func (r *Run) Signal(ctx context.Context, name string, payload json.RawMessage, requestID string) error {
	const op = "workflow.Run.Signal"
	switch {
	case strings.TrimSpace(name) == "":
		return fault.New(fault.InvalidArgument, op, "the signal has no name")
	case len(payload) > TaskOutputMax:
		return fault.New(fault.InvalidArgument, op, "the payload has %d bytes; at most %d are allowed", len(payload), TaskOutputMax)
	case len(payload) > 0 && !json.Valid(payload):
		return fault.New(fault.InvalidArgument, op, "the payload is no JSON")
	}
	return r.command(ctx, func(d *decider) error { return d.signal(name, payload, requestID) })
}

// Approve answers an approval node.
func (r *Run) Approve(ctx context.Context, node string, iteration []int, a Approval) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return r.command(ctx, func(d *decider) error {
		s := d.find(node, iteration)
		if s == nil || s.def.control == nil || s.def.control.kind != controlApproval {
			return &fault.Error{
				Code: fault.NotFound, Target: Instance(node, iteration), Message: "the run has no such approval", Hint: d.definition.closestNode(node),
			}
		}
		if s.status != StateWaiting {
			return fault.New(fault.FailedPrecondition, "workflow.Run.Approve", "the approval %s waits for nobody; it is %s", Instance(node, iteration), s.state())
		}
		return d.signal(ApprovalSignal(node, iteration), payload, "")
	})
}

// Retry lets a run that failed or was cancelled go on: nodes that failed or were
// cancelled are run again, with what depends on them; what was completed is not.
// Errors: FAILED_PRECONDITION for a run that did neither, or has undone what it
// did.
func (r *Run) Retry(ctx context.Context) error {
	e := r.engine
	if r.first != nil {
		r.first.end.Store(nil)
	}
	if r.live() != nil {
		if _, err := e.activate(ctx, r.id); err != nil && !errors.Is(err, errEnded) {
			return err
		}
	}
	d, err := e.read(ctx, r.id)
	if err != nil {
		return err
	}
	before := d.seq
	d.now = time.Now().Truncate(time.Millisecond)
	if err := d.retry(""); err != nil {
		return err
	}
	events := d.events
	d.events = nil
	if err := e.commit(ctx, d.runState, before, events, ""); err != nil {
		if errors.Is(err, store.ErrWrongPosition) {
			return fault.New(fault.Aborted, "workflow.Run.Retry", "somebody else has changed the run at the same moment")
		}
		return err
	}
	e.publish(events)
	e.changed(r.id, d.end(nil))
	if d.state.Final() {
		return nil
	}
	_, err = actor.Ask(context.WithoutCancel(ctx), e.ref, func(reply actor.Reply[*liveRun]) engineMessage { return activate{r.id, d, reply} })
	return err
}

// RerunOptions say how to repeat a run.
type RerunOptions struct {
	// From is the node to begin with: what does not depend on it is taken over
	// from the run. Empty: everything is done again.
	From string
	// Version is the version to run; 0: that of the run.
	Version int64
	// Inputs, if not nil, replace those of the run.
	Inputs map[string]string
	// OutputDir, if not empty, replaces that of the run.
	OutputDir string
	RequestID string
}

// rerun is what a run takes over from an earlier one.
type rerun struct {
	of      string
	results []Event // of nodes that need not be run again
}

// Rerun repeats a run as a new one. Errors: NOT_FOUND if From is no node of the
// version, and those of [Engine.Start].
func (r *Run) Rerun(ctx context.Context, o RerunOptions) (*Run, error) {
	d, err := r.engine.read(ctx, r.id)
	if err != nil {
		return nil, err
	}
	start := StartOptions{
		Version: d.start.Version, Inputs: d.start.Inputs, OutputDir: d.start.OutputDir, Key: d.start.Key, Trigger: "rerun of " + r.id,
		Priority: d.start.Priority, RequestID: o.RequestID, rerun: &rerun{of: r.id},
	}
	if o.Version > 0 {
		start.Version = o.Version
	}
	if o.Inputs != nil {
		start.Inputs = o.Inputs
	}
	if o.OutputDir != "" {
		start.OutputDir = o.OutputDir
	}
	if o.From != "" {
		definition, err := r.engine.definition(ctx, d.definition.Name, start.Version, start.Inputs)
		if err != nil {
			return nil, err
		}
		if start.rerun.results, err = d.takeOver(definition, o.From); err != nil {
			return nil, err
		}
	}
	return r.engine.Start(ctx, d.definition.Name, start)
}

// takeOver lists the results that a new run from a node on need not compute.
func (d *decider) takeOver(definition *Definition, from string) ([]Event, error) {
	first := definition.step(from)
	if first == nil || first.scope.owner != nil {
		return nil, &fault.Error{
			Code: fault.NotFound, Op: "workflow.Run.Rerun", Target: from, Message: "the version has no such node outside of loops",
			Hint: definition.closestNode(from),
		}
	}
	again := map[int]bool{first.at: true}
	for queue := []int{first.at}; len(queue) > 0; queue = queue[1:] {
		for _, next := range definition.steps.steps[queue[0]].dependents {
			if !again[next] {
				again[next] = true
				queue = append(queue, next)
			}
		}
	}
	var results []Event
	for _, def := range definition.steps.steps {
		s := d.find(def.id, nil)
		if again[def.at] || s == nil || s.status != StateCompleted && s.status != StateSkipped {
			continue
		}
		e := Event{Type: NodeCompleted, Node: def.id, Attempt: s.attempt, Handle: s.handle, Output: s.output, Nodes: s.data}
		if s.status == StateSkipped {
			e = Event{Type: NodeSkipped, Node: def.id}
		}
		results = append(results, e)
	}
	return results, nil
}
