package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/workflow"
)

// runs counts workflow runs from the events that they publish.
type runs struct {
	total    *prometheus.CounterVec
	duration prometheus.Histogram
	active   prometheus.Gauge
}

func newRuns(r prometheus.Registerer) *runs {
	m := &runs{
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
	for _, status := range []workflow.State{workflow.StateCompleted, workflow.StateFailed, workflow.StateCancelled} {
		m.total.WithLabelValues(string(status)) // so that rates begin at 0
	}
	r.MustRegister(m.total, m.duration, m.active)
	return m
}

// WatchRuns spawns an actor named "run-metrics" under parent that listens to the
// events of the system's workflow runs, and counts the runs from then on. The
// workflow_ metrics are 0 without it. The error is that of [actor.Spawn].
func (m *Metrics) WatchRuns(parent actor.Parent) error {
	listener, err := actor.Spawn(parent, actor.Spec[workflow.Event]{
		Name: "run-metrics",
		Type: "telemetry.runs",
		New:  func() actor.Behavior[workflow.Event] { return &runListener{m.runs} },
	})
	if err != nil {
		return err
	}
	actor.Subscribe(m.sys, listener, func(e workflow.Event) workflow.Event { return e })
	return nil
}

type runListener struct{ runs *runs }

// Receive counts the events of whole runs.
func (l *runListener) Receive(_ *actor.Context[workflow.Event], e workflow.Event) error {
	switch e.Type {
	case workflow.WorkflowStarted:
		l.runs.active.Inc()
	case workflow.WorkflowCompleted:
		l.runs.ended(workflow.StateCompleted, e)
	case workflow.WorkflowFailed:
		l.runs.ended(workflow.StateFailed, e)
	case workflow.WorkflowCancelled:
		l.runs.ended(workflow.StateCancelled, e)
	case workflow.NodeStarted, workflow.NodeCompleted, workflow.NodeFailed:
	}
	return nil
}

func (m *runs) ended(how workflow.State, e workflow.Event) {
	m.active.Dec()
	m.total.WithLabelValues(string(how)).Inc()
	m.duration.Observe(e.Duration.Seconds())
}
