package workflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// TestDecisions plays inputs to the machine and reads what it decides.
func TestDecisions(t *testing.T) {
	t.Parallel()
	d := &Definition{Nodes: []Node{{ID: "in", Role: RoleSource}, {ID: "f", Role: RoleTransform}, {ID: "a", Role: RoleSink}, {ID: "b", Role: RoleSink}}}
	open := "start, opened in, opened f, opened a, opened b"
	run := open + ", ended in, ended f, ended a, ended b"
	commit := run + ", verified, prepared b, prepared a"
	noted := strings.Replace(commit, "opened in", "opened in acknowledges", 1) + ", filed, committed a"
	for _, tc := range []struct {
		name, inputs, want string
	}{
		{"opening", "start", "open in, open f, open a, open b"},
		{"nothing is read before all is open", "start, opened in, opened f, opened b", ""},
		{"reading", open, "read in"},
		{"a node ends", open + ", ended in", ""},
		{"an end reported twice", open + ", ended in, ended in, ended f, ended a", ""},
		{"all rows are handled", run, "verify"},
		{"rows are lost", run + ", failed  lost", "stop failed  lost"},
		{"prepare", run + ", verified", "prepare a, prepare b"},
		{"all or none is committed", run + ", verified, prepared a", ""},
		{"rejects go first", commit, "file rejects"},
		{"one sink after the other", commit + ", filed", "commit a"},
		{"the next sink", commit + ", filed, committed a", "commit b"},
		{"completed", commit + ", filed, committed a, committed b", "stop completed  "},
		{"a commit fails", commit + ", filed, failed a broken", "stop failed a broken"},
		{"the second commit fails", commit + ", filed, committed a, failed b broken", "stop failed b committed before it failed: a: broken"},
		{"sources acknowledge after the last sink", noted + ", committed b", "acknowledge in"},
		{"completed when all have acknowledged", noted + ", committed b, acknowledged in", "stop completed  "},
		{"nothing is acknowledged before the last sink", noted, "commit b"},
		{"an acknowledgement fails", noted + ", committed b, failed in away", "stop failed in after every sink has committed: away"},
		{"cancel is too late for it", noted + ", committed b, cancel", ""},
		{"cancel while opening", "start, cancel", "stop cancelled  no more"},
		{"cancel while running", open + ", cancel", "stop cancelled  no more"},
		{"cancel before the commit", run + ", verified, cancel", "stop cancelled  no more"},
		{"cancel is too late", commit + ", cancel", ""},
		{"fail while opening", "start, opened in, failed a full", "stop failed a full"},
		{"the first failure counts", open + ", failed f first, failed a second, cancel, ended in", ""},
	} {
		m := newMachine(d)
		var commands []command
		for text := range strings.SplitSeq(tc.inputs, ", ") {
			commands = m.step(parseInput(text))
		}
		if tc.name == "nothing is read before all is open" { // show all of it
			m, commands = newMachine(d), nil
			for text := range strings.SplitSeq(tc.inputs, ", ") {
				if text != "start" {
					commands = append(commands, m.step(parseInput(text))...)
				} else {
					m.step(parseInput(text))
				}
			}
		}
		var got []string
		for _, c := range commands {
			got = append(got, c.print(m))
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: got %s\nwant %s", tc.name, strings.Join(got, ", "), tc.want)
		}
	}
}

// A run that is stopped from outside ends by what is committed in fact.
func TestDecisionsOnInterruption(t *testing.T) {
	t.Parallel()
	d := &Definition{Nodes: []Node{{ID: "in", Role: RoleSource}, {ID: "a", Role: RoleSink}, {ID: "b", Role: RoleSink}}}
	stopped := errors.New("stopped")
	for _, tc := range []struct {
		committed []string
		state     State
		err       string
	}{
		{nil, StateCancelled, "stopped"},
		{[]string{"a"}, StateFailed, "committed before it failed: a: stopped"},
		{[]string{"a", "b"}, StateCompleted, "<nil>"},
	} {
		m := newMachine(d)
		m.step(runStarted{})
		o := m.interrupt(tc.committed, stopped)
		if o.state != tc.state || !strings.HasPrefix(fmt.Sprint(o.err), tc.err) {
			t.Errorf("%v committed: %s, %v", tc.committed, o.state, o.err)
		}
	}
	m := newMachine(d)
	m.step(runStarted{})
	m.step(nodeOpened{node: "in", acknowledges: true})
	if o := m.interrupt([]string{"a", "b"}, stopped); o.state != StateFailed {
		t.Errorf("committed and not acknowledged: %s, %v", o.state, o.err)
	}
	m = newMachine(d)
	m.step(runStarted{})
	m.step(nodeFailed{node: "in", err: errors.New("first")})
	if o := m.interrupt(nil, stopped); o.state != StateFailed || o.err.Error() != "first" {
		t.Errorf("what was decided before is changed to %s, %v", o.state, o.err)
	}
}

func parseInput(text string) input {
	what, rest, _ := strings.Cut(text, " ")
	node, message, _ := strings.Cut(rest, " ")
	switch what {
	case "start":
		return runStarted{}
	case "opened":
		return nodeOpened{node: node, acknowledges: message == "acknowledges"}
	case "ended":
		return nodeEnded{node}
	case "verified":
		return rowsVerified{}
	case "prepared":
		return sinkPrepared{node}
	case "filed":
		return rejectsFiled{}
	case "acknowledged":
		return acknowledged{node}
	case "committed":
		return sinkCommitted{node}
	case "failed":
		return nodeFailed{node, errors.New(message)}
	case "cancel":
		return cancelRequested{errors.New("no more")}
	}
	panic(text)
}

func (c command) print(m *machine) string {
	names := map[commandKind]string{
		doOpen: "open", doRead: "read", doVerify: "verify", doPrepare: "prepare", doFileRejects: "file rejects",
		doCommit: "commit", doAcknowledge: "acknowledge", doStop: "stop",
	}
	switch {
	case c.do == doStop:
		var err string
		if e := new(fault.Error); errors.As(m.outcome.err, &e) {
			err = e.Message + ": " + e.Cause.Error()
		} else if m.outcome.err != nil {
			err = m.outcome.err.Error()
		}
		return fmt.Sprintf("stop %s %s %s", m.outcome.state, m.outcome.node, err)
	}
	return strings.TrimSpace(names[c.do] + " " + c.node)
}
