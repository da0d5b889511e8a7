package workflow

import (
	"encoding/json"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// schemaID names the published schema of definitions with all node types that
// Troupe has.
const schemaID = "https://github.com/troupe-dev/troupe/blob/main/docs/workflow.schema.json"

// schemaPart is a part of a JSON Schema. Its keys are written in the order of their
// names.
type schemaPart map[string]any

// JSONSchema writes the JSON Schema (2020-12) of definitions whose nodes are of the
// types in a registry, for editors: keys, types of values, what must be there, and
// what all of it means. A definition that a schema finds nothing wrong with may
// still be wrong: [LoadFile] looks at the graph, the expressions and the columns,
// too. An editor takes it from the first line of a definition:
//
//	# yaml-language-server: $schema=workflow.schema.json
func JSONSchema(r *Registry) ([]byte, error) {
	defs := schemaPart{}
	var names []string
	rules := []any{}
	for _, info := range r.Types() {
		names = append(names, info.Name)
		key := "with." + info.Name
		with := objectSchema(info.Config)
		with["description"] = info.Doc
		defs[key] = with
		then := schemaPart{"properties": schemaPart{"with": schemaPart{"$ref": "#/$defs/" + key}}}
		required := []string{}
		if _, must := with["required"]; must {
			required = append(required, "with")
		}
		switch {
		case info.Role == RoleTransform || info.Role == RoleSink:
			required = append(required, "from")
		case info.Name == "foreach" || info.Name == "loop":
			required = append(required, "do")
		}
		if info.Role != RoleTransform && info.Role != RoleSink {
			then["not"] = schemaPart{"required": []string{"from"}}
		}
		if len(required) > 0 {
			then["required"] = required
		}
		rules = append(rules, schemaPart{
			"if":   schemaPart{"properties": schemaPart{"type": schemaPart{"const": info.Name}}, "required": []string{"type"}},
			"then": then,
		})
	}
	node := objectSchema(nodeFields)
	properties := node["properties"].(schemaPart) //nolint:forcetypeassert // it was made above
	properties["id"] = schemaPart{"type": "string", "pattern": nodeID.String(), "description": "Name of the node, unique in the workflow."}
	properties["type"] = schemaPart{"enum": names, "description": "Node type; troupe nodes lists them."}
	properties["do"] = schemaPart{"type": "array", "items": schemaPart{"$ref": "#/$defs/node"}, "description": "The nodes of a foreach or a loop."}
	node["allOf"] = rules
	defs["node"] = node
	definition := objectSchema(yamldoc.Describe(definitionText{}))
	properties = definition["properties"].(schemaPart) //nolint:forcetypeassert // it was made above
	properties["nodes"] = schemaPart{"type": "array", "minItems": 1, "items": schemaPart{"$ref": "#/$defs/node"}, "description": "The nodes of the graph."}
	properties["inputs"] = schemaPart{
		"type": []string{"object", "null"}, "propertyNames": schemaPart{"pattern": inputName.String()}, "additionalProperties": objectSchema(yamldoc.Describe(inputText{})),
		"description": "Values that whoever runs the workflow may set.",
	}
	ownNames := schemaPart{"pattern": definedName.String()}
	properties["schedules"] = schemaPart{
		"type": []string{"object", "null"}, "propertyNames": ownNames, "additionalProperties": objectSchema(scheduleFields), "maxProperties": DefinedMax,
		"description": "When runs are started, by the names of the schedules; they follow the active version.",
	}
	properties["triggers"] = schemaPart{
		"type": []string{"object", "null"}, "propertyNames": ownNames, "additionalProperties": triggerSchema(r, defs), "maxProperties": DefinedMax,
		"description": "What runs are started for, by the names of the triggers; they follow the active version.",
	}
	definition["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	definition["$id"] = schemaID
	definition["title"] = "A workflow of Troupe"
	definition["$defs"] = defs
	out, err := json.MarshalIndent(definition, "", "  ")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "workflow.JSONSchema", err)
	}
	return append(out, '\n'), nil
}

// triggerSchema is the schema of a trigger, whose configuration depends on its kind.
func triggerSchema(r *Registry, defs schemaPart) schemaPart {
	trigger := objectSchema(triggerFields)
	kinds, rules := []string{}, []any{}
	for _, info := range r.TriggerTypes() {
		key := "trigger." + info.Name
		with := objectSchema(info.Config)
		with["description"] = info.Doc
		defs[key] = with
		kinds = append(kinds, info.Name)
		then := schemaPart{"properties": schemaPart{"with": schemaPart{"$ref": "#/$defs/" + key}}}
		if _, must := with["required"]; must {
			then["required"] = []string{"with"}
		}
		rules = append(rules, schemaPart{
			"if":   schemaPart{"properties": schemaPart{"kind": schemaPart{"const": info.Name}}, "required": []string{"kind"}},
			"then": then,
		})
	}
	if len(kinds) > 0 {
		properties := trigger["properties"].(schemaPart) //nolint:forcetypeassert // objectSchema made it
		properties["kind"] = schemaPart{"enum": kinds, "description": "The type of the trigger."}
		trigger["allOf"] = rules
	}
	return trigger
}

// objectSchema is a mapping with the keys of a struct.
func objectSchema(fields []Field) schemaPart {
	properties := schemaPart{}
	var required []string
	for _, f := range fields {
		properties[f.Name] = fieldSchema(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out := schemaPart{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	} else {
		out["type"] = []string{"object", "null"}
	}
	return out
}

func fieldSchema(f Field) schemaPart {
	out := valueSchema(f.Type, f.Fields)
	if f.Doc != "" {
		out["description"] = f.Doc
	}
	if f.Default == "" {
		return out
	}
	switch kind := out["type"]; {
	case kind == "string":
		out["default"] = f.Default
	case json.Valid([]byte(f.Default)) && (kind == "integer" || kind == "number" || kind == "boolean"):
		out["default"] = json.RawMessage(f.Default)
	}
	return out
}

// durationPattern is how durations are written.
const durationPattern = `^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`

// valueSchema is the schema of a value whose type is named as in [Field.Type]. A
// type that reads itself takes anything: its own messages are better.
func valueSchema(kind string, fields []Field) schemaPart {
	switch kind {
	case "text", "SQL query":
		return schemaPart{"type": "string"}
	case "boolean", "integer", "number":
		return schemaPart{"type": kind}
	case "duration":
		return schemaPart{"type": "string", "pattern": durationPattern}
	case "type":
		return schemaPart{"enum": KindNames()}
	case "expression":
		return schemaPart{"type": []string{"string", "number", "boolean"}}
	case "mapping":
		if len(fields) > 0 {
			return objectSchema(fields)
		}
		return schemaPart{"type": "object"}
	case references(nil).YAMLType():
		one := schemaPart{"anyOf": []any{schemaPart{"type": "string"}, schemaPart{"type": "array", "items": schemaPart{"type": "string"}}}}
		return schemaPart{"anyOf": []any{one, schemaPart{"type": "object", "additionalProperties": one}}}
	}
	if of, ok := strings.CutPrefix(kind, "list of "); ok && !strings.Contains(of, ",") {
		return schemaPart{"type": []string{"array", "null"}, "items": valueSchema(of, fields)}
	}
	if of, ok := strings.CutPrefix(kind, "mapping of "); ok {
		return schemaPart{"type": []string{"object", "null"}, "additionalProperties": valueSchema(of, fields)}
	}
	return schemaPart{}
}
