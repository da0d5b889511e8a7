package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// receiveBytes bounds the payloads that one call hands out.
const receiveBytes = 32 << 20

// A receive is a call of Receive on its way through the writer.
type receive struct {
	request store.ReceiveRequest
	taken   []*message
	out     []store.Message // without envelopes
	bodies  [][]byte        // nil for those that are in the table
	tables  bool            // some envelopes or payloads are in tables
	sum     uint32
}

// Receive implements [store.Queues].
func (s *Store) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	const op = "store.Receive"
	r, err := r.Normal(s.limits)
	if err != nil {
		return nil, err
	}
	if !s.hasReady(r.Queue) {
		return nil, s.checkOpen(op)
	}
	j := s.newJob()
	defer s.free(j)
	rec := &receive{request: r}
	j.receive = rec
	if err := s.submit(ctx, j); err != nil {
		return nil, explain(op, s.path, err)
	}
	return s.fill(ctx, rec)
}

// hasReady spares the writer a call that would return nothing.
func (s *Store) hasReady(name store.Queue) bool {
	s.mem.mu.RLock()
	defer s.mem.mu.RUnlock()
	q := s.mem.queues[name]
	return q != nil && q.count[ready] > 0
}

// grant hands out messages to those who asked. That a message was received, and
// so its attempts, survives a crash of the process; it is not worth a sync.
func (s *Store) grant(all []*job) {
	now := s.now()
	var records []byte
	n := 0
	s.mem.mu.Lock()
	for _, j := range all {
		r := j.receive
		q := s.mem.queues[r.request.Queue]
		if q == nil {
			continue
		}
		if r.taken = q.take(r.request.Max, receiveBytes, r.request.Ordered); len(r.taken) > 0 {
			records = s.hold(records, q, r, now+ceilMilli(r.request.Hold))
			n++
		}
	}
	s.mem.mu.Unlock()
	var err error
	if n > 0 {
		err = s.writeGrants(records, n)
	}
	if err != nil {
		s.mem.mu.Lock()
		for _, j := range all {
			for _, m := range j.receive.taken {
				s.mem.putBack(m)
			}
		}
		s.mem.mu.Unlock()
	}
	for _, j := range all {
		if len(j.receive.taken) > 0 {
			j.err = err
		}
		j.done <- struct{}{}
	}
}

func (s *Store) writeGrants(records []byte, n int) error {
	g := s.newGroup()
	err := s.transaction(g, true, func() error {
		g.buf = append(g.buf, records...)
		g.records = n
		return nil
	})
	if err == nil {
		s.publish(g)
	}
	return err
}

// hold hands messages of a queue to a call, and appends the record of it.
func (s *Store) hold(records []byte, q *queue, r *receive, until int64) []byte {
	grant := s.mem.nextGrant
	s.mem.nextGrant++
	r.sum = q.sum
	r.out = make([]store.Message, 0, len(r.taken))
	r.bodies = make([][]byte, 0, len(r.taken))
	for _, m := range r.taken {
		s.mem.hold(m, r.request.Owner, grant, until)
		out := m.public()
		out.Receipt = store.Receipt{ID: m.id, Grant: grant}
		r.out = append(r.out, out)
		r.bodies = append(r.bodies, m.body)
		r.tables = r.tables || m.body == nil || m.blob != 0
	}
	return putGrant(records, grant, r.taken)
}

// public returns what the memory knows of a message.
func (m *message) public() store.Message {
	return store.Message{
		ID: m.id, Queue: m.queue.name, Priority: m.priority, Key: m.key, Time: timeOf(m.time),
		Attempts: int(m.attempts), Owner: m.owner, Until: timeOf(m.until), LastError: m.lastError,
	}
}

// fill reads the envelopes of what was received, in the caller's goroutine. When
// that fails everything is given back. A damaged message is left out and stays
// held for a day; when there is no other, the damage is the error.
func (s *Store) fill(ctx context.Context, r *receive) ([]store.Message, error) {
	if len(r.out) == 0 {
		return nil, nil
	}
	const op = "store.Receive"
	out := make([]store.Message, 0, len(r.out))
	var bad error
	open := func(c *conn) error {
		for i, m := range r.out {
			e, err := openBody(ctx, c, m.ID, r.bodies[i], r.sum)
			switch failed := (*sqlFailure)(nil); {
			case err == nil:
				m.Envelope = e
				out = append(out, m)
			case errors.As(err, &failed):
				return err
			default:
				bad = damaged(op, fmt.Sprintf("message %d of queue %s", m.ID, m.Queue), err)
				s.setAside(ctx, m, bad)
			}
		}
		return nil
	}
	var err error
	if r.tables {
		err = s.read(ctx, op, open)
	} else {
		err = open(nil)
	}
	if err != nil {
		s.giveBack(r.out)
		return nil, explain(op, s.path, err)
	}
	if len(out) == 0 {
		return nil, bad
	}
	return out, nil
}

// giveBack gives messages back that their receiver will not see.
func (s *Store) giveBack(all []store.Message) {
	var b store.Batch
	for _, m := range all {
		b.Nacks = append(b.Nacks, store.Nack{Receipt: m.Receipt, Uncounted: true})
	}
	if _, err := s.Commit(context.Background(), &b); err != nil {
		s.log.Warn("store: messages could not be given back and come again when their hold is over",
			"path", s.path, "messages", len(all), "error", err.Error())
	}
}

// setAside keeps a damaged message from being handed out again and again.
func (s *Store) setAside(ctx context.Context, m store.Message, why error) {
	s.stats.damaged.Add(1)
	s.log.ErrorContext(ctx, "store: a message is damaged and set aside", "path", s.path,
		"message", int64(m.ID), "queue", string(m.Queue), "error", why.Error())
	_ = s.extend(24*time.Hour, []store.Receipt{m.Receipt}) // if it is gone, so much the better
}

// Extend implements [store.Queues].
func (s *Store) Extend(ctx context.Context, d time.Duration, receipts ...store.Receipt) error {
	const op = "store.Extend"
	if err := store.CheckHold(op, d); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.checkOpen(op); err != nil {
		return err
	}
	return s.extend(d, receipts)
}

// extend holds messages longer. That is in memory only: after a crash nobody
// holds anything.
func (s *Store) extend(d time.Duration, receipts []store.Receipt) error {
	until := s.now() + ceilMilli(d)
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	for _, r := range receipts {
		if m := s.mem.messages[r.ID]; m == nil || m.grant != r.Grant {
			return store.ReceiptLost("store.Extend", r)
		}
	}
	for _, r := range receipts {
		m := s.mem.messages[r.ID]
		m.until = until
		if m.state != held {
			m.queue.move(m, held) // its time had run out, and nobody noticed
		}
		s.mem.await(m)
	}
	return nil
}

// checkOpen returns ErrClosed when the store is closed.
func (s *Store) checkOpen(op string) error {
	select {
	case <-s.closing:
		return store.Failure(store.ErrClosed, op, s.path, nil)
	default:
		return nil
	}
}
