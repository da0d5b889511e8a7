package graphlayout

import "fmt"

// nesting lays out the nodes that lie in one node by themselves, the innermost
// first, and then the node itself as a box that is large enough. As no edge
// crosses the border of a node, nothing is lost by that.
type nesting struct {
	nodes  []Node
	opts   Options
	index  map[string]int   // of a node, by id
	within map[string][]int // nodes by the id of that which they lie in
	edges  map[string][]int // edges by the id of that which their ends lie in
	from   []Edge
	boxes  []Box
	routes []Route
}

func computeNested(nodes []Node, edges []Edge, opts Options) (Layout, error) {
	if len(nodes) > MaxNodes || len(edges) > MaxEdges {
		return Layout{}, tooLarge(nodes, edges)
	}
	n := &nesting{
		nodes: append([]Node(nil), nodes...), opts: opts, from: edges, index: map[string]int{}, within: map[string][]int{}, edges: map[string][]int{},
		boxes: make([]Box, len(nodes)), routes: make([]Route, len(edges)),
	}
	for i, node := range nodes {
		if _, twice := n.index[node.ID]; twice || node.ID == "" {
			return Layout{}, fmt.Errorf("%w: two nodes are called %q, or one has no id", ErrInvalid, node.ID)
		}
		n.index[node.ID] = i
		n.within[node.Parent] = append(n.within[node.Parent], i)
	}
	if err := n.check(); err != nil {
		return Layout{}, err
	}
	out, err := n.compute("", opts.Margin)
	if err != nil {
		return Layout{}, err
	}
	n.place("", 0, 0)
	out.Boxes, out.Routes = n.boxes, n.routes
	return out, nil
}

// check refuses nodes that lie in each other or in none that is there, and edges
// that cross a border.
func (n *nesting) check() error {
	for _, node := range n.nodes {
		depth := 0
		for p := node.Parent; p != ""; depth++ {
			i, known := n.index[p]
			if !known {
				return fmt.Errorf("%w: node %q lies in %q, which is not a node", ErrInvalid, node.ID, p)
			}
			if depth > len(n.nodes) {
				return fmt.Errorf("%w: node %q lies in itself", ErrInvalid, node.ID)
			}
			p = n.nodes[i].Parent
		}
	}
	for i, e := range n.from {
		from, okFrom := n.index[e.From]
		to, okTo := n.index[e.To]
		switch {
		case !okFrom:
			return fmt.Errorf("%w: edge %d starts at %q, which is not a node", ErrInvalid, i, e.From)
		case !okTo:
			return fmt.Errorf("%w: edge %d ends at %q, which is not a node", ErrInvalid, i, e.To)
		case n.nodes[from].Parent != n.nodes[to].Parent:
			return fmt.Errorf("%w: edge %d joins %q and %q, which do not lie in the same node", ErrInvalid, i, e.From, e.To)
		}
		n.edges[n.nodes[from].Parent] = append(n.edges[n.nodes[from].Parent], i)
	}
	return nil
}

// compute lays out what lies in a node, and notes it in coordinates of its own.
func (n *nesting) compute(parent string, margin float64) (Layout, error) {
	var nodes []Node
	for _, i := range n.within[parent] {
		if len(n.within[n.nodes[i].ID]) > 0 {
			inner, err := n.compute(n.nodes[i].ID, 0)
			if err != nil {
				return Layout{}, err
			}
			n.nodes[i].Width = max(n.nodes[i].Width, inner.Width+2*n.opts.Padding)
			n.nodes[i].Height = max(n.nodes[i].Height, inner.Height+n.opts.Header+n.opts.Padding)
		}
		if n.nodes[i].Width > MaxSize || n.nodes[i].Height > MaxSize {
			return Layout{}, fmt.Errorf("%w: what lies in %q needs more than %d pixels", ErrTooLarge, n.nodes[i].ID, MaxSize)
		}
		nodes = append(nodes, n.nodes[i])
	}
	var edges []Edge
	for _, i := range n.edges[parent] {
		edges = append(edges, n.from[i])
	}
	opts := n.opts
	opts.Margin = margin
	out, err := computeFlat(nodes, edges, opts)
	if err != nil {
		return Layout{}, err
	}
	for at, i := range n.within[parent] {
		n.boxes[i] = out.Boxes[at]
		n.boxes[i].Parent = parent
	}
	for at, i := range n.edges[parent] {
		n.routes[i] = out.Routes[at]
	}
	return out, nil
}

// place moves what lies in a node to where the node is.
func (n *nesting) place(parent string, x, y float64) {
	for _, i := range n.edges[parent] {
		for at := range n.routes[i].Points {
			n.routes[i].Points[at].X += x
			n.routes[i].Points[at].Y += y
		}
	}
	for _, i := range n.within[parent] {
		b := &n.boxes[i]
		b.X, b.Y = b.X+x, b.Y+y
		n.place(b.ID, b.X+n.opts.Padding, b.Y+n.opts.Header)
	}
}
