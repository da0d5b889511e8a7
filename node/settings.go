package node

import (
	"encoding"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// A setting is one key of the configuration: how it is called in each layer,
// where it lives in a Config, and which values it takes.
type setting struct {
	key  string // in the file and for --set: "http.port"
	flag string // its own flag, without dashes; "" when only --set reaches it
	doc  string
	bind func(*Config) binding
}

// env returns the setting's environment variable.
func (s setting) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// EnvPrefix begins the name of every environment variable that configures a node.
const EnvPrefix = "TROUPE_"

// EnvConfigFile is the variable that names the configuration file.
const EnvConfigFile = EnvPrefix + "CONFIG"

// A binding reads and writes one field of a Config as text.
type binding interface {
	set(text string) error // parses; the value's range is check's business
	text() string          // what set would take to give the same value
	check() error          // nil, or what was expected and what was found
	kind() string          // which values are right, for people
}

// settings is the one table of keys, in the order in which they are explained.
var settings = []setting{
	{"name", "name", "the node's name in logs, addresses and the console", func(c *Config) binding {
		return &textValue{p: &c.Name, want: "1 to 63 letters, digits, '-', '_' or '.'", ok: nodeName.MatchString}
	}},
	{"data_dir", "data-dir", "directory for everything the node writes", func(c *Config) binding {
		return &textValue{p: &c.DataDir, want: "a directory", ok: plainPath}
	}},
	{"shutdown_timeout", "shutdown-timeout", "bound of a graceful stop", func(c *Config) binding {
		return &durationValue{p: &c.ShutdownTimeout, min: 100 * time.Millisecond, max: time.Hour}
	}},
	{"http.address", "address", "IP address to listen on, or localhost", func(c *Config) binding {
		return &textValue{p: &c.HTTP.Address, want: "an IP address or localhost", ok: listenAddress}
	}},
	{"http.port", "port", "TCP port; 0 picks a free one", func(c *Config) binding {
		return &intValue{p: &c.HTTP.Port, min: 0, max: 65535}
	}},
	{"http.hosts", "", "host names, besides localhost, by which browsers reach the console", func(c *Config) binding {
		return &listValue{p: &c.HTTP.Hosts, want: "host names", max: 100, ok: hostName.MatchString}
	}},
	{"http.token", "", "secret that every request must carry, by reference: env:NAME or file:PATH", func(c *Config) binding {
		return &encodedValue{p: &c.HTTP.Token, want: "a reference, env:NAME or file:PATH"}
	}},
	{"http.allow_unauthenticated", "allow-unauthenticated", "let everyone who can reach the address use the console and the API", func(c *Config) binding {
		return &boolValue{p: &c.HTTP.AllowUnauthenticated}
	}},
	{"log.level", "log-level", "lowest level written", func(c *Config) binding {
		return &levelValue{p: &c.Log.Level}
	}},
	{"log.file", "log-file", "file to append records to, rotated daily; empty is standard error", func(c *Config) binding {
		return &textValue{p: &c.Log.File, want: "a file", ok: func(s string) bool { return s == "" || plainPath(s) }}
	}},
	{"actor.max_restarts", "", "restarts of top-level actors allowed within the window", func(c *Config) binding {
		return &intValue{p: &c.Actor.MaxRestarts, min: 0, max: 1000}
	}},
	{"actor.restart_window", "", "time over which restarts are counted", func(c *Config) binding {
		return &durationValue{p: &c.Actor.RestartWindow, min: time.Millisecond, max: 24 * time.Hour}
	}},
	{"runs.keep", "", "finished runs whose record and output are kept", func(c *Config) binding {
		return &intValue{p: &c.Runs.Keep, min: 1, max: 1_000_000}
	}},
	{"runs.max_active", "", "runs at the same time", func(c *Config) binding {
		return &intValue{p: &c.Runs.MaxActive, min: 1, max: 1_000_000}
	}},
	{"runs.deliveries_known", "", "time after which a delivery of a trigger that comes again starts another run", func(c *Config) binding {
		return &durationValue{p: &c.Runs.DeliveriesKnown, min: time.Hour, max: 87_600 * time.Hour}
	}},
	{"store.url", "store-url", "PostgreSQL database to keep everything in, or a reference to its URL; empty is a file in the data directory", func(c *Config) binding {
		return &encodedValue{p: &c.Store.URL, want: wantStoreURL}
	}},
	{"store.max_conns", "", "connections to PostgreSQL at most", func(c *Config) binding {
		return &intValue{p: &c.Store.MaxConns, min: 3, max: 1000}
	}},
	{"store.timeout", "", "how long a call to PostgreSQL may take", func(c *Config) binding {
		return &durationValue{p: &c.Store.Timeout, min: 100 * time.Millisecond, max: 10 * time.Minute}
	}},
	{"watch.interval", "", "time between two looks at the tree", func(c *Config) binding {
		return &durationValue{p: &c.Watch.Interval, min: 10 * time.Millisecond, max: time.Hour}
	}},
	{"watch.mailbox", "", "waiting messages above which an alert is raised; 0 is off", func(c *Config) binding {
		return &intValue{p: &c.Watch.Mailbox, min: 0, max: 1 << 30}
	}},
	{"watch.restarts_per_minute", "", "restarts a minute above which an alert is raised; 0 is off", func(c *Config) binding {
		return &intValue{p: &c.Watch.RestartsPerMinute, min: 0, max: 1 << 20}
	}},
	{"watch.p99", "", "handling time above which an alert is raised; 0 is off", func(c *Config) binding {
		return &durationValue{p: &c.Watch.P99, max: time.Hour}
	}},
	{"watch.dead_letters_per_minute", "", "new dead letters a minute above which an alert is raised; 0 is off", func(c *Config) binding {
		return &intValue{p: &c.Watch.DeadLettersPerMinute, min: 0, max: 1 << 30}
	}},
	{"watch.store_failures_per_minute", "", "failures of the store a minute above which an alert is raised; 0 is off", func(c *Config) binding {
		return &intValue{p: &c.Watch.StoreFailuresPerMinute, min: 0, max: 1 << 30}
	}},
	{"watch.memory", "", "size above which an actor with its children is isolated; 0 is off", func(c *Config) binding {
		return &encodedValue{p: &c.Watch.Memory, want: "a size such as 512MiB"}
	}},
	{"watch.cpu", "", "percent of one core above which an actor with its children is isolated; 0 is off", func(c *Config) binding {
		return &intValue{p: &c.Watch.CPU, min: 0, max: 100}
	}},
	{"demo.crash_every", "", "time between two crashes on purpose; 0 is never", func(c *Config) binding {
		return &durationValue{p: &c.Demo.CrashEvery, max: 24 * time.Hour}
	}},
	{"demo.order_every", "", "time between two orders in the demonstration's shop; 0 is none", func(c *Config) binding {
		return &durationValue{p: &c.Demo.OrderEvery, max: 24 * time.Hour}
	}},
	{"demo.rate", "", "messages a second through the demonstration actors; 0 is none", func(c *Config) binding {
		return &intValue{p: &c.Demo.Rate, min: 0, max: 100_000}
	}},
}

// findSetting returns the setting of a key.
func findSetting(key string) (setting, bool) {
	for _, s := range settings {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}

// nodeName is the shape of Config.Name.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// hostName is the shape of a name in Config.HTTP.Hosts.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$`)

// plainPath refuses what no file system takes.
func plainPath(s string) bool { return s != "" && !strings.ContainsRune(s, 0) }

// listenAddress reports whether s is an address to listen on. Host names are
// refused, because what they resolve to can change after the check.
func listenAddress(s string) bool { return s == "localhost" || net.ParseIP(s) != nil }

// loopback reports whether only this machine can reach the address.
func loopback(address string) bool {
	return address == "localhost" || net.ParseIP(address).IsLoopback()
}

// textValue binds a string.
type textValue struct {
	p    *string
	want string
	ok   func(string) bool
}

func (v *textValue) set(text string) error { *v.p = text; return nil }
func (v *textValue) text() string          { return *v.p }
func (v *textValue) kind() string          { return v.want }
func (v *textValue) check() error {
	if !v.ok(*v.p) {
		return fmt.Errorf("want %s, got %q", v.want, *v.p)
	}
	return nil
}

// listValue binds a list of texts; as one text they are separated by commas.
type listValue struct {
	p    *[]string
	want string
	max  int
	ok   func(string) bool
}

func (v *listValue) set(text string) error {
	*v.p = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*v.p = append(*v.p, part)
		}
	}
	return nil
}

func (v *listValue) text() string { return strings.Join(*v.p, ",") }
func (v *listValue) kind() string { return fmt.Sprintf("at most %d %s", v.max, v.want) }
func (v *listValue) check() error {
	if len(*v.p) > v.max {
		return fmt.Errorf("want %s, got %d", v.kind(), len(*v.p))
	}
	for _, one := range *v.p {
		if !v.ok(one) {
			return fmt.Errorf("want %s, got %q", v.kind(), one)
		}
	}
	return nil
}

// intValue binds a whole number within bounds, both included.
type intValue struct {
	p        *int
	min, max int
}

func (v *intValue) set(text string) error {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("want %s, got %q", v.kind(), text)
	}
	*v.p = n
	return nil
}

func (v *intValue) text() string { return strconv.Itoa(*v.p) }
func (v *intValue) kind() string { return fmt.Sprintf("a whole number from %d to %d", v.min, v.max) }
func (v *intValue) check() error {
	if *v.p < v.min || *v.p > v.max {
		return fmt.Errorf("want %s, got %d", v.kind(), *v.p)
	}
	return nil
}

// boolValue binds a flag.
type boolValue struct{ p *bool }

func (v *boolValue) set(text string) error {
	switch strings.TrimSpace(text) {
	case "true":
		*v.p = true
	case "false":
		*v.p = false
	default:
		return fmt.Errorf("want true or false, got %q", text)
	}
	return nil
}

func (v *boolValue) text() string { return strconv.FormatBool(*v.p) }
func (v *boolValue) kind() string { return "true or false" }
func (v *boolValue) check() error { return nil }

// durationValue binds a time span within bounds, both included.
type durationValue struct {
	p        *time.Duration
	min, max time.Duration
}

func (v *durationValue) set(text string) error {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("want a duration such as 30s or 1m30s, got %q", text)
	}
	*v.p = d
	return nil
}

func (v *durationValue) text() string { return yamldoc.ShortDuration(*v.p) }
func (v *durationValue) kind() string {
	return fmt.Sprintf("a duration from %s to %s", yamldoc.ShortDuration(v.min), yamldoc.ShortDuration(v.max))
}

func (v *durationValue) check() error {
	if *v.p < v.min || *v.p > v.max {
		return fmt.Errorf("want %s, got %s", v.kind(), v.text())
	}
	return nil
}

// levelValue binds a log level. Only the four named levels are taken.
type levelValue struct{ p *slog.Level }

// ParseLevel reads a log level: debug, info, warn or error.
func ParseLevel(text string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(strings.TrimSpace(text), l.String()) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("want debug, info, warn or error, got %q", text)
}

func (v *levelValue) set(text string) error {
	l, err := ParseLevel(text)
	if err != nil {
		return err
	}
	*v.p = l
	return nil
}

func (v *levelValue) text() string { return strings.ToLower(v.p.String()) }
func (v *levelValue) kind() string { return "debug, info, warn or error" }
func (v *levelValue) check() error {
	if _, err := ParseLevel(v.p.String()); err != nil {
		return err
	}
	return nil
}

// encodedValue binds a type that reads and writes itself as text.
type encodedValue struct {
	p interface {
		encoding.TextUnmarshaler
		fmt.Stringer
	}
	want string
}

func (v *encodedValue) set(text string) error { return v.p.UnmarshalText([]byte(text)) }
func (v *encodedValue) text() string          { return v.p.String() }
func (v *encodedValue) kind() string          { return v.want }

// check reads back what the value prints, so that the type's own rules hold for
// a Config made in code too.
func (v *encodedValue) check() error { return v.set(v.text()) }
