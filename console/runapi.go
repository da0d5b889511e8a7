package console

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// Limits of lists of runs and of what is in one.
const (
	RunsDefault     = 50     // runs in a page of the list
	RunsMax         = 1_000  // most that a request may ask for
	EventsPage      = 200    // events in a page of a history
	EventsPageMax   = 5_000  // most that a request may ask for
	EventsSearched  = 20_000 // events that a request with a filter looks at; next says where to go on
	TimelinePage    = 2_000  // events that a page of a timeline is made from
	TimelinePageMax = 20_000 // most that a request may ask for
	LinesPage       = 200    // lines in a page of a log
	LinesPageMax    = 10_000 // most that a request may ask for
)

// runRoutes adds the operations on runs.
func (c *Console) runRoutes() {
	operation(c, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/api/runs", Tags: []string{"runs"}, Summary: "The runs, newest first",
	}, c.listRuns)
	operation(c, huma.Operation{
		OperationID: "start-default-run", Method: http.MethodPost, Path: "/api/runs", Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary: "Start the workflow that the node itself was started with",
	}, c.startDefault)
	operation(c, huma.Operation{
		OperationID: "get-run", Method: http.MethodGet, Path: "/api/runs/{id}", Tags: []string{"runs"}, Summary: "One run, with its graph laid out",
	}, c.getRun)
	operation(c, huma.Operation{
		OperationID: "get-run-history", Method: http.MethodGet, Path: "/api/runs/{id}/history", Tags: []string{"runs"}, Summary: "What happened in a run, event by event",
	}, c.getHistory)
	operation(c, huma.Operation{
		OperationID: "get-run-timeline", Method: http.MethodGet, Path: "/api/runs/{id}/timeline", Tags: []string{"runs"},
		Summary: "What ran when in a run, attempt by attempt",
	}, c.getTimeline)
	operation(c, huma.Operation{
		OperationID: "get-run-logs", Method: http.MethodGet, Path: "/api/runs/{id}/logs", Tags: []string{"runs"}, Summary: "What the nodes of a run logged",
	}, c.getLogs)
	operation(c, huma.Operation{
		OperationID: "get-run-result", Method: http.MethodGet, Path: "/api/runs/{id}/result", Tags: []string{"runs"}, Summary: "A page of a table that a run wrote",
	}, c.getResult)
	action := func(verb, summary string, do func(ctx context.Context, run *workflow.Run, body *RunAction) error) {
		operation(c, huma.Operation{
			OperationID: verb + "-run", Method: http.MethodPost, Path: "/api/runs/{id}/" + verb, Tags: []string{"runs"}, Summary: summary,
		}, c.runAction(do))
	}
	action("cancel", "End a run", func(ctx context.Context, run *workflow.Run, body *RunAction) error {
		return run.Cancel(ctx, body.Reason)
	})
	action("pause", "Keep a run from beginning anything new", func(ctx context.Context, run *workflow.Run, _ *RunAction) error { return run.Pause(ctx) })
	action("resume", "End a pause", func(ctx context.Context, run *workflow.Run, _ *RunAction) error { return run.Resume(ctx) })
	action("retry", "Let a run that failed or was cancelled go on", func(ctx context.Context, run *workflow.Run, _ *RunAction) error {
		return c.opts.Runs.Retry(ctx, run)
	})
	operation(c, huma.Operation{
		OperationID: "rerun-run", Method: http.MethodPost, Path: "/api/runs/{id}/rerun", Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary: "Repeat a run as a new one, from a node on or as a whole",
	}, c.rerun)
	operation(c, huma.Operation{
		OperationID: "signal-run", Method: http.MethodPost, Path: "/api/runs/{id}/signals/{name}", Tags: []string{"runs"}, Summary: "Send a signal to a run",
	}, c.signal)
	operation(c, huma.Operation{
		OperationID: "approve-run", Method: http.MethodPost, Path: "/api/runs/{id}/approvals/{step}", Tags: []string{"runs"}, Summary: "Answer an approval that a run waits for",
	}, c.approve)
}

// engine is what runs the workflows of the node.
func (c *Console) engine() (*workflow.Engine, error) {
	if c.opts.Runs == nil {
		return nil, fault.New(fault.NotFound, "console", "this node runs no workflows")
	}
	engine := c.opts.Runs.Engine()
	if engine == nil {
		return nil, &fault.Error{
			Code: fault.Unavailable, Op: "console", Message: "another node runs the workflows of this store", Hint: "ask that one",
		}
	}
	return engine, nil
}

// run is a run of the node.
func (c *Console) run(ctx context.Context, id string) (*workflow.Run, error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	return engine.Run(ctx, id)
}

// runQuery is the query of a list of runs.
type runQuery struct {
	Workflow string    `query:"workflow" doc:"Of this workflow." maxLength:"200"`
	State    []string  `query:"state" doc:"In one of these states, separated by commas." enum:"running,paused,stopping,completed,failed,cancelled"`
	Key      string    `query:"key" doc:"With this key." maxLength:"1000"`
	Trigger  string    `query:"trigger" doc:"Started by this: manual, api, schedule/NAME, …" maxLength:"1000"`
	Parent   string    `query:"parent" doc:"Part of this run." maxLength:"100"`
	Since    time.Time `query:"since" doc:"Started at or after." format:"date-time"`
	Before   time.Time `query:"before" doc:"Started before." format:"date-time"`
	Limit    int       `query:"limit" doc:"Runs at most." minimum:"1" maximum:"1000" default:"50"`
	Cursor   string    `query:"cursor" doc:"Where the page begins: next of the page before." maxLength:"1000"`
}

// filter is the query as the engine takes it.
func (q *runQuery) filter() (workflow.RunFilter, error) {
	f := workflow.RunFilter{
		Workflow: q.Workflow, Key: q.Key, Trigger: q.Trigger, Parent: q.Parent, Since: q.Since, Before: q.Before, Limit: q.Limit,
	}
	for _, s := range q.State {
		f.States = append(f.States, workflow.State(s))
	}
	var err error
	f.After, err = decodeCursor(q.Cursor)
	return f, err
}

func (c *Console) listRuns(ctx context.Context, in *runQuery) (*answered[RunList], error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	list, err := c.runPage(ctx, filter)
	return &answered[RunList]{list}, err
}

// runPage reads a page of the list of runs.
func (c *Console) runPage(ctx context.Context, filter workflow.RunFilter) (RunList, error) {
	list := RunList{Runs: []workflow.RunSummary{}}
	if c.opts.Runs == nil {
		return list, nil
	}
	engine, err := c.engine()
	if err != nil {
		return list, err
	}
	list.CanStart = c.opts.Runs.Workflow() != ""
	limit := filter.Limit
	filter.Limit++ // one more tells whether there is a next page
	runs, err := engine.Runs(ctx, filter)
	if err != nil {
		return list, err
	}
	if len(runs) > limit {
		runs = runs[:limit]
		list.Next = encodeCursor(runs[limit-1].ID)
	}
	list.Runs = append(list.Runs, runs...)
	return list, nil
}

// RunPath is the parameter of a path to a run.
type RunPath struct {
	ID string `path:"id" doc:"The run's id." maxLength:"100"`
}

type runRead struct {
	RunPath
	Conditional
}

func (c *Console) getRun(ctx context.Context, in *runRead) (*tagged[RunView], error) {
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	info, err := run.Info(ctx)
	if err != nil {
		return nil, err
	}
	return tag(RunView{Run: info, Layouts: layoutsOf(&info)})
}

// History is the answer of GET /api/runs/{id}/history.
type History struct {
	Events []workflow.Event `json:"events"` // in the order in which they happened
	// Next is after= of the next page; left out if there is none, at present.
	Next  int64 `json:"next,omitempty"`
	Total int64 `json:"total"` // events of the whole history
}

type historyQuery struct {
	RunPath
	After int64 `query:"after" minimum:"0" doc:"Only events behind this one, a seq."`
	Limit int   `query:"limit" minimum:"1" maximum:"5000" default:"200" doc:"Events at most."`

	Node string `query:"node" maxLength:"200" doc:"Only events of this node, of all its iterations."`
	Type string `query:"type" maxLength:"100" doc:"Only events of this type, such as NodeFailed."`
}

// check finds types that no event has.
func (q *historyQuery) check() error {
	types := workflow.EventTypes()
	if q.Type == "" || slices.Contains(types, workflow.EventType(q.Type)) {
		return nil
	}
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return &fault.Error{
		Code: fault.InvalidArgument, Op: "console", Target: "query.type", Message: fmt.Sprintf("%q is no type of events", short(q.Type)),
		Hint: cmp.Or(suggest.DidYouMean(q.Type, names), "expected one of "+strings.Join(names, ", ")),
	}
}

// hasNode is an error for a node that a run does not have.
func hasNode(ctx context.Context, run *workflow.Run, id string) error {
	info, err := run.Info(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(info.Nodes))
	for i := range info.Nodes {
		if names[i] = info.Nodes[i].ID; names[i] == id {
			return nil
		}
	}
	return &fault.Error{
		Code: fault.NotFound, Op: "console", Target: "query.node", Message: fmt.Sprintf("the run has no node %q", short(id)),
		Hint: cmp.Or(suggest.DidYouMean(id, names), "there are "+strings.Join(names, ", ")),
	}
}

// lets reports whether the filter lets an event through.
func (q *historyQuery) lets(e *workflow.Event) bool {
	return (q.Node == "" || e.Node == q.Node) && (q.Type == "" || string(e.Type) == q.Type)
}

func (c *Console) getHistory(ctx context.Context, in *historyQuery) (*answered[History], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	page := History{Events: []workflow.Event{}}
	if page.Total, err = run.Length(ctx); err != nil {
		return nil, err
	}
	seen := in.After
	for e, err := range run.History(ctx, in.After+1) {
		if err != nil {
			return nil, err
		}
		seen = e.Seq
		if in.lets(&e) {
			page.Events = append(page.Events, e)
		}
		if len(page.Events) == in.Limit || seen-in.After == EventsSearched {
			break
		}
	}
	page.Next = nextEvent(seen, page.Total)
	if in.Node != "" && len(page.Events) == 0 {
		if err := hasNode(ctx, run, in.Node); err != nil {
			return nil, err
		}
	}
	return &answered[History]{page}, nil
}

// nextEvent is where the next page begins, 0 if there is none.
func nextEvent(last, total int64) int64 {
	if last >= total {
		return 0
	}
	return last
}

type timelineQuery struct {
	RunPath
	After int64 `query:"after" minimum:"0" doc:"Only what happened behind this event, a seq."`
	Limit int   `query:"limit" minimum:"1" maximum:"20000" default:"2000" doc:"Events that the page is made from, at most."`
}

func (c *Console) getTimeline(ctx context.Context, in *timelineQuery) (*answered[Timeline], error) {
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	total, err := run.Length(ctx)
	if err != nil {
		return nil, err
	}
	line := newTimeline()
	read := 0
	for e, err := range run.History(ctx, in.After+1) {
		if err != nil {
			return nil, err
		}
		line.add(&e)
		if read++; read == in.Limit {
			break
		}
	}
	return &answered[Timeline]{Timeline{
		Spans: line.spans, Next: nextEvent(in.After+int64(read), total), Total: total, Until: time.Now(),
	}}, nil
}

// RunLog is the answer of GET /api/runs/{id}/logs.
type RunLog struct {
	Lines []workflow.LogLine `json:"lines"` // oldest first
	// Next is after= of the next page, also while there is none yet.
	Next int64 `json:"next"`
}

type logQuery struct {
	RunPath
	After int64  `query:"after" minimum:"0" doc:"Only lines behind this one, a seq."`
	Tail  int    `query:"tail" minimum:"0" maximum:"10000" doc:"Begin with the last lines, so many of them."`
	Level string `query:"level" enum:"DEBUG,INFO,WARN,ERROR" doc:"The lowest level. Default all that are kept."`
	Node  string `query:"node" maxLength:"300" doc:"Only this node, with or without its iteration."`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"200" doc:"Lines at most."`
}

func (c *Console) getLogs(ctx context.Context, in *logQuery) (*answered[RunLog], error) {
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	level := slog.LevelDebug
	if in.Level != "" {
		if err := level.UnmarshalText([]byte(in.Level)); err != nil {
			return nil, invalid("query.level", "%s", err)
		}
	}
	lines, next, err := run.Logs(ctx, workflow.LogFilter{After: in.After, Tail: in.Tail, Level: level, Node: in.Node, Limit: in.Limit})
	if err == nil && in.Node != "" && len(lines) == 0 {
		node, _, _ := strings.Cut(in.Node, "[")
		err = hasNode(ctx, run, node)
	}
	return &answered[RunLog]{RunLog{lines, next}}, err
}

type resultQuery struct {
	RunPath
	Sink   string `query:"sink" maxLength:"200" doc:"The node that wrote the table; default the one to show first."`
	Limit  int    `query:"limit" minimum:"0" maximum:"1000" default:"100" doc:"Rows at most."`
	Offset int    `query:"offset" minimum:"0" maximum:"2000000000" doc:"Rows to leave out."`
}

func (c *Console) getResult(ctx context.Context, in *resultQuery) (*answered[Result], error) {
	if _, err := c.engine(); err != nil {
		return nil, err
	}
	table, err := c.opts.Runs.Result(ctx, in.ID, in.Sink, in.Limit, in.Offset)
	if err != nil {
		return nil, err
	}
	if table.Columns == nil {
		table.Columns = []workflow.Column{}
	}
	if table.Rows == nil {
		table.Rows = []workflow.Row{}
	}
	if table.Sinks == nil {
		table.Sinks = []string{}
	}
	return &answered[Result]{Result{Table: table, Limit: in.Limit, Offset: in.Offset}}, nil
}
