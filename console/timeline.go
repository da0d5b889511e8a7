package console

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// Timeline is the answer of GET /api/runs/{id}/timeline. It is made from a page
// of the history, so that a run of any length costs what is shown of it: a span
// whose end lies on another page is there as far as this page knows it. Spans of
// the same ID are parts of one; the later one has more.
type Timeline struct {
	Spans []Span `json:"spans"` // in the order of their first event on the page
	// Next is after= of the next page; left out if there is none, at present.
	Next  int64     `json:"next,omitempty"`
	Total int64     `json:"total"` // events of the whole history
	Until time.Time `json:"until"` // the node's time, to which spans without an end have come
}

// Span is a stretch of time in which something was under way.
type Span struct {
	// ID tells it from all others of the run.
	ID string `json:"id"`
	// Kind is "run", "pause", "node", or "undo" for a compensation.
	Kind SpanKind `json:"kind"`
	// Node and Iteration tell which node it is of; empty for the whole run.
	Node      string `json:"node,omitempty"`
	Iteration []int  `json:"iteration,omitempty"`
	Attempt   int    `json:"attempt,omitempty"` // from 1
	// State is running, waiting, completed, failed, cancelled or skipped.
	State workflow.State `json:"state"`
	Start time.Time      `json:"start"`
	End   time.Time      `json:"end,omitzero"` // left out while it goes on
	// Until is when a wait ends at the latest, or the next attempt is due.
	Until time.Time `json:"until,omitzero"`
	Error string    `json:"error,omitempty"`
	// Seq is the last event that told of it.
	Seq int64 `json:"seq"`
}

// SpanKind says what a [Span] is about.
type SpanKind string

// The kinds of spans.
const (
	SpanRun   SpanKind = "run"
	SpanPause SpanKind = "pause"
	SpanNode  SpanKind = "node"
	SpanUndo  SpanKind = "undo"
)

// timeline makes spans from events.
type timeline struct {
	spans []Span
	at    map[string]int
	pause string // the id of the last pause
}

func newTimeline() *timeline { return &timeline{spans: []Span{}, at: map[string]int{}} }

// spanOf returns the span of an id, and makes it if need be.
func (t *timeline) spanOf(s Span) *Span {
	i, ok := t.at[s.ID]
	if !ok {
		i = len(t.spans)
		t.at[s.ID] = i
		t.spans = append(t.spans, s)
	}
	return &t.spans[i]
}

// begin opens a span.
func (t *timeline) begin(s Span, e *workflow.Event) {
	span := t.spanOf(s)
	span.State, span.Start, span.End, span.Until, span.Error, span.Seq = s.State, e.At, time.Time{}, e.Until, "", e.Seq
}

// end closes a span, whether its beginning is on the page or not.
func (t *timeline) end(s Span, e *workflow.Event) {
	s.Start = e.At.Add(-e.Duration)
	span := t.spanOf(s)
	span.State, span.End, span.Until, span.Error, span.Seq = s.State, e.At, e.Until, e.Error, e.Seq
}

// add takes in the next event.
func (t *timeline) add(e *workflow.Event) {
	run := Span{ID: string(SpanRun), Kind: SpanRun, State: workflow.StateRunning}
	node := Span{Kind: SpanNode, Node: e.Node, Iteration: e.Iteration, Attempt: max(e.Attempt, 1)}
	node.ID = workflow.Instance(e.Node, e.Iteration) + "#" + strconv.Itoa(node.Attempt)
	undo := node
	undo.Kind, undo.ID = SpanUndo, "undo "+node.ID
	in := func(s Span, state workflow.State) Span {
		s.State = state
		return s
	}
	switch e.Type {
	case workflow.WorkflowStarted:
		t.begin(run, e)
	case workflow.WorkflowReopened:
		t.spanOf(run).State, t.spanOf(run).End = workflow.StateRunning, time.Time{}
	case workflow.CancelRequested:
		t.mark(run, workflow.StateStopping, e)
	case workflow.WorkflowPaused:
		t.pause = "pause " + strconv.FormatInt(e.Seq, 10)
		t.begin(Span{ID: t.pause, Kind: SpanPause, State: workflow.StatePaused}, e)
	case workflow.WorkflowResumed:
		if t.pause != "" { // else it began on another page, and the next span tells when it ended
			t.end(Span{ID: t.pause, Kind: SpanPause, State: workflow.StateCompleted}, e)
		}
	case workflow.WorkflowCompleted:
		t.end(in(run, workflow.StateCompleted), e)
	case workflow.WorkflowFailed:
		t.end(in(run, workflow.StateFailed), e)
	case workflow.WorkflowCancelled:
		t.end(in(run, workflow.StateCancelled), e)
	case workflow.NodeStarted:
		t.begin(in(node, workflow.StateRunning), e)
	case workflow.NodeWaiting:
		t.begin(in(node, workflow.StateWaiting), e)
	case workflow.NodeCompleted:
		t.ended(in(node, workflow.StateCompleted), e)
	case workflow.NodeFailed, workflow.NodeRetried:
		t.ended(in(node, workflow.StateFailed), e)
	case workflow.NodeCancelled:
		t.ended(in(node, workflow.StateCancelled), e)
	case workflow.NodeSkipped:
		t.end(in(node, workflow.StateSkipped), e)
	case workflow.NodeCompensating:
		t.begin(in(undo, workflow.StateRunning), e)
	case workflow.NodeCompensated:
		t.end(in(undo, workflow.StateCompleted), e)
	case workflow.NodeUndoFailed, workflow.NodeUndoRetried:
		t.end(in(undo, workflow.StateFailed), e)
	}
}

// mark changes the state of a span that goes on.
func (t *timeline) mark(s Span, state workflow.State, e *workflow.Event) {
	s.Start = e.At
	span := t.spanOf(s)
	span.State, span.Seq = state, e.Seq
}

// ended closes the span of an attempt. Nodes that pass rows to each other are one
// step, and have each its own span.
func (t *timeline) ended(s Span, e *workflow.Event) {
	t.end(s, e)
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.Started.IsZero() {
			continue
		}
		one := s
		one.Node, one.ID = n.ID, workflow.Instance(n.ID, e.Iteration)+"#"+strconv.Itoa(s.Attempt)
		one.Start = n.Started
		span := t.spanOf(one)
		span.State, span.Start, span.End, span.Error, span.Seq = s.State, n.Started, n.Started.Add(n.Duration), n.Error, e.Seq
		if n.State.Final() {
			span.State = n.State
		}
	}
}

// instanceText is a node with its iteration, as workflow.Instance writes it.
var instanceText = regexp.MustCompile(`^([^\[\]]+)((?:\[[0-9]{1,9}\]){0,8})$`)

// parseInstance reads what workflow.Instance writes.
func parseInstance(text string) (node string, iteration []int, err error) {
	m := instanceText.FindStringSubmatch(text)
	if m == nil {
		return "", nil, invalid("step", "step is %q; expected the id of a node, with its iteration if it lies in a loop, such as sign or sign[3]", short(text))
	}
	for index := range strings.SplitSeq(strings.Trim(m[2], "[]"), "][") {
		if index == "" {
			continue
		}
		n, err := strconv.Atoi(index)
		if err != nil {
			return "", nil, invalid("step", "step is %q; %s", short(text), err)
		}
		iteration = append(iteration, n)
	}
	return m[1], iteration, nil
}
