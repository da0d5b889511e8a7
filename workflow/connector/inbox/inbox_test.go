package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/inbox"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// start starts a run with a source of the given settings. The result is the rows
// once it has ended.
func start(t *testing.T, with string) (*workflow.Run, func() (string, workflow.RunInfo)) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var store memory.Store
	r := workflow.NewRegistry()
	inbox.Register(r)
	store.Register(r)
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := errors.Join(sys.Stop(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	})
	files := fstest.MapFS{"w.yaml": {Data: []byte("name: x\nnodes:\n  - {id: in, type: source.webhook, with: {columns: {id: int}" + with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")}}
	e, err := workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: r})
	if err == nil {
		_, err = e.Deploy(ctx, d, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(ctx, "x", workflow.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return run, func() (string, workflow.RunInfo) {
		info, err := run.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, row := range store.Rows("out") {
			text += row[0].String() + " "
		}
		return text, info
	}
}

func post(run *workflow.Run, payload string) error {
	return run.Signal(context.Background(), workflow.RowsSignal("in", nil), json.RawMessage(payload), "")
}

// Req W2: rows that are posted to a run, until a post of nothing.
func TestPosts(t *testing.T) {
	t.Parallel()
	run, result := start(t, "")
	for _, payload := range []string{`[{"id": 1}, {"id": 2}]`, `{"id": 3}`, `[]`, `[{"id": "x"}, 7, {"id": 4}]`, `"text"`, `null`} {
		if err := post(run, payload); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
	}
	if err := post(run, `{"id": 5}`); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("after the last one: %v", err)
	}
	rows, info := result()
	if rows != "1 2 3 4 " || info.RowsIn() != 7 || len(info.Rejects) != 3 || info.Rejects[0].File != "post 4" || info.Rejects[0].Column != "id" {
		t.Errorf("%s, %d in, %+v", rows, info.RowsIn(), info.Rejects)
	}
}

// A run that ends by itself takes what it has not refused.
func TestEnds(t *testing.T) {
	t.Parallel()
	run, result := start(t, ", max_rows: 3")
	taken := ""
	for i := 1; ; i++ {
		err := post(run, fmt.Sprintf(`[{"id": %d}]`, i))
		if err != nil {
			break
		}
		taken += fmt.Sprint(i, " ")
		if i > 900 {
			t.Fatal("it takes more and more")
		}
	}
	if rows, info := result(); rows != taken || info.RowsIn() < 3 {
		t.Errorf("taken were %s, read %s", taken, rows)
	}
	_, result = start(t, ", for: 1ms")
	if rows, _ := result(); rows != "" {
		t.Errorf("read %s", rows)
	}
}
