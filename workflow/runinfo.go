package workflow

import "path/filepath"

// info takes a snapshot of a run. Live has the flows under way; it is nil for a
// run that is not in memory.
func (d *decider) info(live *liveRun) RunInfo {
	r := d.runState
	info := RunInfo{
		ID: r.id, Workflow: r.definition.Name, Version: r.start.Version, State: r.visible(), Started: r.started, Finished: r.ended,
		Start: r.start, Output: r.output, Events: r.seq, After: r.definition.After,
		Nodes: make([]NodeInfo, 0, len(r.definition.Nodes)), Edges: make([]EdgeInfo, 0, len(r.definition.Edges)),
	}
	if r.state.Final() && r.state != StateCompleted {
		info.Error, info.ErrorCode = r.cause.Text, r.cause.Code
	}
	moved := map[string]NodeInfo{}
	edges := map[edgeKey]int64{}
	for _, def := range flowsOf(r.definition.steps, nil) {
		s := r.find(def.id, nil)
		if s == nil {
			continue // in a loop: its figures are counted only
		}
		nodes, rejects := s.data, s.rejects
		if live != nil {
			if f := live.flows[def.id]; f != nil {
				nodes, rejects = f.figures()
				for _, e := range f.edges {
					edges[bare(e.edge)] = e.sent.Load()
				}
			}
		}
		for _, n := range nodes {
			moved[n.ID] = n
			info.RejectedTotal += n.Rejected
		}
		info.Rejects = append(info.Rejects, rejects...)
		if def.flow.Rejects != "" && s.status == StateCompleted {
			info.RejectsFile = (&Env{outputDir: filepath.Clean(r.start.OutputDir)}).OutputPath(def.flow.Rejects)
		}
	}
	for _, n := range r.definition.Nodes {
		info.Nodes = append(info.Nodes, d.node(n, moved))
	}
	for _, e := range r.definition.Edges {
		rows, live := edges[bare(e)]
		if !live {
			rows = moved[e.From].sent(e)
		}
		info.Edges = append(info.Edges, EdgeInfo{From: e.From, Handle: e.Handle, To: e.To, Input: e.Input, Rows: rows})
	}
	d.waits(&info, r.root)
	return info
}

// edgeKey tells an edge from all others.
type edgeKey struct{ from, handle, to, input string }

func bare(e Edge) edgeKey { return edgeKey{e.From, e.Handle, e.To, e.Input} }

// sent is how many rows went over an edge of a node that has ended.
func (n NodeInfo) sent(e Edge) int64 { return n.Sent[e.Handle] }

// flowsOf lists the steps that move rows.
func flowsOf(s *scopeDef, into []*stepDef) []*stepDef {
	for _, def := range s.steps {
		if def.flow != nil {
			into = append(into, def)
		}
		if def.body != nil {
			into = flowsOf(def.body, into)
		}
	}
	return into
}

// node describes a node.
func (d *decider) node(n Node, moved map[string]NodeInfo) NodeInfo {
	def := d.definition.stepOf[n.ID]
	info := NodeInfo{State: StatePending}
	if known, ok := moved[n.ID]; ok {
		info = known
	}
	info.ID, info.Type, info.Role, info.Parent = n.ID, n.Type, n.Role, n.Parent
	s := d.find(n.ID, nil)
	if s == nil {
		d.iterations(&info, def)
		return info
	}
	if def.flow == nil || info.State == StatePending {
		info.State = s.state()
	}
	info.Attempt, info.Started = s.attempt, s.started
	if s.handle != doneHandle && s.handle != failedHandle {
		info.Handle = s.handle
	}
	if def.flow != nil {
		return info
	}
	info.Output = s.output
	if info.Error == "" && s.status != StateCompleted {
		info.Error = s.cause.Text
	}
	if s.settled() && !s.started.IsZero() {
		info.Duration = s.ended.Sub(s.started)
	}
	return info
}

// iterations describes a node in a loop by what became of its iterations.
func (d *decider) iterations(info *NodeInfo, def *stepDef) {
	c := d.counts[def]
	if c == nil {
		return
	}
	info.Counts = &NodeCounts{Active: c.active, Completed: c.completed, Failed: c.failed, Skipped: c.skipped, Cancelled: c.cancelled}
	if info.Started = c.began; !c.began.IsZero() && c.ended.After(c.began) { // what takes no time has no beginning of its own
		info.Duration = c.ended.Sub(c.began)
	}
	switch {
	case c.active > 0:
		info.State = StateRunning
	case c.failed > 0:
		info.State = StateFailed
	case c.cancelled > 0:
		info.State = StateCancelled
	case c.completed > 0:
		info.State = StateCompleted
	case c.skipped > 0:
		info.State = StateSkipped
	}
}

// waitsShown bounds the waits that a snapshot tells.
const waitsShown = 1000

// waits adds what the run waits for.
func (d *decider) waits(info *RunInfo, s *scope) {
	for i := range s.steps {
		st := &s.steps[i]
		if len(info.Waits) >= waitsShown {
			return
		}
		if st.status == StateWaiting {
			w := Wait{Node: st.def.id, Iteration: s.iteration(), For: "attempt", Signal: st.signal, Title: st.title, Until: st.until, Error: st.cause.Text}
			if c := st.def.control; c != nil {
				w.Error = ""
				switch c.kind {
				case controlSleep:
					w.For = "time"
				case controlApproval:
					w.For = "approval"
				default:
					w.For = "signal"
				}
			}
			info.Waits = append(info.Waits, w)
		}
		for _, index := range openScopes(st) {
			d.waits(info, st.scopes[index])
		}
	}
}
