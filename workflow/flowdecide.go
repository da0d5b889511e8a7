package workflow

import (
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// The decisions of a flow are a pure function: [machine.step] takes what has
// happened and gives what is to be done. It does no I/O, starts nothing and
// knows no time, so that a flow can be replayed from what has happened. Actors
// around it (flowactor.go, nodeactor.go) do the work.
//
//	opening     every node is told to open
//	running     sources are told to read; nodes report that they have ended
//	preparing   every row is accounted for; every sink is told to prepare
//	committing  sinks are told to commit, one after the other; then sources
//	            to acknowledge what they have read
//	done        the outcome is decided

// input is something that has happened. It is also the message of the run's
// actor.
type input interface{ isInput() }

type (
	runStarted struct{}
	nodeOpened struct {
		node         string
		acknowledges bool // it is a source that wants to know of the commit
	}
	nodeEnded     struct{ node string } // it has handled all its rows
	rowsVerified  struct{}              // every row is accounted for
	sinkPrepared  struct{ node string }
	rejectsFiled  struct{} // the file of rejects is in its place
	sinkCommitted struct{ node string }
	acknowledged  struct{ node string }
	// nodeFailed: the node is "" if it is no node that failed, but the run.
	nodeFailed struct {
		node string
		err  error
	}
	cancelRequested struct{ cause error }
)

func (runStarted) isInput()      {}
func (nodeOpened) isInput()      {}
func (nodeEnded) isInput()       {}
func (rowsVerified) isInput()    {}
func (sinkPrepared) isInput()    {}
func (rejectsFiled) isInput()    {}
func (sinkCommitted) isInput()   {}
func (acknowledged) isInput()    {}
func (nodeFailed) isInput()      {}
func (cancelRequested) isInput() {}

// commandKind says what is to be done.
type commandKind uint8

const (
	doOpen        commandKind = iota // tell the node to open
	doRead                           // tell the source to begin
	doVerify                         // check that every row is accounted for
	doPrepare                        // tell the sink to prepare
	doFileRejects                    // put the file of rejects in its place
	doCommit                         // tell the sink to commit
	doAcknowledge                    // tell the source that all sinks have committed
	doStop                           // the outcome is decided: clean up
)

// command is one thing to do, for the node if it concerns one.
type command struct {
	do   commandKind
	node string
}

type phase uint8

const (
	phaseIdle phase = iota
	phaseOpening
	phaseRunning
	phasePreparing
	phaseCommitting
	phaseDone
)

// machine is the state of the decisions of one run.
type machine struct {
	nodes, sources, sinks []string // ids, in the order of the definition
	phase                 phase
	waiting               map[string]bool // nodes that the phase waits for
	committed             []string
	acknowledgers         []string // sources that are to acknowledge
	outcome               outcome
}

// outcome is how a run ends.
type outcome struct {
	state State
	node  string // the one that failed
	err   error
}

func newMachine(d *Definition) *machine {
	m := &machine{}
	for _, n := range d.Nodes {
		m.nodes = append(m.nodes, n.ID)
		switch n.Role {
		case RoleSource:
			m.sources = append(m.sources, n.ID)
		case RoleSink:
			m.sinks = append(m.sinks, n.ID)
		}
	}
	return m
}

// step decides what follows from an input. Inputs that come too late, such as
// the failure of a second node, have no effect.
func (m *machine) step(in input) []command {
	if m.phase == phaseDone {
		return nil
	}
	switch in := in.(type) {
	case runStarted:
		m.await(phaseOpening, m.nodes)
		return each(doOpen, m.nodes)
	case nodeOpened:
		if in.acknowledges {
			m.acknowledgers = append(m.acknowledgers, in.node)
		}
		return m.opened(in.node)
	case nodeEnded:
		return m.ended(in.node)
	case rowsVerified:
		m.await(phasePreparing, m.sinks)
		return each(doPrepare, m.sinks)
	case sinkPrepared:
		if m.settle(phasePreparing, in.node) {
			m.phase = phaseCommitting
			return []command{{do: doFileRejects}}
		}
	case rejectsFiled:
		return m.commitNext()
	case sinkCommitted:
		m.committed = append(m.committed, in.node)
		return m.commitNext()
	case acknowledged:
		m.acknowledgers = m.acknowledgers[1:]
		return m.commitNext()
	case nodeFailed:
		return m.failed(in)
	case cancelRequested:
		if m.phase == phaseCommitting {
			return nil // too late: a sink may be visible already
		}
		return m.end(outcome{state: StateCancelled, err: in.cause})
	}
	return nil
}

func (m *machine) opened(node string) []command {
	if !m.settle(phaseOpening, node) {
		return nil
	}
	m.await(phaseRunning, m.nodes)
	return each(doRead, m.sources)
}

func (m *machine) ended(node string) []command {
	if !m.settle(phaseRunning, node) {
		return nil
	}
	m.phase = phasePreparing
	return []command{{do: doVerify}}
}

// commitNext commits the next sink or, after the last one, has the next source
// acknowledge; then the run is complete.
func (m *machine) commitNext() []command {
	switch {
	case len(m.committed) < len(m.sinks):
		return []command{{do: doCommit, node: m.sinks[len(m.committed)]}}
	case len(m.acknowledgers) > 0:
		return []command{{do: doAcknowledge, node: m.acknowledgers[0]}}
	}
	return m.end(outcome{state: StateCompleted})
}

func (m *machine) failed(in nodeFailed) []command {
	return m.end(outcome{state: StateFailed, node: in.node, err: m.partly(in.err)})
}

// partly adds to an error which sinks are committed already.
func (m *machine) partly(err error) error {
	switch len(m.committed) {
	case 0:
		return err
	case len(m.sinks):
		return &fault.Error{Message: "after every sink has committed", Cause: err}
	}
	return &fault.Error{
		Message: "committed before it failed: " + strings.Join(m.committed, ", "), Cause: err,
		Hint: "the results of these sinks are in place; those of the others are not",
	}
}

// interrupt decides on a run that was stopped from outside, if nothing was
// decided before. Given are the sinks that are committed in fact: the report
// of the last one may not have arrived.
func (m *machine) interrupt(committed []string, err error) outcome {
	if m.phase == phaseDone {
		return m.outcome
	}
	m.committed = committed
	switch {
	case len(committed) == 0:
		return outcome{state: StateCancelled, err: err}
	case len(committed) == len(m.sinks) && len(m.acknowledgers) == 0:
		return outcome{state: StateCompleted}
	}
	return outcome{state: StateFailed, err: m.partly(err)}
}

func (m *machine) end(o outcome) []command {
	m.phase, m.outcome, m.waiting = phaseDone, o, nil
	return []command{{do: doStop}}
}

// await begins a phase that ends when each of the nodes has been settled.
func (m *machine) await(p phase, nodes []string) {
	m.phase = p
	m.waiting = make(map[string]bool, len(nodes))
	for _, id := range nodes {
		m.waiting[id] = true
	}
}

// settle reports whether the node was the last one that the phase waited for.
func (m *machine) settle(p phase, node string) bool {
	if m.phase != p || !m.waiting[node] {
		return false
	}
	delete(m.waiting, node)
	return len(m.waiting) == 0
}

func each(do commandKind, nodes []string) []command {
	out := make([]command, len(nodes))
	for i, id := range nodes {
		out[i] = command{do: do, node: id}
	}
	return out
}
