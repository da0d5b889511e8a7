package node

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// postgresConfig is a node on a database.
func postgresConfig(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	url, err := ParseStoreURL("env:DATABASE")
	if err != nil {
		t.Fatal(err)
	}
	c.Store.URL, c.Store.MaxConns = url, 3
	return c
}

// awaitReady waits until /ready has a status and a text.
func awaitReady(t *testing.T, n *Node, status int, text string) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-poll.C {
		got, body := get(t, n.URL()+"ready")
		if got == status && strings.Contains(body, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/ready: %d %s, want %d with %q", got, body, status, text)
		}
	}
}

// Req O4, F3: PostgreSQL goes away under a node: senders are told so, /ready fails,
// the node stays up, and all goes on when it is back. A backup is restored to
// another database.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	server := postgrestest.New(t, postgrestest.Options{})
	c := postgresConfig(t)
	env := []string{"DATABASE=" + server.URL()}
	d := &depot{handled: make(chan int, 100)}
	n := startNode(t, c, Options{Setup: d.setup, Env: env})
	d.tell(t, 1, -1)
	d.await(t, 1)
	awaitLetters(t, n.Mail(), 1)

	server.Stop(syscall.SIGKILL)
	awaitReady(t, n, http.StatusServiceUnavailable, `"store"`)
	if err := d.box.Tell(t.Context(), parcel{2}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a tell without PostgreSQL: %v", err)
	}
	if status, _ := get(t, n.URL()+"health"); status != http.StatusOK {
		t.Errorf("/health: %d", status)
	}
	server.Resume(t)
	awaitReady(t, n, http.StatusOK, `"store"`)
	d.tell(t, 3)
	d.await(t, 3)

	backup := filepath.Join(t.TempDir(), "now.backup")
	if err := BackupStore(t.Context(), c, env, backup); err != nil {
		t.Fatal(err)
	}
	other := []string{"DATABASE=" + server.Database(t)}
	if _, err := RestoreStore(t.Context(), c, other, backup); err != nil {
		t.Fatal(err)
	}
	if found, err := CheckStore(t.Context(), c, other); err != nil || len(found) > 0 {
		t.Errorf("the restored store: %v, %v", found, err)
	}
	m, closeMail, err := OpenMail(t.Context(), c, other, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLetters(t, m, 1)
	if err := closeMail(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Req O4: others use up the server's connections: /ready says so, and all goes on
// when there are some again.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := postgrestest.New(t, postgrestest.Options{Settings: map[string]string{"max_connections": "10", "superuser_reserved_connections": "0"}})
	d := &depot{handled: make(chan int, 100)}
	n := startNode(t, postgresConfig(t), Options{Setup: d.setup, Env: []string{"DATABASE=" + server.URL()}})
	d.tell(t, 1)
	d.await(t, 1)

	var hogs []*pgx.Conn
	var pids []int32
	release := func() {
		for _, c := range hogs {
			_ = c.Close(context.Background()) // nothing depends on it any more
		}
		hogs = nil
	}
	defer release()
	hog := func() error {
		c, err := pgx.Connect(ctx, server.URL())
		if err == nil {
			hogs = append(hogs, c)
			pids = append(pids, int32(c.PgConn().PID()))
		}
		return err
	}
	if err := hog(); err != nil {
		t.Fatal(err)
	}
	// The node's connections are cut, again and again, until the hogs have them all.
	for deadline := time.Now().Add(testTimeout); len(hogs) < 10; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of 10 connections are taken", len(hogs))
		}
		if err := hog(); err == nil {
			continue
		}
		_, err := hogs[0].Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND NOT pid = ANY($1)`, pids)
		if err != nil {
			t.Fatal(err)
		}
	}
	awaitReady(t, n, http.StatusServiceUnavailable, "too many clients")
	release()
	awaitReady(t, n, http.StatusOK, `"store"`)
	d.tell(t, 2)
	d.await(t, 2)
}
