package workflow

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// The rows that are set aside are kept in memory up to a bound, and all of
// them in a file.
func TestRejects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "rejects: rejects.csv\n" + line(50, ", reject_every: 2")
	l := &lab{}
	inLab(t, text, l, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{OutputDir: dir, RejectsKept: 3}).Wait(t.Context())
		if err != nil || info.RejectedTotal != 25 || len(info.Rejects) != 3 {
			t.Fatalf("%d rejects, %d kept, %v", info.RejectedTotal, len(info.Rejects), err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "rejects.csv"))
		if err != nil {
			t.Fatal(err)
		}
		if info.RejectsFile != filepath.Join(dir, "rejects.csv") {
			t.Errorf("the file is said to be %q", info.RejectsFile)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) != 27 || lines[0] != "node,file,line,column,reason,raw" || lines[2] != "in,in.csv,5,n,not a number,x4" {
			t.Errorf("the file is %s", text)
		}
	})
}

// A run that fails leaves no file of rejects, not even a temporary one.
func TestRejectsOfAFailedRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inLab(t, "rejects: sub/rejects.csv\n"+line(50, ", fail_at: 30, reject_every: 2"), &lab{}, func(t *testing.T, start func(flowOptions) flowRun) {
		if info, err := start(flowOptions{OutputDir: dir}).Wait(t.Context()); err == nil || info.RejectsFile != "" {
			t.Errorf("the run is %s, its rejects are in %q", info.State, info.RejectsFile)
		}
		left, err := os.ReadDir(filepath.Join(dir, "sub"))
		if err != nil || len(left) != 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}

func TestRejectsFileInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := &lab{}
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte("rejects: .\n" + line(50, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	defer sys.Stop(context.Background())
	if _, err := startFlowRun(t.Context(), sys, d, flowOptions{OutputDir: dir}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("got %v", err)
	}
}

func TestSinksThatWriteTheSame(t *testing.T) {
	t.Parallel()
	a := Artifact{Type: "sqlite", Path: "/a", Table: "t"}
	for _, tc := range []struct {
		b    Artifact
		want bool
	}{
		{Artifact{Type: "sqlite", Path: "/a", Table: "t"}, true},
		{Artifact{Type: "sqlite", Path: "/a", Table: "u"}, false},
		{Artifact{Type: "csv", Path: "/a"}, true},
		{Artifact{Type: "csv", Path: "/b"}, false},
	} {
		if a.overlaps(tc.b) != tc.want {
			t.Errorf("%v and %v overlap: %t", a, tc.b, !tc.want)
		}
	}
	r := newFlow(&Definition{Nodes: []Node{{ID: "a"}, {ID: "b"}}}, flowOptions{})
	if err := r.claim(r.nodes[0], a); err != nil {
		t.Error(err)
	}
	err := r.claim(r.nodes[1], a)
	if err == nil || !strings.Contains(err.Error(), `the node "a" writes it`) {
		t.Errorf("got %v", err)
	}
}

// Req W1: the engine counts for itself, so that a lost row is found whoever
// lost it.
func TestConservation(t *testing.T) {
	t.Parallel()
	build := func() ([]*nodeTrack, []*edgeTrack) {
		nodes := []*nodeTrack{{node: Node{ID: "in", Role: RoleSource}}, {node: Node{ID: "f", Role: RoleTransform}}, {node: Node{ID: "out", Role: RoleSink}}}
		edges := []*edgeTrack{{edge: Edge{From: "in", To: "f"}}, {edge: Edge{From: "f", To: "out"}}}
		nodes[0].rowsIn.Store(10)
		nodes[0].rowsOut.Store(8)
		nodes[0].rejected.Store(2)
		nodes[1].rowsIn.Store(8)
		nodes[1].rowsOut.Store(4)
		nodes[1].held.Store(3)
		nodes[1].filtered.Store(2)
		nodes[1].made.Store(1)
		nodes[2].rowsIn.Store(4)
		nodes[2].rowsOut.Store(4)
		for i, n := range []int64{8, 4} {
			edges[i].sent.Store(n)
			edges[i].received.Store(n)
		}
		return nodes, edges
	}
	nodes, edges := build()
	if err := checkConservation(nodes, edges); err != nil {
		t.Errorf("a run that adds up: %v", err)
	}
	for name, spoil := range map[string]func(nodes []*nodeTrack, edges []*edgeTrack){
		"from in to f 8 rows were sent and 7 received":                                   func(n []*nodeTrack, e []*edgeTrack) { e[0].received.Add(-1) },
		"f took 8 rows, made 1, and accounts for 4 out, 0 set aside, 1 filtered, 3 held": func(n []*nodeTrack, e []*edgeTrack) { n[1].filtered.Add(-1) },
		"in took 10 rows, made 0, and accounts for 8 out, 1 set aside":                   func(n []*nodeTrack, e []*edgeTrack) { n[0].rejected.Add(-1) },
		"out took 3 rows of the 4 that arrived":                                          func(n []*nodeTrack, e []*edgeTrack) { n[2].rowsIn.Add(-1); n[2].rowsOut.Add(-1) },
		"f gave out 3 rows of which 4 were sent":                                         func(n []*nodeTrack, e []*edgeTrack) { n[1].rowsOut.Add(-1); n[1].filtered.Add(1) },
	} {
		nodes, edges := build()
		spoil(nodes, edges)
		err := checkConservation(nodes, edges)
		if fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
