package troupe_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// floors is the order of the packages. It is a statement of policy: do not
// change this data to fix builds. To change it, change the architecture first
// and say why in the commit.
//
// One line is one floor, the lowest first. A package imports packages of lower
// floors only. "<" orders packages within a floor: those on its right may import
// those on its left. "x/..." stands for every package below x. Packages that are
// planned and do not exist yet are listed, so that they find their place taken.
//
// A test may import any package of its own floor, so that the tests of an
// interface can use its implementations and its test helpers.
const floors = `
	# 0: queues, documents, invariants, seeded simulation. These may import one another.
	internal/...

	# 1: error codes; retry policy; circuit breaker; frames, codecs, limits; references to secrets
	fault < retry breaker wire secret

	# 2: references, mailboxes, supervision, timers, watch, ask, pools
	actor < actor/actortest

	# 3: journal, snapshots, queues, leases with fencing, blobs
	store < store/storetest store/sqlite store/postgres store/postgres/postgrestest

	# 4: durable mailboxes, event-sourced actors; backpressured pipelines
	durable stream

	# 5: Protocol Buffers services served by actors
	service/options < service < service/servicetest service/internal/shopv1 cmd/protoc-gen-go-troupe

	# 6: authenticated, multiplexed connections between nodes
	link < link/linktest link/tcp link/websocket link/webrtc

	# 7: membership, shards, registry, placement; topics
	cluster broker < cluster/etcd cluster/memory

	# 8: durable graphs and schedules; WebRTC sessions
	workflow signaling rtc < workflow/workflowtest < workflow/transform workflow/connector/json < workflow/connector/...

	# 9: metrics, logs, traces, health
	telemetry

	# 10: HTTP API and page; assembly of all of it from one configuration
	console/ui console/layout < console < node

	# 11: programs
	examples/echo/echov1 < examples/... < cmd/troupe
`

// standardOnly names the packages that reach nothing outside the standard
// library and this module, directly or through what they import.
var standardOnly = []string{"fault", "retry", "breaker", "actor", "actor/actortest"}

// confined names import path prefixes and the only packages that may use them,
// in tests as well.
var confined = map[string][]string{
	"go.opentelemetry.io/":   {"telemetry"},
	"github.com/prometheus/": {"telemetry"},
}

// testOnly names packages of the standard library that production code does not
// import: they register flags, or let a test's dependencies into the binary.
// Packages whose name ends in "test" may: they are for tests of their users.
var testOnly = []string{"testing", "net/http/httptest"}

func TestLayers(t *testing.T) {
	t.Parallel()
	order := mustParseFloors(t, floors)
	for _, v := range checkLayers(loadRepository(t), order) {
		t.Error(v)
	}
}

// checkLayers returns every breach of the import policy, one line each.
func checkLayers(tree sourceTree, order *floorPlan) []string {
	var found []string
	for _, p := range tree.sorted() {
		if p.nested {
			continue // bench and its like are users of the module
		}
		from, known := order.lookup(p.dir)
		if !known && p.dir != "." {
			found = append(found, fmt.Sprintf("%s: package is on no floor; give it a place in the table of layers_test.go", p.dir))
			continue
		}
		for _, f := range p.files {
			if p.dir == "." && f.test {
				continue // the house tests look at everything
			}
			found = append(found, checkFile(order, p, from, f)...)
		}
	}
	return append(found, checkStandardOnly(tree)...)
}

// checkFile returns the breaches of one file.
func checkFile(order *floorPlan, p *goPackage, from place, f *goFile) []string {
	var found []string
	imports := f.imports()
	for _, imp := range slices.Sorted(maps.Keys(imports)) {
		breach := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("%s: %s imports %s: %s", f.at(imports[imp]), p.dir, imp, fmt.Sprintf(format, args...)))
		}
		if p.dir == "." {
			breach("the root package is the map and imports nothing")
			continue
		}
		if !f.test && !p.testHelper() && under(imp, testOnly) {
			breach("production code imports no test package; move the helper to a package whose name ends in \"test\"")
		}
		for prefix, owners := range confined {
			if strings.HasPrefix(imp, prefix) && !slices.Contains(owners, p.dir) {
				breach("only %s may", strings.Join(owners, ", "))
			}
		}
		dir, ours := strings.CutPrefix(imp, modulePath+"/")
		if !ours || dir == p.dir {
			continue
		}
		to, known := order.lookup(dir)
		switch {
		case !known:
			breach("the imported package is on no floor")
		case !from.mayImport(to, f.test):
			breach("floor %d, step %d may not import floor %d, step %d", from.floor, from.step, to.floor, to.step)
		}
	}
	return found
}

// checkStandardOnly returns the modules that a standardOnly package reaches,
// with the path by which it does.
func checkStandardOnly(tree sourceTree) []string {
	var found []string
	for _, root := range standardOnly {
		seen := map[string]bool{}
		var visit func(dir string, trail []string)
		visit = func(dir string, trail []string) {
			if seen[dir] || tree[dir] == nil {
				return
			}
			seen[dir] = true
			for _, imp := range productionImports(tree[dir]) {
				if next, ours := strings.CutPrefix(imp, modulePath+"/"); ours {
					visit(next, append(slices.Clone(trail), next))
				} else if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") {
					found = append(found, fmt.Sprintf("%s must reach the standard library only, but: %s → %s", root, strings.Join(trail, " → "), imp))
				}
			}
		}
		visit(root, []string{root})
	}
	return found
}

// productionImports returns the sorted imports of a package without its tests.
func productionImports(p *goPackage) []string {
	set := map[string]bool{}
	for _, f := range p.files {
		if f.test {
			continue
		}
		for imp := range f.imports() {
			set[imp] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// A place is where a package stands: a floor, and a step within it.
type place struct{ floor, step int }

// mayImport reports whether a package here may import one there.
func (p place) mayImport(to place, test bool) bool {
	if to.floor != p.floor {
		return to.floor < p.floor
	}
	// Floor 0 is one family, and Go itself refuses cycles in it.
	return p.floor == 0 || test || to.step < p.step
}

// A floorPlan is the parsed table.
type floorPlan struct {
	exact map[string]place
	below map[string]place // "x/" of a pattern "x/..."
}

// lookup finds the place of a package by its name or by the longest pattern.
func (fp *floorPlan) lookup(dir string) (place, bool) {
	if at, ok := fp.exact[dir]; ok {
		return at, true
	}
	best, at := "", place{}
	for prefix, here := range fp.below {
		if strings.HasPrefix(dir, prefix) && len(prefix) > len(best) {
			best, at = prefix, here
		}
	}
	return at, best != ""
}

// parseFloors reads the table.
func parseFloors(text string) (*floorPlan, error) {
	plan := &floorPlan{exact: map[string]place{}, below: map[string]place{}}
	floor := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for step, group := range strings.Split(line, "<") {
			for name := range strings.FieldsSeq(group) {
				into, key := plan.exact, name
				if prefix, ok := strings.CutSuffix(name, "..."); ok {
					into, key = plan.below, prefix
				}
				if _, twice := into[key]; twice {
					return nil, fmt.Errorf("%s is listed twice", name)
				}
				into[key] = place{floor, step}
			}
		}
		floor++
	}
	return plan, nil
}

func mustParseFloors(t *testing.T, text string) *floorPlan {
	t.Helper()
	plan, err := parseFloors(text)
	if err != nil {
		t.Fatalf("the table of floors: %v", err)
	}
	return plan
}

// TestLayersCatchesBreaches shows that every rule above can fail.
func TestLayersCatchesBreaches(t *testing.T) {
	t.Parallel()
	const plan = "internal/...\nfault < retry\nactor < actor/actortest\ntelemetry\ncmd/troupe"
	tests := []struct {
		name  string
		files map[string]string // path → imports
		want  string            // in exactly one breach; "" = none
	}{
		{"lower floor", map[string]string{"actor/a.go": "fault", "fault/f.go": "internal/q", "internal/q/q.go": "internal/p", "internal/p/p.go": ""}, ""},
		{"earlier step", map[string]string{"retry/r.go": "fault"}, ""},
		{"higher floor", map[string]string{"fault/f.go": "actor"}, "floor 1, step 0 may not import floor 2, step 0"},
		{"later step", map[string]string{"fault/f.go": "retry"}, "floor 1, step 0 may not import floor 1, step 1"},
		{"same step", map[string]string{"actor/a.go": "actor/actortest"}, "floor 2, step 0 may not import floor 2, step 1"},
		{"test of its floor", map[string]string{"actor/a_test.go": "actor/actortest actor"}, ""},
		{"test of a higher floor", map[string]string{"actor/a_test.go": "telemetry"}, "floor 2, step 0 may not import floor 3"},
		{"not in the table", map[string]string{"wild/w.go": ""}, "wild: package is on no floor"},
		{"imports what is not in the table", map[string]string{"actor/a.go": "wild"}, "the imported package is on no floor"},
		{"outside library", map[string]string{"actor/a.go": "example.com/lib"}, "actor → example.com/lib"},
		{"outside library by a detour", map[string]string{"actor/a.go": "internal/q", "internal/q/q.go": "example.com/lib"}, "actor → internal/q → example.com/lib"},
		{"outside library in a test", map[string]string{"actor/a_test.go": "example.com/lib"}, ""},
		{"metrics in telemetry", map[string]string{"telemetry/t.go": "github.com/prometheus/client_golang/prometheus"}, ""},
		{"metrics elsewhere", map[string]string{"cmd/troupe/m.go": "github.com/prometheus/client_golang/prometheus"}, "only telemetry may"},
		{"traces elsewhere", map[string]string{"cmd/troupe/m_test.go": "go.opentelemetry.io/otel"}, "only telemetry may"},
		{"testing in production", map[string]string{"cmd/troupe/m.go": "testing/fstest"}, "production code imports no test package"},
		{"httptest in production", map[string]string{"cmd/troupe/m.go": "net/http/httptest"}, "production code imports no test package"},
		{"testing in a helper", map[string]string{"actor/actortest/p.go": "testing"}, ""},
		{"another module", map[string]string{"bench/go.mod": "", "bench/b.go": "actor example.com/lib", "bench/x/b.go": ""}, ""},
		{"root with an import", map[string]string{"doc.go": "fault"}, "the root package is the map"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := checkLayers(sampleTree(t, tt.files), mustParseFloors(t, plan))
			expectOne(t, got, tt.want)
		})
	}
	if _, err := parseFloors("actor\nfault actor"); err == nil {
		t.Error("a package listed twice is accepted")
	}
}

// sampleTree builds a tree whose files hold nothing but the given imports. Those
// of this module are written without its path.
func sampleTree(t *testing.T, files map[string]string) sourceTree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, imports := range files {
		var src strings.Builder
		src.WriteString("package p\n")
		for imp := range strings.FieldsSeq(imports) {
			first, _, _ := strings.Cut(imp, "/")
			if first != "testing" && first != "net" && !strings.Contains(first, ".") {
				imp = modulePath + "/" + imp
			}
			fmt.Fprintf(&src, "import _ %q\n", imp)
		}
		fsys[name] = &fstest.MapFile{Data: []byte(src.String())}
	}
	tree, err := loadTree(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// expectOne fails unless got is a single message that contains want, or nothing
// when want is empty.
func expectOne(t *testing.T, got []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) == 0:
	case want != "" && len(got) == 1 && strings.Contains(got[0], want):
	default:
		t.Errorf("got %q, want one message with %q", got, want)
	}
}
