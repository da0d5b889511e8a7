package shell

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

func task(t *testing.T) *workflow.Task {
	t.Helper()
	return &workflow.Task{RunID: "r", Node: "n", Attempt: 2, Key: "r/n/0", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
}

// Req W2: the output, the environment, and how a program fails.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		config       Config
		output, want string
		code         fault.Code
	}{
		{Config{Run: "echo hello; echo there"}, `"hello\nthere"`, "", 0},
		{Config{Run: "echo '{\"n\": 1}'", Output: outputJSON}, `{"n": 1}`, "", 0},
		{Config{Run: "echo no json", Output: outputJSON}, "", "no JSON", fault.InvalidArgument},
		{Config{Run: "yes", Output: outputNone, CPUSeconds: 1}, "", "illed", fault.Aborted},
		{Config{Run: "echo $TROUPE_RUN $TROUPE_NODE $TROUPE_ATTEMPT $TROUPE_KEY"}, `"r n 2 r/n/0"`, "", 0},
		{Config{Run: "echo broken >&2; exit 3"}, "", "exit status 3: broken", fault.Aborted},
		{Config{Run: "no-such-program"}, "", "exit status 127", fault.FailedPrecondition},
		{Config{Run: "head -c 2000000 /dev/zero"}, "", "more than 1048576 bytes", fault.InvalidArgument},
		{Config{Run: "printf '\\377'"}, `"` + "\uFFFD" + `"`, "", 0},
		{Config{Run: "echo \"$X\"", Env: workflow.Mapping[string]{{Key: "X", Value: "$(touch pwned); `id`"}}}, "\"$(touch pwned); `id`\"", "", 0},
	} {
		if tc.config.Shell == "" {
			tc.config.Shell = "/bin/sh"
		}
		if tc.config.Output == "" {
			tc.config.Output = outputText
		}
		task := task(t)
		output, err := run(t.Context(), task, tc.config)
		if string(output) != tc.output || fault.CodeOf(err) != tc.code && err != nil || (err == nil) != (tc.want == "") {
			t.Errorf("%s: %.100s, %v", tc.config.Run, output, err)
		}
		if err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.config.Run, err, tc.want)
		}
		if _, err := os.Stat(filepath.Join(task.Dir, "pwned")); err == nil {
			t.Error("a value was taken for a command")
		}
	}
}

// Req W6: what a program has started ends with it, whether it ends by itself or
// its time is over.
func TestKillsChildren(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"sleep 300 & echo $! > pid; exit 0", "sleep 300 & echo $! > pid; wait", "trap '' TERM; sleep 300 & echo $! > pid; kill -STOP $$"} {
		task := task(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		over := fault.New(fault.DeadlineExceeded, "", "over")
		done := make(chan error, 1)
		go func() {
			_, err := run(ctx, task, Config{Run: script, Shell: "/bin/sh", Output: outputNone})
			done <- err
		}()
		var child int
		deadline := time.Now().Add(time.Minute)
		for child == 0 {
			text, _ := os.ReadFile(filepath.Join(task.Dir, "pid"))
			child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			if time.Now().After(deadline) {
				t.Fatal("it does not begin")
			}
		}
		if !strings.Contains(script, "exit 0") {
			cancel(over)
		}
		if err := <-done; err != nil && !errors.Is(err, over) {
			t.Errorf("%s: %v", script, err)
		}
		cancel(nil)
		for !gone(child) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the child is alive", script)
			}
		}
	}
}

// gone reports whether a process has ended; one that nobody has waited for
// counts, too.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// A workflow passes values by the environment; in the text they are refused.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	registry := workflow.NewRegistry()
	Register(registry)
	const text = `
name: w
output: steps.second.output
nodes:
  - {id: first, type: task.shell, with: {run: "echo 41", output: json}}
  - {id: second, type: task.shell, after: first, with: {run: 'echo $((N + 1))', output: json, env: {N: "${{ steps.first.output }}"}}}
`
	files := fstest.MapFS{"w.yaml": {Data: []byte(text)}, "bad.yaml": {Data: []byte(strings.Replace(text, "$((N + 1))", "${{ steps.first.output }}", 1))}}
	definition, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	info, err := workflowtest.Run(t.Context(), definition, workflow.EngineOptions{Registry: registry, Files: files, OutputDir: t.TempDir()})
	if err != nil || string(info.Output) != "42" {
		t.Errorf("%s, %v", info.Output, err)
	}
	if _, err := workflow.LoadFS(files, "bad.yaml", workflow.LoadOptions{Registry: registry}); err == nil || !strings.Contains(err.Error(), "no value can be taken for code") {
		t.Errorf("got %v", err)
	}
}
