package workflow

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// The state of a run is what its history adds up to: [runState.apply] takes
// one event, and nothing else changes it. What follows from a state is decided
// in decide.go.

// runState is the state of a run.
type runState struct {
	definition *Definition
	id         string
	start      RunStart
	inputs     map[string]any // as expressions see them

	state   State
	started time.Time
	ended   time.Time
	seq     int64 // of the last event
	root    *scope
	// cancelled: the run winds up because somebody wished so.
	cancelled    bool
	cause        failure
	paused       bool
	output       json.RawMessage
	rows         int64
	signals      map[string][]signal     // received and not waited for, by name
	requests     []string                // ids of the last requests, the oldest first
	undo         []*stepRef              // steps to undo if the run fails, in the order in which they completed
	undoing      int                     // how many of them, from the end, have been dealt with
	undoTry      int                     // attempt at the present one; 0: not begun
	undoUntil    time.Time               // when its next attempt is due
	undoError    failure                 // the first that could not be undone
	counts       map[*stepDef]*stepCount // of steps in a loop or a foreach
	working      int                     // steps whose work is under way
	wake         int64                   // when the run must be in memory, as the store knows it
	ends         int                     // how often it has ended
	snapshotAt   int64                   // the last event of the last snapshot
	snapshotSize int                     // of the last snapshot, in bytes
	along        store.Set               // goes with the start, in the commit that makes it known
	stream       store.Stream
}

// stepCount counts what became of a step in all of its iterations.
type stepCount struct {
	active, completed, failed, skipped, cancelled int64
	began, ended                                  time.Time
}

// count returns the figures that a step adds to, or nil if it can only be done
// once.
func (r *runState) count(s *step) *stepCount {
	if s.scope.owner == nil {
		return nil
	}
	c := r.counts[s.def]
	if c == nil {
		c = &stepCount{}
		r.counts[s.def] = c
	}
	return c
}

// settle counts a step that is about to be settled.
func (c *stepCount) settle(s *step, status State, at time.Time) {
	if s.active() {
		c.active--
	}
	c.ended = at
	switch status {
	case StateCompleted:
		c.completed++
	case StateFailed:
		c.failed++
	case StateSkipped:
		c.skipped++
	default:
		c.cancelled++
	}
}

// requestsKept is how many ids of requests a run remembers.
const requestsKept = 64

// failure is why something failed, as it is kept.
type failure struct {
	Code fault.Code
	Text string
}

type signal struct {
	Payload json.RawMessage
}

// scope is one execution of the steps that run together.
type scope struct {
	def     *scopeDef
	owner   *step // the foreach or loop; nil for the run itself
	index   int   // which iteration or item
	item    json.RawMessage
	last    json.RawMessage // of a loop: the output of the iteration before
	steps   []step
	left    int  // steps that are not settled
	active  int  // steps that are under way
	closing bool // nothing more is begun
	cause   failure
}

func newScope(def *scopeDef, owner *step, index int) *scope {
	s := &scope{def: def, owner: owner, index: index, steps: make([]step, len(def.steps)), left: len(def.steps)}
	for i, d := range def.steps {
		s.steps[i] = step{def: d, scope: s, waiting: len(predecessors(d))}
	}
	return s
}

// step is the state of a step in one scope.
type step struct {
	def     *stepDef
	scope   *scope
	status  State
	waiting int // steps before it that are not settled
	attempt int
	handle  string // by which it goes on
	output  json.RawMessage
	cause   failure
	started time.Time
	ended   time.Time
	until   time.Time // a wait ends, or the next attempt is due
	signal  string    // waited for
	title   string    // of an approval
	data    []NodeInfo
	rejects []Reject

	items   []json.RawMessage // of a foreach
	results []json.RawMessage
	scopes  map[int]*scope // iterations under way, by index
	next    int            // the first item or iteration that was not begun
	failed  int            // items that failed
}

// stepRef finds a step again.
type stepRef struct {
	def       *stepDef
	iteration []int
	output    json.RawMessage
	item      json.RawMessage // of the nearest foreach around it
}

// stateNone is the state of a step that nothing has happened to.
const stateNone State = ""

func (s *step) settled() bool {
	switch s.status {
	case StateCompleted, StateFailed, StateSkipped, StateCancelled:
		return true
	}
	return false
}

// state is the state that others see.
func (s *step) state() State {
	if s.status == stateNone {
		return StatePending
	}
	return s.status
}

// active reports whether the step is under way.
func (s *step) active() bool { return s.status == StateRunning || s.status == StateWaiting }

// iteration is the path of indexes that leads to a scope.
func (s *scope) iteration() []int {
	var out []int
	for ; s.owner != nil; s = s.owner.scope {
		out = append(out, s.index)
	}
	slices.Reverse(out)
	return out
}

func newRunState(d *Definition, id string) *runState {
	r := &runState{definition: d, id: id, stream: store.Stream(runPrefix + id), root: newScope(d.steps, nil, 0), signals: map[string][]signal{}, inputs: map[string]any{}, counts: map[*stepDef]*stepCount{}}
	for _, in := range d.Inputs {
		r.inputs[in.Name] = inputValue(in.Value)
	}
	return r
}

// inputValue is an input as expressions of steps see it.
func inputValue(v Value) any {
	switch v.Kind() {
	case KindBool:
		return v.Bool()
	case KindInt:
		return v.Int()
	case KindFloat:
		return v.Float()
	case KindTime, KindDate:
		return v.Time()
	case KindNull:
		return nil
	}
	return v.Text()
}

// find returns the step of a node in an iteration, or nil if it is not there
// (any more).
func (r *runState) find(node string, iteration []int) *step {
	return r.stepOf(r.definition.step(node), iteration)
}

// stepOf is find for a step whose definition is at hand.
func (r *runState) stepOf(def *stepDef, iteration []int) *step {
	if def == nil {
		return nil
	}
	s := r.scopeOf(def.scope, iteration)
	if s == nil {
		return nil
	}
	return &s.steps[def.at]
}

// scopeOf returns the iteration of a scope, or nil if it is not there.
func (r *runState) scopeOf(def *scopeDef, iteration []int) *scope {
	if def.owner == nil {
		if len(iteration) > 0 {
			return nil
		}
		return r.root
	}
	if len(iteration) == 0 {
		return nil
	}
	last := len(iteration) - 1
	outer := r.scopeOf(def.owner.scope, iteration[:last])
	if outer == nil {
		return nil
	}
	return outer.steps[def.owner.at].scopes[iteration[last]]
}

// apply changes the state by an event. Events of a node that is not there are
// those of another definition, and are passed over by their number alone.
func (r *runState) apply(e *Event) {
	r.number(e)
	switch e.Type {
	case NodeCompensating, NodeCompensated, NodeUndoRetried, NodeUndoFailed:
		r.applyUndo(e)
		return
	}
	if e.Node == "" {
		r.applyRun(e)
		return
	}
	if s := r.find(e.Node, e.Iteration); s != nil {
		r.applyStep(s, e)
	}
}

// number gives an event its place in the history.
func (r *runState) number(e *Event) {
	r.seq++
	e.Seq, e.RunID, e.Workflow = r.seq, r.id, r.definition.Name
	if e.Request != "" {
		if len(r.requests) == requestsKept {
			r.requests = slices.Delete(r.requests, 0, 1)
		}
		r.requests = append(r.requests, e.Request)
	}
}

func (r *runState) applyUndo(e *Event) {
	switch e.Type {
	case NodeCompensating:
		r.undoTry, r.undoUntil = e.Attempt, time.Time{}
	case NodeUndoRetried:
		r.undoUntil = e.Until
	case NodeCompensated, NodeUndoFailed:
		r.undoing++
		r.undoTry, r.undoUntil = 0, time.Time{}
		if e.Type == NodeUndoFailed && r.undoError.Text == "" {
			r.undoError = failure{e.ErrorCode, Instance(e.Node, e.Iteration) + ": " + e.Error}
		}
	}
}

func (r *runState) applyRun(e *Event) {
	switch e.Type {
	case WorkflowStarted:
		r.state, r.started = StateRunning, e.At
		if e.Start != nil {
			r.start = *e.Start
		}
	case WorkflowPaused:
		r.paused = true
	case WorkflowResumed:
		r.paused = false
	case CancelRequested:
		r.cancelled, r.cause = true, failure{fault.Canceled, e.Error}
		r.root.close(r.cause)
	case SignalReceived:
		r.signals[e.Signal] = append(r.signals[e.Signal], signal{e.Output})
	case WorkflowCompleted:
		r.ends++
		r.state, r.ended, r.output = StateCompleted, e.At, e.Output
	case WorkflowFailed:
		r.ends++
		r.state, r.ended, r.cause = StateFailed, e.At, failure{e.ErrorCode, e.Error}
	case WorkflowCancelled:
		r.ends++
		r.state, r.ended, r.cause = StateCancelled, e.At, failure{e.ErrorCode, e.Error}
	case WorkflowReopened:
		r.reopen()
	}
}

func (r *runState) applyStep(s *step, e *Event) {
	switch e.Type {
	case NodeStarted:
		r.begin(s, e)
	case NodeWaiting:
		if s.status == stateNone {
			r.begin(s, e)
		}
		r.set(s, StateWaiting)
		s.until, s.signal, s.title = e.Until, e.Signal, textOf(e.Output)
	case NodeExpanded:
		s.expand(e)
	case NodeRetried:
		r.set(s, StateWaiting)
		s.until, s.cause = e.Until, failure{e.ErrorCode, e.Error}
	case NodeCompleted:
		r.complete(s, e)
	case NodeFailed:
		s.cause, s.output, s.handle = failure{e.ErrorCode, e.Error}, e.Output, failedHandle
		s.note(e)
		if !s.def.followed[failedHandle] {
			s.scope.close(s.named())
		}
		r.settle(s, StateFailed, e.At)
	case NodeSkipped:
		r.settle(s, StateSkipped, e.At)
	case NodeCancelled:
		s.note(e)
		r.settle(s, StateCancelled, e.At)
	}
}

// named is the failure of a step with its name. The error of a flow names the
// node itself.
func (s *step) named() failure {
	if s.def.flow != nil {
		return s.cause
	}
	return failure{s.cause.Code, s.def.id + ": " + s.cause.Text}
}

// set changes the status of a step, and counts those that work.
func (r *runState) set(s *step, status State) {
	if s.works() {
		r.working--
	}
	if s.status = status; s.works() {
		r.working++
	}
}

// works reports whether the step has work under way, of its own and not that of
// steps within it.
func (s *step) works() bool { return s.status == StateRunning && s.def.body == nil }

func (r *runState) begin(s *step, e *Event) {
	if !s.active() {
		s.scope.active++
		s.started = e.At
		if c := r.count(s); c != nil {
			c.active++
			if c.began.IsZero() {
				c.began = e.At
			}
		}
	}
	r.set(s, StateRunning)
	s.until = time.Time{}
	s.attempt = max(e.Attempt, 1)
}

// note keeps the figures of a flow's nodes.
func (s *step) note(e *Event) { s.data, s.rejects = e.Nodes, e.Rejects }

// expand takes in the items of a foreach and begins with the first of them, or
// begins an iteration of a loop.
func (s *step) expand(e *Event) {
	s.scopes = map[int]*scope{}
	if s.def.control.kind == controlLoop {
		s.open()
		return
	}
	s.items = e.Items
	s.results = make([]json.RawMessage, len(e.Items))
	for s.next < min(len(s.items), s.def.control.parallel) {
		s.open()
	}
}

// open begins the next item or iteration.
func (s *step) open() {
	inner := newScope(s.def.body, s, s.next)
	if s.next < len(s.items) {
		inner.item = s.items[s.next]
	}
	inner.last = s.output
	s.scopes[s.next] = inner
	s.next++
}

// over reports whether a scope has come to its end.
func (s *scope) over() bool { return s.left == 0 || s.closing && s.active == 0 }

// closeInner ends an item or iteration that is over. The next item takes its
// place, unless too many have failed.
func (s *step) closeInner(inner *scope) {
	delete(s.scopes, inner.index)
	output := inner.steps[len(inner.steps)-1].output
	if s.def.control.kind == controlLoop {
		if s.output = output; inner.closing {
			s.failed, s.cause = s.failed+1, inner.cause
		}
		return
	}
	s.results[inner.index] = output
	if inner.closing {
		s.results[inner.index] = nil
		if s.failed++; s.failed == s.def.control.tolerate+1 && !s.scope.closing {
			s.cause = failure{inner.cause.Code, "item " + strconv.Itoa(inner.index) + ": " + inner.cause.Text}
		}
	}
	switch {
	case s.failed > s.def.control.tolerate:
		for _, other := range s.scopes {
			other.close(s.cause)
		}
	case s.next < len(s.items) && !s.scope.closing:
		s.open()
	}
}

// complete settles a step.
func (r *runState) complete(s *step, e *Event) {
	s.note(e)
	r.rows += e.Rows
	s.output, s.handle = e.Output, e.Handle
	if s.handle == "" {
		s.handle = doneHandle
	}
	r.settle(s, StateCompleted, e.At)
	r.forgetRows(s)
	if e.Signal != "" && len(r.signals[e.Signal]) > 0 && e.Request == "" { // it had come before
		r.signals[e.Signal] = r.signals[e.Signal][1:]
	}
	if s.def.undo != nil {
		r.undo = append(r.undo, &stepRef{def: s.def, iteration: s.scope.iteration(), output: e.Output, item: s.scope.nearestItem()})
	}
}

// nearestItem is the item of the innermost foreach around a scope.
func (s *scope) nearestItem() json.RawMessage {
	for ; s != nil && s.owner != nil; s = s.owner.scope {
		if s.item != nil {
			return s.item
		}
	}
	return nil
}

func (r *runState) settle(s *step, status State, at time.Time) {
	if c := r.count(s); c != nil {
		c.settle(s, status, at)
	}
	if s.active() {
		s.scope.active--
	}
	if s.started.IsZero() {
		s.started = at
	}
	r.set(s, status)
	s.ended, s.until, s.signal = at, time.Time{}, ""
	s.scope.left--
	for _, d := range s.def.dependents {
		s.scope.steps[d].waiting--
	}
	s.items, s.scopes, s.results = nil, nil, nil
	if owner := s.scope.owner; owner != nil && s.scope.over() {
		owner.closeInner(s.scope)
	}
}

// close winds a scope up: nothing more is begun in it.
func (s *scope) close(cause failure) {
	if s.closing {
		return
	}
	s.closing, s.cause = true, cause
	for i := range s.steps {
		for _, inner := range s.steps[i].scopes {
			inner.close(cause)
		}
	}
}

// reopen takes back what made a run fail, so that it goes on from there.
func (r *runState) reopen() {
	r.state, r.ended, r.cancelled, r.cause, r.paused = StateRunning, time.Time{}, false, failure{}, false
	r.root.reopen()
}

// reopen resets the steps that failed or were cancelled, unless their failure
// was dealt with, and those skipped on their account.
func (s *scope) reopen() {
	s.closing, s.cause = false, failure{}
	reset := make([]bool, len(s.steps))
	for i := range s.steps {
		st := &s.steps[i]
		reset[i] = st.status == StateCancelled || st.status == StateFailed && !st.def.followed[failedHandle]
	}
	for i := range s.steps {
		if reset[i] {
			def := s.def.steps[i]
			s.steps[i] = step{def: def, scope: s, attempt: 0}
			s.left++
		}
	}
	for i, def := range s.def.steps {
		s.steps[i].waiting = 0
		for _, p := range predecessors(def) {
			if !s.steps[p].settled() {
				s.steps[i].waiting++
			}
		}
	}
}

// step finds the step that a node belongs to.
func (d *Definition) step(node string) *stepDef { return d.stepOf[node] }

// index notes which step each node belongs to.
func (s *scopeDef) index(into map[string]*stepDef) {
	for _, step := range s.steps {
		for _, id := range step.nodes {
			into[id] = step
		}
		if step.body != nil {
			step.body.index(into)
		}
	}
}

func textOf(data json.RawMessage) string {
	var s string
	_ = json.Unmarshal(data, &s) // what is no text is none
	return s
}
