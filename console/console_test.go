package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// decode reads an answer, which must have the status.
func decode[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	want := "application/json"
	if status >= 400 {
		want = "application/problem+json"
	}
	if got := w.Header().Get("Content-Type"); got != want {
		t.Fatalf("content type %q, want %q", got, want)
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return v
}

func TestNode(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *console.Options) {
		o.Health = func() console.Health { return console.Health{Status: console.HealthDegraded, Detail: "disk is slow"} }
	})
	f.tell(t, 7)
	n := decode[console.Node](t, f.get("/api/node"), http.StatusOK)
	if n.Name != "weather-1" || n.Version != "v0.1.0" || n.Health.Status != console.HealthDegraded || n.LogLevel != "INFO" {
		t.Errorf("node is %+v", n)
	}
	if n.Totals.Actors != 123 || n.Totals.Processed != 7 {
		t.Errorf("totals are %+v, want 123 actors and 7 messages", n.Totals)
	}
	if n.Memory == 0 || n.Routines == 0 || time.Since(n.Started) > time.Minute {
		t.Errorf("process figures are %d bytes, %d goroutines, started %v", n.Memory, n.Routines, n.Started)
	}
	if len(n.Actions) != 1 || n.Actions[0].Verb != "crash" {
		t.Errorf("actions are %+v", n.Actions)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	tree := decode[console.Tree](t, f.get("/api/tree"), http.StatusOK)
	if tree.Root.Path != "/" || tree.Root.Total.Actors != 123 || tree.At.IsZero() {
		t.Errorf("root is %+v at %v", tree.Root, tree.At)
	}
	pool := tree.Root.Children[1]
	if pool.Path != "/pool" || len(pool.Children) != console.ChildrenDefault {
		t.Fatalf("%s has %d children", pool.Path, len(pool.Children))
	}
	if pool.More == nil || pool.More.Children != 70 || pool.More.Actors != 70 || !pool.More.CanShow {
		t.Errorf("more is %+v, want 70", pool.More)
	}
	page := decode[console.Tree](t, f.get("/api/tree?path=/pool&limit=30&offset=100"), http.StatusOK).Root
	if len(page.Children) != 20 || page.Children[0].Name != "w100" || page.More != nil {
		t.Errorf("last page starts at %s with %d children, more %+v", page.Children[0].Name, len(page.Children), page.More)
	}
	one := decode[console.Tree](t, f.get("/api/tree?path=/demo/child"), http.StatusOK).Root
	if one.Type != "demo.Child" || one.State != actor.StateRunning || one.Capacity != actor.DefaultCapacity || !strings.HasSuffix(one.Message, "command") {
		t.Errorf("child is %+v", one)
	}
	nameless, err := actor.Spawn(f.sys, actor.Spec[command]{New: newWorker})
	if err != nil {
		t.Fatal(err)
	}
	path := nameless.Address().Path
	if got := f.fresh(t, url.QueryEscape(path)); got.Path != path || !strings.Contains(path, "#") {
		t.Errorf("the actor without a name, %s, is shown as %+v", path, got)
	}
	beyond := decode[console.Tree](t, f.get("/api/tree?path=/pool&offset=5000"), http.StatusOK).Root
	if len(beyond.Children) != 0 || beyond.More != nil {
		t.Errorf("beyond the end: %d children, more %+v", len(beyond.Children), beyond.More)
	}
}

// Req F7: a failure is seen with its text and time, and so is the restart.
func TestTreeShowsFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if w := f.do(http.MethodPost, "/api/actors/demo/child:crash", ""); w.Code != http.StatusNoContent {
		t.Fatalf("crash: %d %s", w.Code, w.Body)
	}
	f.tell(t, 1) // after the restart
	child := f.fresh(t, "/demo/child")
	if total := f.fresh(t, "/").Total; total.Restarts != 1 || total.Failures != 1 {
		t.Errorf("total is %+v, want each failure once", total)
	}
	if child.Restarts != 1 || child.Failures != 1 || child.LastError != "crashed on purpose" || time.Since(child.LastErrorAt) > time.Minute {
		t.Errorf("child is %+v", child)
	}
	list := decode[console.EventList](t, f.get("/api/events"), http.StatusOK)
	if list.Counts[console.EventFailure] != 1 || list.Counts[console.EventRestart] != 1 {
		t.Errorf("counts are %v", list.Counts)
	}
	for _, e := range list.Events {
		if e.Actor != "/demo/child" || e.Time.IsZero() || e.Text == "" {
			t.Errorf("event is %+v", e)
		}
	}
	last := list.Events[len(list.Events)-1].Seq
	if rest := decode[console.EventList](t, f.get(fmt.Sprintf("/api/events?after=%d", last)), http.StatusOK); len(rest.Events) != 0 {
		t.Errorf("after the last event there are %+v", rest.Events)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	empty := decode[console.RunList](t, f.get("/api/runs"), http.StatusOK)
	if len(empty.Runs) != 0 || !empty.CanStart {
		t.Errorf("before the first run: %+v", empty)
	}
	w := f.do(http.MethodPost, "/api/runs", "")
	started := decode[struct{ ID string }](t, w, http.StatusAccepted)
	if started.ID != f.runs.id(1) || w.Header().Get("Location") != "/api/runs/"+started.ID {
		t.Errorf("started %+v at %s", started, w.Header().Get("Location"))
	}
	at := "/api/runs/" + started.ID
	f.runs.await(t, started.ID, func(info workflow.RunInfo) bool { return info.RejectedTotal == 2 })
	view := decode[console.RunView](t, f.get(at), http.StatusOK)
	if len(view.Run.Nodes) != 7 || view.Layouts == nil || len(view.Layouts.Right.Boxes) != 7 || len(view.Layouts.Down.Routes) != 6 {
		t.Errorf("view is %+v", view)
	}
	if len(view.Run.Rejects) != 2 {
		t.Errorf("%d rows set aside, want 2", len(view.Run.Rejects))
	}
	decode[console.Problem](t, f.get(at+"/result"), http.StatusNotFound)
	f.runs.finish(t)
	page := f.get(at + "/result?limit=10&offset=45").Body.String()
	for _, want := range []string{`"name":"monthly_weather"`, `{"name":"temp_min","type":"float"}`, `"rows":[["2015-10",31,`, `["2015-12",31,`, `"total":48,"sink":"database","sinks":["database","file"],"limit":10,"offset":45}`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %s: %s", want, page)
		}
	}
	if n := strings.Count(page, `["2015-`); n != 3 {
		t.Errorf("%d rows, want the last 3", n)
	}
	other := f.get(at + "/result?sink=file&limit=1").Body.String()
	if !strings.Contains(other, `"name":"days.csv"`) || !strings.Contains(other, `"rows":[["2012-01",31]],"total":12,"sink":"file"`) {
		t.Errorf("the second sink is %s", other)
	}
	if p := decode[console.Problem](t, f.get(at+"/result?sink=neg"), http.StatusNotFound); !strings.Contains(p.Detail, `no sink "neg"`) {
		t.Errorf("problem is %+v", p)
	}
	f.runs.refused = fault.New(fault.FailedPrecondition, "runs", "a run is under way")
	if p := decode[console.Problem](t, f.do(http.MethodPost, "/api/runs", ""), http.StatusConflict); p.Detail != "a run is under way" || p.Code != "FAILED_PRECONDITION" {
		t.Errorf("problem is %+v", p)
	}
}

func TestWithoutRunsAndLevel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *console.Options) { o.Runs, o.LogLevel, o.Actions = nil, nil, nil })
	if list := decode[console.RunList](t, f.get("/api/runs"), http.StatusOK); list.CanStart || list.Runs == nil {
		t.Errorf("runs are %+v", list)
	}
	decode[console.Problem](t, f.get("/api/runs/x"), http.StatusNotFound)
	decode[console.Problem](t, f.get("/api/runs/x/result"), http.StatusNotFound)
	decode[console.Problem](t, f.do(http.MethodPost, "/api/runs", ""), http.StatusConflict)
	decode[console.Problem](t, f.get("/api/log-level"), http.StatusNotFound)
	decode[console.Problem](t, f.do(http.MethodPut, "/api/log-level", `{"level":"DEBUG"}`), http.StatusNotFound)
	if n := decode[console.Node](t, f.get("/api/node"), http.StatusOK); n.Actions == nil || n.LogLevel != "" {
		t.Errorf("node is %+v", n)
	}
}

// Req T2: the log level is changed at run time.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for text, want := range map[string]string{"debug": "DEBUG", "WARN": "WARN", "INFO+2": "INFO+2"} {
		body := fmt.Sprintf(`{"level":%q}`, text)
		got := decode[console.LogLevel](t, f.do(http.MethodPut, "/api/log-level", body, "Content-Type", "application/json; charset=utf-8"), http.StatusOK)
		if got.Level != want || f.level.Level().String() != want {
			t.Errorf("%s gives %s and %s", text, got.Level, f.level.Level())
		}
	}
	if got := decode[console.LogLevel](t, f.get("/api/log-level"), http.StatusOK); got.Level != f.level.Level().String() {
		t.Errorf("level is %s, node has %s", got.Level, f.level.Level())
	}
}

// Req S5: bad input gets an answer that says what was wrong and what was expected.
func TestBadInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	run := f.runs.start(t)
	const asJSON = "application/json"
	for _, tc := range []struct {
		name, method, target, body, contentType string
		status                                  int
		detail                                  string
	}{
		{"no such path", "GET", "/api/trees", "", "", 404, "there is no /api/trees"},
		{"no such actor", "GET", "/api/tree?path=/demo/nobody", "", "", 404, "there is no actor /demo/nobody"},
		{"part of a name", "GET", "/api/tree?path=/demo/chi", "", "", 404, "there is no actor /demo/chi"},
		{"huge limit", "GET", "/api/tree?limit=1000000", "", "", 400, "expected a whole number from 0 to 1000"},
		{"limit beyond int", "GET", "/api/tree?limit=99999999999999999999", "", "", 400, "expected a whole number"},
		{"negative offset", "GET", "/api/tree?offset=-1", "", "", 400, `offset is "-1"`},
		{"limit in words", "GET", "/api/runs/" + run + "/result?limit=all", "", "", 400, `query.limit: invalid integer, got "all"`},
		{"huge page", "GET", "/api/runs/" + run + "/result?limit=1001", "", "", 400, "query.limit: expected number <= 1000"},
		{"bad offset", "GET", "/api/runs/" + run + "/result?offset=x", "", "", 400, `query.offset: invalid integer, got "x"`},
		{"no such run", "GET", "/api/runs/none", "", "", 404, "there is no such run"},
		{"result of no run", "GET", "/api/runs/none/result", "", "", 404, "there is no such run"},
		{"bad after", "GET", "/api/events?after=yesterday", "", "", 400, "expected the number of an event"},
		{"bad more", "GET", "/api/stream?more=x", "", "", 400, "such as 200:/demo"},
		{"bad stream limit", "GET", "/api/stream?limit=-5", "", "", 400, `limit is "-5"`},
		{"too many more", "GET", "/api/stream?" + strings.Repeat("more=1:/a&", 33), "", "", 400, "at most 32"},
		{"unknown key of a result", "GET", "/api/runs/" + run + "/result?node=file", "", "", 400, `does not know the query key "node"`},
		{"unknown key of the tree", "GET", "/api/tree?limt=3", "", "", 400, `does not know the query key "limt"`},
		{"unknown key of the stream", "GET", "/api/stream?runs=x", "", "", 400, `does not know the query key "runs"`},
		{"key where none is known", "POST", "/api/runs?workflow=other", "", "", 400, `/api/runs does not know the query key "workflow"`},
		{"broken query", "GET", "/api/tree?path=%zz", "", "", 400, "the query of /api/tree cannot be read"},
		{"wrong method", "POST", "/api/tree", "", "", 405, "/api/tree does not take POST"},
		{"delete run", "DELETE", "/api/runs/" + run, "", "", 405, "does not take DELETE"},
		{"get an action", "GET", "/api/actors/demo/child:crash", "", "", 405, "does not take GET"},
		{"no verb", "POST", "/api/actors/demo/child", "", "", 400, "names no action"},
		{"unknown verb", "POST", "/api/actors/demo/child:explode", "", "", 404, "offers no action /demo/child:explode"},
		{"unknown actor", "POST", "/api/actors/demo:crash", "", "", 404, "offers no action /demo:crash"},
		{"no content type", "PUT", "/api/log-level", `{"level":"INFO"}`, "", 400, "expected application/json"},
		{"form", "PUT", "/api/log-level", "level=INFO", "application/x-www-form-urlencoded", 400, "expected application/json"},
		{"no JSON", "PUT", "/api/log-level", "INFO", asJSON, 400, "not the JSON expected"},
		{"unknown key", "PUT", "/api/log-level", `{"levle":"INFO"}`, asJSON, 400, `unknown field "levle"`},
		{"unknown level", "PUT", "/api/log-level", `{"level":"LOUD"}`, asJSON, 400, "expected DEBUG, INFO, WARN or ERROR"},
		{"two values", "PUT", "/api/log-level", `{"level":"INFO"}{}`, asJSON, 400, "more than one JSON value"},
		{"huge body", "PUT", "/api/log-level", `{"level":"` + strings.Repeat("x", 40_000) + `"}`, asJSON, 413, "larger than 32768 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var header []string
			if tc.contentType != "" {
				header = []string{"Content-Type", tc.contentType}
			}
			w := f.do(tc.method, tc.target, tc.body, header...)
			p := decode[console.Problem](t, w, tc.status)
			if !strings.Contains(p.Detail, tc.detail) || p.Status != tc.status || p.Title != http.StatusText(tc.status) || p.Code == "" {
				t.Errorf("problem is %+v, want %q", p, tc.detail)
			}
			if tc.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestActionFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *console.Options) {
		o.Actions[0].Do = func(context.Context) error { return errors.New("the child is away") }
	})
	p := decode[console.Problem](t, f.do(http.MethodPost, "/api/actors/demo/child:crash", ""), http.StatusInternalServerError)
	if p.Detail != "the child is away" {
		t.Errorf("problem is %+v", p)
	}
}

// Req S4: only known host names are answered, and no request of another site
// changes anything.
func TestForeignRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *console.Options) { o.Hosts = []string{"Node.Example"} })
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1:9999": 200, "127.8.8.8": 200, "[::1]:8080": 200, "::1": 200,
		"node.example": 200, "NODE.example:8080": 200,
		"evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421, "192.168.1.5:8080": 421, "[::2]:80": 421, "": 421, "127.0.0.1.evil.example": 421,
	} {
		for _, target := range []string{"/", "/api/node", "/api/stream?limit=x"} {
			w := f.do(http.MethodGet, target, "", "Host", host)
			if blocked := w.Code == http.StatusMisdirectedRequest; blocked != (status == 421) {
				t.Errorf("GET %s from host %q: %d", target, host, w.Code)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		header []string
		status int
	}{
		{"from a program", nil, 202},
		{"from the page", []string{"Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"}, 202},
		{"from an old browser on the page", []string{"Origin", "http://localhost:8080"}, 202},
		{"from another site", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"from another port", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"}, 403},
		{"from another origin in an old browser", []string{"Origin", "http://localhost:3000"}, 403},
		{"from a sandbox", []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		w := f.do(http.MethodPost, "/api/runs", "", tc.header...)
		if w.Code != tc.status {
			t.Errorf("POST %s: %d, want %d", tc.name, w.Code, tc.status)
		}
	}
	if n := len(f.runs.started); n != 3 {
		t.Errorf("%d runs started, want the 3 allowed", n)
	}
}

// The hint names the port that the console is really at.
func TestForeignHostHint(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := httptest.NewRequest(http.MethodGet, "http://evil.example:80/", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18081})))
	w := httptest.NewRecorder()
	f.console.ServeHTTP(w, r)
	if p := decode[console.Problem](t, w, http.StatusMisdirectedRequest); !strings.Contains(p.Hint, "http://localhost:18081 ") {
		t.Errorf("hint is %q", p.Hint)
	}
}

// Req S4: every answer confines the page.
func TestHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, target := range []string{"/", "/api/node", "/api/none", "/none"} {
		h := f.get(target).Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", target, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy is %q", target, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers are %v", target, h)
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, target := range []string{"/", "/api/node", "/api/stream"} {
		if w := f.do(http.MethodHead, target, ""); w.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", target, w.Code)
		}
	}
}

func TestNewRefusesMistakes(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(actor.Options{})
	do := func(context.Context) error { return nil }
	good := console.Action{Path: "/a", Verb: "crash", Label: "Crash", Do: do}
	for name, opts := range map[string]console.Options{
		"no system":      {},
		"no do":          {System: sys, Actions: []console.Action{{Path: "/a", Verb: "x", Label: "X"}}},
		"doubled action": {System: sys, Actions: []console.Action{good, good}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			console.New(opts)
		}()
	}
}

// FuzzRequest throws requests at the API: whatever comes, the answer is JSON or
// the page, and errors are problems.
func FuzzRequest(f *testing.F) {
	sys := actor.NewSystem(actor.Options{})
	runs := newTestRuns(f)
	run := runs.start(f)
	runs.finish(f)
	c := console.New(console.Options{System: sys, Runs: runs})
	c.Close() // streams end at once
	for _, target := range []string{"/", "/api/tree?path=/&limit=3", "/api/runs/" + run + "/result?offset=2", "/api/actors/a:b", "/api/stream?more=1:/x", "/api/events?after=1", "/api/%2e%2e/x", "/api//runs"} {
		f.Add("GET", target, "")
	}
	f.Add("PUT", "/api/log-level", `{"level":"INFO"}`)
	f.Add("POST", "/api/workflows/weather/runs", `{"inputs":{"a":1,"b":"x"},"version":1}`)
	f.Add("POST", "/api/workflows", `{"text":"name: x"}`)
	f.Add("PUT", "/api/workflows/weather/active", `{"version":1}`)
	f.Add("POST", "/api/runs/"+run+"/approvals/a[1][2]", `{"approved":true}`)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://localhost", bytes.NewBufferString(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r.URL, err = r.URL.Parse(target)
		if err != nil || r.URL.Host != "localhost" {
			return
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		kind := w.Header().Get("Content-Type")
		if strings.HasPrefix(r.URL.Path, "/api/") && w.Code >= 400 && kind != "application/problem+json" {
			t.Errorf("%s %s: %d with %q", method, target, w.Code, kind)
		}
		if strings.Contains(kind, "json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %q", method, target, w.Body)
		}
	})
}
