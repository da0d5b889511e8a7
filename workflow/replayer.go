package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// A replay takes a history apart: some of its events tell what happened outside,
// such as how an attempt ended; the others were decided on account of them. The
// first ones are given to a decider, and what it decides is compared with the
// others.

// replayer replays one history.
type replayer struct {
	decider *decider
	had     *Definition
	strict  bool            // also the order has to be the same
	decided []Event         // and not met in the history yet
	ends    bool            // attempts have ended of which nothing was decided yet
	known   map[string]bool // steps that the history has, by their instances
}

// replayDifference is the first event at which a replay goes another way.
type replayDifference struct {
	outcome            ReplayOutcome
	event              int64
	recorded, replayed string
}

// replayHistory has a history decided again by a definition. Had is the one that
// the run had. It returns nil if nothing is different.
func replayHistory(d, had *Definition, id string, history []Event, strict bool) *replayDifference {
	r := &replayer{decider: &decider{runState: newRunState(d, id)}, had: had, strict: strict, known: map[string]bool{}}
	for i := range history {
		if history[i].Node != "" {
			r.known[Instance(history[i].Node, history[i].Iteration)] = true
		}
	}
	for i := range history {
		e := &history[i]
		if i == 0 {
			r.begin(history)
		} else if r.ends && !r.isEnd(e) {
			r.ends = false
			r.decider.advance()
			r.take()
		}
		if r.met(e) {
			continue
		}
		if len(r.decided) > 0 {
			return r.difference(e)
		}
		if !r.happened(e) {
			return &replayDifference{ReplayDiffers, e.Seq, told(e), r.instead(e)}
		}
		r.take()
		if !r.met(e) {
			return r.difference(e)
		}
	}
	if r.ends {
		r.decider.advance()
		r.take()
	}
	if len(r.decided) > 0 {
		return r.difference(nil)
	}
	return nil
}

// take takes over what was decided.
func (r *replayer) take() {
	events, _ := r.decider.taken()
	r.decider.aborts = nil
	for _, e := range events {
		if !r.strict && e.Type == NodeSkipped && !r.known[Instance(e.Node, e.Iteration)] {
			continue // a new step that the run would have passed by
		}
		r.decided = append(r.decided, e)
	}
}

// begin starts the run, with the results that it took over from another one.
func (r *replayer) begin(history []Event) {
	start := history[0]
	r.decider.now = start.At
	var again *rerun
	if start.Start != nil && start.Start.RerunOf != "" {
		again = &rerun{of: start.Start.RerunOf}
		for _, e := range history[1:] {
			if e.Type != NodeCompleted && e.Type != NodeSkipped {
				break
			}
			if r.decider.find(e.Node, e.Iteration) != nil {
				again.results = append(again.results, e)
			}
		}
	}
	if start.Start != nil {
		r.decider.begin(*start.Start, start.Request, again)
	}
	r.take()
}

// met finds an event among what was decided, and strikes it off.
func (r *replayer) met(e *Event) bool {
	for i := range r.decided {
		if sameEvent(e, &r.decided[i]) {
			r.decided = slices.Delete(r.decided, i, i+1)
			return true
		}
		if r.strict {
			return false
		}
	}
	return !r.strict && e.Type == NodeSkipped && r.decider.definition.step(e.Node) == nil // passed by, and gone
}

// sameEvent compares events by what they say, not by when it was.
func sameEvent(a, b *Event) bool {
	return a.Type == b.Type && a.Node == b.Node && slices.Equal(a.Iteration, b.Iteration) && max(a.Attempt, 1) == max(b.Attempt, 1) &&
		a.Handle == b.Handle && bytes.Equal(a.Output, b.Output) && a.Signal == b.Signal && a.Error == b.Error && a.ErrorCode == b.ErrorCode &&
		a.Rows == b.Rows && slices.EqualFunc(a.Items, b.Items, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}

// isEnd reports whether an event tells how an attempt ended that is under way.
func (r *replayer) isEnd(e *Event) bool {
	switch e.Type {
	case NodeCompleted, NodeFailed, NodeRetried, NodeCancelled:
	default:
		return false
	}
	s := r.decider.find(e.Node, e.Iteration)
	return s != nil && s.status == StateRunning && s.def.body == nil && s.attempt == max(e.Attempt, 1) && e.Signal == ""
}

// happened gives the decider what an event tells of the outside. It returns false
// if the event tells nothing of it, or the decider can do nothing with it.
func (r *replayer) happened(e *Event) bool {
	d := r.decider
	d.now = e.At
	if r.isEnd(e) {
		d.ended(d.find(e.Node, e.Iteration), max(e.Attempt, 1), result{output: e.Output, err: r.failure(e), nodes: e.Nodes, rejects: e.Rejects, duration: e.Duration})
		r.ends = true
		return true
	}
	request := e.Request
	if strings.HasPrefix(request, "signal:") {
		request = ""
	}
	switch e.Type {
	case SignalReceived:
		if d.waiter(d.root, e.Signal) == nil {
			return d.keepSignal(e.Signal, e.Output, request) == nil
		}
		return d.signal(e.Signal, e.Output, request) == nil
	case CancelRequested:
		return d.cancel(e.Error, request) == nil
	case WorkflowPaused:
		return d.pause(true, request) == nil
	case WorkflowResumed:
		return d.pause(false, request) == nil
	case WorkflowReopened:
		return d.retry(request) == nil
	case NodeCompensated, NodeUndoFailed, NodeUndoRetried:
		d.undoEnded(e.Attempt, result{output: e.Output, err: r.failure(e), duration: e.Duration})
	case NodeCompensating:
		if d.undoUntil.After(d.now) {
			d.now = d.undoUntil
		}
		d.woke(e.Node, e.Iteration)
	case NodeStarted, NodeCompleted, NodeFailed:
		s := d.find(e.Node, e.Iteration)
		switch {
		case s == nil || s.status != StateWaiting:
			return false
		case e.Signal != "":
			return d.signal(e.Signal, e.Output, request) == nil
		case s.until.After(d.now): // the definition waits longer; in a replay no time passes
			d.now = s.until
		}
		d.woke(e.Node, e.Iteration)
	default:
		return false
	}
	return len(d.events) > 0
}

// replayedError is the error of an attempt as it was recorded.
type replayedError struct {
	runFailure
	permanent bool
}

// Permanent reports whether it was not to be repeated, see [retry.Permanent].
func (e *replayedError) Permanent() bool { return e.permanent }

// failure is the error that an event tells of, or nil. An attempt that failed for
// good although the run's own version would have repeated it was told not to.
func (r *replayer) failure(e *Event) error {
	if e.Type == NodeCompleted || e.Type == NodeCompensated {
		return nil
	}
	err := &replayedError{runFailure: runFailure{e.ErrorCode, e.Error}}
	if had := r.had.step(e.Node); e.Type == NodeFailed && had != nil {
		s := &step{def: had, attempt: max(e.Attempt, 1)}
		_, again := s.again(err)
		err.permanent = again
	}
	return err
}

// difference is that between an event, nil at the end of the history, and what was
// decided.
func (r *replayer) difference(e *Event) *replayDifference {
	out := &replayDifference{outcome: ReplayDiffers, event: r.decider.seq}
	if e != nil {
		out.event, out.recorded = e.Seq, told(e)
	}
	if len(r.decided) == 0 {
		return out
	}
	first := &r.decided[0]
	for i := range r.decided {
		d := &r.decided[i]
		if e != nil && d.Node == e.Node && slices.Equal(d.Iteration, e.Iteration) && (d.Type == e.Type || d.Node != "") {
			first = d // another word about the same step says more
			break
		}
	}
	if first.Type == NodeStarted && !r.known[Instance(first.Node, first.Iteration)] {
		out.outcome = ReplayUnknown
	}
	out.replayed = told(first)
	return out
}

// instead says what the definition has where an event is that it can do nothing
// with.
func (r *replayer) instead(e *Event) string {
	if e.Node == "" {
		return "the run is " + string(r.decider.visible())
	}
	s := r.decider.find(e.Node, e.Iteration)
	if s == nil {
		return "there is no " + Instance(e.Node, e.Iteration)
	}
	return Instance(e.Node, e.Iteration) + " is " + string(s.state())
}

// toldMax bounds what is told of an output.
const toldMax = 200

// told is an event in words.
func told(e *Event) string {
	text := string(e.Type)
	if e.Node != "" {
		text += " " + Instance(e.Node, e.Iteration)
	}
	if e.Attempt > 1 {
		text += ", attempt " + strconv.Itoa(e.Attempt)
	}
	if e.Handle != "" && e.Handle != doneHandle {
		text += " by " + e.Handle
	}
	if e.Signal != "" {
		text += ", signal " + e.Signal
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	if len(e.Output) > 0 {
		text += " with " + shown(e.Output)
	}
	if len(e.Items) > 0 {
		text += fmt.Sprintf(" over %d items", len(e.Items))
	}
	if len(text) > toldMax {
		text = strings.ToValidUTF8(text[:toldMax], "") + "…"
	}
	return text
}

// FaultCode classifies the error, see [fault.CodeOf].
func (e *replayedError) FaultCode() fault.Code { return e.code }
