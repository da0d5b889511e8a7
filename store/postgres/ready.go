package postgres

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/troupe-dev/troupe/store"
)

// A hub wakes those who wait in Ready: directly for what this Store does, by
// notifications for what others do, and by the clock for holds and delays. It
// connects when somebody waits for the first time, and asks the server nothing
// while nobody does.
type hub struct {
	s       *Store
	config  *pgx.ConnConfig
	channel string

	mu        sync.Mutex
	listening bool // what happens from now on will be told
	waiters   map[*waiter]bool
	due       time.Time // the earliest end of a hold or delay that is known
	interrupt func()    // makes the listener look at the above
	out       map[string]bool

	wake   chan struct{} // there is a waiter; has room for one
	outbox chan struct{} // there is something in out; has room for one
}

// A waiter is one loop over Ready.
type waiter struct {
	prefix store.Queue
	names  []store.Queue // to be yielded, each once
	signal chan struct{} // has room for one
}

// dueMargin is how long before its commit the due time of a message may have been
// computed. The poll finds what took longer.
const dueMargin = time.Second

func (h *hub) init(s *Store, config *pgx.ConnConfig) {
	*h = hub{
		s: s, config: config.Copy(), channel: fmt.Sprintf("troupe_%x", uint64(lockKey("migration "+s.options.Schema))), //nolint:gosec // a name
		waiters: map[*waiter]bool{}, out: map[string]bool{}, interrupt: func() {},
		wake: make(chan struct{}, 1), outbox: make(chan struct{}, 1),
	}
}

func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ready implements [store.Queues]. While the server is away it waits for it, but
// may end with [ErrUnavailable] at the beginning.
func (s *Store) Ready(ctx context.Context, prefix store.Queue) iter.Seq2[store.Queue, error] {
	return func(yield func(store.Queue, error) bool) {
		const op = "store.Ready"
		w := &waiter{prefix: prefix, signal: make(chan struct{}, 1)}
		look := s.hub.add(w)
		defer s.hub.remove(w)
		if look {
			names, err := s.readyNow(ctx, prefix)
			if err != nil {
				yield("", err)
				return
			}
			s.hub.offer(w, names)
		}
		for {
			for name, ok := s.hub.next(w); ok; name, ok = s.hub.next(w) {
				if !yield(name, nil) {
					return
				}
			}
			select {
			case <-w.signal:
			case <-ctx.Done():
				yield("", ctx.Err())
				return
			case <-s.closing:
				yield("", store.Failure(store.ErrClosed, op, s.target, nil))
				return
			}
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
		}
	}
}

// readyNow returns the queues that have messages to receive: by hopping through
// the index from one queue to the next, and those whose holds are over.
func (s *Store) readyNow(ctx context.Context, prefix store.Queue) ([]store.Queue, error) {
	return list(ctx, s, "store.Ready", func(rows pgx.Rows) (q store.Queue, err error) {
		err = rows.Scan(&q)
		return q, err
	}, `WITH RECURSIVE hop AS (
			(SELECT queue FROM message WHERE due = 0 AND queue >= $1 AND ($2 = '' OR queue < $2) ORDER BY queue LIMIT 1)
			UNION ALL
			SELECT (SELECT m.queue FROM message m WHERE m.due = 0 AND m.queue > hop.queue AND ($2 = '' OR m.queue < $2) ORDER BY m.queue LIMIT 1)
			FROM hop WHERE hop.queue IS NOT NULL
		)
		SELECT queue FROM hop WHERE queue IS NOT NULL
		UNION SELECT queue FROM message WHERE due > 0 AND due <= `+nowOnce+` AND queue >= $1 AND ($2 = '' OR queue < $2)
		ORDER BY queue`, string(prefix), behind(string(prefix)))
}

// add adds a waiter and reports whether it must look for itself for what is there
// already. Otherwise the hub will, once it listens.
func (h *hub) add(w *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiters[w] = true
	h.interrupt()
	ring(h.wake)
	return h.listening
}

func (h *hub) setListening(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = yes
}

func (h *hub) remove(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiters, w)
}

// offer gives names to a waiter, or to all if it is nil.
func (h *hub) offer(to *waiter, names []store.Queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.waiters {
		if to != nil && w != to {
			continue
		}
		for _, name := range names {
			if strings.HasPrefix(string(name), string(w.prefix)) && !slices.Contains(w.names, name) {
				w.names = append(w.names, name)
				ring(w.signal)
			}
		}
	}
}

func (h *hub) next(w *waiter) (store.Queue, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(w.names) == 0 {
		return "", false
	}
	name := w.names[0]
	w.names = w.names[1:]
	return name, true
}

// dueIn tells that a hold or delay ends after d.
func (h *hub) dueIn(d time.Duration) {
	at := time.Now().Add(d + time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.due.IsZero() || at.Before(h.due) {
		h.due = at
		h.interrupt()
	}
}

// committed tells of what a group has made ready, here and to other processes.
func (h *hub) committed(p *plan) {
	ready, first := map[store.Queue]bool{}, int64(0)
	note := func(q store.Queue, due int64) {
		if due == 0 {
			ready[q] = true
		} else if first == 0 || due < first {
			first = due
		}
	}
	for _, m := range p.puts {
		note(m.Queue, m.due)
	}
	for _, m := range p.messages {
		if m.nacked {
			note(m.queue, m.due)
		}
		if m.key != "" && (m.done || m.nacked) {
			note(m.queue, 0) // the next one of the key may be received now
		}
	}
	if len(ready) == 0 && first == 0 {
		return
	}
	h.offer(nil, slices.Sorted(maps.Keys(ready)))
	if first > 0 {
		h.dueIn(time.Duration(first-p.now) * time.Millisecond)
	}
	h.mu.Lock()
	for q := range ready {
		h.out["r"+string(q)] = true
	}
	if first > 0 {
		h.out["d"] = true
	}
	h.mu.Unlock()
	ring(h.outbox)
}

// tell sends notifications, those that have come together meanwhile as one
// transaction. They are not part of the commits, which would have to wait for
// one another: PostgreSQL commits notifications one by one.
func (h *hub) tell() {
	for {
		select {
		case <-h.outbox:
		case <-h.s.ctx.Done():
			return
		}
		h.mu.Lock()
		out := h.out
		h.out = map[string]bool{}
		h.mu.Unlock()
		payloads := make([]string, 0, len(out))
		for text := range out {
			payloads = append(payloads, h.s.id+text)
		}
		ctx, cancel := context.WithTimeout(h.s.ctx, h.s.options.Timeout)
		// Lost with the connection, if it is: the poll of the others is the net.
		_ = h.s.attempt(ctx, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "SELECT pg_notify($1, p), "+unsynced+" FROM unnest($2::text[]) AS p", h.channel, payloads)
			return err
		})
		cancel()
	}
}

// listen keeps a connection for notifications from the first waiter on.
func (h *hub) listen() {
	ctx := h.s.ctx
	select {
	case <-h.wake:
	case <-ctx.Done():
		return
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		limited, cancel := context.WithTimeout(ctx, h.s.options.Timeout)
		c, err := pgx.ConnectConfig(limited, h.config)
		if err == nil {
			_, err = c.Exec(limited, "LISTEN "+pgx.Identifier{h.channel}.Sanitize())
		}
		cancel()
		if err == nil {
			pause = firstPause
			h.serve(ctx, c)
		}
		if c != nil {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = c.Close(closing) // it is lost, or not needed any more
			cancel()
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

// serve wakes waiters until the connection is lost or ctx ends.
func (h *hub) serve(ctx context.Context, c *pgx.Conn) {
	h.setListening(true)
	defer h.setListening(false)
	var seen int64     // the server's clock when dues were looked at
	poll := time.Now() // at once: notifications were lost while there was no connection
	for {
		if h.waiting() && !time.Now().Before(poll) {
			names, err := h.s.readyNow(ctx, "")
			if err != nil {
				return
			}
			h.offer(nil, names)
			poll = time.Now().Add(h.s.options.PollInterval)
			h.dueIn(0) // others may have begun to hold messages
		}
		if h.isDue() {
			if err := h.expire(ctx, &seen); err != nil {
				return
			}
		}
		n, err := h.await(ctx, c, poll)
		switch {
		case ctx.Err() != nil || c.IsClosed():
			return
		case err != nil || n == nil || strings.HasPrefix(n.Payload, h.s.id):
			continue // it was the clock, or our own
		}
		if _, text, ok := cutID(n.Payload, len(h.s.id)); ok && text == "d" {
			h.dueIn(0)
		} else if ok {
			h.offer(nil, []store.Queue{store.Queue(text[1:])})
		}
	}
}

func cutID(payload string, n int) (id, text string, ok bool) {
	if len(payload) < n+1 {
		return "", "", false
	}
	return payload[:n], payload[n:], true
}

func (h *hub) waiting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiters) > 0
}

func (h *hub) isDue() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiters) > 0 && !h.due.IsZero() && !time.Now().Before(h.due)
}

// expire offers the queues in which a hold or delay has ended since it looked
// last, and notes when the next one ends.
func (h *hub) expire(ctx context.Context, seen *int64) error {
	h.mu.Lock()
	h.due = time.Time{}
	h.mu.Unlock()
	var now int64
	var next *int64
	var names []store.Queue
	err := h.s.do(ctx, "store.Ready", func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `WITH clock AS MATERIALIZED (SELECT `+nowMs+` AS now)
			SELECT now, (SELECT min(due) FROM message WHERE due > 0 AND due > (SELECT now FROM clock)),
				ARRAY(SELECT DISTINCT queue FROM message WHERE due > 0 AND due > $1 AND due <= (SELECT now FROM clock))
			FROM clock`, *seen-dueMargin.Milliseconds()).Scan(&now, &next, &names)
	})
	if err != nil {
		return err
	}
	*seen = now
	h.offer(nil, names)
	if next != nil {
		h.dueIn(time.Duration(*next-now) * time.Millisecond)
	}
	return nil
}

// await waits for a notification, until something is due, or until somebody calls
// interrupt.
func (h *hub) await(ctx context.Context, c *pgx.Conn, poll time.Time) (*pgconn.Notification, error) {
	h.mu.Lock()
	var limited context.Context
	var cancel context.CancelFunc
	if len(h.waiters) == 0 {
		limited, cancel = context.WithCancel(ctx)
	} else {
		if !h.due.IsZero() && h.due.Before(poll) {
			poll = h.due
		}
		limited, cancel = context.WithDeadline(ctx, poll)
	}
	h.interrupt = cancel
	h.mu.Unlock()
	defer cancel()
	return c.WaitForNotification(limited)
}
