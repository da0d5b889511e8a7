package workflow

import (
	"fmt"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/graphlayout"
)

// drawing is the graph of a definition, laid out.
type drawing struct {
	definition *Definition
	layout     graphlayout.Layout
	arrows     []arrow // as the routes of the layout
	holds      map[string]bool
}

// arrow is an edge as it is drawn: one over which rows go, or one of control.
type arrow struct {
	from, to string
	leaves   string // the name of the handle; empty for the usual one
	enters   string // the name of the input; empty if there is but one
	control  bool
}

// Sizes of a drawing, in pixels.
const (
	drawMargin     = 20
	drawTitle      = 30 // above the graph
	drawNodeHeight = 46
	drawNodeLeast  = 112
	drawNodeMost   = 250
	drawIDChar     = 7.6 // width of a character of an id
	drawSmallChar  = 6.3 // and of the smaller text
	drawTextRoom   = 30  // around the texts of a node
	drawGap        = 44  // between layers, beside what labels need
	drawTurn       = 1600
)

// arrows lists the edges of a definition.
func (d *Definition) arrows() []arrow {
	out := make([]arrow, 0, len(d.Edges)+len(d.After))
	for _, e := range d.Edges {
		a := arrow{from: e.From, to: e.To, leaves: e.Handle, enters: e.Input}
		if a.leaves == OutHandle {
			a.leaves = ""
		}
		out = append(out, a)
	}
	for _, e := range d.After {
		a := arrow{from: e.From, to: e.To, leaves: e.Handle, control: true}
		if a.leaves == doneHandle {
			a.leaves = ""
		}
		out = append(out, a)
	}
	return out
}

// draw lays the graph out: to the right, or downwards where it would become too
// wide to be read.
func (d *Definition) draw() (*drawing, error) {
	out := &drawing{definition: d, arrows: d.arrows(), holds: map[string]bool{}}
	nodes := make([]graphlayout.Node, len(d.Nodes))
	for i, n := range d.Nodes {
		nodes[i] = graphlayout.Node{ID: n.ID, Parent: n.Parent, Width: nodeWidth(n), Height: drawNodeHeight}
		out.holds[n.Parent] = true
	}
	label := 0
	edges := make([]graphlayout.Edge, len(out.arrows))
	for i, a := range out.arrows {
		edges[i] = graphlayout.Edge{From: a.from, To: a.to}
		label = max(label, utf8.RuneCountInString(a.leaves)+utf8.RuneCountInString(a.enters))
	}
	options := graphlayout.Options{LayerGap: drawGap + float64(label)*drawSmallChar, NodeGap: 20, Margin: drawMargin, Header: drawNodeHeight}
	var err error
	if out.layout, err = graphlayout.Compute(nodes, edges, options); err == nil && out.layout.Width > drawTurn {
		options.Direction, options.LayerGap = graphlayout.Down, drawGap
		options.NodeGap += float64(label) * drawSmallChar
		var down graphlayout.Layout
		if down, err = graphlayout.Compute(nodes, edges, options); err == nil && down.Width < out.layout.Width {
			out.layout = down
		}
	}
	if err != nil {
		return nil, &fault.Error{
			Code: fault.ResourceExhausted, Op: "workflow.Definition", Target: d.Name, Message: "the graph cannot be drawn", Cause: err,
			Hint: fmt.Sprintf("it has %d nodes and %d edges; move parts of it to workflows of their own", len(nodes), len(edges)),
		}
	}
	return out, nil
}

// nodeWidth is the width that the texts of a node need, within bounds.
func nodeWidth(n Node) float64 {
	text := max(drawIDChar*float64(utf8.RuneCountInString(n.ID)), drawSmallChar*float64(utf8.RuneCountInString(n.Type)))
	return float64(int(min(max(text+drawTextRoom, drawNodeLeast), drawNodeMost)))
}

// fitting cuts a text to a width, given the width of a character.
func fitting(text string, width, char float64) string {
	most := max(int(width/char), 1)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
