package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// server answers by a function and keeps what it was asked.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func serve(t *testing.T, answer func(n int, r *http.Request, body string, w http.ResponseWriter)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		n := len(s.seen)
		s.mu.Unlock()
		answer(n, r, string(body), w)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// read runs a source and gives the rows that arrive.
func read(t *testing.T, with string) (string, []workflow.Reject, error) {
	t.Helper()
	var store memory.Store
	r := workflow.NewRegistry()
	Register(r)
	store.Register(r)
	info, err := workflowtest.Files{"w.yaml": "name: x\nbatch_rows: 2\nnodes:\n  - id: in\n    type: source.http\n    with:\n      " + strings.ReplaceAll(with, "\n", "\n      ") +
		"\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"}.Run(t, r, t.TempDir())
	var rows []string
	for _, row := range store.Rows("out") {
		rows = append(rows, row[0].String())
	}
	return strings.Join(rows, " "), info.Rejects, err
}

// Req W2: pages by each of the rules, with headers from secrets.
func TestSourcePages(t *testing.T) {
	t.Setenv("TROUPE_TEST_HTTP_TOKEN", "hunter2")
	for _, next := range []string{"link", "body:meta.next", "page:p"} {
		var s *server
		s = serve(t, func(n int, r *http.Request, _ string, w http.ResponseWriter) {
			if r.Header.Get("Authorization") != "Bearer hunter2" || r.Header.Get("X-Kind") != "test" || r.URL.Query().Get("since") != "a&b" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			more := ""
			if n < 3 {
				more = fmt.Sprintf("%s/items?since=a%%26b&cursor=%d", s.URL, n)
				w.Header().Set("Link", `<https://example.com/x>; rel="prev", <`+more+`>; rel="next"`)
			}
			items := fmt.Sprintf(`[{"id": %d1}, {"id": %d2}, {"id": %d3}]`, n, n, n)
			if next == "page:p" && n == 4 {
				items = "[]"
			}
			fmt.Fprintf(w, `{"data": {"items": %s}, "meta": {"next": %q}}`, items, more)
		})
		got, rejects, err := read(t, "url: "+s.URL+"/items\nquery: {since: 'a&b'}\nheaders: {X-Kind: test, Authorization: {secret: env:TROUPE_TEST_HTTP_TOKEN, prefix: 'Bearer '}}\nitems: data.items\ncolumns: {id: int}\nnext: "+next)
		if err != nil || got != "11 12 13 21 22 23 31 32 33" || len(rejects) != 0 {
			t.Errorf("%s: %s, %v, %v; asked %v", next, got, rejects, err, s.requests())
		}
	}
}

func TestSourcePostAndRejects(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, _ *http.Request, _ string, w http.ResponseWriter) {
		fmt.Fprint(w, `[{"id": 1}, {"id": "x"}, 7]`)
	})
	got, rejects, err := read(t, "url: "+s.URL+"/q\nmethod: POST\nbody: '{\"a\": 1}'\ncolumns: {id: int}")
	if err != nil || got != "1" || len(rejects) != 2 || rejects[0].Column != "id" || !strings.HasPrefix(rejects[1].Reason, "page 1, element 2: expected an object") {
		t.Errorf("%s, %v, %v", got, rejects, err)
	}
	if r := s.requests(); len(r) != 1 || r[0] != `POST /q {"a": 1}` {
		t.Errorf("asked %v", r)
	}
}

// Req S5: what is wrong with an answer fails the run in one line that names the
// request, without its query.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		with, answer string
		status       int
		want         string
	}{
		{"", "no such\nthing", 404, "the server answers 404 Not Found: no such thing"},
		{"", "", 401, "the server answers 401 Unauthorized"},
		{"", "nonsense", 200, "page 1: at byte"},
		{"", `{"id": 1}`, 200, "page 1: the document is not an array"},
		{"items: a.b", `{"a": {}}`, 200, "page 1: there is no a.b in it"},
		{"max_page_bytes: 10", `[{"id": 1}, {"id": 2}]`, 200, "the answer has more than 10 bytes"},
		{"next: body:next\nitems: i", `{"i": [{"id": 1}], "next": "https://elsewhere.example/x"}`, 200, "it leads to elsewhere.example, which is not followed"},
		{"next: body:next\nitems: i", `{"i": [{"id": 1}], "next": {}}`, 200, "expected a text at next, found an object"},
		{"next: page:n\nmax_pages: 3", `[{"id": 1}]`, 200, "there are more than 3 pages"},
	} {
		s := serve(t, func(_ int, _ *http.Request, _ string, w http.ResponseWriter) {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.answer)
		})
		_, _, err := read(t, strings.TrimSpace("url: "+s.URL+"/x?key=topsecret\ncolumns: {id: int}\n"+tt.with))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), "/x") {
			t.Errorf("%s: %v, want %s", tt.answer, err, tt.want)
		}
	}
}

// quick is a client whose retries do not wait.
func quick(t *testing.T, s *server) (*client, *url.URL) {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(u, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.policy.Initial, c.policy.Cap = time.Microsecond, time.Microsecond
	return c, u
}

// Req F11, F12: transient failures are tried again, others not; a server that
// stays down is left alone.
func TestRetries(t *testing.T) {
	t.Parallel()
	s := serve(t, func(n int, _ *http.Request, _ string, w http.ResponseWriter) {
		if n < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c, u := quick(t, s)
	if _, err := c.do(t.Context(), http.MethodGet, u, nil, nil, 10); err != nil || len(s.requests()) != 3 {
		t.Errorf("%v after %d requests", err, len(s.requests()))
	}
	s = serve(t, func(_ int, _ *http.Request, _ string, w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) })
	c, u = quick(t, s)
	if _, err := c.do(t.Context(), http.MethodGet, u, nil, nil, 10); fault.CodeOf(err) != fault.InvalidArgument || len(s.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(s.requests()))
	}
	s = serve(t, func(_ int, _ *http.Request, _ string, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	c, u = quick(t, s)
	var err error
	for range 10 {
		_, err = c.do(t.Context(), http.MethodGet, u, nil, nil, 10)
	}
	if !errors.Is(err, breaker.ErrOpen) || len(s.requests()) != 10 {
		t.Errorf("%v after %d requests", err, len(s.requests()))
	}
}

// A secret is not sent to another host.
func TestRedirects(t *testing.T) {
	t.Parallel()
	other := serve(t, func(int, *http.Request, string, http.ResponseWriter) {})
	s := serve(t, func(_ int, r *http.Request, _ string, w http.ResponseWriter) {
		http.Redirect(w, r, other.URL+"/x", http.StatusFound)
	})
	c, u := quick(t, s)
	c.policy.Max = -1
	if _, err := c.do(t.Context(), http.MethodGet, u, nil, nil, 10); err == nil || !strings.Contains(err.Error(), "which is not followed") || len(other.requests()) != 0 {
		t.Errorf("%v", err)
	}
}

// Req W2, W4: nothing is sent before the commit, and requests that are made
// again have the keys that they had.
func TestSink(t *testing.T) {
	t.Parallel()
	for _, form := range []string{formArray, formLines} {
		fail := true
		var keys []string
		var rows []json.RawMessage
		s := serve(t, func(n int, r *http.Request, body string, w http.ResponseWriter) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			if n == 2 && fail {
				fail = false
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			var part []json.RawMessage
			if form == formLines {
				for line := range strings.Lines(body) {
					part = append(part, json.RawMessage(strings.TrimSpace(line)))
				}
			} else if err := json.Unmarshal([]byte(body), &part); err != nil {
				t.Error(err)
			}
			rows = append(rows, part...)
			w.WriteHeader(http.StatusCreated)
		})
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		schema := workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt}, workflow.Column{Name: "s", Kind: workflow.KindString})
		attempt := func() error {
			k := &sink{config: SinkConfig{Method: http.MethodPost, Form: form, BatchRows: 2, Timeout: time.Minute}, url: u, key: "run/out/0"}
			defer func() {
				if err := k.Abort(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			if err := k.Open(t.Context(), schema); err != nil {
				return err
			}
			before := len(s.requests())
			for i := range 5 {
				b := workflow.Batch{Schema: schema, Rows: []workflow.Row{{workflow.Int(int64(i)), workflow.String("a\nb")}}}
				if err := k.Write(t.Context(), b); err != nil {
					return err
				}
			}
			if err := k.Prepare(t.Context()); err != nil {
				return err
			}
			if len(s.requests()) != before {
				t.Error("rows are sent before the commit")
			}
			return k.Commit(t.Context())
		}
		if err := attempt(); err == nil || !strings.Contains(err.Error(), "after 1 requests that were taken") || !strings.Contains(err.Error(), "400 Bad Request") {
			t.Errorf("first: %v", err)
		}
		rows = nil
		if err := attempt(); err != nil {
			t.Errorf("second: %v", err)
		}
		if got := strings.Join(keys, " "); got != "run/out/0/0 run/out/0/1 run/out/0/0 run/out/0/1 run/out/0/2" {
			t.Errorf("keys %s", got)
		}
		if len(rows) != 5 || string(rows[4]) != `{"n":4,"s":"a\nb"}` {
			t.Errorf("%s: rows %s", form, rows)
		}
	}
}

// Req W1, S5
func TestPlanProblems(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	for with, want := range map[string]string{
		"url: ftp://x/y":       `"ftp://x/y" is no address of HTTP`,
		"url: https://u:p@x/y": "the address has a password in it",
		"url: https://x\nheaders: {Authorization: Bearer hunter2}": "the value of this header is a secret",
		"url: https://x\nheaders: {'a b': c}":                      "it cannot be a header",
		"url: https://x\nmethod: GTE":                              `unknown method "GTE"`,
		"url: https://x\nbody: x":                                  "a GET has no body",
		"url: https://x\nnext: links":                              `"links" is no rule for pages`,
		"url: https://x\nmax_pages: 0":                             "0 is out of range",
		"url: https://x\nmax_page_bytes: 0":                        "0 is out of range",
		"url: https://x\ntimeout: 0s":                              "0s is out of range",
	} {
		text := "name: x\nnodes:\n  - id: in\n    type: source.http\n    with:\n      columns: {id: int}\n      " + strings.ReplaceAll(with, "\n", "\n      ") +
			"\n  - {id: out, type: sink.http, from: in, with: {url: 'https://x'}}\n"
		_, err := workflowtest.Files{"w.yaml": text}.Load(r)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", with, err, want)
		}
	}
}

// FuzzNextLink: any header gives an address or none. Req S5
func FuzzNextLink(f *testing.F) {
	f.Add(`<https://example.com/?page=2>; rel="next", <x>; rel=last`)
	f.Add(`<>;;rel=next`)
	f.Fuzz(func(t *testing.T, header string) {
		if got := nextLink([]string{header}); got != "" && !strings.Contains(header, "<"+got+">") {
			t.Errorf("%q gives %q", header, got)
		}
	})
}
