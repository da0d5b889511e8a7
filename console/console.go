// Package console is what a person and a script see of a node: an HTTP API and
// a page over it. The page shows the supervision tree, the runs of workflows
// and their results, live; everything on it comes from the API.
//
// # API
//
//	GET  /api/node                    name, version, health, totals, actions
//	GET  /api/tree                    the supervision tree; ?path= ?limit= ?offset=
//	GET  /api/runs                    the runs, newest first; ?workflow= ?state= ?key= ?trigger= ?parent=
//	                                  ?since= ?before= ?limit= ?cursor=
//	POST /api/runs                    start the workflow that the node itself was started with
//	GET  /api/runs/{id}               one run with its graph laid out
//	GET  /api/runs/{id}/history       its events; ?after= ?limit=
//	GET  /api/runs/{id}/timeline      what ran when, from a page of its events; ?after= ?limit=
//	GET  /api/runs/{id}/logs          what its nodes logged; ?after= ?tail= ?level= ?node= ?limit=
//	GET  /api/runs/{id}/result        a table that it wrote; ?sink= ?limit= ?offset=
//	POST /api/runs/{id}/{verb}        cancel, pause, resume, retry
//	POST /api/runs/{id}/rerun         repeat it, from a node on or as a whole
//	POST /api/runs/{id}/signals/{name}, /approvals/{step}
//	GET  /api/workflows, POST         the workflows; deploy a version
//	GET  /api/workflows/{name}        the active version; /versions, /versions/{version}
//	PUT  /api/workflows/{name}/active have new runs begin with a version; If-Match
//	POST /api/workflows/{name}/runs   start a run; Idempotency-Key
//	GET  /api/activity                how the last runs of each workflow went
//	GET  /api/workflows/{name}/diff   what differs between two versions; ?from= ?to=
//	GET  /api/workflows/{name}/rollout, PUT, DELETE; a canary, or a split
//	GET  /api/schedules               the schedules; ?workflow= ?limit= ?cursor=
//	GET  /api/schedules/{name}, PUT, DELETE
//	POST /api/schedules/{name}/{verb} pause, resume, run, backfill
//	GET  /api/triggers                what starts runs from outside; ?workflow= ?limit= ?cursor=
//	GET  /api/triggers/{name}, PUT, DELETE
//	POST /api/triggers/{name}/{verb}  pause, resume
//	POST /api/hooks/{name}            a webhook: a request of another system, which its trigger checks
//	GET  /api/trigger-types           what triggers can be
//	GET  /api/node-types              what nodes of a workflow can be
//	GET  /api/events                  what failed, restarted or was lost; ?after=
//	POST /api/actors/{path}:{verb}    an action that the node offers
//	GET  /api/log-level, PUT          the level from which the node logs
//	GET  /api/mail                    queues, the number of dead letters, redrives
//	GET  /api/letters                 dead letters; ?queue= ?type= ?target= ?caller= ?request=
//	                                  ?trace= ?error_type= ?contains= ?since= ?before= ?after= ?limit=
//	GET  /api/letters/{id}            one with its payload; PUT with If-Match edits, DELETE removes it
//	POST /api/letters/delete          removes those of ids or of a filter; dry_run counts
//	POST /api/rehearsals              what would happen to letters that are redriven
//	GET  /api/redrives, POST          bring letters back to their queues: ids or a filter, rate, dry_run
//	GET  /api/redrives/{id}, DELETE   how far one is; stop it
//	POST /api/store/check             what is damaged in the store
//	POST /api/store/backup            a copy of the store
//	GET  /api/stream                  all of this as server-sent events
//	GET  /api/openapi.json            all of this as OpenAPI 3.1
//
// Other keys of a query are refused. Lists come in pages: next of one is the cursor
// of the one after it, and stays true while others are added. Errors are problem+json (RFC 9457), see [Problem].
//
// # Security
//
// The console has no accounts: it is meant for the loopback interface. It
// answers only to host names it knows, which stops a web page that rebinds its
// own name to 127.0.0.1, and it refuses requests that other sites forge. The
// page runs under a policy that allows nothing but its own files.
package console

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console/ui"
	"github.com/troupe-dev/troupe/fault"
)

// Limits and defaults of the API.
const (
	ChildrenDefault = 50    // children shown per parent
	ChildrenMax     = 1_000 // most that a request may ask for
	ActorsMax       = 2_000 // most in one answer or snapshot
	RowsDefault     = 100   // rows of a result per page
	RowsMax         = 1_000 // most that a request may ask for
	RunsShown       = 20    // runs in the stream
)

// Options say what a console shows. Only System is required.
type Options struct {
	// Actions are what a person may do to actors. Default none.
	Actions []Action

	// Command is the command line that shows one actor, for the page to quote:
	// {path} stands for the actor's path, percent-encoded as in a URL, and
	// {origin} for the node's address.
	// Default a curl command for /api/tree.
	Command string

	// Events is the list that the node's hooks fill. Default an empty one.
	Events *Events

	// Health tells how the node is. It is called up to 20 times a second, by
	// one goroutine at a time, and must not block. Default always "ok".
	Health func() Health

	// Hosts are the host names, besides localhost and loopback addresses, that
	// the console answers to. Names without a port, in any case. Default none.
	Hosts []string

	// LogLevel is the level from which the node logs, read and changed by the
	// API. Default nil: the node's level is not known.
	LogLevel *slog.LevelVar

	// Mail are the node's queues and dead letters. Default nil: none.
	Mail Mail

	// Runs are the node's workflow runs. Default nil: none, and none can be started.
	Runs Runs

	// Started is when the node started. Default the call of New.
	Started time.Time

	// Store is the node's store as a whole. Default nil: none.
	Store Store

	// StreamInterval is the shortest time between two snapshots for one client.
	// Default 250 ms, at least 50 ms.
	StreamInterval time.Duration

	// StreamsMax bounds the clients of the stream. Default 64.
	StreamsMax int

	// System is the actor system to show. Required.
	System *actor.System

	// Version is the program's version. Default "unknown".
	Version string
}

// Health is how a node is.
type Health struct {
	Status HealthStatus `json:"status"`
	Detail string       `json:"detail,omitempty"` // what is wrong; empty if nothing is
}

// HealthStatus is the node's health in one word.
type HealthStatus string

// The states of health.
const (
	HealthOK       HealthStatus = "ok"
	HealthDegraded HealthStatus = "degraded"
	HealthFailing  HealthStatus = "failing"
)

// Action is something that a person may do to an actor, shown as a button and
// offered as POST /api/actors/{path}:{verb}.
type Action struct {
	// Path is the actor's path, such as "/demo/child".
	Path string `json:"path"`
	// Verb names the action in the API: "crash".
	Verb string `json:"verb"`
	// Label stands on the button: "Crash the demo child".
	Label string `json:"label"`
	// Title says more than the label. Optional.
	Title string `json:"title,omitempty"`
	// Do does it. The context is the request's. It must be safe for
	// concurrent use.
	Do func(ctx context.Context) error `json:"-"`
}

// Console is the handler of the API and the page. It is safe for concurrent
// use and owns no goroutine.
type Console struct {
	opts    Options
	handler http.Handler
	boot    string // tells the events of this process from those of an earlier one

	mu      sync.Mutex // guards meter and latest
	meter   meter
	latest  *snapshot
	streams atomic.Int64

	api    huma.API
	routes *router
	live   liveRuns

	closed    chan struct{}
	closeOnce sync.Once
}

// New makes a console. It panics if System is missing or an action is
// incomplete or doubled: both are mistakes in the program.
func New(opts Options) *Console {
	opts = opts.withDefaults()
	c := &Console{opts: opts, boot: rand.Text()[:8], closed: make(chan struct{})}
	mux := http.NewServeMux()
	c.routes = &router{mux: mux, routes: map[string]methods{}}
	c.api = newAPI(opts.Version, c.routes)
	c.nodeRoutes()
	c.clusterRoutes()
	c.mailRoutes()
	c.storeRoutes()
	c.runRoutes()
	c.workflowRoutes()
	c.activityRoutes()
	c.rolloutRoutes()
	c.replayRoutes()
	c.scheduleRoutes()
	c.triggerRoutes()
	c.documentRoutes()
	c.routes.mount()
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, fault.New(fault.NotFound, "console", "there is no %s", r.URL.Path).WithTarget(r.URL.Path))
	})
	mux.Handle("/", ui.Handler())
	c.handler = guard(opts.Hosts, mux)
	return c
}

// nodeRoutes adds the paths about the node and its actors.
func (c *Console) nodeRoutes() {
	c.plain(plainRoute{method: http.MethodGet, path: "/api/node", summary: "Name, version, health, totals, actions", answer: reflect.TypeFor[Node]()}, c.getNode)
	c.plain(plainRoute{
		method: http.MethodGet, path: "/api/tree", summary: "The supervision tree", keys: []string{"path", "limit", "offset"}, answer: reflect.TypeFor[Tree](),
	}, c.getTree)
	c.plain(plainRoute{
		method: http.MethodGet, path: "/api/events", summary: "What failed, restarted or was lost", keys: []string{"after"}, answer: reflect.TypeFor[EventList](),
	}, c.getEvents)
	c.plain(plainRoute{
		method: http.MethodPost, path: "/api/actors/{action...}", summary: "An action that the node offers: path and verb of the actor, demo/child:crash", status: http.StatusNoContent,
	}, c.act)
	c.plain(plainRoute{method: http.MethodGet, path: "/api/log-level", summary: "The level from which the node logs", answer: reflect.TypeFor[LogLevel]()}, c.getLogLevel)
	c.plain(plainRoute{
		method: http.MethodPut, path: "/api/log-level", summary: "Change the level from which the node logs", body: reflect.TypeFor[LogLevel](), answer: reflect.TypeFor[LogLevel](),
	}, c.setLogLevel)
	c.plain(plainRoute{
		method: http.MethodGet, path: "/api/stream", summary: "All that changes, as server-sent events", keys: []string{"run", "limit", "more"}, kind: "text/event-stream",
	}, c.stream)
}

func (o Options) withDefaults() Options {
	if o.System == nil {
		panic("console: Options.System is missing")
	}
	seen := map[string]bool{}
	for _, a := range o.Actions {
		id := a.Path + ":" + a.Verb
		if a.Path == "" || a.Verb == "" || a.Label == "" || a.Do == nil || seen[id] {
			panic("console: action " + id + " is incomplete or doubled")
		}
		seen[id] = true
	}
	if o.Command == "" {
		o.Command = "curl -fsS '{origin}/api/tree?path={path}'"
	}
	if o.Events == nil {
		o.Events = NewEvents(0)
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{Status: HealthOK} }
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.StreamInterval == 0 {
		o.StreamInterval = 250 * time.Millisecond
	}
	o.StreamInterval = max(o.StreamInterval, freshFor)
	if o.StreamsMax == 0 {
		o.StreamsMax = 64
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	return o
}

// ServeHTTP answers everything below "/".
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Close ends all streams and refuses new ones; everything else goes on. A
// server's Shutdown waits for streams, so give it this:
//
//	server.RegisterOnShutdown(console.Close)
func (c *Console) Close() {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.live.close()
	})
}
