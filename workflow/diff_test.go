package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const diffBase = `
name: w # what it is called
description: old
inputs:
  since: {type: date, default: 2012-01-01}
  until: {type: date, default: 2013-01-01, doc: Last day.}
batch_rows: 10
nodes:
  - {id: rows, type: source.rows, with: {columns: {n: int, m: int}, rows: 3}}
  - {id: few, type: filter, from: rows, with: {where: n > 1}}
  - {id: out, type: sink.memory, from: few, retry: {max: 5, initial: 60s}}
  - {id: rest, type: sink.memory, from: [few.else]}
  - {id: ask, type: value, after: [out.done], with: {output: "1"}}
  - id: each
    type: foreach
    after: ask
    with: {items: steps.ask.output, parallel: 100}
    do:
      - {id: one, type: value, with: {output: item}}
      - {id: two, type: value, after: one, with: {output: steps.one.output}}
`

// Req W10: the difference of two versions is told by what they say.
func TestDiff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		replace []string
		want    string
	}{
		{"comments, style, order, ways to say the same", []string{
			"name: w # what it is called", "name: 'w'", "[few.else]", "few.else", "[out.done]", "out", "60s", "1m", "parallel: 100", "parallel: 0x64",
			"  - {id: ask, type: value, after: out, with: {output: \"1\"}}\n", "", "nodes:\n", "nodes:\n  - id: ask\n    after: out\n    type: value\n    with:\n      output: 1\n",
			"inputs:\n", "inputs:\n  # ask\n", "from: few, retry: {max: 5, initial: 1m}}", "retry: {initial: 60s, max: 5}, from: few.out}",
		}, "no difference\n"},
		{"default written out", []string{", parallel: 100", ""}, "no difference\n"},
		{"settings", []string{"description: old", "description: |\n  new\n  text", "batch_rows: 10", "output: steps.ask.output"},
			"~ description:\n    - old\n    + new\n    + text\n- batch_rows: 10\n+ output: \"steps.ask.output\"\n"},
		{"inputs", []string{"2012-01-01", "2011-01-01", "  until: {type: date, default: 2013-01-01, doc: Last day.}\n", "  max: {type: int, default: 3}\n"},
			"~ input since (date)\n    ~ default: \"2012-01-01\" → \"2011-01-01\"\n- input until (date)\n    - type: \"date\"\n    - default: \"2013-01-01\"\n" +
				"    - doc: \"Last day.\"\n+ input max (int)\n    + type: \"int\"\n    + default: 3\n"},
		{"node settings", []string{"rows: 3", "rows: 4", "n > 1", "n > 2", "max: 5", "max: 6"},
			"~ node rows (source.rows)\n    ~ with.rows: 3 → 4\n~ node few (filter)\n    ~ with.where: \"n > 1\" → \"n > 2\"\n" +
				"~ node out (sink.memory)\n    ~ retry.max: 5 → 6\n"},
		{"order of columns", []string{"{n: int, m: int}", "{m: int, n: int}"},
			"~ node rows (source.rows)\n    ~ with.columns: {\"n\":\"int\",\"m\":\"int\"} → {\"m\":\"int\",\"n\":\"int\"}\n"},
		{"added, removed, rerouted", []string{
			"  - {id: rest, type: sink.memory, from: [few.else]}\n", "  - {id: tell, type: value, after: out.failed, with: {output: '2'}}\n", "after: [out.done]", "after: [out, tell]",
		}, "+ node tell (value)\n    + with.output: \"2\"\n- node rest (sink.memory)\n+ edge out.failed ⇢ tell\n+ edge tell ⇢ ask\n- edge few.else → rest\n"},
		{"type", []string{"id: rest, type: sink.memory, from: [few.else]", "id: rest, type: value, with: {output: '1'}"},
			"~ node rest (value)\n    ~ type: \"sink.memory\" → \"value\"\n    + with.output: \"1\"\n- edge few.else → rest\n"},
		{"renamed", []string{"ask", "question"}, "~ node question was ask (value)\n"},
		{"several renamed", []string{"id: few", "id: some", "few", "some", "id: rows", "id: read", "from: rows", "from: read", "id: one", "id: uno", "after: one", "after: uno", "steps.one", "steps.uno"},
			"~ node read was rows (source.rows)\n~ node some was few (filter)\n~ node uno was one (value)\n"},
		{"a loop renamed", []string{"id: each", "id: every"}, "~ node every was each (foreach)\n"},
		{"renamed and changed", []string{"id: ask", "id: question", "after: ask", "after: question", "steps.ask", "steps.question", "output: \"1\"", "output: \"2\""},
			"+ node question (value)\n    + with.output: \"2\"\n~ node each (foreach)\n" +
				"    ~ with.items: \"steps.ask.output\" → \"steps.question.output\"\n- node ask (value)\n    - with.output: \"1\"\n" +
				"+ edge out ⇢ question\n+ edge question ⇢ each\n- edge out ⇢ ask\n- edge ask ⇢ each\n"},
		{"last of a loop", []string{
			"      - {id: one, type: value, with: {output: item}}\n", "", "output: steps.one.output}}\n", "output: steps.one.output}}\n      - {id: one, type: value, with: {output: item}}\n",
		}, "~ node each (foreach)\n    ~ last: \"two\" → \"one\"\n"},
		{"taken out of a loop", []string{
			"      - {id: one, type: value, with: {output: item}}\n", "", "after: one, ", "", "  - id: each\n", "  - {id: one, type: value, with: {output: item}}\n  - id: each\n",
		}, "~ node one (value)\n    - in: \"each\"\n- edge one ⇢ two\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := diffBase
			for i := 0; i < len(tt.replace); i += 2 {
				if !strings.Contains(text, tt.replace[i]) {
					t.Fatalf("the definition has no %q", tt.replace[i])
				}
				text = strings.ReplaceAll(text, tt.replace[i], tt.replace[i+1])
			}
			from, to := mustLoad(t, diffBase), mustLoad(t, text)
			d := DiffDefinitions(from, to)
			if got := strings.TrimPrefix(d.String(), "w\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if d.Same() != (tt.want == "no difference\n") {
				t.Errorf("Same is %t", d.Same())
			}
			if back := DiffDefinitions(to, from); back.Same() != d.Same() || len(back.Nodes) != len(d.Nodes) || len(back.Edges) != len(d.Edges) {
				t.Errorf("the other way round it is\n%s", back.String())
			}
			var read Diff
			data, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &read); err != nil || read.String() != d.String() {
				t.Errorf("as JSON %s: %v", data, err)
			}
		})
	}
}

func mustLoad(t *testing.T, text string) *Definition {
	t.Helper()
	d, err := loadText(text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

// Renamed nodes are recognised whatever graph they lie in: a definition all of
// whose nodes have other names differs by that, or, where nodes can't be told from
// each other, by which was added and removed; put right, nothing is left.
func TestDiffRenames(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		count := 2 + rnd.IntN(10)
		graph := func(prefix string) string {
			rnd := rand.New(rand.NewPCG(seed, 4))
			text := "name: w\nnodes:\n"
			for i := range count {
				var after []string
				for j := range i {
					if rnd.IntN(3) == 0 {
						after = append(after, fmt.Sprintf("%s%d", prefix, j))
					}
				}
				text += fmt.Sprintf("  - {id: %s%d, type: value, after: [%s], with: {output: \"'text %d'\"}}\n", prefix, i, strings.Join(after, ", "), i)
			}
			return text
		}
		d := DiffDefinitions(mustLoad(t, graph("a")), mustLoad(t, graph("b")))
		if len(d.Nodes) != count || len(d.Edges) != 0 {
			t.Fatalf("seed %d:\n%s", seed, d.String())
		}
		for _, n := range d.Nodes {
			if n.Kind != DiffRenamed || n.Was[1:] != n.Name[1:] {
				t.Fatalf("seed %d: %+v", seed, n)
			}
		}
	}
}

// Nodes that are the same but for their names are not guessed at.
func TestDiffAmbiguous(t *testing.T) {
	t.Parallel()
	from := mustLoad(t, "name: w\nnodes:\n  - {id: a, type: value, with: {output: '1'}}\n  - {id: b, type: value, with: {output: '1'}}\n")
	to := mustLoad(t, "name: w\nnodes:\n  - {id: c, type: value, with: {output: '1'}}\n  - {id: d, type: value, with: {output: '1'}}\n")
	d := DiffDefinitions(from, to)
	if len(d.Nodes) != 4 {
		t.Errorf("got\n%s", d.String())
	}
}

// Req W10: versions of a workflow are compared by their numbers.
func TestEngineDiff(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	for _, text := range []string{"1", "2"} {
		if _, err := s.engine.Deploy(context.Background(), mustLoad(t, "name: w\ninputs: {x: {type: int, default: 1}}\nnodes:\n  - {id: a, type: value, with: {output: \""+text+"\"}}\n"), ""); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.engine.Diff(context.Background(), "w", 1, 0)
	if err != nil || d.String() != "w: version 1 → 2\n~ node a (value)\n    ~ with.output: \"1\" → \"2\"\n" {
		t.Errorf("%v\n%s", err, d.String())
	}
	if _, err := s.engine.Diff(context.Background(), "w", 1, 9); err == nil {
		t.Error("a version that is not there was compared")
	}
}

// The canonical form of a definition is the same one again.
func TestCanonicalYAML(t *testing.T) {
	t.Parallel()
	for _, text := range []string{diffBase, drawn, goodText} {
		d := mustLoad(t, text)
		canonical, err := d.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again := mustLoad(t, string(canonical))
		if twice, err := again.YAML(); err != nil || string(twice) != string(canonical) {
			t.Errorf("%v: got\n%s\nwant\n%s", err, twice, canonical)
		}
		if diff := DiffDefinitions(d, again); !diff.Same() {
			t.Errorf("it says something else:\n%s\n%s", diff.String(), canonical)
		}
	}
	d := mustLoad(t, diffBase)
	const want = "  - id: out\n    type: sink.memory\n    from: few\n    retry:\n      max: 5\n      initial: 1m\n"
	if canonical, _ := d.YAML(); !strings.Contains(string(canonical), want) {
		t.Errorf("got\n%s", canonical)
	}
}
