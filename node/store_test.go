package node

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
)

// Req O1: the address of a database is written out or by reference, and never
// printed with a password.
func TestStoreURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "",
		"env:DB":                          "env:DB",
		"file:/run/db":                    "file:/run/db",
		"postgres://u@h:5432/d":           "postgres://u@h:5432/d",
		"postgresql:///d?host=/run/pg":    "postgresql:///d?host=/run/pg",
		"postgres://u:hunter2@h/d":        "error: want no password here",
		"postgres://h/d?password=hunter2": "error: want no password here",
		"mysql://u:hunter2@h/d":           "error: want postgres://",
		"hunter2":                         "error: want postgres://",
		"postgres://u:hunter2@h:x/%zz":    "error: want postgres://",
	} {
		u, err := ParseStoreURL(text)
		got := u.String()
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) || (want == "") != (got == "") || strings.Contains(got, "hunter2") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	u, err := ParseStoreURL("env:DB")
	if err != nil {
		t.Fatal(err)
	}
	if address, err := u.Resolve([]string{"DB=postgres://u:hunter2@h/d"}); err != nil || address != "postgres://u:hunter2@h/d" {
		t.Errorf("resolved: %q, %v", address, err)
	}
	if _, err := u.Resolve(nil); err == nil || !strings.Contains(err.Error(), "env:DB") {
		t.Errorf("unresolved: %v", err)
	}
}

// Req O1, O4: a store that cannot be used keeps the node from starting, with an
// error that says what to do, and is left as it is.
func TestStoreCannotBeOpened(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(t *testing.T, c *Config)
		want error
		text string
	}{
		{"not a store", func(t *testing.T, c *Config) {
			writeFile(t, StorePath(*c), strings.Repeat("something else ", 1000))
		}, store.ErrNotAStore, "check the path"},
		{"damaged", func(t *testing.T, c *Config) {
			n := startNode(t, *c, Options{})
			if err := n.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			spoil(t, StorePath(*c))
		}, store.ErrDamaged, "troupe store restore"},
		{"unreachable", func(t *testing.T, c *Config) {
			c.Store.URL = StoreURL{plain: "postgres://nobody@127.0.0.1:1/none"}
			c.Store.Timeout = 100 * time.Millisecond
		}, postgres.ErrUnavailable, "check that PostgreSQL runs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.make(t, &c)
			n, err := New(c, Options{Log: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Start(t.Context()); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("start: %v, want %v with %q", err, tt.want, tt.text)
			}
			if _, running, err := RunningNode(c.DataDir); running || err != nil {
				t.Errorf("the data directory is still taken: %v", err)
			}
		})
	}
}

// spoil overwrites the pages of a database but for its header, and drops its log,
// which a reader that was late may have left and which would make the pages good.
func spoil(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(data); i++ {
		data[i] ^= 0x5a
	}
	writeFile(t, path, string(data))
	if err := os.Remove(path + "-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Req T6: /ready depends on the store.
func TestReadyNeedsTheStore(t *testing.T) {
	t.Parallel()
	n := startNode(t, testConfig(t), Options{})
	if status, body := get(t, n.URL()+"ready"); status != http.StatusOK || !strings.Contains(body, `"store"`) {
		t.Errorf("ready: %d %s", status, body)
	}
	if err := n.Store().Close(); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, n.URL()+"ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "store is closed") {
		t.Errorf("ready without its store: %d %s", status, body)
	}
}

// The node is found by where it listens, for as long as it runs.
func TestAddressFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, running, err := RunningNode(filepath.Join(dir, "none")); running || err != nil {
		t.Errorf("without a directory: %v, %v", running, err)
	}
	writeFile(t, filepath.Join(dir, addressFile), "http://127.0.0.1:1/\n")
	if url, running, err := RunningNode(dir); running || err != nil || url != "" {
		t.Errorf("of a node that was killed: %q, %v, %v", url, running, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if err := removeAddress(dir); err != nil {
		t.Fatal(err)
	}
	if _, running, err := RunningNode(dir); !running || err == nil || !strings.Contains(err.Error(), "--node") {
		t.Errorf("of a node that starts: %v, %v", running, err)
	}
}
