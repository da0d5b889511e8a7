package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/troupe-dev/troupe/store"
)

// Options are the settings of a store. The zero value is good.
type Options struct {
	// AllowUnsafe lets Open accept a server with fsync or full_page_writes off,
	// which loses acknowledged batches in a crash. Otherwise it is [ErrUnsafe].
	AllowUnsafe bool
	// Limits are the sizes that are accepted; zero fields mean their defaults.
	// NameBytes is at most 1,024, as names are keys of indexes. QueueMessages
	// can be exceeded by what several processes put at the same moment.
	Limits store.Limits
	// MaxConns is how many connections are open at most. Default 50, at least 3.
	MaxConns int
	// PollInterval is how often a waiting Ready looks for what no notification
	// has told. Default 5 s, at least 10 ms.
	PollInterval time.Duration
	// Schema is the schema of the database that has the tables. Default "troupe".
	Schema string
	// Timeout is how long a call may take that does not wait by design, with
	// connecting and trying again. Default 5 s.
	Timeout time.Duration
	// Writers is how many transactions can be under way for Commit. Default 2,
	// at most half of MaxConns.
	Writers int
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	o.MaxConns = max(3, cmp.Or(o.MaxConns, 50))
	o.PollInterval = max(10*time.Millisecond, cmp.Or(o.PollInterval, 5*time.Second))
	o.Schema = cmp.Or(o.Schema, "troupe")
	o.Timeout = max(time.Millisecond, cmp.Or(o.Timeout, 5*time.Second))
	o.Writers = min(max(1, cmp.Or(o.Writers, 2)), o.MaxConns/2)
	return o
}

const (
	nameBytesMax   = 1024 // two of them fit into an entry of an index, a third of a page
	schemaBytesMax = 63   // of an identifier
)

// A Store is a connection pool to a server. It implements [store.Store],
// [store.Checker] and [store.Backuper].
type Store struct {
	options Options
	limits  store.Limits
	target  string // for errors: host and database, no secrets
	pool    *pgxpool.Pool
	id      string // of this Store value, in notifications

	inbox   chan *job
	hub     hub
	closing chan struct{} // closed when Close begins
	stopped chan struct{} // closed when the writers have ended
	ctx     context.Context
	cancel  context.CancelFunc // ends what waits
	shards  atomic.Uint32      // the next one to give to a writer; begins anywhere
	writers sync.WaitGroup
	others  sync.WaitGroup
	once    sync.Once
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Checker  = (*Store)(nil)
	_ store.Backuper = (*Store)(nil)
)

// Open connects to a server, by a URL or by key=value pairs as libpq understands
// them, with PG… environment variables for what is left out. It creates the
// schema if it is not there and migrates one that is older. The server must
// answer within [Options.Timeout].
//
// Errors: [store.ErrInvalid] for an address or option that makes no sense,
// [ErrUnavailable], [ErrUnsafe], [store.ErrNewerSchema], [store.ErrNotAStore].
func Open(ctx context.Context, address string, o Options) (*Store, error) {
	return open(ctx, address, o, schemaVersion())
}

func open(ctx context.Context, address string, o Options, version int) (*Store, error) {
	const op = "store.Open"
	o = o.withDefaults()
	config, err := configure(address, o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		options: o, limits: o.Limits, id: rand.Text(),
		target:  targetOf(config.ConnConfig),
		inbox:   make(chan *job, inboxSize),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.prepare(ctx, config, version); err != nil {
		s.cancel()
		return nil, s.explain(ctx, op, err)
	}
	s.pool, err = pgxpool.NewWithConfig(s.ctx, config)
	if err != nil {
		s.cancel()
		return nil, s.explain(ctx, op, err)
	}
	s.start(config.ConnConfig)
	return s, nil
}

// configure turns an address and options into the settings of the pool.
func configure(address string, o Options) (*pgxpool.Config, error) {
	invalid := func(target string, cause error) error {
		return store.Failure(store.ErrInvalid, "store.Open", target, cause)
	}
	if n := o.Limits.NameBytes; n > nameBytesMax {
		return nil, invalid("Limits.NameBytes", fmt.Errorf("is %d, the most that this engine can index is %d", n, nameBytesMax))
	}
	if err := store.CheckName("store.Open", "Schema", o.Schema, store.Limits{NameBytes: schemaBytesMax}); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, invalid("address", errors.New("want a URL such as postgres://user@host/database, or key=value pairs"))
	}
	config.MaxConns = int32(min(o.MaxConns, 1<<16)) - 1 //nolint:gosec // in range; one is the listener's
	config.ConnConfig.ConnectTimeout = o.Timeout
	ms := strconv.FormatInt(max(1, o.Timeout.Milliseconds()), 10)
	// Queues grow and shrink faster than statistics follow. There is an
	// index for every query, and each is better than a plan from yesterday.
	maps.Copy(config.ConnConfig.RuntimeParams, map[string]string{
		"application_name":                    cmp.Or(config.ConnConfig.RuntimeParams["application_name"], "troupe"),
		"search_path":                         pgx.Identifier{o.Schema}.Sanitize(),
		"statement_timeout":                   ms,
		"idle_in_transaction_session_timeout": ms,
		"default_transaction_isolation":       "read committed",
		"synchronous_commit":                  "on",

		"enable_seqscan":   "off",
		"enable_hashjoin":  "off",
		"enable_mergejoin": "off",
		"jit":              "off",
	})
	return config, nil
}

// prepare checks the server and migrates the schema, on a connection of its own.
func (s *Store) prepare(ctx context.Context, config *pgxpool.Config, version int) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return fromConnect(err)
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it any more
	if err := s.examine(ctx, c); err != nil {
		return err
	}
	return migrate(ctx, c, s.options.Schema, version)
}

// examine checks that the server is one that a store can be on.
func (s *Store) examine(ctx context.Context, c *pgx.Conn) error {
	var number int
	var encoding, fsync, pages string
	err := c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		current_setting('fsync'), current_setting('full_page_writes')`).Scan(&number, &encoding, &fsync, &pages)
	if err != nil {
		return err
	}
	switch {
	case number < 150000:
		return store.Failure(errSetup, "store.Open", s.target, fmt.Errorf("PostgreSQL %d, want 15 or later", number/10000))
	case encoding != "UTF8":
		return store.Failure(errSetup, "store.Open", s.target, fmt.Errorf("the database has encoding %s, want UTF8", encoding))
	case !s.options.AllowUnsafe && (fsync != "on" || pages != "on"):
		return store.Failure(ErrUnsafe, "store.Open", s.target, fmt.Errorf("fsync is %s, full_page_writes is %s", fsync, pages))
	}
	return nil
}

// targetOf names a database in errors.
func targetOf(c *pgx.ConnConfig) string {
	return fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database)
}

// fromConnect drops what the driver says of the address, which may have a
// password in it, and keeps the reason.
func fromConnect(err error) error {
	if e := serverError(err); e != nil {
		return e
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return err
}

func (s *Store) start(config *pgx.ConnConfig) {
	s.hub.init(s, config)
	s.shards.Store(mathrand.Uint32())
	for range s.options.Writers {
		s.writers.Go(s.write)
	}
	s.others.Go(s.hub.listen)
	s.others.Go(s.hub.tell)
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.writers.Wait()
		close(s.stopped)
		s.cancel()
		s.others.Wait()
		s.pool.Close()
	})
	<-s.stopped
	return nil
}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// do runs f with a connection, and again with another one when the connection is
// lost or f met another transaction, until the timeout is over. So f must be
// something that can be repeated.
func (s *Store) do(ctx context.Context, op string, f func(ctx context.Context, c *pgx.Conn) error) error {
	if s.isClosing() {
		return store.Failure(store.ErrClosed, op, s.target, nil)
	}
	limited, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var last error
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := s.attempt(limited, f)
		switch {
		case err == nil:
			return nil
		case limited.Err() != nil && last != nil && lost(last):
			return s.explain(ctx, op, last)
		case !lost(err) && !conflicting(err):
			return s.explain(ctx, op, err)
		}
		last = err
		if !wait(limited, pause) {
			return s.explain(ctx, op, last)
		}
	}
}

// attempt runs f with one connection.
func (s *Store) attempt(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) error {
	c, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	err = f(ctx, c.Conn())
	if lost(err) {
		s.pool.Reset() // the others are likely to be dead as well
	}
	return err
}

// acquire takes a connection from the pool. Its errors are those of a lost
// connection, but when ctx has ended.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, fromConnect(err)
	}
	return c, err
}

// Pauses between attempts.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

// wait waits, and reports whether ctx has not ended meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
