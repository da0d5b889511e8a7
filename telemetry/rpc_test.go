package telemetry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/telemetry"
)

// labelled returns the value of the metric with exactly these labels, "name=value"
// each, and -1 if there is none.
func labelled(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		have := map[string]bool{}
		for _, l := range m.GetLabel() {
			have[l.GetName()+"="+l.GetValue()] = true
		}
		match := len(have) == len(labels)
		for _, want := range labels {
			match = match && have[want]
		}
		switch {
		case !match:
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

// Req T1: rpc_calls_total{status,error_type}, rpc_call_duration_seconds,
// rpc_retry_count.
func TestCallMetrics(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(actor.Options{})
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)
	_, families := scrape(t, m)
	if labelled(families, "rpc_calls_total", "status=ok", "error_type=") != 0 || labelled(families, "rpc_retry_count") != 0 {
		t.Error("without a call the figures do not begin at 0")
	}
	for _, r := range []service.Report{
		{Side: service.ClientSide, Service: "shop", Method: "Buy", Code: fault.OK, Duration: time.Millisecond, Retries: 2},
		{Side: service.ClientSide, Service: "shop", Method: "Buy", Code: fault.Unavailable, Duration: time.Second, Retries: 3},
		{Side: service.ServerSide, Service: "shop", Method: "Buy", Code: fault.NotFound, FromApplication: true, Retries: 1},
		{Side: service.ServerSide, Service: "shop", Method: "Buy", Code: fault.OK},
	} {
		m.CountCall(t.Context(), r)
	}
	_, families = scrape(t, m)
	for _, tt := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{2, "rpc_calls_total", []string{"status=ok", "error_type="}},
		{1, "rpc_calls_total", []string{"status=error", "error_type=UNAVAILABLE"}},
		{1, "rpc_calls_total", []string{"status=error", "error_type=APPLICATION"}},
		{2, "rpc_call_duration_seconds", []string{"side=client", "method=shop/Buy"}},
		{2, "rpc_call_duration_seconds", []string{"side=server", "method=shop/Buy"}},
		{5, "rpc_retry_count", nil},
	} {
		if got := labelled(families, tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v is %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
}

// Req T1: circuit_breaker_state{target}, and label cardinality is bounded: 10,000
// targets and methods are not 10,000 lines, and an open breaker is among them.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(actor.Options{})
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)
	const many = 10_000
	g, err := breaker.NewGroup(breaker.Config{MinCalls: 1}, many)
	if err != nil {
		t.Fatal(err)
	}
	m.WatchBreakers(g)
	last := fmt.Sprintf("target-%05d", many-1)
	for i := range many {
		target := fmt.Sprintf("target-%05d", i)
		err := g.Get(target).Do(t.Context(), func(context.Context) error {
			if target == last {
				return fault.New(fault.Unavailable, "test", "down")
			}
			return nil
		})
		if (err != nil) != (target == last) {
			t.Fatal(err)
		}
		m.CountCall(t.Context(), service.Report{Side: service.ServerSide, Service: "s", Method: fmt.Sprint(i), Code: fault.OK})
	}
	text, families := scrape(t, m)
	if n := len(families["circuit_breaker_state"].GetMetric()); n != telemetry.MaxTargets+1 {
		t.Errorf("%d breakers are shown, want %d", n, telemetry.MaxTargets+1)
	}
	if n := len(families["rpc_call_duration_seconds"].GetMetric()); n != telemetry.MaxTypes+1 {
		t.Errorf("%d methods are shown, want %d", n, telemetry.MaxTypes+1)
	}
	if got := labelled(families, "circuit_breaker_state", "target="+last); got != float64(breaker.Open) {
		t.Errorf("the open breaker is shown as %v", got)
	}
	if got := labelled(families, "circuit_breaker_state", "target="+telemetry.OtherTypes); got != float64(breaker.Closed) {
		t.Errorf("the others are shown as %v", got)
	}
	if n := strings.Count(text, "\n"); n > 6000 {
		t.Errorf("/metrics has %d lines", n)
	}
}

// fakeMail is a source of figures.
type fakeMail struct {
	counts telemetry.MailCounts
	n      int64
	known  bool
}

func (f *fakeMail) Counts() telemetry.MailCounts                      { return f.counts }
func (f *fakeMail) DeadLetters(context.Context) (n int64, known bool) { return f.n, f.known }

// Req T1: dlq_message_count. Req F3: failures of the store are a figure.
func TestMailMetrics(t *testing.T) {
	t.Parallel()
	sys := actor.NewSystem(actor.Options{})
	defer stop(t, sys)
	m := telemetry.NewMetrics(sys)
	if _, families := scrape(t, m); families["dlq_message_count"] != nil {
		t.Error("dead letters of a node without a store")
	}
	source := &fakeMail{counts: telemetry.MailCounts{Retried: 1, Buried: 2, StoreFailures: 3}}
	m.WatchMail(source)
	if _, families := scrape(t, m); families["dlq_message_count"] != nil || labelled(families, "durable_store_failures_total") != 3 {
		t.Error("a number of dead letters that nobody knows")
	}
	source.n, source.known = 7, true
	_, families := scrape(t, m)
	for name, want := range map[string]float64{"dlq_message_count": 7, "durable_retries_total": 1, "durable_dead_letters_total": 2} {
		if got := labelled(families, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// Req T5, F3: dead letters that grow and a store that fails raise alerts, which end
// when a minute has passed without.
func TestMailAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := telemetry.NewDetector(telemetry.Limits{Samples: 1})
		begin := time.Now()
		var said []string
		step := func(second int, mail telemetry.MailCounts) {
			v := d.Step(telemetry.Sample{At: begin.Add(time.Duration(second) * time.Second), Mail: mail})
			for _, a := range v.Alerts {
				said = append(said, fmt.Sprintf("%d %s", second, a))
			}
		}
		step(1, telemetry.MailCounts{Buried: 100, StoreFailures: 100})
		step(2, telemetry.MailCounts{Buried: 110, StoreFailures: 101})
		step(3, telemetry.MailCounts{Buried: 111, StoreFailures: 102})
		step(62, telemetry.MailCounts{Buried: 111, StoreFailures: 102})
		step(63, telemetry.MailCounts{Buried: 111, StoreFailures: 102})
		want := []string{
			"3 dead letters: 11 new dead letters a minute, limit 10",
			"3 store: 2 failures of the store a minute, limit 1",
			"62 dead letters: back to 1 new dead letter a minute, limit 10",
			"62 store: back to 1 failure of the store a minute, limit 1",
		}
		if strings.Join(said, "\n") != strings.Join(want, "\n") {
			t.Errorf("said\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
	})
}

// An alert is a sentence, and one about a type names the actor that stands out.
func TestAlertText(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]telemetry.Alert{
		"w (/demo/worker): 4 restarts a minute, limit 3":             {Rule: telemetry.RuleRestarts, Firing: true, Type: "w", Path: "/demo/worker", Value: 4, Limit: 3},
		"w: back to 1 restart a minute, limit 3":                     {Rule: telemetry.RuleRestarts, Type: "w", Value: 1, Limit: 3},
		"/a: 1001 messages waiting, limit 1000":                      {Rule: telemetry.RuleMailbox, Firing: true, Type: "t", Path: "/a", Value: 1001, Limit: 1000},
		"t (/a): 2s for the slowest hundredth of messages, limit 1s": {Rule: telemetry.RuleLatency, Firing: true, Type: "t", Path: "/a", Value: 2, Limit: 1},
		"/a: 95 % of a processor, limit 80 %; isolated":              {Rule: telemetry.RuleCPU, Firing: true, Path: "/a", Value: 0.95, Limit: 0.8, Isolated: true},
	} {
		if got := a.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
