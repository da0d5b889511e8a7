package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/telemetry"
)

// get asks a handler and decodes the answer.
func get(t *testing.T, h http.Handler, path string, into any) int {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if kind := answer.Header().Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("%s answers %q", path, kind)
	}
	if cache := answer.Header().Get("Cache-Control"); cache != "no-store" {
		t.Errorf("%s may be cached: %q", path, cache)
	}
	if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
		t.Errorf("%s: %v in %s", path, err, answer.Body)
	}
	return answer.Code
}

// Req T6
func TestHealthLive(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	h := telemetry.NewHealth(sys).Handler()
	var got struct{ Status string }
	if code := get(t, h, "/health", &got); code != 200 || got.Status != "ok" {
		t.Errorf("%d %q", code, got.Status)
	}
	stop(t, sys)
	if code := get(t, h, "/health", &got); code != 200 {
		t.Errorf("%d while the process can answer", code)
	}
	for path, want := range map[string]int{"/": 404, "/healthy": 404} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("GET %s: %d, want %d", path, answer.Code, want)
		}
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/ready", nil))
	if answer.Code != 405 {
		t.Errorf("POST /ready: %d, want 405", answer.Code)
	}
}

// Req T6
func TestHealthReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		health := telemetry.NewHealth(actor.NewSystem(quiet()))
		h := health.Handler()
		down := errors.New("connection refused")
		hang := make(chan struct{})
		var calls atomic.Int32
		for _, c := range []telemetry.Check{
			{Name: "store", Probe: func(context.Context) error { return nil }},
			{Name: "broker", Probe: func(context.Context) error { return down }},
			{Name: "slow", Timeout: time.Second, Probe: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			{Name: "deaf", Timeout: 3 * time.Second, Probe: func(context.Context) error { calls.Add(1); <-hang; return nil }},
			{Name: "wild", Probe: func(context.Context) error { panic("boom") }},
		} {
			if err := health.AddCheck(c); err != nil {
				t.Fatal(err)
			}
		}

		var got telemetry.Readiness
		begin := time.Now()
		if code := get(t, h, "/ready", &got); code != 503 || got.Status != "failing" {
			t.Errorf("%d %q", code, got.Status)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v: checks run at the same time, each within its timeout", took)
		}
		if want := []string{"broker", "deaf", "slow", "wild"}; !slices.Equal(got.Failed, want) {
			t.Errorf("failed %q, want %q", got.Failed, want)
		}
		var lines []string
		for _, c := range got.Checks {
			lines = append(lines, c.String())
		}
		want(t, strings.Join(lines, "\n"),
			"broker: connection refused",
			"deaf: telemetry.Check: no answer after 3s (DEADLINE_EXCEEDED)",
			"slow: telemetry.Check: no answer after 1s (DEADLINE_EXCEEDED)",
			"store: ok",
			"wild: telemetry.Check: the probe panicked: boom (INTERNAL)",
		)

		// A probe that does not return is not called again, and is well once it has.
		get(t, h, "/ready", &got)
		if n := calls.Load(); n != 1 {
			t.Errorf("a probe that hangs was called %d times", n)
		}
		close(hang)
		synctest.Wait()
		got = telemetry.Readiness{}
		get(t, h, "/ready", &got)
		if slices.Contains(got.Failed, "deaf") || calls.Load() != 2 {
			t.Errorf("failed %q after %d calls", got.Failed, calls.Load())
		}
	})
}

func TestHealthReadyWithoutChecksAndDraining(t *testing.T) {
	t.Parallel()
	health := telemetry.NewHealth(actor.NewSystem(quiet()))
	for _, draining := range []bool{false, true, false} {
		health.SetDraining(draining)
		want := 200
		if draining {
			want = 503
		}
		var got telemetry.Readiness
		if code := get(t, health.Handler(), "/ready", &got); code != want || got.Draining != draining || got.Checks == nil {
			t.Errorf("draining %v: %d %+v", draining, code, got)
		}
	}
}

func TestAddCheckErrors(t *testing.T) {
	t.Parallel()
	health := telemetry.NewHealth(actor.NewSystem(quiet()))
	fine := func(context.Context) error { return nil }
	for _, tt := range []struct {
		check telemetry.Check
		want  fault.Code
	}{
		{telemetry.Check{Name: "a", Probe: fine}, fault.OK},
		{telemetry.Check{Name: "a", Probe: fine}, fault.AlreadyExists},
		{telemetry.Check{Probe: fine}, fault.InvalidArgument},
		{telemetry.Check{Name: "b"}, fault.InvalidArgument},
		{telemetry.Check{Name: "c", Timeout: -1, Probe: fine}, fault.InvalidArgument},
	} {
		if err := health.AddCheck(tt.check); fault.CodeOf(err) != tt.want {
			t.Errorf("AddCheck(%q): %v, want %v", tt.check.Name, err, tt.want)
		}
	}
}

// Req A10, T6
func TestHealthTree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(quiet())
		health := telemetry.NewHealth(sys)
		h := health.Handler()
		wait := make(chan struct{})
		started := 0
		ref, err := actor.Spawn(sys, actor.Spec[string]{Name: "a", New: func() actor.Behavior[string] {
			started++
			if started > 1 {
				<-wait // the restart takes its time
			}
			return actor.BehaviorFunc[string](func(*actor.Context[string], string) error { return errHandler })
		}})
		if err != nil {
			t.Fatal(err)
		}
		health.Require("/a")
		report := func(code int, status, failing, degraded string) telemetry.Report {
			t.Helper()
			var r telemetry.Report
			if got := get(t, h, "/healthz", &r); got != code || r.Status != status ||
				paths(r.Failing) != failing || paths(r.Degraded) != degraded {
				t.Errorf("%d %+v; want %d, %s, failing %q, degraded %q", got, r, code, status, failing, degraded)
			}
			return r
		}
		if r := report(200, "ok", "", ""); r.Actors != 1 {
			t.Errorf("%d actors, want 1", r.Actors)
		}

		if err := sys.Isolate("/a"); err != nil {
			t.Fatal(err)
		}
		report(200, "degraded", "", "/a isolated")
		if err := sys.Release("/a"); err != nil {
			t.Fatal(err)
		}

		if err := ref.Tell(t.Context(), "fail"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r := report(200, "degraded", "", "/a restarting")
		if r.Failures != 1 || r.Degraded[0].Reason != errHandler.Error() || r.Degraded[0].Since.IsZero() {
			t.Errorf("%+v", r)
		}
		<-time.After(11 * time.Second)
		report(503, "failing", "/a restarting", "")
		close(wait)
		synctest.Wait()
		report(200, "ok", "", "")

		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		report(503, "failing", "/a missing", "")
		stop(t, sys)
		report(503, "failing", "/ stopped, /a missing", "")
	})
}

func paths(troubles []telemetry.Trouble) string {
	var all []string
	for _, t := range troubles {
		all = append(all, t.Path+" "+t.State)
	}
	return strings.Join(all, ", ")
}

// A thousand troubles make no endless answer.
func TestHealthTreeIsBounded(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	defer stop(t, sys)
	health := telemetry.NewHealth(sys)
	for i := range 1000 {
		health.Require(fmt.Sprintf("/%04d", i))
	}
	r := health.Report()
	if len(r.Failing) != 100 || r.Omitted != 900 || r.Failing[0].Path != "/0000" {
		t.Errorf("%d listed, %d omitted", len(r.Failing), r.Omitted)
	}
}

// Req A10
func TestHealthShowsAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(quiet())
		defer stop(t, sys)
		release := make(chan struct{})
		defer close(release)
		ref := spawn(t, sys, "a", func(*actor.Context[int], int) error { <-release; return nil })
		for i := range 1100 {
			if err := ref.TryTell(i); err != nil {
				t.Fatal(err)
			}
		}
		w := telemetry.NewWatchdog(sys, telemetry.WatchdogOptions{Logger: telemetry.NewLogger(t.Output(), nil)})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = w.Serve(ctx) }()
		synctest.Wait()
		health := telemetry.NewHealth(sys)
		health.SetWatchdog(w)
		var r telemetry.Report
		code := get(t, health.Handler(), "/healthz", &r)
		if code != 200 || r.Status != "degraded" || len(r.Alerts) != 1 || r.Alerts[0].Rule != telemetry.RuleMailbox || r.Alerts[0].Path != "/a" {
			t.Errorf("%d %+v", code, r)
		}
	})
}

func ExampleHealth() {
	sys := actor.NewSystem(actor.Options{})
	health := telemetry.NewHealth(sys)
	err := health.AddCheck(telemetry.Check{Name: "store", Probe: func(context.Context) error {
		return errors.New("disk full")
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/health", "/ready"} {
		answer := httptest.NewRecorder()
		health.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		var body struct {
			Status string
			Failed []string
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
			fmt.Println(err)
		}
		fmt.Println(path, answer.Code, body.Status, body.Failed)
	}
	// Output:
	// /health 200 ok []
	// /ready 503 failing [store]
}
