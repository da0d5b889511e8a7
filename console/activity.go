package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// ActivityRuns is how many of a workflow's last runs its activity counts.
const ActivityRuns = 100

// ActivityList is the answer of GET /api/activity.
type ActivityList struct {
	Workflows []Activity `json:"workflows"` // by name
}

// Activity is how the last runs of a workflow went.
type Activity struct {
	Workflow string `json:"workflow"`
	// Of is how many runs are counted: the last ones, at most ActivityRuns.
	Of int `json:"of"`
	// States counts them by state.
	States map[workflow.State]int `json:"states"`
	// Last is the run that began last; left out if there is none.
	Last *workflow.RunSummary `json:"last,omitempty"`
	// Rollout is the last rollout of the workflow; left out if there was none.
	Rollout *workflow.RolloutInfo `json:"rollout,omitempty"`
}

// activityRoutes adds the operation on what workflows have done.
func (c *Console) activityRoutes() {
	operation(c, huma.Operation{
		OperationID: "list-activity", Method: http.MethodGet, Path: "/api/activity", Tags: []string{"workflows"},
		Summary: "How the last runs of each workflow went",
	}, c.listActivity)
}

func (c *Console) listActivity(ctx context.Context, _ *struct{}) (*answered[ActivityList], error) {
	list := ActivityList{Workflows: []Activity{}}
	if c.opts.Runs == nil {
		return &answered[ActivityList]{list}, nil
	}
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	versions, err := engine.Workflows(ctx)
	if err != nil {
		return nil, err
	}
	for i := range versions {
		runs, err := engine.Runs(ctx, workflow.RunFilter{Workflow: versions[i].Workflow, Limit: ActivityRuns})
		if err != nil {
			return nil, err
		}
		one := Activity{Workflow: versions[i].Workflow, Of: len(runs), States: map[workflow.State]int{}}
		for j := range runs {
			one.States[runs[j].State]++
		}
		if len(runs) > 0 {
			one.Last = &runs[0]
		}
		switch rollout, err := engine.Rollout(ctx, one.Workflow); {
		case err == nil && rollout.State != workflow.RolloutNone:
			one.Rollout = &rollout
		case err != nil && fault.CodeOf(err) != fault.NotFound: // it was deleted meanwhile
			return nil, err
		}
		list.Workflows = append(list.Workflows, one)
	}
	return &answered[ActivityList]{list}, nil
}
