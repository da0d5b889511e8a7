package sqlite

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Options are the settings of a store. The zero value is good for one node.
type Options struct {
	// Limits are the sizes that are accepted; zero fields mean their defaults.
	Limits store.Limits
	// Readers is how many reads use the file at the same time; others wait.
	// Default 4, at most 64.
	Readers int
	// CacheBytes is SQLite's page cache for the writer; each reader has an eighth
	// of it. Default 16 MiB, at least 1 MiB.
	CacheBytes int
	// JournalBytes is how much is kept in the journal and in memory until it is
	// folded into the tables. More means fewer and longer folds, more memory, and
	// more to read when the store is opened. Default 8 MiB.
	JournalBytes int
	// Logger gets what no caller can be told: damage that was found, folds that
	// failed. Default: nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	if o.Readers <= 0 {
		o.Readers = 4
	}
	o.Readers = min(o.Readers, 64)
	if o.CacheBytes <= 0 {
		o.CacheBytes = 16 << 20
	}
	o.CacheBytes = max(o.CacheBytes, 1<<20)
	if o.JournalBytes <= 0 {
		o.JournalBytes = 8 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Store is an open file. It implements [store.Store], [store.Checker] and
// [store.Backuper].
type Store struct {
	path   string
	limits store.Limits
	log    *slog.Logger
	born   time.Time // with the monotonic clock, see now

	mem     *memory
	inbox   inbox
	jobs    sync.Pool // of *job
	readers chan *conn
	subs    subscribers
	stats   counters
	done    chan struct{} // the writer has ended
	closing chan struct{}
	close   sync.Once
	closed  error

	// The rest is the writer's own.
	w        *conn
	lock     *conn // holds the file beside, so that nobody else opens the store
	tables   *tables
	group    group
	leases   map[store.LeaseName]lease
	failed   error // nothing can be written any more until the store is opened again
	full     bool  // the last commit found no room
	relaxed  bool  // the connection does not sync
	savedID  int64 // the next number, as the file knows it
	bufHint  int   // how large the next journal row may become
	foldAt   int   // bytes of journal at which to fold
	foldNext int   // after a failed fold: bytes at which to try again
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Submitter = (*Store)(nil)
	_ store.Checker   = (*Store)(nil)
	_ store.Backuper  = (*Store)(nil)
)

// now is the time in milliseconds. It follows the monotonic clock since the store
// was opened, so that setting the system's clock neither extends nor ends what
// is held.
func (s *Store) now() int64 { return s.born.Add(time.Since(s.born)).UnixMilli() }

// Path returns the path of the file.
func (s *Store) Path() string { return s.path }

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if err := b.Validate(s.limits); err != nil {
		return store.Result{}, err
	}
	j := s.newJob()
	defer s.free(j)
	j.batch = b
	err := s.submit(ctx, j)
	return j.result, explain("store.Commit", s.path, err)
}

// Submit implements [store.Submitter].
func (s *Store) Submit(b *store.Batch) (wait func() (store.Result, error)) {
	err := b.Validate(s.limits)
	j := s.newJob()
	if err == nil {
		j.batch = b
		err = s.inbox.put(j)
	}
	return func() (store.Result, error) {
		defer s.free(j)
		if err == nil {
			<-j.done
			err = j.err
		}
		return j.result, explain("store.Commit", s.path, err)
	}
}

// change runs f as if it were a batch.
func (s *Store) change(ctx context.Context, op string, f func(*group) error) error {
	j := s.newJob()
	defer s.free(j)
	j.change = f
	return explain(op, s.path, s.submit(ctx, j))
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closing)
		s.inbox.close()
		<-s.done
		s.closed = s.release()
	})
	return s.closed
}

// A job is something that the writer is asked to do.
type job struct {
	batch   *store.Batch
	change  func(*group) error
	receive *receive

	result store.Result
	err    error
	state  atomic.Int32
	done   chan struct{} // gets one value when the job is done
}

// States of a job.
const (
	jobWaiting int32 = iota
	jobTaken
	jobAbandoned
)

// newJob returns a job to fill in. The pool is the store's own, because channels
// made on virtual time cannot be used elsewhere.
func (s *Store) newJob() *job {
	if j, reused := s.jobs.Get().(*job); reused {
		return j
	}
	return &job{done: make(chan struct{}, 1)}
}

// free gives a job back, unless the writer still has it.
func (s *Store) free(j *job) {
	if j.state.Load() == jobAbandoned {
		return
	}
	j.batch, j.change, j.receive, j.result, j.err = nil, nil, nil, store.Result{}, nil
	j.state.Store(jobWaiting)
	s.jobs.Put(j)
}

// submit hands a job to the writer and waits until it is done. When ctx ends
// first, the job is withdrawn if the writer has not taken it.
func (s *Store) submit(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.inbox.put(j); err != nil {
		return err
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	}
	if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
		return ctx.Err()
	}
	<-j.done
	return j.err
}

// An inbox is the jobs that wait for the writer.
type inbox struct {
	mu     sync.Mutex
	jobs   []*job
	closed bool
	wake   chan struct{} // has room for one
}

func (in *inbox) put(j *job) error {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return store.ErrClosed
	}
	in.jobs = append(in.jobs, j)
	first := len(in.jobs) == 1
	in.mu.Unlock()
	if first {
		in.ring()
	}
	return nil
}

// ring wakes the writer.
func (in *inbox) ring() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.ring()
}

// take returns the jobs that wait, of which those that were abandoned are left
// out, and gives the inbox the slice of an earlier call to fill.
func (in *inbox) take(old []*job) (taken []*job, closed bool) {
	clear(old)
	in.mu.Lock()
	all := in.jobs
	in.jobs, closed = old[:0], in.closed
	in.mu.Unlock()
	taken = all[:0]
	for _, j := range all {
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			taken = append(taken, j)
		}
	}
	return taken, closed
}
