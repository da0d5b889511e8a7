package sql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// mariaGuard ends the server of the folder $1 and removes it once its input
// ends, which it does with the process of the tests at the latest.
const mariaGuard = `
while read -r _; do :; done
pid=$(cat "$1/pid" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
sleep 0.2
rm -rf "$1"
`

// mariaHold is the guard's input. It is kept so that nothing closes it before
// the end of the process.
var mariaHold io.WriteCloser

// errNoMariaDB tells that there is no server to test with.
var errNoMariaDB = errors.New("MariaDB is not installed (Debian: mariadb-server)")

// mariaServer is the private server of all tests of this process: a folder and
// a socket of its own, and another user than root.
var mariaServer = sync.OnceValues(func() (socket string, err error) {
	daemon, err := exec.LookPath("mariadbd")
	if err != nil {
		if daemon = "/usr/sbin/mariadbd"; exec.Command(daemon, "--version").Run() != nil {
			return "", errNoMariaDB
		}
	}
	install, err := exec.LookPath("mariadb-install-db")
	if err != nil {
		return "", errNoMariaDB
	}
	folder, err := os.MkdirTemp("", "troupe-mariadb-")
	if err != nil {
		return "", err
	}
	guard := exec.Command("/bin/sh", "-c", mariaGuard, "guard", folder)
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if mariaHold, err = guard.StdinPipe(); err != nil {
		return "", err
	}
	if err := guard.Start(); err != nil {
		return "", err
	}
	attr, err := otherUser(folder)
	if err != nil {
		return "", err
	}
	data, socket := filepath.Join(folder, "data"), filepath.Join(folder, "s")
	c := exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	c.SysProcAttr, c.Dir = attr, folder
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mariadb-install-db: %w: %s", err, bytes.TrimSpace(out))
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	c = exec.Command(daemon, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(folder, "pid"))
	c.SysProcAttr, c.Dir, c.Stdout, c.Stderr = attr, folder, log, log
	if err := c.Start(); err != nil {
		return "", err
	}
	_ = c.Process.Release() // the guard ends it
	return socket, mariaReady(socket)
})

// otherUser runs a process as another user if this one is root.
func otherUser(folder string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("mysql")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, errors.Join(err1, err2, os.Chown(folder, int(uid), int(gid)))
}

func mariaReady(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		db, err := openURL(mariaURL(socket, "mysql"))
		if err == nil {
			err = errors.Join(db.PingContext(ctx), db.Close())
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("MariaDB does not accept connections: %w", err)
		}
	}
}

func mariaURL(socket, database string) string {
	return "mysql://root@/" + database + "?socket=" + url.QueryEscape(socket)
}

func openURL(text string) (*sql.DB, error) {
	d, u, err := parseDatabase(text)
	if err != nil {
		return nil, err
	}
	l := location{dialect: d, url: u}
	l.path, _ = sqlitePath(text)
	return d.open(l)
}

var mariaDatabases atomic.Int64

// startMariaDB gives the URL of a fresh database.
func startMariaDB(tb testing.TB) string {
	tb.Helper()
	socket, err := mariaServer()
	if errors.Is(err, errNoMariaDB) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	name := fmt.Sprintf("test_%d", mariaDatabases.Add(1))
	db, err := openURL(mariaURL(socket, "mysql"))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4"); err != nil {
		tb.Fatal(err)
	}
	return mariaURL(socket, name)
}
