package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

// Messages implements [store.Queues].
func (s *Store) Messages(ctx context.Context, f store.MessageFilter) ([]store.Message, error) {
	const op = "store.Messages"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	if err := store.CheckName(op, "queue", string(f.Queue), s.limits); err != nil {
		return nil, err
	}
	r := s.listMessages(f, limit)
	out := make([]store.Message, 0, len(r.out))
	err = s.read(ctx, op, func(c *conn) error {
		for i, m := range r.out {
			e, err := openBody(ctx, c, m.ID, r.bodies[i], r.sum)
			switch failed := (*sqlFailure)(nil); {
			case err == nil:
				m.Envelope = e
				out = append(out, m)
			case errors.As(err, &failed):
				return err
			case !errors.Is(err, errGone):
				m.LastError = "damaged: " + err.Error()
				out = append(out, m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// listMessages returns what memory has of the messages of a queue.
func (s *Store) listMessages(f store.MessageFilter, limit int) *receive {
	r := &receive{}
	s.mem.mu.RLock()
	defer s.mem.mu.RUnlock()
	q := s.mem.queues[f.Queue]
	if q == nil {
		return r
	}
	r.sum = q.sum
	m := q.oldest
	if last := s.mem.messages[f.After]; last != nil && last.queue == q {
		m = last.next
	}
	for ; m != nil && len(r.out) < limit; m = m.next {
		if m.id > f.After {
			r.out = append(r.out, m.public())
			r.bodies = append(r.bodies, m.body)
		}
	}
	return r
}

// QueueStats implements [store.Queues].
func (s *Store) QueueStats(_ context.Context, f store.QueueFilter) ([]store.QueueInfo, error) {
	const op = "store.QueueStats"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	if err := s.checkOpen(op); err != nil {
		return nil, err
	}
	all := map[store.Queue]store.QueueInfo{}
	s.mem.mu.RLock()
	for name, q := range s.mem.queues {
		if name > f.After && strings.HasPrefix(string(name), string(f.Prefix)) && q.oldest != nil {
			all[name] = store.QueueInfo{
				Queue: name, Ready: q.count[ready], Held: q.count[held], Delayed: q.count[delayed], Oldest: timeOf(q.oldest.time),
			}
		}
	}
	s.mem.mu.RUnlock()
	names := slices.Sorted(maps.Keys(all))
	var out []store.QueueInfo
	for _, name := range names[:min(limit, len(names))] {
		out = append(out, all[name])
	}
	return out, nil
}

// Answer implements [store.Queues].
func (s *Store) Answer(ctx context.Context, q store.Queue, requestID string) (store.Answer, error) {
	const op = "store.Answer"
	if err := s.checkOpen(op); err != nil {
		return store.Answer{}, err
	}
	key := requestKey{q, requestID}
	s.mem.mu.RLock()
	r, found := s.mem.requests[key]
	s.mem.mu.RUnlock()
	if !found {
		err := s.read(ctx, op, func(c *conn) error {
			const sql = "SELECT message, done, until, answer_type, answer, sum FROM requests WHERE queue = ? AND request_id = ?"
			return c.query(ctx, sql, []driver.Value{string(q), requestID}, func(row []driver.Value) (err error) {
				found = true
				r, err = requestOf(key, row)
				return err
			})
		})
		if err != nil {
			return store.Answer{}, err
		}
	}
	if !found || r.expired(s.now()) {
		return store.Answer{}, store.Failure(store.ErrNoRequest, op, "request "+requestID+" of queue "+string(q), nil)
	}
	return r.answerOf(), nil
}
