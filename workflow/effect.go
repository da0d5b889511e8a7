package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// commitRetry spaces the attempts to record what has happened.
var commitRetry = retry.Policy{Initial: 100 * time.Millisecond, Cap: 5 * time.Second, Jitter: 0.5}

// runawayGrace is how long a task may go on after its time is over, before the
// run goes on without it.
const runawayGrace = 5 * time.Second

// execute begins the work of an attempt. What comes of it is told to the actor.
func (a *runActor) execute(ctx *actor.Context[runMessage], s *step) {
	work, cancel := context.WithCancelCause(a.work)
	a.cancel[s] = cancel
	switch {
	case s.def.flow != nil:
		a.executeFlow(work, ctx, s)
	case s.def.control != nil:
		a.executeChild(work, ctx, s)
	default:
		a.executeTask(work, ctx, s)
	}
}

func (a *runActor) task(s *stepDef, iteration []int, attempt int, key string) *Task {
	r := a.run
	inputs := r.state.definition.Inputs
	return &Task{
		RunID: r.id, Node: s.id, Iteration: iteration, Attempt: attempt, Key: key, Dir: r.outputDir(),
		Input: func(name string) (Value, bool) {
			for _, in := range inputs {
				if in.Name == name {
					return in.Value, true
				}
			}
			return Value{}, false
		},
		Log: r.engine.runLogger(r.workflow, r.id, Instance(s.id, iteration)),
	}
}

// outputDir is where relative paths of outputs begin.
func (r *liveRun) outputDir() string {
	return r.state.start.OutputDir
}

func (a *runActor) executeTask(work context.Context, ctx *actor.Context[runMessage], s *step) {
	iteration, attempt, def := s.scope.iteration(), s.attempt, s.def
	task := a.task(def, iteration, attempt, taskKey(a.run.id, def.id, iteration))
	job := &taskJob{
		task: task, run: def.run, variables: a.run.state.variables(s.scope), timeout: def.timeout, heartbeat: def.heartbeat,
		self: ctx.Self(), report: func(r result) runMessage { return stepEnded{def.id, iteration, attempt, r} },
	}
	if def.templated {
		job.variables = fix(job.variables)
	}
	wait, err := a.admission(s, job.variables)
	if err != nil {
		_ = ctx.Self().TryTell(job.report(result{err: invalid(err)}))
		return
	}
	job.admit = wait
	ctx.Pipe(func(context.Context) runMessage { return job.do(work) })
}

// admission is how the step gets its turn where it competes with others.
func (a *runActor) admission(s *step, variables stepVariables) (func(context.Context) (func(), error), error) {
	l := s.def.limits
	if l.concurrency == 0 && l.rate == 0 {
		return nil, nil
	}
	key := func(t *template, raw string) (string, error) {
		if t == nil {
			return raw, nil
		}
		return t.expand(variables)
	}
	concurrencyKey, err := key(l.concurrencyKey, l.concurrencyRaw)
	if err != nil {
		return nil, err
	}
	rateKey, err := key(l.rateKey, l.rateRaw)
	if err != nil {
		return nil, err
	}
	priority := s.def.priority + a.run.state.start.Priority
	gate := a.run.engine.gate
	return func(ctx context.Context) (func(), error) {
		release, err := gate.enter(ctx, concurrencyKey, l.concurrency, priority)
		if err != nil {
			return nil, err
		}
		if err := gate.pace(ctx, rateKey, l.rate, l.burst, priority); err != nil {
			release()
			return nil, err
		}
		return release, nil
	}, nil
}

// taskJob is one attempt of a task.
type taskJob struct {
	task      *Task
	run       taskFunc
	variables stepVariables
	timeout   time.Duration
	heartbeat time.Duration
	admit     func(context.Context) (release func(), err error)
	self      actor.Ref[runMessage]
	report    func(result) runMessage
	reported  atomic.Bool
}

// ignored is what a job gives whose result was reported already.
type ignored struct{}

func (ignored) isRunMessage() {}

// do does the work. A task that goes on beyond its time is left behind: the run
// learns that its time was over, and what it gives in the end has no effect.
func (j *taskJob) do(ctx context.Context) runMessage {
	if j.admit != nil {
		release, err := j.admit(ctx)
		if err != nil && interrupted(ctx) {
			err = errInterrupted
		}
		if err != nil {
			return j.once(result{err: err})
		}
		defer release()
	}
	began := time.Now()
	timeout := j.timeout
	if timeout == 0 {
		timeout = TaskTimeoutDefault
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout,
		fault.New(fault.DeadlineExceeded, "", "the task took longer than %v", timeout))
	defer cancel()
	if j.heartbeat > 0 {
		var stop func()
		limited, stop = j.listen(limited)
		defer stop()
	}
	returned := make(chan struct{})
	defer close(returned)
	leave := context.AfterFunc(limited, func() {
		timer := time.NewTimer(runawayGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-returned:
			return
		}
		if m := j.once(result{err: context.Cause(limited), duration: time.Since(began)}); m != (ignored{}) {
			j.task.Log.Error("a task goes on although its time is over; the run goes on without it", "after", time.Since(began))
			_ = j.self.TryTell(m)
		}
	})
	output, err := j.call(limited)
	leave()
	switch {
	case err != nil && interrupted(ctx):
		err = errInterrupted
	case err != nil && limited.Err() != nil:
		err = ended(limited, err)
	}
	return j.once(result{output: output, err: err, duration: time.Since(began)})
}

// interrupted reports whether the context of an attempt has ended because its
// run leaves memory: what became of the attempt is nobody's fault, and it is done
// again.
func interrupted(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, ErrCancelled) && fault.CodeOf(cause) != fault.DeadlineExceeded
}

// ended is the error of a task whose context has ended: what ended it, if that
// is all that the task has to say.
func ended(ctx context.Context, err error) error {
	if isContextError(err) || fault.CodeOf(err) == fault.Canceled {
		return context.Cause(ctx)
	}
	return err
}

func (j *taskJob) once(r result) runMessage {
	if j.reported.Swap(true) {
		return ignored{}
	}
	return j.report(r)
}

// listen ends the context when nothing is heard of the task for too long.
func (j *taskJob) listen(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(j.heartbeat, func() {
		cancel(fault.New(fault.DeadlineExceeded, "", "nothing was heard of the task for %v", j.heartbeat))
	})
	j.task.beat = func() { timer.Reset(j.heartbeat) }
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// call runs the task. A panic is an error of it.
func (j *taskJob) call(ctx context.Context) (output json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			j.task.Log.Error("a task panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			output, err = nil, &fault.Error{Code: fault.Internal, Message: fmt.Sprintf("panic: %v", p)}
		}
	}()
	output, err = j.run(ctx, j.task, j.variables)
	switch {
	case err != nil:
		return nil, err
	case len(output) > TaskOutputMax:
		return nil, &fault.Error{
			Code: fault.InvalidArgument, Message: fmt.Sprintf("the output has %d bytes; at most %d are allowed", len(output), TaskOutputMax),
			Hint: "write the data to a file or a table, and give out where it is",
		}
	case len(output) > 0 && !json.Valid(output):
		return nil, fault.New(fault.Internal, "", "the output is no JSON")
	}
	return output, nil
}

// executeFlow runs nodes that pass rows to each other.
func (a *runActor) executeFlow(work context.Context, ctx *actor.Context[runMessage], s *step) {
	r := a.run
	iteration, attempt, id := s.scope.iteration(), s.attempt, s.def.id
	began := time.Now()
	cancel := context.CancelFunc(func() {})
	if s.def.timeout > 0 {
		work, cancel = context.WithTimeoutCause(work, s.def.timeout, fault.New(fault.DeadlineExceeded, "", "it took longer than %v", s.def.timeout))
	}
	self := ctx.Self()
	admit, err := a.admission(s, r.state.variables(s.scope))
	var f *flow
	if err != nil {
		err = invalid(err)
	} else {
		f, err = startFlow(work, ctx, s.def.flow, flowOptions{
			RunID: r.id, Node: id, Iteration: iteration, OutputDir: r.outputDir(), RejectsKept: r.engine.options.RejectsKept,
			Log: r.engine.runLogger(r.workflow, r.id, ""), Changed: func() { r.engine.changed(r.id, nil) }, Admit: admit,
			Journal: func(node string) *Journal { return a.journal(self, node, iteration) },
		})
	}
	if err != nil {
		cancel()
		_ = ctx.Self().TryTell(stepEnded{id, iteration, attempt, result{err: err}})
		return
	}
	r.mu.Lock()
	r.flows[Instance(id, iteration)] = f
	r.mu.Unlock()
	ctx.Pipe(func(context.Context) runMessage {
		defer cancel()
		err := f.wait()
		nodes, rejects := f.figures()
		switch {
		case err != nil && (interrupted(work) || errors.Is(err, errStopped)):
			err = errInterrupted
		case err != nil && work.Err() != nil && fault.CodeOf(err) == fault.Canceled:
			err = errors.Join(context.Cause(work), err)
		}
		return stepEnded{id, iteration, attempt, result{err: err, nodes: nodes, rejects: rejects, duration: time.Since(began)}}
	})
}

// executeChild starts another run, or finds it if it was started before, and
// waits for its end.
func (a *runActor) executeChild(work context.Context, ctx *actor.Context[runMessage], s *step) {
	r := a.run
	iteration, attempt, id, c := s.scope.iteration(), s.attempt, s.def.id, s.def.control
	v := r.state.variables(s.scope)
	inputs := map[string]string{}
	for name, text := range c.literal {
		if t := c.inputs[name]; t != nil {
			var err error
			if text, err = t.expand(v); err != nil {
				_ = ctx.Self().TryTell(stepEnded{id, iteration, attempt, result{err: invalid(err)}})
				return
			}
		}
		inputs[name] = text
	}
	options := StartOptions{
		Version: c.version, Inputs: inputs, OutputDir: r.state.start.OutputDir, Key: r.state.start.Key, Trigger: "workflow " + r.workflow,
		Priority: r.state.start.Priority, RequestID: taskKey(r.id, id, iteration), parent: r.id, parentNode: Instance(id, iteration),
	}
	began := time.Now()
	ctx.Pipe(func(context.Context) runMessage {
		output, err := r.engine.runChild(work, c.workflow, options)
		if err != nil && (interrupted(work) || r.engine.isClosing()) {
			err = errInterrupted
		}
		return stepEnded{id, iteration, attempt, result{output: output, err: err, duration: time.Since(began)}}
	})
}

// runChild starts a run and waits for its output. When ctx is cancelled because
// the parent is, the child is cancelled, too; when the engine stops, it goes on
// with the next one, as the parent does.
func (e *Engine) runChild(ctx context.Context, workflow string, options StartOptions) (json.RawMessage, error) {
	run, err := e.Start(ctx, workflow, options)
	if err != nil {
		return nil, err
	}
	info, err := run.Wait(ctx)
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errInterrupted) && !info.State.Final() {
		_ = run.Cancel(context.WithoutCancel(ctx), "the run that it is part of was cancelled")
		info, err = run.Wait(context.WithoutCancel(ctx))
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Message: "the run " + run.ID() + " of " + workflow, Cause: err}
	}
	return info.Output, nil
}

// undo begins the next attempt to undo a step.
func (a *runActor) undo(ctx *actor.Context[runMessage]) {
	d := a.run.state
	ref, attempt := d.undone(), d.undoTry
	v := fix(&runVariables{run: d.runState, scope: d.root, item: ref.item})
	if steps, ok := v["steps"].(map[string]any); ok && len(ref.iteration) > 0 {
		steps[ref.def.id] = map[string]any{"state": string(StateCompleted), "output": value(ref.output)}
	}
	job := &taskJob{
		task: a.task(ref.def, ref.iteration, attempt, taskKey(a.run.id, ref.def.id, ref.iteration)+"/undo"), run: ref.def.undo.run,
		variables: v, timeout: ref.def.undo.timeout, self: ctx.Self(),
		report: func(r result) runMessage { return undoEnded{attempt, r} },
	}
	work := a.work
	ctx.Pipe(func(context.Context) runMessage { return job.do(work) })
}
