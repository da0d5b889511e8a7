package sqlite

import (
	"database/sql/driver"
	"fmt"

	"github.com/troupe-dev/troupe/store"
)

const letterColumns = `trace_id, span_id, request_id, caller_id, target_id, payload_type, error_message, error_type,
	retry_count, created_at, last_retry_at, version, queue, priority, sender_key, sum, meta, raw_bytes`

// letterValues returns the values of letterColumns.
func (g *group) letterValues(id int64, l *store.Letter, version int64) []driver.Value {
	created := msOf(l.CreatedAt)
	if created == 0 {
		created = g.now
	}
	return []driver.Value{
		l.TraceID, l.SpanID, l.RequestID, l.CallerID, l.TargetID, l.Type,
		store.CleanText(l.ErrorMessage, g.s.limits.MetaBytes), l.ErrorType,
		int64(l.RetryCount), created, msOf(l.LastRetryAt), version,
		string(l.Queue), int64(l.Priority), l.Key, rowSum(id, l.Meta, l.Data), l.Meta, l.Data,
	}
}

func (g *group) insertLetter(id int64, l *store.Letter, version int64) error {
	err := g.exec("INSERT INTO dead_letter_queue (id, "+letterColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		append([]driver.Value{id}, g.letterValues(id, l, version)...)...)
	return err
}

// checkLetter refuses a letter that is not there or has another version, and
// returns its version.
func (g *group) checkLetter(id store.LetterID, expected int64) (int64, error) {
	row, err := g.one("SELECT version FROM dead_letter_queue WHERE id = ?", int64(id))
	switch {
	case err != nil:
		return 0, err
	case len(row) == 0:
		return 0, store.Failure(store.ErrNoLetter, "store.Commit", fmt.Sprintf("letter %d", id), nil)
	case expected != 0 && expected != intOf(row[0]):
		return 0, store.LetterConflict(id, expected, intOf(row[0]))
	}
	return intOf(row[0]), nil
}

// letters stages what is to become of dead letters.
func (g *group) letters(b *store.Batch, r *store.Result) error {
	if err := g.letterDeletes(b); err != nil {
		return err
	}
	if err := g.letterEdits(b); err != nil {
		return err
	}
	return g.letterAdds(b, r)
}

func (g *group) letterDeletes(b *store.Batch) error {
	for _, d := range b.LetterDeletes {
		if _, err := g.checkLetter(d.ID, d.Version); err != nil {
			return err
		}
		if err := g.exec("DELETE FROM dead_letter_queue WHERE id = ?", int64(d.ID)); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) letterEdits(b *store.Batch) error {
	for i := range b.LetterEdits {
		l := &b.LetterEdits[i]
		version, err := g.checkLetter(l.ID, l.Version)
		if err != nil {
			return err
		}
		// The columns stand in one place, so the row is written anew.
		if err := g.exec("DELETE FROM dead_letter_queue WHERE id = ?", int64(l.ID)); err != nil {
			return err
		}
		if err := g.insertLetter(int64(l.ID), l, version+1); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) letterAdds(b *store.Batch, r *store.Result) error {
	for i := range b.LetterAdds {
		id := g.nextID()
		if err := g.insertLetter(id, &b.LetterAdds[i], 1); err != nil {
			return err
		}
		r.Letters = append(r.Letters, store.LetterID(id))
	}
	return nil
}
