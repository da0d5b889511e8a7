package graphlayout

import (
	"cmp"
	"slices"
)

// maxSweeps bounds the search for an order; it ends earlier once no edge
// crosses another, or when patience sweeps in a row brought nothing.
const (
	maxSweeps = 32
	patience  = 6
)

// order fills the layers and sorts each so that few edges cross.
func (g *graph) order() {
	g.firstOrder()
	best := cloneLayers(g.layers)
	fewest := g.crossings()
	for sweep, idle := 0, 0; sweep < maxSweeps && idle < patience && fewest > 0; sweep++ {
		g.sweep(sweep%2 == 0, sweep/2%2 == 1)
		idle++
		if n := g.crossings(); n < fewest {
			best, fewest, idle = cloneLayers(g.layers), n, 0
		}
	}
	g.layers = best
	g.number()
}

// firstOrder walks the graph depth first from its sources, so that what
// belongs together starts together.
func (g *graph) firstOrder() {
	seen := make([]bool, len(g.verts))
	for root := range g.verts {
		if seen[root] || len(g.verts[root].in) > 0 {
			continue
		}
		seen[root] = true
		for stack := []int{root}; len(stack) > 0; {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			l := g.verts[v].layer
			g.layers[l] = append(g.layers[l], v)
			for _, h := range slices.Backward(g.verts[v].out) {
				if !seen[h.vert] {
					seen[h.vert] = true
					stack = append(stack, h.vert)
				}
			}
		}
	}
	g.number()
}

func (g *graph) number() {
	for _, layer := range g.layers {
		for pos, v := range layer {
			g.verts[v].pos = pos
		}
	}
}

// sweep sorts each layer by the mean position of its neighbours in the layer
// before it (forward) or after it. Ties keep their order, or reverse it with
// flip, which leads out of local minima.
func (g *graph) sweep(forward, flip bool) {
	mean := make([]float64, len(g.verts))
	for i := range g.layers {
		layer := g.layers[i]
		if !forward {
			layer = g.layers[len(g.layers)-1-i]
		}
		for _, v := range layer {
			neighbours := g.verts[v].out
			if forward {
				neighbours = g.verts[v].in
			}
			mean[v] = float64(g.verts[v].pos)
			if len(neighbours) == 0 {
				continue
			}
			sum := 0
			for _, h := range neighbours {
				sum += g.verts[h.vert].pos
			}
			mean[v] = float64(sum) / float64(len(neighbours))
		}
		if flip {
			slices.Reverse(layer)
		}
		slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		for pos, v := range layer {
			g.verts[v].pos = pos
		}
	}
}

// crossings counts the pairs of links that cross, in O(links · log width)
// (Barth, Jünger and Mutzel, 2002).
func (g *graph) crossings() int {
	total := 0
	var ends []int
	for i := 0; i+1 < len(g.layers); i++ {
		ends = ends[:0]
		for _, v := range g.layers[i] {
			first := len(ends)
			for _, h := range g.verts[v].out {
				ends = append(ends, g.verts[h.vert].pos)
			}
			slices.Sort(ends[first:])
		}
		total += inversions(ends, len(g.layers[i+1]))
	}
	return total
}

// inversions counts the pairs i < j with seq[i] > seq[j]; the values are below
// size. It uses a Fenwick tree.
func inversions(seq []int, size int) int {
	tree := make([]int, size+1)
	total := 0
	for seen, value := range seq {
		notGreater := 0
		for i := value + 1; i > 0; i -= i & -i {
			notGreater += tree[i]
		}
		total += seen - notGreater
		for i := value + 1; i <= size; i += i & -i {
			tree[i]++
		}
	}
	return total
}

func cloneLayers(layers [][]int) [][]int {
	out := make([][]int, len(layers))
	for i, layer := range layers {
		out[i] = slices.Clone(layer)
	}
	return out
}
