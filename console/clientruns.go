package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// RunListQuery asks for a page of the list of runs. Empty fields let everything
// through.
type RunListQuery struct {
	Workflow string
	States   []workflow.State
	Key      string
	Trigger  string
	Parent   string
	Since    time.Time // started at or after
	Before   time.Time // started before
	Limit    int       // default RunsDefault, at most RunsMax
	Cursor   string    // next of the page before
}

// query is a query of a request that leaves out what is empty.
type query url.Values

func (q query) text(key, text string) query {
	if text != "" {
		url.Values(q).Set(key, text)
	}
	return q
}

func (q query) number(key string, n int64) query {
	if n != 0 {
		url.Values(q).Set(key, strconv.FormatInt(n, 10))
	}
	return q
}

func (q query) time(key string, at time.Time) query {
	if !at.IsZero() {
		url.Values(q).Set(key, at.UTC().Format(time.RFC3339Nano))
	}
	return q
}

// of is a path with the query.
func (q query) of(path string) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + url.Values(q).Encode()
}

// fetch asks for something.
func fetch[T any](ctx context.Context, c *Client, path string) (answer T, err error) {
	err = c.call(ctx, http.MethodGet, path, nil, &answer)
	return answer, err
}

// tell has something done, and returns the answer.
func tell[T any](ctx context.Context, c *Client, method, path string, body any, header ...string) (answer T, err error) {
	err = c.call(ctx, method, path, body, &answer, header...)
	return answer, err
}

func runURL(id, rest string) string { return "/api/runs/" + url.PathEscape(id) + rest }

// idempotencyKey is the header of a request that may be repeated, none for "".
func idempotencyKey(key string) []string {
	if key == "" {
		return nil
	}
	return []string{"Idempotency-Key", key}
}

// Runs lists runs, the newest first.
func (c *Client) Runs(ctx context.Context, q RunListQuery) (RunList, error) {
	states := make([]string, len(q.States))
	for i, s := range q.States {
		states[i] = string(s)
	}
	path := query{}.text("workflow", q.Workflow).text("state", strings.Join(states, ",")).text("key", q.Key).text("trigger", q.Trigger).
		text("parent", q.Parent).time("since", q.Since).time("before", q.Before).number("limit", int64(q.Limit)).text("cursor", q.Cursor).of("/api/runs")
	return fetch[RunList](ctx, c, path)
}

// Run returns one run.
func (c *Client) Run(ctx context.Context, id string) (RunView, error) {
	return fetch[RunView](ctx, c, runURL(id, ""))
}

// HistoryQuery asks for events of a run. Empty fields let everything through.
type HistoryQuery struct {
	After int64  // the number of the last event that is known
	Limit int    // default EventsPage, at most EventsPageMax
	Node  string // of all its iterations
	Type  workflow.EventType
}

// History returns a page of the events of a run, in the order in which they
// happened. A page with a filter may be empty and have a next one.
func (c *Client) History(ctx context.Context, id string, q HistoryQuery) (History, error) {
	path := query{}.number("after", q.After).number("limit", int64(q.Limit)).text("node", q.Node).text("type", string(q.Type))
	return fetch[History](ctx, c, path.of(runURL(id, "/history")))
}

// Timeline returns the spans that a page of the events of a run tells of.
func (c *Client) Timeline(ctx context.Context, id string, after int64, limit int) (Timeline, error) {
	return fetch[Timeline](ctx, c, query{}.number("after", after).number("limit", int64(limit)).of(runURL(id, "/timeline")))
}

// RunLogQuery asks for lines of the log of a run. Empty fields let everything
// through.
type RunLogQuery struct {
	After int64  // the number of the last line that is known
	Tail  int    // begin with the last lines, so many of them
	Level string // the lowest
	Node  string
	Limit int // default LinesPage, at most LinesPageMax
}

// Logs returns lines of the log of a run, the oldest first.
func (c *Client) Logs(ctx context.Context, id string, q RunLogQuery) (RunLog, error) {
	path := query{}.number("after", q.After).number("tail", int64(q.Tail)).text("level", q.Level).text("node", q.Node).number("limit", int64(q.Limit))
	return fetch[RunLog](ctx, c, path.of(runURL(id, "/logs")))
}

// ResultPage is a page of a table that a run wrote, with its values as JSON.
type ResultPage struct {
	Name    string              `json:"name"`
	Columns []workflow.Column   `json:"columns"`
	Rows    [][]json.RawMessage `json:"rows"`
	Total   int                 `json:"total"`
	Sink    string              `json:"sink"`
	Sinks   []string            `json:"sinks"`
	Limit   int                 `json:"limit"`
	Offset  int                 `json:"offset"`
}

// Result returns a page of a table that a run wrote, see [Runs].
func (c *Client) Result(ctx context.Context, id, sink string, limit, offset int) (ResultPage, error) {
	return fetch[ResultPage](ctx, c, query{}.text("sink", sink).number("limit", int64(limit)).number("offset", int64(offset)).of(runURL(id, "/result")))
}

// StartRun starts a run of a workflow. With a key, which may be empty, the
// request can be repeated.
func (c *Client) StartRun(ctx context.Context, name string, r RunRequest, key string) (RunStarted, error) {
	return tell[RunStarted](ctx, c, http.MethodPost, workflowURL(name)+"/runs", r, idempotencyKey(key)...)
}

// RunVerb is something that is done to a run: cancel, pause, resume or retry.
type RunVerb string

// What is done to runs by [Client.ActOnRun].
const (
	RunCancel RunVerb = "cancel"
	RunPause  RunVerb = "pause"
	RunResume RunVerb = "resume"
	RunRetry  RunVerb = "retry"
)

// ActOnRun does something to a run. The reason is that of a cancellation, and may
// be empty.
func (c *Client) ActOnRun(ctx context.Context, id string, verb RunVerb, reason string) (RunState, error) {
	return tell[RunState](ctx, c, http.MethodPost, runURL(id, "/"+string(verb)), RunAction{reason})
}

// RerunRun repeats a run as a new one.
func (c *Client) RerunRun(ctx context.Context, id string, r RerunRequest, key string) (RunStarted, error) {
	return tell[RunStarted](ctx, c, http.MethodPost, runURL(id, "/rerun"), r, idempotencyKey(key)...)
}

// SignalRun sends a signal to a run, with a payload as JSON or nil.
func (c *Client) SignalRun(ctx context.Context, id, name string, payload json.RawMessage, key string) (RunState, error) {
	return tell[RunState](ctx, c, http.MethodPost, runURL(id, "/signals/"+url.PathEscape(name)), SignalRequest{payload}, idempotencyKey(key)...)
}

// ApproveRun answers an approval of a run: the node, with its iteration if it
// lies in a loop.
func (c *Client) ApproveRun(ctx context.Context, id, step string, r ApprovalRequest) (RunState, error) {
	return tell[RunState](ctx, c, http.MethodPost, runURL(id, "/approvals/"+url.PathEscape(step)), r)
}

// Workflows lists the active versions of the workflows, by name.
func (c *Client) Workflows(ctx context.Context, limit int, cursor string) (WorkflowList, error) {
	return fetch[WorkflowList](ctx, c, query{}.number("limit", int64(limit)).text("cursor", cursor).of("/api/workflows"))
}

// DeleteWorkflow deletes a workflow, with prune all that is known of it.
func (c *Client) DeleteWorkflow(ctx context.Context, name string, prune bool) (workflow.DeletedWorkflow, error) {
	q := query{}
	if prune {
		q = q.text("prune", "true")
	}
	return tell[workflow.DeletedWorkflow](ctx, c, http.MethodDelete, q.of(workflowURL(name)), nil)
}

// NodeTypes describes what the nodes of a definition can be.
func (c *Client) NodeTypes(ctx context.Context) (NodeTypes, error) {
	return fetch[NodeTypes](ctx, c, "/api/node-types")
}

// Deploy makes a definition a version of the workflow of its name.
func (c *Client) Deploy(ctx context.Context, r DeployRequest) (workflow.Version, error) {
	return tell[workflow.Version](ctx, c, http.MethodPost, "/api/workflows", r)
}

// Version returns a version of a workflow with its text, 0 the active one.
func (c *Client) Version(ctx context.Context, name string, version int64) (workflow.Version, error) {
	if version == 0 {
		return fetch[workflow.Version](ctx, c, workflowURL(name))
	}
	return fetch[workflow.Version](ctx, c, versionURL(name, version))
}

// Versions lists the versions of a workflow, the newest first.
func (c *Client) Versions(ctx context.Context, name string, limit int, cursor string) (VersionList, error) {
	return fetch[VersionList](ctx, c, query{}.number("limit", int64(limit)).text("cursor", cursor).of(workflowURL(name)+"/versions"))
}

// Activate has new runs begin with a version, if the active one is the one that
// is expected; 0 is any.
func (c *Client) Activate(ctx context.Context, name string, version, expected int64) (workflow.Version, error) {
	var header []string
	if expected != 0 {
		header = []string{"If-Match", etag(expected)}
	}
	return tell[workflow.Version](ctx, c, http.MethodPut, workflowURL(name)+"/active", ActivateRequest{version}, header...)
}

// Diff compares two versions of a workflow, 0 is the active one.
func (c *Client) Diff(ctx context.Context, name string, from, to int64) (workflow.Diff, error) {
	return fetch[workflow.Diff](ctx, c, query{}.number("from", from).number("to", to).of(workflowURL(name)+"/diff"))
}

// Schedules lists schedules by name, of a workflow or of all.
func (c *Client) Schedules(ctx context.Context, of string, limit int, cursor string) (ScheduleList, error) {
	return fetch[ScheduleList](ctx, c, query{}.text("workflow", of).number("limit", int64(limit)).text("cursor", cursor).of("/api/schedules"))
}

// Schedule returns a schedule.
func (c *Client) Schedule(ctx context.Context, name string) (workflow.ScheduleInfo, error) {
	return fetch[workflow.ScheduleInfo](ctx, c, scheduleURL(name))
}

// PutSchedule makes a schedule or changes it, if it is of a revision; 0 is any.
func (c *Client) PutSchedule(ctx context.Context, s workflow.Schedule, revision int64) (workflow.ScheduleInfo, error) {
	var header []string
	if revision != 0 {
		header = []string{"If-Match", etag(revision)}
	}
	return tell[workflow.ScheduleInfo](ctx, c, http.MethodPut, scheduleURL(s.Name), s, header...)
}

// PreviewSchedule tells what would become of a schedule.
func (c *Client) PreviewSchedule(ctx context.Context, s workflow.Schedule) (workflow.SchedulePreview, error) {
	return tell[workflow.SchedulePreview](ctx, c, http.MethodPost, "/api/schedule-preview", s)
}

// DeleteSchedule removes a schedule.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, scheduleURL(name), nil, nil)
}

// PauseSchedule begins or ends a pause of a schedule. An empty comment leaves the
// one that there is.
func (c *Client) PauseSchedule(ctx context.Context, name, comment string, paused bool) (workflow.ScheduleInfo, error) {
	verb := "/resume"
	if paused {
		verb = "/pause"
	}
	return tell[workflow.ScheduleInfo](ctx, c, http.MethodPost, scheduleURL(name)+verb, PauseRequest{comment})
}

// RunSchedule starts a run of a schedule now.
func (c *Client) RunSchedule(ctx context.Context, name, key string) (RunStarted, error) {
	return tell[RunStarted](ctx, c, http.MethodPost, scheduleURL(name)+"/run", nil, idempotencyKey(key)...)
}

// Backfill starts runs for instants of a schedule that are past.
func (c *Client) Backfill(ctx context.Context, name string, r BackfillRequest) (workflow.ScheduleInfo, error) {
	return tell[workflow.ScheduleInfo](ctx, c, http.MethodPost, scheduleURL(name)+"/backfill", r)
}
