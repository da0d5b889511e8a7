package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

// post sends a JSON body.
func (f *fixture) post(target, body string, header ...string) *httptest.ResponseRecorder {
	return f.do(http.MethodPost, target, body, append(header, "Content-Type", "application/json")...)
}

// put sends a JSON body.
func (f *fixture) put(target, body string, header ...string) *httptest.ResponseRecorder {
	return f.do(http.MethodPut, target, body, append(header, "Content-Type", "application/json")...)
}

// refused checks that an answer is a problem that says what is wanted.
func refused(t *testing.T, w *httptest.ResponseRecorder, status int, wants ...string) console.Problem {
	t.Helper()
	text := w.Body.String()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s, want %d: %s", w.Code, w.Header().Get("Content-Type"), status, text)
	}
	var p console.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	said := strings.Join([]string{p.Detail, p.Code, p.Hint, p.Target}, "\n")
	for _, e := range p.Errors {
		said += "\n" + strings.Join([]string{e.Where, e.Message, e.Hint}, "\n")
	}
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("the problem does not say %q: %s", want, text)
		}
	}
	if p.Title == "" || p.Status != status || p.Code == "" || p.Detail == "" {
		t.Errorf("the problem is not complete: %s", text)
	}
	return p
}

// started is the id of a run that a request has started.
func started(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	id := decode[console.RunStarted](t, w, http.StatusAccepted).ID
	if w.Header().Get("Location") != "/api/runs/"+id {
		t.Errorf("the location is %q", w.Header().Get("Location"))
	}
	return id
}

const playText = `name: play
inputs: {who: {type: string, default: nobody}, times: {type: int, default: 1}}
nodes:
  - {id: first, type: task.play, with: {say: "hello ${who}"}}
  - {id: second, type: task.play, after: first, with: {say: "${times}", wait: true}}
`

// Req W9: runs are started by the API, with inputs; a request that is repeated
// starts nothing, and its key is good for no other.
func TestStartRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, playText)
	const at = "/api/workflows/play/runs"
	id := started(t, f.post(at, `{"inputs":{"who":"Ada","times":3},"key":"acme","priority":2}`, "Idempotency-Key", "one"))
	if again := started(t, f.post(at, `{"inputs":{"times":"3","who":"Ada"},"key":"acme","priority":2}`, "Idempotency-Key", "one")); again != id {
		t.Errorf("the same request has started %s and %s", id, again)
	}
	for _, body := range []string{`{"inputs":{"who":"Eve","times":3},"key":"acme","priority":2}`, `{"key":"acme"}`, `{"inputs":{"who":"Ada","times":3},"key":"acme","priority":2,"version":7}`} {
		if w := f.post(at, body, "Idempotency-Key", "one"); w.Code != http.StatusNotFound || !strings.Contains(body, "version") {
			refused(t, w, http.StatusUnprocessableEntity, "ALREADY_EXISTS", id, "use a key of its own")
		}
	}
	refused(t, f.post("/api/workflows/weather/runs", `{}`, "Idempotency-Key", "one"), http.StatusUnprocessableEntity, id)
	other := started(t, f.do(http.MethodPost, at, ""))
	f.runs.stop(id).release(nil)
	f.runs.stop(other).release(nil)
	for _, run := range []string{id, other} {
		r, err := f.runs.engine.Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := f.get("/api/runs/" + id)
	view := decode[console.RunView](t, w, http.StatusOK)
	if s := view.Run.Start; s.Inputs["who"] != "Ada" || s.Inputs["times"] != "3" || s.Key != "acme" || s.Priority != 2 || string(view.Run.Nodes[0].Output) != `"hello Ada"` {
		t.Errorf("the run is %+v", view.Run)
	}
	if view.Layouts == nil || len(view.Layouts.Right.Routes) != 1 {
		t.Errorf("the edges of control are not drawn: %+v", view.Layouts)
	}
	tag := w.Header().Get("ETag")
	if again := f.do(http.MethodGet, "/api/runs/"+id, "", "If-None-Match", `"x", W/`+tag); tag == "" || again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("tag %s: %d %s", tag, again.Code, again.Body)
	}
	if again := f.do(http.MethodGet, "/api/runs/"+other, "", "If-None-Match", tag); again.Code != http.StatusOK {
		t.Errorf("another run with the same tag: %d", again.Code)
	}

	refused(t, f.post("/api/workflows/plai/runs", `{}`), http.StatusNotFound, "there is no such workflow", "play, weather")
	refused(t, f.post(at, `{"version":9}`), http.StatusNotFound, "no such version")
	refused(t, f.post(at, `{"inputs":{"whom":"Ada"}}`), http.StatusBadRequest, `no input "whom"`, `did you mean "who"?`)
	refused(t, f.post(at, `{"inputs":{"times":"many"}}`), http.StatusBadRequest, "times")
	refused(t, f.post(at, `{"input":{}}`), http.StatusBadRequest, "body.input: unexpected property", `did you mean "inputs"?`)
	refused(t, f.post(at, `{"priority":"high"}`), http.StatusBadRequest, `body.priority: expected integer, got "high"`)
	refused(t, f.post(at, `{"inputs":{"who":[1]}}`), http.StatusBadRequest, "body.inputs.who")
	refused(t, f.post(at, `{"key":`), http.StatusBadRequest, "body: unexpected end of JSON input")
	refused(t, f.post(at, `{}{}`), http.StatusBadRequest, "body")
	refused(t, f.do(http.MethodPost, at, `a=1`, "Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType, "body")
	refused(t, f.post(at, `{"key":"`+strings.Repeat("x", 5<<20)+`"}`), http.StatusRequestEntityTooLarge, "too large")
	refused(t, f.do(http.MethodGet, at, ""), http.StatusMethodNotAllowed, "use POST")
}

// Req W9: lists are filtered by the server, and their pages stay true while runs
// are added.
func TestListRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, playText)
	var ids []string
	start := func(key string) {
		id := started(t, f.post("/api/workflows/play/runs", fmt.Sprintf(`{"key":%q}`, key)))
		ids = append(ids, id)
	}
	for i := range 7 {
		start(fmt.Sprint("k", i%2))
	}
	page := func(query string) console.RunList {
		t.Helper()
		return decode[console.RunList](t, f.get("/api/runs?"+query), http.StatusOK)
	}
	var seen []string
	for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
		list := page("limit=3&cursor=" + cursor)
		for _, r := range list.Runs {
			seen = append(seen, r.ID)
		}
		cursor = list.Next
		start("late") // while the pages are read
		if n > 5 {
			t.Fatal("the pages do not end")
		}
	}
	first := slices.Clone(ids[:7])
	slices.Sort(seen)
	slices.Sort(first)
	if !slices.Equal(seen, first) {
		t.Errorf("the pages have %v, want the 7 that there were: %v", seen, first)
	}
	gone := ids[0]
	if w := f.post("/api/runs/"+gone+"/cancel", `{"reason":"not needed"}`); w.Code != http.StatusOK {
		t.Fatalf("cancel: %s", w.Body)
	}
	run, err := f.runs.engine.Run(t.Context(), gone)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := run.Wait(t.Context()); info.State != workflow.StateCancelled || info.Error != "not needed" {
		t.Errorf("the run is %s: %s", info.State, info.Error)
	}
	weather := f.runs.start(t)
	hour := time.Hour.String()
	for query, want := range map[string]int{
		"": len(ids) + 1, "workflow=play": len(ids), "workflow=weather": 1, "workflow=none": 0, "state=cancelled": 1, "state=running": len(ids),
		"state=running,cancelled": len(ids) + 1, "key=k1": 3, "key=late": len(ids) - 7, "trigger=api": len(ids), "trigger=manual": 1, "parent=" + gone: 0,
		"since=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339): len(ids) + 1, "since=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339): 0,
		"before=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339): 0, "workflow=play&key=k0&state=running&limit=2": 2,
	} {
		if list := page(query); len(list.Runs) != want {
			t.Errorf("%s: %d runs, want %d", query, len(list.Runs), want)
		}
	}
	if list := page("limit=1"); list.Runs[0].ID != weather || list.Next == "" || !list.CanStart {
		t.Errorf("the newest is %+v", list)
	}
	refused(t, f.get("/api/runs?since="+hour), http.StatusBadRequest, "query.since")
	refused(t, f.get("/api/runs?state=done"), http.StatusBadRequest, "query.state", "running")
	refused(t, f.get("/api/runs?limit=0"), http.StatusBadRequest, "query.limit: expected number >= 1, got 0")
	refused(t, f.get("/api/runs?limit=many"), http.StatusBadRequest, `query.limit: invalid integer, got "many"`)
	refused(t, f.get("/api/runs?cursor=abc"), http.StatusBadRequest, `cursor is "abc"`, "gave as next")
	refused(t, f.get("/api/runs?wrokflow=play"), http.StatusBadRequest, `does not know the query key "wrokflow"`, "workflow, state")
}

const waitText = `name: wait
nodes:
  - {id: gate, type: wait, with: {signal: go}}
  - {id: sign, type: approval, after: gate, with: {title: "Really?"}}
  - {id: work, type: task.play, after: sign.approved, with: {say: x, fail: true}}
`

// Req W6, W9: a run under way is paused, resumed, signalled, approved, retried and
// repeated by the API.
func TestRunActions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, waitText)
	id := started(t, f.post("/api/workflows/wait/runs", ""))
	at := "/api/runs/" + id
	state := func(path, body string, want workflow.State) {
		t.Helper()
		if got := decode[console.RunState](t, f.post(at+path, body), http.StatusOK); got.State != want || got.ID != id {
			t.Errorf("%s: %+v, want %s", path, got, want)
		}
	}
	state("/pause", "", workflow.StatePaused)
	state("/resume", "{}", workflow.StateRunning)
	refused(t, f.post(at+"/approvals/sign", `{"approved":true}`), http.StatusConflict, "FAILED_PRECONDITION")
	refused(t, f.post(at+"/approvals/sgin", `{"approved":true}`), http.StatusNotFound, `did you mean "sign"?`)
	refused(t, f.post(at+"/approvals/sign[", `{"approved":true}`), http.StatusBadRequest, "such as sign or sign[3]")
	refused(t, f.post(at+"/approvals/sign", `{}`), http.StatusBadRequest, "body: expected required property approved")
	refused(t, f.post(at+"/signals/go", `{"payload":}`), http.StatusBadRequest, "body")
	state("/signals/go", `{"payload":{"n":1}}`, workflow.StateRunning)
	f.runs.await(t, id, func(info workflow.RunInfo) bool { return info.Nodes[1].State == workflow.StateWaiting })
	state("/approvals/sign", `{"approved":true,"by":"Ada","comment":"fine"}`, workflow.StateRunning)
	run, err := f.runs.engine.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := run.Wait(t.Context())
	if info.State != workflow.StateFailed || string(info.Nodes[0].Output) != `{"n":1}` {
		t.Fatalf("the run is %s: %+v", info.State, info.Nodes)
	}
	refused(t, f.post(at+"/cancel", ""), http.StatusConflict, "the run has ended")
	f.runs.stop(id).release(nil)
	if got := decode[console.RunState](t, f.post(at+"/retry", ""), http.StatusOK); got.ID != id {
		t.Errorf("retry: %+v", got)
	}
	if info, err := run.Wait(t.Context()); err != nil || info.State != workflow.StateCompleted {
		t.Errorf("after the retry: %s, %v", info.State, err)
	}
	next := started(t, f.post(at+"/rerun", `{"from":"work"}`, "Idempotency-Key", "again"))
	if same := started(t, f.post(at+"/rerun", `{"from":"work"}`, "Idempotency-Key", "again")); same != next || next == id {
		t.Errorf("reruns are %s and %s", next, same)
	}
	refused(t, f.post("/api/runs/"+next+"/rerun", `{"from":"work"}`, "Idempotency-Key", "again"), http.StatusUnprocessableEntity, next)
	refused(t, f.post(at+"/rerun", `{"from":"wrok"}`), http.StatusNotFound, `did you mean "work"?`)
	for _, path := range []string{"/cancel", "/pause", "/resume", "/retry", "/rerun", "/signals/go"} {
		refused(t, f.post("/api/runs/none"+path, "{}"), http.StatusNotFound, "there is no such run")
	}
	refused(t, f.post(at+"/pause", `{"why":"x"}`), http.StatusBadRequest, "body.why: unexpected property", "reason")
}

// Req W4, W9: history, timeline and log of a run come in pages of what is asked
// for.
func TestRunHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, `name: many
nodes:
  - {id: each, type: foreach, with: {items: "[1,2,3,4,5,6,7,8]"}, do: [{id: one, type: task.play, with: {say: x}}]}
`)
	id := started(t, f.post("/api/workflows/many/runs", ""))
	run, err := f.runs.engine.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	info, err := run.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := "/api/runs/" + id
	var events []workflow.Event
	spans := map[string]console.Span{}
	for after, n := int64(0), 0; n == 0 || after != 0; n++ {
		page := decode[console.History](t, f.get(fmt.Sprintf("%s/history?limit=4&after=%d", at, after)), http.StatusOK)
		line := decode[console.Timeline](t, f.get(fmt.Sprintf("%s/timeline?limit=4&after=%d", at, after)), http.StatusOK)
		if page.Next != line.Next || page.Total != info.Events || line.Total != info.Events || len(page.Events) > 4 {
			t.Fatalf("pages differ: %+v, %+v", page, line)
		}
		events = append(events, page.Events...)
		for _, s := range line.Spans {
			spans[s.ID] = s
		}
		after = page.Next
	}
	if int64(len(events)) != info.Events || events[0].Type != workflow.WorkflowStarted || events[len(events)-1].Type != workflow.WorkflowCompleted {
		t.Errorf("%d events of %d", len(events), info.Events)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has the number %d", i, e.Seq)
		}
	}
	if len(spans) != 10 { // the run, the foreach, its 8 items
		t.Errorf("%d spans: %v", len(spans), spans)
	}
	for id, s := range spans {
		if s.State != workflow.StateCompleted || s.End.IsZero() || s.End.Before(s.Start) || s.Start.IsZero() {
			t.Errorf("%s is %+v", id, s)
		}
	}
	if s := spans["one[7]#1"]; s.Kind != console.SpanNode || s.Node != "one" || fmt.Sprint(s.Iteration) != "[7]" || s.Attempt != 1 {
		t.Errorf("an item is %+v", s)
	}
	end := decode[console.History](t, f.get(fmt.Sprintf("%s/history?after=%d", at, info.Events+5)), http.StatusOK)
	if len(end.Events) != 0 || end.Next != 0 {
		t.Errorf("behind the end: %+v", end)
	}
	if log := decode[console.RunLog](t, f.get(at+"/logs?tail=5&level=WARN&node=one"), http.StatusOK); log.Lines == nil {
		t.Errorf("the log is %+v", log)
	}
	for _, path := range []string{"/history", "/timeline", "/logs", "/result"} {
		refused(t, f.get("/api/runs/none"+path), http.StatusNotFound, "there is no such run")
		refused(t, f.get(at+path+"?limit=-1"), http.StatusBadRequest, "query.limit: expected number >=", "got -1")
		refused(t, f.get(at+path+"?afer=1"), http.StatusBadRequest, "afer", "limit")
	}
	refused(t, f.get(at+"/logs?level=LOUD"), http.StatusBadRequest, "query.level", "DEBUG, INFO, WARN, ERROR")
}
