package sql

import (
	"fmt"
	"sync"
	"testing"
)

// Req W7: runs that begin at the same time on a fresh database make its tables
// once, and all of them write.
func TestTablesMadeAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				key := fmt.Sprint("run", i)
				s := e.sink(newRunner(key), key, target{table: "t", mode: modeInsert, create: true})
				b := rowsFrom(1+10*i, 10)
				err := s.Open(t.Context(), b.Schema)
				if err == nil {
					err = s.Write(t.Context(), b)
				}
				if err == nil {
					err = s.Commit(t.Context())
				}
				if err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if err := s.Abort(t.Context()); err != nil {
					t.Errorf("%s: %v", key, err)
				}
			})
		}
		all.Wait()
		got, _ := e.read(t, "SELECT count(*) AS n, count(DISTINCT id) AS d FROM t")
		expect(t, "rows", got, "n int, d int\n1|80|80")
	})
}
