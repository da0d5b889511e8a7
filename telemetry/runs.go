package telemetry

import (
	"time"

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
// events of the system's workflow runs, and counts the runs from then on. Call it
// before the engine is opened, so that the runs that an earlier process left count as
// active. The workflow_ metrics are 0 without it. The error is that of [actor.Spawn].
func (m *Metrics) WatchRuns(parent actor.Parent) error {
	listener, err := actor.Spawn(parent, actor.Spec[runChange]{
		Name: "run-metrics",
		Type: "telemetry.runs",
		// A count that misses some is worse than one that comes late.
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded},
		New:     func() actor.Behavior[runChange] { return &runListener{m.runs} },
	})
	if err != nil {
		return err
	}
	actor.Subscribe(m.sys, listener, changeOf)
	actor.Subscribe(m.sys, listener, func(e workflow.Recovered) runChange { return runChange{active: e.Runs} })
	return nil
}

// runChange is what an event changes in the metrics.
type runChange struct {
	active int            // so many more
	ended  workflow.State // or empty
	took   time.Duration
}

// changeOf is the change that an event of a run makes: none if it is about a node.
func changeOf(e workflow.Event) runChange {
	switch e.Type {
	case workflow.WorkflowStarted, workflow.WorkflowReopened:
		return runChange{active: 1}
	case workflow.WorkflowCompleted:
		return runChange{-1, workflow.StateCompleted, e.Duration}
	case workflow.WorkflowFailed:
		return runChange{-1, workflow.StateFailed, e.Duration}
	case workflow.WorkflowCancelled:
		return runChange{-1, workflow.StateCancelled, e.Duration}
	}
	return runChange{}
}

type runListener struct{ runs *runs }

// Receive counts.
func (l *runListener) Receive(_ *actor.Context[runChange], c runChange) error {
	l.runs.active.Add(float64(c.active))
	if c.ended != "" {
		l.runs.total.WithLabelValues(string(c.ended)).Inc()
		l.runs.duration.Observe(c.took.Seconds())
	}
	return nil
}
