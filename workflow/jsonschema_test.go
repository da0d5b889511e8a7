package workflow

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// testSchema compiles the schema of the types that tests have.
func testSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	return compileSchema(t, newStage(t, nil).registry)
}

func compileSchema(t *testing.T, r *Registry) *jsonschema.Schema {
	t.Helper()
	text, err := JSONSchema(r)
	if err != nil {
		t.Fatal(err)
	}
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

// schemaFinds validates a definition.
func schemaFinds(t *testing.T, schema *jsonschema.Schema, name string, text []byte) error {
	t.Helper()
	document, err := yamldoc.Parse(name, text, yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(document.Root().Tree())
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(v)
}

// Req W1: the JSON Schema takes the definitions that are right, and finds the
// mistakes of others that a schema can tell.
func TestJSONSchema(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	for name, text := range map[string]string{"base": diffBase, "drawn": drawn, "replay": replayBase} {
		if err := schemaFinds(t, schema, name, []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := filepath.Glob("testdata/history/*.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal(err)
	}
	for _, file := range good {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaFinds(t, schema, file, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, name := range []string{"names", "shapes", "missing", "empty", "inputs"} {
		file := filepath.Join("testdata", "bad", name+".yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaFinds(t, schema, file, text); err == nil {
			t.Errorf("the schema finds nothing wrong with %s:\n%s", file, text)
		}
	}
}
