package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// syncBuffer takes log records from several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// testConfig is a node on a free port with a directory of its own.
func testConfig(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.HTTP.Port = 0
	c.DataDir = filepath.Join(t.TempDir(), "data")
	c.ShutdownTimeout = testTimeout
	c.Demo.CrashEvery = 0
	return c
}

// startNode starts a node and stops it at the end of the test.
func startNode(t *testing.T, c Config, o Options) *Node {
	t.Helper()
	if o.Log == nil {
		o.Log = &syncBuffer{}
	}
	n, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return n
}

// get asks a node, with a header if one is given as "Name: value".
func get(t *testing.T, target string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
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

// Req A7, A8, T1, T6: the whole node is one tree; it answers, and it stops
// without leaving a goroutine behind.
func TestNodeLife(t *testing.T) {
	t.Parallel()
	actortest.NoLeaks(t)
	log := &syncBuffer{}
	n, err := New(testConfig(t), Options{Demo: true, Log: log, Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/alerts", "/run-metrics", "/watchdog", "/runs", "/demo", DemoChild, "/http"} {
		infoAt(t, n.System(), path)
	}
	awaitReady(t, n, http.StatusOK, `"data directory"`) // a busy machine may need more than one try
	for path, want := range map[string]string{
		"health": `"ok"`, "healthz": `"status":"`, "api/node": `"v0"`,
		"metrics": "actorsystem_active_threads", "": "<!doctype html>",
	} {
		if status, body := get(t, n.URL()+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET /%s: %d, without %s: %.200s", path, status, want, body)
		}
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	// Not by connecting: the port may be somebody else's by now.
	if err := n.http.current().(*net.TCPListener).SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a stopped node still listens: %v", err)
	}
	for _, want := range []string{"node started", "node stopping", "node stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// Req O1: what keeps a node from starting is one line that says what to do.
func TestNodeErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing, err := secret.Parse("file:" + file + ".none")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"deliveries", func(c *Config) { c.Runs.DeliveriesKnown = time.Minute }, "runs.deliveries_known: want a duration from 1h to 87600h, got 1m"},
		{"range", func(c *Config) { c.Runs.Keep = 0 }, "runs.keep: want a whole number from 1 to 1000000, got 0"},
		{"public", func(c *Config) { c.HTTP.Address = "::" }, "nothing asks who they are"},
		{"secret", func(c *Config) { c.HTTP.Token = missing }, "http.token: file:" + file + ".none: no such file"},
		{"data directory", func(c *Config) { c.DataDir = filepath.Join(file, "x") }, "the data directory cannot be used: not a directory"},
		{"port", func(c *Config) { c.HTTP.Port = portOf(t, taken.Addr().String()) }, "the port is taken; --port 0 picks a free one"},
		{"log file", func(c *Config) { c.Log.File = filepath.Dir(file) }, filepath.Dir(file)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig(t)
			tt.change(&c)
			n, err := New(c, Options{Log: io.Discard})
			if err == nil {
				err = n.Start(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tt.want)
			}
		})
	}
}

// Two nodes in one data directory would remove each other's runs. The second
// is told which process is there, and may have it once the first has stopped.
func TestTwoNodesOneDirectory(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	first := startNode(t, c, Options{})
	second, err := New(c, Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s: another node (process %d) uses this data directory; choose one with --data-dir", c.DataDir, os.Getpid())
	if err := second.Start(t.Context()); err == nil || err.Error() != want || !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("the second node: %v, want %s", err, want)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	startNode(t, c, Options{})
}

// Req A7: an HTTP server that fails is restarted at the same address.
func TestHTTPServiceListensAgain(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	if runtime.GOOS == "linux" { // where it need not be set up: nobody else takes the port in between
		c.HTTP.Address = "127.82.9.1"
	}
	n := startNode(t, c, Options{})
	listener := n.http.current()
	if err := listener.Close(); err != nil { // the server's Accept fails
		t.Fatal(err)
	}
	// Not by connecting: a connection to a port that nobody listens on may end up
	// connected to itself, and then holds the port.
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(testTimeout); n.http.current() == listener; <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("the server does not listen again")
		}
	}
	if status, _ := get(t, n.URL()+"health"); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	if info := infoAt(t, n.System(), "/http"); info.Restarts != 1 {
		t.Errorf("restarts %d, want 1", info.Restarts)
	}
}

// testTimeout bounds what a test waits for.
const testTimeout = 2 * time.Minute

// A node whose server cannot come back says so, so that it can end.
func TestNodeFailed(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Actor.MaxRestarts = 0
	n := startNode(t, c, Options{})
	if err := n.http.current().Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-n.Failed():
		if !strings.Contains(err.Error(), "the HTTP server has failed for good") {
			t.Error(err)
		}
	case <-time.After(testTimeout):
		t.Error("nobody is told that the server is gone")
	}
}

// Req S4: another host name is refused, by every path that tells something.
func TestHostCheck(t *testing.T) {
	t.Parallel()
	n := startNode(t, testConfig(t), Options{})
	for _, path := range []string{"metrics", "healthz", "api/node", ""} {
		if status, body := get(t, n.URL()+path, "Host: evil.example"); status != http.StatusMisdirectedRequest {
			t.Errorf("GET /%s by another name: %d: %.100s", path, status, body)
		}
		for _, host := range []string{"localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST:8080"} {
			if status, _ := get(t, n.URL()+path, "Host: "+host); status != http.StatusOK {
				t.Errorf("GET /%s by %s: %d", path, host, status)
			}
		}
	}
}

// Req S4: only who has the token gets in.
func TestTokenGuard(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	var err error
	if c.HTTP.Token, err = secret.Parse("env:TOKEN"); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, c, Options{Env: []string{"TOKEN=hunter2"}})
	for _, tt := range []struct {
		path, header string
		want         int
	}{
		{"api/node", "", 401},
		{"api/node", "Authorization: Bearer hunter2", 200},
		{"api/node", "Authorization: Bearer hunter", 401},
		{"api/node", "Authorization: Bearer ", 401},
		{"api/node", "Authorization: Basic dTpodW50ZXIy", 200}, // u:hunter2
		{"api/node", "Authorization: Basic aHVudGVyMjp1", 401}, // hunter2:u
		{"metrics", "", 401},
		{"healthz", "", 401},
		{"metrics", "Authorization: Bearer hunter2", 200},
		{"health", "", 200},
		{"health/../api/node", "", 401},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{tt.header}
		}
		if status, _ := get(t, n.URL()+tt.path, headers...); status != tt.want {
			t.Errorf("GET /%s with %q: %d, want %d", tt.path, tt.header, status, tt.want)
		}
	}
	awaitReady(t, n, http.StatusOK, "") // without a token
}

// Req T2: records go to a file, and the level changes at run time.
func TestLogFile(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Log.File = filepath.Join(t.TempDir(), "logs", "node.log")
	stderr := &syncBuffer{}
	n := startNode(t, c, Options{Log: stderr})
	n.Log().Debug("hidden")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.URL()+"api/log-level", strings.NewReader(`{"level":"DEBUG"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	n.Log().Debug("shown")
	text, err := os.ReadFile(c.Log.File)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"msg":"node started"`) || !strings.Contains(string(text), `"shown"`) || strings.Contains(string(text), `"hidden"`) {
		t.Errorf("the file holds\n%s", text)
	}
	if stderr.String() != "" {
		t.Errorf("stderr holds %s", stderr)
	}
}

// Req A10: alerts and failed runs reach the console's list of events.
func TestAlertsReachTheConsole(t *testing.T) {
	t.Parallel()
	n := startNode(t, testConfig(t), Options{})
	actor.Publish(n.System(), workflow.Event{Type: workflow.WorkflowFailed, Workflow: "w", RunID: "r1", Error: "broken"})
	actor.Publish(n.System(), workflow.Event{Type: workflow.WorkflowStarted, Workflow: "w", RunID: "r1"})
	deadline := time.Now().Add(testTimeout)
	for {
		_, body := get(t, n.URL()+"api/events")
		if strings.Contains(body, "run r1 of w failed: broken") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("events: %s", body)
		}
	}
}
