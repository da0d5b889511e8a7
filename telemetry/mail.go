package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MailCounts are what has happened to the durable messages of a node since its
// start.
type MailCounts struct {
	Retried       uint64 // failures of handlers that are tried again
	Buried        uint64 // messages that became dead letters
	StoreFailures uint64 // times that the store could not be read or written by an actor
}

// MailSource tells about a node's durable messages. It must be safe for concurrent
// use.
type MailSource interface {
	// Counts is quick.
	Counts() MailCounts
	// DeadLetters is how many dead letters there are in the store. It may be a
	// little old, so that a large store is not counted at each scrape, and is the
	// last number that is known if the store does not answer; false if none is.
	DeadLetters(ctx context.Context) (n int64, known bool)
}

// scrapeTimeout bounds the counting of dead letters at a scrape.
const scrapeTimeout = 5 * time.Second

// mail shows a source's figures when somebody asks.
type mail struct {
	letters, retried, buried, failures *prometheus.Desc

	mu     sync.Mutex
	source MailSource // nil until there is one
}

func newMail(r prometheus.Registerer) *mail {
	m := &mail{
		letters:  prometheus.NewDesc("dlq_message_count", "Dead letters in the store.", nil, nil),
		retried:  prometheus.NewDesc("durable_retries_total", "Failures of durable messages that are tried again.", nil, nil),
		buried:   prometheus.NewDesc("durable_dead_letters_total", "Durable messages that became dead letters on this node.", nil, nil),
		failures: prometheus.NewDesc("durable_store_failures_total", "Times that the store could not be read or written by a durable actor.", nil, nil),
	}
	r.MustRegister(m)
	return m
}

// WatchMail shows the figures of a node's durable messages from then on.
func (m *Metrics) WatchMail(source MailSource) {
	m.mail.mu.Lock()
	defer m.mail.mu.Unlock()
	m.mail.source = source
}

// Describe implements prometheus.Collector.
func (m *mail) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.letters, m.retried, m.buried, m.failures} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *mail) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	source := m.source
	m.mu.Unlock()
	if source == nil {
		return
	}
	counts := source.Counts()
	for desc, n := range map[*prometheus.Desc]uint64{m.retried: counts.Retried, m.buried: counts.Buried, m.failures: counts.StoreFailures} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	if n, known := source.DeadLetters(ctx); known {
		ch <- prometheus.MustNewConstMetric(m.letters, prometheus.GaugeValue, float64(n))
	}
}
