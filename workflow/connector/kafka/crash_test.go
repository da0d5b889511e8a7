package kafka

import (
	"context"
	dbsql "database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/sql"
)

const crashNodes = `
name: crash
nodes:
  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [orders], group: g, columns: {id: int}, record: {partition: p, offset: o}}}
  - {id: out, type: sink.sql, from: in, with: {database: "sqlite:out.db", table: orders, create: true}}
`

// crashEngine opens an engine in a directory, with the workflow deployed.
func crashEngine(t *testing.T, dir, brokers string) (e *workflow.Engine, end func()) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.NewRegistry()
	Register(r)
	sql.Register(r)
	files := fstest.MapFS{"w.yaml": {Data: []byte(strings.Replace(crashNodes, "BROKERS", "["+brokers+"]", 1))}}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: dir})
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
	return e, func() {
		if err := errors.Join(sys.Stop(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestCrashedProcess is the process that is killed.
func TestCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	e, _ := crashEngine(t, child.Args[0], child.Args[1])
	r, err := e.Start(context.Background(), "crash", workflow.StartOptions{})
	if err == nil {
		_, err = r.Wait(context.Background())
	}
	t.Fatal("it was not killed", err)
}

// Req W4, W7: a process is killed when the sink has committed and the offsets of
// the group have not: the rows are in the database once, and what came since is
// the next run's.
func TestKilledBeforeTheAcknowledgement(t *testing.T) {
	t.Parallel()
	b := newBench(t, kfake.NumBrokers(1))
	b.send(0, 30)
	dir := t.TempDir()
	brokers := strings.Join(b.ListenAddrs(), ",")
	started, killed := make(chan *crashtest.Process, 1), make(chan struct{})
	b.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		p := <-started
		p.Signal(syscall.SIGKILL)
		close(killed)
		return nil, errors.New("the connection is cut"), true
	})
	p := crashtest.New(t, 1).Start("TestCrashedProcess", dir, brokers)
	started <- p
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	<-killed
	if g := b.GroupInfo("g"); g != nil && len(g.Commits) > 0 {
		t.Fatalf("the group has committed %v", g.Commits)
	}
	if got := crashRows(t, dir); len(got) != 30 {
		t.Fatalf("the sink had committed %d rows", len(got))
	}
	b.send(30, 35)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	e, end := crashEngine(t, dir, brokers)
	defer end()
	runs, err := e.Runs(ctx, workflow.RunFilter{})
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	first, err := e.Run(ctx, runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := first.Wait(ctx); err != nil || info.RowsIn() != 30 {
		t.Fatalf("it read %d rows, %v", info.RowsIn(), err)
	}
	next, err := e.Start(ctx, "crash", workflow.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := next.Wait(ctx); err != nil || info.RowsIn() != 5 {
		t.Fatalf("the next run read %d rows, %v", info.RowsIn(), err)
	}
	if got := crashRows(t, dir); !slices.Equal(got, numbers(0, 35)) {
		t.Errorf("the table has %q", got)
	}
}

// crashRows are the ids in the database, sorted.
func crashRows(t *testing.T, dir string) (out []string) {
	t.Helper()
	db, err := dbsql.Open("sqlite", filepath.Join(dir, "out.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT CAST(id AS TEXT) AS text FROM orders ORDER BY text")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
