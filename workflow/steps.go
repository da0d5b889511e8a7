package workflow

import (
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/retry"
)

// A definition is run in steps. A task or control node is a step of its own;
// nodes that pass rows to each other are one step together, a flow: their rows
// stream, and their sinks are committed together. What depends on a node of a
// flow depends on the flow.

// scopeDef are the steps that run together: those of the whole workflow, or
// those of a loop.
type scopeDef struct {
	steps []*stepDef
	owner *stepDef // the foreach or loop; nil for the workflow
	last  *stepDef // the one that stands last in the text: its output is the scope's
}

// stepDef is a step of a definition.
type stepDef struct {
	id    string // of its node; of a flow, of the node that stands first
	at    int    // its place in the scope
	scope *scopeDef
	nodes []string // ids of its nodes, more than one for a flow
	flow  *Definition
	run   taskFunc
	// templated: run needs the variables of the step.
	templated bool
	control   *control
	body      *scopeDef // of a foreach or loop

	after      []stepDependency
	dependents []int           // places of the steps that depend on it
	followed   map[string]bool // handles that somebody follows

	when      *stepProgram
	retry     retry.Policy
	retryAny  bool // any error is tried again, not only a transient one
	timeout   time.Duration
	heartbeat time.Duration
	limits    limits
	priority  int
	undo      *undoDef
}

// stepDependency is an edge of control that leads into a step.
type stepDependency struct {
	at     int // place of the step it comes from
	handle string
}

// undoDef is how to undo a step.
type undoDef struct {
	run     taskFunc
	timeout time.Duration
}

// limits are what a step competes for.
type limits struct {
	concurrency    int // 0: none
	concurrencyKey *template
	concurrencyRaw string
	rate           float64 // 0: none
	burst          int
	rateKey        *template
	rateRaw        string
}

// nodeKeys are the keys of a node, for suggestions.
var nodeKeys = []string{
	"id", "type", "doc", "from", "with", "after", "when", "retry", "timeout", "heartbeat", "concurrency", "rate", "priority", "do", "undo",
}

// follow turns the references of "after" into dependencies.
func (l *loader) follow() {
	for _, n := range l.nodes {
		for _, r := range n.text.After {
			l.followOne(n, r)
		}
	}
}

func (l *loader) followOne(n *graphNode, r reference) {
	at, reference := r.at, r.text
	if r.input != "" {
		l.report(at, "write after: ["+reference+"]", "expected the id of a node, or a list of ids")
		return
	}
	id, handle, named := strings.Cut(reference, ".")
	before, ok := l.byID[id]
	if !ok {
		var ids []string
		for _, other := range l.nodes {
			if other != n && other.parent == n.parent && other.ID != "" {
				ids = append(ids, other.ID)
			}
		}
		l.problems = append(l.problems, at.Unknown("node", id, ids))
		return
	}
	if before.kind == nil || n.kind == nil {
		return
	}
	handles := l.handles(before)
	switch {
	case before.parent != n.parent:
		l.report(at, "name the foreach or loop itself", "%q lies in another loop; only its own nodes can run after it", id)
		return
	case !named && !slices.Contains(handles, doneHandle):
		l.report(at, "expected one of "+strings.Join(suffixed(id, handles), ", "), "%q goes on by several ways; say by which", id)
		return
	case !named:
		handle = doneHandle
	case !slices.Contains(handles, handle):
		l.problems = append(l.problems, at.Unknown("way out of "+id, handle, handles))
		return
	}
	if slices.ContainsFunc(n.after, func(d Dependency) bool { return d.From == id && d.Handle == handle }) {
		l.report(at, "", "%q stands twice", reference)
		return
	}
	before.followed[handle] = true
	n.after = append(n.after, Dependency{From: id, Handle: handle, To: n.ID})
	n.afterAt = append(n.afterAt, at)
}

func suffixed(id string, handles []string) []string {
	out := make([]string, len(handles))
	for i, h := range handles {
		out[i] = id + "." + h
	}
	return out
}

// handles are the ways by which control leaves a node.
func (l *loader) handles(n *graphNode) []string {
	if n.Role.rows() {
		return []string{doneHandle, failedHandle}
	}
	handles := slices.Clone(n.outputs)
	if n.Type == "branch" {
		cases, _ := n.with.Get("cases")
		for _, e := range cases.Entries() {
			handles = append(handles, e.Key.Text())
		}
	}
	if !slices.Contains(handles, failedHandle) {
		handles = append(handles, failedHandle)
	}
	return handles
}

// buildSteps makes steps of a definition whose rows go in no circle, and checks
// how they are to be run.
func (l *loader) buildSteps() {
	d := l.definition
	if l.text.Output != "" {
		at := l.root.At("output")
		program, mistake := compileStep(l.stepEnv(), string(l.text.Output))
		if mistake != nil {
			l.report(at, mistake.hint, "%s", mistake.message)
		}
		d.output = program
	}
	d.steps = l.buildScope(l.top, nil)
	d.stepOf = map[string]*stepDef{}
	d.steps.index(d.stepOf)
	l.nameRejects()
}

func (l *loader) buildScope(nodes []*graphNode, owner *stepDef) *scopeDef {
	scope := &scopeDef{owner: owner}
	stepOf := map[string]*stepDef{}
	for _, n := range nodes {
		if stepOf[n.ID] != nil {
			continue
		}
		s := &stepDef{id: n.ID, at: len(scope.steps), scope: scope, nodes: []string{n.ID}, followed: map[string]bool{}}
		scope.steps = append(scope.steps, s)
		members := []*graphNode{n}
		if n.Role.rows() {
			members = connected(n, nodes)
			s.nodes = nil
			for _, m := range members {
				s.nodes = append(s.nodes, m.ID)
			}
			s.flow = l.definition.part(members)
		}
		for _, m := range members {
			stepOf[m.ID] = s
			for handle := range m.followed {
				s.followed[handle] = true
			}
			l.settings(s, m)
		}
		if n.body != nil {
			s.body = l.buildScope(n.body, s)
		}
		scope.last = s
	}
	for _, n := range nodes {
		for i, d := range n.after {
			l.depend(stepOf[d.From], stepOf[n.ID], d.Handle, n.afterAt[i])
		}
	}
	l.checkStepCycle(scope, nodes)
	return scope
}

// depend lets one step run after another one.
func (l *loader) depend(from, to *stepDef, handle string, at yamldoc.Node) {
	if from == to {
		l.report(at, "rows that pass between nodes make one step of them", "the nodes run at the same time: none of them can be after another one")
		return
	}
	d := stepDependency{from.at, handle}
	if !slices.Contains(to.after, d) {
		to.after = append(to.after, d)
	}
	if !slices.Contains(from.dependents, to.at) {
		from.dependents = append(from.dependents, to.at)
	}
}

// connected finds the nodes that are connected with n by rows, in the order of
// the text.
func connected(n *graphNode, nodes []*graphNode) []*graphNode {
	in := map[string]bool{n.ID: true}
	for grown := true; grown; {
		grown = false
		for _, m := range nodes {
			for _, e := range m.in {
				if in[e.From] != in[e.To] {
					in[e.From], in[e.To], grown = true, true, true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(m *graphNode) bool { return !in[m.ID] })
}

// part is the definition of a flow: some of the nodes of d, and what is between
// them.
func (d *Definition) part(members []*graphNode) *Definition {
	p := *d
	p.Nodes, p.Edges, p.After, p.order = nil, nil, nil, nil
	in := map[string]bool{}
	for _, m := range members {
		in[m.ID] = true
		p.Nodes = append(p.Nodes, m.Node)
		p.Edges = append(p.Edges, m.in...)
	}
	for _, id := range d.order {
		if in[id] {
			p.order = append(p.order, id)
		}
	}
	return &p
}

// nameRejects gives each flow a file of rejects of its own.
func (l *loader) nameRejects() {
	if l.definition.Rejects == "" {
		return
	}
	var flows []*stepDef
	var collect func(s *scopeDef)
	collect = func(s *scopeDef) {
		for _, step := range s.steps {
			if step.flow != nil {
				flows = append(flows, step)
			}
			if step.body != nil {
				collect(step.body)
			}
		}
	}
	collect(l.definition.steps)
	if len(flows) < 2 {
		return
	}
	for _, s := range flows {
		name, extension := l.definition.Rejects, ""
		if dot := strings.LastIndexByte(name, '.'); dot > strings.LastIndexByte(name, '/') {
			name, extension = name[:dot], name[dot:]
		}
		s.flow.Rejects = name + "-" + s.id + extension
	}
}

// settings reads how a step is to be run. Each setting stands at most at one of
// the nodes of a flow.
func (l *loader) settings(s *stepDef, n *graphNode) {
	t := n.text
	p := l.definition.plans[n.ID]
	if !n.Role.rows() {
		s.run, s.control, s.templated = p.task, p.control, p.templated
	}
	if t.When != "" {
		l.once(n, "when", s.when != nil)
		s.when = l.compileAt(n.at.At("when"), string(t.When))
	}
	if t.Retry != nil {
		l.once(n, "retry", s.retry.Max != 0)
		s.retry = retry.Policy{Max: retry.DefaultMax, Initial: t.Retry.Initial, Cap: t.Retry.Cap, Multiplier: t.Retry.Multiplier}
		if most := t.Retry.Max; most != nil {
			s.retry.Max = *most
			if *most == 0 {
				s.retry.Max = -1 // which is how a policy says so
			}
		}
		if err := s.retry.Validate(); err != nil {
			l.report(n.at.At("retry"), "", "%s", err)
		}
		switch t.Retry.On {
		case "any":
			s.retryAny = true
		case "", "transient":
		default:
			l.problems = append(l.problems, n.at.At("retry.on").Unknown("kind of failure", t.Retry.On, []string{"transient", "any"}))
		}
	}
	l.duration(n, "timeout", t.Timeout, &s.timeout)
	l.duration(n, "heartbeat", t.Heartbeat, &s.heartbeat)
	if t.Heartbeat > 0 && n.Role != RoleTask {
		l.report(n.at.At("heartbeat"), "", "only tasks have a heartbeat")
	}
	if t.Priority != 0 {
		s.priority = t.Priority
	}
	l.limits(s, n)
	l.rowSettings(n)
	if t.Undo != nil {
		l.undo(s, n)
	}
	if n.Role == RoleControl {
		for _, key := range []string{"retry", "timeout", "concurrency", "rate"} {
			if k, given := n.at.Key(key); given {
				l.report(k, "set it at the tasks", "a %s has no %s", n.Type, key)
			}
		}
	}
}

func (l *loader) once(n *graphNode, key string, taken bool) {
	if taken {
		k, _ := n.at.Key(key)
		l.report(k, "nodes that pass rows to each other are one step; say it once", "another node of the same flow has %q", key)
	}
}

func (l *loader) duration(n *graphNode, key string, d time.Duration, into *time.Duration) {
	if d < 0 {
		l.report(n.at.At(key), "", "expected a time that is not negative")
	}
	if d > 0 {
		l.once(n, key, *into != 0)
		*into = d
	}
}

func (l *loader) compileAt(at yamldoc.Node, source string) *stepProgram {
	program, mistake := compileStep(l.stepEnv(), source)
	if mistake != nil {
		problem := at.Errorf("%s", mistake.message)
		problem.Hint = mistake.hint
		if at.Text() == source {
			problem.Pos = at.PosAt(mistake.offset)
		}
		l.problems = append(l.problems, problem)
	}
	return program
}

func (l *loader) limits(s *stepDef, n *graphNode) {
	template := func(path, text string) *template {
		t, mistake := parseTemplate(l.stepEnv(), text)
		if mistake != nil {
			l.report(n.at.At(path), mistake.hint, "%s", mistake.message)
		}
		return t
	}
	byDefault := l.definition.Name + "/" + n.ID
	if c := n.text.Concurrency; c != nil {
		if c.Limit < 1 {
			l.report(n.at.At("concurrency.limit"), "", "expected a number from 1 on")
		}
		s.limits.concurrency, s.limits.concurrencyRaw = c.Limit, byDefault
		if c.Key != "" {
			s.limits.concurrencyRaw, s.limits.concurrencyKey = c.Key, template("concurrency.key", c.Key)
		}
	}
	if r := n.text.Rate; r != nil {
		if r.PerSecond <= 0 {
			l.report(n.at.At("rate.per_second"), "", "expected a number above 0")
		}
		if r.Burst < 0 {
			l.report(n.at.At("rate.burst"), "", "expected a number that is not negative")
		}
		s.limits.rate, s.limits.burst, s.limits.rateRaw = r.PerSecond, max(r.Burst, 1), byDefault
		if r.Key != "" {
			s.limits.rateRaw, s.limits.rateKey = r.Key, template("rate.key", r.Key)
		}
	}
}

// Overflow says what happens to rows for which there is no room in front of a node.
type Overflow string

// The policies of nodes that rows come into.
const (
	OverflowWait Overflow = "wait" // whoever sends them waits; the default
	OverflowDrop Overflow = "drop" // they are counted as dropped
	OverflowFail Overflow = "fail" // the flow fails
)

// rowSettings reads how rows come into a node.
func (l *loader) rowSettings(n *graphNode) {
	p, planned := l.definition.plans[n.ID]
	if parallel := n.text.Parallel; parallel != 0 {
		switch {
		case parallel < 0 || parallel > ParallelMax:
			l.report(n.at.At("parallel"), "", "%d is out of range; expected 1 to %d", parallel, ParallelMax)
		case planned && !p.alone:
			k, _ := n.at.Key("parallel")
			l.report(k, "set it at nodes that look at each row alone, such as filter, map or jq", "a %s cannot work on several batches at a time", n.Type)
		}
		p.parallel = parallel
	}
	if overflow := n.text.Overflow; overflow != "" {
		known := []string{string(OverflowWait), string(OverflowDrop), string(OverflowFail)}
		switch {
		case !slices.Contains(known, overflow):
			l.problems = append(l.problems, n.at.At("overflow").Unknown("overflow", overflow, known))
		case n.Role != RoleTransform && n.Role != RoleSink:
			k, _ := n.at.Key("overflow")
			l.report(k, "set it at a transform or a sink", "no rows come into a %s", n.Type)
		}
		p.overflow = Overflow(overflow)
	}
	if planned {
		l.definition.plans[n.ID] = p
	}
}

// undo checks the task that undoes a step.
func (l *loader) undo(s *stepDef, n *graphNode) {
	at := n.at.At("undo")
	kind, ok := l.options.Registry.types[n.text.Undo.Type]
	if !ok || kind.Info().Role != RoleTask {
		var names []string
		for _, info := range l.options.Registry.Types() {
			if info.Role == RoleTask {
				names = append(names, info.Name)
			}
		}
		l.problems = append(l.problems, at.At("type").Unknown("task type", n.text.Undo.Type, names))
		return
	}
	c := &Check{node: n.ID, with: n.text.Undo.With, at: at, steps: l.stepEnv, files: l.definition.files, expand: l.expandInputs}
	p := kind.check(c)
	l.problems = append(l.problems, c.problems...)
	l.once(n, "undo", s.undo != nil)
	s.undo = &undoDef{run: p.task, timeout: n.text.Undo.Timeout}
}

// checkStepCycle reports steps of a scope that wait for each other.
func (l *loader) checkStepCycle(scope *scopeDef, nodes []*graphNode) {
	waiting := make([]int, len(scope.steps))
	var ready []int
	for i, s := range scope.steps {
		waiting[i] = len(predecessors(s))
		if waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	done := 0
	for ; len(ready) > 0; done++ {
		s := scope.steps[ready[0]]
		ready = ready[1:]
		for _, d := range s.dependents {
			if waiting[d]--; waiting[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	if done == len(scope.steps) {
		return
	}
	var ids []string
	for i, s := range scope.steps {
		if waiting[i] > 0 {
			ids = append(ids, s.id)
		}
	}
	first := nodes[slices.IndexFunc(nodes, func(n *graphNode) bool { return n.ID == ids[0] })]
	l.report(first.at.At("after"), "", "the nodes wait for each other in a circle: %s", strings.Join(ids, ", "))
}

// predecessors are the places of the steps that a step depends on, each once.
func predecessors(s *stepDef) []int {
	var out []int
	for _, d := range s.after {
		if !slices.Contains(out, d.at) {
			out = append(out, d.at)
		}
	}
	return out
}

// closestNode suggests a node of the definition, for errors about a name.
func (d *Definition) closestNode(name string) string {
	ids := make([]string, len(d.Nodes))
	for i, n := range d.Nodes {
		ids[i] = n.ID
	}
	return suggest.DidYouMean(name, ids)
}
