package graphlayout

import (
	"cmp"
	"math"
	"slices"
)

// layout turns the working form into the drawing: whole pixels for boxes,
// ports spread over the sides, axes swapped for Down.
func (g *graph) layout(nodes []Node) Layout {
	out := Layout{Direction: g.opts.Direction, Boxes: make([]Box, 0, len(nodes)), Routes: make([]Route, 0, len(g.edges))}
	// Boxes start at whole pixels, for crisp lines; the center follows, so
	// that ports stay in the middle.
	for i := range g.verts[:g.nNodes] {
		v := &g.verts[i]
		v.center = math.Round(v.center-v.width/2) + v.width/2
	}
	length, width := g.opts.Margin, g.opts.Margin
	for i, n := range nodes {
		v := g.verts[i]
		along, across := g.along(v), v.center-v.width/2
		length, width = max(length, along+v.length), max(width, across+v.width)
		p := g.point(along, across)
		out.Boxes = append(out.Boxes, Box{ID: n.ID, Layer: v.layer, X: p.X, Y: p.Y, Width: n.Width, Height: n.Height})
	}
	for _, v := range g.verts[g.nNodes:] {
		width = max(width, v.center)
	}
	size := g.point(length+g.opts.Margin, math.Ceil(width)+g.opts.Margin)
	out.Width, out.Height = size.X, size.Y

	starts, ends := g.ports()
	for i, e := range g.edges {
		from, to := g.verts[e.from], g.verts[e.to]
		points := []Point{g.point(g.along(from)+from.length, starts[i])}
		for _, b := range e.bends {
			v := g.verts[b]
			points = append(points,
				g.point(g.start[v.layer], v.center),
				g.point(g.start[v.layer]+g.depth[v.layer], v.center))
		}
		points = append(points, g.point(g.along(to), ends[i]))
		r := Route{From: from.id, To: to.id, Points: points}
		if e.turned {
			r.From, r.To = to.id, from.id
			slices.Reverse(r.Points)
		}
		out.Routes = append(out.Routes, r)
	}
	return out
}

// along is where a node begins along the direction: nodes shorter than their
// layer are centred in it.
func (g *graph) along(v vertex) float64 {
	return g.start[v.layer] + math.Floor((g.depth[v.layer]-v.length)/2)
}

func (g *graph) point(along, across float64) Point {
	if g.opts.Direction == Down {
		return Point{X: across, Y: along}
	}
	return Point{X: along, Y: across}
}

// ports returns, per edge, the position across where it leaves its first
// vertex and where it reaches its last: spread around the middle of the side,
// in the order of what is at the other end, so that edges of one node do not
// cross at the node.
func (g *graph) ports() (starts, ends []float64) {
	starts = make([]float64, len(g.edges))
	ends = make([]float64, len(g.edges))
	leaving := make([][]int, g.nNodes)
	arriving := make([][]int, g.nNodes)
	for i, e := range g.edges {
		leaving[e.from] = append(leaving[e.from], i)
		arriving[e.to] = append(arriving[e.to], i)
	}
	for n := range g.nNodes {
		g.spread(g.verts[n], leaving[n], starts, func(e edge) int {
			if len(e.bends) > 0 {
				return e.bends[0]
			}
			return e.to
		})
		g.spread(g.verts[n], arriving[n], ends, func(e edge) int {
			if len(e.bends) > 0 {
				return e.bends[len(e.bends)-1]
			}
			return e.from
		})
	}
	return starts, ends
}

func (g *graph) spread(v vertex, edges []int, ports []float64, other func(edge) int) {
	slices.SortStableFunc(edges, func(a, b int) int {
		return cmp.Compare(g.verts[other(g.edges[a])].center, g.verts[other(g.edges[b])].center)
	})
	gap := min(g.opts.PortGap, v.width/float64(len(edges)+1))
	first := v.center - gap*float64(len(edges)-1)/2
	for n, i := range edges {
		ports[i] = first + gap*float64(n)
	}
}
