package node

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// Req W2: every node type says what it does, what each of its keys means, and
// shows a configuration with the keys that it has, and with those that it needs.
func TestNodeTypesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, info := range NodeTypes().Types() {
		if !strings.HasSuffix(info.Doc, ".") {
			t.Errorf("%s: its documentation is no sentence: %q", info.Name, info.Doc)
		}
		checkFields(t, info.Name, info.Config)
		if len(info.Config) == 0 {
			continue
		}
		document, err := yamldoc.Parse(info.Name, []byte(info.Example), yamldoc.Limits{BytesMax: 1 << 16})
		if info.Example == "" || err != nil {
			t.Errorf("%s: it has no example: %v", info.Name, err)
			continue
		}
		keys := map[string]bool{}
		for _, e := range document.Root().Entries() {
			keys[e.Key.Text()] = true
		}
		for _, f := range info.Config {
			if f.Required && !keys[f.Name] {
				t.Errorf("%s: its example lacks the key %s, which is required", info.Name, f.Name)
			}
			delete(keys, f.Name)
		}
		for key := range keys {
			t.Errorf("%s: its example has the key %s, which there is not", info.Name, key)
		}
	}
}

func checkFields(t *testing.T, path string, fields []workflow.Field) {
	t.Helper()
	for _, f := range fields {
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s.%s: its documentation is no sentence: %q", path, f.Name, f.Doc)
		}
		checkFields(t, path+"."+f.Name, f.Fields)
	}
}

// The examples of types that need nothing else are sound as they stand.
func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	registry := NodeTypes()
	for _, name := range []string{
		"source.memory", "source.sequence", "source.http", "source.kafka", "sink.console", "sink.csv", "sink.jsonl", "sink.parquet", "sink.http",
		"task.shell", "task.http",
	} {
		info, ok := registry.Lookup(name)
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		with := "\n    with:\n      " + strings.ReplaceAll(info.Example, "\n", "\n      ") + "\n"
		text := "name: x\ninputs:\n  since: {type: date, default: 2026-01-01}\nnodes:\n  - id: a\n    type: " + name + with
		switch info.Role {
		case workflow.RoleSource:
			text += "  - {id: b, type: sink.console, from: a}\n"
		case workflow.RoleSink:
			text += "    from: b\n  - {id: b, type: source.memory, with: {columns: {n: int}}}\n"
		}
		_, err := workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: registry})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
