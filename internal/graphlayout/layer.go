package graphlayout

import "fmt"

// layer opens cycles, gives every node its layer, and replaces each edge over
// several layers by a chain of bends.
func (g *graph) layer() error {
	g.openCycles()
	out := make([][]int, g.nNodes)
	in := make([][]int, g.nNodes)
	for _, e := range g.edges {
		out[e.from] = append(out[e.from], e.to)
		in[e.to] = append(in[e.to], e.from)
	}
	topo := topological(out, in)
	last := 0
	for _, v := range topo {
		for _, u := range in[v] {
			g.verts[v].layer = max(g.verts[v].layer, g.verts[u].layer+1)
		}
		last = max(last, g.verts[v].layer)
	}
	// Longest path puts every source into the first layer. A node with more
	// edges out than in goes as near to its readers as they allow, which
	// shortens the sum of its edges.
	for i := len(topo) - 1; i >= 0; i-- {
		v := topo[i]
		if len(out[v]) <= len(in[v]) {
			continue
		}
		nearest := last
		for _, w := range out[v] {
			nearest = min(nearest, g.verts[w].layer-1)
		}
		g.verts[v].layer = nearest
	}
	g.dropEmptyLayers()
	return g.addBends()
}

// openCycles turns the edges around that close a cycle in a depth-first walk
// in input order.
func (g *graph) openCycles() {
	out := make([][]int, g.nNodes) // edge indices
	for i, e := range g.edges {
		out[e.from] = append(out[e.from], i)
	}
	const (
		unseen = iota
		open
		done
	)
	state := make([]uint8, g.nNodes)
	next := make([]int, g.nNodes)
	for root := range g.nNodes {
		if state[root] != unseen {
			continue
		}
		state[root] = open
		for stack := []int{root}; len(stack) > 0; {
			v := stack[len(stack)-1]
			if next[v] == len(out[v]) {
				state[v] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := &g.edges[out[v][next[v]]]
			next[v]++
			switch to := e.to; state[to] {
			case open:
				e.from, e.to, e.turned = e.to, e.from, true
			case unseen:
				state[to] = open
				stack = append(stack, to)
			}
		}
	}
}

// topological orders the nodes of an acyclic graph; ties in input order.
func topological(out, in [][]int) []int {
	missing := make([]int, len(in))
	order := make([]int, 0, len(in))
	for v := range in {
		missing[v] = len(in[v])
		if missing[v] == 0 {
			order = append(order, v)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, w := range out[order[i]] {
			if missing[w]--; missing[w] == 0 {
				order = append(order, w)
			}
		}
	}
	return order
}

// dropEmptyLayers renumbers layers from 0 without holes: pulling sources
// towards their readers can leave some layers without a node.
func (g *graph) dropEmptyLayers() {
	used := make([]int, g.nNodes+1)
	for _, v := range g.verts {
		used[v.layer] = 1
	}
	number := -1
	for i, u := range used {
		number += u
		used[i] = number
	}
	for i := range g.verts {
		g.verts[i].layer = used[g.verts[i].layer]
	}
}

// Weights of a link. Straight long edges are worth more than centred nodes
// (after Gansner, Koutsofios, North and Vo, "A technique for drawing directed
// graphs", 1993).
const (
	weightNodes = 1
	weightMixed = 2
	weightBends = 8
)

func (g *graph) addBends() error {
	bends := 0
	for _, e := range g.edges {
		bends += g.verts[e.to].layer - g.verts[e.from].layer - 1
	}
	if bends > MaxBends {
		return fmt.Errorf("%w: edges cross %d layers, at most %d", ErrTooLarge, bends, MaxBends)
	}
	for i := range g.edges {
		e := &g.edges[i]
		prev := e.from
		for l := g.verts[e.from].layer + 1; l < g.verts[e.to].layer; l++ {
			g.verts = append(g.verts, vertex{layer: l})
			bend := len(g.verts) - 1
			g.link(prev, bend)
			e.bends = append(e.bends, bend)
			prev = bend
		}
		g.link(prev, e.to)
	}
	count := 0
	for _, v := range g.verts {
		count = max(count, v.layer+1)
	}
	g.layers = make([][]int, count)
	return nil
}

func (g *graph) link(from, to int) {
	weight := float64(weightMixed)
	switch fromNode, toNode := from < g.nNodes, to < g.nNodes; {
	case fromNode && toNode:
		weight = weightNodes
	case !fromNode && !toNode:
		weight = weightBends
	}
	g.verts[from].out = append(g.verts[from].out, half{to, weight})
	g.verts[to].in = append(g.verts[to].in, half{from, weight})
}
