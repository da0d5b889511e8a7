package durable

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Redrive says which dead letters to bring back, and how carefully. The zero value
// brings all of them back, in waves, and stops when half of them fail.
type Redrive struct {
	// Filter says which letters. Its Limit is how many at most; 0: all.
	Filter store.LetterFilter

	// IDs, if not empty, are the letters, and Filter is not used.
	IDs []store.LetterID

	// Rate is how many a second at most. Default 0: as fast as they are settled.
	Rate float64

	// Wave is how many are under way at a time. The first wave has at most 10, each
	// of the next up to twice as many as the one before. Default 500, at most 5000.
	Wave int

	// FailShare stops the redrive when more than this share of what was settled
	// failed again, after 5 failures at least, or if all failed. Default 0.5; 1 or
	// more: never.
	FailShare float64

	// Settle is how long to wait for a wave to be handled or to fail for good; what
	// is not settled then counts as neither. Default 1 min, which is more than the
	// retries take. Negative: don't wait, and don't stop on failures.
	Settle time.Duration

	// DryRun changes nothing and reports what would be brought back.
	DryRun bool

	// Progress is called after each wave. It may be nil.
	Progress func(RedriveReport)
}

// RedriveReport tells what became of a [Redrive].
type RedriveReport struct {
	Found   int // letters that were to be brought back
	Redrive int // that were; in a dry run, that would be
	Handled int // that have been handled
	Failed  int // that are dead letters again
	Pending int // of which neither was known when it ended
	Skipped int // that somebody else redrove, changed or deleted meanwhile
	// Stopped is why the rest was left alone: [ErrRedriveStopped], or nil.
	Stopped error
}

// ErrRedriveStopped: too many of the letters that were brought back failed again.
// The rest were left alone. Code ABORTED.
var ErrRedriveStopped = hinted(fault.Aborted, "durable.Redrive", "too many letters failed again", "mend the cause, try one with Rehearse, and redrive the rest")

const (
	firstWave     = 10
	waveDefault   = 500
	waveMax       = 5000
	failuresMin   = 5
	settleDefault = time.Minute
	settleFirst   = 2 * time.Millisecond // after a wave was sent; then after twice as long each time
)

// Redrive brings letters back to their queues, each in one commit in which the
// letter goes and the message comes. It waits for what becomes of them, so that it
// can stop before a cause that has not been mended fails them all again. It goes
// through the letters once: one that fails again is not brought back twice.
//
// The error is that of bad input or of the store; that it stopped on failures is
// in the report. With the error, or when ctx ends, the report tells how far it
// came.
func (l *Letters) Redrive(ctx context.Context, r Redrive) (RedriveReport, error) {
	d := &redriving{l: l, r: r}
	if err := d.check(); err != nil {
		return d.report, err
	}
	err := d.run(ctx)
	return d.report, err
}

// RedriveOne brings one letter back and returns the id of its message. Errors:
// [store.ErrNoLetter], [ErrChanged], FAILED_PRECONDITION for a letter without a
// queue, and those of the store.
func (l *Letters) RedriveOne(ctx context.Context, id store.LetterID) (store.MessageID, error) {
	letter, err := l.store.Letter(ctx, id)
	if err != nil {
		return 0, err
	}
	return l.bringBack(ctx, &letter)
}

func (l *Letters) bringBack(ctx context.Context, letter *store.Letter) (store.MessageID, error) {
	put, err := redrivePut(letter)
	if err != nil {
		return 0, err
	}
	result, err := l.store.Commit(ctx, &store.Batch{
		Puts:          []store.Put{put},
		LetterDeletes: []store.LetterDelete{{ID: letter.ID, Version: letter.Version}},
	})
	if err != nil {
		return 0, err
	}
	return result.Puts[0].ID, nil
}

// redriving is a redrive at work.
type redriving struct {
	l      *Letters
	r      Redrive
	report RedriveReport

	after  store.LetterID   // the last letter that was looked at
	ids    []store.LetterID // that are left, if they were given
	newest store.MessageID  // the first message that was put; letters from there on are our own
	next   time.Time        // when the rate allows the next letter
}

func (d *redriving) check() error {
	const op = "durable.Redrive"
	r := &d.r
	switch {
	case r.Rate < 0 || math.IsNaN(r.Rate) || math.IsInf(r.Rate, 0):
		return invalid(op, "Rate", "is %v; it is letters a second, or 0 for no limit", r.Rate)
	case r.Wave < 0 || r.Wave > waveMax:
		return invalid(op, "Wave", "is %d; it is 1 to %d, or 0 for %d", r.Wave, waveMax, waveDefault)
	case r.FailShare < 0 || math.IsNaN(r.FailShare):
		return invalid(op, "FailShare", "is %v; it is 0 to 1", r.FailShare)
	case r.Filter.Limit < 0:
		return invalid(op, "Filter.Limit", "is %d; it is 1 or more, or 0 for all", r.Filter.Limit)
	}
	if r.Wave == 0 {
		r.Wave = waveDefault
	}
	if r.FailShare == 0 {
		r.FailShare = 0.5
	}
	if r.Settle == 0 {
		r.Settle = settleDefault
	}
	d.after, d.ids = r.Filter.After, r.IDs
	return nil
}

func (d *redriving) run(ctx context.Context) error {
	for size := min(firstWave, d.r.Wave); ; size = min(2*size, d.r.Wave) {
		letters, end, err := d.letters(ctx, size)
		if err != nil {
			return err
		}
		d.report.Found += len(letters)
		sent, err := d.send(ctx, letters)
		if err == nil {
			err = d.settle(ctx, sent)
		}
		if d.r.Progress != nil && len(letters) > 0 {
			d.r.Progress(d.report)
		}
		if err != nil || end || d.report.Stopped != nil {
			return err
		}
	}
}

// letters returns the next wave, and whether it is the last.
func (d *redriving) letters(ctx context.Context, size int) (wave []store.Letter, end bool, err error) {
	if len(d.r.IDs) > 0 {
		n := min(size, len(d.ids))
		for _, id := range d.ids[:n] {
			letter, err := d.l.store.Letter(ctx, id)
			switch {
			case errors.Is(err, store.ErrNoLetter):
				d.report.Skipped++
			case err != nil:
				return wave, true, err
			default:
				wave = append(wave, letter)
			}
		}
		d.ids = d.ids[n:]
		return wave, len(d.ids) == 0, nil
	}
	if most := d.r.Filter.Limit; most > 0 {
		size = min(size, most-d.report.Found)
		end = size == most-d.report.Found
	}
	f := d.r.Filter
	f.After, f.Limit = d.after, size
	page, err := d.l.store.Letters(ctx, f)
	for _, letter := range page {
		if d.newest > 0 && letter.ID >= store.LetterID(d.newest) {
			return wave, true, err
		}
		d.after = letter.ID
		wave = append(wave, letter)
	}
	return wave, end || len(page) < size, err
}

// together is how many letters are brought back in one commit at most.
const together = 100

// send brings letters back and returns their messages, by queue.
func (d *redriving) send(ctx context.Context, letters []store.Letter) (sent map[store.Queue][]store.MessageID, err error) {
	sent = map[store.Queue][]store.MessageID{}
	if d.r.DryRun {
		for i := range letters {
			if _, err := redrivePut(&letters[i]); err == nil {
				d.report.Redrive++
			}
		}
		return sent, nil
	}
	step := together
	if d.r.Rate > 0 {
		step = int(min(max(d.r.Rate/10, 1), together))
	}
	for len(letters) > 0 {
		n := min(step, len(letters))
		if err := d.pace(ctx, n); err != nil {
			return sent, err
		}
		if err := d.bringBack(ctx, letters[:n], sent); err != nil {
			return sent, err
		}
		letters = letters[n:]
	}
	return sent, nil
}

// pace waits until the rate allows n more letters.
func (d *redriving) pace(ctx context.Context, n int) error {
	if d.r.Rate == 0 {
		return ctx.Err()
	}
	now := time.Now()
	if d.next.Before(now) {
		d.next = now
	}
	wait := d.next.Sub(now)
	d.next = d.next.Add(time.Duration(float64(n) / d.r.Rate * float64(time.Second)))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bringBack brings letters back in one commit, or each in its own if that fails
// because one of them is gone.
func (d *redriving) bringBack(ctx context.Context, letters []store.Letter, sent map[store.Queue][]store.MessageID) error {
	b := &store.Batch{}
	for i := range letters {
		put, err := redrivePut(&letters[i])
		if err != nil {
			d.report.Skipped++
			continue
		}
		b.Puts = append(b.Puts, put)
		b.LetterDeletes = append(b.LetterDeletes, store.LetterDelete{ID: letters[i].ID, Version: letters[i].Version})
	}
	if b.Empty() {
		return nil
	}
	result, err := d.l.store.Commit(ctx, b)
	switch {
	case gone(err) && len(letters) == 1:
		d.report.Skipped++
		return nil
	case gone(err):
		for i := range letters {
			if err := d.bringBack(ctx, letters[i:i+1], sent); err != nil {
				return err
			}
		}
		return nil
	case err != nil:
		return err
	}
	for i, put := range result.Puts {
		q := b.Puts[i].Queue
		sent[q] = append(sent[q], put.ID)
		if d.newest == 0 {
			d.newest = put.ID
		}
	}
	d.report.Redrive += len(result.Puts)
	return nil
}

// settle waits for what becomes of messages that were sent.
func (d *redriving) settle(ctx context.Context, sent map[store.Queue][]store.MessageID) error {
	pending := 0
	for _, ids := range sent {
		pending += len(ids)
	}
	d.report.Pending += pending
	if d.r.Settle < 0 {
		return nil
	}
	until := time.Now().Add(d.r.Settle)
	for pause := settleFirst; d.report.Stopped == nil; pause = min(2*pause, time.Second) {
		timer := time.NewTimer(min(pause, time.Until(until))) // also before the first look: nothing is settled yet
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		left := 0
		for q, ids := range sent {
			open, err := d.look(ctx, q, ids)
			if err != nil {
				return err
			}
			sent[q] = open
			left += len(open)
		}
		d.judge()
		if left == 0 || !time.Now().Before(until) {
			return nil
		}
	}
	return nil
}

// judge stops the redrive when too many have failed.
func (d *redriving) judge() {
	failed, settled := d.report.Failed, d.report.Failed+d.report.Handled
	if d.r.FailShare >= 1 || failed == 0 || float64(failed) <= d.r.FailShare*float64(settled) {
		return
	}
	if failed >= failuresMin || failed == settled && d.report.Pending == 0 {
		d.report.Stopped = ErrRedriveStopped
	}
}

// look finds out what became of the messages of a queue and returns those that
// are still in it. The ids are in order.
func (d *redriving) look(ctx context.Context, q store.Queue, ids []store.MessageID) (open []store.MessageID, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	first, last := ids[0], ids[len(ids)-1]
	queued := map[store.MessageID]bool{}
	for after := first - 1; after < last; { // the queue first: a message moves from there to the letters
		page, err := d.l.store.Messages(ctx, store.MessageFilter{Queue: q, After: after, Limit: letterPage})
		if err != nil {
			return ids, err
		}
		for i := range page {
			queued[page[i].ID] = true
			after = page[i].ID
		}
		if len(page) < letterPage {
			break
		}
	}
	dead := map[store.MessageID]bool{}
	for letter, err := range d.l.All(ctx, store.LetterFilter{Queue: q, After: store.LetterID(first - 1)}) {
		if err != nil {
			return ids, err
		}
		if letter.ID > store.LetterID(last) {
			break
		}
		dead[store.MessageID(letter.ID)] = true
	}
	for _, id := range ids {
		switch {
		case queued[id]:
			open = append(open, id)
			continue
		case dead[id]:
			d.report.Failed++
		default:
			d.report.Handled++
		}
		d.report.Pending--
	}
	return open, nil
}
