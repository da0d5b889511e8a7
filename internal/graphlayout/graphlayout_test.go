package graphlayout_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/graphlayout"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// graphOf builds nodes of 160 by 64 and edges from lines such as
// "csv > filter > compute"; a line with one name is a node without edges.
func graphOf(text string) ([]graphlayout.Node, []graphlayout.Edge) {
	var nodes []graphlayout.Node
	var edges []graphlayout.Edge
	known := map[string]bool{}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		names := strings.Split(sc.Text(), ">")
		prev := ""
		for _, name := range names {
			name = strings.TrimSpace(name)
			if name == "" {
				continue
			}
			if !known[name] {
				known[name] = true
				nodes = append(nodes, graphlayout.Node{ID: name, Width: 160, Height: 64})
			}
			if prev != "" {
				edges = append(edges, graphlayout.Edge{From: prev, To: name})
			}
			prev = name
		}
	}
	return nodes, edges
}

func mustCompute(t *testing.T, nodes []graphlayout.Node, edges []graphlayout.Edge, opts graphlayout.Options) graphlayout.Layout {
	t.Helper()
	l, err := graphlayout.Compute(nodes, edges, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The golden files hold the graph, a line of dashes, and its drawing in text.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, _, _ := strings.Cut(string(raw), "---\n")
			nodes, edges := graphOf(input)
			got := input + "---\n" + describe(mustCompute(t, nodes, edges, graphlayout.Options{}))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("drawing changed; run with -update to accept\ngot:\n%s\nwant:\n%s", got, raw)
			}
		})
	}
}

func describe(l graphlayout.Layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %gx%g, %d crossings\n", l.Direction, l.Width, l.Height, crossings(l))
	for _, box := range l.Boxes {
		fmt.Fprintf(&b, "box %-10s layer %d at %g,%g\n", box.ID, box.Layer, box.X, box.Y)
	}
	for _, r := range l.Routes {
		fmt.Fprintf(&b, "route %s > %s", r.From, r.To)
		for _, p := range r.Points {
			fmt.Fprintf(&b, " %.4g,%.4g", p.X, p.Y)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// crossings counts, in a drawing to the right, the pairs of gap segments that
// swap their order.
func crossings(l graphlayout.Layout) int {
	type segment struct{ x, from, to float64 }
	var segments []segment
	for _, r := range l.Routes {
		for i := 0; i+1 < len(r.Points); i += 2 {
			a, b := r.Points[i], r.Points[i+1]
			if a.X > b.X {
				a, b = b, a
			}
			segments = append(segments, segment{a.X, a.Y, b.Y})
		}
	}
	n := 0
	for i, a := range segments {
		for _, b := range segments[i+1:] {
			if a.x == b.x && (a.from-b.from)*(a.to-b.to) < 0 {
				n++
			}
		}
	}
	return n
}

func TestComputeRefuses(t *testing.T) {
	t.Parallel()
	box := func(id string) graphlayout.Node { return graphlayout.Node{ID: id, Width: 10, Height: 10} }
	many := make([]graphlayout.Node, graphlayout.MaxNodes+1)
	for i := range many {
		many[i] = box(fmt.Sprint(i))
	}
	// A chain with an edge from each of the first nodes to the last: few
	// nodes and edges, but more bends than a drawing can hold.
	chain := many[:graphlayout.MaxNodes]
	var bent []graphlayout.Edge
	for i := 1; i < len(chain); i++ {
		bent = append(bent, graphlayout.Edge{From: chain[i-1].ID, To: chain[i].ID})
		bent = append(bent, graphlayout.Edge{From: chain[i/40].ID, To: chain[len(chain)-1].ID})
	}
	for _, tc := range []struct {
		name  string
		nodes []graphlayout.Node
		edges []graphlayout.Edge
		opts  graphlayout.Options
		err   error
		text  string
	}{
		{"duplicate", []graphlayout.Node{box("a"), box("a")}, nil, graphlayout.Options{}, graphlayout.ErrInvalid, `two nodes are called "a"`},
		{"no id", []graphlayout.Node{box("")}, nil, graphlayout.Options{}, graphlayout.ErrInvalid, "node 0 has no id"},
		{"unknown start", []graphlayout.Node{box("a")}, []graphlayout.Edge{{"x", "a"}}, graphlayout.Options{}, graphlayout.ErrInvalid, `starts at "x"`},
		{"unknown end", []graphlayout.Node{box("a")}, []graphlayout.Edge{{"a", "x"}}, graphlayout.Options{}, graphlayout.ErrInvalid, `ends at "x"`},
		{"self", []graphlayout.Node{box("a")}, []graphlayout.Edge{{"a", "a"}}, graphlayout.Options{}, graphlayout.ErrInvalid, `"a" to itself`},
		{"negative", []graphlayout.Node{{ID: "a", Width: -1, Height: 5}}, nil, graphlayout.Options{}, graphlayout.ErrInvalid, "-1 by 5"},
		{"nan", []graphlayout.Node{{ID: "a", Width: math.NaN(), Height: 5}}, nil, graphlayout.Options{}, graphlayout.ErrInvalid, "NaN by 5"},
		{"gap", []graphlayout.Node{box("a")}, nil, graphlayout.Options{NodeGap: math.Inf(1)}, graphlayout.ErrInvalid, "gap +Inf"},
		{"nodes", many, nil, graphlayout.Options{}, graphlayout.ErrTooLarge, "2001 nodes"},
		{"bends", chain, bent, graphlayout.Options{}, graphlayout.ErrTooLarge, "layers, at most 50000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := graphlayout.Compute(tc.nodes, tc.edges, tc.opts)
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v, want %v with %q", err, tc.err, tc.text)
			}
		})
	}
}

// check fails unless the drawing keeps every promise of the package.
func check(t *testing.T, nodes []graphlayout.Node, edges []graphlayout.Edge, opts graphlayout.Options, l graphlayout.Layout) {
	t.Helper()
	if len(l.Boxes) != len(nodes) || len(l.Routes) != len(edges) {
		t.Fatalf("%d boxes and %d routes for %d nodes and %d edges", len(l.Boxes), len(l.Routes), len(nodes), len(edges))
	}
	boxes := map[string]graphlayout.Box{}
	const slack = 1e-6
	for i, b := range l.Boxes {
		if b.ID != nodes[i].ID || b.Width != nodes[i].Width || b.Height != nodes[i].Height {
			t.Fatalf("box %d is %+v, want node %+v", i, b, nodes[i])
		}
		if b.X < opts.Margin-slack || b.Y < opts.Margin-slack || b.X+b.Width > l.Width-opts.Margin+slack || b.Y+b.Height > l.Height-opts.Margin+slack {
			t.Fatalf("box %+v leaves the drawing of %v by %v", b, l.Width, l.Height)
		}
		for _, o := range boxes {
			if b.X < o.X+o.Width-slack && o.X < b.X+b.Width-slack && b.Y < o.Y+o.Height-slack && o.Y < b.Y+b.Height-slack {
				t.Fatalf("boxes overlap: %+v and %+v", b, o)
			}
		}
		boxes[b.ID] = b
	}
	for i, r := range l.Routes {
		if r.From != edges[i].From || r.To != edges[i].To {
			t.Fatalf("route %d is %s > %s, want %+v", i, r.From, r.To, edges[i])
		}
		if len(r.Points)%2 != 0 || len(r.Points) < 2 {
			t.Fatalf("route %d has %d points", i, len(r.Points))
		}
		touches(t, boxes[r.From], r.Points[0])
		touches(t, boxes[r.To], r.Points[len(r.Points)-1])
	}
}

func touches(t *testing.T, b graphlayout.Box, p graphlayout.Point) {
	t.Helper()
	const slack = 1e-6
	inX := p.X >= b.X-slack && p.X <= b.X+b.Width+slack
	inY := p.Y >= b.Y-slack && p.Y <= b.Y+b.Height+slack
	if !inX || !inY {
		t.Fatalf("point %+v is not on box %+v", p, b)
	}
}

func TestRandomGraphs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		nodes, edges := randomGraph(rnd, 1+rnd.IntN(24), rnd.IntN(48))
		opts := graphlayout.Options{Direction: graphlayout.Direction(rnd.IntN(2)), Margin: float64(rnd.IntN(20))}
		l, err := graphlayout.Compute(nodes, edges, opts)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		check(t, nodes, edges, opts, l)
		again := mustCompute(t, nodes, edges, opts)
		if !reflect.DeepEqual(l, again) {
			t.Fatalf("seed %d: two drawings of one graph differ", seed)
		}
	}
}

func randomGraph(rnd *rand.Rand, n, m int) ([]graphlayout.Node, []graphlayout.Edge) {
	var nodes []graphlayout.Node
	for i := range n {
		nodes = append(nodes, graphlayout.Node{ID: fmt.Sprintf("n%d", i), Width: float64(20 + rnd.IntN(180)), Height: float64(20 + rnd.IntN(80))})
	}
	var edges []graphlayout.Edge
	for range m {
		if a, b := rnd.IntN(n), rnd.IntN(n); a != b {
			edges = append(edges, graphlayout.Edge{From: nodes[a].ID, To: nodes[b].ID})
		}
	}
	return nodes, edges
}

// In a graph without cycles every edge points along the direction.
func TestEdgesPointForward(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		nodes, edges := randomGraph(rnd, 2+rnd.IntN(20), rnd.IntN(40))
		index := map[string]int{}
		for i, n := range nodes {
			index[n.ID] = i
		}
		for i, e := range edges {
			if index[e.From] > index[e.To] {
				edges[i] = graphlayout.Edge{From: e.To, To: e.From}
			}
		}
		for _, dir := range []graphlayout.Direction{graphlayout.Right, graphlayout.Down} {
			l := mustCompute(t, nodes, edges, graphlayout.Options{Direction: dir})
			for _, r := range l.Routes {
				for i := 1; i < len(r.Points); i++ {
					a, b := r.Points[i-1], r.Points[i]
					if (dir == graphlayout.Right && b.X < a.X) || (dir == graphlayout.Down && b.Y < a.Y) {
						t.Fatalf("seed %d: route %s > %s turns back at point %d", seed, r.From, r.To, i)
					}
				}
			}
		}
	}
}

// A chain is a straight line and a fan-out is centred on its root: what the
// eye expects of the simplest graphs.
func TestStraightAndCentred(t *testing.T) {
	t.Parallel()
	nodes, edges := graphOf("a > b > c > d\nc > e")
	l := mustCompute(t, nodes, edges, graphlayout.Options{})
	center := map[string]float64{}
	for _, b := range l.Boxes {
		center[b.ID] = b.Y + b.Height/2
	}
	if center["a"] != center["b"] || center["b"] != center["c"] {
		t.Errorf("chain is not straight: %v", center)
	}
	if mid := (center["d"] + center["e"]) / 2; mid != center["c"] {
		t.Errorf("c at %v is not between d and e at %v", center["c"], mid)
	}
	if crossings(l) != 0 {
		t.Errorf("a tree has %d crossings", crossings(l))
	}
}

// The second direction is the first with axes swapped, for square nodes.
func TestDirectionsMirror(t *testing.T) {
	t.Parallel()
	_, edges := graphOf("a > b > d\na > c > d\na > d")
	var nodes []graphlayout.Node
	for _, id := range []string{"a", "b", "c", "d"} {
		nodes = append(nodes, graphlayout.Node{ID: id, Width: 50, Height: 50})
	}
	right := mustCompute(t, nodes, edges, graphlayout.Options{Direction: graphlayout.Right})
	down := mustCompute(t, nodes, edges, graphlayout.Options{Direction: graphlayout.Down})
	if right.Width != down.Height || right.Height != down.Width {
		t.Errorf("sizes %vx%v and %vx%v do not mirror", right.Width, right.Height, down.Width, down.Height)
	}
	for i := range right.Boxes {
		if right.Boxes[i].X != down.Boxes[i].Y || right.Boxes[i].Y != down.Boxes[i].X {
			t.Errorf("box %+v does not mirror %+v", down.Boxes[i], right.Boxes[i])
		}
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	l := mustCompute(t, nil, nil, graphlayout.Options{Margin: 8})
	if l.Width != 16 || l.Height != 16 || len(l.Boxes) != 0 {
		t.Errorf("empty graph gives %+v", l)
	}
}

// A layout survives the API: what is written as JSON reads back the same.
func TestJSON(t *testing.T) {
	t.Parallel()
	nodes, edges := graphOf("a > b > c\na > c")
	for _, dir := range []graphlayout.Direction{graphlayout.Right, graphlayout.Down} {
		want := mustCompute(t, nodes, edges, graphlayout.Options{Direction: dir})
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got graphlayout.Layout
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads back as %+v, %v", text, got, err)
		}
	}
	var d graphlayout.Direction
	if err := d.UnmarshalText([]byte("up")); !errors.Is(err, graphlayout.ErrInvalid) {
		t.Errorf("direction up: %v", err)
	}
}

func FuzzCompute(f *testing.F) {
	f.Add("a > b > c\nb > d", false)
	f.Add("a > b > a", true)
	f.Add("a > b\na > b\na > b\nc", true)
	f.Fuzz(func(t *testing.T, text string, down bool) {
		nodes, edges := graphOf(text)
		opts := graphlayout.Options{Margin: 3}
		if down {
			opts.Direction = graphlayout.Down
		}
		l, err := graphlayout.Compute(nodes, edges, opts)
		if err != nil {
			if !errors.Is(err, graphlayout.ErrInvalid) && !errors.Is(err, graphlayout.ErrTooLarge) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		check(t, nodes, edges, opts, l)
	})
}

func ExampleCompute() {
	nodes := []graphlayout.Node{
		{ID: "csv", Width: 100, Height: 40},
		{ID: "filter", Width: 100, Height: 40},
		{ID: "sqlite", Width: 100, Height: 40},
		{ID: "file", Width: 100, Height: 40},
	}
	edges := []graphlayout.Edge{
		{From: "csv", To: "filter"},
		{From: "filter", To: "sqlite"},
		{From: "filter", To: "file"},
	}
	drawing, err := graphlayout.Compute(nodes, edges, graphlayout.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, box := range drawing.Boxes {
		fmt.Printf("%-6s layer %d at (%g, %g)\n", box.ID, box.Layer, box.X, box.Y)
	}
	// Output:
	// csv    layer 0 at (0, 32)
	// filter layer 1 at (172, 32)
	// sqlite layer 2 at (344, 0)
	// file   layer 2 at (344, 64)
}
