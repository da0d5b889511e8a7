package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing/fstest"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// charge is the configuration of a task type of one's own.
type charge struct {
	Customer string `yaml:"customer,required" doc:"Whom to charge."`
	Cents    string `yaml:"cents,required" doc:"How much."`
}

var chargeType = workflow.TaskType[charge]{
	Name: "task.charge", Doc: "Charges a customer.", Example: "customer: ada\ncents: \"100\"\n",
	Run: func(_ context.Context, t *workflow.Task, c charge) (json.RawMessage, error) {
		if t.Attempt == 1 { // the error is transient: the engine tries again, with the same t.Key
			return nil, fault.New(fault.Unavailable, "bank", "the line is busy")
		}
		fmt.Printf("attempt %d: %s pays %s\n", t.Attempt, c.Customer, c.Cents)
		return json.Marshal("receipt of " + c.Customer)
	},
}

// A task type is a name, a configuration and a function. Texts of the
// configuration may contain expressions over what the run knows.
func ExampleTaskType() {
	registry := workflow.NewRegistry(chargeType)
	files := fstest.MapFS{"order.yaml": {Data: []byte(`
name: order
output: steps.pay.output
nodes:
  - {id: sum, type: value, with: {output: "2 * 150"}}
  - {id: pay, type: task.charge, after: sum, retry: {max: 3, initial: 1ms}, with: {customer: ada, cents: "${{ steps.sum.output }}"}}
`)}}
	definition, err := workflow.LoadFS(files, "order.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := workflowtest.Run(context.Background(), definition, workflow.EngineOptions{Registry: registry, Files: files})
	fmt.Println(info.State, err, string(info.Output))
	// Output:
	// attempt 2: ada pays 300
	// completed <nil> "receipt of ada"
}

// Signals come from outside; a run waits for them on disk, however long it takes.
func ExampleRun_Signal() {
	ctx := context.Background()
	engine, stop := openEngine()
	defer stop()
	definition, err := workflow.LoadFS(fstest.MapFS{"paid.yaml": {Data: []byte(`
name: paid
output: steps.money.output.cents
nodes:
  - {id: money, type: wait, with: {signal: paid, timeout: 72h}}
`)}}, "paid.yaml", workflow.LoadOptions{Registry: registry()})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := engine.Deploy(ctx, definition, ""); err != nil {
		fmt.Println(err)
		return
	}
	run, err := engine.Start(ctx, "paid", workflow.StartOptions{Key: "ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := run.Signal(ctx, "paid", json.RawMessage(`{"cents": 300}`), "payment-17"); err != nil {
		fmt.Println(err)
		return
	}
	info, err := run.Wait(ctx)
	fmt.Println(info.State, err, string(info.Output))
	// Output: completed <nil> 300
}
