package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
)

// fixture is a console over a real actor system, and over runs of a real engine
// that the test moves.
type fixture struct {
	sys     *actor.System
	events  *console.Events
	runs    *testRuns
	level   *slog.LevelVar
	console *console.Console
	demo    actor.Ref[command]
	child   actor.Ref[command]
}

// command is what the actors of the fixture understand.
type command struct {
	crash string        // fail with this text
	hold  chan struct{} // wait for it
	done  chan struct{} // close it
}

type worker struct{}

func (worker) Receive(ctx *actor.Context[command], c command) error {
	if c.hold != nil {
		<-c.hold
	}
	if c.done != nil {
		close(c.done)
	}
	if c.crash != "" {
		return errors.New(c.crash)
	}
	return nil
}

// newFixture makes the tree
//
//	/demo          supervises child and four pools' worth of workers
//	/demo/child    fails on command
//	/pool/w001 …   120 workers, more than a page shows at first
func newFixture(t *testing.T, change func(*console.Options)) *fixture {
	t.Helper()
	f := &fixture{events: console.NewEvents(0), runs: newTestRuns(t), level: new(slog.LevelVar)}
	f.sys = actor.NewSystem(actor.Options{
		Name:   "weather-1",
		Logger: slog.New(slog.DiscardHandler),
		Hooks:  []actor.Hooks{f.events.Hooks()},
	})
	t.Cleanup(func() {
		if err := f.sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	f.demo = spawnParent(t, f.sys, "demo", func(ctx *actor.Context[command]) error {
		var err error
		f.child, err = actor.Spawn(ctx, actor.Spec[command]{Name: "child", Type: "demo.Child", New: newWorker, Restart: actor.Permanent})
		return err
	})
	spawnParent(t, f.sys, "pool", func(ctx *actor.Context[command]) error {
		for i := range 120 {
			if _, err := actor.Spawn(ctx, actor.Spec[command]{Name: fmt.Sprintf("w%03d", i), Type: "pool.Worker", New: newWorker}); err != nil {
				return err
			}
		}
		return nil
	})
	opts := console.Options{
		System: f.sys, Events: f.events, Runs: f.runs, LogLevel: f.level, Version: "v0.1.0",
		Actions: []console.Action{{
			Path: "/demo/child", Verb: "crash", Label: "Crash the demo child", Title: "Makes /demo/child fail, so that it is restarted",
			Do: func(ctx context.Context) error { return f.child.Tell(ctx, command{crash: "crashed on purpose"}) },
		}},
	}
	if change != nil {
		change(&opts)
	}
	f.console = console.New(opts)
	return f
}

func newWorker() actor.Behavior[command] { return worker{} }

// parent spawns its children when it starts.
type parent struct {
	worker
	start func(*actor.Context[command]) error
}

func (p parent) Start(ctx *actor.Context[command]) error { return p.start(ctx) }

func spawnParent(t *testing.T, sys *actor.System, name string, start func(*actor.Context[command]) error) actor.Ref[command] {
	t.Helper()
	ref, err := actor.Spawn(sys, actor.Spec[command]{Name: name, Type: "supervisor", New: func() actor.Behavior[command] { return parent{start: start} }})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// tell sends n messages to the child and waits until all are handled and counted.
func (f *fixture) tell(t *testing.T, n int) {
	t.Helper()
	done := make(chan struct{})
	for i := range n {
		c := command{}
		if i == n-1 {
			c.done = done
		}
		if err := f.child.Tell(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	for busy(f.sys.Tree()) {
		runtime.Gosched()
	}
}

// busy says whether an actor handles a message: its counters follow at the end of
// the batch that the message belongs to.
func busy(i actor.Info) bool { return i.Busy || slices.ContainsFunc(i.Children, busy) }

// do sends a request to the console as a browser on this machine would.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8080"+target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.console.ServeHTTP(w, r)
	return w
}

// get sends a GET request.
func (f *fixture) get(target string) *httptest.ResponseRecorder {
	return f.do(http.MethodGet, target, "")
}

// fresh reads an actor from a snapshot taken after the call.
func (f *fixture) fresh(t *testing.T, path string) console.Actor {
	t.Helper()
	// A snapshot is used again for a moment; another console has none.
	c := console.New(console.Options{System: f.sys})
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/api/tree?path="+path, nil))
	return decode[console.Tree](t, w, http.StatusOK).Root
}
