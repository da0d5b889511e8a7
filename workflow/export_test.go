package workflow

import (
	"context"
	"encoding/json"
)

// LabRegistry has the node types of the tests in this package, for those outside.
func LabRegistry() *Registry {
	r := (&lab{}).registry()
	r.Add(TaskType[playConfig]{Name: "task.play", Doc: "Does nothing.", Run: func(context.Context, *Task, playConfig) (json.RawMessage, error) {
		return nil, nil
	}})
	return r
}

// GoodText is a definition of types of the [LabRegistry].
const GoodText = goodText

// ConfigOf is the struct of a node type with its defaults.
func ConfigOf(r *Registry, kind string) any { return r.types[kind].config() }
