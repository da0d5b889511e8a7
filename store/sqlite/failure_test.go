package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// A codeError is an error as the driver gives it.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("result code %d", int(e)) }
func (e codeError) Code() int     { return int(e) }

// A faulty statement fails some times, before or after it has done its work.
type faulty struct {
	driver.Stmt
	times int
	late  bool
	err   error
}

func (f *faulty) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if f.times == 0 {
		return f.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	}
	f.times--
	if f.late {
		if _, err := f.Stmt.(driver.StmtExecContext).ExecContext(ctx, args); err != nil {
			return nil, err
		}
	}
	return nil, f.err
}

// spoil lets a statement of the writer fail.
func spoil(t *testing.T, s *Store, sql string, f *faulty) {
	t.Helper()
	err := s.change(t.Context(), "test", func(*group) error {
		st, err := s.w.prepare(sql)
		if err != nil {
			return err
		}
		f.Stmt, st.raw = st.raw, f
		return store.ErrConflict // refused: nothing is committed, and nothing fails yet
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
}

func openTest(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func appendTo(s *Store, expected store.Position) error {
	_, err := s.Commit(context.Background(), &store.Batch{
		Appends:   []store.Append{{Stream: "s", Expected: expected, Events: make([]store.Event, 1)}},
		Puts:      []store.Put{{Queue: "q"}},
		Sets:      []store.Set{{Key: "k", Expected: int64(expected)}},
		Snapshots: []store.Snapshot{{Stream: "s", Position: expected + 1}},
	})
	return err
}

// When a transaction fails nothing has happened, in the file or in memory, and the
// next one works.
func TestFailingStatements(t *testing.T) {
	t.Parallel()
	for sql, code := range map[string]struct {
		code   int
		target *fault.Error
	}{
		"BEGIN IMMEDIATE":                       {sqlite3.SQLITE_BUSY, store.ErrInUse},
		"INSERT INTO journal (data) VALUES (?)": {sqlite3.SQLITE_IOERR_WRITE, store.ErrDisk},
		"COMMIT":                                {sqlite3.SQLITE_IOERR_WRITE, store.ErrDisk},
		"INSERT OR REPLACE INTO snapshots (stream, position, time, type, blob, size, data, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)": {sqlite3.SQLITE_FULL, store.ErrDiskFull},
	} {
		s := openTest(t, filepath.Join(t.TempDir(), "store.db"))
		if err := appendTo(s, 0); err != nil {
			t.Fatal(err)
		}
		times := 1
		if code.target == store.ErrDiskFull {
			times = 2 // a full disk is tried twice
		}
		spoil(t, s, sql, &faulty{times: times, err: codeError(code.code)})
		if err := appendTo(s, 1); !errors.Is(err, code.target) || fault.CodeOf(err) != code.target.Code {
			t.Errorf("%s: %v, want %v", sql, err, code.target)
		}
		if head, err := s.Head(t.Context(), "s"); head != 1 || err != nil {
			t.Errorf("%s: head = %d, %v", sql, head, err)
		}
		if err := appendTo(s, 1); err != nil {
			t.Errorf("%s: afterwards: %v", sql, err)
		}
		stats, err := s.QueueStats(t.Context(), store.QueueFilter{})
		if err != nil || len(stats) != 1 || stats[0].Ready != 2 {
			t.Errorf("%s: %+v, %v", sql, stats, err)
		}
	}
}

// One of many that are committed together fails by itself when the transaction
// does not fit.
func TestFailingGroup(t *testing.T) {
	t.Parallel()
	s := openTest(t, filepath.Join(t.TempDir(), "store.db"))
	spoil(t, s, "INSERT INTO journal (data) VALUES (?)", &faulty{times: 1, err: codeError(sqlite3.SQLITE_TOOBIG)})
	// All of them wait while the writer is busy, so that they are one group.
	busy, proceed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.change(context.Background(), "test", func(*group) error {
			close(busy)
			<-proceed
			return store.ErrConflict
		})
	})
	<-busy
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Commit(context.Background(), &store.Batch{Appends: []store.Append{{Stream: store.Stream(fmt.Sprint(i)), Events: make([]store.Event, 1)}}})
		})
	}
	for waiting := 0; waiting < len(errs); {
		s.inbox.mu.Lock()
		waiting = len(s.inbox.jobs)
		s.inbox.mu.Unlock()
	}
	close(proceed)
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("batch %d: %v", i, err)
		}
	}
	if n := s.Stats().Groups; n < 8 {
		t.Errorf("%d groups: the batches were not tried alone, or never were one group", n)
	}
}

// After a failed fsync nobody knows what is on the disk: the store says so, and
// does nothing more until it is opened again.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "store.db")
		s := openTest(t, path)
		if err := appendTo(s, 0); err != nil {
			t.Fatal(err)
		}
		spoil(t, s, "COMMIT", &faulty{times: 1, late: late, err: codeError(sqlite3.SQLITE_IOERR_FSYNC)})
		if err := appendTo(s, 1); !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("the commit whose sync failed: %v", err)
		}
		if err := appendTo(s, 1); !errors.Is(err, store.ErrDisk) {
			t.Errorf("the next commit: %v", err)
		}
		if _, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "q"}); !errors.Is(err, store.ErrDisk) {
			t.Errorf("a receive: %v", err)
		}
		if _, err := s.Acquire(t.Context(), "l", "me", store.Limits{}.WithDefaults().DedupMax/1000); !errors.Is(err, store.ErrDisk) {
			t.Errorf("a lease: %v", err)
		}
		if head, err := s.Head(t.Context(), "s"); head != 1 || err != nil {
			t.Errorf("reading: head %d, %v", head, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		again := openTest(t, path)
		want := store.Position(1)
		if late {
			want = 2
		}
		if head, err := again.Head(t.Context(), "s"); head != want || err != nil {
			t.Errorf("opened again: head %d, %v, want %d", head, err, want)
		}
		if err := appendTo(again, want); err != nil {
			t.Errorf("opened again: %v", err)
		}
	}
}

// A fold that fails is tried again, and until then nothing is missing.
func TestFailingFold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(t.Context(), path, Options{JournalBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, s, "DELETE FROM journal", &faulty{times: 3, err: codeError(sqlite3.SQLITE_FULL)})
	const n = 60
	for i := range n {
		if err := appendTo(s, store.Position(i)); err != nil {
			t.Fatal(err)
		}
		if head, err := s.Head(t.Context(), "s"); int(head) != i+1 || err != nil {
			t.Fatalf("head = %d, %v", head, err)
		}
	}
	if s.Stats().Folds == 0 {
		t.Error("there was no fold after those that failed")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again := openTest(t, path)
	events := 0
	for _, err := range again.Read(t.Context(), "s", 0) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	all, err := again.Messages(t.Context(), store.MessageFilter{Queue: "q"})
	if events != n || len(all) != n || err != nil {
		t.Errorf("%d events and %d messages, %v; want %d", events, len(all), err, n)
	}
}

// A batch whose context ends while it waits is not applied; one that the writer
// has begun is, whatever the context says.
func TestContextEndsWhileWaiting(t *testing.T) {
	t.Parallel()
	s := openTest(t, filepath.Join(t.TempDir(), "store.db"))
	busy, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 2)
	begun, cancelBegun := context.WithCancel(t.Context())
	go func() {
		ended <- s.change(begun, "test", func(g *group) error {
			close(busy)
			<-release
			return g.writeLease("l", lease{owner: "me", epoch: 1})
		})
	}()
	<-busy
	waiting, cancelWaiting := context.WithCancel(t.Context())
	go func() {
		_, err := s.Commit(waiting, &store.Batch{Puts: []store.Put{{Queue: "q"}}})
		ended <- err
	}()
	for n := 0; n == 0; {
		s.inbox.mu.Lock()
		n = len(s.inbox.jobs)
		s.inbox.mu.Unlock()
	}
	cancelWaiting()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the batch that waited: %v", err)
	}
	cancelBegun()
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the change that was begun: %v", err)
	}
	if _, err := s.Holder(t.Context(), "l"); err != nil {
		t.Errorf("what was begun: %v", err)
	}
	if all, err := s.QueueStats(t.Context(), store.QueueFilter{}); err != nil || len(all) > 0 {
		t.Errorf("what waited was applied: %v, %v", all, err)
	}
}
