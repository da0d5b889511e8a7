package sql

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/workflow"
)

// BenchmarkSink writes rows in batches of 1,000 through the sink and, to
// compare, by a statement and a commit for each row on a plain connection.
// Req W7: the batches are at least 50 times as fast on a server.
func BenchmarkSink(b *testing.B) {
	for _, start := range []func(testing.TB) string{
		postgrestest.Start, startMariaDB,
		func(tb testing.TB) string { return sqliteScheme + filepath.Join(tb.TempDir(), "x.db") },
	} {
		url := start(b)
		d, _, err := parseDatabase(url)
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		write := func(b *testing.B, run string, n int, mode string) {
			s := (engine{url: url}).sink(newRunner(run), run, target{table: "t_" + mode, mode: mode, key: []string{"id"}, create: true})
			if err := s.Open(ctx, schema); err != nil {
				b.Fatal(err)
			}
			for first := 1; first <= n; first += 1000 {
				if err := s.Write(ctx, rowsFrom(int(benchFirst)+first, min(1000, n+1-first))); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Commit(ctx); err != nil {
				b.Fatal(err)
			}
			benchFirst += int64(n)
		}
		for _, mode := range []string{modeInsert, modeUpsert} {
			b.Run(d.name()+"/batched-"+mode, func(b *testing.B) {
				n := 100_000
				for b.Loop() {
					write(b, fmt.Sprint(mode, benchFirst), n, mode)
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
		b.Run(d.name()+"/row-by-row", func(b *testing.B) {
			tx, err := newTransactions().join(ctx, "bench", locationOf(b, url))
			if err != nil {
				b.Fatal(err)
			}
			defer tx.abort()
			if err := tx.exec(ctx, "COMMIT"); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				benchFirst++
				oneRow(b, tx, rowsFrom(int(benchFirst), 1).Rows[0])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// benchFirst is the last id that a benchmark has used.
var benchFirst int64

func locationOf(tb testing.TB, url string) location {
	l, err := (Database{url: url}).locate(func(p string) (string, error) { return p, nil })
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// oneRow inserts a row and commits it.
func oneRow(b *testing.B, tx *transaction, row workflow.Row) {
	d := tx.at.dialect
	text := "INSERT INTO t_insert VALUES ("
	args := make([]any, len(row))
	for i, v := range row {
		if i > 0 {
			text += ","
		}
		text += d.placeholder(i + 1)
		args[i] = d.bound(v)
	}
	if err := tx.exec(context.Background(), text+")", args...); err != nil {
		b.Fatal(err)
	}
}
