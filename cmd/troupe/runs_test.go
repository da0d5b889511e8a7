package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/workflow"
)

const gateYAML = `name: gate
inputs: {who: {type: string, default: nobody}}
nodes:
  - {id: door, type: wait, with: {signal: go}}
  - {id: sign, type: approval, after: door, with: {title: "Really?"}}
  - {id: say, type: task.shell, after: sign.approved, with: {run: 'echo "hello $WHO"', env: {WHO: "${who}"}}}
`

// atDev runs commands against the node of a data directory.
func atDev(t *testing.T, dir string) func(want exitCode, args ...string) result {
	return func(want exitCode, args ...string) result {
		t.Helper()
		r := troupe(t, append(args, "--data-dir", dir)...)
		r.expect(t, want)
		return r
	}
}

// said checks that an output has all of these.
func said(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the output lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("the output has control characters: %q", text)
	}
}

// awaitWait waits until a run waits for one thing, such as "signal".
func awaitWait(t *testing.T, url, id, what string) {
	t.Helper()
	client := console.NewClient(url, "")
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for ; ; <-poll.C {
		view, err := client.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(view.Run.Waits) == 1 && view.Run.Waits[0].For == what {
			return
		}
	}
}

// Req W3, W9, W10: workflows, runs and schedules of a running node from the
// command line.
func TestWorkflowsOfNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, url := startDev(t, filepath.Join(dir, "data"))
	run := atDev(t, filepath.Join(dir, "data"))
	file := write(t, dir, "gate.yaml", gateYAML)

	said(t, run(exitOK, "workflow", "deploy", file, "--comment", "first").stdout, "gate: version 1\n")
	write(t, dir, "gate.yaml", strings.Replace(gateYAML, "hello", "good day", 1))
	if v := decode[workflow.Version](t, run(exitOK, "workflow", "deploy", file, "-o", "json").stdout); v.Version != 2 || !v.Active {
		t.Errorf("deployed %+v", v)
	}
	said(t, run(exitOK, "workflow", "list").stdout, "gate", "weather", "deployed at the start of the node")
	said(t, run(exitOK, "workflow", "versions", "gate").stdout, "first", "active")
	said(t, run(exitFailed, "workflow", "diff", "gate", "--from", "1").stdout, "version 1 → 2", "say")
	said(t, run(exitOK, "workflow", "diff", "gate").stdout, "say the same")
	said(t, run(exitOK, "workflow", "activate", "gate", "1", "--if-active", "2").stdout, "new runs begin with version 1")
	said(t, run(exitFailed, "workflow", "activate", "gate", "2", "--if-active", "2").stderr, "ABORTED")
	if text := run(exitOK, "workflow", "show", "gate").stdout; text != gateYAML {
		t.Errorf("shown is\n%s", text)
	}
	said(t, run(exitOK, "workflow", "rollout", "gate", "--candidate", "2", "--step-after", "1h").stdout, "version 2, 5 % of the runs", "VERSION")
	said(t, run(exitOK, "workflow", "rollout", "gate", "--end", "--reason", "enough").stdout, "ended", "enough")
	bad := write(t, dir, "bad.yaml", "name: gate\nnodes: 7\n")
	said(t, run(exitInvalid, "workflow", "deploy", bad).stderr, "bad.yaml:2:8", "expected a list")
	said(t, run(exitFailed, "workflow", "start", "gaet").stderr, "there is no such workflow", "there are gate, stocktaking, weather")

	start := []string{"workflow", "start", "gate", "--input", "who=Ada", "--key", "acme", "--idempotency-key", "k1"}
	id := strings.TrimSpace(run(exitOK, start...).stdout)
	if again := decode[console.RunStarted](t, run(exitOK, append(start, "-o", "json")...).stdout); again.ID != id {
		t.Errorf("the same request has started %s and %s", id, again.ID)
	}
	awaitWait(t, url, id, "signal")
	said(t, run(exitOK, "run", "list", "--key", "acme", "--state", "running").stdout, id, "running", "api")
	said(t, run(exitOK, "run", "pause", id).stdout, id+": paused")
	said(t, run(exitOK, "run", "resume", id).stdout, id+": running")
	awaitWait(t, url, id, "signal")
	said(t, run(exitOK, "run", "show", id).stdout, "door", "waits for signal go")
	run(exitOK, "run", "signal", id, "go", "--json", `{"n":1}`)
	awaitWait(t, url, id, "approval") // it is asked for a moment later
	said(t, run(exitFailed, "run", "approve", id, "door").stderr, "no such approval")
	run(exitOK, "run", "approve", id, "sign", "--by", "Eve")
	said(t, run(exitOK, "run", "watch", id).stdout, "WorkflowStarted", "NodeCompleted  say", "WorkflowCompleted")
	said(t, run(exitOK, "run", "show", id).stdout, "completed", "hello Ada")
	said(t, run(exitOK, "run", "history", id, "--limit", "2").stdout, "WorkflowStarted", "the next page: --after 2")
	said(t, run(exitOK, "run", "timeline", id).stdout, "say", "completed", "run")
	run(exitOK, "run", "logs", id, "-f")
	said(t, run(exitFailed, "run", "cancel", id).stderr, "the run has ended")
	next := strings.TrimSpace(run(exitOK, "run", "rerun", id, "--from", "sign").stdout)
	said(t, run(exitOK, "run", "cancel", next, "--reason", "enough").stdout, next)
	said(t, run(exitFailed, "run", "watch", next).stderr, "the run cancelled: enough")
	said(t, run(exitFailed, "run", "show", "none").stderr, "there is no such run")

	said(t, run(exitOK, "schedule", "put", "nightly", "--workflow", "gate", "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin").stdout, "0 3 * * * Europe/Berlin", "next")
	shown := run(exitOK, "schedule", "show", "nightly", "-o", "json").stdout
	copied := write(t, dir, "nightly.json", shown)
	if s := decode[workflow.ScheduleInfo](t, run(exitOK, "schedule", "put", "copy", "--json", "@"+copied, "-o", "json").stdout); s.Name != "copy" || s.Cron != "0 3 * * *" {
		t.Errorf("the copy is %+v", s)
	}
	said(t, run(exitFailed, "schedule", "put", "bad", "--workflow", "gate", "--cron", "0 3 * *").stderr, "there are 4 fields; expected 5 or 6")
	said(t, run(exitOK, "schedule", "pause", "nightly", "--comment", "holidays").stdout, "paused", "holidays")
	said(t, run(exitOK, "schedule", "resume", "nightly").stdout, "waiting")
	fired := strings.TrimSpace(run(exitOK, "schedule", "run", "nightly").stdout)
	said(t, run(exitOK, "run", "list", "--trigger", "schedule/nightly").stdout, fired)
	said(t, run(exitOK, "schedule", "list", "--limit", "1").stdout, "copy", "the next page: --cursor ")
	said(t, run(exitFailed, "schedule", "backfill", "nightly", "--from", "2020-01-01", "--to", "2024-01-01", "--max", "10").stderr, "more than 10 instants")
	said(t, run(exitOK, "schedule", "delete", "copy").stdout, "deleted")
	said(t, run(exitFailed, "schedule", "show", "copy").stderr, "NOT_FOUND")
	p.kill()
	said(t, run(exitEnvironment, "run", "list").stderr, "no node runs with this data directory", "--node")
}

// What is not said clearly enough is a usage error, before a node is looked for.
func TestWorkflowsUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"run lits":                         `did you mean "list"?`,
		"run show":                         "needs the ID of a run, got 0 arguments",
		"run signal x":                     "needs the ID of a run and the name of a signal, got 1 argument",
		"run list --sate failed":           `did you mean "--state"?`,
		"workflow deploi":                  `did you mean "deploy"?`,
		"workflow activate a":              "needs the NAME of a workflow and a VERSION",
		"schedule puase x":                 `did you mean "pause"?`,
		"schedule put":                     "needs the NAME of a schedule",
		"workflow start a --input b":       "--input: want NAME=VALUE",
		"schedule put x --every sometimes": "--every",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			troupe(t, strings.Fields(args)...).expect(t, exitUsage, want)
		})
	}
	for _, args := range []string{"run watch --help", "workflow deploy --help", "schedule put --help"} {
		r := troupe(t, strings.Fields(args)...)
		r.expect(t, exitOK)
		said(t, r.stdout, "Examples:", "--node")
	}
}
