package telemetry

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/troupe-dev/troupe/actor"
)

// Health answers whether a node is up, ready and sound. Its methods are safe
// for concurrent use.
//
//	/health   200 while the process can answer at all
//	/ready    200 if every check passes, else 503 with those that failed
//	/healthz  the number of live actors and the health of the tree, see [Report]
//
// All answer GET and HEAD in JSON and may be asked often: requests that come at
// the same time share one run of a check.
type Health struct {
	sys      *actor.System
	checks   checks
	draining atomic.Bool
	watchdog atomic.Pointer[Watchdog]

	mu       sync.Mutex
	required map[string]struct{}
}

// NewHealth returns the health of a node whose actors live in sys, with no
// checks yet.
func NewHealth(sys *actor.System) *Health { return &Health{sys: sys} }

// AddCheck adds a check to /ready. The error has the code INVALID_ARGUMENT or
// ALREADY_EXISTS.
func (h *Health) AddCheck(c Check) error { return h.checks.add(c) }

// Require makes /healthz fail while one of the actors with these paths, such as
// "/console", is not there. An actor that failed for good is no longer in the
// tree, so only who is required can be missed.
func (h *Health) Require(paths ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.required == nil {
		h.required = map[string]struct{}{}
	}
	for _, path := range paths {
		h.required[path] = struct{}{}
	}
}

func (h *Health) requiredPaths() map[string]struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.required)
}

// SetWatchdog makes the watchdog's alerts a part of /healthz.
func (h *Health) SetWatchdog(w *Watchdog) { h.watchdog.Store(w) }

// SetDraining makes /ready fail from now on, or no longer. A node that is about
// to stop sets it first, so that load balancers send no new work.
func (h *Health) SetDraining(draining bool) { h.draining.Store(draining) }

// Handler returns a handler of the three paths.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", h.serveLive)
	mux.HandleFunc("GET /ready", h.serveReady)
	mux.HandleFunc("GET /healthz", h.serveTree)
	return mux
}

// The status words of the answers.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded" // something needs a look, all of it works
	StatusFailing  = "failing"  // something does not work
)

func (h *Health) serveLive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{StatusOK})
}

// Readiness is the answer of /ready.
type Readiness struct {
	Status   string        `json:"status"` // "ok" or "failing"
	Draining bool          `json:"draining,omitempty"`
	Failed   []string      `json:"failed,omitempty"` // names of the checks that failed
	Checks   []CheckResult `json:"checks"`           // all of them, by name
}

func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	results, ok := h.checks.run(r.Context())
	ready := Readiness{Status: StatusOK, Draining: h.draining.Load(), Checks: results}
	code := http.StatusOK
	if !ok || ready.Draining {
		ready.Status, code = StatusFailing, http.StatusServiceUnavailable
	}
	for _, c := range results {
		if !c.OK {
			ready.Failed = append(ready.Failed, c.Name)
		}
	}
	answer(w, code, ready)
}

func (h *Health) serveTree(w http.ResponseWriter, _ *http.Request) {
	report := h.Report()
	code := http.StatusOK
	if report.Status == StatusFailing {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, report)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
