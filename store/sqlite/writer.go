package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/troupe-dev/troupe/store"
)

// groupJobs and groupBytes bound a transaction, and so how long those wait that
// come after it.
const (
	groupJobs  = 4096
	groupBytes = 8 << 20
)

// run is the writer: the one goroutine that changes the file.
func (s *Store) run() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var taken []*job
	for {
		var closed bool
		taken, closed = s.inbox.take(taken)
		s.wakeDue()
		if len(taken) > 0 {
			s.serve(taken)
			// Those who were answered come again before the next group is taken.
			runtime.Gosched()
			continue
		}
		if closed {
			s.fold(true)
			return
		}
		timer.Reset(s.untilDue())
		select {
		case <-s.inbox.wake:
		case <-timer.C:
		}
	}
}

// untilDue returns how long nothing becomes ready by itself.
func (s *Store) untilDue() time.Duration {
	s.mem.mu.Lock()
	due := s.mem.nextDue()
	s.mem.mu.Unlock()
	if due == 0 {
		return time.Hour
	}
	return min(time.Hour, max(0, time.Duration(due-s.now())*time.Millisecond))
}

// wakeDue makes messages ready whose time has come.
func (s *Store) wakeDue() {
	s.mem.mu.Lock()
	var woken []*queue
	s.mem.wake(s.now(), func(q *queue) { woken = append(woken, q) })
	s.mem.mu.Unlock()
	s.subs.notify(woken)
}

// serve does jobs: first what is durable, then the receives, which so find what
// was put just now.
func (s *Store) serve(all []*job) {
	for len(all) > 0 {
		var durable, receives []*job
		bytes := 0
		n := 0
		for n < len(all) && n < groupJobs && bytes < groupBytes {
			j := all[n]
			n++
			if j.receive != nil {
				receives = append(receives, j)
				continue
			}
			durable = append(durable, j)
			if j.batch != nil {
				bytes += j.batch.Bytes()
			}
		}
		all = all[n:]
		if len(durable) > 0 {
			s.commit(durable)
		}
		if len(receives) > 0 {
			s.grant(receives)
		}
		s.fold(false)
	}
}

// commit stages jobs, commits what was staged, makes it visible and answers.
// When the transaction fails as a whole each job is tried alone, so that one of
// them, or the size of all, does not fail the others.
func (s *Store) commit(all []*job) {
	if s.full {
		s.reuseLog()
	}
	g, err := s.tryCommit(all)
	if resultCode(err)&0xff == sqlite3.SQLITE_FULL && !s.full {
		s.reuseLog()
		g, err = s.tryCommit(all)
	}
	s.full = resultCode(err)&0xff == sqlite3.SQLITE_FULL
	if err != nil && len(all) > 1 && s.failed == nil {
		for _, j := range all {
			s.commit([]*job{j})
		}
		return
	}
	if err == nil {
		s.publish(g)
		s.stats.committed(len(all), g.records)
	}
	for _, j := range all {
		if err != nil {
			j.result, j.err = store.Result{}, err
		}
		j.done <- struct{}{}
	}
}

// reuseLog moves what is in SQLite's log into the file, so that the log can be
// written from its start again. On a full disk that can be all the room there is.
func (s *Store) reuseLog() {
	_ = s.w.script("PRAGMA wal_checkpoint(PASSIVE)") // whether it helped the next commit tells
}

func (s *Store) tryCommit(all []*job) (*group, error) {
	g := s.newGroup()
	return g, s.transaction(g, false, func() error {
		for _, j := range all {
			if j.batch != nil {
				j.result, j.err = g.stage(j.batch)
			} else {
				j.err = g.stageChange(j.change)
			}
			if failed := (*sqlFailure)(nil); errors.As(j.err, &failed) {
				return j.err
			}
		}
		return nil
	})
}

// stageChange stages what is not a batch.
func (g *group) stageChange(f func(*group) error) error {
	to := g.mark()
	err := f(g)
	if err != nil {
		g.back(to)
	}
	return err
}

// newGroup begins a group. There is one at a time, so that it keeps its memory;
// not that of the journal row, which events and messages go on using.
func (s *Store) newGroup() *group {
	g := &s.group
	clear(g.ops)
	clear(g.undo)
	clear(g.cursors)
	clear(g.requests)
	clear(g.versions)
	g.now, g.buf, g.ops, g.undo, g.direct, g.records = s.now(), make([]byte, 0, s.bufHint), g.ops[:0], g.undo[:0], false, 0
	return g
}

// transaction runs stage in a transaction together with the journal row that it
// fills. On an error nothing has happened, in the file or in memory; but see
// failed.
func (s *Store) transaction(g *group, relaxed bool, stage func() error) error {
	if s.failed != nil {
		return s.failed
	}
	start := g.mark()
	err := s.begin(relaxed)
	if err == nil {
		g.buf = beginJournalRow(g.buf)
		if err = stage(); err == nil {
			err = s.end(g)
		}
	}
	if err == nil {
		return nil
	}
	g.back(start)
	_ = s.w.script("ROLLBACK") // fails if SQLite has done it already
	if uncertain(err) {
		s.failed = store.Failure(store.ErrDisk, "store.Commit", s.path, err)
		return store.Failure(store.ErrOutcomeUnknown, "store.Commit", s.path, err)
	}
	return err
}

// begin begins a transaction whose commit syncs, or not.
func (s *Store) begin(relaxed bool) error {
	if relaxed != s.relaxed {
		mode := "FULL"
		if relaxed {
			mode = "NORMAL"
		}
		if err := s.w.script("PRAGMA synchronous = " + mode); err != nil {
			return broken(err)
		}
		s.relaxed = relaxed
	}
	err := s.w.exec("BEGIN IMMEDIATE")
	return broken(err)
}

// end writes the journal row and commits.
func (s *Store) end(g *group) error {
	switch {
	case g.records > 0:
		g.buf = sealJournalRow(g.buf, s.mem.nextID, s.mem.nextGrant)
		if err := s.w.exec("INSERT INTO journal (data) VALUES (?)", g.buf); err != nil {
			return broken(err)
		}
	case !g.direct:
		err := s.w.exec("ROLLBACK") // nothing to write
		return broken(err)
	case s.mem.nextID != s.savedID:
		if err := s.w.exec(counterSQL, "id", s.mem.nextID, rowSum("id", s.mem.nextID)); err != nil {
			return broken(err)
		}
	}
	start := time.Now()
	if err := s.w.exec("COMMIT"); err != nil {
		return broken(err)
	}
	s.stats.synced(time.Since(start))
	s.savedID = s.mem.nextID
	s.bufHint = max(512, len(g.buf)+len(g.buf)/8, s.bufHint-s.bufHint/8)
	return nil
}

// publish makes visible what a group has committed.
func (s *Store) publish(g *group) {
	var woken []*queue
	s.mem.mu.Lock()
	for i := range g.ops {
		o := &g.ops[i]
		if o.kind == opPut {
			o.m.queue.staged--
		}
		if q := s.mem.apply(o); q != nil && (len(woken) == 0 || woken[len(woken)-1] != q) {
			woken = append(woken, q)
		}
	}
	s.mem.bytes += len(g.buf)
	s.mem.records += g.records
	s.mem.mu.Unlock()
	s.subs.notify(woken)
}

// fold folds when it is time, or when the store closes. A fold that fails loses
// nothing: the journal has everything, and the fold is tried again later.
func (s *Store) fold(closing bool) {
	mem := s.mem
	size := max(mem.bytes, mem.records*recordBytes)
	if mem.records == 0 || s.failed != nil || !closing && size < max(s.foldAt, s.foldNext) {
		return
	}
	numbers, err := s.writeFold()
	if err != nil {
		s.foldNext = size + s.foldAt/2
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "store: folding the journal failed; it is tried again later",
			slog.String("path", s.path), slog.Any("error", explain("store.fold", s.path, err)))
		return
	}
	mem.mu.Lock()
	mem.folded(numbers)
	mem.mu.Unlock()
	s.foldNext = 0
	s.stats.folds.Add(1)
}

func (s *Store) writeFold() (map[*stream]int64, error) {
	// Without a sync: after a crash of the machine there is either the old journal
	// or the new tables.
	if err := s.begin(true); err != nil {
		return nil, err
	}
	f := folder{c: s.w, mem: s.mem, now: s.now()}
	numbers := f.write()
	f.exec("COMMIT")
	if f.err != nil {
		_ = s.w.script("ROLLBACK") // fails if SQLite has done it already
		return nil, fmt.Errorf("fold: %w", f.err)
	}
	return numbers, nil
}
