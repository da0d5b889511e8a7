package console_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

// deployBody is the body of a request that deploys a text.
func deployBody(t *testing.T, text string) string {
	t.Helper()
	body, err := json.Marshal(console.DeployRequest{Text: text, Comment: "by a test"})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const pairText = `name: pair
nodes:
  - {id: a, type: task.play, with: {say: one}}
  - {id: b, type: task.play, after: a, with: {say: %s}}
`

// Req W9, W10: definitions are deployed, read back, compared and activated; who
// decides on what is not true any more is told so.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for n, say := range []string{"two", "three", "three"} {
		w := f.post("/api/workflows", deployBody(t, fmt.Sprintf(pairText, say)))
		v := decode[workflow.Version](t, w, http.StatusCreated)
		if want := min(int64(n+1), 2); v.Workflow != "pair" || v.Version != want || !v.Active || v.Comment != "by a test" || w.Header().Get("Location") != fmt.Sprint("/api/workflows/pair/versions/", want) {
			t.Errorf("deployment %d: %+v at %s", n, v, w.Header().Get("Location"))
		}
	}
	const at = "/api/workflows/pair"
	list := decode[console.WorkflowList](t, f.get("/api/workflows?limit=1"), http.StatusOK)
	rest := decode[console.WorkflowList](t, f.get("/api/workflows?limit=1&cursor="+list.Next), http.StatusOK)
	if len(list.Workflows) != 1 || list.Workflows[0].Workflow != "pair" || list.Workflows[0].Text != "" || len(rest.Workflows) != 1 || rest.Next != "" {
		t.Errorf("the pages are %+v and %+v", list, rest)
	}
	versions := decode[console.VersionList](t, f.get(at+"/versions?limit=1"), http.StatusOK)
	older := decode[console.VersionList](t, f.get(at+"/versions?cursor="+versions.Next), http.StatusOK)
	if versions.Versions[0].Version != 2 || len(older.Versions) != 1 || older.Versions[0].Version != 1 {
		t.Errorf("the versions are %+v and %+v", versions, older)
	}
	w := f.get(at + "/versions/1")
	view := decode[console.VersionView](t, w, http.StatusOK)
	if view.Text != fmt.Sprintf(pairText, "two") || view.Definition == nil || len(view.Layouts.Down.Boxes) != 2 || len(view.Layouts.Down.Routes) != 1 {
		t.Errorf("the first version is %+v", view)
	}
	if again := f.do(http.MethodGet, at+"/versions/1", "", "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("the version again: %d", again.Code)
	}
	diff := decode[workflow.Diff](t, f.get(at+"/diff?from=1&to=2"), http.StatusOK)
	if len(diff.Nodes) != 1 || diff.Nodes[0].Name != "b" || diff.From != 1 || diff.To != 2 {
		t.Errorf("the difference is %+v", diff)
	}

	tag := f.get(at).Header().Get("ETag")
	if tag != `"2"` {
		t.Errorf("the tag is %s", tag)
	}
	first := f.put(at+"/active", `{"version":1}`, "If-Match", tag)
	if v := decode[workflow.Version](t, first, http.StatusOK); v.Version != 1 || first.Header().Get("ETag") != `"1"` {
		t.Errorf("activated %+v", v)
	}
	refused(t, f.put(at+"/active", `{"version":2}`, "If-Match", tag), http.StatusPreconditionFailed, "ABORTED", "not 2 any more")
	refused(t, f.put(at+"/active", `{"version":2}`, "If-Match", "two"), http.StatusBadRequest, `expected the ETag of the workflow`)
	decode[workflow.Version](t, f.put(at+"/active", `{"version":2}`), http.StatusOK)
	refused(t, f.put(at+"/active", `{"version":3}`), http.StatusNotFound, "no such version")
	refused(t, f.put(at+"/active", `{}`), http.StatusBadRequest, "required property version")
	for _, target := range []string{"/api/workflows/none", "/api/workflows/none/versions", "/api/workflows/none/versions/1", at + "/versions/7", "/api/workflows/none/diff"} {
		refused(t, f.get(target), http.StatusNotFound, "no such")
	}
	staged := decode[workflow.Version](t, f.post("/api/workflows", fmt.Sprintf(`{"text":%q,"activate":false}`, fmt.Sprintf(pairText, "four"))), http.StatusCreated)
	if staged.Version != 3 || staged.Active {
		t.Errorf("staged %+v", staged)
	}
	rollout := decode[workflow.RolloutInfo](t, f.put(at+"/rollout", `{"candidate":3,"steps":[10,100],"step_after":"1m"}`), http.StatusOK)
	if rollout.State != workflow.RolloutActive || rollout.Stable != 2 || rollout.Percent != 10 || len(rollout.Arms) != 2 {
		t.Errorf("the rollout is %+v", rollout)
	}
	refused(t, f.put(at+"/rollout", `{"candidate":3}`), http.StatusConflict, "a rollout is active", "end it first")
	if r := decode[workflow.RolloutInfo](t, f.get(at+"/rollout"), http.StatusOK); r.ID != rollout.ID {
		t.Errorf("the rollout again is %+v", r)
	}
	if r := decode[workflow.RolloutInfo](t, f.do(http.MethodDelete, at+"/rollout?reason=enough", ""), http.StatusOK); r.State != workflow.RolloutEnded || r.Reason != "enough" {
		t.Errorf("the rollout ended as %+v", r)
	}
	refused(t, f.put(at+"/rollout", `{"candidate":9}`), http.StatusNotFound, "no such version")
	refused(t, f.put(at+"/rollout", `{"candidat":3}`), http.StatusBadRequest, `did you mean "candidate"?`)
	if r := decode[workflow.RolloutInfo](t, f.get("/api/workflows/weather/rollout"), http.StatusOK); r.State != workflow.RolloutNone || r.Workflow != "weather" {
		t.Errorf("a workflow without a rollout: %+v", r)
	}
	refused(t, f.get("/api/workflows/nobody/rollout"), http.StatusNotFound, "nobody")
	refused(t, f.do(http.MethodDelete, "/api/workflows/weather/rollout", ""), http.StatusNotFound, "no rollout")
	if v := decode[workflow.Version](t, f.post("/api/workflows", fmt.Sprintf(`{"text":%q,"activate":true}`, fmt.Sprintf(pairText, "four"))), http.StatusCreated); v.Version != 3 || !v.Active {
		t.Errorf("activated %+v", v)
	}
	refused(t, f.get(at+"/versions/one"), http.StatusBadRequest, "path.version")
	refused(t, f.get(at+"/diff?from=x"), http.StatusBadRequest, "query.from")

	p := refused(t, f.post("/api/workflows", deployBody(t, "name: pair\nnodes:\n  - {id: a, type: task.plai}\n  - {id: a, type: task.play, wiht: {}}\n")), http.StatusBadRequest, "task.play", "workflow.yaml:3:")
	if len(p.Errors) < 2 {
		t.Errorf("not all mistakes are told: %+v", p.Errors)
	}
	refused(t, f.post("/api/workflows", `{"text":""}`), http.StatusBadRequest, "body.text")
	refused(t, f.post("/api/workflows", `{"text":"name: x","dir":"here"}`), http.StatusBadRequest, "expected an absolute path")
	refused(t, f.post("/api/workflows", `{"txt":"name: x"}`), http.StatusBadRequest, `did you mean "text"?`)

	types := decode[console.NodeTypes](t, f.get("/api/node-types"), http.StatusOK)
	if len(types.Types) < 7 || types.Types[0].Name != "source.csv" || len(types.Types[0].Config) != 3 {
		t.Errorf("the node types are %+v", types)
	}
}

// Req W3, W9: schedules are made, changed, paused, run, backfilled and removed.
func TestSchedules(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, playText)
	const at = "/api/schedules/nightly"
	const text = `{"workflow":"play","cron":"0 3 * * *","time_zone":"Europe/Berlin","overlap":"allow"}`
	w := f.put(at, text, "If-None-Match", "*")
	made := decode[workflow.ScheduleInfo](t, w, http.StatusOK)
	if made.Name != "nightly" || made.Revision != 1 || len(made.Next) == 0 || w.Header().Get("ETag") != `"1"` {
		t.Errorf("made %+v with the tag %s", made, w.Header().Get("ETag"))
	}
	refused(t, f.put(at, text, "If-None-Match", "*"), http.StatusPreconditionFailed)
	tag := f.get(at).Header().Get("ETag")
	if again := f.do(http.MethodGet, at, "", "If-None-Match", tag); again.Code != http.StatusNotModified {
		t.Errorf("the schedule again: %d", again.Code)
	}
	changed := decode[workflow.ScheduleInfo](t, f.put(at, `{"workflow":"play","every":"1h","jitter":"5m"}`, "If-Match", tag), http.StatusOK)
	if changed.Revision != 2 || changed.Every != workflow.Duration(time.Hour) || changed.Cron != "" {
		t.Errorf("changed to %+v", changed)
	}
	refused(t, f.put(at, text, "If-Match", tag), http.StatusPreconditionFailed, "ABORTED")
	if s := decode[workflow.ScheduleInfo](t, f.post(at+"/pause", `{"comment":"holidays"}`), http.StatusOK); !s.Paused || s.Comment != "holidays" {
		t.Errorf("paused: %+v", s)
	}
	if s := decode[workflow.ScheduleInfo](t, f.post(at+"/resume", ""), http.StatusOK); s.Paused {
		t.Errorf("resumed: %+v", s)
	}
	id := started(t, f.do(http.MethodPost, at+"/run", "", "Idempotency-Key", "now"))
	if again := started(t, f.do(http.MethodPost, at+"/run", "", "Idempotency-Key", "now")); again != id {
		t.Errorf("the same request has started %s and %s", id, again)
	}
	f.runs.stop(id).release(nil)
	if s := decode[workflow.ScheduleInfo](t, f.get(at), http.StatusOK); s.LastRun != id || len(s.Firings) != 1 {
		t.Errorf("after a run by hand: %+v", s)
	}
	decode[workflow.ScheduleInfo](t, f.put("/api/schedules/second", `{"workflow":"weather","every":"24h","start":"2020-01-01T00:00:00Z","paused":true}`), http.StatusOK)
	backfilled := decode[workflow.ScheduleInfo](t, f.post("/api/schedules/second/backfill", `{"from":"2020-01-02T00:00:00Z","to":"2020-01-03T00:00:00Z","max":2}`), http.StatusAccepted)
	if len(backfilled.Backfills) != 1 {
		t.Errorf("the backfill is %+v", backfilled)
	}
	refused(t, f.post("/api/schedules/second/backfill", `{"from":"2020-01-02T00:00:00Z","to":"2020-02-03T00:00:00Z","max":2}`), http.StatusBadRequest, "more than 2 instants")
	refused(t, f.post("/api/schedules/second/backfill", `{"from":"2020-01-02","to":"2020-02-03T00:00:00Z"}`), http.StatusBadRequest, "body.from")
	list := decode[console.ScheduleList](t, f.get("/api/schedules?limit=1"), http.StatusOK)
	rest := decode[console.ScheduleList](t, f.get("/api/schedules?limit=1&cursor="+list.Next), http.StatusOK)
	if list.Schedules[0].Name != "nightly" || rest.Schedules[0].Name != "second" || rest.Next != "" {
		t.Errorf("the pages are %+v and %+v", list, rest)
	}
	if only := decode[console.ScheduleList](t, f.get("/api/schedules?workflow=weather"), http.StatusOK); len(only.Schedules) != 1 {
		t.Errorf("of one workflow: %+v", only)
	}
	refused(t, f.put(at, `{"workflow":"play","cron":"0 25 * * *","overlap":"sometimes"}`), http.StatusBadRequest, "body.cron", "body.overlap", "skip")
	refused(t, f.put(at, `{"workflow":"plai","every":"1h"}`), http.StatusNotFound, "no such workflow")
	refused(t, f.put(at, `{"workflow":"play","evry":"1h"}`), http.StatusBadRequest, `did you mean "every"?`)
	refused(t, f.put(at, `{"workflow":"play","every":"hourly"}`), http.StatusBadRequest, "hourly")
	refused(t, f.put(at, `{"name":"other","workflow":"play","every":"1h"}`), http.StatusBadRequest, "keeps its name")
	refused(t, f.do(http.MethodDelete, at, "", "If-Match", `"9"`), http.StatusPreconditionFailed)
	if gone := f.do(http.MethodDelete, at, ""); gone.Code != http.StatusNoContent || gone.Body.Len() != 0 {
		t.Errorf("delete: %d %s", gone.Code, gone.Body)
	}
	for _, w := range []int{f.get(at).Code, f.do(http.MethodDelete, at, "").Code, f.post(at+"/pause", "").Code, f.post(at+"/run", "").Code} {
		if w != http.StatusNotFound {
			t.Errorf("of a schedule that is gone: %d", w)
		}
	}
}

// Req W3, W9: triggers are made by the API, and a webhook needs none of what
// protects a browser, but its signature; sent again, it starts nothing.
func TestTriggers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, playText)
	const at = "/api/triggers/orders"
	w := f.put(at, `{"workflow":"play","kind":"webhook","with":{"secret":"env:PATH","id_header":"X-Id"},"inputs":{"who":"${{ trigger.body.who }}"}}`, "If-None-Match", "*")
	made := decode[workflow.TriggerInfo](t, w, http.StatusOK)
	if made.Revision != 1 || made.Name != "orders" {
		t.Errorf("made %+v", made)
	}
	const body = `{"who":"Ada"}`
	mac := hmac.New(sha256.New, []byte(os.Getenv("PATH")))
	mac.Write([]byte(body))
	signed := []string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-Id", "7", "Host", "hooks.example", "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"}
	var first console.HookDelivered
	for n := range 2 {
		got := decode[console.HookDelivered](t, f.post("/api/hooks/orders?x=1", body, signed...), http.StatusAccepted)
		if n == 0 {
			first = got
		}
		if got.ID != first.ID || got.Repeated != (n == 1) {
			t.Errorf("delivery %d: %+v", n, got)
		}
	}
	f.runs.stop(first.ID).release(nil)
	refused(t, f.post("/api/hooks/orders", `{"who":"Eve"}`, signed...), http.StatusUnauthorized, "signature")
	refused(t, f.post("/api/hooks/none", body), http.StatusNotFound, "no such trigger")
	if s := decode[workflow.TriggerInfo](t, f.post(at+"/pause", `{"comment":"holidays"}`), http.StatusOK); !s.Paused {
		t.Errorf("paused: %+v", s)
	}
	refused(t, f.post("/api/hooks/orders", body, signed...), http.StatusConflict, "paused")
	decode[workflow.TriggerInfo](t, f.post(at+"/resume", ""), http.StatusOK)
	if list := decode[console.TriggerList](t, f.get("/api/triggers"), http.StatusOK); len(list.Triggers) != 1 {
		t.Errorf("the list is %+v", list)
	}
	refused(t, f.put(at, `{"workflow":"play","kind":"webhok"}`), http.StatusBadRequest, "body.kind", "webhook")
	if gone := f.do(http.MethodDelete, at, ""); gone.Code != http.StatusNoContent {
		t.Errorf("delete: %d %s", gone.Code, gone.Body)
	}
}

// Req W9, W10: before a version is rolled out, what has happened is decided again
// by it, and what differs is told; a workflow is deleted when nothing needs it.
func TestReplayAndDelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	const at = "/api/workflows/pair"
	version := func(comment string) {
		decode[workflow.Version](t, f.post("/api/workflows", deployBody(t, fmt.Sprintf(pairText, "two")+comment)), http.StatusCreated)
	}
	version("")
	id := started(t, f.post(at+"/runs", ""))
	f.runs.await(t, id, func(i workflow.RunInfo) bool { return i.State == workflow.StateCompleted })
	version("# The same, with a remark.\n")
	same := decode[workflow.ReplayReport](t, f.post(at+"/replay", `{"version":2}`), http.StatusOK)
	if same.Same != 1 || same.Version != 2 || len(same.Runs) != 1 || same.Runs[0].RunID != id {
		t.Errorf("the same: %+v", same)
	}
	if active := decode[workflow.ReplayReport](t, f.post(at+"/replay", `{}`), http.StatusOK); active.Version != 2 {
		t.Errorf("the active version: %+v", active)
	}
	replayed := func(text string) *httptest.ResponseRecorder {
		body, err := json.Marshal(console.ReplayRequest{Text: text, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		return f.post(at+"/replay", string(body))
	}
	other := decode[workflow.ReplayReport](t, replayed("name: pair\nnodes:\n  - {id: a, type: task.play}\n  - {id: c, type: task.play, after: a}\n"), http.StatusOK)
	if other.Same != 0 || other.Version != 0 || other.Differs+other.Unknown != 1 || other.Runs[0].Event == 0 {
		t.Errorf("another text: %+v", other)
	}
	refused(t, replayed("name: weather\nnodes:\n  - {id: a, type: task.play}\n"), http.StatusBadRequest, "of the workflow weather, not of pair")
	refused(t, replayed("name: pair\nnodes: 7\n"), http.StatusBadRequest, "workflow.yaml:2:")
	refused(t, f.post(at+"/replay", `{"version":9}`), http.StatusNotFound, "no such version")
	refused(t, f.post(at+"/replay", `{"version":1,"text":"name: x"}`), http.StatusBadRequest, "either of them")
	refused(t, f.post(at+"/replay", `{"limit":10001}`), http.StatusBadRequest, "body.limit")
	refused(t, f.post("/api/workflows/none/replay", `{}`), http.StatusNotFound, "no such workflow")

	decode[workflow.ScheduleInfo](t, f.put("/api/schedules/nightly", `{"workflow":"pair","every":"24h"}`), http.StatusOK)
	refused(t, f.do(http.MethodDelete, at, ""), http.StatusConflict, "schedule nightly", "delete it first")
	f.do(http.MethodDelete, "/api/schedules/nightly", "")
	if gone := decode[workflow.DeletedWorkflow](t, f.do(http.MethodDelete, at, ""), http.StatusOK); gone.Versions != 2 || gone.Pruned {
		t.Errorf("deleted %+v", gone)
	}
	refused(t, f.get(at), http.StatusNotFound, "no such workflow", "there are weather")
	if view := decode[console.RunView](t, f.get("/api/runs/"+id), http.StatusOK); len(view.Run.Nodes) != 2 {
		t.Errorf("its run: %+v", view.Run)
	}
	if gone := decode[workflow.DeletedWorkflow](t, f.do(http.MethodDelete, at+"?prune=true", ""), http.StatusOK); !gone.Pruned || len(gone.Runs) != 1 {
		t.Errorf("pruned %+v", gone)
	}
	refused(t, f.get("/api/runs/"+id), http.StatusNotFound, "no such run")
	refused(t, f.do(http.MethodDelete, at+"?prune=perhaps", ""), http.StatusBadRequest, "query.prune")
}

// Req W9, W12: a schedule can be judged before it is kept, a trigger be tried by
// hand, and what a filter names has to exist.
func TestTried(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.runs.deploy(t, playText)
	p := decode[workflow.SchedulePreview](t, f.post("/api/schedule-preview", `{"cron":"0 3 * * *","time_zone":"Europe/Berln"}`), http.StatusOK)
	if len(p.Next) != 0 || len(p.Errors) != 3 || p.Errors[2].Field != "time_zone" || p.Errors[2].Hint != `did you mean "Europe/Berlin"?` {
		t.Errorf("wrong: %+v", p)
	}
	if p := decode[workflow.SchedulePreview](t, f.post("/api/schedule-preview", `{"name":"n","workflow":"play","every":"1h"}`), http.StatusOK); len(p.Next) != 5 || p.Errors == nil || len(p.Errors) != 0 {
		t.Errorf("right: %+v", p)
	}
	if p := decode[workflow.SchedulePreview](t, f.post("/api/schedule-preview", `{"name":"n","workflow":"play","every":"hourly","jitter":"x"}`), http.StatusOK); len(p.Next) != 0 || len(p.Errors) != 2 || p.Errors[0].Field != "every" || p.Errors[1].Field != "jitter" {
		t.Errorf("no durations: %+v", p)
	}
	if p := refused(t, f.put("/api/schedules/n", `{"workflow":"play","every":"hourly"}`), http.StatusBadRequest, "hourly"); strings.Contains(p.Detail, "workflow") && strings.Contains(p.Detail, "play") {
		t.Errorf("the whole body is told: %s", p.Detail)
	}
	if s := decode[console.ScheduleList](t, f.get("/api/schedules"), http.StatusOK); len(s.Schedules) != 0 {
		t.Errorf("a preview has made %+v", s)
	}

	const at = "/api/triggers/orders"
	decode[workflow.TriggerInfo](t, f.put(at, `{"workflow":"play","kind":"webhook","with":{"secret":"env:PATH"},"paused":true,"inputs":{"who":"${{ trigger.body.who }} ${{ trigger.header[\"x-n\"] }}"}}`), http.StatusOK)
	const delivery = `{"id":"7","body":"{\"who\":\"Ada\"}","header":{"X-N":["1"]}}`
	first := decode[console.HookDelivered](t, f.post(at+"/deliver", delivery), http.StatusAccepted)
	again := decode[console.HookDelivered](t, f.post(at+"/deliver", delivery), http.StatusAccepted)
	if first.Repeated || !again.Repeated || again.ID != first.ID {
		t.Errorf("delivered %+v and %+v", first, again)
	}
	f.runs.stop(first.ID).release(nil)
	refused(t, f.post(at+"/deliver", `{"body":"none"}`), http.StatusBadRequest, "inputs.who")
	refused(t, f.post(at+"/deliver", `{"boby":"none"}`), http.StatusBadRequest, `did you mean "body"?`)
	refused(t, f.post("/api/triggers/none/deliver", `{}`), http.StatusNotFound, "no such trigger")

	id := "/api/runs/" + first.ID
	refused(t, f.get(id+"/history?type=NodeFaild"), http.StatusBadRequest, "query.type", `did you mean "NodeFailed"?`)
	refused(t, f.get(id+"/history?node=ab"), http.StatusNotFound, "query.node", "the run has no node")
	refused(t, f.get(id+"/logs?node=ab[3]"), http.StatusNotFound, "query.node", "the run has no node")

	c := decode[console.Cluster](t, f.get("/api/cluster"), http.StatusOK)
	if len(c.Members) != 1 || !c.Members[0].Self || c.Members[0].Name != f.sys.Name() || c.Members[0].Workflows != console.MemberRuns || c.Members[0].Health.Status == "" || c.Members[0].Actors == 0 {
		t.Errorf("the cluster is %+v", c)
	}
	bare := httptest.NewRecorder()
	console.New(console.Options{System: f.sys}).ServeHTTP(bare, httptest.NewRequest(http.MethodGet, "http://localhost/api/cluster", nil))
	if c := decode[console.Cluster](t, bare, http.StatusOK); c.Members[0].Workflows != console.MemberNone {
		t.Errorf("a node without workflows is %+v", c)
	}
}
