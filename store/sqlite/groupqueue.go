package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// held returns the message of a receipt that is still good.
func (g *group) held(r store.Receipt) (*message, error) {
	m := g.s.mem.messages[r.ID]
	if m == nil || m.grant != r.Grant || m.staged {
		return nil, store.ReceiptLost("store.Commit", r)
	}
	return m, nil
}

// end stages that a message is done with.
func (g *group) end(m *message, answerType string, answer []byte) {
	m.staged = true
	g.undo = append(g.undo, undo{m: m})
	o := op{kind: opDone, m: m, when: g.now}
	if m.requestID != "" {
		o.text, o.bytes = answerType, append([]byte(nil), answer...)
		g.remember(requestKey{m.queue.name, m.requestID}, request{
			message: m.id, done: g.now, until: g.now + m.dedup, answerType: answerType, answer: o.bytes,
		})
	}
	g.buf = putDone(g.buf, m.id, g.now, o.text, o.bytes)
	g.record(o)
}

// remember stages what is known of a request.
func (g *group) remember(key requestKey, r request) {
	old, staged := g.requests[key]
	g.undo = append(g.undo, undo{f: func() {
		if staged {
			g.requests[key] = old
		} else {
			delete(g.requests, key)
		}
	}})
	g.requests[key] = r
}

// receipts stages what is to become of messages that were received.
func (g *group) receipts(b *store.Batch) error {
	if err := g.acks(b); err != nil {
		return err
	}
	if err := g.nacks(b); err != nil {
		return err
	}
	return g.buries(b)
}

func (g *group) acks(b *store.Batch) error {
	for i := range b.Acks {
		a := &b.Acks[i]
		m, err := g.held(a.Receipt)
		if err != nil {
			return err
		}
		g.end(m, a.AnswerType, a.Answer)
	}
	return nil
}

func (g *group) nacks(b *store.Batch) error {
	for i := range b.Nacks {
		n := &b.Nacks[i]
		m, err := g.held(n.Receipt)
		if err != nil {
			return err
		}
		o := op{kind: opNack, m: m, attempts: m.attempts, text: store.CleanText(n.Reason, store.ReasonBytes)}
		if n.Uncounted {
			o.attempts--
		}
		if n.Delay > 0 {
			o.until = g.now + ceilMilli(n.Delay)
		}
		m.staged = true
		g.undo = append(g.undo, undo{m: m})
		g.buf = putNack(g.buf, m.id, o.until, o.attempts, o.text)
		g.record(o)
	}
	return nil
}

// ceilMilli returns a duration in milliseconds, at least 1.
func ceilMilli(d time.Duration) int64 {
	return max(1, int64((d+time.Millisecond-1)/time.Millisecond))
}

func (g *group) buries(b *store.Batch) error {
	for i := range b.Buries {
		y := &b.Buries[i]
		m, err := g.held(y.Receipt)
		if err != nil {
			return err
		}
		e, err := g.envelope(m)
		if err != nil {
			return err
		}
		err = g.insertLetter(int64(m.id), &store.Letter{
			Queue: m.queue.name, Priority: m.priority, Key: m.key, Envelope: e,
			ErrorMessage: y.Reason, ErrorType: y.Code, RetryCount: max(0, int(m.attempts)-1), LastRetryAt: timeOf(g.now),
		}, 1)
		if err != nil {
			return err
		}
		g.end(m, "", nil)
	}
	return nil
}

// envelope returns the envelope of a message with its payload, wherever they are.
func (g *group) envelope(m *message) (store.Envelope, error) {
	return openBody(context.Background(), g.s.w, m.id, m.body, m.queue.sum)
}

func (g *group) puts(b *store.Batch, r *store.Result) error {
	if len(b.Puts) > 0 {
		r.Puts = make([]store.PutResult, 0, len(b.Puts))
	}
	for i := range b.Puts {
		p := &b.Puts[i]
		result, err := g.put(p)
		if err != nil {
			return err
		}
		r.Puts = append(r.Puts, result)
	}
	return nil
}

func (g *group) put(p *store.Put) (store.PutResult, error) {
	key := requestKey{p.Queue, p.RequestID}
	if p.Dedup > 0 {
		known, found, err := g.known(key)
		if err != nil {
			return store.PutResult{}, err
		}
		if found {
			return store.PutResult{ID: known.message, Duplicate: true, Answer: known.answerOf()}, nil
		}
	}
	q := g.s.tables.queue(p.Queue)
	if n := q.size() + q.staged; n >= g.s.limits.QueueMessages {
		return store.PutResult{}, store.Failure(store.ErrQueueFull, "store.Commit", "queue "+string(p.Queue), fmt.Errorf("it holds %d messages", n))
	}
	blob, err := g.blob(p.Data)
	if err != nil {
		return store.PutResult{}, err
	}
	m := &message{
		id: store.MessageID(g.nextID()), queue: q, key: p.Key, priority: p.Priority,
		time: g.now, blob: blob, size: len(p.Data),
	}
	if p.Delay > 0 {
		m.state, m.until = delayed, g.now+ceilMilli(p.Delay)
	}
	if p.Dedup > 0 {
		m.dedup, m.requestID = ceilMilli(p.Dedup), p.RequestID
		g.remember(key, request{message: m.id})
	}
	g.buf = putMessage(g.buf, m)
	g.scratch = putEnvelope(g.scratch[:0], q, &p.Envelope, blob)
	g.buf = putText(g.buf, g.scratch)
	m.body = g.buf[len(g.buf)-len(g.scratch) : len(g.buf) : len(g.buf)]
	q.staged++
	g.undo = append(g.undo, undo{queue: q})
	g.record(op{kind: opPut, m: m})
	return store.PutResult{ID: m.id}, nil
}

// known returns what is known of a request, with what is staged.
func (g *group) known(key requestKey) (request, bool, error) {
	r, found := g.requests[key]
	if !found {
		r, found = g.s.mem.requests[key]
	}
	if !found {
		row, err := g.one("SELECT message, done, until, answer_type, answer, sum FROM requests WHERE queue = ? AND request_id = ?", string(key.queue), key.id)
		if err != nil || len(row) == 0 {
			return request{}, false, err
		}
		if r, err = requestOf(key, row); err != nil {
			return request{}, false, err
		}
	}
	return r, !r.expired(g.now), nil
}

// requestOf turns a row of table requests into a request.
func requestOf(key requestKey, row []driver.Value) (request, error) {
	r := request{
		message: store.MessageID(intOf(row[0])), done: intOf(row[1]), until: intOf(row[2]), answerType: textOf(row[3]), answer: bytesOf(row[4]),
	}
	if r.rowSum(key) != intOf(row[5]) {
		return r, damaged("store.Answer", "request "+key.id+" of queue "+string(key.queue), errSum)
	}
	return r, nil
}

// rowSum is the checksum of a request's row.
func (r request) rowSum(key requestKey) int64 {
	return rowSum(string(key.queue), key.id, int64(r.message), r.done, r.until, r.answerType, r.answer)
}

func (r request) answerOf() store.Answer {
	return store.Answer{
		Done: r.done != 0, Time: timeOf(r.done), Type: r.answerType,
		Data: append([]byte(nil), r.answer...),
	}
}
