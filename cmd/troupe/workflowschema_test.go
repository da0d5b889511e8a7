package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// Req W1: the published schema is that of this program's node types, and takes the
// definitions of the examples, and the examples of all node types.
func TestWorkflowSchema(t *testing.T) {
	t.Parallel()
	r := troupe(t, "workflow", "schema")
	r.expect(t, exitOK)
	published := filepath.Join("..", "..", "docs", "workflow.schema.json")
	want, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if r.stdout != string(want) {
		t.Errorf("%s is not what the program prints; write it anew:\n\n    go run ./cmd/troupe workflow schema > docs/workflow.schema.json", published)
	}
	schema := compileSchema(t, []byte(r.stdout))
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document(t, text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, info := range node.NodeTypes().Types() {
		if info.Example == "" {
			continue
		}
		one := map[string]any{"id": "x", "type": info.Name, "with": document(t, []byte(info.Example))}
		switch {
		case info.Role == workflow.RoleTransform || info.Role == workflow.RoleSink:
			one["from"] = "y"
		case info.Name == "foreach" || info.Name == "loop":
			one["do"] = []any{}
		}
		if err := schema.Validate(map[string]any{"name": "w", "nodes": []any{one}}); err != nil {
			t.Errorf("the example of %s: %v", info.Name, err)
		}
	}
}

func compileSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("workflow.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("workflow.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// document reads YAML as a validator wants it.
func document(t *testing.T, text []byte) any {
	t.Helper()
	parsed, err := yamldoc.Parse("w.yaml", text, yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := parsed.Root().Tree().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
