package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/troupe-dev/troupe/actor"
)

// inLab runs f in a bubble that ends with every goroutine, so that a run that
// leaks one fails its test. Logs go nowhere but into the returned buffer.
func inLab(t *testing.T, text string, l *lab, f func(t *testing.T, start func(options flowOptions) flowRun)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		f(t, func(options flowOptions) flowRun {
			r, err := startFlowRun(t.Context(), sys, d, options)
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if stats := sys.Stats(); stats.Actors != 0 {
			t.Errorf("%d actors are left", stats.Actors)
		}
	})
}

// figures prints what a run did, node by node.
func figures(info RunInfo) string {
	var b strings.Builder
	for _, n := range info.Nodes {
		fmt.Fprintf(&b, "%s %s: %d in, %d out, %d set aside, %d filtered, %d held, %d made, %d batches\n",
			n.ID, n.State, n.RowsIn, n.RowsOut, n.Rejected, n.Filtered, n.Held, n.Made, n.Batches)
	}
	for _, e := range info.Edges {
		fmt.Fprintf(&b, "%s.%s > %s: %d\n", e.From, e.Handle, e.To, e.Rows)
	}
	return b.String()
}

const diamond = `
name: diamond
batch_rows: 10
nodes:
  - {id: one, type: source.rows, with: {columns: {n: int}, rows: 100, reject_every: 9}}
  - {id: two, type: source.rows, with: {columns: {n: int}, rows: 25}}
  - {id: big, type: filter, from: [one, two], with: {where: n > 20}}
  - {id: ratio, type: compute, from: [big, big.else], with: {set: {r: 100 / (n - 50)}}}
  - {id: sum, type: sum, from: big, with: {column: n}}
  - {id: rows, type: sink.memory, from: ratio}
  - {id: again, type: sink.memory, from: ratio}
  - {id: total, type: sink.memory, from: sum}
`

// Req W1, W7: several sources and sinks, fan-out, fan-in and handles; every
// row is accounted for.
func TestRun(t *testing.T) {
	t.Parallel()
	l := &lab{}
	inLab(t, diamond, l, func(t *testing.T, start func(flowOptions) flowRun) {
		r := start(flowOptions{})
		info, err := r.Wait(t.Context())
		if err != nil || info.State != StateCompleted {
			t.Fatalf("%s: %v", info.State, err)
		}
		const want = `one completed: 100 in, 89 out, 11 set aside, 0 filtered, 0 held, 0 made, 9 batches
two completed: 25 in, 25 out, 0 set aside, 0 filtered, 0 held, 0 made, 3 batches
big completed: 114 in, 114 out, 0 set aside, 0 filtered, 0 held, 0 made, 12 batches
ratio completed: 114 in, 113 out, 1 set aside, 0 filtered, 0 held, 0 made, 13 batches
sum completed: 76 in, 1 out, 0 set aside, 0 filtered, 76 held, 1 made, 9 batches
rows completed: 113 in, 113 out, 0 set aside, 0 filtered, 0 held, 0 made, 13 batches
again completed: 113 in, 113 out, 0 set aside, 0 filtered, 0 held, 0 made, 13 batches
total completed: 1 in, 1 out, 0 set aside, 0 filtered, 0 held, 0 made, 1 batches
one.out > big: 89
two.out > big: 25
big.out > ratio: 76
big.else > ratio: 38
big.out > sum: 76
ratio.out > rows: 113
ratio.out > again: 113
sum.out > total: 1
`
		if got := figures(info); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if info.RowsIn() != 125 || info.RowsOut() != 227 || info.RejectedTotal != 12 || len(info.Rejects) != 12 {
			t.Errorf("%d in, %d out, %d rejects of which %d kept", info.RowsIn(), info.RowsOut(), info.RejectedTotal, len(info.Rejects))
		}
		if got := info.Rejects[11]; got != (Reject{Node: "ratio", File: "one.csv", Line: 51, Column: "r", Reason: "division by zero", Raw: "50"}) {
			t.Errorf("the last reject is %+v", got)
		}
		for _, s := range l.sinks {
			if got := strings.Join(s.told, " "); got != "open prepare commit" {
				t.Errorf("%s was told to %s", s.node, got)
			}
		}
		if len(l.sinks["rows"].rows) != 113 || fmt.Sprint(l.sinks["total"].rows) != "[[76 4388]]" {
			t.Errorf("rows: %d, total: %v", len(l.sinks["rows"].rows), l.sinks["total"].rows)
		}
		if info.Nodes[5].Artifact == nil || info.Nodes[5].Artifact.Path != "rows" || !strings.HasSuffix(info.Nodes[2].ActorPath, "/big") {
			t.Errorf("node: %+v", info.Nodes[5])
		}
		if fmt.Sprint(len(l.closed)) != "2" {
			t.Errorf("closed sources: %v", l.closed)
		}
	})
}

// Rows for an output that nobody reads are filtered, whichever it is.
func TestUnreadOutputs(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{"keep": "90 out, 0 set aside, 10 filtered", "keep.else": "10 out, 0 set aside, 90 filtered"} {
		text := strings.Replace(strings.Replace(line(100, ""), "n > 0", "n > 10", 1), "from: keep", "from: "+from, 1)
		inLab(t, text, &lab{}, func(t *testing.T, start func(flowOptions) flowRun) {
			info, err := start(flowOptions{}).Wait(t.Context())
			if err != nil || !strings.Contains(figures(info), "keep completed: 100 in, "+want) {
				t.Errorf("%s: %v\n%s", from, err, figures(info))
			}
		})
	}
}

// Req W1: one definition runs many times at once, each run by itself.
func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	inLab(t, diamond, &lab{}, func(t *testing.T, start func(flowOptions) flowRun) {
		var runs []flowRun
		for range 50 {
			runs = append(runs, start(flowOptions{}))
		}
		ids := map[string]bool{}
		for i, r := range runs {
			info, err := r.Wait(t.Context())
			if err != nil || info.RowsIn() != 125 || info.RowsOut() != 227 || info.RejectedTotal != 12 {
				t.Fatalf("run %d: %v\n%s", i, err, figures(info))
			}
			ids[info.ID] = true
		}
		if len(ids) != len(runs) {
			t.Errorf("%d ids for %d runs", len(ids), len(runs))
		}
	})
}

// Req W1: a definition of the largest size runs.
func TestLargestDefinition(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("name: chain\nnodes:\n  - {id: n0, type: source.rows, with: {columns: {n: int}, rows: 300}}\n")
	for i := 1; i < NodesMax-1; i++ {
		fmt.Fprintf(&text, "  - {id: n%d, type: filter, from: n%d, with: {where: n > 0}}\n", i, i-1)
	}
	fmt.Fprintf(&text, "  - {id: out, type: sink.memory, from: n%d}\n", NodesMax-2)
	inLab(t, text.String(), &lab{}, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{}).Wait(t.Context())
		if err != nil || info.RowsOut() != 300 || len(info.Nodes) != NodesMax {
			t.Errorf("%d rows, %v", info.RowsOut(), err)
		}
	})
}

// line is source → filter → sink over some rows.
func line(rows int, source string) string {
	return fmt.Sprintf(`
name: line
batch_rows: 10
queue_batches: 3
nodes:
  - {id: in, type: source.rows, with: {columns: {n: int}, rows: %d%s}}
  - {id: keep, type: filter, from: in, with: {where: n > 0}}
  - {id: out, type: sink.memory, from: keep}
`, rows, source)
}

// Req W9, O1: the snapshot has the keys that the console and scripts read.
func TestRunInfoJSON(t *testing.T) {
	t.Parallel()
	inLab(t, line(4, ", reject_every: 3"), &lab{}, func(t *testing.T, start func(flowOptions) flowRun) {
		info, err := start(flowOptions{}).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		info.ID, info.Nodes[0].ActorPath, info.Nodes[1].ActorPath, info.Nodes[2].ActorPath = "ID", "P", "P", "P"
		got, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"id":"ID","workflow":"line","version":0,"state":"completed","started":"0001-01-01T00:00:00Z","start":{"version":0},"events":0,` +
			`"nodes":[{"id":"in","type":"source.rows","role":"source","state":"completed","actor_path":"P","rows_in":4,"rows_out":3,` +
			`"sent":{"out":3},"rejected":1,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0},` +
			`{"id":"keep","type":"filter","role":"transform","state":"completed","actor_path":"P","rows_in":3,"rows_out":3,` +
			`"sent":{"out":3},"rejected":0,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0},` +
			`{"id":"out","type":"sink.memory","role":"sink","state":"completed","actor_path":"P","rows_in":3,"rows_out":3,` +
			`"rejected":0,"filtered":0,"held":0,"made":0,"batches":1,"duration_ns":0,"artifact":{"type":"memory","path":"out"}}],` +
			`"edges":[{"from":"in","handle":"out","to":"keep","rows":3},{"from":"keep","handle":"out","to":"out","rows":3}],` +
			`"rejects":[{"node":"in","file":"in.csv","line":4,"column":"n","reason":"not a number","raw":"x3"}],"rejected_total":1}`
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}
