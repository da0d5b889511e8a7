package telemetry_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/telemetry"
	"github.com/troupe-dev/troupe/workflow"
)

// scrape returns the text of /metrics and what it says.
func scrape(t *testing.T, m *telemetry.Metrics) (string, map[string]*dto.MetricFamily) {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler(nil).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := answer.Body.String()
	if answer.Code != 200 {
		t.Fatalf("/metrics answers %d: %s", answer.Code, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return text, families
}

// value returns a counter's, gauge's or histogram's value for a label value; "-"
// is no label.
func value(families map[string]*dto.MetricFamily, name, label string) float64 {
	for _, m := range families[name].GetMetric() {
		if label != "-" && (len(m.GetLabel()) != 1 || m.GetLabel()[0].GetValue() != label) {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.GetCounter().GetValue()
		case m.Gauge != nil:
			return m.GetGauge().GetValue()
		case m.Histogram != nil:
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

var errHandler = errors.New("on purpose")

func quiet() actor.Options { return actor.Options{Logger: telemetry.NewLogger(io.Discard, nil)} }

// Req T1
func TestMetrics(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)

	entered, release := make(chan struct{}), make(chan struct{})
	worker := spawn(t, sys, "worker", func(_ *actor.Context[string], msg string) error {
		switch msg {
		case "fail":
			return errHandler
		case "wait":
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	for _, msg := range []string{"a", "fail", "b", "wait"} {
		if err := worker.Tell(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	<-entered
	for range 3 {
		if err := worker.Tell(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	}

	_, families := scrape(t, m)
	for _, tt := range []struct {
		name, label string
		want        float64
	}{
		{"actorsystem_active_threads", "-", 1},
		{"actorsystem_actors", "-", 1},
		{"actorsystem_runaway_handlers", "-", 0},
		{"actor_dead_letters_total", "-", 1},
		{"actor_restarts_total", "worker", 1},
		{"actor_failures_total", "worker", 1},
	} {
		if got := value(families, tt.name, tt.label); got != tt.want {
			t.Errorf("%s{%s} = %v, want %v", tt.name, tt.label, got, tt.want)
		}
	}
	if got := value(families, "actor_mailbox_queue_length", "worker"); got < 3 || got > 7 { // what was taken along with the one being handled may count
		t.Errorf("actor_mailbox_queue_length{worker} = %v, want 3 to 7", got)
	}
	if got := value(families, "actor_message_processing_duration_seconds", "worker"); got < 1 {
		t.Errorf("actor_message_processing_duration_seconds{worker} has %v observations", got)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}

	close(release)
	if err := worker.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	metricsAfterTheEnd(t, m)
}

// metricsAfterTheEnd checks that what an actor has done is not forgotten.
func metricsAfterTheEnd(t *testing.T, m *telemetry.Metrics) {
	t.Helper()
	_, families := scrape(t, m)
	if got := value(families, "actor_messages_total", "worker"); got != 7 {
		t.Errorf("actor_messages_total{worker} = %v after its end, want 7", got)
	}
	if got := value(families, "actor_mailbox_queue_length", "worker"); got != 0 {
		t.Errorf("actor_mailbox_queue_length{worker} = %v after its end, want 0", got)
	}
	if got := value(families, "actorsystem_actors", "-"); got != 0 {
		t.Errorf("actorsystem_actors = %v after its end, want 0", got)
	}
}

// Req T1
func TestMetricsCardinalityIsBounded(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)
	for i := range telemetry.MaxTypes + 50 {
		name := fmt.Sprintf("type-%03d", i)
		if i == 7 {
			name = "bad \xff utf-8"
		}
		ref, err := actor.Spawn(sys, actor.Spec[int]{Type: name, New: func() actor.Behavior[int] {
			return actor.BehaviorFunc[int](func(*actor.Context[int], int) error { return nil })
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := ref.Tell(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var messages float64
	for range 2 {
		_, families := scrape(t, m)
		for name, f := range families {
			if n := len(f.GetMetric()); n > telemetry.MaxTypes+1 {
				t.Errorf("%s has %d series", name, n)
			}
		}
		if got := value(families, "actor_messages_total", telemetry.OtherTypes); got != 50 {
			t.Errorf("messages of the other types: %v, want 50", got)
		}
		messages = 0
		for _, m := range families["actor_messages_total"].GetMetric() {
			messages += m.GetCounter().GetValue()
		}
	}
	if messages != telemetry.MaxTypes+50 {
		t.Errorf("%v messages in all, want %d", messages, telemetry.MaxTypes+50)
	}
}

// Req T1: unbounded labels of metrics. The system that this one replaces had a
// series for each run and each text of an error, until the scraper gave up.
func TestMetricsOfRunsAreBounded(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	m := telemetry.NewMetrics(sys)
	if err := m.WatchRuns(sys); err != nil {
		t.Fatal(err)
	}
	series := func() (n int) {
		_, families := scrape(t, m)
		for name, f := range families {
			if strings.HasPrefix(name, "workflow_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	before := series()
	const many = 10_000 // at once, of which none is missed
	for i := range many {
		e := workflow.Event{Workflow: fmt.Sprint("workflow-", i), RunID: fmt.Sprint("run-", i), Node: fmt.Sprint("node-", i), Error: fmt.Sprint("error ", i)}
		for _, e.Type = range []workflow.EventType{workflow.WorkflowStarted, workflow.NodeStarted, workflow.NodeFailed, workflow.WorkflowFailed} {
			actor.Publish(sys, e)
		}
	}
	stop(t, sys) // after the listener has drained its mailbox
	_, families := scrape(t, m)
	if after := series(); before == 0 || after != before || value(families, "workflow_execution_total", "failed") != many {
		t.Errorf("%d series, %d after %d runs, %v failed", before, after, many, value(families, "workflow_execution_total", "failed"))
	}
}

// Counters never fall while actors come and go. Req T1
func TestMetricsAreMonotonic(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)
	done := make(chan error, 1)
	go func() {
		for range 500 {
			ref, err := actor.Spawn(sys, actor.Spec[int]{Type: "mayfly", New: func() actor.Behavior[int] {
				return actor.BehaviorFunc[int](func(*actor.Context[int], int) error { return nil })
			}})
			for i := 0; i < 20 && err == nil; i++ {
				err = ref.Tell(t.Context(), i)
			}
			if err == nil {
				err = ref.Stop(t.Context())
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	last := -1.0
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		_, families := scrape(t, m)
		now := value(families, "actor_messages_total", "mayfly")
		if now < last {
			t.Fatalf("actor_messages_total fell from %v to %v", last, now)
		}
		last = now
	}
	_, families := scrape(t, telemetry.NewMetrics(sys))
	if got := value(families, "actor_messages_total", "mayfly"); got != 500*20 || last < got {
		t.Errorf("%v messages in the end, %v shown, want %d", got, last, 500*20)
	}
}

// Req T1
func TestMetricsOfRuns(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	m := telemetry.NewMetrics(sys)
	if err := m.WatchRuns(sys); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchRuns(sys); !errors.Is(err, actor.ErrNameTaken) {
		t.Errorf("a second time: %v", err)
	}
	for _, e := range []workflow.Event{
		{Type: workflow.WorkflowStarted, RunID: "1"},
		{Type: workflow.NodeStarted, RunID: "1", Node: "a"},
		{Type: workflow.WorkflowStarted, RunID: "2"},
		{Type: workflow.NodeFailed, RunID: "1", Node: "a", Duration: time.Hour},
		{Type: workflow.WorkflowFailed, RunID: "1", Duration: 90 * time.Millisecond},
		{Type: workflow.WorkflowStarted, RunID: "3"},
		{Type: workflow.WorkflowStarted, RunID: "4"},
		{Type: workflow.WorkflowCompleted, RunID: "3", Duration: time.Second},
		{Type: workflow.WorkflowCancelled, RunID: "4", Duration: time.Second},
		{Type: workflow.WorkflowStarted, RunID: "5"},
		{Type: workflow.WorkflowReopened, RunID: "1"},
	} {
		actor.Publish(sys, e)
	}
	actor.Publish(sys, workflow.Recovered{Runs: 7}) // of an earlier process
	stop(t, sys)                                    // after the listener has drained its mailbox
	_, families := scrape(t, m)
	for label, want := range map[string]float64{"completed": 1, "failed": 1, "cancelled": 1} {
		if got := value(families, "workflow_execution_total", label); got != want {
			t.Errorf("workflow_execution_total{%s} = %v, want %v", label, got, want)
		}
	}
	if got := value(families, "workflow_active_count", "-"); got != 10 {
		t.Errorf("workflow_active_count = %v, want 10", got)
	}
	if got := value(families, "workflow_execution_duration_seconds", "-"); got != 3 {
		t.Errorf("%v durations, want 3", got)
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(quiet())
	defer stop(t, sys)
	spawn(t, sys, "a", func(*actor.Context[int], int) error { return nil })
	text, _ := scrape(t, telemetry.NewMetrics(sys))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		switch p.Metric {
		case "workflow_active_count", "rpc_retry_count", "dlq_message_count": // the names are given by T1
			continue
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func ExampleMetrics() {
	sys := actor.NewSystem(actor.Options{})
	metrics := telemetry.NewMetrics(sys)

	server := httptest.NewServer(metrics.Handler(nil))
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "actorsystem_a") {
			fmt.Print(line)
		}
	}
	// Output:
	// actorsystem_active_threads 0
	// actorsystem_actors 0
}
