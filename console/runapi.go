package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
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
	Trigger  string    `query:"trigger" doc:"Started by this: manual, schedule NAME, …" maxLength:"1000"`
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

// RunStarted is the answer to a request that starts a run.
type RunStarted struct {
	ID string `json:"id"`
}

func startedRun(id string) *created[RunStarted] {
	return &created[RunStarted]{"/api/runs/" + id, RunStarted{id}}
}

func (c *Console) startDefault(ctx context.Context, in *Idempotent) (*created[RunStarted], error) {
	if c.opts.Runs == nil || c.opts.Runs.Workflow() == "" {
		return nil, &fault.Error{
			Code: fault.FailedPrecondition, Op: "console", Message: "this node has no workflow of its own",
			Hint: "start one of /api/workflows by POST /api/workflows/{name}/runs",
		}
	}
	return c.launch(ctx, c.opts.Runs.Workflow(), in.IdempotencyKey, RunRequest{})
}

// RunRequest is the body of POST /api/workflows/{name}/runs.
type RunRequest struct {
	Inputs   map[string]Input `json:"inputs,omitempty" doc:"Values for the inputs of the definition, by name."`
	Key      string           `json:"key,omitempty" maxLength:"1000" doc:"Whose run it is, such as a customer."`
	Priority int              `json:"priority,omitempty" doc:"Of its tasks where they compete for a limit: higher goes first."`
	Version  int64            `json:"version,omitempty" minimum:"0" doc:"The version to run; 0 is the active one."`
}

// Input is the value of an input: a text, or a number or a boolean as JSON has it.
type Input string

// UnmarshalJSON takes a text, a number or a boolean.
func (i *Input) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(i))
	}
	*i = Input(data)
	return nil
}

// Schema implements huma.SchemaProvider.
func (Input) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}}}
}

// texts are inputs as the engine takes them.
func texts(inputs map[string]Input) map[string]string {
	if len(inputs) == 0 {
		return nil
	}
	out := make(map[string]string, len(inputs))
	for name, value := range inputs {
		out[name] = string(value)
	}
	return out
}

// launch starts a run. A request with a key that has started one already gets
// that, if it is the same request.
func (c *Console) launch(ctx context.Context, name, key string, r RunRequest) (*created[RunStarted], error) {
	inputs := texts(r.Inputs)
	run, err := c.opts.Runs.Launch(ctx, name, workflow.StartOptions{
		Version: r.Version, Inputs: inputs, Key: r.Key, Priority: r.Priority, RequestID: key, Trigger: "api",
	})
	if err != nil {
		return nil, err
	}
	if key != "" {
		info, err := run.Info(ctx)
		if err != nil {
			return nil, err
		}
		s := info.Start
		if info.Workflow != name || s.Key != r.Key || s.Priority != r.Priority || r.Version != 0 && s.Version != r.Version ||
			s.RerunOf != "" || !maps.Equal(s.Inputs, inputs) {
			return nil, keyReused(key, run.ID())
		}
	}
	return startedRun(run.ID()), nil
}

// keyReused is the problem of an idempotency key that came with another request.
func keyReused(key, id string) error {
	return &apiError{Problem{
		Status: http.StatusUnprocessableEntity, Code: fault.AlreadyExists.String(), Target: short(key),
		Detail: "the idempotency key has started the run " + id + " by another request",
		Hint:   "use a key of its own for each request; the same one only to repeat it",
	}}
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

// lets reports whether the filter lets an event through.
func (q *historyQuery) lets(e *workflow.Event) bool {
	return (q.Node == "" || e.Node == q.Node) && (q.Type == "" || string(e.Type) == q.Type)
}

func (c *Console) getHistory(ctx context.Context, in *historyQuery) (*answered[History], error) {
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

// RunAction is the body of what is done to a run.
type RunAction struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why, for the history. Of a cancellation only."`
}

type runActionRequest struct {
	RunPath
	Body *RunAction
}

// RunState is the answer to what is done to a run.
type RunState struct {
	ID    string         `json:"id"`
	State workflow.State `json:"state"` // as it is now
}

// runAction is the handler of something that is done to a run.
func (c *Console) runAction(do func(ctx context.Context, run *workflow.Run, body *RunAction) error) func(context.Context, *runActionRequest) (*answered[RunState], error) {
	return func(ctx context.Context, in *runActionRequest) (*answered[RunState], error) {
		run, err := c.run(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		body := in.Body
		if body == nil {
			body = &RunAction{}
		}
		if err := do(ctx, run, body); err != nil {
			return nil, err
		}
		return stateOf(ctx, run)
	}
}

func stateOf(ctx context.Context, run *workflow.Run) (*answered[RunState], error) {
	info, err := run.Info(ctx)
	return &answered[RunState]{RunState{run.ID(), info.State}}, err
}

// RerunRequest is the body of POST /api/runs/{id}/rerun.
type RerunRequest struct {
	From    string           `json:"from,omitempty" maxLength:"200" doc:"The node to begin with: what does not depend on it is taken over. Default everything is done again."`
	Version int64            `json:"version,omitempty" minimum:"0" doc:"The version to run; 0 is that of the run."`
	Inputs  map[string]Input `json:"inputs,omitempty" doc:"Values in place of those of the run."`
}

type rerunRequest struct {
	RunPath
	Idempotent
	Body *RerunRequest
}

func (c *Console) rerun(ctx context.Context, in *rerunRequest) (*created[RunStarted], error) {
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	body := in.Body
	if body == nil {
		body = &RerunRequest{}
	}
	inputs := texts(body.Inputs)
	next, err := c.opts.Runs.Rerun(ctx, run, workflow.RerunOptions{From: body.From, Version: body.Version, Inputs: inputs, RequestID: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	if in.IdempotencyKey != "" {
		info, err := next.Info(ctx)
		if err != nil {
			return nil, err
		}
		if info.Start.RerunOf != in.ID || body.Version != 0 && info.Start.Version != body.Version || inputs != nil && !maps.Equal(info.Start.Inputs, inputs) {
			return nil, keyReused(in.IdempotencyKey, next.ID())
		}
	}
	return startedRun(next.ID()), nil
}

type signalRequest struct {
	RunPath
	Idempotent
	Name string `path:"name" maxLength:"200" doc:"The signal's name."`
	Body *SignalRequest
}

// SignalRequest is the body of POST /api/runs/{id}/signals/{name}.
type SignalRequest struct {
	Payload json.RawMessage `json:"payload,omitempty" doc:"What comes with the signal: the output of the node that waits for it."`
}

func (c *Console) signal(ctx context.Context, in *signalRequest) (*answered[RunState], error) {
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var payload json.RawMessage
	if in.Body != nil {
		payload = in.Body.Payload
	}
	if err := run.Signal(ctx, in.Name, payload, in.IdempotencyKey); err != nil {
		return nil, err
	}
	return stateOf(ctx, run)
}

type approvalRequest struct {
	RunPath
	Step string `path:"step" maxLength:"200" doc:"The approval, with its iteration if it lies in a loop: sign or sign[3]."`
	Body ApprovalRequest
}

// ApprovalRequest is the body of POST /api/runs/{id}/approvals/{step}.
type ApprovalRequest struct {
	Approved bool   `json:"approved"`
	By       string `json:"by,omitempty" maxLength:"200" doc:"Who decided."`
	Comment  string `json:"comment,omitempty" maxLength:"10000"`
}

func (c *Console) approve(ctx context.Context, in *approvalRequest) (*answered[RunState], error) {
	node, iteration, err := parseInstance(in.Step)
	if err != nil {
		return nil, err
	}
	run, err := c.run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	a := workflow.Approval{Approved: in.Body.Approved, By: in.Body.By, Comment: in.Body.Comment}
	if err := run.Approve(ctx, node, iteration, a); err != nil {
		return nil, err
	}
	return stateOf(ctx, run)
}
