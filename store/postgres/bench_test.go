package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-dev/troupe/store"
)

// Durable appends of 200 bytes, each to a stream of its writer, fsync on.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openNew(b)
			data := make([]byte, 200)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					batch := &store.Batch{Appends: []store.Append{{
						Stream: store.Stream(fmt.Sprintf("s/%d", w)), Expected: store.Any, Events: []store.Event{{Type: "t", Data: data}},
					}}}
					for left.Add(-1) >= 0 {
						if _, err := s.Commit(b.Context(), batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}
