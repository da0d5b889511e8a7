package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/workflow"
)

// serve starts `troupe dev` on a free port and waits until it serves. The
// address ends in a slash.
func serve(t *testing.T, args ...string) (p *process, url, dir string) {
	t.Helper()
	cmd := command(t, append([]string{"dev", "--port", "0"}, args...)...)
	p = start(t, cmd)
	line := p.waitFor(p.stdout, "troupe serving at ")
	return p, strings.TrimPrefix(line, "troupe serving at "), cmd.Dir
}

// fetch asks the node for a path below its address.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// Req O1, T2, T6, A8: dev serves, runs its workflow, logs in JSON, and a signal
// drains it.
func TestDev(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p, url, dir := serve(t)
			p.waitFor(p.stdout, "weather completed in ")
			poll := time.NewTicker(5 * time.Millisecond)
			defer poll.Stop()
			for status := 0; status != http.StatusOK; <-poll.C { // a busy machine may need more than one try
				status, _ = fetch(t, url+"ready")
			}
			for _, path := range []string{"", "health", "healthz", "metrics", "api/node", "api/tree", "api/runs"} {
				if status, body := fetch(t, url+path); status != http.StatusOK {
					t.Errorf("GET /%s: %d: %.200s", path, status, body)
				}
			}
			p.signal(signal)
			r := p.wait()
			if r.code != exitOK {
				t.Errorf("exit code %d after a graceful stop\n%s", r.code, r.stderr)
			}
			written, err := filepath.Glob(filepath.Join(dir, "troupe-data", "runs", "*", "*"))
			if err != nil || len(written) == 0 {
				t.Errorf("no output of the run: %v, %v", written, err)
			}
			expectLog(t, r.stderr, "node started", "workflow run ended", "node stopping", "node stopped")
		})
	}
}

// expectLog fails unless every line is a JSON record or one of the program's own,
// and the messages are there in that order.
func expectLog(t *testing.T, text string, messages ...string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "troupe: ") {
			continue
		}
		var record struct {
			Time, Level, Msg string
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Level == "" {
			t.Errorf("not a log record: %q: %v", line, err)
		}
		if len(messages) > 0 && record.Msg == messages[0] {
			messages = messages[1:]
		}
	}
	if len(messages) > 0 {
		t.Errorf("the log lacks %q:\n%s", messages[0], text)
	}
}

// Req O1: dev FILE runs another workflow, and -o json announces the node.
func TestDevFile(t *testing.T) {
	t.Parallel()
	_, file := workflowDir(t, goodDefinition)
	p := start(t, command(t, "dev", file, "--port", "0", "-o", "json", "--data-dir", t.TempDir()))
	p.waitFor(p.stdout, `"pid"`)
	got := decode[announcement](t, p.stdout.String()+"}") // the closing brace is a line of its own
	if got.Workflow != "people" || got.PID != p.cmd.Process.Pid {
		t.Errorf("%+v", got)
	}
	p.waitFor(p.stderr, "workflow run ended")
	_, body := fetch(t, got.URL+"api/runs")
	if !strings.Contains(body, `"people"`) {
		t.Errorf("/api/runs: %s", body)
	}
	p.signal(os.Interrupt)
	if r := p.wait(); r.code != exitOK {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// blockedDev starts a node whose run waits for more rows from a pipe.
func blockedDev(t *testing.T, args ...string) *process {
	t.Helper()
	dir, file := workflowDir(t, blockedDefinition)
	pipe := filepath.Join(dir, "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	cmd := command(t, append([]string{"dev", file, "--port", "0"}, args...)...)
	p := start(t, cmd)
	fillPipe(t, pipe)
	p.waitFor(p.stdout, "troupe serving at ")
	return p
}

// Req A8, O1: a second Ctrl-C does not wait for a run that does not end.
func TestDevSecondInterrupt(t *testing.T) {
	t.Parallel()
	p := blockedDev(t)
	p.signal(os.Interrupt)
	p.waitFor(p.stderr, `"node stopping"`)
	p.signal(os.Interrupt)
	r := p.wait()
	if r.code != exitInterrupted || !strings.Contains(r.stderr, "troupe: stopped at once\n") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// Req A8: a run whose handler is blocked is left behind when the shutdown timeout
// is over, and the exit code says so.
func TestDevShutdownTimeout(t *testing.T) {
	t.Parallel()
	p := blockedDev(t, "--shutdown-timeout", "500ms")
	p.signal(os.Interrupt)
	r := p.wait()
	if r.code != exitFailed || !strings.Contains(r.stderr, "troupe: the node did not stop within 500ms: ") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	expectLog(t, r.stderr, "node stopping", "a workflow run is interrupted because the node stops; it goes on when the node starts again", "node stopped with something left behind")
}

// Req O1, S4: what keeps a node from starting is one clear line.
func TestDevErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // after the parallel subtests
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	dir := t.TempDir()
	file := write(t, dir, "file", "")
	bad := write(t, dir, "bad.yaml", "name: x\nnods: []\n")
	used := t.TempDir()
	lock, err := files.TakeLock(filepath.Join(used, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release() })
	for _, tt := range []struct {
		name string
		args []string
		code exitCode
		want string
	}{
		{"taken port", []string{"--port", port}, exitEnvironment, "127.0.0.1:" + port + ": the port is taken; --port 0 picks a free one"},
		{"no such address", []string{"--address", "127.1.2.3.4"}, exitUsage, "--address: http.address: want an IP address or localhost"},
		{"address of another machine", []string{"--address", "192.0.2.1", "--allow-unauthenticated", "--port", "0"}, exitEnvironment, "this machine has no such address"},
		{"public", []string{"--address", "0.0.0.0"}, exitUsage, "other machines can reach 0.0.0.0, and nothing asks who they are"},
		{"data directory of another node", []string{"--data-dir", used, "--port", "0"}, exitEnvironment, used + ": another node (process "},
		{"data directory is a file", []string{"--data-dir", file, "--port", "0"}, exitEnvironment, file + ": the data directory cannot be used: not a directory"},
		{"data directory cannot be made", []string{"--data-dir", "/proc/troupe", "--port", "0"}, exitEnvironment, "/proc/troupe: the data directory cannot be used"},
		{"log file is a directory", []string{"--log-file", dir, "--port", "0"}, exitEnvironment, dir},
		{"bad definition", []string{bad}, exitInvalid, bad + `:2:1: nods: unknown key "nods"; did you mean "nodes"?`},
		{"missing definition", []string{filepath.Join(dir, "none.yaml")}, exitEnvironment, "none.yaml"},
		{"missing secret", []string{"--set", "http.token=env:NOT_SET", "--port", "0"}, exitInvalid, "http.token: env:NOT_SET: the variable is not set"},
		{"two files", []string{"a", "b"}, exitUsage, "takes at most 1 FILE, got 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := troupe(t, append([]string{"dev"}, tt.args...)...)
			r.expect(t, tt.code, tt.want)
			if r.stdout != "" {
				t.Errorf("stdout: %s", r.stdout)
			}
		})
	}
}

// Req S4: with a token, only who has it gets in.
func TestDevToken(t *testing.T) {
	t.Parallel()
	cmd := command(t, "dev", "--port", "0", "--set", "http.token=env:TROUPE_TEST_TOKEN")
	cmd.Env = cleanEnv("TROUPE_TEST_TOKEN=hunter2")
	p := start(t, cmd)
	url := strings.TrimPrefix(p.waitFor(p.stdout, "troupe serving at "), "troupe serving at ")
	for path, want := range map[string]int{"": 401, "api/node": 401, "metrics": 401, "healthz": 401, "health": 200} {
		if status, body := fetch(t, url+path); status != want {
			t.Errorf("GET /%s without a token: %d, want %d: %.100s", path, status, want, body)
		}
	}
	if status, _ := fetch(t, url+"ready"); status == http.StatusUnauthorized {
		t.Error("a probe needs a token")
	}
	with := strings.Replace(url, "http://", "http://anyone:hunter2@", 1)
	if status, _ := fetch(t, with+"api/node"); status != 200 {
		t.Errorf("with the token: %d", status)
	}
	if status, _ := fetch(t, strings.Replace(with, "hunter2", "hunter3", 1)+"api/node"); status != 401 {
		t.Errorf("with a wrong token: %d", status)
	}
	p.signal(os.Interrupt)
	r := p.wait()
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("the secret is printed:\n%s%s", r.stdout, r.stderr)
	}
}

// Req A10, O1, T1, T6, W1: the scenario checks itself and prints one document.
func TestDevOnce(t *testing.T) {
	t.Parallel()
	cmd := command(t, "dev", "--once", "-o", "json")
	r := finish(t, cmd)
	r.expect(t, exitOK)
	report := decode[onceReport](t, r.stdout)
	if !report.OK || report.RowsIn != 1472 || report.SetAside != 5 || report.RowsOut == 0 || report.Restarts < 1 || report.DurationMS <= 0 {
		t.Errorf("%+v", report)
	}
	if len(report.Checks) < 15 {
		t.Errorf("only %d checks: %+v", len(report.Checks), report.Checks)
	}
	for _, c := range report.Checks {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	if left := listDir(t, cmd.Dir); left != "" {
		t.Errorf("left in the working directory: %s", left)
	}
	if r.stderr != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// A scenario that does not work is exit code 1, and the document says what.
func TestDevOnceFails(t *testing.T) {
	t.Parallel()
	definition := strings.Replace(goodDefinition, "path: adults.csv", "path: /proc/adults.csv", 1)
	_, file := workflowDir(t, definition)
	r := troupe(t, "dev", "--once", "-o", "json", file)
	r.expect(t, exitFailed)
	report := decode[onceReport](t, r.stdout)
	if report.OK || len(report.Checks) == 0 || report.Checks[0].OK || !strings.Contains(report.Checks[0].Detail, "/proc/adults.csv") {
		t.Errorf("%+v", report)
	}
	r = troupe(t, "dev", "--once", file)
	r.expect(t, exitFailed)
	if !strings.Contains(r.stdout, "FAIL  the workflow completes") || !strings.Contains(r.stdout, "something does not work") {
		t.Errorf("stdout: %s", r.stdout)
	}
}

// The checks of --once can fail.
func TestOnceChecksFail(t *testing.T) {
	t.Parallel()
	definition := &workflow.Definition{Nodes: []workflow.Node{{ID: "a", Role: workflow.RoleSource}, {ID: "b", Role: workflow.RoleSink}}}
	good := func() workflow.RunInfo {
		return workflow.RunInfo{
			Nodes:         []workflow.NodeInfo{{ID: "a", Role: workflow.RoleSource, RowsIn: 3, RowsOut: 2, Rejected: 1}, {ID: "b", Role: workflow.RoleSink, RowsIn: 2, RowsOut: 2}},
			Edges:         []workflow.EdgeInfo{{From: "a", To: "b", Rows: 2}},
			Rejects:       []workflow.Reject{{Node: "a", File: "f", Line: 1, Reason: "r"}},
			RejectedTotal: 1,
		}
	}
	if err := checkAccounts(definition, good()); err != nil {
		t.Error(err)
	}
	if err := checkRejects(good()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*workflow.RunInfo){
		"a lost row":        func(i *workflow.RunInfo) { i.Nodes[0].RowsOut-- },
		"a row too many":    func(i *workflow.RunInfo) { i.Nodes[1].RowsOut++ },
		"a lost edge":       func(i *workflow.RunInfo) { i.Edges[0].Rows = 1 },
		"nothing at all":    func(i *workflow.RunInfo) { i.Nodes[0].RowsIn = 0 },
		"no place":          func(i *workflow.RunInfo) { i.Rejects[0].Line = 0 },
		"no reason":         func(i *workflow.RunInfo) { i.Rejects[0].Reason = "" },
		"not listed":        func(i *workflow.RunInfo) { i.Rejects = nil },
		"listed, uncounted": func(i *workflow.RunInfo) { i.RejectedTotal = 0 },
	} {
		info := good()
		spoil(&info)
		if checkAccounts(definition, info) == nil && checkRejects(info) == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}

// A node goes on when whoever read its log has gone away.
func TestDevOutlivesItsLogReader(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "dev", "--port", "0", "--log-level", "debug", "--set", "demo.crash_every=10ms")
	cmd.Stderr = write
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write.Close(), read.Close()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url := strings.TrimPrefix(strings.TrimSpace(line), "troupe serving at ")
	if err != nil || url == line {
		t.Fatalf("%q, %v", line, err)
	}
	// Each crash is a log record, so by the second one a record has been lost.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for restarts := 0; restarts < 3; <-poll.C {
		resp, err := client.Get(url + "api/node")
		if err != nil {
			t.Fatalf("the node is gone: %v", err)
		}
		var node struct {
			Totals struct {
				Restarts int `json:"restarts"`
			} `json:"totals"`
		}
		err = errors.Join(json.NewDecoder(resp.Body).Decode(&node), resp.Body.Close())
		if err != nil {
			t.Fatal(err)
		}
		restarts = node.Totals.Restarts
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
