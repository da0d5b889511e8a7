package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/workflow"
)

// rolloutRoutes adds the operations on rollouts.
func (c *Console) rolloutRoutes() {
	const path = "/api/workflows/{name}/rollout"
	tags := []string{"workflows"}
	operation(c, huma.Operation{
		OperationID: "get-rollout", Method: http.MethodGet, Path: path, Tags: tags, Summary: "The last rollout of a workflow, with figures of each version",
		Description: "The state is none if the workflow had no rollout yet.",
	}, c.getRollout)
	operation(c, huma.Operation{
		OperationID: "put-rollout", Method: http.MethodPut, Path: path, Tags: tags, Summary: "Begin a rollout: a canary in steps, or a split",
	}, c.putRollout)
	operation(c, huma.Operation{
		OperationID: "end-rollout", Method: http.MethodDelete, Path: path, Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "End a rollout: the stable version gets all runs",
	}, c.endRollout)
}

type rolloutRead struct {
	WorkflowPath
	Conditional
}

// rollout answers with a rollout, as it is after something was done.
func (c *Console) rollout(do func(*workflow.Engine) (workflow.RolloutInfo, error)) (*tagged[workflow.RolloutInfo], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	info, err := do(engine)
	if err != nil {
		return nil, err
	}
	return tag(info)
}

func (c *Console) getRollout(ctx context.Context, in *rolloutRead) (*tagged[workflow.RolloutInfo], error) {
	return c.rollout(func(engine *workflow.Engine) (workflow.RolloutInfo, error) { return engine.Rollout(ctx, in.Name) })
}

type rolloutPut struct {
	WorkflowPath
	Body workflow.Rollout
}

func (c *Console) putRollout(ctx context.Context, in *rolloutPut) (*tagged[workflow.RolloutInfo], error) {
	defer c.touch()
	return c.rollout(func(engine *workflow.Engine) (workflow.RolloutInfo, error) {
		return engine.SetRollout(ctx, in.Name, in.Body)
	})
}

type rolloutEnd struct {
	WorkflowPath
	Reason string `query:"reason" maxLength:"1000" doc:"Why, for the record."`
}

func (c *Console) endRollout(ctx context.Context, in *rolloutEnd) (*tagged[workflow.RolloutInfo], error) {
	defer c.touch()
	return c.rollout(func(engine *workflow.Engine) (workflow.RolloutInfo, error) {
		return engine.EndRollout(ctx, in.Name, in.Reason)
	})
}

// Rollout returns the last rollout of a workflow.
func (c *Client) Rollout(ctx context.Context, name string) (workflow.RolloutInfo, error) {
	return fetch[workflow.RolloutInfo](ctx, c, workflowURL(name)+"/rollout")
}

// SetRollout begins a rollout of a workflow.
func (c *Client) SetRollout(ctx context.Context, name string, r workflow.Rollout) (workflow.RolloutInfo, error) {
	return tell[workflow.RolloutInfo](ctx, c, http.MethodPut, workflowURL(name)+"/rollout", r)
}

// EndRollout ends a rollout of a workflow. The reason may be empty.
func (c *Client) EndRollout(ctx context.Context, name, reason string) (workflow.RolloutInfo, error) {
	return tell[workflow.RolloutInfo](ctx, c, http.MethodDelete, query{}.text("reason", reason).of(workflowURL(name)+"/rollout"), nil)
}
