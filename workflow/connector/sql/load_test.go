package sql

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
)

// load checks a definition with a source of SQL.
func load(t *testing.T, inputs, with string) (*workflow.Definition, error) {
	t.Helper()
	r := workflow.NewRegistry()
	Register(r)
	text := "name: test\ninputs:\n  " + inputs + "\nnodes:\n  - id: in\n    type: source.sql\n    with:\n      database: env:TROUPE_TEST_NOT_SET\n      " + with +
		"\n  - {id: out, type: sink.sql, from: in, with: {database: \"sqlite:x.db\", table: t}}\n"
	return workflow.LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(text)}}, "w.yaml", workflow.LoadOptions{Registry: r})
}

// Req W1: a definition with declared columns is checked without a database, and
// without its secret.
func TestSourcePlan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ with, want string }{
		{"query: SELECT a FROM t WHERE b > ?\n      params: [inputs.since, 1 + 2]\n      columns: {a: int}", ""},
		{"query: SELECT 1", "env:TROUPE_TEST_NOT_SET: the variable is not set"},
		{"query: ''\n      columns: {a: int}", "the query is empty"},
		{"query: [1]\n      columns: {a: int}", "expected the text of a query"},
		{"query: SELECT 1\n      params: [inputs.sinze]\n      columns: {a: int}", `unknown input "inputs.sinze"; did you mean "inputs.since"?`},
		{"query: SELECT 1\n      params: [1 / 0]\n      columns: {a: int}", "division by zero"},
		{"query: SELECT 1\n      columns: {a: it}", `unknown type "it"`},
	} {
		_, err := load(t, "since: {type: date, default: 2012-01-01}", tt.with)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %s", tt.with, err, tt.want)
		}
	}
}
