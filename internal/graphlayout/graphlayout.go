// Package graphlayout draws directed graphs in layers: it gives every node a
// rectangle and every edge a route, so that most edges point the same way, few
// cross, and long ones run straight. It is pure: the same input gives the same
// output, with no clock, randomness, goroutine or I/O.
//
// The method is that of Sugiyama, Tagawa and Toda (1981): cycles are opened by
// turning edges around, nodes go to layers by longest path, edges over several
// layers get one bend per layer, the order inside a layer is found by
// barycenter sweeps, and positions by repeated least squares under a minimum
// distance (isotonic regression).
package graphlayout

import (
	"errors"
	"fmt"
	"math"
)

// Limits of [Compute]. A graph beyond them is refused with [ErrTooLarge].
const (
	MaxNodes = 2_000  // nodes in a graph
	MaxEdges = 10_000 // edges in a graph
	MaxBends = 50_000 // layers crossed by edges, summed over all edges
)

// MaxSize is the largest width, height or gap, in pixels.
const MaxSize = 10_000

var (
	// ErrTooLarge reports a graph beyond MaxNodes, MaxEdges or MaxBends.
	ErrTooLarge = errors.New("graphlayout: graph too large to draw")
	// ErrInvalid reports a graph that is not one: a duplicate or empty node id,
	// an edge to a node that is not there, an edge from a node to itself or
	// between nodes that do not lie in the same one, nodes that lie in each other,
	// or a size that is negative, not finite or above MaxSize.
	ErrInvalid = errors.New("graphlayout: invalid graph")
)

// Direction is the way in which edges point.
type Direction uint8

const (
	Right Direction = iota // layers from left to right; the default
	Down                   // layers from top to bottom
)

// String returns "right" or "down".
func (d Direction) String() string {
	if d == Down {
		return "down"
	}
	return "right"
}

// MarshalText writes the direction as its [Direction.String].
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Direction) UnmarshalText(text []byte) error {
	for _, known := range []Direction{Right, Down} {
		if string(text) == known.String() {
			*d = known
			return nil
		}
	}
	return fmt.Errorf("%w: direction %q is neither right nor down", ErrInvalid, text)
}

// Node is one box to place. Sizes are in pixels.
type Node struct {
	ID     string
	Width  float64 // of a node that has others within it: at least
	Height float64
	// Parent is the node that this one lies in; empty: it lies in none.
	Parent string
}

// Edge is one arrow to route. Several edges between the same two nodes are
// allowed and get ports of their own.
type Edge struct {
	From string
	To   string
}

// Options are the distances of a drawing, in pixels. The zero value is ready
// to use.
type Options struct {
	Direction Direction // where edges point; default Right
	LayerGap  float64   // between two layers; default 72
	NodeGap   float64   // between two nodes of a layer; default 24
	Margin    float64   // around the drawing; default 0
	PortGap   float64   // between two edges at the same side of a node; default 14, less where the side is short
	Padding   float64   // within a node that has others in it, around them; default 16
	Header    float64   // room above them for what the node itself shows; default 40
}

// Point is a position; the origin is the top left corner, y grows downwards.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Box is a placed [Node]: its top left corner and its size.
type Box struct {
	ID     string  `json:"id"`
	Parent string  `json:"parent,omitempty"` // the box that this one lies in
	Layer  int     `json:"layer"`            // 0 is the first, among those of the same parent
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Route is a placed [Edge]. Points come in pairs: from each even point to the
// next the edge crosses the gap between two layers (draw a curve that leaves
// and arrives along the direction), from each odd point to the next it passes
// a layer in a straight line. The first point lies on the border of From, the
// last on that of To.
type Route struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Points []Point `json:"points"`
}

// Layout is a drawing. Boxes and Routes are in the order of the input.
type Layout struct {
	Direction Direction `json:"direction"`
	Width     float64   `json:"width"`
	Height    float64   `json:"height"`
	Boxes     []Box     `json:"boxes"`
	Routes    []Route   `json:"routes"`
}

// Compute lays out a graph. It accepts any directed graph within the limits,
// also one with cycles or in several parts; the errors are ErrInvalid and
// ErrTooLarge, wrapped with the reason. Nodes that lie in others are laid out by
// themselves, and the box of the node around them is made large enough for them:
// the boxes and routes of the result are in the coordinates of the whole drawing.
func Compute(nodes []Node, edges []Edge, opts Options) (Layout, error) {
	opts = opts.withDefaults()
	for _, n := range nodes {
		if n.Parent != "" {
			return computeNested(nodes, edges, opts)
		}
	}
	return computeFlat(nodes, edges, opts)
}

// computeFlat lays out nodes none of which lies in another one.
func computeFlat(nodes []Node, edges []Edge, opts Options) (Layout, error) {
	g, err := newGraph(nodes, edges, opts)
	if err != nil {
		return Layout{}, err
	}
	if err := g.layer(); err != nil {
		return Layout{}, err
	}
	g.order()
	g.place()
	return g.layout(nodes), nil
}

func (o Options) withDefaults() Options {
	if o.LayerGap == 0 {
		o.LayerGap = 72
	}
	if o.NodeGap == 0 {
		o.NodeGap = 24
	}
	if o.PortGap == 0 {
		o.PortGap = 14
	}
	if o.Padding == 0 {
		o.Padding = 16
	}
	if o.Header == 0 {
		o.Header = 40
	}
	return o
}

// graph is the working form. All geometry is in two axes, whatever the
// direction: "along" is where edges point, "across" is inside a layer.
type graph struct {
	opts   Options
	edges  []edge
	verts  []vertex // first the nodes in input order, then the bends
	nNodes int
	layers [][]int // vertex indices, in order across
	start  []float64
	depth  []float64 // size of each layer along the direction
}

// vertex is a node, or the bend of an edge in a layer that it only passes.
type vertex struct {
	id            string
	layer         int
	pos           int     // index inside its layer
	length, width float64 // along, across
	center        float64 // across
	in, out       []half
}

// half is one end of a link between vertices of neighbouring layers.
type half struct {
	vert   int
	weight float64
}

// edge is an input edge; from and to are swapped where it closes a cycle.
type edge struct {
	from, to int
	turned   bool
	bends    []int
}

func newGraph(nodes []Node, edges []Edge, opts Options) (*graph, error) {
	if len(nodes) > MaxNodes || len(edges) > MaxEdges {
		return nil, tooLarge(nodes, edges)
	}
	for _, size := range []float64{opts.LayerGap, opts.NodeGap, opts.Margin, opts.PortGap, opts.Padding, opts.Header} {
		if !validSize(size) {
			return nil, fmt.Errorf("%w: gap %v is not between 0 and %d", ErrInvalid, size, MaxSize)
		}
	}
	g := &graph{opts: opts, nNodes: len(nodes)}
	index := make(map[string]int, len(nodes))
	for i, n := range nodes {
		if n.ID == "" {
			return nil, fmt.Errorf("%w: node %d has no id", ErrInvalid, i)
		}
		if _, dup := index[n.ID]; dup {
			return nil, fmt.Errorf("%w: two nodes are called %q", ErrInvalid, n.ID)
		}
		if !validSize(n.Width) || !validSize(n.Height) {
			return nil, fmt.Errorf("%w: node %q is %v by %v, not between 0 and %d", ErrInvalid, n.ID, n.Width, n.Height, MaxSize)
		}
		index[n.ID] = i
		v := vertex{id: n.ID, length: n.Width, width: n.Height}
		if opts.Direction == Down {
			v.length, v.width = n.Height, n.Width
		}
		g.verts = append(g.verts, v)
	}
	for i, e := range edges {
		from, okFrom := index[e.From]
		to, okTo := index[e.To]
		switch {
		case !okFrom:
			return nil, fmt.Errorf("%w: edge %d starts at %q, which is not a node", ErrInvalid, i, e.From)
		case !okTo:
			return nil, fmt.Errorf("%w: edge %d ends at %q, which is not a node", ErrInvalid, i, e.To)
		case from == to:
			return nil, fmt.Errorf("%w: edge %d joins %q to itself", ErrInvalid, i, e.From)
		}
		g.edges = append(g.edges, edge{from: from, to: to})
	}
	return g, nil
}

func tooLarge(nodes []Node, edges []Edge) error {
	return fmt.Errorf("%w: %d nodes and %d edges, at most %d and %d", ErrTooLarge, len(nodes), len(edges), MaxNodes, MaxEdges)
}

func validSize(v float64) bool { return v >= 0 && v <= MaxSize && !math.IsNaN(v) }
