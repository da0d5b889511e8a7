package postgrestest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// Each test has a database of its own on one server, and nothing runs on.
func TestStart(t *testing.T) {
	first, second := postgrestest.Start(t), postgrestest.Start(t)
	goroutines := runtime.NumGoroutine()
	if first == second {
		t.Errorf("two databases have the address %s", first)
	}
	srv := postgrestest.Shared(t)
	srv.Exec(t, first, "CREATE TABLE a (n int)")
	srv.Exec(t, second, "CREATE TABLE a (n int)")
	// One of a connection that was closed may take a moment to end.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		<-tick.C
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
}

// What was committed survives a crash of the server.
func TestRestart(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{Settings: map[string]string{"max_connections": "20"}})
	address := srv.Database(t)
	srv.Exec(t, address, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		srv.Restart(t, sig)
		if got := query(t, address, "SELECT n || current_setting('max_connections') FROM kept"); got != "120" {
			t.Errorf("after %v: %q", sig, got)
		}
	}
}

func TestSmallDisk(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{DiskBytes: 100 << 20})
	var fs syscall.Statfs_t
	if err := syscall.Statfs(srv.Folder(), &fs); err != nil || int64(fs.Blocks)*fs.Bsize != 100<<20 {
		t.Errorf("the disk has %d blocks of %d bytes, %v", fs.Blocks, fs.Bsize, err)
	}
}

func query(t *testing.T, address, sql string) (text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// child makes a process start a server, tell of it and wait to be killed.
const child = "POSTGRESTEST_CHILD"

// A test process that is killed leaves no server and no file.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if os.Getenv(child) != "" {
		srv := postgrestest.New(t, postgrestest.Options{})
		fmt.Printf("\nserver %s %s\n", srv.Addr(), srv.Folder())
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, should it not kill
		return
	}
	t.Parallel()
	postgrestest.Shared(t)
	c := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLeavesNothing$")
	c.Env = append(os.Environ(), child+"=1")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var address, folder string
	for lines := bufio.NewScanner(out); folder == "" && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "server "); ok {
			address, folder, _ = strings.Cut(rest, " ")
		}
	}
	if _, err := os.Stat(folder); err != nil {
		t.Errorf("the child has no server: %v", err)
	}
	_ = c.Process.Kill()
	_ = c.Wait() // it was killed
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	home := filepath.Dir(filepath.Dir(folder))
	for limit := time.After(time.Minute); ; {
		_, gone := os.Stat(home)
		conn, err := pgx.Connect(t.Context(), "postgres://troupe@"+address+"/postgres?sslmode=disable")
		if err == nil {
			_ = conn.Close(t.Context())
		} else if os.IsNotExist(gone) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("connect = %v, folder %s: %v", err, home, gone)
		}
	}
}
