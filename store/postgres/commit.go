package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

// Sizes of the inbox and of a group.
const (
	inboxSize    = 4096
	groupBatches = 1024
	groupItems   = 10_000
	groupBytes   = 16 << 20
)

// A job is a batch that waits for a writer.
type job struct {
	batch  *store.Batch
	result store.Result
	err    error
	state  atomic.Int32
	done   chan struct{}
}

// States of a job. Whoever takes it out of waiting owns it.
const (
	jobWaiting int32 = iota
	jobTaken
	jobAbandoned
)

// Commit implements [store.Store]. It also fails with [ErrUnavailable], after
// which nothing was applied.
func (s *Store) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	const op = "store.Commit"
	if err := b.Validate(s.limits); err != nil {
		return store.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Result{}, err
	}
	closed := store.Failure(store.ErrClosed, op, s.target, nil)
	if s.isClosing() {
		return store.Result{}, closed
	}
	j := &job{batch: b, done: make(chan struct{})}
	select {
	case s.inbox <- j:
	case <-ctx.Done():
		return store.Result{}, ctx.Err()
	case <-s.closing:
		return store.Result{}, closed
	}
	select {
	case <-j.done:
		return j.result, j.err
	case <-s.stopped:
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return store.Result{}, closed
		}
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return store.Result{}, ctx.Err()
		}
	}
	<-j.done
	return j.result, j.err
}

// A writer commits groups. Its row in table writer has the number of its last
// transaction; the transaction holds the row's lock to its end.
type writer struct {
	s   *Store
	id  string
	seq int64
	// shard is its own of the rows of a queue, if there are not too many writers.
	shard int16
}

// queueShards is how many rows a queue has at most.
const queueShards = 8

// write is one writer, until the store is closed and the inbox empty.
func (s *Store) write() {
	w := &writer{s: s, id: rand.Text(), shard: int16(s.shards.Add(1) % queueShards)}
	var next *job // did not fit into the group before
	for {
		first := next
		if first == nil {
			select {
			case first = <-s.inbox:
			case <-s.closing:
				select {
				case first = <-s.inbox:
				default:
					w.retire()
					return
				}
			}
		}
		var group []*job
		if group, next = s.collect(first); len(group) > 0 {
			w.commit(group)
		}
	}
}

// collect returns a group of the jobs that wait now, beginning with first, and
// one that did not fit any more.
func (s *Store) collect(first *job) (group []*job, next *job) {
	items, bytes := 0, 0
	for j := first; ; {
		n, size := j.batch.Items(), sizeOf(j.batch)
		if len(group) > 0 && (items+n > groupItems || bytes+size > groupBytes) {
			return group, j
		}
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			group = append(group, j)
			items += n
			bytes += size
		}
		if len(group) == groupBatches {
			return group, nil
		}
		select {
		case j = <-s.inbox:
		default:
			return group, nil
		}
	}
}

func sizeOf(b *store.Batch) int {
	n := 0
	for i := range b.Appends {
		for k := range b.Appends[i].Events {
			n += len(b.Appends[i].Events[k].Data)
		}
	}
	for i := range b.Snapshots {
		n += len(b.Snapshots[i].Data)
	}
	for i := range b.Puts {
		n += len(b.Puts[i].Data)
	}
	for i := range b.LetterAdds {
		n += len(b.LetterAdds[i].Data)
	}
	for i := range b.LetterEdits {
		n += len(b.LetterEdits[i].Data)
	}
	return n
}

// commit finishes all jobs of a group. When the server refuses the group for a
// reason that may lie in one batch, each is tried alone.
func (w *writer) commit(group []*job) {
	p, err := w.try(group)
	if refused(err) && len(group) > 1 {
		for i := range group {
			w.commit(group[i : i+1])
		}
		return
	}
	if err != nil {
		err = w.s.explain(context.Background(), "store.Commit", err)
		for _, j := range group {
			j.result, j.err = store.Result{}, err
		}
	} else {
		w.s.hub.committed(p)
	}
	for _, j := range group {
		close(j.done)
	}
}

// try commits a group, again and again while nothing of it has been applied and
// there is time.
func (w *writer) try(group []*job) (*plan, error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.s.options.Timeout)
	defer cancel()
	var last error
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		p, err := w.once(ctx, group, conflicting(last))
		if errors.Is(err, errHasty) {
			p, err = w.once(ctx, group, true)
		}
		if err == nil || errors.Is(err, store.ErrOutcomeUnknown) || !lost(err) && !conflicting(err) && ctx.Err() == nil {
			return p, err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !wait(ctx, pause) {
			return nil, last
		}
	}
}

// errHasty is a transaction that was given up, as it had acknowledged messages of
// a batch that is refused.
var errHasty = errors.New("to be repeated with care")

// once makes one attempt. An error means that nothing was applied, but for
// [store.ErrOutcomeUnknown].
func (w *writer) once(ctx context.Context, group []*job, careful bool) (*plan, error) {
	c, err := w.s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	w.seq++
	p, err := w.load(ctx, c.Conn(), group, careful)
	if err != nil {
		w.rollback(ctx, c.Conn(), err)
		return nil, err
	}
	for _, j := range group {
		j.result, j.err = p.stage(j.batch)
		if j.err != nil && p.hasty && len(j.batch.Acks) > 0 {
			w.rollback(ctx, c.Conn(), nil)
			return nil, errHasty
		}
	}
	writes := p.writes()
	if writes.Len() == 0 {
		w.rollback(ctx, c.Conn(), nil)
		return p, nil
	}
	if err := send(ctx, c.Conn(), writes); err != nil {
		if refused(err) {
			w.rollback(ctx, c.Conn(), err)
			return nil, err
		}
		return p, w.resolve(err)
	}
	return p, nil
}

// send runs the statements of a transaction and its COMMIT in one round trip.
func send(ctx context.Context, c *pgx.Conn, b *pgx.Batch) error {
	b.Queue("COMMIT")
	results := c.SendBatch(ctx, b)
	for range b.Len() {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // the first error is the one that counts
			return err
		}
	}
	return results.Close()
}

// rollback ends a transaction so that the connection can be used again. It is
// dropped if that fails.
func (w *writer) rollback(ctx context.Context, c *pgx.Conn, cause error) {
	if lost(cause) {
		_ = c.Close(ctx)
		w.s.pool.Reset()
		return
	}
	if _, err := c.Exec(ctx, "ROLLBACK"); err != nil {
		_ = c.Close(ctx)
	}
}

// resolve finds out what became of a transaction whose COMMIT was sent: nil
// means that it was committed, a lost connection that it was not. To read the
// row of the writer means to wait for the end of the transaction, which
// holds its lock.
func (w *writer) resolve(cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.s.options.Timeout)
	defer cancel()
	w.s.pool.Reset()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		var seq int64
		err := w.s.attempt(ctx, func(ctx context.Context, c *pgx.Conn) error {
			err := c.QueryRow(ctx, "SELECT seq FROM writer WHERE id = $1 FOR UPDATE", w.id).Scan(&seq)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // it was the first, and was not committed
			}
			return err
		})
		switch {
		case err == nil && seq == w.seq:
			return nil
		case err == nil:
			return &notApplied{cause}
		}
		if !wait(ctx, pause) {
			return store.Failure(store.ErrOutcomeUnknown, "store.Commit", w.s.target, cause)
		}
	}
}

// notApplied is a lost connection after which it is known that the transaction
// is not there, so that it can be repeated.
type notApplied struct{ cause error }

func (e *notApplied) Error() string { return "connection lost, not committed: " + e.cause.Error() }

// retire removes the row of the writer, and those of writers that are long gone.
func (w *writer) retire() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.s.attempt(ctx, func(ctx context.Context, c *pgx.Conn) error { // a row that stays does no harm
		_, err := c.Exec(ctx, "DELETE FROM writer WHERE id = $1 OR seen < now() - interval '7 days'", w.id)
		return err
	})
}
