package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/telemetry"
)

// Figures are read from the store when somebody asks, and not more often than
// figuresAge, nor so often that reading takes more than a twentieth of the time:
// to count a million letters is no trifle for a database.
const (
	figuresAge     = 500 * time.Millisecond
	figuresShare   = 20
	figuresTimeout = 10 * time.Second
)

// countedMax bounds the queues whose failures are counted one by one.
const countedMax = 10_000

// figures are what is known of a store at one moment, and what has happened on
// this node since its start.
type figures struct {
	changes atomic.Int64 // rises with each change of the dead letters that this node knows of

	retried, buried, failed atomic.Uint64

	mu       sync.Mutex
	pending  chan struct{} // closed when the store has been read; nil while nobody does
	latest   storeFigures
	err      error // why latest is older than it should be
	next     time.Time
	changing bool // something has changed since the reading under way began
	byQueue  map[store.Queue]*queueEvents
}

// storeFigures are what the store said.
type storeFigures struct {
	letters int64
	queues  []store.QueueInfo
	more    bool
	read    bool // false: none of it is known
}

// queueEvents counts what happened to the messages of a queue.
type queueEvents struct{ retried, buried, failed atomic.Uint64 }

// read returns the figures, new ones if it is time. It waits for them until ctx
// ends, and then returns those of before. An error comes with the last figures
// that could be read.
func (f *figures) read(ctx context.Context, s store.Store) (storeFigures, error) {
	f.mu.Lock()
	if f.pending == nil && !time.Now().Before(f.next) {
		f.pending, f.changing = make(chan struct{}), false
		// Whoever asked first may go while others wait; it is bounded by its own time.
		go f.refresh(context.WithoutCancel(ctx), s, f.pending)
	}
	pending := f.pending
	f.mu.Unlock()
	if pending != nil {
		select {
		case <-pending:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.latest.read && f.err == nil {
		return f.latest, ctx.Err()
	}
	return f.latest, f.err
}

// refresh reads the store once.
func (f *figures) refresh(ctx context.Context, s store.Store, done chan struct{}) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()
	read, err := readFigures(ctx, s)
	took := time.Since(begun)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		if read.letters != f.latest.letters {
			f.changes.Add(1)
		}
		f.latest = read
	}
	f.err, f.next, f.pending = err, time.Now().Add(max(figuresAge, figuresShare*took)), nil
	if f.changing { // and may not be in what was read
		f.next = time.Unix(1, 0)
	}
	close(done)
}

func readFigures(ctx context.Context, s store.Store) (read storeFigures, err error) {
	if read.letters, err = s.CountLetters(ctx, store.LetterFilter{}); err != nil {
		return read, err
	}
	read.queues, err = s.QueueStats(ctx, store.QueueFilter{Limit: console.QueuesShown + 1})
	if len(read.queues) > console.QueuesShown {
		read.queues, read.more = read.queues[:console.QueuesShown], true
	}
	read.read = err == nil
	return read, err
}

// changed has the figures read at the next occasion.
func (f *figures) changed() {
	f.changes.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changing = true
	if !f.next.IsZero() {
		f.next = time.Unix(1, 0)
	}
}

// of returns the counters of a queue; those of the queues beyond countedMax are
// counted together.
func (f *figures) of(q store.Queue) *queueEvents {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byQueue == nil {
		f.byQueue = map[store.Queue]*queueEvents{}
	}
	if e, ok := f.byQueue[q]; ok {
		return e
	}
	if len(f.byQueue) >= countedMax {
		q = ""
		if e, ok := f.byQueue[q]; ok {
			return e
		}
	}
	e := &queueEvents{}
	f.byQueue[q] = e
	return e
}

// add puts what happened on this node into a line of the overview.
func (f *figures) add(line *console.Queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.byQueue[line.Name]; e != nil {
		line.Retried, line.Buried, line.Failed = e.retried.Load(), e.buried.Load(), e.failed.Load()
	}
}

// hooks counts, and then calls next.
func (f *figures) hooks(next durable.Hooks) durable.Hooks {
	return durable.Hooks{
		Retried: func(q store.Queue, err *fault.Error) {
			f.retried.Add(1)
			f.of(q).retried.Add(1)
			if next.Retried != nil {
				next.Retried(q, err)
			}
		},
		Buried: func(q store.Queue, err *fault.Error) {
			f.buried.Add(1)
			f.of(q).buried.Add(1)
			f.changed()
			if next.Buried != nil {
				next.Buried(q, err)
			}
		},
		StoreFailed: func(q store.Queue, err error) {
			f.failed.Add(1)
			f.of(q).failed.Add(1)
			if next.StoreFailed != nil {
				next.StoreFailed(q, err)
			}
		},
	}
}

// Counts implements telemetry.MailSource.
func (m *Mail) Counts() telemetry.MailCounts {
	f := &m.figures
	return telemetry.MailCounts{Retried: f.retried.Load(), Buried: f.buried.Load(), StoreFailures: f.failed.Load()}
}

// DeadLetters implements telemetry.MailSource.
func (m *Mail) DeadLetters(ctx context.Context) (n int64, known bool) {
	latest, err := m.figures.read(ctx, m.store)
	return latest.letters, err == nil || latest.read
}
