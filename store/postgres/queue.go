package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/troupe-dev/troupe/store"
)

// Sizes of one transaction of Receive.
const (
	receiveBytes = 16 << 20 // payload, but for the first message
	reclaimMax   = 1000     // messages whose time is over
	blockedMax   = 10_000   // messages that are looked at beyond those wanted, if ordered
)

// now as a value that an index can be searched with.
const nowOnce = "(SELECT " + nowMs + ")"

const (
	// Receives share the lock of their queue; one that is ordered has it alone,
	// so that it sees what all others hold.
	// An attempt that is not counted after a crash of the server does less harm
	// than a sync for each receive. A commit that comes later syncs it too.
	lockShared    = "SELECT pg_advisory_xact_lock_shared($1), " + unsynced
	lockExclusive = "SELECT pg_advisory_xact_lock($1), " + unsynced

	// The transaction is not waited for until it is on disk.
	unsynced = "set_config('synchronous_commit', 'off', true)"

	reclaim = `UPDATE message SET due = 0, held = false, owner = '' WHERE id = ANY(ARRAY(
		SELECT id FROM message WHERE due > 0 AND due <= ` + nowOnce + ` ORDER BY due LIMIT $1 FOR UPDATE SKIP LOCKED))`

	// The places go through an array, and due is asked for in a way that the index
	// of those that are ready does not fit: with a join, or that index, a plan made
	// while the queue was empty looks for all found messages with each that is
	// ready. If one of them is not as it was found, none is taken.
	hold = `, taken AS (
			UPDATE message m SET due = ` + nowOnce + ` + $3, held = true, receipt = $4, owner = $5, attempts = m.attempts + 1
			WHERE m.ctid = ANY(ARRAY(SELECT place FROM found)) AND m.due <= 0 RETURNING ` + messageColumns + `
		) SELECT *, 1 / (CASE WHEN (SELECT count(*) FROM taken) = (SELECT count(*) FROM found) THEN 1 ELSE 0 END) FROM taken`

	// No more payload than $6, but for the first message.
	fitting = `found AS MATERIALIZED (
			SELECT place FROM (
				SELECT place, sum(size) OVER (ORDER BY priority DESC, id ROWS UNBOUNDED PRECEDING) - size AS before FROM ready
			) AS r WHERE before < $6
		)`

	takeAny = `WITH ready AS MATERIALIZED (
			SELECT ctid AS place, id, priority, length(raw_bytes) AS size FROM message
			WHERE queue = $1 AND due = 0 ORDER BY priority DESC, id LIMIT $2 FOR UPDATE SKIP LOCKED
		), ` + fitting + hold

	// Those that are ready and not behind one of their key that is not. Nobody
	// else receives meanwhile, and a message that is given back meanwhile is not
	// as it was found. The conditions on b fit one index only.
	takeOrdered = `WITH ready AS MATERIALIZED (
			SELECT place, id, priority, size FROM (
				SELECT ctid AS place, id, priority, sender_key, length(raw_bytes) AS size FROM message
				WHERE queue = $1 AND due = 0 ORDER BY priority DESC, id LIMIT $7
			) AS r
			WHERE sender_key = '' OR NOT EXISTS (
				SELECT FROM message b WHERE b.queue = $1 AND b.sender_key = r.sender_key AND b.priority = r.priority
				AND b.id + 0 < r.id AND b.due + 0 > 0)
			ORDER BY priority DESC, id LIMIT $2
		), ` + fitting + hold
)

const messageColumns = `m.id, m.queue, m.priority, m.sender_key, m.time, m.due, m.held, m.receipt, m.owner, m.attempts, m.last_error,
	m.trace_id, m.span_id, m.request_id, m.caller_id, m.target_id, m.payload_type, m.raw_bytes, m.meta, m.sum`

// A messageScan reads the columns of messages. It is used for one row after the
// other, as there are many.
type messageScan struct {
	m        store.Message
	priority int16
	put, due int64
	held     bool
	sum      int64
	whole    int32 // not in all queries, see hold
	columns  []any
}

func newMessageScan() *messageScan {
	s := &messageScan{}
	m := &s.m
	s.columns = []any{
		&m.ID, &m.Queue, &s.priority, &m.Key, &s.put, &s.due, &s.held, &m.Receipt.Grant, &m.Owner, &m.Attempts, &m.LastError,
		&m.TraceID, &m.SpanID, &m.RequestID, &m.CallerID, &m.TargetID, &m.Type, &m.Data, &m.Meta, &s.sum, &s.whole,
	}
	return s
}

// read returns the message of a row.
func (s *messageScan) read(row pgx.Rows) (store.Message, error) {
	s.m.Data, s.m.Meta = nil, nil // they belong to the message before
	if err := row.Scan(s.columns[:len(row.FieldDescriptions())]...); err != nil {
		return store.Message{}, err
	}
	m := s.m
	m.Priority, m.Time, m.Until, m.Receipt.ID = store.Priority(s.priority), timeOf(s.put), timeOf(s.due), m.ID //nolint:gosec // 0 or 1
	if sum := envelopeSum(int64(m.ID), &m.Envelope); sum != s.sum {
		return m, checkSum(s.sum, sum, fmt.Sprintf("message %d", m.ID))
	}
	return m, nil
}

// Receive implements [store.Queues]. When the connection is lost it is tried
// again; what the lost attempt has taken comes back after r.Hold. Messages
// beyond 16 MiB of payload are left for the next call.
func (s *Store) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	const op = "store.Receive"
	r, err := r.Normal(s.limits)
	if err != nil {
		return nil, err
	}
	var got []store.Message
	for more := true; more && len(got) == 0; {
		err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) (err error) {
			got, more, err = s.receive(ctx, c, r)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(got) > 0 {
		s.hub.dueIn(r.Hold)
	}
	slices.SortFunc(got, func(a, b store.Message) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	return got, nil
}

// receive makes one attempt. More tells that there may be messages whose time is
// over beyond those that it has looked at.
func (s *Store) receive(ctx context.Context, c *pgx.Conn, r store.ReceiveRequest) (got []store.Message, more bool, err error) {
	lock, take := lockShared, takeAny
	args := []any{string(r.Queue), r.Max, ceilMilli(r.Hold), rand.Int64N(1<<62) + 1, r.Owner, receiveBytes}
	if r.Ordered {
		lock, take, args = lockExclusive, takeOrdered, append(args, r.Max+blockedMax)
	}
	b := &pgx.Batch{} // which is a transaction
	b.Queue(lock, lockKey("queue "+s.options.Schema+" "+string(r.Queue)))
	b.Queue(reclaim, reclaimMax).Exec(func(tag pgconn.CommandTag) error {
		more = tag.RowsAffected() == reclaimMax
		return nil
	})
	b.Queue(take, args...).Query(func(rows pgx.Rows) (err error) {
		got, err = taken(rows)
		return err
	})
	err = c.SendBatch(ctx, b).Close()
	return got, more, err
}

func taken(rows pgx.Rows) ([]store.Message, error) {
	defer rows.Close()
	var got []store.Message
	scan := newMessageScan()
	for rows.Next() {
		m, err := scan.read(rows)
		if err != nil {
			return nil, err
		}
		got = append(got, m)
	}
	return got, rows.Err()
}

// Extend implements [store.Queues].
func (s *Store) Extend(ctx context.Context, d time.Duration, receipts ...store.Receipt) error {
	const op = "store.Extend"
	if err := store.CheckHold(op, d); err != nil {
		return err
	}
	if len(receipts) == 0 {
		return nil
	}
	all := slices.Clone(receipts)
	slices.SortFunc(all, func(a, b store.Receipt) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Grant, b.Grant)) })
	all = slices.Compact(all)
	ids, grants := make([]int64, len(all)), make([]int64, len(all))
	for i, r := range all {
		ids[i], grants[i] = int64(r.ID), r.Grant
	}
	err := s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `UPDATE message m SET due = `+nowOnce+` + $3, held = true
				FROM unnest($1::bigint[], $2::bigint[]) AS k (id, receipt)
				WHERE m.id = k.id AND m.receipt = k.receipt AND m.receipt > 0 RETURNING m.id`, ids, grants, ceilMilli(d))
			if err != nil {
				return err
			}
			extended, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			for _, r := range all {
				if !slices.Contains(extended, int64(r.ID)) || len(extended) != len(all) && r.Grant <= 0 {
					return store.ReceiptLost(op, r)
				}
			}
			if len(extended) != len(all) { // the same message twice, of which one receipt is old
				return store.ReceiptLost(op, all[0])
			}
			return nil
		})
	})
	if err == nil {
		s.hub.dueIn(d)
	}
	return err
}

// Messages implements [store.Queues].
func (s *Store) Messages(ctx context.Context, f store.MessageFilter) ([]store.Message, error) {
	const op = "store.Messages"
	if err := store.CheckName(op, "queue", string(f.Queue), s.limits); err != nil {
		return nil, err
	}
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	scan := newMessageScan()
	return list(ctx, s, op, func(rows pgx.Rows) (store.Message, error) {
		m, err := scan.read(rows)
		m.Receipt = store.Receipt{}
		if !scan.held {
			m.Owner = ""
		}
		return m, err
	}, `WITH m AS (
			(SELECT * FROM message WHERE queue = $1 AND id > $2 AND due = 0 AND priority = 1 ORDER BY id LIMIT $3)
			UNION ALL (SELECT * FROM message WHERE queue = $1 AND id > $2 AND due = 0 AND priority = 0 ORDER BY id LIMIT $3)
			UNION ALL (SELECT * FROM message WHERE queue = $1 AND id + 0 > $2 AND due + 0 > 0 ORDER BY id LIMIT $3)
			ORDER BY id LIMIT $3
		)
		SELECT id, queue, priority, sender_key, time, CASE WHEN due <= now THEN 0 ELSE due END, held AND due > now,
			receipt, owner, attempts, last_error, trace_id, span_id, request_id, caller_id, target_id, payload_type, raw_bytes, meta, sum
		FROM m, (SELECT `+nowMs+` AS now) AS clock ORDER BY id`, string(f.Queue), int64(f.After), limit)
}

// QueueStats implements [store.Queues].
func (s *Store) QueueStats(ctx context.Context, f store.QueueFilter) ([]store.QueueInfo, error) {
	const op = "store.QueueStats"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, op, func(rows pgx.Rows) (i store.QueueInfo, err error) {
		var oldest int64
		err = rows.Scan(&i.Queue, &i.Ready, &i.Held, &i.Delayed, &oldest)
		i.Oldest = timeOf(oldest)
		return i, err
	}, `SELECT q.name, m.ready, m.held, m.delayed, m.oldest FROM (
			SELECT name FROM queue WHERE name >= $1 AND name > $2 AND ($3 = '' OR name < $3)
			GROUP BY name HAVING sum(size) > 0 ORDER BY name LIMIT $4
		) AS q CROSS JOIN (SELECT `+nowMs+` AS now) AS clock CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE due <= now) AS ready, count(*) FILTER (WHERE due > now AND held) AS held,
				count(*) FILTER (WHERE due > now AND NOT held) AS delayed, coalesce(min(time), 0) AS oldest
			FROM (SELECT due, held, time FROM message WHERE queue = q.name AND due = 0
				UNION ALL SELECT due, held, time FROM message WHERE queue = q.name AND due + 0 > 0) AS all_of_it
		) AS m ORDER BY q.name`, string(f.Prefix), string(f.After), behind(string(f.Prefix)), limit)
}

// Answer implements [store.Queues].
func (s *Store) Answer(ctx context.Context, q store.Queue, requestID string) (a store.Answer, err error) {
	const op = "store.Answer"
	if err := store.CheckName(op, "request", requestID, s.limits); err != nil {
		return a, err
	}
	err = s.one(ctx, op, "queue", string(q), store.ErrNoRequest, func(row pgx.Row) error {
		var r requestRow
		var sum int64
		if err := row.Scan(&r.done, &r.answerType, &r.answer, &sum); err != nil {
			return err
		}
		a = r.public()
		return checkSum(sum, r.sum(requestKey{q, requestID}), "request "+requestID+" of queue "+string(q))
	}, `SELECT done, answer_type, answer, sum FROM request
		WHERE queue = $1 AND request_id = $2 AND (done = 0 OR until > `+nowOnce+`)`, string(q), requestID)
	if errors.Is(err, store.ErrNoRequest) {
		err = store.Failure(store.ErrNoRequest, op, "request "+requestID+" of queue "+string(q), nil)
	}
	return a, err
}
