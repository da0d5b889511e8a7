package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

const greetYAML = `name: greet
inputs: {who: {type: string, default: nobody}}
output: '"hello " + inputs.who'
nodes:
  - {id: say, type: value, with: {output: inputs.who}}
`

// Req W3, W9: triggers are made, tried, paused and removed from the command line,
// and what a node runs is told.
func TestTriggersOfNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, filepath.Join(dir, "data"))
	run := atDev(t, filepath.Join(dir, "data"))
	run(exitOK, "workflow", "deploy", write(t, dir, "greet.yaml", greetYAML))
	said(t, run(exitOK, "trigger", "list").stdout, "no triggers")
	said(t, run(exitFailed, "trigger", "put", "orders", "--workflow", "greet", "--kind", "webhok").stderr, `did you mean "webhook"?`)
	said(t, run(exitFailed, "trigger", "put", "orders", "--workflow", "greet", "--kind", "webhook", "--with", "unsigned=tru").stderr, "unsigned")
	put := []string{"trigger", "put", "orders", "--workflow", "greet", "--kind", "webhook", "--with", "unsigned=true", "--with", "id_header=X-Id", "--input", "who=${{ trigger.body.who }}"}
	said(t, run(exitOK, put...).stdout, `{"id_header":"X-Id","unsigned":true}`, "/api/hooks/orders", "input who", "waits")
	said(t, run(exitFailed, "trigger", "deliver", "orders", "--body", "Ada").stderr, "inputs.who")
	first := strings.TrimSpace(run(exitOK, "trigger", "deliver", "orders", "--body", `{"who": "Ada"}`, "--id", "7", "--header", "X-Kind=paid", "--query", "a=b").stdout)
	said(t, run(exitOK, "trigger", "deliver", "orders", "--body", `{"who": "Ada"}`, "--id", "7").stdout, first, "it had come before")
	said(t, run(exitOK, "run", "watch", first).stdout, "WorkflowCompleted")
	said(t, run(exitOK, "run", "show", first).stdout, "hello Ada", "trigger/orders")
	said(t, run(exitOK, "trigger", "pause", "orders", "--comment", "holidays").stdout, "paused", "holidays", "repeated", first)
	if d := decode[console.HookDelivered](t, run(exitOK, "trigger", "deliver", "orders", "--body", `{"who": "Eve"}`, "-o", "json").stdout); d.Repeated || d.ID == first {
		t.Errorf("delivered %+v", d)
	} else {
		run(exitOK, "run", "watch", d.ID) // to its end: it is removed below
	}
	shown := run(exitOK, "trigger", "show", "orders", "-o", "json").stdout
	if copied := decode[workflow.TriggerInfo](t, run(exitOK, "trigger", "put", "copy", "--json", "@"+write(t, dir, "orders.json", shown), "-o", "json").stdout); copied.Name != "copy" || !copied.Paused || string(copied.With) == "" {
		t.Errorf("the copy is %+v", copied)
	}
	said(t, run(exitOK, "trigger", "list", "--limit", "1").stdout, "copy", "the next page: --cursor ")
	said(t, run(exitOK, "trigger", "resume", "orders").stdout, "waits")
	said(t, run(exitFailed, "workflow", "delete", "greet").stderr, "2 triggers need it: copy, orders", "delete it first")
	run(exitOK, "trigger", "delete", "copy")
	said(t, run(exitOK, "trigger", "delete", "orders").stdout, "trigger orders deleted")
	said(t, run(exitFailed, "trigger", "show", "orders").stderr, "no such trigger")

	said(t, run(exitOK, "cluster").stdout, "NODE", "runs", "MiB", "HEALTH")
	said(t, run(exitOK, "run", "history", first, "--type", "NodeCompleted", "--step", "say").stdout, "NodeCompleted  say")
	said(t, run(exitFailed, "run", "history", first, "--type", "NodeDone").stderr, "no type of events")
	said(t, run(exitFailed, "run", "history", first, "--step", "sya").stderr, `did you mean "say"?`)
	said(t, run(exitOK, "workflow", "delete", "greet").stdout, "greet deleted; its 1 version and its runs can still be read")
	run(exitOK, "run", "show", first)
	said(t, run(exitOK, "workflow", "delete", "greet", "--prune").stdout, "greet deleted; with 1 version and 2 runs")
	said(t, run(exitFailed, "run", "show", first).stderr, "no such run")
	said(t, run(exitFailed, "workflow", "delete", "greet").stderr, "no such workflow")
}

// Req W10: stored runs are replayed before a version gets runs, and who would go
// another way is shown before anything is changed.
func TestReplayOfNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, filepath.Join(dir, "data"))
	run := atDev(t, filepath.Join(dir, "data"))
	file := write(t, dir, "greet.yaml", greetYAML)
	run(exitOK, "workflow", "deploy", file)
	id := strings.TrimSpace(run(exitOK, "workflow", "start", "greet").stdout)
	run(exitOK, "run", "watch", id)
	said(t, run(exitOK, "workflow", "replay", "greet").stdout, "1 run replayed with version 1: 1 the same, 0 differ, 0 unknown")
	write(t, dir, "greet.yaml", "# The same.\n"+greetYAML)
	said(t, run(exitOK, "workflow", "replay", "greet", "--file", file).stdout, "with this definition: 1 the same")
	run(exitOK, "workflow", "deploy", file, "--stage")
	said(t, run(exitOK, "workflow", "activate", "greet", "2").stderr, "1 the same")

	write(t, dir, "greet.yaml", greetYAML+"  - {id: twice, type: value, after: say, with: {output: inputs.who}}\n")
	said(t, run(exitFailed, "workflow", "replay", "greet", "--file", file).stdout, id, "twice", "0 the same")
	run(exitOK, "workflow", "deploy", file, "--stage")
	for _, args := range [][]string{{"activate", "greet", "3"}, {"rollout", "greet", "--candidate", "3"}, {"rollout", "greet", "--split", "2=50,3=50"}} {
		r := run(exitFailed, append([]string{"workflow"}, args...)...)
		said(t, r.stderr, id, "nothing was changed", "--force")
		if v := decode[workflow.Version](t, run(exitOK, "workflow", "show", "greet", "-o", "json").stdout); v.Version != 2 {
			t.Errorf("%s has made version %d active", args, v.Version)
		}
	}
	said(t, run(exitOK, "workflow", "rollout", "greet").stdout, "greet has no rollout")
	said(t, run(exitOK, "workflow", "rollout", "greet", "-o", "json").stdout, `"state": "none"`)
	said(t, run(exitFailed, "workflow", "rollout", "greet", "--end").stderr, "no rollout")
	said(t, run(exitOK, "workflow", "rollout", "greet", "--candidate", "3", "--force").stdout, "version 3, 5 % of the runs")
	run(exitOK, "workflow", "rollout", "greet", "--end")
	said(t, run(exitOK, "workflow", "activate", "greet", "3", "--replay", "0").stdout, "version 3")
	bad := write(t, dir, "bad.yaml", "name: greet\nnodes: 7\n")
	said(t, run(exitInvalid, "workflow", "replay", "greet", "--file", bad).stderr, "bad.yaml:2:8")
	said(t, run(exitUsage, "workflow", "replay", "greet", "--file", bad, "--version", "1").stderr, "got both")
	said(t, run(exitFailed, "workflow", "replay", "greet", "--version", "9").stderr, "no such version")
}

// What the types of triggers are is known without a node.
func TestTriggerTypes(t *testing.T) {
	t.Parallel()
	r := troupe(t, "trigger", "types")
	r.expect(t, exitOK)
	said(t, r.stdout, "webhook", "file", "trigger")
	r = troupe(t, "trigger", "types", "webhook")
	r.expect(t, exitOK)
	said(t, r.stdout, "id_header", "unsigned", "Example:")
	troupe(t, "trigger", "types", "webhok").expect(t, exitUsage, `did you mean "webhook"?`)
}
