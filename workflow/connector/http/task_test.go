package http

import (
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// Req W2, W6: a task makes a request with what other nodes gave out; an attempt
// that fails for a time is repeated with the same key.
func TestTask(t *testing.T) {
	t.Parallel()
	var keys []string
	s := serve(t, func(n int, r *http.Request, body string, w http.ResponseWriter) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		switch {
		case r.URL.Path == "/missing":
			http.Error(w, "no such order", http.StatusNotFound)
		case n == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Header.Get("Content-Type") == "application/json":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = w.Write([]byte(`{"id": 7, "got": ` + body + `}`))
		default:
			_, _ = w.Write([]byte("plain"))
		}
	})
	registry := workflow.NewRegistry()
	Register(registry)
	run := func(text string) (workflow.RunInfo, error) {
		return workflowtest.Files{"w.yaml": "name: w\noutput: \"[steps.first.output.body, steps.second.output.body]\"\nnodes:\n" +
			strings.ReplaceAll(text, "SERVER", s.URL)}.Run(t, registry, t.TempDir())
	}
	info, err := run(`
  - {id: n, type: value, with: {output: "40 + 2"}}
  - {id: first, type: task.http, after: n, retry: {initial: 1ms}, with: {url: "SERVER/orders?x=${{ steps.n.output }}", body: '{"n": ${{ steps.n.output }}}'}}
  - {id: second, type: task.http, after: first, with: {url: "SERVER/orders/${{ steps.first.output.body.id }}"}}
`)
	if err != nil || string(info.Output) != `[{"got":{"n":42},"id":7},"plain"]` {
		t.Errorf("%s, %v", info.Output, err)
	}
	want := []string{`POST /orders?x=42 {"n": 42}`, `POST /orders?x=42 {"n": 42}`, "GET /orders/7 "}
	if got := s.requests(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("requests: %q", got)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] == keys[2] || !strings.HasPrefix(keys[0], info.ID) {
		t.Errorf("keys: %q", keys)
	}
	if _, err = run("  - {id: first, type: task.http, with: {url: SERVER/missing}}\n"); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no such order") {
		t.Errorf("got %v", err)
	}
}
