package workflow

import (
	"reflect"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/retry"
)

// Scope makes nodes: those of a workflow, or those within a foreach or a loop. Its
// methods stand for the node types that every registry has, and [Scope.Node] for
// all others.
type Scope struct {
	builder *Builder
	nodes   []*NodeBuilder
}

// Node makes a node of a type. With is its configuration, nil for none.
func (s *Scope) Node(id, kind string, with With) *NodeBuilder {
	n := &NodeBuilder{scope: s, id: id, kind: kind, site: caller()}
	if with != nil {
		block, config := with.with()
		n.config = config
		n.keys = put(n.keys, "with", block)
	}
	s.nodes = append(s.nodes, n)
	return n
}

// Case is a way out of a branch: the handle that is taken if the expression is
// true.
type Case struct {
	Handle string
	When   StepExpr
}

// Branch goes on by the handle of the first case that is true, or else by "else".
func (s *Scope) Branch(id string, cases ...Case) *NodeBuilder {
	c := branchConfig{}
	for _, k := range cases {
		c.Cases = append(c.Cases, yamldoc.Item[StepExpr]{Key: k.Handle, Value: k.When})
	}
	return s.Node(id, "branch", Config(c))
}

// Foreach runs the nodes that body makes once for each item of a list. Expressions
// within see item and index; the output of the node that stands last is that of
// the item.
func (s *Scope) Foreach(id string, config ForeachConfig, body func(s *Scope)) *NodeBuilder {
	return s.Node(id, "foreach", Config(config)).Do(body)
}

// Loop runs the nodes that body makes again while a condition is true.
func (s *Scope) Loop(id string, config LoopConfig, body func(s *Scope)) *NodeBuilder {
	return s.Node(id, "loop", Config(config)).Do(body)
}

// Wait waits for a signal, whose payload is its output. After the timeout it goes
// on by "timeout"; 0: it waits for ever.
func (s *Scope) Wait(id, signal string, timeout time.Duration) *NodeBuilder {
	return s.Node(id, "wait", Config(waitConfig{Signal: signal, Timeout: timeout}))
}

// Approval waits until a human approves or rejects: it goes on by "approved",
// "rejected", or after the timeout, if it is not 0, by "timeout".
func (s *Scope) Approval(id, title string, timeout time.Duration) *NodeBuilder {
	return s.Node(id, "approval", Config(approvalConfig{Title: title, Timeout: timeout}))
}

// Sleep waits for a time, also beyond the end of the process.
func (s *Scope) Sleep(id string, d time.Duration) *NodeBuilder {
	return s.Node(id, "sleep", Config(sleepConfig{For: d}))
}

// SleepUntil waits until a time that an expression gives.
func (s *Scope) SleepUntil(id string, until StepExpr) *NodeBuilder {
	return s.Node(id, "sleep", Config(sleepConfig{Until: until}))
}

// Value gives out the value of an expression.
func (s *Scope) Value(id string, output StepExpr) *NodeBuilder {
	return s.Node(id, "value", Config(valueConfig{Output: output}))
}

// Subworkflow runs another workflow of the engine and waits for its end.
func (s *Scope) Subworkflow(id string, config SubworkflowConfig) *NodeBuilder {
	return s.Node(id, "workflow", Config(config))
}

// NodeBuilder is a node that is being built. Its methods return it, so that they
// can be written one behind the other. A key that is set again has the last value;
// From and After add to what there is.
type NodeBuilder struct {
	scope    *Scope
	id, kind string
	site     callSite
	config   reflect.Type // of the with block, if it is known
	keys     []builtKey
	from     []builtReference
	after    []builtReference
	body     *Scope

	undoConfig reflect.Type // of the with block of undo, if it is known
}

// builtReference leads from an outlet to a node.
type builtReference struct {
	input  string
	outlet Outlet
	site   callSite
}

// Outlet is what an edge leads from: a [NodeBuilder], or a [Handle] of one.
type Outlet interface {
	// outlet gives the node and the handle, which is empty for the usual one.
	outlet() (*NodeBuilder, string)
}

// Handle is a way out of a node, made by [NodeBuilder.Out].
type Handle struct {
	node *NodeBuilder
	name string
}

func (h Handle) outlet() (*NodeBuilder, string)       { return h.node, h.name }
func (n *NodeBuilder) outlet() (*NodeBuilder, string) { return n, "" }

// ID is the node's id.
func (n *NodeBuilder) ID() string { return n.id }

// Out is a way out of the node by its name: an output such as "else", the handle
// of a case, "approved", "timeout".
func (n *NodeBuilder) Out(handle string) Handle { return Handle{n, handle} }

// Failed is the way out that is taken when the node failed, which then is no
// failure of the run.
func (n *NodeBuilder) Failed() Handle { return n.Out(failedHandle) }

// OutputExpr is how expressions name what the node gives out.
func (n *NodeBuilder) OutputExpr() string { return "steps." + n.id + ".output" }

func (n *NodeBuilder) set(name string, value tree) *NodeBuilder {
	n.keys = put(n.keys, name, value)
	return n
}

// Doc says what the node is for.
func (n *NodeBuilder) Doc(text string) *NodeBuilder { return n.set("doc", yamldoc.TextTree(text)) }

// From has the rows of nodes come in.
func (n *NodeBuilder) From(outlets ...Outlet) *NodeBuilder { return n.FromInput("", outlets...) }

// FromInput has the rows of nodes come in by a named input, of a type that has
// several.
func (n *NodeBuilder) FromInput(input string, outlets ...Outlet) *NodeBuilder {
	for _, o := range outlets {
		n.from = append(n.from, builtReference{input, o, caller()})
	}
	return n
}

// After has the node run after others: when all are settled and one of them leads
// to it.
func (n *NodeBuilder) After(outlets ...Outlet) *NodeBuilder {
	for _, o := range outlets {
		n.after = append(n.after, builtReference{"", o, caller()})
	}
	return n
}

// When is a condition; the node is skipped where it is false.
func (n *NodeBuilder) When(condition StepExpr) *NodeBuilder {
	return n.set("when", yamldoc.TreeOf(condition))
}

// Retry says how attempts that fail with a transient error are repeated. Jitter,
// Retryable and Rand of the policy have no meaning here.
func (n *NodeBuilder) Retry(p retry.Policy) *NodeBuilder {
	return n.set("retry", yamldoc.TreeOf(retryOf(p, "")))
}

// RetryAny is [NodeBuilder.Retry] for attempts that fail with any error.
func (n *NodeBuilder) RetryAny(p retry.Policy) *NodeBuilder {
	return n.set("retry", yamldoc.TreeOf(retryOf(p, "any")))
}

func retryOf(p retry.Policy, on string) retryText {
	t := retryText{Initial: p.Initial, Cap: p.Cap, Multiplier: p.Multiplier, On: on}
	if most := max(p.Max, 0); p.Max != 0 {
		t.Max = &most
	}
	return t
}

// Timeout is how long one attempt may take.
func (n *NodeBuilder) Timeout(d time.Duration) *NodeBuilder {
	return n.set("timeout", yamldoc.TreeOf(d))
}

// Heartbeat has a task tried again that is not heard of for this long.
func (n *NodeBuilder) Heartbeat(d time.Duration) *NodeBuilder {
	return n.set("heartbeat", yamldoc.TreeOf(d))
}

// Concurrency is how many may be under way at a time, of all nodes with the same
// key in all runs of the engine. An empty key stands for this node of this
// workflow.
func (n *NodeBuilder) Concurrency(limit int, key string) *NodeBuilder {
	return n.set("concurrency", yamldoc.TreeOf(concurrencyText{Limit: limit, Key: key}))
}

// Rate is how many may begin in a second, and how many at once after a pause (0:
// one), of all nodes with the same key in all runs of the engine. An empty key
// stands for this node of this workflow.
func (n *NodeBuilder) Rate(perSecond float64, burst int, key string) *NodeBuilder {
	return n.set("rate", yamldoc.TreeOf(rateText{PerSecond: perSecond, Burst: burst, Key: key}))
}

// Parallel is how many batches a transform works on at a time, if it looks at each
// row alone.
func (n *NodeBuilder) Parallel(batches int) *NodeBuilder {
	return n.set("parallel", yamldoc.TreeOf(batches))
}

// Overflow says what happens to rows for which there is no room in front of the
// node.
func (n *NodeBuilder) Overflow(o Overflow) *NodeBuilder {
	return n.set("overflow", yamldoc.TextTree(string(o)))
}

// Priority says who goes first where nodes compete: the higher number.
func (n *NodeBuilder) Priority(p int) *NodeBuilder { return n.set("priority", yamldoc.TreeOf(p)) }

// Undo is a task that undoes the node if the run fails or is cancelled later. The
// timeout is that of an attempt; 0: that of tasks.
func (n *NodeBuilder) Undo(kind string, with With, timeout time.Duration) *NodeBuilder {
	t := yamldoc.TreeOf(undoText{Type: kind, Timeout: timeout})
	n.undoConfig = nil
	if with != nil {
		block, config := with.with()
		n.undoConfig = config
		t.Keys = append(t.Keys, yamldoc.TreeKey{Name: "with", Value: block})
	}
	return n.set("undo", t)
}

// Do makes nodes within the node, which is a foreach or a loop.
func (n *NodeBuilder) Do(body func(s *Scope)) *NodeBuilder {
	if n.body == nil {
		n.body = &Scope{builder: n.scope.builder}
	}
	body(n.body)
	return n
}
