package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

// nowMs is the server's clock in milliseconds.
const nowMs = "(extract(epoch from clock_timestamp()) * 1000)::bigint"

// A loader collects what a group depends on. Keys are sorted, so that
// transactions lock rows in the same order.
type loader struct {
	leases, raised map[store.LeaseName]bool
	streams        map[store.Stream]bool // to be locked; others are checked when they are written
	careful        bool                  // lock all of them, and acknowledged messages
	cursors        map[cursorKey]bool
	entries        map[string]bool
	messages       map[int64]bool
	acked          map[int64]int64 // messages with their receipts, and nothing else to be done with them
	letters        map[int64]bool
	requests       map[requestKey]bool
	queues         map[store.Queue]bool
	ids            int

	batch pgx.Batch
	scans []func(pgx.Rows) error
}

// load begins a transaction and reads and locks what the batches of a group
// depend on, in one round trip. Streams to which events are appended are locked
// only if careful: most often nobody else appends to them, and if somebody does
// the write finds out. Messages that are acknowledged are deleted at once, which
// tells what they were, unless careful: a batch is seldom refused, and if one is
// the transaction is begun anew.
func (w *writer) load(ctx context.Context, c *pgx.Conn, group []*job, careful bool) (*plan, error) {
	l := loader{
		careful: careful,
		leases:  map[store.LeaseName]bool{}, raised: map[store.LeaseName]bool{}, streams: map[store.Stream]bool{},
		cursors: map[cursorKey]bool{}, entries: map[string]bool{}, messages: map[int64]bool{}, acked: map[int64]int64{},
		letters: map[int64]bool{}, requests: map[requestKey]bool{}, queues: map[store.Queue]bool{},
	}
	for _, j := range group {
		l.collect(j.batch)
	}
	p := &plan{
		limits: w.s.limits, shard: w.shard,
		leases: map[store.LeaseName]*leaseRow{}, streams: map[store.Stream]*streamRow{},
		cursors: map[cursorKey]*cursorRow{}, entries: map[string]*entryRow{},
		messages: map[store.MessageID]*messageRow{}, letters: map[store.LetterID]*letterRow{},
		requests: map[requestKey]*requestRow{}, queues: map[store.Queue]*queueRow{},
	}
	l.query(nil, "BEGIN")
	l.query(nil, `INSERT INTO writer (id, seq, seen) VALUES ($1, $2, now())
		ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, seen = excluded.seen`, w.id, w.seq)
	l.journal(p)
	l.queueing(p)
	// Last, so that the clock is read when all locks are held.
	l.query(func(r pgx.Rows) error { return r.Scan(&p.now) }, "SELECT "+nowMs)
	return p, l.run(ctx, c)
}

// query adds a statement whose rows scan reads.
func (l *loader) query(scan func(pgx.Rows) error, sql string, args ...any) {
	l.batch.Queue(sql, args...)
	l.scans = append(l.scans, scan)
}

func (l *loader) run(ctx context.Context, c *pgx.Conn) error {
	results := c.SendBatch(ctx, &l.batch)
	for _, scan := range l.scans {
		rows, err := results.Query()
		if err != nil {
			_ = results.Close() // the first error is the one that counts
			return err
		}
		for rows.Next() {
			if err := scan(rows); err != nil {
				rows.Close()
				_ = results.Close() // as above
				return err
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			_ = results.Close() // as above
			return err
		}
	}
	return results.Close()
}

func (l *loader) collect(b *store.Batch) {
	if b.Fence.Lease != "" {
		l.leases[b.Fence.Lease] = true
		if b.Fence.Raise {
			l.raised[b.Fence.Lease] = true
		}
	}
	for i := range b.Appends {
		l.stream(b.Appends[i].Stream, len(b.Appends[i].Events) == 0)
	}
	for i := range b.Snapshots {
		l.stream(b.Snapshots[i].Stream, true)
	}
	for i := range b.Trims {
		l.stream(b.Trims[i].Stream, true)
	}
	for i := range b.Cursors {
		l.cursors[cursorKey{b.Cursors[i].Scope, b.Cursors[i].Producer}] = true
	}
	for i := range b.Sets {
		l.entries[b.Sets[i].Key] = true
	}
	for i := range b.Acks {
		l.ack(b.Acks[i].Receipt)
	}
	for i := range b.Nacks {
		l.messages[int64(b.Nacks[i].Receipt.ID)] = true
	}
	for i := range b.Buries {
		l.messages[int64(b.Buries[i].Receipt.ID)] = true
	}
	for i := range b.LetterDeletes {
		l.letters[int64(b.LetterDeletes[i].ID)] = true
	}
	for i := range b.LetterEdits {
		l.letters[int64(b.LetterEdits[i].ID)] = true
	}
	l.ids += len(b.LetterAdds) + len(b.Puts)
	for i := range b.Puts {
		l.queues[b.Puts[i].Queue] = true
		if b.Puts[i].Dedup > 0 {
			l.requests[requestKey{b.Puts[i].Queue, b.Puts[i].RequestID}] = true
		}
	}
}

// journal queries leases, streams, cursors and entries.
func (l *loader) journal(p *plan) {
	if len(l.raised) > 0 {
		// A row to lock, so that of two who raise the same name one waits.
		l.query(nil, `INSERT INTO lease (name, owner, epoch, until)
			SELECT k.name, '', 0, 0 FROM unnest($1::text[]) AS k (name)
			WHERE NOT EXISTS (SELECT FROM lease WHERE lease.name = k.name COLLATE "C") ON CONFLICT DO NOTHING`, texts(l.raised))
	}
	if len(l.leases) > 0 {
		lock := "SHARE"
		if len(l.raised) > 0 {
			lock = "UPDATE"
		}
		l.query(func(r pgx.Rows) error {
			var name store.LeaseName
			var lease leaseRow
			err := r.Scan(&name, &lease.owner, &lease.epoch)
			p.leases[name] = &lease
			return err
		}, "SELECT name, owner, epoch FROM lease WHERE name = ANY($1::text[]) ORDER BY name FOR "+lock, texts(l.leases))
	}
	l.streamRows(p)
	if len(l.cursors) > 0 {
		scopes, producers := pairs(l.cursors, func(k cursorKey) (string, string) { return k.scope, string(k.producer) })
		l.query(func(r pgx.Rows) error {
			var key cursorKey
			c := cursorRow{stored: true}
			err := r.Scan(&key.scope, &key.producer, &c.seq)
			p.cursors[key] = &c
			return err
		}, `SELECT c.scope, c.producer, c.seq FROM unnest($1::text[], $2::text[]) AS k (scope, producer)
			JOIN cursor c ON c.scope = k.scope COLLATE "C" AND c.producer = k.producer COLLATE "C"
			ORDER BY 1, 2 FOR UPDATE OF c`, scopes, producers)
	}
	if len(l.entries) > 0 {
		l.query(func(r pgx.Rows) error {
			var key string
			e := entryRow{stored: true}
			err := r.Scan(&key, &e.version)
			p.entries[key] = &e
			return err
		}, "SELECT key, version FROM entry WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE", texts(l.entries))
	}
}

// ack notes that a message is acknowledged.
func (l *loader) ack(r store.Receipt) {
	id := int64(r.ID)
	if grant, twice := l.acked[id]; twice && grant != r.Grant || l.careful {
		l.messages[id] = true // one of them is wrong
		return
	}
	l.acked[id] = r.Grant
}

// stream notes that a stream is needed, and whether it must be locked.
func (l *loader) stream(name store.Stream, lock bool) {
	l.streams[name] = l.streams[name] || lock || l.careful
}

func (l *loader) streamRows(p *plan) {
	var locked, free []string
	for name, lock := range l.streams {
		if lock {
			locked = append(locked, string(name))
		} else {
			free = append(free, string(name))
		}
	}
	scan := func(r pgx.Rows) error {
		var name store.Stream
		s := streamRow{stored: true}
		err := r.Scan(&name, &s.first, &s.head)
		s.storedFirst, s.storedHead = s.first, s.head
		p.streams[name] = &s
		return err
	}
	const sql = "SELECT name, first, head FROM stream WHERE name = ANY($1::text[])"
	if len(locked) > 0 {
		slices.Sort(locked)
		l.query(scan, sql+" ORDER BY name FOR UPDATE", locked)
	}
	if len(free) > 0 {
		l.query(scan, sql, free)
	}
}

// queueing queries messages, letters, requests, queues and new numbers.
func (l *loader) queueing(p *plan) {
	l.messageRows(p)
	if len(l.letters) > 0 {
		l.query(func(r pgx.Rows) error {
			var id store.LetterID
			row := letterRow{written: true}
			err := r.Scan(&id, &row.version)
			p.letters[id] = &row
			return err
		}, "SELECT id, version FROM dead_letter_queue WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", slices.Sorted(maps.Keys(l.letters)))
	}
	if len(l.requests) > 0 {
		queues, ids := pairs(l.requests, func(k requestKey) (string, string) { return string(k.queue), k.id })
		l.query(func(r pgx.Rows) error {
			var key requestKey
			var sum int64
			row := requestRow{stored: true}
			err := r.Scan(&key.queue, &key.id, &row.message, &row.done, &row.until, &row.answerType, &row.answer, &sum)
			if err == nil {
				err = checkSum(sum, row.sum(key), "request "+key.id+" of queue "+string(key.queue))
			}
			p.requests[key] = &row
			return err
		}, `SELECT r.queue, r.request_id, r.message, r.done, r.until, r.answer_type, r.answer, r.sum
			FROM unnest($1::text[], $2::text[]) AS k (queue, id)
			JOIN request r ON r.queue = k.queue COLLATE "C" AND r.request_id = k.id COLLATE "C"
			ORDER BY 1, 2 FOR UPDATE OF r`, queues, ids)
	}
	if len(l.queues) > 0 {
		l.query(func(r pgx.Rows) error {
			var name store.Queue
			var q queueRow
			err := r.Scan(&name, &q.size)
			p.queues[name] = &q
			return err
		}, "SELECT name, sum(size)::bigint FROM queue WHERE name = ANY($1::text[]) GROUP BY name", texts(l.queues))
	}
	if l.ids > 0 {
		l.query(func(r pgx.Rows) error {
			var id int64
			err := r.Scan(&id)
			p.ids = append(p.ids, id)
			return err
		}, "SELECT nextval('message_id') FROM generate_series(1, $1::int)", l.ids)
	}
}

// messageRows queries messages, and deletes those that are only acknowledged. Of
// two messages neither can have the other's receipt: a receipt is of one call that
// received both, before this transaction began.
func (l *loader) messageRows(p *plan) {
	maps.DeleteFunc(l.acked, func(id, _ int64) bool { return l.messages[id] })
	scan := func(gone bool) func(pgx.Rows) error {
		return func(r pgx.Rows) error {
			var id store.MessageID
			m := messageRow{gone: gone}
			err := r.Scan(&id, &m.queue, &m.priority, &m.key, &m.receipt, &m.attempts, &m.dedup, &m.requestID)
			p.messages[id] = &m
			return err
		}
	}
	const columns = "id, queue, priority, sender_key, receipt, attempts, dedup, request_id"
	if len(l.acked) > 0 {
		grants := map[int64]bool{}
		for _, grant := range l.acked {
			grants[grant] = true
		}
		p.hasty = true
		l.query(scan(true), "DELETE FROM message WHERE id = ANY($1::bigint[]) AND receipt = ANY($2::bigint[]) RETURNING "+columns,
			slices.Sorted(maps.Keys(l.acked)), slices.Sorted(maps.Keys(grants)))
	}
	if len(l.messages) > 0 {
		l.query(scan(false), "SELECT "+columns+" FROM message WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE",
			slices.Sorted(maps.Keys(l.messages)))
	}
}

// texts returns the keys of a set in order.
func texts[T ~string](set map[T]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, string(k))
	}
	slices.Sort(out)
	return out
}

// pairs returns the keys of a set in order, as two columns.
func pairs[K comparable](set map[K]bool, split func(K) (string, string)) (a, b []string) {
	keys := slices.SortedFunc(maps.Keys(set), func(x, y K) int {
		x1, x2 := split(x)
		y1, y2 := split(y)
		return cmp.Or(cmp.Compare(x1, y1), cmp.Compare(x2, y2))
	})
	for _, k := range keys {
		x, y := split(k)
		a, b = append(a, x), append(b, y)
	}
	return a, b
}
