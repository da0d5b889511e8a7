package node

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// Config is everything a node can be told. Each field names its default, its
// unit and its special values; the key in a file is the field's yaml tag, and
// the variable is the path in capitals: http.port is TROUPE_HTTP_PORT.
//
// [DefaultConfig] returns the defaults. [New] checks a Config and refuses a
// wrong one, however it was made.
type Config struct {
	// Actor bounds the restarts of the node's top-level actors.
	Actor ActorConfig `yaml:"actor"`

	// DataDir is the directory for everything the node writes: the embedded
	// store, troupe.db, and the output of its runs, below runs/. It is created
	// on start. Default "troupe-data" in
	// the working directory.
	DataDir string `yaml:"data_dir"`

	// Demo is the demonstration that `troupe dev` runs beside the workflow.
	Demo DemoConfig `yaml:"demo"`

	// HTTP is the address of the console, the API, metrics and health.
	HTTP HTTPConfig `yaml:"http"`

	// Log is where records go and which of them.
	Log LogConfig `yaml:"log"`

	// Name is the node's name in logs, in the console and in the actor
	// addresses. Default "troupe". 1 to 63 letters, digits, '-', '_' or '.'.
	Name string `yaml:"name"`

	// Runs bounds what is kept of finished workflow runs.
	Runs RunsConfig `yaml:"runs"`

	// ShutdownTimeout bounds a graceful stop: runs that have not finished by
	// then are cancelled and actors that have not stopped are abandoned.
	// Default 30s. At least 100ms.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`

	// Store is where the node keeps what must survive it.
	Store StoreConfig `yaml:"store"`

	// Watch holds the limits of the watchdog.
	Watch WatchConfig `yaml:"watch"`
}

// ActorConfig bounds restarts of top-level actors. A child that exceeds the
// bound is given up and its failure goes one level up.
type ActorConfig struct {
	// MaxRestarts is how many restarts are allowed within RestartWindow.
	// Default 5. 0 allows none.
	MaxRestarts int `yaml:"max_restarts"`

	// RestartWindow is the time over which restarts are counted. Default 10s.
	RestartWindow time.Duration `yaml:"restart_window"`
}

// DemoConfig shapes the demonstration tree of `troupe dev`.
type DemoConfig struct {
	// CrashEvery is the time between two crashes on purpose. Default 25s, so
	// that it stays within the watchdog's alert of 3 restarts a minute.
	// 0 never crashes by itself.
	CrashEvery time.Duration `yaml:"crash_every"`

	// OrderEvery is the time between two orders in the demonstration's shop.
	// Default 1s. 0 places none.
	OrderEvery time.Duration `yaml:"order_every"`

	// Rate is the number of messages a second sent through the demonstration
	// actors, so that rates can be seen. Default 200. 0 sends none. At most
	// 100,000.
	Rate int `yaml:"rate"`
}

// HTTPConfig is the address of the node's HTTP server and who may use it.
type HTTPConfig struct {
	// Address is the IP address to listen on, or "localhost". Default
	// "127.0.0.1". An address that other machines can reach is refused unless
	// Token is set or AllowUnauthenticated says that everyone may.
	Address string `yaml:"address"`

	// AllowUnauthenticated lets everyone who can reach Address read the
	// console, start runs and change the log level, without a token. Default
	// false.
	AllowUnauthenticated bool `yaml:"allow_unauthenticated"`

	// Hosts are the names, besides localhost and the address itself, by which
	// browsers reach the console, such as "troupe.example.com"; others are
	// refused. Default none. At most 100.
	Hosts []string `yaml:"hosts"`

	// Port is the TCP port. Default 8080. 0 picks a free one.
	Port int `yaml:"port"`

	// Token is a secret that every request must carry, as a bearer token or as
	// the password of basic authentication; /health and /ready are exempt.
	// Default none. Given by reference: "env:NAME" or "file:PATH".
	Token secret.Ref `yaml:"token"`
}

// HostPort returns the address to listen on, in the form net.Listen takes.
func (c HTTPConfig) HostPort() string {
	return net.JoinHostPort(c.Address, strconv.Itoa(c.Port))
}

// LogConfig is where log records go and which of them.
type LogConfig struct {
	// File is the file to append records to. It is rotated every day and 30
	// days are kept. Default "": standard error.
	File string `yaml:"file"`

	// Level is the lowest level written: debug, info, warn or error. Default
	// info. The console changes it at run time.
	Level slog.Level `yaml:"level"`
}

// RunsConfig bounds the runs at a time, and what is kept of finished ones.
type RunsConfig struct {
	// Keep is the number of finished runs of each workflow whose record is kept,
	// and of directories with output; the oldest go first. Default 1,000. At least
	// 1, at most 1,000,000.
	Keep int `yaml:"keep"`

	// MaxActive is the number of runs at the same time that the API starts; another
	// is refused. Default 1,000. At least 1, at most 1,000,000.
	MaxActive int `yaml:"max_active"`

	// DeliveriesKnown is how long it is known that a delivery of a trigger has
	// started a run, so that it starts no other one if it comes again; those of
	// files are known for ever. Default 720h, which is 30 days. At least 1h, at
	// most 87600h.
	DeliveriesKnown time.Duration `yaml:"deliveries_known"`
}

// WatchConfig holds the watchdog's limits: beyond Memory and CPU it isolates the
// actor until its figures fall, beyond the others it raises an alert.
type WatchConfig struct {
	// Interval is the time between two looks at the tree. Default 1s. At least
	// 10ms.
	Interval time.Duration `yaml:"interval"`

	// Mailbox is the number of waiting messages of one actor above which an
	// alert is raised. Default 1000. 0 is off.
	Mailbox int `yaml:"mailbox"`

	// RestartsPerMinute is the number of restarts of one actor type within a
	// minute above which an alert is raised. Default 3. 0 is off.
	RestartsPerMinute int `yaml:"restarts_per_minute"`

	// P99 is the handling time of one actor type above which an alert is
	// raised, for 99 of 100 messages. Default 1s. 0 is off.
	P99 time.Duration `yaml:"p99"`

	// DeadLettersPerMinute is the number of durable messages that become dead
	// letters within a minute above which an alert is raised. Default 10. 0 is
	// off.
	DeadLettersPerMinute int `yaml:"dead_letters_per_minute"`

	// StoreFailuresPerMinute is how often the store may fail the node's durable
	// actors within a minute before an alert is raised. Default 1. 0 is off.
	StoreFailuresPerMinute int `yaml:"store_failures_per_minute"`

	// Memory is the size above which an actor with its children is isolated.
	// Default 512MiB. 0 is off.
	Memory Bytes `yaml:"memory"`

	// CPU is the share of one core, in percent, above which an actor with its
	// children is isolated. Default 80. 0 is off.
	CPU int `yaml:"cpu"`
}

// DefaultConfig returns the configuration of a node that was told nothing.
func DefaultConfig() Config {
	return Config{
		Actor:           ActorConfig{MaxRestarts: 5, RestartWindow: 10 * time.Second},
		DataDir:         "troupe-data",
		Demo:            DemoConfig{CrashEvery: 25 * time.Second, OrderEvery: time.Second, Rate: 200},
		HTTP:            HTTPConfig{Address: "127.0.0.1", Port: 8080},
		Log:             LogConfig{Level: slog.LevelInfo},
		Name:            "troupe",
		Runs:            RunsConfig{Keep: 1_000, MaxActive: 1_000, DeliveriesKnown: workflow.DeliveriesKnownDefault},
		ShutdownTimeout: 30 * time.Second,
		Store:           StoreConfig{MaxConns: 50, Timeout: 5 * time.Second},
		Watch: WatchConfig{
			Interval:          time.Second,
			Mailbox:           1000,
			RestartsPerMinute: 3,
			P99:               time.Second,
			Memory:            512 << 20,

			DeadLettersPerMinute:   10,
			StoreFailuresPerMinute: 1,
			CPU:                    80,
		},
	}
}
