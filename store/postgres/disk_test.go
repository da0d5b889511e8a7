package postgres_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/store/storetest"
)

// meets counts the errors that are one, and tells the first of each round.
type meets struct {
	want *fault.Error
	n    atomic.Int64
	met  chan struct{} // has room for one
}

func newMeets(want *fault.Error) *meets { return &meets{want: want, met: make(chan struct{}, 1)} }

// passes is for DisruptOptions.
func (m *meets) passes(err error) bool {
	if !errors.Is(err, m.want) {
		return errors.Is(err, postgres.ErrUnavailable)
	}
	m.n.Add(1)
	select {
	case m.met <- struct{}{}:
	default:
	}
	return true
}

// await waits until a worker has met the error.
func (m *meets) await(t *testing.T) {
	t.Helper()
	select {
	case <-m.met:
	case <-time.After(time.Minute):
		t.Errorf("nobody met %v in a minute", m.want)
	}
}

// A disk that is full in the middle of writing: an error that says so, nothing is
// lost, and it goes on when there is room. Req F10
func TestFullDisk(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{DiskBytes: 160 << 20, Settings: map[string]string{"max_wal_size": "32MB", "shared_buffers": "16MB"}})
	s := openAt(t, srv, postgres.Options{PollInterval: 100 * time.Millisecond})
	full := newMeets(store.ErrDiskFull)
	storetest.Disrupt(t, storetest.DisruptOptions{
		Store: s, Rounds: 2, Passes: full.passes,
		Do: func(int) {
			filler := filepath.Join(srv.Folder(), "filler")
			if err := fillDisk(filler); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("fill the disk: %v", err)
			}
			full.await(t)
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
			srv.Resume(t) // without room for its log it ends
		},
	})
	t.Logf("%d times the disk was full", full.n.Load())
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}

// fillDisk writes a file until there is no room.
func fillDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer zero.Close()
	if _, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{zero}, make([]byte, 1<<20)); err == nil {
		return nil
	}
	_, last := f.Write(make([]byte, 4096)) // to the last block
	for last == nil {
		_, last = f.Write(make([]byte, 4096))
	}
	return errors.Join(err, last)
}

// A server that becomes read-only in the middle of writing, as one does that is
// made a standby: an error that says so, nothing is lost, and it goes on when it
// can be written again. Req F10
func TestReadOnlyMeanwhile(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{})
	s := openAt(t, srv, postgres.Options{PollInterval: 100 * time.Millisecond})
	refused := newMeets(store.ErrReadOnly)
	storetest.Disrupt(t, storetest.DisruptOptions{
		Store: s, Rounds: 2, Passes: refused.passes,
		Do: func(int) {
			srv.Exec(t, srv.URL(), "ALTER SYSTEM SET default_transaction_read_only = on")
			srv.Exec(t, srv.URL(), "SELECT pg_reload_conf()")
			refused.await(t)
			srv.Exec(t, srv.URL()+"&default_transaction_read_only=off", "ALTER SYSTEM SET default_transaction_read_only = off")
			srv.Exec(t, srv.URL(), "SELECT pg_reload_conf()")
		},
	})
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}
