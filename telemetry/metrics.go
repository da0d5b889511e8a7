package telemetry

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/troupe-dev/troupe/actor"
)

// Metrics is what a node shows to Prometheus. Actors' figures are taken when
// somebody asks for them; between two scrapes nothing is done and nothing is
// paid. It has a registry of its own and is safe for concurrent use.
type Metrics struct {
	sys      *actor.System
	registry *prometheus.Registry
	runs     *runs
	calls    *calls
	breakers *breakers
	mail     *mail
}

// NewMetrics returns the metrics of a system, of the Go runtime and of the
// process. For those of workflow runs, call [Metrics.WatchRuns]; of calls of
// services, give [Metrics.CountCall] to service.Observe; of circuit breakers,
// [Metrics.WatchBreakers]; of durable messages, [Metrics.WatchMail].
func NewMetrics(sys *actor.System) *Metrics {
	m := &Metrics{sys: sys, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		newActors(sys),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.runs = newRuns(m.registry)
	m.calls = newCalls(m.registry)
	m.breakers = newBreakers(m.registry)
	m.mail = newMail(m.registry)
	return m
}

// Handler returns the handler of /metrics. It serves at most four scrapes at a
// time and gives up on one after ten seconds; a failure is logged and answered
// with 500 rather than with part of the figures. A nil logger means
// slog.Default.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.Default()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// actors collects what the runtime knows of its actors.
type actors struct {
	sys    *actor.System
	bounds []time.Duration

	running, alive, runaways           *prometheus.Desc
	deadLetters                        *prometheus.Desc
	mailbox                            *prometheus.Desc
	messages, restarts, failures, took *prometheus.Desc

	mu     sync.Mutex
	labels labels
	last   map[string]actor.KindStats // as last shown
}

func newActors(sys *actor.System) *actors {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	const byType = "actor_type"
	return &actors{
		sys:    sys,
		bounds: actor.TimingBounds(),
		last:   map[string]actor.KindStats{},

		running:     desc("actorsystem_active_threads", "Actors that are handling a message now, each on a goroutine."),
		alive:       desc("actorsystem_actors", "Actors alive now."),
		runaways:    desc("actorsystem_runaway_handlers", "Handlers that outlived their actor and still run."),
		deadLetters: desc("actor_dead_letters_total", "Messages that were not handled."),
		mailbox:     desc("actor_mailbox_queue_length", "Messages waiting in the mailboxes of all actors of the type.", byType),
		messages:    desc("actor_messages_total", "Messages handled.", byType),
		restarts:    desc("actor_restarts_total", "Restarts by supervisors.", byType),
		failures:    desc("actor_failures_total", "Failures of actors: errors and panics.", byType),
		took: desc("actor_message_processing_duration_seconds",
			"Time spent in handlers. Sampled: every 128th message counts as 128; handlers above 20 microseconds are all timed.", byType),
	}
}

// Describe implements prometheus.Collector.
func (a *actors) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		a.running, a.alive, a.runaways, a.deadLetters, a.mailbox, a.messages, a.restarts, a.failures, a.took,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a *actors) Collect(ch chan<- prometheus.Metric) {
	stats, kinds := a.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(a.running, float64(stats.Running))
	gauge(a.alive, float64(stats.Actors))
	gauge(a.runaways, float64(stats.Runaways))
	counter(a.deadLetters, stats.DeadLetters)
	for label, k := range kinds {
		gauge(a.mailbox, float64(k.Mailbox), label)
		counter(a.messages, k.Processed, label)
		counter(a.restarts, k.Restarts, label)
		counter(a.failures, k.Failures, label)
		ch <- prometheus.MustNewConstHistogram(a.took, k.Timing.Count, k.Timing.Sum.Seconds(), a.cumulative(k.Timing), label)
	}
}

// snapshot takes the figures. Scrapes take turns, and no counter is shown lower
// than before: an actor that ends while the system counts may be missing once
// or be counted twice.
func (a *actors) snapshot() (actor.Stats, map[string]actor.KindStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stats := a.sys.Stats()
	kinds := byLabel(&a.labels, stats.Kinds)
	for label, k := range kinds {
		last := a.last[label]
		k.Processed = max(k.Processed, last.Processed)
		k.Restarts = max(k.Restarts, last.Restarts)
		k.Failures = max(k.Failures, last.Failures)
		kinds[label] = k
	}
	a.last = kinds
	return stats, kinds
}

// cumulative is a timing as Prometheus counts: in each bucket all that took up
// to its bound.
func (a *actors) cumulative(t actor.Timing) map[float64]uint64 {
	buckets := make(map[float64]uint64, len(a.bounds))
	var sum uint64
	for i, bound := range a.bounds {
		if i < len(t.Buckets) {
			sum += t.Buckets[i]
		}
		buckets[bound.Seconds()] = sum
	}
	return buckets
}
