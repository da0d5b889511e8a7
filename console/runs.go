package console

import (
	"context"
	"net/url"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/graphlayout"
	"github.com/troupe-dev/troupe/workflow"
)

// Runs is the console's way to the workflows of a node. It must be safe for
// concurrent use.
type Runs interface {
	// Engine is what runs the workflows, nil while another node on the same store
	// does.
	Engine() *workflow.Engine
	// Types are the node types that definitions may use.
	Types() *workflow.Registry
	// Workflow is the name of the workflow that the node itself was started with,
	// which POST /api/runs starts; "" if there is none.
	Workflow() string
	// Launch starts a run, which writes into a directory of its own unless the
	// options name one. The run outlives ctx. RESOURCE_EXHAUSTED if too many are
	// under way, UNAVAILABLE if the node is stopping; and what Engine.Start refuses.
	Launch(ctx context.Context, workflow string, o workflow.StartOptions) (*workflow.Run, error)
	// Rerun repeats a run, as Launch starts one.
	Rerun(ctx context.Context, run *workflow.Run, o workflow.RerunOptions) (*workflow.Run, error)
	// Retry lets a run that failed or was cancelled go on.
	Retry(ctx context.Context, run *workflow.Run) error
	// Result reads a page of a table that a run wrote: up to limit rows after
	// the first offset. The sink is the id of the node that wrote it; "" means
	// the one to show first. NOT_FOUND if there is no such run or sink, or it
	// has not written a table.
	Result(ctx context.Context, id, sink string, limit, offset int) (Table, error)
}

// Table is a page of a table that a run wrote.
type Table struct {
	// Name is the table's name, for a heading.
	Name string `json:"name"`
	// Columns describe the rows.
	Columns []workflow.Column `json:"columns"`
	// Rows are the page.
	Rows []workflow.Row `json:"rows"`
	// Total is the number of rows of the whole table.
	Total int `json:"total"`
	// Sink is the id of the node that wrote the table.
	Sink string `json:"sink"`
	// Sinks are the ids of all sinks of the run that can be shown, Sink
	// included, the one to show first in front.
	Sinks []string `json:"sinks"`
}

// Result is the answer of /api/runs/{id}/result.
type Result struct {
	Table
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// RunList is the answer of GET /api/runs, and the event "runs" of the stream.
type RunList struct {
	Runs []workflow.RunSummary `json:"runs"` // newest first
	// Next is the cursor of the next page; left out on the last one.
	Next string `json:"next,omitempty"`
	// CanStart tells that POST /api/runs starts the node's own workflow.
	CanStart bool `json:"can_start"`
	// Changes is a number that is another one after any run has changed; in the
	// stream only.
	Changes uint64 `json:"changes,omitempty"`
}

// RunView is the answer of /api/runs/{id}.
type RunView struct {
	Run workflow.RunInfo `json:"run"`
	// Layouts are drawings of the graph, null if it is too large to draw. Their
	// routes stand for the edges of the run, in their order, and then for those of
	// control.
	Layouts *Layouts `json:"layouts"`
}

// Layouts are a graph laid out for a wide and for a narrow page.
type Layouts struct {
	Right graphlayout.Layout `json:"right"`
	Down  graphlayout.Layout `json:"down"`
}

// Sizes of the graph on the page, in pixels.
const (
	nodeWidth, nodeHeight = 126, 72
	gapRight, gapDown     = 38, 42
	nodeGap               = 18
	blockHeader           = 50  // above the nodes that lie in another one
	handleChars           = 10  // of a handle's name on an edge; the page cuts the rest
	labelChar             = 6.5 // width of a character of an edge's label
)

// roomFor is the extra room that the name of a handle needs on an edge. That of
// the only output of a node, "out" or "done", is not shown; the figure beside
// the name fits into the gap.
func roomFor(handle string) float64 {
	if handle == "out" || handle == "done" {
		return 0
	}
	return labelChar * float64(1+min(handleChars, utf8.RuneCountInString(handle)))
}

// A graphSketch is a graph to be laid out.
type graphSketch struct {
	nodes []graphlayout.Node
	edges []graphlayout.Edge
	room  float64
}

// node adds a node, which lies in the one that is its parent unless that is "".
func (g *graphSketch) node(id, parent string) {
	g.nodes = append(g.nodes, graphlayout.Node{ID: id, Parent: parent, Width: nodeWidth, Height: nodeHeight})
}

func (g *graphSketch) edge(from, handle, to string) {
	g.edges = append(g.edges, graphlayout.Edge{From: from, To: to})
	g.room = max(g.room, roomFor(handle))
}

// layouts draws the graph, or returns nil if it is too large.
func (g *graphSketch) layouts() *Layouts {
	right, err := graphlayout.Compute(g.nodes, g.edges, graphlayout.Options{LayerGap: gapRight + g.room, NodeGap: nodeGap, Header: blockHeader})
	if err != nil {
		return nil
	}
	// Two edges of one node go half as far apart as the nodes they lead to.
	apart := max(nodeGap, 2*(gapRight+g.room)-nodeWidth)
	down, err := graphlayout.Compute(g.nodes, g.edges, graphlayout.Options{Direction: graphlayout.Down, LayerGap: gapDown, NodeGap: apart, Header: blockHeader})
	if err != nil {
		return nil
	}
	return &Layouts{Right: right, Down: down}
}

// layoutsOf draws the graph of a run.
func layoutsOf(run *workflow.RunInfo) *Layouts {
	var g graphSketch
	for i := range run.Nodes {
		g.node(run.Nodes[i].ID, run.Nodes[i].Parent)
	}
	for _, e := range run.Edges {
		g.edge(e.From, e.Handle, e.To)
	}
	for _, e := range run.After {
		g.edge(e.From, e.Handle, e.To)
	}
	return g.layouts()
}

// layoutsOfDefinition draws the graph of a definition.
func layoutsOfDefinition(d *workflow.Definition) *Layouts {
	var g graphSketch
	for i := range d.Nodes {
		g.node(d.Nodes[i].ID, d.Nodes[i].Parent)
	}
	for i := range d.Edges {
		g.edge(d.Edges[i].From, d.Edges[i].Handle, d.Edges[i].To)
	}
	for _, e := range d.After {
		g.edge(e.From, e.Handle, e.To)
	}
	return g.layouts()
}

func workflowURL(name string) string { return "/api/workflows/" + url.PathEscape(name) }
