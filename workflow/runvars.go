package workflow

import (
	"encoding/json"
	"maps"
	"strings"
)

// runVariables are the names that an expression of a step can use, in a scope
// of a run. It reads the state of the run, and so belongs to its actor.
type runVariables struct {
	run   *runState
	scope *scope
	item  json.RawMessage // in place of the scope's
}

func (r *runState) variables(s *scope) stepVariables { return &runVariables{run: r, scope: s} }

// variable gives the value of a name.
func (v *runVariables) variable(name string) (any, bool) {
	switch name {
	case "inputs":
		return v.run.inputs, true
	case "run":
		return map[string]any{"id": v.run.id, "key": v.run.start.Key, "workflow": v.run.definition.Name, "version": v.run.start.Version}, true
	case "schedule":
		instant := v.run.start.Scheduled
		if instant.IsZero() {
			instant = v.run.started
		}
		name, _ := strings.CutPrefix(v.run.start.Trigger, scheduleTrigger)
		return map[string]any{"name": name, "time": instant.UTC()}, true
	case "steps":
		return v.steps(), true
	case "item", "index":
		if v.item != nil && name == "item" {
			return value(v.item), true
		}
		if s := v.enclosing(controlForeach); s != nil {
			if name == "index" {
				return int64(s.index), true
			}
			return value(s.item), true
		}
	case "iteration", "last":
		if s := v.enclosing(controlLoop); s != nil {
			if name == "iteration" {
				return int64(s.index), true
			}
			return value(s.last), true
		}
	}
	return nil, false
}

// value is JSON as expressions see it.
func value(data json.RawMessage) any {
	v, _ := decodeJSON(data) // it was valid when it was recorded
	return v
}

// enclosing finds the innermost scope of a kind of loop.
func (v *runVariables) enclosing(kind controlKind) *scope {
	for s := v.scope; s != nil && s.owner != nil; s = s.owner.scope {
		if s.owner.def.control.kind == kind {
			return s
		}
	}
	return nil
}

// steps are the nodes that can be seen from the scope, with what became of them.
func (v *runVariables) steps() map[string]any {
	out := map[string]any{}
	for s := v.scope; s != nil; {
		for i := range s.steps {
			st := &s.steps[i]
			state := st.status
			if state == stateNone {
				state = StatePending
			}
			entry := map[string]any{"state": string(state), "output": value(st.output), "error": st.cause.Text, "attempt": int64(st.attempt)}
			for _, id := range st.def.nodes {
				out[id] = entry
			}
		}
		if s.owner == nil {
			break
		}
		s = s.owner.scope
	}
	return out
}

// loopVariables are those of a loop's condition, which stands outside of the
// iterations.
type loopVariables struct {
	stepVariables
	iteration int
	last      json.RawMessage
}

// variable gives the value of a name.
func (v loopVariables) variable(name string) (any, bool) {
	switch name {
	case "iteration":
		return int64(v.iteration), true
	case "last":
		return value(v.last), true
	}
	return v.stepVariables.variable(name)
}

// fixedVariables are variables as they were at one moment, for use elsewhere
// than in the run's actor.
type fixedVariables map[string]any

func fix(v stepVariables) fixedVariables {
	out := fixedVariables{}
	for _, name := range stepNames {
		if x, ok := v.variable(name); ok {
			out[name] = x
		}
	}
	if inputs, ok := out["inputs"].(map[string]any); ok {
		out["inputs"] = maps.Clone(inputs)
	}
	return out
}

// variable gives the value of a name.
func (v fixedVariables) variable(name string) (any, bool) {
	x, ok := v[name]
	return x, ok
}
