package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
)

// A server is a private PostgreSQL in a temporary folder, with fsync on, as
// Debian's package installs it.
type server struct {
	bin, folder string
	port        int
	credential  *syscall.Credential // PostgreSQL refuses to run as root
	process     *exec.Cmd
	exited      chan struct{}
	log         *os.File
}

// shared is the server of most tests; nil if PostgreSQL is not installed.
var shared *server

var schemas atomic.Int64

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	s, err := newServer()
	if errors.Is(err, errMissing) {
		return m.Run()
	}
	if err == nil {
		err = s.start()
	}
	if s != nil {
		defer s.remove()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "private PostgreSQL:", err)
		return 1
	}
	shared = s
	return m.Run()
}

var errMissing = errors.New("PostgreSQL is not installed (Debian: postgresql)")

// binaries returns the folder of the newest PostgreSQL that is installed.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	newest, folder := 14, ""
	for _, path := range found {
		dir := filepath.Dir(path)
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && n > newest {
			newest, folder = n, dir
		}
	}
	if folder != "" {
		return folder, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errMissing
	}
	return filepath.Dir(path), nil
}

// newServer makes a new cluster of databases.
func newServer() (s *server, err error) {
	s = &server{}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "troupe-postgres-"); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if s.credential, err = unprivileged(); err != nil {
			return s, err
		}
		if err := os.Chown(s.folder, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			return s, err
		}
	}
	if s.log, err = os.Create(filepath.Join(s.folder, "log")); err != nil {
		return s, err
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "troupe", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.port, err = freePort()
	return s, err
}

func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is no user postgres or nobody to run it as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) data() string { return filepath.Join(s.folder, "data") }

func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.folder
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return c
}

// start runs the server until it accepts connections.
func (s *server) start() error {
	s.process = s.command("postgres", "-D", s.data(), "-k", s.folder, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-c", "max_connections=200", "-c", "shared_buffers=128MB", "-c", "restart_after_crash=on")
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(c *exec.Cmd, exited chan struct{}) {
		_ = c.Wait() // how it ended is in the log
		close(exited)
	}(s.process, s.exited)
	return s.ready()
}

// ready waits until the server accepts connections.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, s.address())
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.exited:
			text, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("the server has ended: %s", bytes.TrimSpace(text))
		case <-ctx.Done():
			return err
		}
	}
}

// signal sends a signal to the server and waits until it has ended: SIGINT is a
// fast shutdown, SIGQUIT an immediate one.
func (s *server) signal(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(sig) // it may have ended already
	<-s.exited
}

func (s *server) remove() {
	s.signal(syscall.SIGQUIT)
	_ = s.log.Close()
	_ = os.RemoveAll(s.folder)
}

func (s *server) address() string {
	return fmt.Sprintf("postgres://troupe@127.0.0.1:%d/postgres", s.port)
}

// needServer returns the shared server, or skips the test.
func needServer(t testing.TB) *server {
	t.Helper()
	if shared == nil {
		t.Skip(errMissing)
	}
	return shared
}

// ownServer starts a server that a test may restart and kill.
func ownServer(t testing.TB) *server {
	t.Helper()
	needServer(t)
	s, err := newServer()
	if err == nil {
		err = s.start()
	}
	if s != nil {
		t.Cleanup(s.remove)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newSchema returns the name of a schema that no other test uses.
func newSchema() string { return fmt.Sprintf("test_%d", schemas.Add(1)) }

// openAt opens a store that is closed at the end of the test.
func openAt(t testing.TB, s *server, o postgres.Options) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(context.Background(), s.address(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func openNew(t testing.TB) *postgres.Store {
	t.Helper()
	return openAt(t, needServer(t), postgres.Options{Schema: newSchema()})
}

// sql runs statements beside the store.
func sql(t testing.TB, s *server, schema, text string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), s.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), "SET search_path = "+pgx.Identifier{schema}.Sanitize()+"; "+text); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(text), err)
	}
}

func commit(t testing.TB, s store.Store, b *store.Batch) store.Result {
	t.Helper()
	r, err := s.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
