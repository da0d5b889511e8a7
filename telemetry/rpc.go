package telemetry

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/service"
)

// calls counts calls of services.
type calls struct {
	total   *prometheus.CounterVec
	took    *prometheus.HistogramVec
	retries prometheus.Counter

	mu     sync.Mutex
	labels labels // of methods
}

func newCalls(r prometheus.Registerer) *calls {
	c := &calls{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rpc_calls_total",
			Help: "Calls of services that have ended, made and answered, by how; error_type is the name of a code, APPLICATION for an application's own error.",
		}, []string{"status", "error_type"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rpc_call_duration_seconds",
			Help:    "Time that calls took: with all attempts at a client, of the handler at a server.",
			Buckets: prometheus.ExponentialBuckets(0.000_1, 4, 10), // 0.1 ms to 26 s
		}, []string{"side", "method"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rpc_retry_count",
			Help: "Attempts after the first of calls that were made here.",
		}),
	}
	c.total.WithLabelValues("ok", "") // so that rates begin at 0
	r.MustRegister(c.total, c.took, c.retries)
	return c
}

// CountCall counts a call. Give it to service.Observe, at clients and servers, and
// to EndpointOptions.Refused. It is safe for concurrent use. Methods beyond
// [MaxTypes] are counted together, as [OtherTypes].
func (m *Metrics) CountCall(_ context.Context, r service.Report) {
	m.calls.mu.Lock()
	method := m.calls.labels.of(r.Service + "/" + r.Method)
	m.calls.mu.Unlock()
	m.calls.total.WithLabelValues(r.Status(), r.ErrorType()).Inc()
	m.calls.took.WithLabelValues(r.Side.String(), method).Observe(r.Duration.Seconds())
	if r.Side == service.ClientSide {
		m.calls.retries.Add(float64(r.Retries))
	}
}

// MaxTargets is how many circuit breakers are shown one by one: those in the worst
// state first. The others are shown together as [OtherTypes], in the worst state
// that one of them has.
const MaxTargets = 200

// breakers shows the states of circuit breakers when somebody asks.
type breakers struct {
	state *prometheus.Desc

	mu     sync.Mutex
	groups []*breaker.Group
}

func newBreakers(r prometheus.Registerer) *breakers {
	b := &breakers{state: prometheus.NewDesc("circuit_breaker_state", "State of a circuit breaker: 0 closed, 1 half-open, 2 open.", []string{"target"}, nil)}
	r.MustRegister(b)
	return b
}

// WatchBreakers shows the breakers of a group from then on. Two that have a target
// in common are shown as one, in the worse state.
func (m *Metrics) WatchBreakers(g *breaker.Group) {
	m.breakers.mu.Lock()
	defer m.breakers.mu.Unlock()
	m.breakers.groups = append(m.breakers.groups, g)
}

// Describe implements prometheus.Collector.
func (b *breakers) Describe(ch chan<- *prometheus.Desc) { ch <- b.state }

// Collect implements prometheus.Collector.
func (b *breakers) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	groups := slices.Clone(b.groups)
	b.mu.Unlock()
	var all []breaker.Info
	for _, g := range groups {
		all = append(all, g.Infos()...)
	}
	slices.SortFunc(all, func(a, b breaker.Info) int {
		return cmp.Or(cmp.Compare(b.State, a.State), cmp.Compare(a.Target, b.Target))
	})
	shown := map[string]breaker.State{}
	for _, info := range all {
		label := cleanLabel(info.Target)
		if _, known := shown[label]; !known && len(shown) >= MaxTargets {
			label = OtherTypes
		}
		shown[label] = max(shown[label], info.State)
	}
	for _, label := range sortedKeys(shown) {
		ch <- prometheus.MustNewConstMetric(b.state, prometheus.GaugeValue, float64(shown[label]), label)
	}
}
