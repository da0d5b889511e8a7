package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	postgrestest.Shared(b)
	storetest.Benchmark(b, open)
}

// BenchmarkRaw is what the server does at best with rows of the same size, as a
// yardstick for the machine: one connection, one insert of many rows into a
// table without an index, and a commit after each.
func BenchmarkRaw(b *testing.B) {
	for _, group := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("insert/group=%d", group), func(b *testing.B) {
			ctx := b.Context()
			c, err := pgx.Connect(ctx, postgrestest.Start(b))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close(ctx)
			if _, err := c.Exec(ctx, "CREATE TABLE events (stream text, position bigint, time bigint, type text, data bytea)"); err != nil {
				b.Fatal(err)
			}
			streams, types := make([]string, group), make([]string, group)
			positions, times, datas := make([]int64, group), make([]int64, group), make([][]byte, group)
			for i := range group {
				streams[i], types[i], datas[i] = fmt.Sprintf("writer/%d", i), "deposited", make([]byte, 200)
			}
			b.ResetTimer()
			for n := 0; n < b.N; n += group {
				for i := range positions {
					positions[i]++
				}
				if _, err := c.Exec(ctx, "INSERT INTO events SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[])",
					streams, positions, times, types, datas); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
