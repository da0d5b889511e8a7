package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/workflow"
)

// engine is a fresh database of one kind.
type engine struct {
	name string
	url  string
}

// onEngines runs a test on each kind of database.
func onEngines(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	t.Parallel()
	for name, start := range map[string]func(testing.TB) string{
		"sqlite":   func(tb testing.TB) string { return sqliteScheme + filepath.Join(tb.TempDir(), "x.db") },
		"postgres": postgrestest.Start,
		"mysql":    startMariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, engine{name: name, url: start(t)})
		})
	}
}

func (e engine) sink(r runner, key string, tgt target) *sink {
	return &sink{
		shared: r.shared, run: r.run, key: key, database: Database{url: e.url}, target: tgt,
		path: func(path string) (string, error) { return path, nil },
	}
}

// write writes batches in a run of their own.
func (e engine) write(t *testing.T, key string, tgt target, batches ...workflow.Batch) {
	t.Helper()
	s := e.sink(newRunner(key), key, tgt)
	must(t, s.Open(t.Context(), batches[0].Schema))
	for _, b := range batches {
		must(t, s.Write(t.Context(), b))
	}
	must(t, s.Commit(t.Context()))
	must(t, s.Abort(t.Context()))
}

func (e engine) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	db, err := openURL(e.url)
	must(t, err)
	if e.name == "sqlite" {
		path, _ := sqlitePath(e.url)
		db.Close()
		db, err = sql.Open("sqlite", path)
		must(t, err)
	}
	defer db.Close()
	_, err = db.Exec(statement, args...)
	must(t, err)
}

// source makes a source of a query whose columns the database names.
func (e engine) source(t *testing.T, query string, params ...workflow.Value) (*source, error) {
	t.Helper()
	d := Database{url: e.url}
	same := func(path string) (string, error) { return path, nil }
	l, err := d.locate(same)
	must(t, err)
	columns, err := describeAt(t.Context(), l, query, params)
	if err != nil {
		return nil, err
	}
	return &source{database: d, path: same, query: query, params: params, schema: workflow.MustSchema(columns...)}, nil
}

// read gives the rows of a query, their kinds first, and the rejects.
func (e engine) read(t *testing.T, query string, params ...workflow.Value) (string, []workflow.Reject) {
	t.Helper()
	s, err := e.source(t, query, params...)
	must(t, err)
	must(t, s.Open(t.Context()))
	defer func() { must(t, s.Close()) }()
	lines := []string{s.schema.String()}
	var rejects []workflow.Reject
	for {
		b, r, err := s.Read(t.Context(), 7)
		rejects = append(rejects, r...)
		for i, row := range b.Rows {
			texts := []string{fmt.Sprint(b.Line(i))}
			for _, v := range row {
				text := v.String()
				if v.IsNull() {
					text = "-"
				}
				texts = append(texts, text)
			}
			lines = append(lines, strings.Join(texts, "|"))
		}
		if errors.Is(err, io.EOF) {
			return strings.Join(lines, "\n"), rejects
		}
		must(t, err)
	}
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

// Req W2: what a sink writes, a source reads back, with types, nulls and texts
// that look like SQL.
func TestRoundTrip(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		e.write(t, "1", target{table: "t", mode: modeInsert, key: []string{"id"}, create: true}, rowsFrom(1, 1000), rowsFrom(1001, 3))
		kind := "bool"
		if e.name == "mysql" {
			kind = "int" // which the table does not tell from a TINYINT
		}
		ok := "true"
		if e.name == "mysql" {
			ok = "1"
		}
		query := "SELECT * FROM t WHERE id IN (6, 7) ORDER BY id -- a comment"
		got, rejects := e.read(t, query)
		expect(t, "rows", got, `id int, odd "name string, ok `+kind+`, x float, day date, at time`+"\n"+
			`1|6|'); DROP TABLE t; -- 6|`+ok+"|1.5|2012-01-31|2012-01-31T12:00:00.5Z\n2|7|-|-|-|-|-")
		if len(rejects) != 0 {
			t.Errorf("rejects: %v", rejects)
		}
		got, _ = e.read(t, "SELECT count(*) AS n, sum(id) AS s FROM t;")
		expect(t, "all rows", strings.SplitN(got, "\n", 2)[1], "1|1003|503506")
	})
}

// Req W2: the regression "string substitution where SQL parameters were
// promised": a value that is SQL stays a value.
func TestParametersAreBound(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		e.write(t, "1", target{table: "t", mode: modeInsert, create: true}, rowsFrom(1, 10))
		d, _, err := parseDatabase(e.url)
		must(t, err)
		for _, hostile := range []string{`x' OR '1'='1`, `'; DROP TABLE t; --`, `") OR 1=1 --`, "x\\' OR 1=1 #", `'); DROP TABLE t; -- 6`} {
			got, _ := e.read(t, "SELECT id FROM t WHERE "+d.quote(`odd "name`)+" = "+d.placeholder(1), workflow.String(hostile))
			want := "id int"
			if strings.HasSuffix(hostile, "6") {
				want += "\n1|6"
			}
			expect(t, hostile, got, want)
		}
		got, _ := e.read(t, "SELECT count(*) AS n FROM t WHERE day = "+d.placeholder(1)+" AND id < "+d.placeholder(2), workflow.Date(noon), workflow.Int(9))
		expect(t, "typed parameters", got, "n int\n1|7")
	})
}

func TestInputsAreNotPutIntoQueries(t *testing.T) {
	t.Parallel()
	_, err := load(t, "since: {type: string, default: x}", "query: SELECT 1 WHERE '${since}' = 'x'\n      columns: {a: int}")
	want := "w.yaml:9:22: nodes[0].with.query: an input is never put into the text of a query; write a placeholder (? or, for PostgreSQL, $1) in its place, and params: [inputs.since]"
	if err == nil || !strings.Contains(err.Error(), "an input is never put into the text of a query; write a placeholder") || !strings.Contains(err.Error(), "params: [inputs.since]") {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Req W7
func TestServerModes(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		rows := func(pairs ...string) workflow.Batch {
			b := workflow.Batch{Schema: workflow.MustSchema(workflow.Column{Name: "k", Kind: workflow.KindString}, workflow.Column{Name: "n", Kind: workflow.KindInt})}
			for i, k := range pairs {
				b.Rows = append(b.Rows, workflow.Row{workflow.String(k), workflow.Int(int64(i))})
			}
			return b
		}
		all := func() string {
			got, _ := e.read(t, "SELECT k, n FROM m ORDER BY k")
			return strings.ReplaceAll(got, "\n", " ")
		}
		upsert := target{table: "m", mode: modeUpsert, key: []string{"k"}, create: true}
		e.write(t, "1", upsert, rows("a", "b", "a", "c"))
		expect(t, "upsert, twice in a batch", all(), "k string, n int 1|a|2 2|b|1 3|c|3")
		e.write(t, "2", upsert, rows("d", "b"), rows("x", "b", "b"))
		expect(t, "upsert again", all(), "k string, n int 1|a|2 2|b|2 3|c|3 4|d|0 5|x|0")
		e.write(t, "3", target{table: "m", mode: modeReplace}, rows("z"), rows("y"))
		expect(t, "replace", all(), "k string, n int 1|y|0 2|z|0")
		e.write(t, "4", target{table: "m", mode: modeInsert}, rows("w"))
		expect(t, "insert", all(), "k string, n int 1|w|0 2|y|0 3|z|0")

		s := e.sink(newRunner("5"), "5", target{table: "m", mode: modeInsert})
		must(t, s.Open(t.Context(), rows("w").Schema))
		err := s.Write(t.Context(), rows("v", "w"))
		if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), `table "m"`) || strings.Contains(err.Error(), "\n") {
			t.Errorf("a key that is taken: %v", err)
		}
		must(t, s.Abort(t.Context()))
		expect(t, "after the failed run", all(), "k string, n int 1|w|0 2|y|0 3|z|0")
		e.exec(t, "CREATE TABLE plain (k varchar(20), n int)")
		s = e.sink(newRunner("6"), "6", target{table: "plain", mode: modeUpsert, key: []string{"k"}})
		if err = s.Open(t.Context(), rows("w").Schema); err == nil {
			err = s.Write(t.Context(), rows("w"))
		}
		if fault.CodeOf(err) != fault.FailedPrecondition {
			t.Errorf("upsert without an index: %v", err)
		}
		must(t, s.Abort(t.Context()))
	})
}

// Req W4, W7: rows and key are one transaction, so that work that is done again
// has its effect once, whatever the mode.
func TestSameKeyAddsNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		count := func() string { got, _ := e.read(t, "SELECT count(*) AS n FROM t"); return got }
		insert := target{table: "t", mode: modeInsert, create: true}
		// It dies before the commit: neither rows nor key are there.
		dead := e.sink(newRunner("r"), "r/out/0", insert)
		must(t, dead.Open(t.Context(), schema))
		must(t, dead.Write(t.Context(), rowsFrom(1, 50)))
		dead.tx.close()
		for range 3 {
			e.write(t, "r/out/0", insert, rowsFrom(1, 100))
			expect(t, "rows", count(), "n int\n1|100")
		}
		e.write(t, "r/out/1", insert, rowsFrom(101, 100))
		expect(t, "the next iteration", count(), "n int\n1|200")
		e.write(t, "r/out/0", target{table: "t", mode: modeReplace}, rowsFrom(1, 5))
		expect(t, "the first one again", count(), "n int\n1|200")
		got, _ := e.read(t, "SELECT idempotency_key FROM troupe_sink_keys ORDER BY idempotency_key")
		expect(t, "keys", got, "idempotency_key string\n1|r/out/0\n2|r/out/1")

		l, err := (Database{url: e.url}).locate(func(p string) (string, error) { return p, nil })
		must(t, err)
		if s := l.dialect.session(l); e.name != "sqlite" && (!s.confirm(t.Context(), "r/out/1") || s.confirm(t.Context(), "r/out/2")) {
			t.Error("commits are not confirmed by their keys")
		}
	})
}

// Req W1: nothing of a failed run is left, in any of its tables.
func TestServerTransaction(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		for _, table := range []string{"a", "b"} {
			e.write(t, "make "+table, target{table: table, mode: modeInsert, create: true}, rowsFrom(1, 1))
		}
		rows := func() string {
			got, _ := e.read(t, "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b")
			return strings.SplitN(got, "\n", 2)[1]
		}
		r := newRunner("1")
		a, b := e.sink(r, "1/a/0", target{table: "a", mode: modeReplace}), e.sink(r, "1/b/0", target{table: "b", mode: modeInsert})
		for _, s := range []*sink{a, b} {
			must(t, s.Open(t.Context(), schema))
			must(t, s.Write(t.Context(), rowsFrom(10, 1000)))
		}
		expect(t, "before the commit", rows(), "1|1|1")
		must(t, a.Commit(t.Context()))
		expect(t, "after one of two", rows(), "1|1|1")
		must(t, b.Abort(t.Context()))
		must(t, a.Abort(t.Context()))
		expect(t, "after the abort", rows(), "1|1|1")
		if err := a.Write(t.Context(), rowsFrom(1, 1)); fault.CodeOf(err) != fault.Aborted {
			t.Errorf("a write after the abort: %v", err)
		}
		if len(r.shared.open) != 0 {
			t.Error("a transaction is left")
		}
	})
}

// Req S5
func TestServerErrors(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		e.write(t, "1", target{table: "t", mode: modeInsert, create: true}, rowsFrom(1, 1))
		for _, tt := range []struct {
			table string
			want  string
		}{
			{"none", `there is no table "none"`},
			{"other", `has no column "id"`},
		} {
			if tt.table == "other" {
				e.exec(t, "CREATE TABLE other (idd int)")
			}
			s := e.sink(newRunner("2"), "2", target{table: tt.table, mode: modeInsert})
			err := s.Open(t.Context(), schema)
			if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.table, err)
			}
			must(t, s.Abort(t.Context()))
		}
		for query, want := range map[string]string{
			"SELECT nothing FROM t": "nothing",
			"SELEC 1":               "syntax",
			"DROP TABLE t":          "syntax",
			"DELETE FROM t":         "syntax",
		} {
			_, err := e.source(t, query)
			if code := fault.CodeOf(err); code != fault.InvalidArgument && code != fault.FailedPrecondition {
				t.Errorf("%s: %v", query, err)
			}
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", query, err)
			}
		}
		// A statement that gets past the check still only reads.
		s := &source{database: Database{url: e.url}, path: func(p string) (string, error) { return p, nil }, query: "DELETE FROM t", schema: schema}
		if err := s.Open(t.Context()); err == nil {
			t.Error("a source has deleted rows")
		}
		must(t, s.Close())
		got, _ := e.read(t, "SELECT id FROM t")
		expect(t, "the table", got, "id int\n1|1")
	})
}

// A result is a stream: what is read ahead is bounded by the batch.
func TestSourceStreams(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		e.write(t, "1", target{table: "t", mode: modeInsert, create: true}, wideRowsFrom(1, 5000), wideRowsFrom(5001, 5000))
		s, err := e.source(t, "SELECT id, x FROM t ORDER BY id")
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		must(t, s.Open(ctx))
		b, _, err := s.Read(ctx, 1000)
		must(t, err)
		if len(b.Rows) != 1000 || b.Rows[999][0] != workflow.Int(1000) || s.RowsRead() != 1000 {
			t.Errorf("%d rows, %d read", len(b.Rows), s.RowsRead())
		}
		cancel()
		if _, _, err := s.Read(ctx, 1000); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of the run: %v", err)
		}
		must(t, s.Close())
	})
}

// Values that are not of their column's type set their row aside.
func TestSourceRejects(t *testing.T) {
	t.Parallel()
	e := engine{"sqlite", sqliteScheme + filepath.Join(t.TempDir(), "x.db")}
	e.exec(t, "CREATE TABLE t (n INTEGER, d DATE, s TEXT); INSERT INTO t VALUES (1, '2012-01-31', 'a'), ('many', '2012-02-30', 'b'), (3, NULL, x'ff')")
	got, rejects := e.read(t, "SELECT n, d, s, n || '' AS text, 2 * 3 AS six FROM t ORDER BY rowid")
	expect(t, "rows", got, "n int, d date, s string, text string, six int\n1|1|2012-01-31|a|1|6")
	if len(rejects) != 2 || rejects[0].Column != "n" || rejects[0].Line != 2 || rejects[1].Column != "s" ||
		!strings.Contains(rejects[0].Reason, `"many" is not an integer`) || !strings.Contains(rejects[1].Reason, "not UTF-8") || !strings.HasPrefix(rejects[0].Raw, "many,") {
		t.Errorf("rejects: %+v", rejects)
	}
}
