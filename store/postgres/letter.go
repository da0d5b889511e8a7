package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
)

const letterColumns = `id, version, queue, priority, sender_key, trace_id, span_id, request_id, caller_id, target_id,
	payload_type, raw_bytes, meta, error_message, error_type, retry_count, created_at, last_retry_at, sum`

func scanLetter(row pgx.Row) (l store.Letter, err error) {
	var created time.Time
	var retried *time.Time
	var sum int64
	err = row.Scan(&l.ID, &l.Version, &l.Queue, &l.Priority, &l.Key, &l.TraceID, &l.SpanID, &l.RequestID, &l.CallerID, &l.TargetID,
		&l.Type, &l.Data, &l.Meta, &l.ErrorMessage, &l.ErrorType, &l.RetryCount, &created, &retried, &sum)
	if err != nil {
		return store.Letter{}, err
	}
	l.CreatedAt = created.UTC()
	if retried != nil {
		l.LastRetryAt = retried.UTC()
	}
	return l, checkSum(sum, envelopeSum(int64(l.ID), &l.Envelope), fmt.Sprintf("letter %d", l.ID))
}

// Letter implements [store.Letters].
func (s *Store) Letter(ctx context.Context, id store.LetterID) (l store.Letter, err error) {
	const op = "store.Letter"
	err = s.do(ctx, op, func(ctx context.Context, c *pgx.Conn) (err error) {
		l, err = scanLetter(c.QueryRow(ctx, "SELECT "+letterColumns+" FROM dead_letter_queue WHERE id = $1", int64(id)))
		if errors.Is(err, pgx.ErrNoRows) {
			return store.Failure(store.ErrNoLetter, op, fmt.Sprintf("letter %d", id), nil)
		}
		return err
	})
	return l, err
}

// matching is the condition of a filter, with the arguments of filterArgs.
const matching = ` WHERE ($1 = '' OR queue = $1) AND ($2 = '' OR payload_type = $2) AND ($3 = '' OR target_id = $3)
	AND ($4 = '' OR caller_id = $4) AND ($5 = '' OR request_id = $5) AND ($6 = '' OR trace_id = $6) AND ($7 = '' OR error_type = $7)
	AND ($8 = '' OR position(lower($8 COLLATE "C") IN lower(error_message COLLATE "C")) > 0)
	AND ($9::timestamptz IS NULL OR created_at >= $9) AND ($10::timestamptz IS NULL OR created_at < $10)`

func filterArgs(f *store.LetterFilter) []any {
	instant := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return []any{
		string(f.Queue), f.Type, f.TargetID, f.CallerID, f.RequestID, f.TraceID, f.ErrorType,
		store.CleanText(f.Contains, len(f.Contains)), instant(f.Since), instant(f.Before),
	}
}

// Letters implements [store.Letters].
func (s *Store) Letters(ctx context.Context, f store.LetterFilter) ([]store.Letter, error) {
	const op = "store.Letters"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, op, func(rows pgx.Rows) (store.Letter, error) { return scanLetter(rows) },
		"SELECT "+letterColumns+" FROM dead_letter_queue"+matching+" AND id > $11 ORDER BY id LIMIT $12",
		append(filterArgs(&f), int64(f.After), limit)...)
}

// CountLetters implements [store.Letters].
func (s *Store) CountLetters(ctx context.Context, f store.LetterFilter) (n int64, err error) {
	err = s.do(ctx, "store.CountLetters", func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT count(*) FROM dead_letter_queue"+matching, filterArgs(&f)...).Scan(&n)
	})
	return n, err
}
