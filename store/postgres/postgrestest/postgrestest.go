// Package postgrestest runs private PostgreSQL servers for tests, from the
// binaries that are installed (Debian: package postgresql), with fsync on.
//
//	func TestLedger(t *testing.T) {
//		s, err := postgres.Open(t.Context(), postgrestest.Start(t), postgres.Options{})
//		…
//	}
//
// [Start] gives a test a fresh database on a server that all tests of the process
// share; [New] gives it a server of its own, to kill and restart, or with a small
// disk. Where PostgreSQL is not installed the test is skipped.
//
// Servers keep their files in memory (/dev/shm) where that has 4 GiB of room: no
// test can cut the power, and short of that it is like a disk. Benchmarks have
// them on the disk of the temporary folder. The files are in one folder, and, as PostgreSQL refuses to
// run as root, run as another user then. A guard, a shell that waits for the end
// of the test process, stops what is left and removes the folder, so that a test
// process that is killed leaves nothing behind. No goroutine is left running.
package postgrestest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

var (
	shared = sync.OnceValues(func() (*Server, error) {
		s, err := newServer(Options{})
		if err != nil {
			return nil, err
		}
		return s, s.start()
	})
	databases atomic.Int64
)

// Shared returns the server that all tests of the process share. It runs until
// the process ends; tests must not stop it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	check(tb, err)
	return s
}

// Start returns the address of a fresh database on the server that all tests of
// the process share, starting it if need be, which takes a second or two. It
// skips the test where PostgreSQL is not installed.
func Start(tb testing.TB) string {
	tb.Helper()
	return Shared(tb).Database(tb)
}

// Options say what kind of server [New] starts. The zero value is one like that
// of [Start].
type Options struct {
	// DiskBytes is the size of a disk of its own for the server's files, at least
	// 100 MiB; 0 means the disk of the temporary folder. It takes the right to
	// mount, and the test is skipped without.
	DiskBytes int64
	// Settings are added to the server's configuration.
	Settings map[string]string
}

// New starts a server of the test's own, which is stopped and removed at its end.
// It skips the test where PostgreSQL is not installed.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := newServer(o)
	if s != nil {
		tb.Cleanup(s.remove)
	}
	check(tb, err)
	check(tb, s.start())
	return s
}

func check(tb testing.TB, err error) {
	tb.Helper()
	switch e := err.(type) { //nolint:errorlint // made in this package, never wrapped
	case nil:
	case *missingError:
		tb.Skip(e)
	default:
		tb.Fatalf("private PostgreSQL: %v", err)
	}
}

// A missingError is a machine without what a server needs.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }

// URL is the address of the database "postgres" of the server.
func (s *Server) URL() string { return s.url("postgres") }

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://troupe@%s/%s?sslmode=disable", s.Addr(), database)
}

// Addr is the host and port at which the server listens, the same in all of its
// lives.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Folder is where the server has its files. With [Options.DiskBytes] it is the
// disk.
func (s *Server) Folder() string { return s.data() }

// Database makes a fresh database and returns its address.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	s.Exec(tb, s.URL(), "CREATE DATABASE "+name)
	return s.url(name)
}

// Exec runs statements at an address of the server, on a connection of their own.
func (s *Server) Exec(tb testing.TB, address, statements string) {
	tb.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing depends on it any more
	if _, err := c.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		tb.Fatalf("%s: %v", statements, err)
	}
}

// Stop ends the server with a signal and waits for its end: syscall.SIGINT is a
// fast shutdown, SIGQUIT one without a checkpoint, SIGKILL a crash. A server that
// has ended already stays as it is.
func (s *Server) Stop(sig syscall.Signal) { s.signal(sig) }

// Restart stops the server with a signal and starts it again, at the same
// address. It returns when the server has recovered and accepts connections.
func (s *Server) Restart(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	s.signal(sig)
	s.Resume(tb)
}

// Resume starts a server that was stopped or has ended by itself. It returns when
// the server accepts connections; one that does already stays as it is.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	if err := s.resume(); err != nil {
		tb.Fatalf("private PostgreSQL: %v", err)
	}
}
