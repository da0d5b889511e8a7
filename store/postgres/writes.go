package postgres

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

// writes returns the statements that bring the database to where the plan is:
// one for each table and kind of change, with arrays of rows. Without any there
// is nothing to write.
func (p *plan) writes() *pgx.Batch {
	b := &pgx.Batch{}
	if !p.changed {
		return b
	}
	p.writeLeases(b)
	p.writeStreams(b)
	p.writeEvents(b)
	p.writeSnapshots(b)
	p.writeCursors(b)
	p.writeEntries(b)
	p.writeMessages(b)
	p.writeLetters(b)
	p.writeRequests(b)
	p.expireRequests(b)
	p.writePuts(b)
	p.writeQueues(b)
	return b
}

// sorted returns the keys of rows in order.
func sorted[K cmp.Ordered, T any](rows map[K]T) []K { return slices.Sorted(maps.Keys(rows)) }

// some returns b, not nil: nil would be NULL.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (p *plan) writeLeases(b *pgx.Batch) {
	var names []string
	var epochs []int64
	for _, name := range sorted(p.leases) {
		if l := p.leases[name]; l.changed {
			names, epochs = append(names, string(name)), append(epochs, int64(l.epoch))
		}
	}
	if len(names) > 0 {
		b.Queue(`UPDATE lease SET owner = '', epoch = k.epoch, until = 0
			FROM unnest($1::text[], $2::bigint[]) AS k (name, epoch) WHERE lease.name = k.name COLLATE "C"`, names, epochs)
	}
}

func (p *plan) writeStreams(b *pgx.Batch) {
	type set struct {
		names                   []string
		first, head             []int64
		storedFirst, storedHead []int64
	}
	var inserts, updates set
	var deletes, trimmed, snapless []string
	var through []int64
	for _, name := range sorted(p.streams) {
		s := p.streams[name]
		if s.trim > 0 && s.stored {
			trimmed, through = append(trimmed, string(name)), append(through, int64(s.trim))
		}
		if s.dropSnapshot && s.stored {
			snapless = append(snapless, string(name))
		}
		var to *set
		switch {
		case !s.changed:
			continue
		case s.head == store.NoStream && s.stored:
			deletes = append(deletes, string(name))
			continue
		case s.head == store.NoStream:
			continue
		case s.stored:
			to = &updates
		default:
			to = &inserts
		}
		to.names = append(to.names, string(name))
		to.first, to.head = append(to.first, int64(s.first)), append(to.head, int64(s.head))
		to.storedFirst, to.storedHead = append(to.storedFirst, int64(s.storedFirst)), append(to.storedHead, int64(s.storedHead))
	}
	if len(inserts.names) > 0 {
		b.Queue("INSERT INTO stream (name, first, head) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])",
			inserts.names, inserts.first, inserts.head)
	}
	if len(updates.names) > 0 {
		// One that is not as it was loaded ends the transaction with an error.
		b.Queue(`WITH updated AS (
				UPDATE stream SET first = k.first, head = k.head
				FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (name, first, head, stored_first, stored_head)
				WHERE stream.name = k.name COLLATE "C" AND stream.head = k.stored_head AND stream.first = k.stored_first RETURNING 1
			) SELECT 1 / (CASE WHEN count(*) = $6 THEN 1 ELSE 0 END) FROM updated`,
			updates.names, updates.first, updates.head, updates.storedFirst, updates.storedHead, len(updates.names))
	}
	if len(deletes) > 0 {
		b.Queue("DELETE FROM stream WHERE name = ANY($1::text[])", deletes)
	}
	if len(trimmed) > 0 {
		b.Queue(`DELETE FROM event USING unnest($1::text[], $2::bigint[]) AS k (name, through)
			WHERE event.stream = k.name COLLATE "C" AND event.position <= k.through`, trimmed, through)
	}
	if len(snapless) > 0 {
		b.Queue("DELETE FROM snapshot WHERE stream = ANY($1::text[])", snapless)
	}
}

func (p *plan) writeEvents(b *pgx.Batch) {
	var streams, types []string
	var positions, times, sums []int64
	var metas, datas [][]byte
	for _, name := range sorted(p.streams) {
		for _, e := range p.streams[name].events {
			ms := msOr(e.Time, p.now)
			streams, types = append(streams, string(name)), append(types, e.Type)
			positions, times = append(positions, int64(e.position)), append(times, ms)
			metas, datas = append(metas, some(e.Meta)), append(datas, some(e.Data))
			sums = append(sums, eventSum(name, e.position, ms, e.Event))
		}
	}
	if len(streams) > 0 {
		b.Queue(`INSERT INTO event (stream, position, time, type, meta, data, sum)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[])`,
			streams, positions, times, types, metas, datas, sums)
	}
}

func (p *plan) writeSnapshots(b *pgx.Batch) {
	var streams, types []string
	var positions, times, sums []int64
	var datas [][]byte
	for _, name := range sorted(p.streams) {
		n := p.streams[name].snapshot
		if n == nil {
			continue
		}
		ms := msOr(n.Time, p.now)
		streams, types = append(streams, string(name)), append(types, n.Type)
		positions, times = append(positions, int64(n.Position)), append(times, ms)
		datas, sums = append(datas, some(n.Data)), append(sums, snapshotSum(n, ms))
	}
	if len(streams) > 0 {
		b.Queue(`INSERT INTO snapshot (stream, position, time, type, data, sum)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bigint[])
			ON CONFLICT (stream) DO UPDATE SET position = excluded.position, time = excluded.time,
				type = excluded.type, data = excluded.data, sum = excluded.sum`,
			streams, positions, times, types, datas, sums)
	}
}

func (p *plan) writeCursors(b *pgx.Batch) {
	type set struct {
		scopes, producers []string
		seqs              []int64
	}
	var inserts, updates, deletes set
	keys := slices.SortedFunc(maps.Keys(p.cursors), func(x, y cursorKey) int {
		return cmp.Or(cmp.Compare(x.scope, y.scope), cmp.Compare(x.producer, y.producer))
	})
	for _, key := range keys {
		c := p.cursors[key]
		to := &inserts
		switch {
		case !c.changed, c.seq == 0 && !c.stored:
			continue
		case c.seq == 0:
			to = &deletes
		case c.stored:
			to = &updates
		}
		to.scopes, to.producers = append(to.scopes, key.scope), append(to.producers, string(key.producer))
		to.seqs = append(to.seqs, int64(c.seq)) //nolint:gosec // Validate has checked the range
	}
	const same = ` WHERE cursor.scope = k.scope COLLATE "C" AND cursor.producer = k.producer COLLATE "C"`
	if len(inserts.scopes) > 0 {
		b.Queue("INSERT INTO cursor (scope, producer, seq) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])",
			inserts.scopes, inserts.producers, inserts.seqs)
	}
	if len(updates.scopes) > 0 {
		b.Queue("UPDATE cursor SET seq = k.seq FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k (scope, producer, seq)"+same,
			updates.scopes, updates.producers, updates.seqs)
	}
	if len(deletes.scopes) > 0 {
		b.Queue("DELETE FROM cursor USING unnest($1::text[], $2::text[]) AS k (scope, producer)"+same, deletes.scopes, deletes.producers)
	}
}

func (p *plan) writeEntries(b *pgx.Batch) {
	type set struct {
		keys           []string
		versions, sums []int64
		values         [][]byte
	}
	var inserts, updates set
	var deletes []string
	for _, key := range sorted(p.entries) {
		e := p.entries[key]
		to := &inserts
		switch {
		case !e.changed, e.version == store.Absent && !e.stored:
			continue
		case e.version == store.Absent:
			deletes = append(deletes, key)
			continue
		case e.stored:
			to = &updates
		}
		to.keys, to.versions = append(to.keys, key), append(to.versions, e.version)
		to.values, to.sums = append(to.values, some(e.value)), append(to.sums, entrySum(key, e.version, e.value))
	}
	const rows = "unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[])"
	if len(inserts.keys) > 0 {
		b.Queue("INSERT INTO entry (key, version, value, sum) SELECT * FROM "+rows, inserts.keys, inserts.versions, inserts.values, inserts.sums)
	}
	if len(updates.keys) > 0 {
		b.Queue(`UPDATE entry SET version = k.version, value = k.value, sum = k.sum
			FROM `+rows+` AS k (key, version, value, sum) WHERE entry.key = k.key COLLATE "C"`, updates.keys, updates.versions, updates.values, updates.sums)
	}
	if len(deletes) > 0 {
		b.Queue("DELETE FROM entry WHERE key = ANY($1::text[])", deletes)
	}
}

func (p *plan) writeMessages(b *pgx.Batch) {
	var done, nacked, dues, buried []int64
	var attempts []int32
	var reasons, texts, codes []string
	for _, id := range sorted(p.messages) {
		m := p.messages[id]
		if m.bury != nil {
			buried = append(buried, int64(id))
			texts, codes = append(texts, store.CleanText(m.bury.Reason, p.limits.MetaBytes)), append(codes, m.bury.Code)
		}
		switch {
		case m.gone:
		case m.done:
			done = append(done, int64(id))
		case m.nacked:
			nacked, dues = append(nacked, int64(id)), append(dues, m.due)
			attempts, reasons = append(attempts, int32(m.attempts)), append(reasons, m.reason) //nolint:gosec // read from an integer column
		}
	}
	if len(buried) > 0 {
		b.Queue(`INSERT INTO dead_letter_queue (id, version, queue, priority, sender_key, trace_id, span_id, request_id,
				caller_id, target_id, payload_type, raw_bytes, meta, error_message, error_type, retry_count, created_at, last_retry_at, sum)
			SELECT m.id, 1, m.queue, m.priority, m.sender_key, m.trace_id, m.span_id, m.request_id,
				m.caller_id, m.target_id, m.payload_type, m.raw_bytes, m.meta, k.reason, k.code, greatest(0, m.attempts - 1), $4, $4, m.sum
			FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k (id, reason, code) JOIN message m ON m.id = k.id`,
			buried, texts, codes, timeOf(p.now))
	}
	if len(done) > 0 {
		b.Queue("DELETE FROM message WHERE id = ANY($1::bigint[])", done)
	}
	if len(nacked) > 0 {
		b.Queue(`UPDATE message m SET due = k.due, held = false, receipt = 0, owner = '', attempts = k.attempts, last_error = k.reason
			FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[]) AS k (id, due, attempts, reason) WHERE m.id = k.id`,
			nacked, dues, attempts, reasons)
	}
}

// A letter that this group has both made and edited is first written as it was
// made and then edited; letters are few.
func (p *plan) writeLetters(b *pgx.Batch) {
	var deletes []int64
	for _, id := range sorted(p.letters) {
		l := p.letters[id]
		switch {
		case l.version == 0 && l.written:
			deletes = append(deletes, int64(id))
		case l.content != nil && l.version > 0:
			b.Queue(`INSERT INTO dead_letter_queue (id, version, queue, priority, sender_key, trace_id, span_id, request_id,
					caller_id, target_id, payload_type, raw_bytes, meta, error_message, error_type, retry_count, created_at, last_retry_at, sum)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
				ON CONFLICT (id) DO UPDATE SET version = $2, queue = $3, priority = $4, sender_key = $5, trace_id = $6, span_id = $7,
					request_id = $8, caller_id = $9, target_id = $10, payload_type = $11, raw_bytes = $12, meta = $13,
					error_message = $14, error_type = $15, retry_count = $16, created_at = $17, last_retry_at = $18, sum = $19`,
				p.letterValues(int64(id), l)...)
		}
	}
	if len(deletes) > 0 {
		b.Queue("DELETE FROM dead_letter_queue WHERE id = ANY($1::bigint[])", deletes)
	}
}

func (p *plan) letterValues(id int64, row *letterRow) []any {
	l := row.content
	created := timeOf(msOr(l.CreatedAt, p.now))
	var retried *time.Time
	if !l.LastRetryAt.IsZero() {
		t := timeOf(l.LastRetryAt.UnixMilli())
		retried = &t
	}
	return []any{
		id, row.version, string(l.Queue), int16(l.Priority), l.Key, l.TraceID, l.SpanID, l.RequestID,
		l.CallerID, l.TargetID, l.Type, some(l.Data), some(l.Meta), store.CleanText(l.ErrorMessage, p.limits.MetaBytes),
		l.ErrorType, int64(l.RetryCount), created, retried, envelopeSum(id, &l.Envelope),
	}
}

// Of two who put the same new request at once the second's insert fails, and its
// group is repeated.
func (p *plan) writeRequests(b *pgx.Batch) {
	type set struct {
		queues, ids, types            []string
		messages, dones, untils, sums []int64
		answers                       [][]byte
	}
	var inserts, updates set
	keys := slices.SortedFunc(maps.Keys(p.requests), func(x, y requestKey) int {
		return cmp.Or(cmp.Compare(x.queue, y.queue), cmp.Compare(x.id, y.id))
	})
	for _, key := range keys {
		r := p.requests[key]
		if !r.changed {
			continue
		}
		to := &inserts
		if r.stored {
			to = &updates
		}
		to.queues, to.ids, to.types = append(to.queues, string(key.queue)), append(to.ids, key.id), append(to.types, r.answerType)
		to.messages, to.dones, to.untils = append(to.messages, int64(r.message)), append(to.dones, r.done), append(to.untils, r.until)
		to.answers, to.sums = append(to.answers, some(r.answer)), append(to.sums, r.sum(key))
	}
	const rows = "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[], $8::bigint[])"
	if t := &inserts; len(t.queues) > 0 {
		b.Queue("INSERT INTO request (queue, request_id, message, done, until, answer_type, answer, sum) SELECT * FROM "+rows,
			t.queues, t.ids, t.messages, t.dones, t.untils, t.types, t.answers, t.sums)
	}
	if t := &updates; len(t.queues) > 0 {
		b.Queue(`UPDATE request r SET message = k.message, done = k.done, until = k.until, answer_type = k.type, answer = k.answer, sum = k.sum
			FROM `+rows+` AS k (queue, id, message, done, until, type, answer, sum)
			WHERE r.queue = k.queue COLLATE "C" AND r.request_id = k.id COLLATE "C"`,
			t.queues, t.ids, t.messages, t.dones, t.untils, t.types, t.answers, t.sums)
	}
}

// expireRequests removes requests whose time is over: a few more than the group
// has added, so that there are never many, and nobody else needs to see to it.
func (p *plan) expireRequests(b *pgx.Batch) {
	added := 0
	for _, r := range p.requests {
		if r.changed && !r.stored {
			added++
		}
	}
	if added > 0 {
		b.Queue(`DELETE FROM request WHERE (queue, request_id) IN (
			SELECT queue, request_id FROM request WHERE done > 0 AND until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			p.now, 2*added+1)
	}
}

func (p *plan) writePuts(b *pgx.Batch) {
	n := len(p.puts)
	if n == 0 {
		return
	}
	ids, dues, dedups, sums := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	priorities := make([]int16, n)
	data, meta := make([][]byte, n), make([][]byte, n)
	var text [8][]string
	for i := range text {
		text[i] = make([]string, n)
	}
	for i, m := range p.puts {
		ids[i], dues[i], priorities[i] = int64(m.id), m.due, int16(m.Priority)
		if m.Dedup > 0 {
			dedups[i] = ceilMilli(m.Dedup)
		}
		e := &m.Envelope
		for k, t := range [...]string{string(m.Queue), m.Key, e.TraceID, e.SpanID, e.RequestID, e.CallerID, e.TargetID, e.Type} {
			text[k][i] = t
		}
		data[i], meta[i], sums[i] = some(e.Data), some(e.Meta), envelopeSum(int64(m.id), e)
	}
	b.Queue(`INSERT INTO message (id, queue, priority, sender_key, time, due, held, receipt, owner, attempts, last_error, dedup,
			trace_id, span_id, request_id, caller_id, target_id, payload_type, raw_bytes, meta, sum)
		SELECT id, queue, priority, key, $16, due, false, 0, '', 0, '', dedup, trace, span, request, caller, target, type, data, meta, sum
		FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
			$9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::bytea[], $15::bigint[])
			AS k (id, queue, priority, key, due, dedup, trace, span, request, caller, target, type, data, meta, sum)`,
		ids, text[0], priorities, text[1], dues, dedups, text[2], text[3], text[4], text[5], text[6], text[7], data, meta, sums, p.now)
}

// writeQueues comes last: a row is locked for the time of the commit only. A
// queue has a row for each of a few shards, so that writers do not wait for the
// syncs of one another; a size may be negative in one of them.
func (p *plan) writeQueues(b *pgx.Batch) {
	var names []string
	var deltas []int64
	for _, name := range sorted(p.queues) {
		if q := p.queues[name]; q.delta != 0 {
			names, deltas = append(names, string(name)), append(deltas, q.delta)
		}
	}
	if len(names) > 0 {
		b.Queue(`INSERT INTO queue AS q (name, shard, size) SELECT k.name, $3, k.delta FROM unnest($1::text[], $2::bigint[]) AS k (name, delta)
			ON CONFLICT (name, shard) DO UPDATE SET size = q.size + excluded.size`, names, deltas, p.shard)
	}
}
