package node

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
)

// loadDefinition writes a definition and its data and reads it.
func loadDefinition(t *testing.T, dir, text string) *workflow.Definition {
	t.Helper()
	for name, content := range map[string]string{
		"w.yaml":   text,
		"data.csv": "name,age,since,ok\nAda,36,2012-01-31,true\nBen,x,2012-02-01,false\n\"Eve, the first\",7,,\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := workflow.LoadFile(filepath.Join(dir, "w.yaml"), workflow.LoadOptions{Registry: NodeTypes()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const twoSinks = `name: two sinks!
nodes:
  - id: data
    type: source.csv
    with: {path: data.csv, columns: {name: string, age: float, since: date, ok: bool}}
  - id: file
    type: sink.csv
    from: data
    with: {path: out.csv, delimiter: ";", null_text: 'NULL'}
  - id: db
    type: sink.sql
    from: data
    with: {database: "sqlite:out.db", table: people, create: true}
`

// runToEnd starts the node's workflow and waits for it.
func runToEnd(t *testing.T, n *Node) workflow.RunInfo {
	t.Helper()
	id, err := n.Runs().Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := n.Runs().Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// Req W1: what a run wrote is read back, from SQLite and from CSV alike.
func TestRunsResult(t *testing.T) {
	t.Parallel()
	n := startNode(t, testConfig(t), Options{Workflow: loadDefinition(t, t.TempDir(), twoSinks)})
	info := runToEnd(t, n)
	table, err := n.Runs().Result(t.Context(), info.ID, "", 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := "[[Ada 36 2012-01-31 true] [Eve, the first 7  ]]"
	if table.Name != "people" || table.Total != 2 || fmt.Sprint(table.Rows) != want || len(table.Columns) != 4 {
		t.Errorf("%+v, want %s", table, want)
	}
	page, err := n.Runs().Result(t.Context(), info.ID, "", 1, 1)
	if err != nil || fmt.Sprint(page.Rows) != "[[Eve, the first 7  ]]" {
		t.Errorf("the second page: %+v, %v", page, err)
	}
	other, err := n.Runs().Result(t.Context(), info.ID, "file", 10, 0)
	if err != nil || other.Sink != "file" || other.Name == table.Name || fmt.Sprint(other.Rows) != want || fmt.Sprint(other.Sinks) != "[db file]" {
		t.Errorf("the second sink: %+v, %v", other, err)
	}
	if _, err := n.Runs().Result(t.Context(), info.ID, "none", 10, 0); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "none") {
		t.Errorf("an unknown sink: %v", err)
	}
	results := Artifacts(n.Runs().definition, info)
	if len(results) != 2 || results[0].Node != "db" || results[1].Node != "file" {
		t.Fatalf("results: %+v", results)
	}
	rows, err := ReadArtifact(t.Context(), results[1].Artifact, results[1].Schema, 10, 0)
	if err != nil || fmt.Sprint(rows) != want {
		t.Errorf("the CSV file: %v, %v", rows, err)
	}
	if rows, err = ReadArtifact(t.Context(), results[1].Artifact, results[1].Schema, 10, 1); err != nil || len(rows) != 1 {
		t.Errorf("the CSV file from row 1: %v, %v", rows, err)
	}
	// A result that is gone, or damaged, is an error with a code.
	for _, r := range results {
		if err := os.WriteFile(r.Artifact.Path, []byte("damaged\n1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadArtifact(t.Context(), r.Artifact, r.Schema, 10, 0); fault.CodeOf(err) != fault.Internal {
			t.Errorf("%s, damaged: %v", r.Node, err)
		}
		if err := os.Remove(r.Artifact.Path); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadArtifact(t.Context(), r.Artifact, r.Schema, 10, 0); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s, gone: %v", r.Node, err)
		}
	}
	if _, err := ReadArtifact(t.Context(), workflow.Artifact{Type: "tape"}, results[0].Schema, 1, 0); fault.CodeOf(err) != fault.Unimplemented {
		t.Errorf("an unknown store: %v", err)
	}
}

func TestRunsErrors(t *testing.T) {
	t.Parallel()
	n := startNode(t, testConfig(t), Options{})
	if _, err := n.Runs().Start(t.Context()); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("start without a workflow: %v", err)
	}
	if _, err := n.Runs().Result(t.Context(), "x", "", 1, 0); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the result of no run: %v", err)
	}
	if _, err := n.Runs().Wait(t.Context(), "x"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("wait for no run: %v", err)
	}
	if runs, err := n.Runs().Engine().Runs(t.Context(), workflow.RunFilter{}); err != nil || len(runs) != 0 {
		t.Errorf("there are runs: %v, %v", runs, err)
	}
}

// Each run has a directory of its own; the oldest go, and nothing else does.
func TestRunsKeep(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Runs.Keep = 2
	runs := filepath.Join(c.DataDir, "runs")
	for _, other := range []string{"20010101-000000.000000000-old", "precious", "20010101-precious"} {
		if err := os.MkdirAll(filepath.Join(runs, other), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n := startNode(t, c, Options{Workflow: loadDefinition(t, t.TempDir(), twoSinks)})
	var ids []string
	for range 4 {
		ids = append(ids, runToEnd(t, n).ID)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if listed, want := storedRuns(t, c), []string{ids[2], ids[3]}; fmt.Sprint(listed) != fmt.Sprint(want) {
		t.Errorf("runs %v, want the last two: %v", listed, want)
	}
	dirs, err := filepath.Glob(filepath.Join(runs, "*-two-sinks-"))
	if err != nil || len(dirs) != 2 {
		t.Errorf("directories %v, %v; want 2", dirs, err)
	}
	for name, want := range map[string]bool{"precious": true, "20010101-precious": true, "20010101-000000.000000000-old": false} {
		if _, err := os.Stat(filepath.Join(runs, name)); (err == nil) != want {
			t.Errorf("%s is kept: %v, want %v", name, err == nil, want)
		}
	}
}

// storedRuns are the runs whose histories are in the store of a node that has
// stopped, the oldest first.
func storedRuns(t *testing.T, c Config) []string {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(c.DataDir, StoreFile), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	streams, err := s.Streams(t.Context(), store.StreamFilter{Prefix: "run/"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, stream := range streams {
		if stream.First <= stream.Head {
			ids = append(ids, strings.TrimPrefix(string(stream.Stream), "run/"))
		}
	}
	return ids
}

// A run that fails leaves no directory, and the list says why it failed.
func TestRunsFailed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := loadDefinition(t, dir, `name: failing
nodes:
  - {id: data, type: source.csv, with: {path: data.csv}}
  - {id: good, type: sink.csv, from: data, with: {path: out.csv}}
  - {id: bad, type: sink.csv, from: data, with: {path: `+dir+`}}
`)
	log := &syncBuffer{}
	n := startNode(t, testConfig(t), Options{Workflow: d, Log: log})
	id, err := n.Runs().Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := n.Runs().Wait(t.Context(), id)
	if err == nil || info.State != workflow.StateFailed || !strings.Contains(info.Error, "directory") {
		t.Errorf("%v, %+v", err, info)
	}
	if _, err := n.Runs().Result(t.Context(), id, "", 1, 0); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "failed") {
		t.Errorf("its result: %v", err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(n.Runs().dir, "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left, err := os.ReadDir(n.Runs().dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if !strings.Contains(log.String(), `"msg":"workflow run ended"`) || !strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("the log: %s", log)
	}
}

// pipedNode is a node whose workflow reads from a pipe. The run is under way when
// it returns, and ends when the returned function is called.
func pipedNode(t *testing.T, c Config) (n *Node, id string, finish func()) {
	t.Helper()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	// Both sides are held open, so that nobody waits for the other.
	w, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	finish = func() {
		if !closed {
			closed = true
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(finish)
	if _, err := w.WriteString("1\n1\n"); err != nil { // for the check of the definition, which reads the beginning
		t.Fatal(err)
	}
	d := loadDefinition(t, dir, `name: piped
nodes:
  - {id: pipe, type: source.csv, with: {path: pipe.csv, header: false, columns: {n: int}}}
  - {id: out, type: sink.csv, from: pipe, with: {path: out.csv}}
`)
	n = startNode(t, c, Options{Workflow: d})
	id, err = n.Runs().Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("1\n"), 100_000)); err != nil { // more than a pipe holds
		t.Fatal(err)
	}
	return n, id, finish
}

// Req A8: a node that stops lets its runs finish, and refuses new ones meanwhile.
func TestStopDrainsRuns(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Runs.MaxActive = 1
	n, id, finish := pipedNode(t, c)
	if _, err := n.Runs().Start(t.Context()); fault.CodeOf(err) != fault.ResourceExhausted {
		t.Errorf("a run too many: %v", err)
	}
	run, err := n.Runs().Engine().Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan workflow.RunInfo, 1)
	go func() {
		info, _ := run.Wait(context.Background()) // its state tells
		ended <- info
	}()
	stopped := make(chan error, 1)
	go func() { stopped <- n.Stop(context.Background()) }()
	deadline := time.Now().Add(testTimeout)
	for {
		if status, _ := get(t, n.URL()+"ready"); status == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the node does not show that it stops")
		}
	}
	for { // the drain begins a moment after /ready tells of it
		_, err := n.Runs().Start(t.Context())
		if fault.CodeOf(err) == fault.Unavailable {
			break
		}
		if err == nil || time.Now().After(deadline) {
			t.Fatalf("a run while the node stops: %v", err)
		}
	}
	finish()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if info := <-ended; info.State != workflow.StateCompleted || info.RowsOut() != 100_000 {
		t.Errorf("the run is %s with %d rows, want completed with all", info.State, info.RowsOut())
	}
}

// Req A8, W4: a node that stops does not wait for a run that only waits.
func TestStopLeavesWaitingRuns(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.ShutdownTimeout = 10 * time.Minute // for which it would wait
	log := &syncBuffer{}
	d := loadDefinition(t, t.TempDir(), "name: waiting\nnodes:\n  - {id: go, type: wait, with: {signal: go}}\n")
	n := startNode(t, c, Options{Workflow: d, Log: log})
	if _, err := n.Runs().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "is interrupted") {
		t.Errorf("it was waited for:\n%s", log)
	}
}

// stops reports whether an actor of that name is stopping.
func stops(i actor.Info, name string) bool {
	if i.Name == name {
		return i.State == actor.StateStopping
	}
	return slices.ContainsFunc(i.Children, func(child actor.Info) bool { return stops(child, name) })
}

// Req A8, W4: a run that does not finish in time is interrupted, leaves nothing
// half done, and is there to go on when the node starts again.
func TestStopInterruptsRuns(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.ShutdownTimeout = 5 * time.Second
	c.Log.File = filepath.Join(t.TempDir(), "log.json")
	n, id, finish := pipedNode(t, c)
	stopped := make(chan error, 1)
	go func() { stopped <- n.Stop(context.Background()) }()
	deadline := time.Now().Add(testTimeout)
	for { // the source is in its read until the run is interrupted
		log, err := os.ReadFile(c.Log.File)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the run is not interrupted: %v", err)
		}
		if bytes.Contains(log, []byte("is interrupted")) && stops(n.System().Tree(), "pipe") {
			break
		}
	}
	finish()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := filepath.WalkDir(n.Runs().dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if log, err := os.ReadFile(c.Log.File); err != nil || !bytes.Contains(log, []byte(`is interrupted`)) || bytes.Contains(log, []byte(`"ERROR"`)) {
		t.Errorf("the log: %s, %v", log, err)
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(c.DataDir, StoreFile), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open, err := s.Entries(t.Context(), store.EntryFilter{Prefix: "wf/open/"})
	if err != nil || len(open) != 1 || !strings.HasSuffix(open[0].Key, id) {
		t.Errorf("open runs: %v, %v", open, err)
	}
}
