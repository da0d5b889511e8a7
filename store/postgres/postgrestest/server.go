package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is a PostgreSQL server of this process. Its methods may be called from
// many goroutines, but those that stop and start it only one at a time.
type Server struct {
	home    *home
	folder  string
	options Options
	port    int
	mounted bool
	pid     int // of the postmaster, 0 when it has ended
}

// A home is the folder of all servers of this process.
type home struct {
	bin, folder string
	credential  *syscall.Credential // nil for the user of the process
	guard       io.WriteCloser      // the guard acts when this is closed, by the end of the process at the latest
	servers     atomic.Int64
}

// guard stops the servers below the folder $1 and removes it. A server that is
// about to start has no postmaster.pid yet, so it looks more than once.
const guard = `
while read -r _; do
	:
done
for try in 1 2 3 4 5; do
	for file in "$1"/*/data/postmaster.pid; do
		pid=$(head -n 1 "$file" 2>/dev/null) || continue
		while [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]; do
			kill -QUIT "$pid" 2>/dev/null || break
			sleep 0.05
		done; # of this one
	done
	sleep 0.1
done
for data in "$1"/*/data; do umount -l "$data" 2>/dev/null; done
rm -rf "$1"
`

// theHome makes the folder with a fresh cluster in it, which servers copy.
var theHome = sync.OnceValues(func() (*home, error) {
	h := &home{}
	var err error
	if h.bin, err = binaries(); err != nil {
		return nil, err
	}
	if h.folder, err = os.MkdirTemp(place(), "troupe-postgres-"); err != nil {
		return nil, err
	}
	if err := h.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(h.folder))
	}
	if os.Getuid() == 0 {
		if h.credential, err = unprivileged(); err != nil {
			return nil, err
		}
		if err := os.Chown(h.folder, int(h.credential.Uid), int(h.credential.Gid)); err != nil {
			return nil, err
		}
	}
	return h, h.run(filepath.Join(h.bin, "initdb"), "-D", filepath.Join(h.folder, "fresh"), "-U", "troupe", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
})

// place is where servers have their files: in memory, or "" for the temporary
// folder.
func place() string {
	const memory = "/dev/shm"
	var fs syscall.Statfs_t
	bench := flag.Lookup("test.bench")
	if bench != nil && bench.Value.String() != "" || syscall.Statfs(memory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < memoryMin { //nolint:gosec // sizes are positive
		return ""
	}
	return memory
}

const memoryMin = 4 << 30 // bytes that must be free

// watch starts the guard, in a session of its own: what ends the test from a
// terminal does not end it.
func (h *home) watch() (err error) {
	c := exec.Command("/bin/sh", "-c", guard, "guard", h.folder) //nolint:noctx // it outlives the process
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if h.guard, err = c.StdinPipe(); err != nil {
		return err
	}
	return c.Start()
}

// run runs a command as the user of the servers.
func (h *home) run(name string, args ...string) error {
	if out, err := h.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}

func (h *home) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...) //nolint:noctx // the guard ends it
	c.Dir = h.folder
	c.SysProcAttr = &syscall.SysProcAttr{Credential: h.credential, Setsid: true}
	return c
}

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
		return "", &missingError{"PostgreSQL 15 or later is not installed (Debian: postgresql)"}
	}
	return filepath.Dir(path), nil
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
	return nil, &missingError{"PostgreSQL does not run as root, and there is no user postgres or nobody"}
}

// newServer makes a server that is not started yet.
func newServer(o Options) (*Server, error) {
	h, err := theHome()
	if err != nil {
		return nil, err
	}
	s := &Server{home: h, options: o, folder: filepath.Join(h.folder, strconv.FormatInt(h.servers.Add(1), 10))}
	if err := h.run("mkdir", "-p", "-m", "700", s.data()); err != nil {
		return s, err
	}
	if o.DiskBytes > 0 {
		if err := s.mount(); err != nil {
			return s, err
		}
	}
	if err := h.run("cp", "-R", filepath.Join(h.folder, "fresh")+"/.", s.data()); err != nil {
		return s, err
	}
	s.port, err = freePort()
	return s, err
}

// mount puts a disk of limited size where the server has its files.
func (s *Server) mount() error {
	options := fmt.Sprintf("size=%d,mode=700", s.options.DiskBytes)
	if c := s.home.credential; c != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", c.Uid, c.Gid)
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", s.data()).CombinedOutput() //nolint:noctx // takes no time
	if err != nil {
		return &missingError{fmt.Sprintf("a small disk cannot be mounted: %v: %s", err, bytes.TrimSpace(out))}
	}
	s.mounted = true
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // takes no time
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // only its number counts
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("address %v has no port", l.Addr())
	}
	return address.Port, nil
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) log() string { return filepath.Join(s.folder, "log") }

// start runs a new server until it accepts connections. Somebody else may take
// the port first.
func (s *Server) start() (err error) {
	for range 5 {
		if err = s.launch(); err == nil || !bytes.Contains([]byte(err.Error()), []byte("Address already in use")) {
			return err
		}
		if s.port, err = freePort(); err != nil {
			return err
		}
	}
	return err
}

// resume starts a server again. Backends of one that was killed keep its folder
// for a moment.
func (s *Server) resume() (err error) {
	if !s.reap(syscall.WNOHANG) && s.ready() == nil {
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if err = s.launch(); err == nil {
			return nil
		}
		<-tick.C
	}
	return err
}

// launch runs the server until it accepts connections.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-k", "", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	settings := map[string]string{"max_connections": "200", "shared_buffers": "128MB", "restart_after_crash": "on"}
	maps.Copy(settings, s.options.Settings)
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	c := s.home.command(filepath.Join(s.home.bin, "postgres"), args...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	s.pid = c.Process.Pid
	_ = c.Process.Release() // ended and reaped by number, without a goroutine that waits
	return s.ready()
}

// ready waits until the server accepts connections.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return c.Close(ctx)
		}
		if s.reap(syscall.WNOHANG) {
			text, _ := os.ReadFile(s.log())
			return fmt.Errorf("the server has ended: %s", bytes.TrimSpace(text))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the server does not accept connections: %w", err)
		}
	}
}

// signal sends a signal to the server and waits until it has ended.
func (s *Server) signal(sig syscall.Signal) {
	if s.pid == 0 {
		return
	}
	_ = syscall.Kill(s.pid, sig) // it may have ended
	s.reap(0)
}

// reap reports whether the server has ended.
func (s *Server) reap(options int) bool {
	for s.pid != 0 {
		n, err := syscall.Wait4(s.pid, nil, options, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case n == s.pid || err != nil:
			s.pid = 0
		default:
			return false
		}
	}
	return true
}

// remove stops the server and removes its files.
func (s *Server) remove() {
	s.signal(syscall.SIGQUIT)
	if s.mounted {
		_ = exec.Command("umount", "-l", s.data()).Run() //nolint:noctx // the guard tries again
	}
	_ = os.RemoveAll(s.folder) // the guard tries again
}
