package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// deadStore makes a data directory with dead letters: n of the queue "orders",
// whose ids begin with 1, and one of "mail".
func deadStore(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, node.StoreFile), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{}
	for i := range n {
		b.LetterAdds = append(b.LetterAdds, deadLetter("orders", "POISON", i))
	}
	b.LetterAdds = append(b.LetterAdds, deadLetter("mail", "INTERNAL", n))
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func deadLetter(q store.Queue, code string, i int) store.Letter {
	return store.Letter{
		Queue: q, Key: "till 1", ErrorType: code, ErrorMessage: fmt.Sprintf("cannot be handled: %d\x1b[31m", i), RetryCount: 3,
		CreatedAt: time.Date(2026, 5, 1, 12, i, 0, 0, time.UTC),
		Envelope: store.Envelope{
			Type: "shop.Order", Data: []byte{0xca, 0xfe, byte(i)}, Meta: []byte("cbor"), RequestID: fmt.Sprintf("request %d", i),
			CallerID: "till", TargetID: "shop", TraceID: strings.Repeat("ab", 16),
		},
	}
}

// letterIDs lists the letters that a command line lets through.
func letterIDs(t *testing.T, dir string, args ...string) []store.LetterID {
	t.Helper()
	r := troupe(t, append([]string{"dlq", "list", "-o", "json", "--data-dir", dir}, args...)...)
	r.expect(t, exitOK)
	var ids []store.LetterID
	for _, l := range decode[console.LetterPage](t, r.stdout).Letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// Req F9: dead letters are listed by any of their columns, without a node.
func TestDLQFilters(t *testing.T) {
	t.Parallel()
	dir := deadStore(t, 5)
	for _, tt := range []struct {
		args string
		want int
	}{
		{"", 6}, {"--queue orders", 5}, {"--type shop.Order", 6}, {"--type shop.None", 0}, {"--target shop", 6}, {"--caller till", 6},
		{"--request request|3", 1}, {"--trace " + strings.Repeat("ab", 16), 6}, {"--error-type INTERNAL", 1}, {"--text HANDLED:|4", 1},
		{"--since 2026-05-01T12:03:00Z", 3}, {"--before 2026-05-01T12:03:00Z", 3}, {"--limit 2", 2}, {"--since 0s", 0},
	} {
		var args []string
		for arg := range strings.FieldsSeq(tt.args) {
			args = append(args, strings.ReplaceAll(arg, "|", " "))
		}
		if got := letterIDs(t, dir, args...); len(got) != tt.want {
			t.Errorf("%s: %v, want %d letters", tt.args, got, tt.want)
		}
	}
	r := troupe(t, "dlq", "list", "--data-dir", dir, "--limit", "2")
	r.expect(t, exitOK)
	if !strings.Contains(r.stdout, "2 of 6 dead letters; the next page: --after ") || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("the table:\n%q", r.stdout)
	}
}

// Req F9: a letter is shown, edited, redriven and deleted, one by its id and all
// of a filter.
func TestDLQOffline(t *testing.T) {
	t.Parallel()
	dir := deadStore(t, 5)
	ids := letterIDs(t, dir)
	first := fmt.Sprint(ids[0])
	at := []string{"--data-dir", dir}
	run := func(want exitCode, args ...string) result {
		t.Helper()
		r := troupe(t, append(append([]string{"dlq"}, args...), at...)...)
		r.expect(t, want)
		return r
	}
	if r := run(exitOK, "show", first); !strings.Contains(r.stdout, "\ncafe00\n") || !strings.Contains(r.stdout, "POISON: cannot be handled: 0") || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("show:\n%s", r.stdout)
	}
	run(exitOK, "edit", first, "--hex", "beef", "--queue", "other")
	if l := decode[console.Letter](t, run(exitOK, "show", first, "-o", "json").stdout); l.Hex != "beef" || l.Queue != "other" || l.Version != 2 {
		t.Errorf("edited: %+v", l)
	}
	if r := run(exitFailed, "edit", first, "--hex", "00", "--version", "1"); !strings.Contains(r.stderr, "ABORTED") {
		t.Errorf("an edit of an older version: %s", r.stderr)
	}
	if r := run(exitFailed, "edit", first, "--json", `{"a":1}`); !strings.Contains(r.stderr, "not registered") {
		t.Errorf("an edit of an unknown type: %s", r.stderr)
	}
	if r := run(exitFailed, "rehearse", first); !strings.Contains(r.stderr, "not part of this program") || !strings.Contains(r.stderr, "--node") {
		t.Errorf("rehearse: %s", r.stderr)
	}
	if r := run(exitOK, "redrive", "--queue", "orders", "--dry-run"); r.stdout != "4 letters would be brought back\n" {
		t.Errorf("dry run: %s", r.stdout)
	}
	if r := run(exitOK, "redrive", "--queue", "orders", "--yes", "--limit", "3"); !strings.Contains(r.stdout, "3 of 3 letters brought back") || !strings.Contains(r.stdout, "when a node runs") {
		t.Errorf("redrive: %s", r.stdout)
	}
	if r := run(exitOK, "delete", "--error-type", "POISON", "--dry-run"); r.stdout != "2 letters would be deleted\n" {
		t.Errorf("dry run of a delete: %s", r.stdout)
	}
	run(exitOK, "delete", first)
	run(exitFailed, "show", first)
	run(exitOK, "delete", "--all", "--yes")
	if r := run(exitOK, "list"); r.stdout != "no dead letters\n" {
		t.Errorf("at the end: %s", r.stdout)
	}
}

// What is not said clearly enough is a usage error, and nothing happens.
func TestDLQUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"dlq redrive":                        "needs IDs, a filter such as --queue, or --all",
		"dlq redrive --all":                  "by a filter needs --yes; see first what it is for with --dry-run",
		"dlq delete --queue q":               "needs --yes",
		"dlq delete 1 --all":                 "takes IDs, or a filter, or --all",
		"dlq delete --all --queue q --yes":   "takes a filter or --all, got both",
		"dlq show x":                         "want the ID of a letter",
		"dlq show":                           "needs one ID, got 0",
		"dlq show 0":                         "want the ID of a letter",
		"dlq edit 1":                         "needs --json, --hex, --type or --queue",
		"dlq edit 1 --json {":                "--json: want JSON",
		"dlq rehearse":                       "needs 1 to 100 IDs, got 0",
		"dlq list --since yesterday":         "--since: want a time such as",
		"dlq list --quue q":                  `did you mean "--queue"?`,
		"dlq lits":                           `did you mean "list"?`,
		"dlq redrive --all --yes --rate NaN": "--rate: want letters a second",
		"store bakcup x":                     `did you mean "backup"?`,
		"store backup":                       "needs a FILE",
		"store restore a b":                  "takes 1 FILE, got 2",
		"store check now":                    "takes no arguments",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			troupe(t, strings.Fields(args)...).expect(t, exitUsage, want)
		})
	}
}

// Req O4: a store that no node has open is checked, backed up and restored; what
// is damaged is said, with the way on.
func TestStoreOffline(t *testing.T) {
	t.Parallel()
	dir := deadStore(t, 3)
	at := []string{"--data-dir", dir}
	run := func(want exitCode, args ...string) result {
		t.Helper()
		r := troupe(t, append(append([]string{"store"}, args...), at...)...)
		r.expect(t, want)
		return r
	}
	file := filepath.Join(dir, node.StoreFile)
	if r := run(exitOK, "check"); r.stdout != file+": sound\n" {
		t.Errorf("check: %s", r.stdout)
	}
	backup := filepath.Join(t.TempDir(), "monday.backup")
	run(exitOK, "backup", backup)
	if r := run(exitEnvironment, "backup", backup); !strings.Contains(r.stderr, "there is a file already") {
		t.Errorf("a second backup: %s", r.stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(data); i++ {
		data[i] ^= 0x5a
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(exitFailed, "check"); !strings.Contains(r.stdout, "troupe store restore") {
		t.Errorf("check of a damaged store: %s", r.stdout)
	}
	troupe(t, "dlq", "list", "--data-dir", dir).expect(t, exitEnvironment, "troupe store restore")
	if r := run(exitOK, "restore", backup); !strings.Contains(r.stdout, "is kept as "+file) {
		t.Errorf("restore: %s", r.stdout)
	}
	if got := letterIDs(t, dir); len(got) != 4 {
		t.Errorf("after the restore: %v", got)
	}
	bad := write(t, t.TempDir(), "bad.backup", "no store at all, but long enough to be looked at "+strings.Repeat(".", 4096))
	run(exitEnvironment, "restore", bad)
	if got := letterIDs(t, dir); len(got) != 4 {
		t.Errorf("after a restore that failed: %v", got)
	}
	troupe(t, "store", "check", "--data-dir", t.TempDir()).expect(t, exitEnvironment)
	troupe(t, "store", "backup", "x", "--data-dir", t.TempDir()).expect(t, exitEnvironment, "there is no store to copy")
}
