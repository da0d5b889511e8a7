package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// RunStatus is how a workflow run ended, as the label of a metric.
type RunStatus string

// The ways in which a run ends.
const (
	RunCompleted RunStatus = "completed"
	RunFailed    RunStatus = "failed"
	RunCancelled RunStatus = "cancelled"
)

// Runs counts workflow runs. It is safe for concurrent use.
type Runs struct {
	total    *prometheus.CounterVec
	duration prometheus.Histogram
	active   prometheus.Gauge
}

func newRuns(r prometheus.Registerer) *Runs {
	runs := &Runs{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_execution_total",
			Help: "Workflow runs that have ended, by how.",
		}, []string{"status"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "workflow_execution_duration_seconds",
			Help:    "Time from the start of a workflow run to its end.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 13), // 1 ms to 4.7 h
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "workflow_active_count",
			Help: "Workflow runs that have started and not ended.",
		}),
	}
	for _, status := range []RunStatus{RunCompleted, RunFailed, RunCancelled} {
		runs.total.WithLabelValues(string(status)) // so that rates begin at 0
	}
	r.MustRegister(runs.total, runs.duration, runs.active)
	return runs
}

// Started counts a run that begins.
func (r *Runs) Started() { r.active.Inc() }

// Ended counts the end of a run that was counted by Started. A status that is
// none of the three counts as failed.
func (r *Runs) Ended(status RunStatus, took time.Duration) {
	switch status {
	case RunCompleted, RunFailed, RunCancelled:
	default:
		status = RunFailed
	}
	r.active.Dec()
	r.total.WithLabelValues(string(status)).Inc()
	r.duration.Observe(took.Seconds())
}
