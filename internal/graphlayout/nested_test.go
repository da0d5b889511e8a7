package graphlayout_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/graphlayout"
)

// Nodes that lie in others are within their boxes, below the header, beside each
// other, and edges touch what they join.
func TestNestedGraphs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		nodes, edges := randomNested(rnd, 1+rnd.IntN(24), rnd.IntN(48))
		opts := graphlayout.Options{Direction: graphlayout.Direction(rnd.IntN(2)), Margin: 7, Header: 30, Padding: 11}
		l, err := graphlayout.Compute(nodes, edges, opts)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		boxes := map[string]graphlayout.Box{}
		for i, b := range l.Boxes {
			if b.ID != nodes[i].ID || b.Parent != nodes[i].Parent || b.Width < nodes[i].Width || b.Height < nodes[i].Height {
				t.Fatalf("seed %d: box %d is %+v of %+v", seed, i, b, nodes[i])
			}
			boxes[b.ID] = b
		}
		for _, b := range l.Boxes {
			around := graphlayout.Box{Width: l.Width, Height: l.Height}
			left, top := opts.Margin, opts.Margin
			if b.Parent != "" {
				around, left, top = boxes[b.Parent], opts.Padding, opts.Header
			}
			if b.X < around.X+left || b.Y < around.Y+top || b.X+b.Width > around.X+around.Width-left+1e-6 || b.Y+b.Height > around.Y+around.Height-min(left, top)+1e-6 {
				t.Fatalf("seed %d: box %+v leaves %+v", seed, b, around)
			}
			for _, o := range l.Boxes {
				if o.ID != b.ID && o.Parent == b.Parent && b.X < o.X+o.Width && o.X < b.X+b.Width && b.Y < o.Y+o.Height && o.Y < b.Y+b.Height {
					t.Fatalf("seed %d: %+v and %+v overlap", seed, b, o)
				}
			}
		}
		for i, r := range l.Routes {
			if r.From != edges[i].From || r.To != edges[i].To {
				t.Fatalf("seed %d: route %d is %+v of %+v", seed, i, r, edges[i])
			}
			touches(t, boxes[r.From], r.Points[0])
			touches(t, boxes[r.To], r.Points[len(r.Points)-1])
		}
		if again := mustCompute(t, nodes, edges, opts); !reflect.DeepEqual(l, again) {
			t.Fatalf("seed %d: two drawings of one graph differ", seed)
		}
	}
}

// randomNested has nodes that lie in earlier or later ones, and edges between
// those of the same one.
func randomNested(rnd *rand.Rand, n, m int) ([]graphlayout.Node, []graphlayout.Edge) {
	nodes, _ := randomGraph(rnd, n, 0)
	order := rnd.Perm(n)
	for i := 1; i < n; i++ {
		if rnd.IntN(2) == 0 {
			nodes[order[i]].Parent = nodes[order[rnd.IntN(i)]].ID
		}
	}
	var edges []graphlayout.Edge
	for range m {
		if a, b := rnd.IntN(n), rnd.IntN(n); a != b && nodes[a].Parent == nodes[b].Parent {
			edges = append(edges, graphlayout.Edge{From: nodes[a].ID, To: nodes[b].ID})
		}
	}
	return nodes, edges
}

func TestNestedRefuses(t *testing.T) {
	t.Parallel()
	box := func(id, parent string) graphlayout.Node {
		return graphlayout.Node{ID: id, Parent: parent, Width: 10, Height: 10}
	}
	deep := []graphlayout.Node{box("0", "")}
	for i := range 1000 {
		deep = append(deep, box(fmt.Sprint(i+1), fmt.Sprint(i)))
	}
	for _, tc := range []struct {
		nodes []graphlayout.Node
		edges []graphlayout.Edge
		err   error
		text  string
	}{
		{[]graphlayout.Node{box("a", "b"), box("b", "a")}, nil, graphlayout.ErrInvalid, `"a" lies in itself`},
		{[]graphlayout.Node{box("a", "a")}, nil, graphlayout.ErrInvalid, `"a" lies in itself`},
		{[]graphlayout.Node{box("a", "x")}, nil, graphlayout.ErrInvalid, `lies in "x", which is not a node`},
		{[]graphlayout.Node{box("", ""), box("a", "b"), box("b", "")}, nil, graphlayout.ErrInvalid, "has no id"},
		{[]graphlayout.Node{box("a", ""), box("b", "a")}, []graphlayout.Edge{{From: "a", To: "b"}}, graphlayout.ErrInvalid, "do not lie in the same"},
		{[]graphlayout.Node{box("a", ""), box("b", "a")}, []graphlayout.Edge{{From: "x", To: "b"}}, graphlayout.ErrInvalid, `starts at "x"`},
		{deep, nil, graphlayout.ErrTooLarge, "needs more than 10000 pixels"},
	} {
		_, err := graphlayout.Compute(tc.nodes, tc.edges, graphlayout.Options{})
		if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("got %v, want %v with %q", err, tc.err, tc.text)
		}
	}
}
