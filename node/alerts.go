package node

import (
	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/telemetry"
	"github.com/troupe-dev/troupe/workflow"
)

// spawnAlerts starts the actor that puts the watchdog's alerts and the failures
// of workflow runs into the console's list of events.
func spawnAlerts(sys *actor.System, events *console.Events) error {
	listener, err := actor.Spawn(sys, actor.Spec[console.Event]{
		Name: "alerts",
		Type: "alert-listener",
		New: func() actor.Behavior[console.Event] {
			return actor.BehaviorFunc[console.Event](func(_ *actor.Context[console.Event], e console.Event) error {
				if e.Kind != "" {
					events.Add(e)
				}
				return nil
			})
		},
	})
	if err != nil {
		return err
	}
	actor.Subscribe(sys, listener, alertEvent)
	actor.Subscribe(sys, listener, runEvent)
	return nil
}

// alertEvent is an alert as the console lists it.
func alertEvent(a telemetry.Alert) console.Event {
	return console.Event{Time: a.At, Kind: console.EventAlert, Actor: a.Path, Text: a.String()}
}

// runEvent is a failed run as the console lists it; the zero Event for anything
// else that happens in a run.
func runEvent(e workflow.Event) console.Event {
	if e.Type != workflow.WorkflowFailed {
		return console.Event{}
	}
	return console.Event{Time: e.At, Kind: console.EventAlert, Text: "run " + e.RunID + " of " + e.Workflow + " failed: " + e.Error}
}
