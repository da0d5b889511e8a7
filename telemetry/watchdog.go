package telemetry

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// WatchdogOptions configure a [Watchdog]. The zero value is ready for use.
type WatchdogOptions struct {
	// Limits are the figures above which the watchdog acts.
	Limits Limits

	// Interval is the time between two samples. Default 1 s, at least 10 ms.
	Interval time.Duration

	// AlertOnly makes the watchdog raise alerts and isolate nobody.
	AlertOnly bool

	// Logger gets one record per alert that begins (WARN) or ends (INFO).
	// Default slog.Default().
	Logger *slog.Logger

	// Mail returns what has happened to durable messages on this node since its
	// start. It must be quick. Default: nothing has.
	Mail func() MailCounts

	// CPU returns the processor time that the process has used, negative if
	// that is not known. Default: asks the operating system.
	CPU func() time.Duration
}

// Watchdog watches the actors of a system. It samples the tree, lets a
// [Detector] judge the sample, publishes the alerts on the system's event stream
// as values of type [Alert], logs them, and isolates actors and subtrees that
// use too much memory or processor: they handle what they have and refuse new
// messages with UNAVAILABLE until their figures are well below the limit.
//
// A watchdog is a service: spawn it with [actor.SpawnService]. What it isolates
// it also releases; an isolation taken back by somebody else while the alert
// goes on is renewed. Its methods are safe for concurrent use, but only one
// Serve may run at a time.
type Watchdog struct {
	sys *actor.System
	o   WatchdogOptions

	mu       sync.Mutex
	detector *Detector
	active   []Alert
}

const shortestInterval = 10 * time.Millisecond

// NewWatchdog returns a watchdog for the system, which does nothing until it is
// served.
func NewWatchdog(sys *actor.System, o WatchdogOptions) *Watchdog {
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	o.Interval = max(o.Interval, shortestInterval)
	if o.CPU == nil {
		o.CPU = processCPU
	}
	if o.Mail == nil {
		o.Mail = func() MailCounts { return MailCounts{} }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Watchdog{sys: sys, o: o, detector: NewDetector(o.Limits)}
}

// Serve watches until ctx ends and returns its error. What is isolated then
// stays so, and is released by the next Serve when its time has come.
func (w *Watchdog) Serve(ctx context.Context) error {
	ticker := time.NewTicker(w.o.Interval)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// Active returns the alerts that have begun and not ended, as of the last
// sample.
func (w *Watchdog) Active() []Alert {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.active)
}

// look takes one sample and acts on it.
func (w *Watchdog) look(ctx context.Context) {
	sample := Sample{
		At:    time.Now(),
		Tree:  w.sys.Tree(),
		Kinds: w.sys.Stats().Kinds,
		CPU:   w.o.CPU(),
		Mail:  w.o.Mail(),
		Cores: runtime.GOMAXPROCS(0),
	}
	w.mu.Lock()
	verdict := w.detector.Step(sample)
	if w.o.AlertOnly {
		verdict = verdict.withoutIsolation()
	}
	w.active = w.detector.Active()
	if w.o.AlertOnly {
		clearIsolated(w.active)
	}
	w.mu.Unlock()

	for _, path := range verdict.Isolate {
		w.set(ctx, path, true)
	}
	for _, path := range verdict.Release {
		w.set(ctx, path, false)
	}
	for _, a := range verdict.Alerts {
		w.log(ctx, a)
		actor.Publish(w.sys, a)
	}
}

// set isolates or releases. That the actor has ended since is no trouble.
func (w *Watchdog) set(ctx context.Context, path string, isolated bool) {
	change := w.sys.Release
	if isolated {
		change = w.sys.Isolate
	}
	if err := change(path); err != nil && fault.CodeOf(err) != fault.NotFound {
		w.o.Logger.ErrorContext(ctx, "cannot isolate or release an actor", "subject", path, "isolated", isolated, "error", err)
	}
}

func (w *Watchdog) log(ctx context.Context, a Alert) {
	level := slog.LevelWarn
	if !a.Firing {
		level = slog.LevelInfo
	}
	w.o.Logger.LogAttrs(ctx, level, "alert",
		slog.Bool("firing", a.Firing),
		slog.String("alert", a.String()),
		slog.String("rule", string(a.Rule)),
		slog.String("subject", a.Path),
		slog.String("subject_type", a.Type),
		slog.Float64("value", a.Value),
		slog.Float64("limit", a.Limit),
		slog.Bool("isolated", a.Isolated),
		slog.Time("since", a.Since),
	)
}

func (v Verdict) withoutIsolation() Verdict {
	clearIsolated(v.Alerts)
	return Verdict{Alerts: v.Alerts}
}

func clearIsolated(alerts []Alert) {
	for i := range alerts {
		alerts[i].Isolated = false
	}
}
