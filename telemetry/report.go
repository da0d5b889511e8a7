package telemetry

import (
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// Report is the answer of /healthz: how many actors live, and how the tree is.
//
// The tree is failing when the system is stopping, when a required actor is
// missing, or when an actor failed and is still not back ten seconds later. It
// is degraded when actors are isolated or just restarting, when handlers
// outlived their actors, or while a watchdog's alert goes on. Otherwise it is ok.
type Report struct {
	Status      string    `json:"status"` // ok, degraded or failing
	Actors      int       `json:"actors"` // alive
	Running     int       `json:"running"`
	Runaways    int       `json:"runaways"` // handlers that outlived their actor
	Restarts    uint64    `json:"restarts"`
	Failures    uint64    `json:"failures"`
	DeadLetters uint64    `json:"dead_letters"`
	Started     time.Time `json:"started"`

	Failing  []Trouble `json:"failing,omitempty"`  // at most 100
	Degraded []Trouble `json:"degraded,omitempty"` // at most 100
	Alerts   []Alert   `json:"alerts,omitempty"`
	// Omitted counts the troubles beyond the hundred listed.
	Omitted int `json:"omitted,omitempty"`
}

// Trouble is an actor that is not well.
type Trouble struct {
	Path   string    `json:"path"`
	State  string    `json:"state"` // as in actor.Info, or "missing"
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"` // of the actor's last error
}

const (
	// A restart that takes longer than this is no longer a hiccup: supervisors
	// wait a second at most by default.
	longRestart = 10 * time.Second
	maxTroubles = 100
)

// Report takes a snapshot of the tree and judges it.
func (h *Health) Report() Report {
	tree, stats := h.sys.Tree(), h.sys.Stats()
	r := Report{
		Status:      StatusOK,
		Actors:      stats.Actors,
		Running:     stats.Running,
		Runaways:    stats.Runaways,
		Restarts:    stats.Restarts,
		Failures:    stats.Failures,
		DeadLetters: stats.DeadLetters,
		Started:     stats.Started,
	}
	if tree.State != actor.StateRunning {
		r.fail(Trouble{Path: tree.Path, State: string(tree.State), Reason: "the system is " + string(tree.State)})
	}
	missing := h.requiredPaths()
	r.examine(&tree, missing, time.Now())
	for _, path := range sortedKeys(missing) {
		r.fail(Trouble{Path: path, State: "missing", Reason: "a required actor is not there"})
	}
	if w := h.watchdog.Load(); w != nil {
		r.Alerts = w.Active()
	}
	switch {
	case len(r.Failing) > 0:
		r.Status = StatusFailing
	case len(r.Degraded) > 0 || len(r.Alerts) > 0 || r.Runaways > 0:
		r.Status = StatusDegraded
	}
	return r
}

// examine judges an actor and all below it, and takes those that are there out
// of missing.
func (r *Report) examine(a *actor.Info, missing map[string]struct{}, now time.Time) {
	if a.State != actor.StateStopped && a.State != actor.StateStopping {
		delete(missing, a.Path)
	}
	t := Trouble{Path: a.Path, State: string(a.State), Reason: a.LastError, Since: a.LastErrorAt}
	switch a.State {
	case actor.StateRestarting:
		if now.Sub(a.LastErrorAt) > longRestart {
			r.fail(t)
		} else {
			r.degrade(t)
		}
	case actor.StateIsolated:
		t.Reason = "takes no new messages until it has worked off its mailbox"
		r.degrade(t)
	case actor.StateRunning, actor.StateStopping, actor.StateStopped:
	}
	for i := range a.Children {
		r.examine(&a.Children[i], missing, now)
	}
}

func (r *Report) fail(t Trouble)    { r.add(&r.Failing, t) }
func (r *Report) degrade(t Trouble) { r.add(&r.Degraded, t) }

func (r *Report) add(list *[]Trouble, t Trouble) {
	if len(*list) >= maxTroubles {
		r.Omitted++
		return
	}
	*list = append(*list, t)
}
