package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// commitRetry spaces the attempts to record what has happened.
var commitRetry = retry.Policy{Initial: 100 * time.Millisecond, Cap: 5 * time.Second, Jitter: 0.5}

// execute begins the work of an attempt. What comes of it is told to the actor.
func (a *runActor) execute(ctx *actor.Context[runMessage], s *step) {
	if s.def.flow == nil && s.def.control == nil {
		a.executeTask(ctx, s)
		return
	}
	work, cancel := context.WithCancelCause(a.work)
	a.cancel[s] = cancelFunc(cancel)
	if s.def.flow != nil {
		a.executeFlow(work, ctx, s)
		return
	}
	a.executeChild(work, ctx, s)
}

// stopWork ends all that is under way.
func (a *runActor) stopWork(cause error) {
	a.endWork(cause)
	for _, work := range a.cancel {
		work.end(cause)
	}
}

// outputDir is where relative paths of outputs begin.
func (r *liveRun) outputDir() string {
	return r.state.start.OutputDir
}

func (a *runActor) executeTask(ctx *actor.Context[runMessage], s *step) {
	iteration, attempt, def := s.scope.iteration(), s.attempt, s.def
	job := a.newJob(context.Background(), ctx, def, iteration, attempt, taskKey(a.run.id, def.id, iteration)) // ended by stopWork
	a.cancel[s] = job
	job.scope = runVariables{run: a.run.state.runState, scope: s.scope}
	job.run, job.variables, job.timeout, job.heartbeat = def.run, &job.scope, def.timeout, def.heartbeat
	if def.templated {
		job.variables = fix(job.variables)
	}
	wait, err := a.admission(s, job.variables)
	if err != nil {
		_ = ctx.Self().TryTell(job.once(result{err: invalid(err)}))
		return
	}
	job.admit = wait
	ctx.Pipe(job.do)
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
			Memory:  func(node string) *Memory { return r.engine.memory(r.workflow, node) },
		})
	}
	if err != nil {
		cancel()
		_ = ctx.Self().TryTell(&stepEnded{id, iteration, attempt, result{err: err}})
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
		return &stepEnded{id, iteration, attempt, result{err: err, nodes: nodes, rejects: rejects, duration: time.Since(began)}}
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
				_ = ctx.Self().TryTell(&stepEnded{id, iteration, attempt, result{err: invalid(err)}})
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
		return &stepEnded{id, iteration, attempt, result{output: output, err: err, duration: time.Since(began)}}
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
	job := a.newJob(a.work, ctx, ref.def, ref.iteration, attempt, taskKey(a.run.id, ref.def.id, ref.iteration)+"/undo")
	job.run, job.variables, job.timeout = ref.def.undo.run, v, ref.def.undo.timeout
	job.undoes = true
	ctx.Pipe(job.do)
}
