package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

var schema = workflow.MustSchema(
	workflow.Column{Name: "id", Kind: workflow.KindInt},
	workflow.Column{Name: `odd "name`, Kind: workflow.KindString},
	workflow.Column{Name: "ok", Kind: workflow.KindBool},
	workflow.Column{Name: "x", Kind: workflow.KindFloat},
	workflow.Column{Name: "day", Kind: workflow.KindDate},
	workflow.Column{Name: "at", Kind: workflow.KindTime},
)

var noon = time.Date(2012, 1, 31, 12, 0, 0, 500_000_000, time.UTC)

// rowsFrom makes rows with the ids from first on; every seventh is of nulls.
func rowsFrom(first, n int) workflow.Batch {
	b := workflow.Batch{Schema: schema, Rows: workflow.NewRows(n, schema.Len())}
	for i, row := range b.Rows {
		id := first + i
		row[0] = workflow.Int(int64(id))
		if id%7 == 0 {
			continue
		}
		row[1] = workflow.String(fmt.Sprintf("'); DROP TABLE t; -- %d", id))
		row[2] = workflow.Bool(id%2 == 0)
		row[3] = workflow.Float(float64(id) / 4)
		row[4] = workflow.Date(noon)
		row[5] = workflow.Time(noon)
	}
	return b
}

// wideRowsFrom makes rows of 2 KiB: a few thousand are more than SQLite keeps
// in its cache, so that it has to write before the commit.
func wideRowsFrom(first, n int) workflow.Batch {
	b := rowsFrom(first, n)
	for _, row := range b.Rows {
		row[1] = workflow.String(strings.Repeat("x", 2<<10))
	}
	return b
}

// runner makes the sinks of one run.
type runner struct {
	shared *transactions
	run    string
}

func newRunner(run string) runner { return runner{shared: newTransactions(), run: run} }

func (r runner) sink(path, table, mode string) *sink {
	return &sink{
		shared: r.shared, run: r.run, database: Database{url: sqliteScheme + path},
		path:   func(path string) (string, error) { return path, nil },
		target: target{table: table, mode: mode, create: true},
	}
}

// open opens a sink and sees to it that nothing stays open.
func open(t *testing.T, s *sink) *sink {
	t.Helper()
	if err := s.Open(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Abort(context.Background()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// query gives the rows of a query as text.
func query(t *testing.T, path, statement string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	rows, err := db.Query(statement)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	var lines []string
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		must(t, rows.Scan(into...))
		var texts []string
		for _, c := range cells {
			if !c.Valid {
				c.String = "NULL"
			}
			texts = append(texts, c.String)
		}
		lines = append(lines, strings.Join(texts, "|"))
	}
	must(t, rows.Err())
	return strings.Join(lines, "\n")
}

func execute(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(statement)
	must(t, err)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// Req W2
func TestSinkWritesTypedRows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "a b?c#d%20.db")
	s := open(t, newRunner("1").sink(path, `the "table`, modeReplace))
	must(t, s.Write(t.Context(), rowsFrom(1, 100)))
	must(t, s.Write(t.Context(), rowsFrom(101, 3)))
	must(t, s.Commit(t.Context()))
	must(t, s.Abort(t.Context()))

	if got := names(t, filepath.Dir(path)); got != "a b?c#d%20.db" {
		t.Errorf("the directory holds %q", got)
	}
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	if got, want := query(t, name, `SELECT count(*), sum(id), count(x) FROM "the ""table"`), "103|5356|89"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got := query(t, name, `SELECT id, "odd ""name", ok, x, day || '', at || '', typeof(id), typeof(x), typeof(day), date(at), strftime('%f', at) FROM "the ""table" WHERE id IN (6, 7)`)
	want := "6|'); DROP TABLE t; -- 6|1|1.5|2012-01-31|2012-01-31 12:00:00.5|integer|real|text|2012-01-31|00.500\n" +
		"7|NULL|NULL|NULL|NULL|NULL|integer|null|null|NULL|NULL"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := query(t, name, "SELECT group_concat(type) FROM pragma_table_info('the \"table')"); got != "INTEGER,TEXT,BOOLEAN,REAL,DATE,DATETIME" {
		t.Errorf("types are %s", got)
	}
	if got := query(t, name, "PRAGMA journal_mode"); got != "wal" {
		t.Errorf("journal mode of a new file is %s", got)
	}
	if a := s.Artifact(); a.Type != "sqlite" || a.Path != path || a.Table != `the "table` {
		t.Errorf("artifact = %+v", a)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	write := func(run, mode string, batch workflow.Batch) {
		s := open(t, newRunner(run).sink(path, "t", mode))
		must(t, s.Write(t.Context(), batch))
		must(t, s.Commit(t.Context()))
	}
	write("1", modeInsert, rowsFrom(1, 3))
	execute(t, path, "CREATE TABLE other (a); INSERT INTO other VALUES (42)")
	write("2", modeInsert, rowsFrom(4, 2))
	if got := query(t, path, "SELECT group_concat(id) FROM t"); got != "1,2,3,4,5" {
		t.Errorf("after append: %s", got)
	}
	write("3", modeReplace, rowsFrom(6, 2))
	if got := query(t, path, "SELECT group_concat(id) FROM t"); got != "6,7" {
		t.Errorf("after replace: %s", got)
	}
	if got := query(t, path, "SELECT a FROM other"); got != "42" {
		t.Errorf("the other table holds %s", got)
	}
}

func TestAppendChecksColumns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	execute(t, path, `CREATE TABLE t (ID, "odd ""name", ok, x, dayy, at, more)`)
	err := newRunner("1").sink(path, "t", modeInsert).Open(t.Context(), schema)
	for _, part := range []string{path, `the table "t" has no column "day"`, `did you mean "dayy"?`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error = %v, want %s", err, part)
		}
	}
	execute(t, path, `ALTER TABLE t RENAME COLUMN dayy TO day`)
	s := open(t, newRunner("2").sink(path, "t", modeInsert))
	must(t, s.Write(t.Context(), rowsFrom(1, 1)))
	must(t, s.Commit(t.Context()))
	if got := query(t, path, "SELECT id, x, more FROM t"); got != "1|0.25|NULL" {
		t.Errorf("got %s", got)
	}
}

// Req W1: a failed run leaves no half output.
func TestAbort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")

	s := open(t, newRunner("1").sink(path, "t", modeReplace))
	must(t, s.Write(t.Context(), rowsFrom(1, 5000)))
	must(t, s.Abort(t.Context()))
	must(t, s.Abort(t.Context()))
	if got := names(t, dir); got != "" {
		t.Errorf("after the abort of a new file the directory holds %q", got)
	}
	if err := s.Write(t.Context(), rowsFrom(1, 1)); fault.CodeOf(err) != fault.Aborted {
		t.Errorf("Write after Abort: %v", err)
	}

	execute(t, path, tableOf("t")+"; INSERT INTO t (id) VALUES (42)")
	s = open(t, newRunner("2").sink(path, "t", modeReplace))
	must(t, s.Write(t.Context(), rowsFrom(1, 5000)))
	must(t, s.Abort(t.Context()))
	if got := query(t, path, "SELECT id FROM t"); got != "42" {
		t.Errorf("after the abort the table holds %q", got)
	}
	if got := names(t, dir); got != "x.db" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestSinksOfARunShareTheTransaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "x.db"), filepath.Join(dir, "link.db")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Symlink("x.db", link))
	r := newRunner("1")
	a, b := open(t, r.sink(path, "a", modeReplace)), open(t, r.sink(link, "b", modeReplace))
	must(t, a.Write(t.Context(), rowsFrom(1, 10)))
	must(t, b.Write(t.Context(), rowsFrom(1, 20)))
	must(t, a.Commit(t.Context()))
	if got := query(t, path, "SELECT count(*) FROM sqlite_schema"); got != "0" {
		t.Errorf("before the second commit there are %s tables", got)
	}
	must(t, b.Commit(t.Context()))
	if got := query(t, path, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"); got != "10|20" {
		t.Errorf("rows = %s", got)
	}

	r = newRunner("2")
	a, b = open(t, r.sink(path, "a", modeReplace)), open(t, r.sink(path, "b", modeReplace))
	must(t, a.Commit(t.Context()))
	must(t, b.Abort(t.Context()))
	must(t, a.Abort(t.Context()))
	if got := query(t, path, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"); got != "10|20" {
		t.Errorf("after one of two sinks aborted: rows = %s", got)
	}
	if n := len(r.shared.open); n != 0 {
		t.Errorf("%d transactions are left", n)
	}
}

func TestTwoSinksOfOneTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	r := newRunner("1")
	open(t, r.sink(path, "Same", modeReplace))
	err := r.sink(path, "same", modeInsert).Open(t.Context(), schema)
	if fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), `two sinks of the run write the table "same"`) {
		t.Errorf("error = %v", err)
	}
}

// Two runs on one file come one after the other, also when the first removes
// the file that it made and the second waits for.
func TestRunsTakeTurns(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"commit", "abort"} {
		path := filepath.Join(t.TempDir(), "x.db")
		first := open(t, newRunner("1").sink(path, "a", modeReplace))
		must(t, first.Write(t.Context(), rowsFrom(1, 10)))
		second := newRunner("2").sink(path, "b", modeReplace)
		opened := make(chan error, 1)
		go func() { opened <- second.Open(t.Context(), schema) }()
		want := "b:3"
		if ends == "commit" {
			must(t, first.Commit(t.Context()))
			want = "a:10 b:3"
		} else {
			must(t, first.Abort(t.Context()))
		}
		must(t, <-opened)
		must(t, second.Write(t.Context(), rowsFrom(1, 3)))
		must(t, second.Commit(t.Context()))
		var got []string
		for table := range strings.Lines(query(t, path, "SELECT name FROM sqlite_schema ORDER BY name")) {
			table = strings.TrimSpace(table)
			got = append(got, table+":"+query(t, path, "SELECT count(*) FROM "+table))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("after %s: %v, want %s", ends, got, want)
		}
	}
}

func TestReadersSeeTheOldRowsWhileARunWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	s := open(t, newRunner("1").sink(path, "t", modeReplace))
	must(t, s.Write(t.Context(), rowsFrom(1, 10)))
	must(t, s.Commit(t.Context()))
	s = open(t, newRunner("2").sink(path, "t", modeReplace))
	must(t, s.Write(t.Context(), wideRowsFrom(1, 20_000)))
	if got := query(t, path, "SELECT count(*) FROM t"); got != "10" {
		t.Errorf("a reader sees %s rows", got)
	}
	must(t, s.Commit(t.Context()))
	if got := query(t, path, "SELECT count(*) FROM t"); got != "20000" {
		t.Errorf("after the commit a reader sees %s rows", got)
	}
}

// Req S5
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "text.txt")
	must(t, os.WriteFile(file, []byte(strings.Repeat("not a database\n", 100)), 0o600))
	view := filepath.Join(dir, "view.db")
	execute(t, view, "CREATE VIEW v AS SELECT 1")
	damaged := filepath.Join(dir, "damaged.db")
	execute(t, damaged, "CREATE TABLE t (a)")
	text, err := os.ReadFile(damaged)
	must(t, err)
	must(t, os.WriteFile(damaged, append(text[:100:100], make([]byte, len(text)-100)...), 0o600))
	tests := []struct {
		path, table string
		code        fault.Code
		want        string
	}{
		{dir, "t", fault.InvalidArgument, "it is a directory, not a file"},
		{os.DevNull, "t", fault.InvalidArgument, "a device, a pipe or a socket"},
		{filepath.Join(file, "x.db"), "t", fault.InvalidArgument, "not a directory"},
		{file, "t", fault.FailedPrecondition, "it is not a SQLite file"},
		{damaged, "t", fault.DataLoss, "the file is damaged"},
		{view, "v", fault.FailedPrecondition, `"v" is a view; expected a table`},
	}
	for _, tt := range tests {
		before, _ := os.ReadFile(tt.path)
		s := newRunner("1").sink(tt.path, tt.table, modeReplace)
		err := s.Open(t.Context(), schema)
		if fault.CodeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.want) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%s: %v, want %s", tt.path, err, tt.want)
		}
		must(t, s.Abort(t.Context()))
		if after, _ := os.ReadFile(tt.path); string(after) != string(before) {
			t.Errorf("%s was changed", tt.path)
		}
	}
}

func TestConstraintFailsTheRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	execute(t, path, `CREATE TABLE t (id INTEGER PRIMARY KEY, "odd ""name", ok, x, day, at); INSERT INTO t (id) VALUES (3)`)
	s := open(t, newRunner("1").sink(path, "t", modeInsert))
	err := s.Write(t.Context(), rowsFrom(1, 5))
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "UNIQUE constraint failed: t.id") {
		t.Errorf("error = %v", err)
	}
	if err := s.Write(t.Context(), rowsFrom(10, 5)); fault.CodeOf(err) != fault.Aborted {
		t.Errorf("a write after the failed one: %v", err)
	}
	if got := query(t, path, "SELECT group_concat(id) FROM t"); got != "3" {
		t.Errorf("the table holds %s", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	s := open(t, newRunner("1").sink(path, "t", modeReplace))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, rowsFrom(1, 1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	must(t, s.Abort(ctx))
	if got := names(t, filepath.Dir(path)); got != "" {
		t.Errorf("the directory holds %q", got)
	}
	if err := newRunner("2").sink(path, "t", modeReplace).Open(ctx, schema); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

func TestCancelledBeforeOpen(t *testing.T) {
	// A run that another node has failed already leaves no empty file.
	path := filepath.Join(t.TempDir(), "x.db")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newRunner("a").sink(path, "t", modeReplace)
	if err := s.Open(ctx, schema); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context canceled", err)
	}
	s.Abort(t.Context())
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	t.Parallel()
	actortest.NoLeaks(t)
	dir := t.TempDir()
	for i, end := range []func(*sink) error{
		func(s *sink) error { return s.Commit(t.Context()) },
		func(s *sink) error { return s.Abort(t.Context()) },
	} {
		s := newRunner("1").sink(filepath.Join(dir, fmt.Sprint(i)), "t", modeReplace)
		must(t, s.Open(t.Context(), schema))
		must(t, s.Write(t.Context(), rowsFrom(1, 100)))
		must(t, end(s))
	}
}

// tableOf is the statement that makes a table for the rows of the tests.
func tableOf(name string) string {
	return createTable(sqliteDialect{}, target{table: name}, schema)
}

// Req W1, S5
func TestPlanProblems(t *testing.T) {
	t.Parallel()
	column := func(name string) workflow.Column { return workflow.Column{Name: name, Kind: workflow.KindInt} }
	tests := []struct {
		with   string
		schema workflow.Schema
		want   []string
	}{
		{"database: sqlite:x.db\ntable: t", schema, nil},
		{"database: env:NOT_SET_WHEN_CHECKED\ntable: t\nmode: upsert\nkey: [id]\ncreate: true", schema, nil},
		{"database: sqlite:x.db\ntable: t\nmode: insrt", schema, []string{"w.yaml:10:13: ", `did you mean "insert"?`}},
		{"database: sqlite:out/\ntable: t", schema, []string{"w.yaml:8:17: ", "names no file", "sqlite:rows.db"}},
		{"database: x.db\ntable: t", schema, []string{"it is no URL of a database", `"sqlite:PATH"`}},
		{"database: oracle://x/y\ntable: t", schema, []string{`"oracle" is no kind of database`}},
		{"database: postgres://u:hunter2@h/d\ntable: t", schema, []string{"the URL has a password in it", "env:NAME"}},
		{"database: postgres://u@h/d?password=hunter2\ntable: t", schema, []string{"the URL has a password in it"}},
		{"database: sqlite:x.db\ntable: sqlite_t", schema, []string{"w.yaml:9:14: ", "belong to SQLite"}},
		{"database: sqlite:x.db\ntable: troupe_sink_keys", schema, []string{"holds the keys of runs"}},
		{"database: sqlite:x.db\ntable: ''", schema, []string{"cannot be the name of a table"}},
		{"database: sqlite:x.db\ntable: t\nmode: upsert", schema, []string{"upsert needs a key"}},
		{"database: sqlite:x.db\ntable: t\nkey: [idd]", schema, []string{`unknown column "idd"; did you mean "id"?`}},
		{"database: sqlite:x.db\ntable: t\nkey: [id, id]", schema, []string{"stands twice"}},
		{"database: sqlite:x.db", schema, []string{`table`, "required"}},
		{"database: sqlite:x.db\ntable: t", workflow.MustSchema(column("a"), column("A")), []string{`the columns "a" and "A" differ in letter case alone`}},
	}
	for _, tt := range tests {
		type none struct{}
		registry := workflow.NewRegistry(workflow.SourceType[none]{Name: "source.test", Doc: "Rows.", Plan: func(*workflow.Check, none) workflow.SourcePlan {
			return workflow.SourcePlan{Schema: tt.schema}
		}})
		Register(registry)
		text := "name: test\nnodes:\n  - {id: in, type: source.test}\n  - id: out\n    type: sink.sql\n    from: in\n    with:\n      " + strings.ReplaceAll(tt.with, "\n", "\n      ") + "\n"
		_, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: registry})
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.with, err)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the password is shown: %v", tt.with, err)
		}
		for _, part := range tt.want {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s\n got %v\nwant %s", tt.with, err, part)
			}
		}
	}
}
