package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// startDev starts `troupe dev` on a data directory and waits until it serves. The
// clerk of the shop places an order each 5 ms.
func startDev(t *testing.T, dir string, args ...string) (p *process, url string) {
	t.Helper()
	base := []string{"dev", "--port", "0", "--data-dir", dir, "--set", "demo.order_every=5ms", "--set", "demo.rate=0", "-o", "json"}
	p = start(t, command(t, append(base, args...)...))
	line := p.waitFor(p.stdout, `"url"`)
	_, rest, _ := strings.Cut(line, `"url": "`)
	url, _, _ = strings.Cut(rest, `"`)
	return p, url
}

// kill ends a process at once.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// awaitDead waits until the node has n dead letters at least.
func awaitDead(t *testing.T, url string, n uint64) {
	t.Helper()
	client := console.NewClient(url, "")
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-poll.C {
		o, err := client.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if uint64(o.DeadLetters) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d", o.DeadLetters, n)
		}
	}
}

// shopBooks are what is left of the clerk's orders in a store: how often each has
// been charged, waits, or is a dead letter.
type shopBooks struct {
	next                     int64 // the number of the clerk's next order
	charged, waiting, buried map[string]int
}

// readBooks reads a store that no node has open.
func readBooks(t *testing.T, dir string) shopBooks {
	t.Helper()
	ctx := t.Context()
	s, err := sqlite.Open(ctx, filepath.Join(dir, node.StoreFile), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := shopBooks{next: 1, charged: map[string]int{}, waiting: map[string]int{}, buried: map[string]int{}}
	if entry, err := s.Entry(ctx, "shop/next-order"); err == nil {
		if b.next, err = strconv.ParseInt(string(entry.Value), 10, 64); err != nil {
			t.Fatal(err)
		}
	} else if !errors.Is(err, store.ErrNoEntry) {
		t.Fatal(err)
	}
	streams, err := s.Streams(ctx, store.StreamFilter{Prefix: "shop-account/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range streams {
		for e, err := range s.Read(ctx, info.Stream, info.First) {
			if err != nil {
				t.Fatal(err)
			}
			b.charged[requestOf(t, e.Data)]++
		}
	}
	queues, err := s.QueueStats(ctx, store.QueueFilter{Prefix: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		messages, err := s.Messages(ctx, store.MessageFilter{Queue: q.Queue, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			b.waiting[requestOf(t, m.Data)]++
		}
	}
	letters, err := s.Letters(ctx, store.LetterFilter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		b.buried[requestOf(t, l.Data)]++
	}
	return b
}

// requestOf returns the number of the order that an event or message is about:
// in each of them it is the first field, "order" or "number", in CBOR.
func requestOf(t *testing.T, data []byte) string {
	t.Helper()
	for _, key := range []string{"eorder", "fnumber"} {
		if _, rest, ok := strings.Cut(string(data), key); ok && rest != "" {
			switch b := []byte(rest); {
			case b[0] < 24:
				return strconv.Itoa(int(b[0]))
			case b[0] == 24 && len(b) > 1:
				return strconv.Itoa(int(b[1]))
			case b[0] == 25 && len(b) > 2:
				return strconv.Itoa(int(b[1])<<8 | int(b[2]))
			}
		}
	}
	t.Fatalf("no order in %x", data)
	return ""
}

// check fails unless every order that the clerk has placed is in one place, once.
func (b shopBooks) check(t *testing.T) {
	t.Helper()
	for n := int64(1); n < b.next; n++ {
		order := strconv.FormatInt(n, 10)
		if b.charged[order]+b.waiting[order]+b.buried[order] != 1 {
			t.Errorf("order %s: charged %d times, waiting %d, dead letter %d", order, b.charged[order], b.waiting[order], b.buried[order])
		}
	}
}

// Req F10: dev is killed again and again and started in the same directory; it
// goes on, and no order is lost or charged twice.
func TestDevSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var last int64
	for round := uint64(1); round <= 4; round++ {
		p, url := startDev(t, dir)
		awaitDead(t, url, round) // orders 5, 25, 45 and so on are misspelt
		p.kill()
		books := readBooks(t, dir)
		books.check(t)
		if books.next < last || books.next < 20*int64(round)-15 {
			t.Fatalf("round %d: the next order is %d, it was %d; %d are charged", round, books.next, last, len(books.charged))
		}
		last = books.next
	}
}

// Req O4: a backup is taken while dev works, and restored elsewhere; a node starts
// with it and has the same data.
func TestBackupWhileWorking(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	p, url := startDev(t, dir)
	awaitDead(t, url, 2)
	backup := filepath.Join(t.TempDir(), "now.backup")
	r := troupe(t, "store", "backup", "-o", "json", "--data-dir", dir, backup)
	r.expect(t, exitOK)
	report := decode[backupReport](t, r.stdout)
	if report.Bytes == 0 || report.Store != "node "+url {
		t.Errorf("the report: %+v", report)
	}
	awaitDead(t, url, 3)
	r = troupe(t, "store", "check", "--data-dir", dir)
	r.expect(t, exitOK)
	troupe(t, "store", "restore", "--data-dir", dir, backup).expect(t, exitEnvironment, "another node")
	p.kill()

	r = troupe(t, "store", "restore", "--data-dir", elsewhere, backup)
	r.expect(t, exitOK)
	then, now := readBooks(t, elsewhere), readBooks(t, dir)
	then.check(t)
	if then.next > now.next || len(now.charged) == 0 { // they are the same if no order came since
		t.Errorf("the backup is of order %d, the store of %d", then.next, now.next)
	}
	for order := range then.charged {
		if now.charged[order] != 1 {
			t.Errorf("order %s is charged in the backup, and %d times later", order, now.charged[order])
		}
	}
	p, url = startDev(t, elsewhere)
	awaitDead(t, url, uint64(len(then.buried))+1)
	p.kill()
	after := readBooks(t, elsewhere)
	after.check(t)
	for order, n := range then.charged {
		if after.charged[order] != n {
			t.Errorf("order %s: charged %d times after the restore, %d before", order, after.charged[order], n)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Req F9: dead letters of a node that runs are mended through it, found by its
// data directory or named by its address.
func TestDLQThroughANode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, url := startDev(t, dir)
	awaitDead(t, url, 2)
	for _, way := range [][]string{{"--data-dir", dir}, {"--node", url}} {
		run := func(want exitCode, args ...string) result {
			t.Helper()
			r := troupe(t, append(append([]string{"dlq"}, args...), way...)...)
			r.expect(t, want)
			return r
		}
		page := decode[console.LetterPage](t, run(exitOK, "list", "-o", "json", "--error-type", "NOT_FOUND", "--limit", "1").stdout)
		if len(page.Letters) != 1 {
			t.Fatalf("%s: %+v", way, page)
		}
		id := fmt.Sprint(page.Letters[0].ID)
		if r := run(exitFailed, "rehearse", id); !strings.Contains(r.stdout, "would fail: ") || !strings.Contains(r.stdout, "there is no item") {
			t.Errorf("rehearse: %s", r.stdout)
		}
		shown := run(exitOK, "show", id).stdout
		_, payload, _ := strings.Cut(shown, "\n\n")
		file := write(t, t.TempDir(), "payload.json", strings.NewReplacer(`"tt`, `"t`, `"cc`, `"c`).Replace(payload))
		run(exitFailed, "edit", id, "--json", `{"numbr": 1}`)
		run(exitOK, "edit", id, "--json", "@"+file)
		if r := run(exitOK, "rehearse", id); !strings.Contains(r.stdout, "would be handled\n  message shop-account/") || !strings.Contains(r.stdout, "shop.Charge") {
			t.Errorf("rehearse what was mended: %s", r.stdout)
		}
		if r := run(exitOK, "redrive", id); !strings.Contains(r.stdout, "1 of 1 letter brought back: 1 handled, 0 failed again") {
			t.Errorf("redrive: %s", r.stdout)
		}
		run(exitFailed, "show", id)
	}
	r := troupe(t, "dlq", "redrive", "--data-dir", dir, "--queue", string(node.DemoOrders), "--yes", "--rate", "1000", "-o", "json", "--before", "0s")
	redrive := decode[console.Redrive](t, r.stdout)
	if redrive.Handled != 0 || redrive.Failed+redrive.Pending != redrive.Redriven || !strings.Contains(redrive.Stopped, "failed again") {
		t.Errorf("a redrive of what fails: %+v", redrive)
	}
}

// A node that is not there is said in a line, with the exit code of the
// environment.
func TestNoSuchNode(t *testing.T) {
	t.Parallel()
	troupe(t, "dlq", "list", "--node", "http://127.0.0.1:1").expect(t, exitEnvironment, "connection refused")
	troupe(t, "store", "check", "--node", "http://127.0.0.1:1").expect(t, exitEnvironment, "connection refused")
}
