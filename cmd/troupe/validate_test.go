package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

// goodDefinition reads people.csv and writes the adults to adults.csv.
const goodDefinition = `name: people
inputs:
  age: {type: int, default: 18, doc: Least age.}
nodes:
  - id: people
    type: source.csv
    with:
      path: people.csv
      columns: {name: string, age: int}
  - id: adults
    type: filter
    from: people
    with:
      where: age >= inputs.age
  - id: out
    type: sink.csv
    from: adults
    with:
      path: adults.csv
`

const peopleCSV = "name,age\nAda,36\nBen,7\nEve,x\nGrace,85\n"

// workflowDir has a definition and its data.
func workflowDir(t *testing.T, definition string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "people.csv", peopleCSV)
	return dir, write(t, dir, "people.yaml", definition)
}

// Req W1: a right definition is confirmed.
func TestValidate(t *testing.T) {
	t.Parallel()
	_, file := workflowDir(t, goodDefinition)
	r := troupe(t, "validate", file)
	r.expect(t, exitOK)
	if want := file + ": ok: people, 3 nodes, 2 edges\n"; r.stdout != want {
		t.Errorf("stdout %q, want %q", r.stdout, want)
	}
	r = troupe(t, "validate", "-o", "json", "--input", "age=21", file)
	r.expect(t, exitOK)
	if got := decode[[]validation](t, r.stdout); len(got) != 1 || !got[0].OK || got[0].Nodes != 3 {
		t.Errorf("%+v", got)
	}
}

// Req W1, O1: each mistake is a line with its place, what was expected, and a
// suggestion.
func TestValidateErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, old, new string // what is wrong about the definition
		want           string
	}{
		{"misspelt key", "from: people", "form: people", `:12:5: nodes[1].form: unknown key "form"; did you mean "from"?`},
		{"misspelt type", "type: filter", "type: fliter", `did you mean "filter"?`},
		{"misspelt column", "age >= inputs", "agee >= inputs", `:14:14: nodes[1].with.where: unknown column "agee"; did you mean "age"?`},
		{"misspelt node", "from: adults", "from: adult", `did you mean "adults"?`},
		{"wrong type", "age >= inputs.age", "name >= inputs.age", `people.yaml:14:19: nodes[1].with.where: `},
		{"missing key", "      path: adults.csv\n", "      delimiter: ';'\n", `path`},
		{"missing file", "path: people.csv", "path: persons.csv", `persons.csv`},
		{"not YAML", "nodes:", "nodes: [", `people.yaml:`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(goodDefinition, tt.old) {
				t.Fatalf("the definition has no %q", tt.old)
			}
			_, file := workflowDir(t, strings.Replace(goodDefinition, tt.old, tt.new, 1))
			troupe(t, "validate", file).expect(t, exitInvalid, "troupe: "+file+":", tt.want)

			r := troupe(t, "validate", "-o", "json", file)
			r.expect(t, exitInvalid)
			got := decode[[]validation](t, r.stdout)
			if len(got) != 1 || got[0].OK || len(got[0].Problems) == 0 || got[0].Problems[0].Line == 0 || r.stderr != "" {
				t.Errorf("%+v, stderr %q", got, r.stderr)
			}
		})
	}
}

// The worst of several files decides the exit code, and all are reported.
func TestValidateSeveral(t *testing.T) {
	t.Parallel()
	dir, good := workflowDir(t, goodDefinition)
	bad := write(t, dir, "bad.yaml", "name: bad\n")
	missing := filepath.Join(dir, "missing.yaml")
	r := troupe(t, "validate", bad, good, missing)
	r.expect(t, exitEnvironment, "bad.yaml:1:1: nodes: ", "missing.yaml")
	if !strings.Contains(r.stdout, "people.yaml: ok") {
		t.Errorf("stdout %q", r.stdout)
	}
	r = troupe(t, "validate", "-o", "json", bad, good, missing)
	r.expect(t, exitEnvironment)
	got := decode[[]validation](t, r.stdout)
	if len(got) != 3 || got[0].OK || !got[1].OK || got[2].Error == "" {
		t.Errorf("%+v", got)
	}
}

func TestValidateInputs(t *testing.T) {
	t.Parallel()
	_, file := workflowDir(t, goodDefinition)
	troupe(t, "validate", "--input", "agee=1", file).expect(t, exitInvalid, `has no input "agee"; did you mean "age"?`)
	troupe(t, "validate", "--input", "age=old", file).expect(t, exitInvalid, `the value of the input "age"`)
	troupe(t, "validate", "--input", "age", file).expect(t, exitUsage, `--input: want NAME=VALUE, got "age"`)
	troupe(t, "validate", "--input", "age=1", "--input", "age=2", file).expect(t, exitUsage, `age is given twice`)
}

func TestNodes(t *testing.T) {
	t.Parallel()
	r := troupe(t, "nodes")
	r.expect(t, exitOK)
	for _, want := range []string{"source.csv", "filter", "map", "aggregate", "sink.csv"} {
		if !strings.Contains(r.stdout, "\n"+want) {
			t.Errorf("%s is not listed:\n%s", want, r.stdout)
		}
	}
	r = troupe(t, "nodes", "-o", "json")
	r.expect(t, exitOK)
	types := decode[[]workflow.TypeInfo](t, r.stdout)
	for _, info := range types {
		one := troupe(t, "nodes", info.Name)
		one.expect(t, exitOK)
		for _, f := range info.Config {
			if !strings.Contains(one.stdout, "\n"+f.Name+" ") || f.Doc == "" {
				t.Errorf("%s does not explain %s:\n%s", info.Name, f.Name, one.stdout)
			}
		}
		if !strings.HasPrefix(one.stdout, info.Name+" ("+string(info.Role)+")") {
			t.Errorf("%s: %s", info.Name, one.stdout)
		}
	}
	if len(types) < 5 {
		t.Errorf("%d types", len(types))
	}
	troupe(t, "nodes", "source.cvs").expect(t, exitUsage, `unknown node type "source.cvs"; did you mean "source.csv"?`)
	troupe(t, "nodes", "a", "b").expect(t, exitUsage, `takes at most 1 TYPE, got 2`)
}
