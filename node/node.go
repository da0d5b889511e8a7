package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/telemetry"
	"github.com/troupe-dev/troupe/wire"
	"github.com/troupe-dev/troupe/workflow"
)

// Options are what a program gives a node beside its configuration. The zero
// value is usable.
type Options struct {
	// Demo starts the demonstration tree, see [DemoConfig]. Default false.
	Demo bool

	// Env is the table in which secrets are looked up, as os.Environ returns
	// it. Default os.Environ().
	Env []string

	// Hooks are listeners to the node's actor system. Default none.
	Hooks []actor.Hooks

	// Log takes log records, one JSON object a line, unless Config.Log.File
	// names a file. Default os.Stderr.
	Log io.Writer

	// Setup starts the program's own actors: it is called by Start when the store
	// is open and before the node answers, and its error ends the start. Default
	// nil: none.
	Setup func(ctx context.Context, n *Node) error

	// Types are the types of durable messages and events, so that the payloads of
	// dead letters are shown and edited as JSON. Default: none are known.
	Types *wire.Registry

	// Version is the program's version, for the console. Default "unknown".
	Version string

	// Workflow is what the console's button and [Runs.Start] run. Default nil:
	// none.
	Workflow *workflow.Definition

	// WorkflowFiles is where the files of Workflow are if workflow.LoadFS has read
	// it. Default nil: in the operating system's.
	WorkflowFiles fs.FS
}

// Node is a Troupe node: one supervision tree with everything in it.
//
//	/alerts       puts alerts and failed runs into the console's list of events
//	/run-metrics  counts workflow runs
//	/watchdog     looks at the tree and raises alerts
//	/runs         supervises workflow runs
//	/demo         the demonstration, if asked for
//	/shop         its durable part
//	/http         console, API, metrics, health
//
// They stop in the opposite order. A Node is used once: New, Start, Stop. Its
// methods are safe for concurrent use.
type Node struct {
	config  Config
	options Options
	token   string // "" if none is asked for
	level   slog.LevelVar
	log     *slog.Logger
	logFile io.Closer   // nil when records go to Options.Log
	lock    *files.Lock // of the data directory, from Start to Stop
	store   store.Store // from Start to Stop
	mail    *Mail       // from Start on
	shop    *DemoShop   // of the demonstration

	sys      *actor.System
	metrics  *telemetry.Metrics
	health   *telemetry.Health
	watchdog *telemetry.Watchdog
	events   *console.Events
	console  *console.Console
	runs     *Runs
	handler  http.Handler
	http     *httpService

	failed   chan error // one error at most: the node has lost a part it cannot be without
	stopOnce sync.Once
	stopErr  error
}

// New checks the configuration, prepares the data directory and the log, and
// assembles a node. Nothing runs yet. The error is [Problems] for a wrong
// configuration, otherwise one line that says what the environment lacks.
func New(config Config, options Options) (*Node, error) {
	if err := checkConfig(&config).err(); err != nil {
		return nil, err
	}
	if options.Env == nil {
		options.Env = os.Environ()
	}
	if options.Log == nil {
		options.Log = os.Stderr
	}
	if options.Types == nil {
		options.Types = &wire.Registry{}
	}
	if options.Version == "" {
		options.Version = "unknown"
	}
	token, err := config.HTTP.Token.Resolve(options.Env)
	if err != nil {
		return nil, Problems{{Key: "http.token", Message: err.Error()}}
	}
	if _, err := StoreAddress(config, options.Env); err != nil {
		return nil, err
	}
	if err := prepareDir(config.DataDir); err != nil {
		return nil, err
	}
	n := &Node{config: config, options: options, token: token, failed: make(chan error, 1)}
	n.level.Set(config.Log.Level)
	if err := n.openLog(); err != nil {
		return nil, err
	}
	n.events = console.NewEvents(0)
	n.sys = actor.NewSystem(actor.Options{
		Name:            config.Name,
		Logger:          n.log,
		ShutdownTimeout: config.ShutdownTimeout,
		Supervision:     supervision(config.Actor),
		Hooks:           append([]actor.Hooks{n.events.Hooks(), n.lossHooks()}, options.Hooks...),
	})
	n.metrics = telemetry.NewMetrics(n.sys)
	n.health = telemetry.NewHealth(n.sys)
	n.watchdog = telemetry.NewWatchdog(n.sys, telemetry.WatchdogOptions{
		Limits: limits(config.Watch), Interval: config.Watch.Interval, Logger: n.log, Mail: n.mailCounts,
	})
	n.health.SetWatchdog(n.watchdog)
	n.health.Require("/watchdog", "/http")
	for _, check := range []telemetry.Check{
		{Name: "data directory", Probe: dirCheck(config.DataDir)},
		{Name: "store", Timeout: config.Store.Timeout, Probe: storeCheck(config.Name, n.Store)},
	} {
		if err := n.health.AddCheck(check); err != nil {
			return nil, errors.Join(err, n.closeLog())
		}
	}
	n.runs = newRuns(config, options, n.log)
	return n, nil
}

// supervision is the policy for top-level actors.
func supervision(c ActorConfig) actor.Supervision {
	s := actor.Supervision{MaxRestarts: c.MaxRestarts, Window: c.RestartWindow}
	if s.MaxRestarts == 0 {
		s.MaxRestarts = -1 // the runtime's word for none
	}
	return s
}

// limits turns the configuration's "0 is off" into the watchdog's "negative is
// off".
func limits(c WatchConfig) telemetry.Limits {
	l := telemetry.Limits{
		Mailbox: c.Mailbox, RestartsPerMinute: c.RestartsPerMinute, Latency: c.P99,
		DeadLettersPerMinute: c.DeadLettersPerMinute, StoreFailuresPerMinute: c.StoreFailuresPerMinute,
		MemoryBytes: int64(c.Memory), CPU: float64(c.CPU) / 100,
		// A run is supposed to use all there is, and a node without its server
		// cannot be seen.
		NeverIsolate: []string{"/runs", "/http", "/watchdog", "/alerts"},
	}
	if l.Mailbox == 0 {
		l.Mailbox = -1
	}
	if l.RestartsPerMinute == 0 {
		l.RestartsPerMinute = -1
	}
	if l.Latency == 0 {
		l.Latency = -1
	}
	if l.DeadLettersPerMinute == 0 {
		l.DeadLettersPerMinute = -1
	}
	if l.StoreFailuresPerMinute == 0 {
		l.StoreFailuresPerMinute = -1
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = -1
	}
	if l.CPU == 0 {
		l.CPU = -1
	}
	return l
}

// openLog makes the logger.
func (n *Node) openLog() error {
	if n.config.Log.File == "" {
		n.log = telemetry.NewLogger(n.options.Log, &n.level)
		return nil
	}
	file, err := telemetry.OpenLogFile(telemetry.LogFileOptions{
		Path: n.config.Log.File,
		OnError: func(err error) {
			_, _ = fmt.Fprintf(n.options.Log, "troupe: %s: the log file cannot be rotated: %v\n", n.config.Log.File, err)
		},
	})
	if err != nil {
		return err
	}
	n.logFile, n.log = file, telemetry.NewLogger(file, &n.level)
	return nil
}

func (n *Node) closeLog() error {
	if n.logFile == nil {
		return nil
	}
	return n.logFile.Close()
}

// release closes the store and gives the data directory back.
func (n *Node) release() (err error) {
	if n.store != nil {
		err = n.store.Close()
	}
	if n.lock != nil {
		err = errors.Join(err, removeAddress(n.config.DataDir), n.lock.Release())
	}
	return err
}

// mailCounts are what the watchdog looks at: it is spawned when there is a mail.
func (n *Node) mailCounts() telemetry.MailCounts { return n.mail.Counts() }

// lossHooks notices when the HTTP server is gone for good: a node that nobody
// can reach should end rather than linger.
func (n *Node) lossHooks() actor.Hooks {
	return actor.Hooks{Stopped: func(a actor.Address, reason error) {
		if a.Path != "/http" || reason == nil {
			return
		}
		select {
		case n.failed <- fmt.Errorf("the HTTP server has failed for good: %w", reason):
		default:
		}
	}}
}

// newConsole gives the console what it shows.
func (n *Node) newConsole() *console.Console {
	options := console.Options{
		Events:   n.events,
		Health:   n.consoleHealth,
		Hosts:    n.config.HTTP.Hosts,
		LogLevel: &n.level,
		Mail:     n.mail,
		Store:    &storeTools{store: n.store, dir: n.config.DataDir},
		Runs:     n.runs,
		System:   n.sys,
		Version:  n.options.Version,
	}
	if ip := net.ParseIP(n.config.HTTP.Address); ip != nil && !ip.IsUnspecified() {
		options.Hosts = append([]string{n.config.HTTP.Address}, options.Hosts...)
	}
	if n.options.Demo {
		options.Actions = []console.Action{{
			Path:  DemoChild,
			Verb:  "crash",
			Label: "Crash the demo child",
			Title: "The worker panics on its next message; its supervisor restarts it and its mailbox is kept.",
			Do:    func(context.Context) error { return crashDemo(n.sys) },
		}}
	}
	return console.New(options)
}

// consoleHealth is the health of the tree in a word and a line.
func (n *Node) consoleHealth() console.Health {
	report := n.health.Report()
	h := console.Health{Status: console.HealthStatus(report.Status)}
	var details []string
	for _, t := range append(report.Failing, report.Degraded...) {
		details = append(details, t.Path+" "+t.State)
	}
	for _, a := range report.Alerts {
		details = append(details, a.String())
	}
	h.Detail = strings.Join(details, "; ")
	return h
}

// routes puts the handlers on their paths, behind the token if there is one.
func (n *Node) routes() http.Handler {
	probes := n.health.Handler()
	figures := http.NewServeMux()
	figures.Handle("/metrics", n.metrics.Handler(n.log))
	figures.Handle("/healthz", probes)
	var inside http.Handler = figures
	if n.token == "" && loopback(n.config.HTTP.Address) {
		inside = ownHostOnly(figures)
	}
	mux := http.NewServeMux()
	mux.Handle("/health", probes)
	mux.Handle("/ready", probes)
	mux.Handle("/metrics", inside)
	mux.Handle("/healthz", inside)
	mux.Handle("/", n.console)
	return tokenGuard(n.token, mux)
}

// Start binds the address, takes the data directory for this node alone, opens
// the store and starts the tree. It returns when the node answers; the context
// bounds the start only. The errors of the store are those of sqlite.Open and
// postgres.Open. A node whose Start has failed is of no further use.
func (n *Node) Start(ctx context.Context) error {
	listener, err := bind(ctx, n.config.HTTP)
	if err != nil {
		return errors.Join(err, n.closeLog())
	}
	if n.lock, err = lockDir(n.config.DataDir); err != nil {
		return errors.Join(err, listener.Close(), n.closeLog())
	}
	if err := removeLeftovers(n.config.DataDir); err != nil {
		n.log.WarnContext(ctx, "what a killed node left behind cannot be removed", "error", err)
	}
	var engine string
	if n.store, engine, err = openStore(ctx, n.config, n.options.Env, n.log); err != nil {
		return errors.Join(err, listener.Close(), n.release(), n.closeLog())
	}
	n.mail = newMail(engine, n.store, n.options.Types, n.sys)
	n.metrics.WatchMail(n.mail)
	n.console = n.newConsole()
	n.handler = n.routes()
	n.http = &httpService{
		address:  listener.Addr().String(),
		handler:  n.handler,
		onStop:   n.console.Close,
		log:      n.log,
		listener: listener,
	}
	if err := n.spawnAll(ctx); err != nil {
		n.http.close()
		return errors.Join(err, n.Stop(ctx))
	}
	n.log.InfoContext(ctx, "node started", "name", n.config.Name, "address", n.URL(), "version", n.options.Version, "data_dir", n.config.DataDir, "store", engine)
	return nil
}

// spawnAll starts the children in the order in which they depend on each other.
func (n *Node) spawnAll(ctx context.Context) error {
	if err := spawnAlerts(n.sys, n.events); err != nil {
		return err
	}
	if err := n.metrics.WatchRuns(n.sys); err != nil {
		return err
	}
	watchdog := actor.ServiceSpec{
		Name: "watchdog", Type: "watchdog", Restart: actor.Permanent,
		New: func() actor.Service { return n.watchdog },
	}
	if _, err := actor.SpawnService(n.sys, watchdog); err != nil {
		return err
	}
	if err := n.runs.open(ctx, n.sys, n.store); err != nil {
		return err
	}
	if n.options.Demo {
		if err := spawnDemo(n.sys, n.config.Demo); err != nil {
			return err
		}
		var err error
		if n.shop, err = spawnShop(n, n.config.Demo); err != nil {
			return err
		}
	}
	if n.options.Setup != nil {
		if err := n.options.Setup(ctx, n); err != nil {
			return err
		}
	}
	server := actor.ServiceSpec{
		Name: "http", Type: "http-server", Restart: actor.Permanent,
		New:         func() actor.Service { return n.http },
		StopTimeout: n.config.ShutdownTimeout,
	}
	if _, err := actor.SpawnService(n.sys, server); err != nil {
		return err
	}
	return writeAddress(n.config.DataDir, n.URL())
}

// Address is where the node listens, once Start has returned.
func (n *Node) Address() string { return n.http.address }

// URL is the console's address for a browser on this machine.
func (n *Node) URL() string {
	host, port, err := net.SplitHostPort(n.http.address)
	if err != nil {
		return "http://" + n.http.address + "/"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// Token is the secret that requests must carry, "" if none is asked for. Do not
// print it.
func (n *Node) Token() string { return n.token }

// System is the node's actor system.
func (n *Node) System() *actor.System { return n.sys }

// Store is where the node keeps what must survive it, once Start has returned or
// in Options.Setup; nil before. The node closes it.
func (n *Node) Store() store.Store { return n.store }

// Mail are the queues and dead letters of the store, from when there is one.
func (n *Node) Mail() *Mail { return n.mail }

// Types are the types of durable messages and events that the node can show; a
// program adds its own.
func (n *Node) Types() *wire.Registry { return n.options.Types }

// Metrics are what /metrics shows. A program has them count the calls of its
// services, telemetry.Metrics.CountCall, and watch its circuit breakers.
func (n *Node) Metrics() *telemetry.Metrics { return n.metrics }

// Runs are the node's workflow runs.
func (n *Node) Runs() *Runs { return n.runs }

// Log is the node's logger.
func (n *Node) Log() *slog.Logger { return n.log }

// CrashDemo makes the demonstration child crash, as the console's button does.
// NOT_FOUND without the demonstration.
func (n *Node) CrashDemo() error { return crashDemo(n.sys) }

// DemoShop is the shop of the demonstration, nil without it.
func (n *Node) DemoShop() *DemoShop { return n.shop }

// Failed delivers an error when the node has lost a part that it cannot be
// without. The node is still to be stopped.
func (n *Node) Failed() <-chan error { return n.failed }

// drainShare is the part of the shutdown timeout that runs may use to finish;
// the rest is for cancelled runs and the tree to stop.
const drainShare = 0.7

// Stop drains the node: /ready fails, no run starts any more, runs under way
// may finish, then the tree is stopped, the HTTP server first, and the store is
// closed. It is bounded by
// Config.ShutdownTimeout and by ctx. The error tells what had to be abandoned.
// Further calls return the first one's error.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		n.health.SetDraining(true)
		n.log.InfoContext(ctx, "node stopping", "timeout", n.config.ShutdownTimeout.String())
		drain, cancel := context.WithTimeout(ctx, time.Duration(drainShare*float64(n.config.ShutdownTimeout)))
		defer cancel()
		n.runs.drain(drain)
		err := n.sys.Stop(ctx)
		n.runs.settle(ctx)
		if err != nil {
			n.log.ErrorContext(ctx, "node stopped with something left behind", "error", err)
		} else {
			n.log.InfoContext(ctx, "node stopped")
		}
		n.stopErr = errors.Join(err, n.release(), n.closeLog())
	})
	return n.stopErr
}
