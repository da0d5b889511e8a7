package sqlite_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	driverpkg "modernc.org/sqlite"

	"github.com/troupe-dev/troupe/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, open)
}

// BenchmarkRaw is what the driver does at best with rows of the same size, as a
// yardstick for the machine: one prepared insert for each event into a table
// without an index, and a commit after each group.
func BenchmarkRaw(b *testing.B) {
	for _, group := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("insert/group=%d", group), func(b *testing.B) {
			c, err := new(driverpkg.Driver).Open(filepath.Join(b.TempDir(), "raw.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			exec := func(sql string) {
				if _, err := c.(driver.ExecerContext).ExecContext(context.Background(), sql, nil); err != nil {
					b.Fatal(err)
				}
			}
			exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")
			exec("CREATE TABLE events (id INTEGER PRIMARY KEY, stream INTEGER, position INTEGER, time INTEGER, type TEXT, data BLOB)")
			insert, err := c.Prepare("INSERT INTO events (stream, position, time, type, data) VALUES (?, ?, ?, ?, ?)")
			if err != nil {
				b.Fatal(err)
			}
			defer insert.Close()
			data := make([]byte, 200)
			args := make([]driver.NamedValue, 5)
			b.ResetTimer()
			for n := 0; n < b.N; {
				exec("BEGIN IMMEDIATE")
				for i := 0; i < group && n < b.N; i++ {
					for k, v := range []driver.Value{int64(i), int64(n), time.Now().UnixMilli(), "deposited", data} {
						args[k] = driver.NamedValue{Ordinal: k + 1, Value: v}
					}
					if _, err := insert.(driver.StmtExecContext).ExecContext(context.Background(), args); err != nil {
						b.Fatal(err)
					}
					n++
				}
				exec("COMMIT")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
