package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

// Letter implements [store.Letters].
func (s *Store) Letter(ctx context.Context, id store.LetterID) (store.Letter, error) {
	const op = "store.Letter"
	var l store.Letter
	err := s.read(ctx, op, func(c *conn) error {
		return c.query(ctx, "SELECT id, "+letterColumns+" FROM dead_letter_queue WHERE id = ?", []driver.Value{int64(id)}, func(row []driver.Value) (err error) {
			l, err = letterOf(row)
			return err
		})
	})
	if err == nil && l.ID == 0 {
		err = store.Failure(store.ErrNoLetter, op, fmt.Sprintf("letter %d", id), nil)
	}
	return l, err
}

// letterOf turns a row of id and letterColumns into a letter.
func letterOf(row []driver.Value) (store.Letter, error) {
	l := store.Letter{
		ID: store.LetterID(intOf(row[0])),
		Envelope: store.Envelope{
			TraceID: textOf(row[1]), SpanID: textOf(row[2]), RequestID: textOf(row[3]), CallerID: textOf(row[4]),
			TargetID: textOf(row[5]), Type: textOf(row[6]), Meta: bytesOf(row[17]), Data: bytesOf(row[18]),
		},
		ErrorMessage: textOf(row[7]), ErrorType: textOf(row[8]), RetryCount: int(intOf(row[9])),
		CreatedAt: timeOf(intOf(row[10])), LastRetryAt: timeOf(intOf(row[11])), Version: intOf(row[12]),
		Queue: store.Queue(textOf(row[13])), Priority: store.Priority(intOf(row[14]) & 1), Key: textOf(row[15]),
	}
	if rowSum(int64(l.ID), l.Meta, l.Data) != intOf(row[16]) {
		return store.Letter{}, damaged("store.Letter", fmt.Sprintf("letter %d", l.ID), errSum)
	}
	return l, nil
}

// Letters implements [store.Letters]. A damaged letter is listed with what can be
// read of it.
func (s *Store) Letters(ctx context.Context, f store.LetterFilter) ([]store.Letter, error) {
	const op = "store.Letters"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, err
	}
	where, args := letterWhere(f)
	args = append(args, int64(f.After), int64(limit))
	var out []store.Letter
	err = s.read(ctx, op, func(c *conn) error {
		sql := "SELECT id, " + letterColumns + " FROM dead_letter_queue WHERE " + where + " id > ? ORDER BY id LIMIT ?"
		return c.query(ctx, sql, args, func(row []driver.Value) error {
			l, err := letterOf(row)
			if errors.Is(err, store.ErrDamaged) {
				l = store.Letter{ID: store.LetterID(intOf(row[0])), Version: intOf(row[12]), ErrorMessage: "damaged: " + err.Error(), ErrorType: store.ErrDamaged.Code.String()}
			}
			out = append(out, l)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// CountLetters implements [store.Letters].
func (s *Store) CountLetters(ctx context.Context, f store.LetterFilter) (n int64, err error) {
	where, args := letterWhere(f)
	err = s.read(ctx, "store.CountLetters", func(c *conn) error {
		return c.query(ctx, "SELECT count(*) FROM dead_letter_queue WHERE "+where+" 1", args, func(row []driver.Value) error {
			n = intOf(row[0])
			return nil
		})
	})
	return n, err
}

// letterWhere returns the conditions of a filter, each followed by AND, with
// their arguments. The text has columns only, so there are few statements.
func letterWhere(f store.LetterFilter) (string, []driver.Value) {
	var where strings.Builder
	var args []driver.Value
	for _, c := range []struct{ column, value string }{
		{"queue", string(f.Queue)},
		{"payload_type", f.Type},
		{"target_id", f.TargetID},
		{"caller_id", f.CallerID},
		{"request_id", f.RequestID},
		{"trace_id", f.TraceID},
		{"error_type", f.ErrorType},
	} {
		if c.value != "" {
			where.WriteString(c.column + " = ? AND ")
			args = append(args, c.value)
		}
	}
	if f.Contains != "" {
		where.WriteString("instr(lower(error_message), lower(?)) > 0 AND ")
		args = append(args, f.Contains)
	}
	if !f.Since.IsZero() {
		where.WriteString("created_at >= ? AND ")
		args = append(args, f.Since.UnixMilli())
	}
	if !f.Before.IsZero() {
		where.WriteString("created_at < ? AND ")
		args = append(args, f.Before.UnixMilli())
	}
	return where.String(), args
}
