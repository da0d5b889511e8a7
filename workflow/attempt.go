package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// runawayGrace is how long a task may go on after its time is over, before the
// run goes on without it.
const runawayGrace = 5 * time.Second

// taskJob is one attempt of a task. It is made in one piece, as there is one for
// each step of a run.
type taskJob struct {
	task      Task
	run       taskFunc
	variables stepVariables
	timeout   time.Duration
	heartbeat time.Duration
	admit     func(context.Context) (release func(), err error)
	self      actor.Ref[runMessage]
	scope     runVariables
	log       runLogHandler
	logger    slog.Logger
	context   attemptContext
	began     time.Time

	mu       sync.Mutex
	timer    *time.Timer // until its time is over, and then until it is left behind
	over     bool        // its time is over
	reported bool
	undoes   bool // it is an attempt to undo the step
	ended    stepEnded
}

// attemptContext is the context of an attempt. Its end is that of a deadline if
// that is the cause.
type attemptContext struct {
	context.Context
	cancel   context.CancelCauseFunc
	deadline time.Time
}

// Deadline implements [context.Context].
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Err implements [context.Context].
func (c *attemptContext) Err() error {
	err := c.Context.Err()
	if err != nil && fault.CodeOf(context.Cause(c.Context)) == fault.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}

// newJob is the next attempt of a task, which ends with parent at the latest.
func (a *runActor) newJob(parent context.Context, ctx *actor.Context[runMessage], s *stepDef, iteration []int, attempt int, key string) *taskJob {
	r := a.run
	j := &taskJob{
		self: ctx.Self(), log: runLogHandler{engine: r.engine, workflow: r.workflow, run: r.id, node: Instance(s.id, iteration)},
		ended: stepEnded{node: s.id, iteration: iteration, attempt: attempt},
	}
	j.context.Context, j.context.cancel = context.WithCancelCause(parent)
	j.task = Task{
		RunID: r.id, Node: s.id, Iteration: iteration, Attempt: attempt, Key: key, Dir: r.outputDir(),
		Input: a.input, Log: &j.logger,
	}
	j.logger = *slog.New(&j.log)
	return j
}

// input is the value of an input.
func (d *Definition) input(name string) (Value, bool) {
	for _, in := range d.Inputs {
		if in.Name == name {
			return in.Value, true
		}
	}
	return Value{}, false
}

// ignored is what a job gives whose result was reported already.
type ignored struct{}

func (ignored) isRunMessage() {}

// do does the work. A task that goes on beyond its time is left behind: the run
// learns that its time was over, and what it gives in the end has no effect.
func (j *taskJob) do(context.Context) runMessage {
	ctx := &j.context
	defer ctx.cancel(nil)
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
	j.begin()
	if j.heartbeat > 0 {
		defer j.listen()()
	}
	output, err := j.call(ctx)
	switch {
	case err != nil && interrupted(ctx):
		err = errInterrupted
	case err != nil && ctx.Err() != nil:
		err = ended(ctx, err)
	}
	return j.once(result{output: output, err: err, duration: time.Since(j.began)})
}

// begin starts the clock of the attempt.
func (j *taskJob) begin() {
	timeout := j.timeout
	if timeout == 0 {
		timeout = TaskTimeoutDefault
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.began = time.Now()
	if j.over {
		timeout = runawayGrace
	} else {
		j.context.deadline = j.began.Add(timeout)
	}
	j.timer = time.AfterFunc(timeout, func() {
		if !j.end(fault.New(fault.DeadlineExceeded, "", "the task took longer than %v", timeout)) {
			j.leaveBehind()
		}
	})
}

// end ends the time of the attempt. It reports false if it was over already.
func (j *taskJob) end(cause error) bool {
	j.mu.Lock()
	first := !j.over
	j.over = true
	if first && j.timer != nil && !j.reported {
		j.timer.Reset(runawayGrace)
	}
	j.mu.Unlock()
	j.context.cancel(cause)
	return first
}

// leaveBehind tells the run that the time of the attempt was over, although the
// task goes on.
func (j *taskJob) leaveBehind() {
	m := j.once(result{err: context.Cause(&j.context), duration: time.Since(j.began)})
	if m == (ignored{}) {
		return
	}
	j.task.Log.Error("a task goes on although its time is over; the run goes on without it", "after", time.Since(j.began))
	_ = j.self.TryTell(m)
}

// once is the report of the result, or nothing if there was one already.
func (j *taskJob) once(r result) runMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.reported {
		return ignored{}
	}
	j.reported = true
	if j.undoes {
		return undoEnded{j.ended.attempt, r}
	}
	j.ended.result = r
	return &j.ended
}

// listen ends the attempt when nothing is heard of the task for too long, until
// the returned function is called.
func (j *taskJob) listen() (stop func()) {
	timer := time.AfterFunc(j.heartbeat, func() {
		j.end(fault.New(fault.DeadlineExceeded, "", "nothing was heard of the task for %v", j.heartbeat))
	})
	j.task.beat = func() { timer.Reset(j.heartbeat) }
	return func() { timer.Stop() }
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

// call runs the task. A panic is an error of it.
func (j *taskJob) call(ctx context.Context) (output json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			j.task.Log.Error("a task panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			output, err = nil, &fault.Error{Code: fault.Internal, Message: fmt.Sprintf("panic: %v", p)}
		}
	}()
	output, err = j.run(ctx, &j.task, j.variables)
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
