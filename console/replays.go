package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// replayRoutes adds the operation that tries a version on what has happened.
func (c *Console) replayRoutes() {
	operation(c, huma.Operation{
		OperationID: "replay-workflow", Method: http.MethodPost, Path: "/api/workflows/{name}/replay", Tags: []string{"workflows"},
		Summary: "Have stored histories decided again by another version, or a text that is none yet, and tell where it leads elsewhere; nothing is done",
	}, c.replay)
}

// ReplayRequest is the body of POST /api/workflows/{name}/replay.
type ReplayRequest struct {
	Version int64  `json:"version,omitempty" minimum:"0" doc:"The version to try; 0 is the active one."`
	Text    string `json:"text,omitempty" maxLength:"1048576" doc:"A definition to try instead, YAML or JSON."`
	File    string `json:"file,omitempty" maxLength:"4096" doc:"What messages call the definition. Default workflow.yaml."`
	Dir     string `json:"dir,omitempty" maxLength:"4096" doc:"Absolute path, on the node's machine, of the directory where relative paths of its sources begin. Default the node's working directory."`
	Limit   int    `json:"limit,omitempty" minimum:"1" maximum:"10000" default:"100" doc:"How many of the newest runs, at most."`
	Open    bool   `json:"open,omitempty" doc:"Also runs that are under way, as far as they have come."`
}

type replayRequest struct {
	WorkflowPath
	Body ReplayRequest
}

func (c *Console) replay(ctx context.Context, in *replayRequest) (*answered[workflow.ReplayReport], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	options := workflow.ReplayOptions{Limit: b.Limit, Open: b.Open}
	if b.Text == "" {
		report, err := engine.ReplayVersion(ctx, in.Name, b.Version, options)
		return &answered[workflow.ReplayReport]{report}, err
	}
	if b.Version != 0 {
		return nil, invalid("body.version", "there are both a version and a text; expected either of them")
	}
	definition, err := c.load(b.File, b.Dir, b.Text)
	if err != nil {
		return nil, err
	}
	if definition.Name != in.Name {
		return nil, (&fault.Error{
			Code: fault.InvalidArgument, Op: "console", Message: "the definition is of the workflow " + short(definition.Name) + ", not of " + short(in.Name),
			Hint: "replay the histories of " + short(definition.Name),
		}).WithTarget("body.text")
	}
	report, err := engine.Replay(ctx, in.Name, definition, options)
	return &answered[workflow.ReplayReport]{report}, err
}

// Replay has stored histories of a workflow decided again, see [workflow.Engine.Replay].
func (c *Client) Replay(ctx context.Context, name string, r ReplayRequest) (workflow.ReplayReport, error) {
	return tell[workflow.ReplayReport](ctx, c, http.MethodPost, workflowURL(name)+"/replay", r)
}
