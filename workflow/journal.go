package workflow

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Journal is what a source remembers of its input: a list of entries in the
// history of the run, which are there again when the work is done again, under
// the same [Env.Key], after a failure or a crash.
//
// A source whose input changes by itself, such as a topic or a directory, needs
// one: a sink that has committed takes no rows the second time, so that rows which
// the source finds then, and did not find before, would be lost. So it records
// what it is going to read before it reads that, and reads what is recorded.
//
// Entries can also come from outside, see [SourcePlan].Receives and Ends. They are there in
// the order in which they were recorded. A journal is safe for concurrent use.
type Journal struct {
	list   func() (entries []signal, more <-chan struct{})
	record func(ctx context.Context, entry json.RawMessage) error
}

// Len is the number of entries.
func (j *Journal) Len() int {
	entries, _ := j.list()
	return len(entries)
}

// Entry is the entry i, from 0. It waits until there is one, or ctx has ended.
// An entry may be empty.
func (j *Journal) Entry(ctx context.Context, i int) (json.RawMessage, error) {
	for {
		entries, more := j.list()
		if i < len(entries) {
			return entries[i].Payload, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Append records an entry, JSON of at most [TaskOutputMax] bytes, and returns when
// it is committed. A run keeps at most 1000 entries of a node: RESOURCE_EXHAUSTED.
func (j *Journal) Append(ctx context.Context, entry json.RawMessage) error {
	if len(entry) > TaskOutputMax {
		return fault.New(fault.InvalidArgument, "workflow.Journal.Append", "the entry has %d bytes; at most %d are allowed", len(entry), TaskOutputMax)
	}
	return j.record(ctx, entry)
}

// rowsPrefix begins the names of the signals that are entries of journals.
const rowsPrefix = "rows/"

// RowsSignal is the name of the signal that sends rows to a source which receives
// them, such as source.webhook, by [Run.Signal]. The payload is what the node's
// type says; without one, it tells that no more will come.
func RowsSignal(node string, iteration []int) string { return rowsPrefix + Instance(node, iteration) }

// journal is that of a node in a flow of the run.
func (a *runActor) journal(self actor.Ref[runMessage], node string, iteration []int) *Journal {
	r, name := a.run, RowsSignal(node, iteration)
	return &Journal{
		list: func() ([]signal, <-chan struct{}) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.signalled[name] == nil {
				r.signalled[name] = make(chan struct{})
			}
			return slices.Clip(r.state.signals[name]), r.signalled[name]
		},
		record: func(ctx context.Context, entry json.RawMessage) error {
			_, err := actor.Ask(ctx, self, func(reply actor.Reply[struct{}]) runMessage {
				return runCommand{func(d *decider) error { return d.keepSignal(name, entry, "") }, reply}
			})
			return err
		},
	}
}

// tellReaders wakes those who wait for an entry of a journal.
func (r *liveRun) tellReaders(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if more := r.signalled[name]; more != nil {
		close(more)
		delete(r.signalled, name)
	}
}

// checkRows says why a signal with rows cannot be taken, if it is one.
func (d *decider) checkRows(name string, payload json.RawMessage) error {
	instance, ok := strings.CutPrefix(name, rowsPrefix)
	if !ok {
		return nil
	}
	node, rest, _ := strings.Cut(instance, "[")
	var iteration []int
	for text := range strings.SplitSeq(strings.TrimSuffix(rest, "]"), "][") {
		if n, err := strconv.Atoi(text); err == nil {
			iteration = append(iteration, n)
		}
	}
	s := d.find(node, iteration)
	takes := d.definition.takes(node)
	if s == nil || RowsSignal(node, iteration) != name || !takes.ends {
		return &fault.Error{
			Code: fault.NotFound, Target: instance, Message: "the run has no node of that name that rows can be sent to", Hint: d.definition.closestNode(node),
		}
	}
	if !takes.receives && !isEnd(payload) {
		return &fault.Error{
			Code: fault.InvalidArgument, Target: instance, Message: "the node takes no rows, but its end alone", Hint: "send the signal without a payload",
		}
	}
	entries := d.signals[name]
	if s.settled() || len(entries) > 0 && isEnd(entries[len(entries)-1].Payload) {
		return &fault.Error{Code: fault.FailedPrecondition, Target: instance, Message: "the node takes no more rows"}
	}
	return nil
}

// isEnd reports whether an entry tells that no more will come.
func isEnd(entry json.RawMessage) bool { return len(entry) == 0 || string(entry) == "null" }

// takes is the plan of a node that takes rows, or an end, from outside; an empty one
// for others.
func (d *Definition) takes(node string) plan {
	def := d.step(node)
	if def == nil || def.flow == nil {
		return plan{}
	}
	return def.flow.plans[node]
}

// forgetRows drops the journals of a flow that has completed.
func (r *runState) forgetRows(s *step) {
	for _, id := range s.def.nodes {
		delete(r.signals, RowsSignal(id, s.scope.iteration()))
	}
}
