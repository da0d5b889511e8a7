package workflow_test

import (
	"context"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/workflow"
)

// The night in which clocks are set forward has no half past two.
func ExampleCron_Next() {
	cron, err := workflow.ParseCron("30 2 * * *")
	if err != nil {
		fmt.Println(err)
		return
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 3, 28, 0, 0, 0, 0, berlin)
	for range 3 {
		at = cron.Next(at, berlin)
		fmt.Println(at.Format(time.RFC3339))
	}
	// Output:
	// 2026-03-28T02:30:00+01:00
	// 2026-03-29T03:00:00+02:00
	// 2026-03-30T02:30:00+02:00
}

// An error says where the mistake is, and what was meant perhaps.
func ExampleParseCron() {
	_, err := workflow.ParseCron("0 6 * * MONDAY")
	fmt.Println(err)
	// Output:
	// cron "0 6 * * MONDAY": field day of week, position 9: "MONDAY" is no value; expected 0-7 or SUN-SAT; did you mean "MON"?
}

// A schedule starts runs by itself, and one on demand.
func ExampleEngine_PutSchedule() {
	ctx := context.Background()
	engine, stop := openEngine()
	defer stop()
	files := fstest.MapFS{"report.yaml": {Data: []byte(`
name: report
inputs: {day: {type: string, default: today}}
output: "'report of ' + inputs.day"
nodes: [{id: nothing, type: value, with: {output: "0"}}]
`)}}
	definition, err := workflow.LoadFS(files, "report.yaml", workflow.LoadOptions{Registry: workflow.NewRegistry()})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := engine.Deploy(ctx, definition, ""); err != nil {
		fmt.Println(err)
		return
	}
	info, err := engine.PutSchedule(ctx, workflow.Schedule{
		Name: "yearly", Workflow: "report", Cron: "0 6 1 1 *", TimeZone: "Europe/Berlin",
		Start:  time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		Inputs: map[string]string{"day": "${{ schedule.name }}"},
	}, store.Absent)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Next[0].Format(time.RFC3339), info.Next[1].Format(time.RFC3339))
	run, err := engine.RunSchedule(ctx, "yearly", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	ended, err := run.Wait(ctx)
	fmt.Println(string(ended.Output), err)
	// Output:
	// 2100-01-01T05:00:00Z 2101-01-01T05:00:00Z
	// "report of yearly" <nil>
}

// doorbell is the configuration of a trigger type of one's own.
type doorbell struct {
	Code string `yaml:"code,required" doc:"Who does not know it is refused."`
}

// A trigger type is a name, a configuration, and what looks at deliveries.
func ExampleTriggerType() {
	registry := workflow.NewRegistry()
	registry.AddTriggers(workflow.TriggerType[doorbell]{
		Name: "doorbell", Doc: "Rings.",
		Plan: func(_ *workflow.Check, config doorbell) workflow.TriggerPlan {
			return workflow.TriggerPlan{Accept: func(_ context.Context, d *workflow.Delivery) error {
				if string(d.Body) != config.Code {
					return fault.New(fault.Unauthenticated, "doorbell", "wrong code")
				}
				return nil
			}}
		},
	})
	for _, kind := range registry.TriggerTypes() {
		fmt.Println(kind.Name, kind.Config[0].Name)
	}
	// Output:
	// doorbell code
}
