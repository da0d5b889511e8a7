package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// What follows in a run is decided here, by pure functions: a decider takes
// what has happened, and gives the events that follow and the work to end. It
// does no I/O and knows only the time that it is told. The shell around it
// (runactor.go) commits the events and only then has their effects done.

// decider decides about one run. Its events are applied to the state as they
// are decided; if they cannot be committed, the state is good for nothing more.
type decider struct {
	*runState
	now     time.Time
	events  []Event
	touched []*step // of each event the step, if it was at hand
	aborts  []*step // whose work is to be ended
}

// result is how an attempt of a step ended.
type result struct {
	output   json.RawMessage
	err      error
	nodes    []NodeInfo // of the nodes of a flow
	rejects  []Reject
	duration time.Duration
}

func (d *decider) emit(e Event) {
	e.At = d.now
	d.apply(&e)
	d.events, d.touched = append(d.events, e), append(d.touched, nil)
}

// emitOf is emit for an event of a step that is at hand.
func (d *decider) emitOf(s *step, e Event) {
	e.At = d.now
	d.number(&e)
	d.applyStep(s, &e)
	d.events, d.touched = append(d.events, e), append(d.touched, s)
}

// taken hands over the events that were decided, and of each the step.
func (d *decider) taken() (events []Event, touched []*step) {
	events, touched = d.events, d.touched
	d.events, d.touched = nil, nil
	return events, touched
}

// of is an event of a step.
func (d *decider) of(s *step, t EventType) Event {
	return Event{Type: t, Node: s.def.id, Iteration: s.scope.iteration(), Attempt: s.attempt}
}

// begin starts the run, with the results of an earlier one if there are any.
func (d *decider) begin(start RunStart, request string, again *rerun) {
	d.emit(Event{Type: WorkflowStarted, Start: &start, Request: request})
	if again != nil {
		for _, e := range again.results {
			d.emit(e)
		}
	}
	d.advance()
}

// advance decides all that follows from the state by itself.
func (d *decider) advance() {
	if d.state.Final() {
		return
	}
	d.attend(d.root)
	if d.root.over() {
		d.finish()
	}
}

// attend begins what can be begun in a scope, and winds up what is to end.
func (d *decider) attend(s *scope) {
	for changed := true; changed; {
		changed = false
		for i := range s.steps {
			before := len(d.events)
			st := &s.steps[i]
			switch {
			case s.closing:
				d.wind(st)
			case st.status == stateNone && st.waiting == 0 && !d.paused:
				d.launch(st)
			case st.status == StateRunning && st.def.body != nil:
				d.drive(st)
			}
			changed = changed || len(d.events) > before
		}
	}
}

// launch begins a step whose time has come.
func (d *decider) launch(s *step) {
	if !leads(s) {
		d.emitOf(s, d.of(s, NodeSkipped))
		return
	}
	if s.def.when != nil {
		yes, err := s.def.when.isTrue(d.variables(s.scope))
		if err != nil {
			d.fail(s, invalid(err))
			return
		}
		if !yes {
			d.emitOf(s, d.of(s, NodeSkipped))
			return
		}
	}
	if s.def.control != nil {
		d.control(s)
		return
	}
	d.attempt(s)
}

// leads reports whether control leads to a step all of whose predecessors are
// settled.
func leads(s *step) bool {
	if len(s.def.after) == 0 {
		return true
	}
	return slices.ContainsFunc(s.def.after, func(dep stepDependency) bool {
		before := &s.scope.steps[dep.at]
		return before.handle == dep.handle
	})
}

// attempt begins the next attempt of a step that has an effect.
func (d *decider) attempt(s *step) {
	e := d.of(s, NodeStarted)
	e.Attempt = s.attempt + 1
	d.emitOf(s, e)
}

func (d *decider) control(s *step) {
	c := s.def.control
	v := d.variables(s.scope)
	e := d.of(s, NodeCompleted)
	var err error
	switch c.kind {
	case controlBranch:
		e.Handle, err = branch(c, v)
	case controlValue:
		if e.Output, err = c.output.json(v); len(e.Output) > TaskOutputMax {
			err = fmt.Errorf("%s: the output has %d bytes; at most %d are allowed", c.output.source, len(e.Output), TaskOutputMax)
		}
	case controlForeach:
		d.foreach(s, v)
		return
	case controlLoop, controlWorkflow:
		d.attempt(s)
		if c.kind == controlLoop {
			d.drive(s)
		}
		return
	case controlSleep:
		e.Type, e.Attempt = NodeWaiting, 1
		e.Until, err = wake(c, v, d.now)
	case controlWait, controlApproval:
		e, err = d.waiting(s, v)
	}
	if err != nil {
		d.fail(s, invalid(err))
		return
	}
	d.emitOf(s, e)
}

func branch(c *control, v stepVariables) (string, error) {
	for _, k := range c.cases {
		yes, err := k.when.isTrue(v)
		if err != nil {
			return "", err
		}
		if yes {
			return k.handle, nil
		}
	}
	return elseHandle, nil
}

// wake is when a sleep ends.
func wake(c *control, v stepVariables, now time.Time) (time.Time, error) {
	if c.until == nil {
		return now.Add(c.pause), nil
	}
	text, err := c.until.json(v)
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if err := json.Unmarshal(text, &t); err != nil {
		return time.Time{}, fmt.Errorf("%s: %s is no time; expected one such as \"2026-01-31T10:00:00Z\"", c.until.source, text)
	}
	return t, nil
}

// waiting is the event of a step that waits for a signal, or has it already.
func (d *decider) waiting(s *step, v stepVariables) (Event, error) {
	c := s.def.control
	e := d.of(s, NodeWaiting)
	e.Attempt, e.Signal = 1, c.signal
	if c.timeout > 0 {
		e.Until = d.now.Add(c.timeout)
	}
	if c.kind == controlApproval {
		title := c.titleRaw
		if c.title != nil {
			var err error
			if title, err = c.title.expand(v); err != nil {
				return e, err
			}
		}
		e.Signal = ApprovalSignal(s.def.id, s.scope.iteration())
		e.Output, _ = json.Marshal(title) // of a text, which does not fail
		return e, nil
	}
	if early := d.signals[c.signal]; len(early) > 0 {
		e.Type, e.Output, e.Until = NodeCompleted, early[0].Payload, time.Time{}
	}
	return e, nil
}

// eventDataMax bounds what an event of a foreach carries, well below what a store
// takes.
const eventDataMax = 4 << 20

func (d *decider) foreach(s *step, v stepVariables) {
	items, err := s.def.control.items.json(v)
	var list []json.RawMessage
	if err == nil {
		if err = json.Unmarshal(items, &list); err != nil || list == nil {
			err = fmt.Errorf("%s: the result is no list", s.def.control.items.source)
		}
	}
	if err == nil && len(items) > eventDataMax {
		err = fmt.Errorf("%s: the items have %d bytes together; at most %d are allowed", s.def.control.items.source, len(items), eventDataMax)
	}
	if err == nil && len(list) > ForeachItemsMax {
		err = fmt.Errorf("%s: %d items; at most %d are allowed", s.def.control.items.source, len(list), ForeachItemsMax)
	}
	if err != nil {
		d.fail(s, invalid(err))
		return
	}
	d.attempt(s)
	e := d.of(s, NodeExpanded)
	e.Items = list
	d.emitOf(s, e)
	d.drive(s)
}

// drive moves a foreach or loop on.
func (d *decider) drive(s *step) {
	for _, i := range openScopes(s) {
		if inner := s.scopes[i]; inner != nil {
			d.attend(inner)
		}
		if s.status != StateRunning {
			return
		}
	}
	c := s.def.control
	busy := slices.ContainsFunc(openScopes(s), func(i int) bool { return s.scopes[i].active > 0 || !s.scopes[i].closing })
	switch {
	case s.failed > c.tolerate && !busy:
		d.fail(s, &fault.Error{Code: s.cause.Code, Message: s.cause.Text})
	case c.kind == controlForeach && s.next == len(s.items) && len(s.scopes) == 0:
		e := d.of(s, NodeCompleted)
		e.Output, _ = json.Marshal(s.results) // of what is JSON already
		if s.results == nil {
			e.Output = json.RawMessage("[]")
		}
		if len(e.Output) > eventDataMax {
			d.fail(s, &fault.Error{
				Code: fault.InvalidArgument, Message: fmt.Sprintf("what the items gave out has %d bytes together; at most %d are allowed", len(e.Output), eventDataMax),
				Hint: "let the last node of \"do\" give out less, such as where its data is",
			})
			return
		}
		e.Duration = d.now.Sub(s.started)
		d.emitOf(s, e)
	case c.kind == controlLoop && len(s.scopes) == 0 && !d.paused:
		d.iterate(s)
	}
}

// openScopes are the indexes of the items or iterations under way, in order.
func openScopes(s *step) []int {
	out := make([]int, 0, len(s.scopes))
	for i := range s.scopes {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// iterate begins the next iteration of a loop or ends it.
func (d *decider) iterate(s *step) {
	c := s.def.control
	again, err := c.while.isTrue(loopVariables{d.variables(s.scope), s.next, s.output})
	switch {
	case err != nil:
		d.fail(s, invalid(err))
	case !again:
		e := d.of(s, NodeCompleted)
		e.Output, e.Duration = s.output, d.now.Sub(s.started)
		d.emitOf(s, e)
	case s.next >= c.most:
		d.fail(s, &fault.Error{
			Code: fault.FailedPrecondition, Message: "the condition is still true after " + strconv.Itoa(c.most) + " iterations, as many as max allows",
		})
	default:
		d.emitOf(s, d.of(s, NodeExpanded))
		d.drive(s)
	}
}

// wind ends a step of a scope that is closing.
func (d *decider) wind(s *step) {
	switch {
	case !s.active():
	case s.def.body != nil && s.status == StateRunning:
		busy := false
		for _, i := range openScopes(s) {
			if inner := s.scopes[i]; inner != nil {
				inner.close(s.scope.cause)
				d.attend(inner)
				busy = busy || s.scopes[i] != nil && inner.active > 0
			}
		}
		if !busy && s.active() {
			d.emitOf(s, d.of(s, NodeCancelled))
		}
	case s.status == StateWaiting:
		d.emitOf(s, d.of(s, NodeCancelled))
	case !slices.Contains(d.aborts, s):
		d.aborts = append(d.aborts, s)
	}
}

// ended takes in how an attempt of a step ended; what follows is left to
// advance. What comes from an attempt that is not the present one has no effect.
func (d *decider) ended(s *step, attempt int, r result) {
	if s == nil || d.state.Final() || s.status != StateRunning || s.attempt != attempt {
		return
	}
	switch {
	case r.err == nil:
		d.completed(s, r)
	case s.scope.closing:
		d.emitOf(s, d.failure(s, NodeCancelled, r))
	default:
		delay, again := s.again(r.err)
		if again {
			e := d.failure(s, NodeRetried, r)
			e.Until = d.now.Add(delay)
			d.emitOf(s, e)
			break
		}
		d.emitOf(s, d.failure(s, NodeFailed, r))
	}
}

func (d *decider) completed(s *step, r result) {
	e := d.of(s, NodeCompleted)
	e.Output, e.Duration, e.Nodes, e.Rejects = r.output, r.duration, r.nodes, r.rejects
	for _, n := range r.nodes {
		if n.Role == RoleSink {
			e.Rows += n.RowsOut
		}
	}
	d.emitOf(s, e)
}

// failure is the event of an attempt that failed.
func (d *decider) failure(s *step, t EventType, r result) Event {
	e := d.of(s, t)
	e.Duration, e.Error, e.ErrorCode, e.Nodes, e.Rejects = r.duration, r.err.Error(), fault.CodeOf(r.err), r.nodes, r.rejects
	return e
}

// again reports whether, and after what delay, a step is tried again.
func (s *step) again(err error) (time.Duration, bool) {
	if s.def.run == nil && s.def.flow == nil || s.attempt > s.def.retry.Retries() {
		return 0, false
	}
	var poison interface{ Permanent() bool }
	if errors.As(err, &poison) && poison.Permanent() {
		return 0, false
	}
	if !s.def.retryAny && !fault.CodeOf(err).Transient() {
		return 0, false
	}
	return s.def.retry.Delay(s.attempt), true
}

// fail ends a step without an attempt.
func (d *decider) fail(s *step, err error) {
	e := d.of(s, NodeFailed)
	e.Error, e.ErrorCode = err.Error(), fault.CodeOf(err)
	if !s.started.IsZero() {
		e.Duration = d.now.Sub(s.started)
	}
	d.emitOf(s, e)
}

// invalid is the error of an expression.
func invalid(err error) error {
	return &fault.Error{Code: fault.InvalidArgument, Message: "the expression cannot be evaluated", Cause: err}
}

// woke takes in that the time of a step, or of the next attempt to undo one,
// has come.
func (d *decider) woke(node string, iteration []int) {
	if d.state.Final() || d.paused && !d.root.closing {
		return
	}
	if !d.undoUntil.IsZero() && !d.undoUntil.After(d.now) {
		d.undoNext()
		return
	}
	s := d.find(node, iteration)
	if s == nil || s.status != StateWaiting || s.until.IsZero() || s.until.After(d.now) {
		return
	}
	switch {
	case s.def.control == nil:
		d.attempt(s)
	case s.def.control.kind == controlSleep:
		e := d.of(s, NodeCompleted)
		e.Duration = d.now.Sub(s.started)
		d.emitOf(s, e)
	case s.def.followed[timeoutHandle]:
		e := d.of(s, NodeCompleted)
		e.Handle, e.Duration = timeoutHandle, d.now.Sub(s.started)
		d.emitOf(s, e)
	default:
		d.fail(s, &fault.Error{Code: fault.DeadlineExceeded, Message: "nothing came before " + s.until.UTC().Format(time.RFC3339)})
	}
	d.advance()
}

// ApprovalSignal is the name of the signal that an approval waits for. Its
// payload is an [Approval].
func ApprovalSignal(node string, iteration []int) string {
	return "approval:" + Instance(node, iteration)
}

// Approval answers an approval node.
type Approval struct {
	Approved bool   `json:"approved"`
	By       string `json:"by,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

// signalsMax bounds the signals that nobody waits for.
const signalsMax = 1000

// signal takes in a signal: the first step that waits for it goes on, or else
// it is kept for one to come.
func (d *decider) signal(name string, payload json.RawMessage, request string) error {
	if request != "" && slices.Contains(d.requests, request) {
		return nil
	}
	if d.state.Final() {
		return &fault.Error{Code: fault.FailedPrecondition, Message: "the run has ended; it takes no signals"}
	}
	if err := d.checkRows(name, payload); err != nil {
		return err
	}
	s := d.waiter(d.root, name)
	if s == nil {
		return d.keepSignal(name, payload, request)
	}
	e := d.of(s, NodeCompleted)
	e.Signal, e.Output, e.Duration = name, payload, d.now.Sub(s.started)
	if e.Request = request; request == "" {
		e.Request = "signal:" + strconv.FormatInt(d.seq+1, 10) // it came now, not before
	}
	if s.def.control.kind == controlApproval {
		var a Approval
		if err := json.Unmarshal(payload, &a); err != nil {
			return &fault.Error{Code: fault.InvalidArgument, Message: "the payload is no approval", Cause: err, Hint: `expected {"approved": true, "by": "…"}`}
		}
		e.Handle = approvedHandle
		if !a.Approved {
			e.Handle = rejectedHandle
			if !s.def.followed[rejectedHandle] {
				e.Type, e.Error, e.ErrorCode = NodeFailed, rejection(a), fault.FailedPrecondition
			}
		}
	}
	d.emitOf(s, e)
	d.advance()
	return nil
}

// keepSignal keeps a signal for who reads it later.
func (d *decider) keepSignal(name string, payload json.RawMessage, request string) error {
	if len(d.signals[name]) >= signalsMax {
		return &fault.Error{Code: fault.ResourceExhausted, Message: fmt.Sprintf("%d signals %q wait already", signalsMax, name)}
	}
	d.emit(Event{Type: SignalReceived, Signal: name, Output: payload, Request: request})
	return nil
}

func rejection(a Approval) string {
	text := "rejected"
	if a.By != "" {
		text += " by " + a.By
	}
	if a.Comment != "" {
		text += ": " + a.Comment
	}
	return text
}

// waiter finds the first step that waits for a signal.
func (d *decider) waiter(s *scope, name string) *step {
	for i := range s.steps {
		st := &s.steps[i]
		if st.status == StateWaiting && st.signal == name && !s.closing {
			return st
		}
		for _, index := range openScopes(st) {
			if found := d.waiter(st.scopes[index], name); found != nil {
				return found
			}
		}
	}
	return nil
}

func (d *decider) cancel(why, request string) error {
	if d.cancelled || request != "" && slices.Contains(d.requests, request) {
		return nil
	}
	if d.state.Final() {
		return &fault.Error{Code: fault.FailedPrecondition, Message: "the run has ended already, as " + string(d.state)}
	}
	d.emit(Event{Type: CancelRequested, Error: why, ErrorCode: fault.Canceled, Request: request})
	d.advance()
	return nil
}

func (d *decider) pause(on bool, request string) error {
	if request != "" && slices.Contains(d.requests, request) {
		return nil
	}
	switch {
	case d.state.Final():
		return &fault.Error{Code: fault.FailedPrecondition, Message: "the run has ended already, as " + string(d.state)}
	case d.paused == on:
		return nil
	case on:
		d.emit(Event{Type: WorkflowPaused, Request: request})
	default:
		d.emit(Event{Type: WorkflowResumed, Request: request})
		d.advance()
	}
	return nil
}

// retry lets a run that failed or was cancelled go on from there.
func (d *decider) retry(request string) error {
	switch {
	case request != "" && slices.Contains(d.requests, request):
		return nil
	case d.state != StateFailed && d.state != StateCancelled:
		return &fault.Error{Code: fault.FailedPrecondition, Message: "the run is " + string(d.state) + "; only one that failed or was cancelled can be retried"}
	case d.undoing > 0:
		return &fault.Error{
			Code: fault.FailedPrecondition, Message: "the run has undone what it did, so that it cannot go on",
			Hint: "rerun it as a new run",
		}
	}
	d.emit(Event{Type: WorkflowReopened, Request: request})
	d.advance()
	return nil
}

// finish ends a run in which nothing is left to do: a run that winds up undoes
// first what is to be undone.
func (d *decider) finish() {
	if !d.root.closing {
		d.complete()
		return
	}
	if d.undoing < len(d.undo) {
		if d.undoTry == 0 {
			d.undoNext()
		}
		return
	}
	e := Event{Type: WorkflowFailed, Duration: d.now.Sub(d.started), Error: d.root.cause.Text, ErrorCode: d.root.cause.Code, Rows: d.rows}
	if d.cancelled {
		e.Type = WorkflowCancelled
	}
	if d.undoError.Text != "" {
		e.Error += "; then what was done could not be undone: " + d.undoError.Text
	}
	d.emit(e)
}

func (d *decider) complete() {
	e := Event{Type: WorkflowCompleted, Duration: d.now.Sub(d.started), Rows: d.rows}
	if p := d.definition.output; p != nil {
		output, err := p.json(d.variables(d.root))
		if len(output) > TaskOutputMax {
			output, err = nil, fmt.Errorf("%s: the output has %d bytes; at most %d are allowed", p.source, len(output), TaskOutputMax)
		}
		if err != nil {
			e.Type, e.Error, e.ErrorCode = WorkflowFailed, invalid(err).Error(), fault.InvalidArgument
		}
		e.Output = output
	}
	d.emit(e)
}

// undone is the step whose undoing is under way or next.
func (r *runState) undone() *stepRef { return r.undo[len(r.undo)-1-r.undoing] }

// undoNext begins the next attempt to undo.
func (d *decider) undoNext() {
	ref := d.undone()
	d.emit(Event{Type: NodeCompensating, Node: ref.def.id, Iteration: ref.iteration, Attempt: d.undoTry + 1})
}

// undoEnded takes in how an attempt to undo ended.
func (d *decider) undoEnded(attempt int, r result) {
	if d.state.Final() || d.undoTry == 0 || d.undoTry != attempt || !d.undoUntil.IsZero() {
		return
	}
	ref := d.undone()
	e := Event{Type: NodeCompensated, Node: ref.def.id, Iteration: ref.iteration, Attempt: attempt, Duration: r.duration, Output: r.output}
	if r.err != nil {
		e.Type, e.Error, e.ErrorCode, e.Output = NodeUndoFailed, r.err.Error(), fault.CodeOf(r.err), nil
		policy := retry.Policy{}
		if attempt <= policy.Retries() {
			e.Type, e.Until = NodeUndoRetried, d.now.Add(policy.Delay(attempt))
		}
	}
	d.emit(e)
	d.advance()
}
