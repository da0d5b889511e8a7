package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
)

var update = flag.Bool("update", false, "write the files in testdata")

// play is how the test takes part in a run.
type play struct {
	inputs func(t *testing.T, dir string) map[string]string
	with   func(t *testing.T, run *workflow.Run)
	fails  bool
}

var plays = map[string]play{
	"database.yaml": {inputs: func(_ *testing.T, dir string) map[string]string {
		return map[string]string{"database": "sqlite:" + filepath.Join(dir, "rain.db")}
	}},
	"http.yaml":  {inputs: shop},
	"kafka.yaml": {inputs: broker},
	"posts.yaml": {with: func(t *testing.T, run *workflow.Run) {
		for _, rows := range []string{`{"id": 1, "total": 9.5}`, `[{"id": 2, "total": 20}, {"id": 3, "total": 1}]`} {
			if err := run.Signal(t.Context(), workflow.RowsSignal("orders", nil), json.RawMessage(rows), ""); err != nil {
				t.Fatal(err)
			}
		}
	}},
	"people.yaml": {with: func(t *testing.T, run *workflow.Run) {
		waiting(t, run, "asked")
		if err := run.Approve(t.Context(), "asked", nil, workflow.Approval{Approved: true, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		if err := run.Signal(t.Context(), "paid", json.RawMessage(`{"by": "bank"}`), ""); err != nil {
			t.Fatal(err)
		}
	}},
	"trip.yaml": {fails: true},
}

// waiting waits until a node waits.
func waiting(t *testing.T, run *workflow.Run, id string) {
	t.Helper()
	changes, cancel := run.Changes()
	defer cancel()
	for {
		info, err := run.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(info.Nodes, func(n workflow.NodeInfo) bool { return n.ID == id && n.State == workflow.StateWaiting }) {
			return
		}
		select {
		case <-changes:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// shop is a server with two pages of orders. It writes what it gets into a file.
func shop(t *testing.T, dir string) map[string]string {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(nil)
	t.Cleanup(server.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "" {
			fmt.Fprintf(w, `{"data": [{"id": 1, "total": 9.5}, {"id": 2, "total": 20}], "next": %q}`, server.URL+"/orders?page=2")
			return
		}
		fmt.Fprint(w, `{"data": [{"id": 3, "total": 30}, {"id": 4, "total": 10}], "next": null}`)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body json.RawMessage
		log, err := os.OpenFile(filepath.Join(dir, "requests.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			defer log.Close()
			if err = json.NewDecoder(r.Body).Decode(&body); err == nil {
				_, err = fmt.Fprintf(log, "%s %s, with a key: %v\n", r.URL.Path, body, r.Header.Get("Idempotency-Key") != "")
			}
		}
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `"noted"`)
	})
	server.Config.Handler = mux
	return map[string]string{"url": server.URL}
}

// broker is a broker with the topic orders.
func broker(t *testing.T, _ string) map[string]string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return map[string]string{"broker": cluster.ListenAddrs()[0]}
}

// Req W2: each type of nodes has an example that is valid, runs, and does what
// testdata says.
func TestExamples(t *testing.T) {
	t.Parallel()
	registry := node.NodeTypes()
	names, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, info := range registry.Types() {
		missing[info.Name] = true
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if _, rest, ok := strings.Cut(line, "type: "); ok {
				delete(missing, strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(",} ", r) })[0])
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, runExample(t, registry, name))
		})
	}
	for name := range missing {
		t.Errorf("the type %s has no example: write one here, and name it in doc.go", name)
	}
	for name := range plays {
		if !slices.Contains(names, name) {
			t.Errorf("there is no example %s", name)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", strings.TrimSuffix(name, ".yaml")+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%v; got\n%s\nwant\n%s\nIf it should be so: go test -update", err, got, want)
	}
}

// runExample runs an example, on an engine that has all of them, and tells what
// it did.
func runExample(t *testing.T, registry *workflow.Registry, name string) string {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	s, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	defer func() {
		if err := errors.Join(sys.Stop(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	}()
	e, err := workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: registry, OutputDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	play, inputs := plays[name], map[string]string(nil)
	if play.inputs != nil {
		inputs = play.inputs(t, dir)
	}
	for _, each := range []string{"order.yaml", name} {
		d, err := workflow.LoadFile(each, workflow.LoadOptions{Registry: registry})
		if err == nil {
			_, err = e.Deploy(ctx, d, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run, err := e.Start(ctx, strings.TrimSuffix(name, ".yaml"), workflow.StartOptions{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	if play.with != nil {
		play.with(t, run)
	}
	info, err := run.Wait(ctx)
	if (err != nil) != play.fails {
		t.Errorf("it has ended with %v", err)
	}
	return told(t, info, dir)
}

// told is what a run did: states, rows, the output, and the files.
func told(t *testing.T, info workflow.RunInfo, dir string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", info.State)
	for _, n := range info.Nodes {
		fmt.Fprintf(&b, "  %s %s", n.ID, n.State)
		if n.RowsIn+n.RowsOut > 0 {
			fmt.Fprintf(&b, ", %d rows in, %d out", n.RowsIn, n.RowsOut)
		}
		b.WriteByte('\n')
	}
	if len(info.Output) > 0 {
		fmt.Fprintf(&b, "output %s\n", info.Output)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch filepath.Ext(name) {
		case ".csv", ".jsonl", ".log", ".txt":
			text, err := os.ReadFile(path)
			fmt.Fprintf(&b, "\n%s:\n%s", name, text)
			return err
		case ".parquet", ".db":
			fmt.Fprintf(&b, "\n%s\n", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
