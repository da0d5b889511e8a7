package node

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/workflow"
)

// The demonstration has a workflow that a schedule starts: it goes through the
// shop's shelves, two at a time, and adds up what is there.

// DemoFlow is the name of the demonstration's workflow and of its schedule.
const DemoFlow = "stocktaking"

// demoFlowEvery is how often it runs.
const demoFlowEvery = 2 * time.Minute

const demoFlowText = `name: stocktaking
description: Counts what is on the shelves of the demonstration's shop, two of them at a time.
nodes:
  - {id: shelves, type: value, with: {output: "[3, 5, 8, 13, 21]"}, doc: What is on each shelf.}
  - id: each
    type: foreach
    after: shelves
    with: {items: steps.shelves.output, parallel: 2}
    do:
      - {id: walk, type: sleep, with: {for: 300ms}}
      - {id: count, type: value, after: walk, with: {output: item}}
  - {id: total, type: value, after: each, with: {output: steps.each.output}}
`

// deployDemo makes the demonstration's workflow and its schedule known. A schedule
// that is there stays as somebody may have changed it.
func deployDemo(ctx context.Context, engine *workflow.Engine, types *workflow.Registry) error {
	d, err := workflow.LoadText("stocktaking.yaml", ".", []byte(demoFlowText), workflow.LoadOptions{Registry: types})
	if err != nil {
		return err
	}
	if _, err := engine.Deploy(ctx, d, "part of the demonstration"); err != nil {
		return err
	}
	_, err = engine.PutSchedule(ctx, workflow.Schedule{
		Name: DemoFlow, Workflow: DemoFlow, Every: workflow.Duration(demoFlowEvery), Comment: "Part of the demonstration; pause it if it is in your way.",
	}, store.Absent)
	if errors.Is(err, store.ErrConflict) || fault.CodeOf(err) == fault.AlreadyExists {
		return nil
	}
	return err
}
