package workflow

import (
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// graphNode is a node of a definition while it is validated.
type graphNode struct {
	Node
	text     nodeText
	parent   *graphNode   // the foreach or loop around it
	body     []*graphNode // of a foreach or loop
	after    []Dependency
	afterAt  []yamldoc.Node
	followed map[string]bool // handles that somebody comes after
	at       yamldoc.Node
	with     yamldoc.Node
	kind     Type     // nil if the type is unknown
	outputs  []string // handles
	inputs   []string // named ones
	in       []Edge
	inAt     []yamldoc.Node // where each edge of in stands
	read     bool           // an edge leaves
	plan     *plan          // nil until the node is found sound
}

// givesRows reports whether rows may leave the node: an unknown type may give
// some.
func (n *graphNode) givesRows() bool {
	return n.kind == nil || n.Role == RoleSource || n.Role == RoleTransform
}

var nodeID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// loadNodes checks each node by itself.
func (l *loader) loadNodes() {
	l.byID = map[string]*graphNode{}
	list := l.root.At("nodes")
	l.top = l.loadScope(list, l.text.Nodes, nil)
	begins := func(n *graphNode) bool { return n.Role != RoleTransform && n.Role != RoleSink }
	if _, given := l.root.Get("nodes"); given && !slices.ContainsFunc(l.nodes, begins) {
		l.report(list, "", "there is no source and no task; expected at least one node of a type source.* or task.*")
	}
}

// loadScope checks the nodes of a list, and those within them.
func (l *loader) loadScope(list yamldoc.Node, texts []nodeText, parent *graphNode) []*graphNode {
	if over := len(l.nodes) + len(texts) - NodesMax; over > 0 {
		l.report(list, "", "%d nodes; at most %d are allowed", len(l.nodes)+len(texts), NodesMax)
		texts = texts[:len(texts)-over]
	}
	elements := list.Elements()
	var scope []*graphNode
	for i, text := range texts {
		n := &graphNode{
			Node: Node{ID: text.ID, Type: text.Type, Doc: text.Doc}, text: text, parent: parent, at: elements[i], with: text.With,
			followed: map[string]bool{},
		}
		if parent != nil {
			n.Parent = parent.ID
		}
		l.nodes = append(l.nodes, n)
		scope = append(scope, n)
		l.checkID(n)
		l.checkType(n)
		n.body = l.loadBody(n)
	}
	return scope
}

// loadBody checks the nodes within a node.
func (l *loader) loadBody(n *graphNode) []*graphNode {
	do, given := n.at.Get("do")
	holds := n.kind != nil && (n.Type == "foreach" || n.Type == "loop")
	switch {
	case holds && (!given || len(n.text.Do) == 0):
		l.report(n.at, "name the nodes to run as do: [...]", "the %s %q has nothing to do", n.Type, n.ID)
	case given && n.kind != nil && !holds:
		key, _ := n.at.Key("do")
		l.report(key, "put them into a foreach or a loop", "a node of the type %s has no nodes within it", n.Type)
	}
	depth := 0
	for p := n; p != nil; p = p.parent {
		depth++
	}
	if len(n.text.Do) > 0 && depth > DepthMax {
		l.report(do, "move the inner part to a workflow of its own", "nodes lie in more than %d loops", DepthMax)
		return nil
	}
	return l.loadScope(do, n.text.Do, n)
}

func (l *loader) checkID(n *graphNode) {
	at, given := n.at.Get("id")
	if !given || !at.IsString() {
		return
	}
	if !nodeID.MatchString(n.ID) {
		l.report(at, "", "a node cannot be called %q; expected a letter, then at most 62 letters, digits, _ and -", n.ID)
	}
	if first, taken := l.byID[n.ID]; taken {
		pos := first.at.At("id").Pos()
		l.report(at, "", "the id %q is taken by the node at %d:%d", n.ID, pos.Line, pos.Column)
		return
	}
	l.byID[n.ID] = n
}

func (l *loader) checkType(n *graphNode) {
	at, given := n.at.Get("type")
	if !given || !at.IsString() {
		return
	}
	kind, ok := l.options.Registry.types[n.Type]
	if !ok {
		l.problems = append(l.problems, at.Unknown("node type", n.Type, l.options.Registry.names()))
		return
	}
	info := kind.Info()
	n.kind, n.Role, n.outputs, n.inputs = kind, info.Role, info.Outputs, info.Inputs
}

// connect turns the nodes' references into edges.
func (l *loader) connect() {
	for _, n := range l.nodes {
		from, given := n.at.Get("from")
		switch {
		case n.Role == RoleSource && given:
			key, _ := n.at.Key("from")
			l.report(key, "", "a source reads nothing from other nodes")
			continue
		case n.kind != nil && !n.Role.rows() && given:
			key, _ := n.at.Key("from")
			l.report(key, "to run it after other nodes, name them with after", "a node of the type %s takes no rows", n.Type)
			continue
		case n.kind != nil && !n.Role.rows():
			continue
		case n.kind != nil && n.Role != RoleSource && len(n.text.From) == 0:
			if given && !from.IsNull() && !from.IsList() || misspells(n.at, "from") {
				l.unsure = true
				continue // which is reported already
			}
			l.report(n.at, "name the nodes whose rows come in, such as from: "+l.exampleID(n), "the %s %q has no input", n.Role, n.ID)
			continue
		}
		for _, r := range n.text.From {
			if l.checkInput(n, r) {
				l.connectOne(n, r.at, r)
			}
		}
		l.checkInputs(n, from)
	}
	for _, n := range l.nodes {
		if n.kind != nil && (n.Role == RoleSource || n.Role == RoleTransform) && !n.read && n.ID != "" && !l.unsure {
			l.report(n.at, "a node with from: "+n.ID+" would take them", "nothing reads the rows of %q", n.ID)
		}
	}
}

// checkInput checks the input that a reference names.
func (l *loader) checkInput(n *graphNode, r reference) bool {
	switch {
	case n.kind == nil || r.input == "" && len(n.inputs) == 0:
		return true
	case len(n.inputs) == 0:
		l.report(r.at, "write from: "+r.text, "the %s %q has one input, which has no name", n.Role, n.ID)
	case r.input == "":
		l.report(r.at, "write from: {"+n.inputs[0]+": "+r.text+", …}", "the type %s has the inputs %s; say which one the rows come in by", n.Type, strings.Join(n.inputs, " and "))
	case !slices.Contains(n.inputs, r.input):
		key, _ := n.at.At("from").Key(r.input)
		l.problems = append(l.problems, key.Unknown("input", r.input, n.inputs))
	default:
		return true
	}
	l.unsure = true
	return false
}

// checkInputs reports named inputs that nothing leads into.
func (l *loader) checkInputs(n *graphNode, from yamldoc.Node) {
	if l.unsure {
		return
	}
	for _, name := range n.inputs {
		if !slices.ContainsFunc(n.in, func(e Edge) bool { return e.Input == name }) {
			l.report(from, "add "+name+": "+l.exampleID(n), "nothing leads into the input %q of %q", name, n.ID)
		}
	}
}

// misspells reports whether a key of n was probably meant to be the given one.
func misspells(n yamldoc.Node, key string) bool {
	return slices.ContainsFunc(n.Entries(), func(e yamldoc.Entry) bool {
		meant, ok := suggest.Closest(e.Key.Text(), nodeKeys)
		return ok && meant == key
	})
}

// exampleID is the id of a node that could feed n.
func (l *loader) exampleID(n *graphNode) string {
	for _, other := range l.nodes {
		if other != n && other.parent == n.parent && other.givesRows() && other.ID != "" {
			return other.ID
		}
	}
	return "ID"
}

func (l *loader) connectOne(n *graphNode, at yamldoc.Node, r reference) {
	id, handle, named := strings.Cut(r.text, ".")
	if !named {
		handle = OutHandle
	}
	source, ok := l.byID[id]
	if !ok && len(l.problems) >= yamldoc.ErrorsMax {
		return // no more are shown, and looking for a name that is close takes time
	}
	if !ok {
		ids := make([]string, 0, len(l.nodes))
		for _, other := range l.nodes {
			if other != n && other.parent == n.parent && other.givesRows() && other.ID != "" {
				ids = append(ids, other.ID)
			}
		}
		l.problems = append(l.problems, at.Unknown("node", id, ids))
		l.unsure = true
		return
	}
	source.read = true
	switch {
	case source.kind == nil:
		return
	case source.Role == RoleSink:
		l.report(at, "", "the sink %q passes no rows on", id)
		return
	case !source.Role.rows():
		l.report(at, "to run after it, name it with after", "%q is a %s node, which gives no rows", id, source.Role)
		return
	case source.parent != n.parent:
		l.report(at, "", "%q lies in another loop; rows do not cross its border", id)
		return
	case !slices.Contains(source.outputs, handle):
		l.problems = append(l.problems, at.Unknown("output", handle, source.outputs))
		return
	}
	edge := Edge{From: id, Handle: handle, To: n.ID, Input: r.input}
	if slices.ContainsFunc(n.in, func(e Edge) bool { return e.From == id && e.Handle == handle && e.Input == r.input }) {
		l.report(at, "", "the rows of %q come in twice", r.text)
		return
	}
	n.in, n.inAt = append(n.in, edge), append(n.inAt, at)
}

// sort puts the nodes in an order in which each stands after those that feed
// it. If there is none, it reports a cycle.
func (l *loader) sort() ([]*graphNode, bool) {
	const open, done = 1, 2
	state := map[*graphNode]int{}
	var order, path []*graphNode
	var visit func(n *graphNode) bool
	visit = func(n *graphNode) bool {
		switch state[n] {
		case done:
			return true
		case open:
			l.reportCycle(path[slices.Index(path, n):])
			return false
		}
		state[n] = open
		path = append(path, n)
		for _, e := range n.in {
			if !visit(l.byID[e.From]) {
				return false
			}
		}
		path = path[:len(path)-1]
		state[n] = done
		order = append(order, n)
		return true
	}
	for _, n := range l.nodes {
		if !visit(n) {
			return nil, false
		}
	}
	return order, true
}

// reportCycle reports nodes each of which takes rows of the next one, and the
// last of the first, beginning with the one that stands first in the text.
func (l *loader) reportCycle(cycle []*graphNode) {
	first := 0
	for i, n := range cycle {
		if slices.Index(l.nodes, n) < slices.Index(l.nodes, cycle[first]) {
			first = i
		}
	}
	ids := []string{cycle[first].ID}
	for i := range cycle {
		// Against the direction of the references: the way the rows go.
		ids = append(ids, cycle[(first+len(cycle)-1-i+len(cycle))%len(cycle)].ID)
	}
	l.report(cycle[first].at.At("from"), "", "the rows would go in a circle: %s", strings.Join(ids, " → "))
}

// plan lets each node type check its configuration against the rows that come
// in. Where these are unknown, because a node before is not sound, only the
// configuration itself is read: what follows from it would be noise.
func (l *loader) plan(order []*graphNode) {
	l.definition.plans = make(map[string]plan, len(order))
	compiler := newCompiler(l.definition.Inputs)
	for _, n := range order {
		l.definition.order = append(l.definition.order, n.ID)
		if n.kind == nil {
			continue
		}
		c := &Check{
			node: n.ID, with: n.with, at: n.at, steps: l.stepEnv,
			compiler: compiler, files: l.definition.files, expand: l.expandInputs,
		}
		known := l.inputSchema(n, c)
		if !known || l.usesOpen(n.with) {
			n.kind.decodeOnly(c)
			l.problems = append(l.problems, c.problems...)
			continue
		}
		p := n.kind.check(c)
		l.problems = append(l.problems, c.problems...)
		if c.Failed() {
			continue
		}
		n.plan = &p
		n.Schema = c.input
		if n.Role == RoleSource || n.Role == RoleTransform {
			n.Schema = p.schemas[OutHandle]
		}
		l.definition.plans[n.ID] = p
	}
}

// usesOpen reports whether a text in a with block contains an input that has no
// value.
func (l *loader) usesOpen(n yamldoc.Node) bool {
	switch {
	case len(l.definition.open) == 0:
		return false
	case n.IsMapping():
		return slices.ContainsFunc(n.Entries(), func(e yamldoc.Entry) bool { return l.usesOpen(e.Value) })
	case n.IsList():
		return slices.ContainsFunc(n.Elements(), l.usesOpen)
	}
	return slices.ContainsFunc(l.definition.open, func(name string) bool { return strings.Contains(n.Text(), "${"+name+"}") })
}

// inputSchema sets the schemas of the rows that come into n, each of which is
// that of every edge of its input. It returns false if they are not known.
func (l *loader) inputSchema(n *graphNode, c *Check) bool {
	if n.Role == RoleSource || !n.Role.rows() {
		return true
	}
	for i := range n.in {
		from := l.byID[n.in[i].From]
		if from.plan == nil {
			return false
		}
		n.in[i].Schema = from.plan.schemas[n.in[i].Handle]
	}
	first := map[string]Edge{} // by input
	for i, e := range n.in {
		known, met := first[e.Input]
		if !met {
			first[e.Input] = e
			continue
		}
		if difference := schemaDifference(known, e); difference != "" {
			l.report(n.inAt[i], "rows that meet in a node need the same columns in the same order", "%s", difference)
			return false
		}
	}
	for _, name := range n.inputs {
		if _, fed := first[name]; !fed {
			return false
		}
	}
	if len(n.in) == 0 {
		return false
	}
	c.input = first[""].Schema
	c.inputs = make(map[string]Schema, len(n.inputs))
	for name, e := range first {
		c.inputs[name] = e.Schema
	}
	return true
}

// schemaDifference says where the rows of two edges differ first, or nothing.
func schemaDifference(a, b Edge) string {
	for i := range max(a.Schema.Len(), b.Schema.Len()) {
		switch {
		case i >= a.Schema.Len():
			return "the rows of " + quote(b.From) + " have one column more than those of " + quote(a.From) + ": " + b.Schema.Column(i).Name
		case i >= b.Schema.Len():
			return "the rows of " + quote(b.From) + " lack the column " + quote(a.Schema.Column(i).Name) + " of those of " + quote(a.From)
		case a.Schema.Column(i) != b.Schema.Column(i):
			x, y := a.Schema.Column(i), b.Schema.Column(i)
			return "the rows of " + quote(b.From) + " have " + y.Name + " " + y.Kind.String() + " where those of " + quote(a.From) +
				" have " + x.Name + " " + x.Kind.String()
		}
	}
	return ""
}
