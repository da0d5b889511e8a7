package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

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
		Version: r.Version, Inputs: inputs, Key: r.Key, Priority: r.Priority, RequestID: requestOf(key), Trigger: "api",
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

// requestOf is the id of a request with an idempotency key. Its prefix keeps it
// apart from those of schedules and triggers.
func requestOf(key string) string {
	if key == "" {
		return ""
	}
	return "api/" + key
}

// keyReused is the problem of an idempotency key that came with another request.
func keyReused(key, id string) error {
	return &apiError{Problem{
		Status: http.StatusUnprocessableEntity, Code: fault.AlreadyExists.String(), Target: short(key),
		Detail: "the idempotency key has started the run " + id + " by another request",
		Hint:   "use a key of its own for each request; the same one only to repeat it",
	}}
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
	next, err := c.opts.Runs.Rerun(ctx, run, workflow.RerunOptions{From: body.From, Version: body.Version, Inputs: inputs, RequestID: requestOf(in.IdempotencyKey)})
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
