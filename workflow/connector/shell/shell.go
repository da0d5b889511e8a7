// Package shell runs programs as tasks of workflows: the node type task.shell.
//
//   - id: archive
//     type: task.shell
//     after: export
//     with:
//     run: tar -czf "$TARGET" export/
//     env: {TARGET: "archive-${{ inputs.day }}.tar.gz"}
//
// The text under run is the shell's and is left as it is written: values go into
// the environment, where no value can be taken for a command.
//
// A program runs in a process group of its own. When its time is over, or the run
// is cancelled, the group gets SIGTERM and, after a moment, SIGKILL; what the
// program has started and left behind ends with it.
package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// Register adds the node type task.shell to a registry.
func Register(r *workflow.Registry) { r.Add(taskType()) }

const (
	// grace is how long a program has to end after SIGTERM, and what it has left
	// behind to close its output after the program has ended.
	grace = 2 * time.Second
	// errorTail is how much of what a program says is shown when it fails.
	errorTail = 2000
)

// Config is the "with" block of a node of the type task.shell.
type Config struct {
	Run         string                   `yaml:"run,required" doc:"The text for the shell. Values come in by the environment."`
	Shell       string                   `yaml:"shell" doc:"The program that reads it, with -c."`
	Env         workflow.Mapping[string] `yaml:"env" doc:"Variables beside PATH, HOME, LANG and TMPDIR, which are passed on."`
	Dir         string                   `yaml:"dir" doc:"Where it runs, relative to the output directory of the run, which is the default."`
	Output      string                   `yaml:"output" doc:"What becomes of its standard output: text, json or none."`
	MemoryBytes int64                    `yaml:"memory_bytes" doc:"Limit of its address space. 0: none."`
	CPUSeconds  int64                    `yaml:"cpu_seconds" doc:"Limit of the time that it computes. 0: none."`
}

// What becomes of the standard output.
const (
	outputText = "text"
	outputJSON = "json"
	outputNone = "none"
)

func taskType() workflow.TaskType[Config] {
	return workflow.TaskType[Config]{
		Name: "task.shell",
		Doc: "Runs a program by the shell, in a process group of its own. Its output is what the program writes to standard output. " +
			"TROUPE_RUN, TROUPE_NODE, TROUPE_ATTEMPT and TROUPE_KEY, the idempotency key, are in its environment.",
		Example: "run: ./report.sh \"$DAY\"\nenv: {DAY: \"${{ inputs.day }}\"}\n",
		Default: Config{Shell: "/bin/sh", Output: outputText},
		Literal: []string{"run", "shell"},
		Check:   check,
		Run:     run,
	}
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func check(c *workflow.Check, o Config) {
	if strings.TrimSpace(o.Run) == "" {
		c.Errorf("run", "there is nothing to run")
	}
	for _, item := range o.Env {
		if !variable.MatchString(item.Key) {
			c.Errorf(workflow.KeyPath("env", item.Key), "a variable cannot be named %q; expected letters, digits and _", item.Key)
		}
	}
	switch o.Output {
	case outputText, outputJSON, outputNone:
	default:
		c.Unknown("output", "kind of output", o.Output, []string{outputText, outputJSON, outputNone})
	}
	if o.MemoryBytes < 0 {
		c.Errorf("memory_bytes", "expected a number that is not negative")
	}
	if o.CPUSeconds < 0 {
		c.Errorf("cpu_seconds", "expected a number that is not negative")
	}
	if _, err := exec.LookPath(o.Shell); err != nil {
		c.Report("shell", fmt.Sprintf("there is no program %q", o.Shell), "")
	}
}

// script is the text with the limits in front.
func (o Config) script() string {
	var limits string
	if o.MemoryBytes > 0 {
		limits += fmt.Sprintf("ulimit -v %d || exit 126\n", max(o.MemoryBytes/1024, 1))
	}
	if o.CPUSeconds > 0 {
		limits += fmt.Sprintf("ulimit -t %d || exit 126\n", o.CPUSeconds)
	}
	return limits + o.Run
}

func run(ctx context.Context, t *workflow.Task, o Config) (json.RawMessage, error) {
	cmd := exec.CommandContext(ctx, o.Shell, "-c", o.script())
	cmd.Dir = t.Dir
	switch {
	case filepath.IsAbs(o.Dir):
		cmd.Dir = o.Dir
	case o.Dir != "":
		cmd.Dir = filepath.Join(t.Dir, o.Dir)
	}
	if err := os.MkdirAll(cmd.Dir, 0o755); err != nil {
		return nil, &fault.Error{Code: fault.FailedPrecondition, Op: "shell.Run", Target: cmd.Dir, Cause: err}
	}
	cmd.Env = environment(t, o)
	stdout, stderr := &bounded{most: workflow.TaskOutputMax}, &tail{most: errorTail}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if o.Output == outputNone {
		cmd.Stdout = nil
	}
	ownGroup(cmd)
	cmd.WaitDelay = grace
	err := cmd.Run()
	killGroup(cmd) // what it has left behind
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		t.Log.Warn("something that the program has started kept its output open; it was ended", "after", grace)
	case err != nil:
		return nil, failure(cmd, err, stderr.String())
	}
	if stdout.over {
		return nil, &fault.Error{
			Code: fault.InvalidArgument, Op: "shell.Run", Message: fmt.Sprintf("it wrote more than %d bytes to standard output", workflow.TaskOutputMax),
			Hint: "write the data to a file, or say output: none",
		}
	}
	return output(o.Output, stdout.kept)
}

// environment is what a program sees: nothing of the node's own secrets.
func environment(t *workflow.Task, o Config) []string {
	env := []string{
		"TROUPE_RUN=" + t.RunID, "TROUPE_NODE=" + t.Node, "TROUPE_KEY=" + t.Key, fmt.Sprintf("TROUPE_ATTEMPT=%d", t.Attempt),
	}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, item := range o.Env {
		env = append(env, item.Key+"="+item.Value)
	}
	return env
}

// failure is the error of a program that did not end well, with the end of what
// it said.
func failure(cmd *exec.Cmd, err error, said string) error {
	e := &fault.Error{Code: fault.Aborted, Op: "shell.Run", Message: err.Error()}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok {
		e.Code, e.Target = fault.FailedPrecondition, cmd.Path
	} else if exit.ExitCode() == 126 || exit.ExitCode() == 127 {
		e.Code = fault.FailedPrecondition // not found, or not to be executed
	}
	if said = strings.TrimSpace(said); said != "" {
		e.Message += ": " + said
	}
	return e
}

func output(kind string, written []byte) (json.RawMessage, error) {
	text := bytes.TrimRight(written, "\n")
	switch kind {
	case outputNone:
		return nil, nil
	case outputJSON:
		if !json.Valid(text) {
			return nil, fault.New(fault.InvalidArgument, "shell.Run", "standard output is no JSON: %.80q", text)
		}
		return text, nil
	}
	return json.Marshal(strings.ToValidUTF8(string(text), "\uFFFD"))
}

// bounded keeps what is written, up to a limit.
type bounded struct {
	kept []byte
	most int
	over bool
}

// Write takes everything, so that the program is not stopped by a full pipe.
func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.most-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.over = b.over || room < len(p)
	return len(p), nil
}

// tail keeps the end of what is written.
type tail struct {
	kept []byte
	most int
}

// Write keeps the last bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *tail) String() string { return strings.ToValidUTF8(string(t.kept), "\uFFFD") }
