package graphlayout

import "math"

// placeSweeps is how often positions are improved. Each sweep moves every
// layer to its best place given its neighbours; a dozen settle even long
// chains.
const placeSweeps = 16

// place gives every vertex its position across, and every layer its position
// along.
func (g *graph) place() {
	g.start = make([]float64, len(g.layers))
	g.depth = make([]float64, len(g.layers))
	along := g.opts.Margin
	for i, layer := range g.layers {
		across := 0.0
		for n, v := range layer {
			if n > 0 {
				across += g.distance(layer[n-1], v)
			}
			g.verts[v].center = across
			g.depth[i] = max(g.depth[i], g.verts[v].length)
		}
		for _, v := range layer {
			g.verts[v].center -= across / 2
		}
		g.start[i] = along
		along += g.depth[i] + g.opts.LayerGap
	}
	for sweep := range placeSweeps {
		// The last sweeps look at both sides, so that a node with one reader
		// and many writers ends between them all.
		both := sweep >= placeSweeps-4
		for i := range g.layers {
			if sweep%2 == 0 {
				g.settle(g.layers[i], true, both)
			} else {
				g.settle(g.layers[len(g.layers)-1-i], both, true)
			}
		}
	}
	g.shiftToOrigin()
}

// distance is the least space between the centers of two vertices that are
// neighbours in a layer.
func (g *graph) distance(a, b int) float64 {
	return (g.verts[a].width+g.verts[b].width)/2 + g.opts.NodeGap
}

// settle moves the vertices of a layer as near as possible to the mean of
// their neighbours: the weighted least squares solution that keeps order and
// distances.
func (g *graph) settle(layer []int, before, after bool) {
	want := make([]float64, len(layer))
	weight := make([]float64, len(layer))
	offset := 0.0
	offsets := make([]float64, len(layer))
	for n, v := range layer {
		if n > 0 {
			offset += g.distance(layer[n-1], v)
		}
		offsets[n] = offset
		sum, total := 0.0, 0.0
		if before {
			sum, total = g.pull(g.verts[v].in, sum, total)
		}
		if after {
			sum, total = g.pull(g.verts[v].out, sum, total)
		}
		if total == 0 {
			sum, total = g.verts[v].center*freeWeight, freeWeight
		}
		want[n], weight[n] = sum/total-offset, total
	}
	for n, c := range isotonic(want, weight) {
		g.verts[layer[n]].center = c + offsets[n]
	}
}

// freeWeight is the pull of a vertex without neighbours towards where it is:
// so little that it gives way to the others.
const freeWeight = 1e-3

func (g *graph) pull(to []half, sum, total float64) (float64, float64) {
	for _, h := range to {
		sum += g.verts[h.vert].center * h.weight
		total += h.weight
	}
	return sum, total
}

// isotonic returns the non-decreasing sequence nearest to want in weighted
// least squares, by pooling adjacent violators (Ayer et al., 1955). It reuses
// want.
func isotonic(want, weight []float64) []float64 {
	type pool struct {
		value, weight float64
		size          int
	}
	pools := make([]pool, 0, len(want))
	for i, w := range want {
		p := pool{w, weight[i], 1}
		for len(pools) > 0 && pools[len(pools)-1].value > p.value {
			q := pools[len(pools)-1]
			pools = pools[:len(pools)-1]
			sum := p.weight + q.weight
			p = pool{(p.value*p.weight + q.value*q.weight) / sum, sum, p.size + q.size}
		}
		pools = append(pools, p)
	}
	i := 0
	for _, p := range pools {
		for range p.size {
			want[i] = p.value
			i++
		}
	}
	return want
}

func (g *graph) shiftToOrigin() {
	least := math.Inf(1)
	for _, v := range g.verts {
		least = min(least, v.center-v.width/2)
	}
	for i := range g.verts {
		g.verts[i].center += g.opts.Margin - least
	}
}
