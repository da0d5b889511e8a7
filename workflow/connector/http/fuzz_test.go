package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// FuzzPages answers with any bytes: every row met is given out or set aside, and
// nothing panics or goes on for ever. Req W2
func FuzzPages(f *testing.F) {
	for _, page := range []string{
		`{"data": [{"id": 1, "total": 2.5}], "next": "/?page=2"}`, `{"data": [{"id": "x"}, 7, null, {"id": {}}], "next": null}`,
		`{"next": "http://[", "data": []}`, `{"next": {"data": 1}, "data": [[`, `[]`, ``, "{\"data\": [{\"id\": \"\xff\"}]}",
	} {
		f.Add([]byte(page), []byte(`{"data": [{"id": 9007199254740993}]}`), 1000)
	}
	var first, later atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := later.Load()
		if r.URL.RequestURI() == "/first" {
			page = first.Load()
		}
		_, _ = w.Write(*page)
	}))
	f.Cleanup(server.Close)
	plan := planned(f, "url: "+server.URL+"/first, items: data, next: 'body:next', max_pages: 3, columns: {id: int, total: float}")
	f.Fuzz(func(t *testing.T, page, next []byte, limit int) {
		first.Store(&page)
		later.Store(&next)
		made, err := plan.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := made.(*source)
		if !ok {
			t.Fatalf("it is a %T", made)
		}
		s.config.MaxPageBytes = 1 + limit&0xfff
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		seen := 0
		for {
			batch, rejects, err := s.Read(context.Background(), 3)
			seen += len(batch.Rows) + len(rejects)
			if err == nil {
				continue
			}
			if errors.Is(err, io.EOF) && int64(seen) != s.RowsRead() {
				t.Errorf("it met %d rows and gave out %d", s.RowsRead(), seen)
			}
			return
		}
	})
}

// planned is the plan of a source with a configuration.
func planned(tb testing.TB, with string) (plan workflow.SourcePlan) {
	tb.Helper()
	watched := sourceType
	watched.Plan = func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		plan = sourceType.Plan(c, config)
		return plan
	}
	r := workflow.NewRegistry(watched)
	new(memory.Store).Register(r)
	text := "name: x\nnodes:\n  - {id: in, type: source.http, with: {" + with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	if _, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: r}); err != nil {
		tb.Fatal(err)
	}
	return plan
}
