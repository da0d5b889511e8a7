package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// dump returns all rows of a store.
func dump(t testing.TB, address, schema string) string {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	var out bytes.Buffer
	for _, table := range postgres.Archivable() {
		fmt.Fprintln(&out, table)
		name := pgx.Identifier{schema, table}.Sanitize()
		if _, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM "+name+" AS t ORDER BY t::text) TO STDOUT"); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// fill puts something of everything into a store, large payloads too.
func fill(t testing.TB, s *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	lease, err := s.Acquire(ctx, "shard/1", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 2<<20)                    // more than one frame, and nothing that repeats
	_, _ = rand.NewChaCha8([32]byte{1}).Read(big) // never fails
	b := &store.Batch{
		Fence:     store.Fence{Lease: lease.Name, Epoch: lease.Epoch},
		Appends:   []store.Append{{Stream: "account/1", Events: []store.Event{{Type: "opened", Data: []byte{0, 1, 0xff}}, {Data: big}, {Meta: []byte("m")}}}},
		Snapshots: []store.Snapshot{{Stream: "account/1", Position: 2, Data: big[:10_000]}},
		Trims:     []store.Trim{{Stream: "account/1", Through: 1}},
		Cursors:   []store.Cursor{{Scope: "s", Producer: "p", Seq: 7}},
		Sets:      []store.Set{{Key: "schlüssel", Value: []byte("wert")}},
		Puts: []store.Put{
			{Queue: "q", Dedup: time.Hour, Envelope: store.Envelope{RequestID: "r1", Data: big}},
			{Queue: "q", Priority: store.High, Key: "k"}, {Queue: "q", Delay: time.Hour},
		},
		LetterAdds: []store.Letter{{Queue: "q", ErrorMessage: "tab\tnewline\n", Envelope: store.Envelope{Data: big[:100]}}},
	}
	commit(t, s, b)
	got, err := s.Receive(ctx, store.ReceiveRequest{Queue: "q", Hold: time.Hour})
	if err != nil || len(got) != 1 {
		t.Fatalf("Receive = %+v, %v", got, err)
	}
}

// Req O4
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	from, to := srv.URL(), srv.Database(t)
	o := postgres.Options{Schema: newSchema()}
	s := openAt(t, srv, o)
	fill(t, s)
	want := dump(t, from, o.Schema)
	path := filepath.Join(t.TempDir(), "store.backup")
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a backup over a backup: %v", err)
	}
	commit(t, s, &store.Batch{Trims: []store.Trim{{Stream: "account/1", Through: store.Everything}}}) // not in it
	if err := postgres.CheckBackup(t.Context(), path); err != nil {
		t.Errorf("CheckBackup = %v", err)
	}
	if err := postgres.Restore(t.Context(), path, from, o); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("restore over a store: %v", err)
	}
	if err := postgres.Restore(t.Context(), path, to, o); err != nil {
		t.Fatal(err)
	}
	if dump(t, to, o.Schema) != want {
		t.Error("what was restored is not what was backed up")
	}
	if found, err := postgres.Check(t.Context(), to, o); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
	restored, err := postgres.Open(t.Context(), to, o)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	// Numbers go on where they were.
	r := commit(t, restored, &store.Batch{Puts: []store.Put{{Queue: "q"}, {Queue: "q", Dedup: time.Hour, Envelope: store.Envelope{RequestID: "r1"}}}})
	if r.Puts[0].ID <= 4 || !r.Puts[1].Duplicate {
		t.Errorf("Puts = %+v", r.Puts)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(names) > 0 {
		t.Errorf("files are left: %q, %v", names, err)
	}
}

// A backup of software of each version can be restored, and is then of the
// present one. Req O4
func TestRestoreOlderVersions(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	for version := 1; version < postgres.SchemaVersion(); version++ {
		o := postgres.Options{Schema: newSchema()}
		old, err := postgres.OpenVersion(t.Context(), srv.URL(), o, version)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, old, &store.Batch{Sets: []store.Set{{Key: "k", Value: []byte("v")}}})
		sql(t, srv, o.Schema, waiting[version])
		path := filepath.Join(t.TempDir(), "store.backup")
		if err := errors.Join(old.Backup(t.Context(), path), old.Close()); err != nil {
			t.Fatal(err)
		}
		to := postgres.Options{Schema: newSchema()}
		if err := postgres.Restore(t.Context(), path, srv.URL(), to); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, srv, to)
		all, err := s.QueueStats(t.Context(), store.QueueFilter{})
		if err != nil || len(all) != 1 || all[0].Ready != 1 {
			t.Errorf("QueueStats = %+v, %v", all, err)
		}
		if e, err := s.Entry(t.Context(), "k"); err != nil || string(e.Value) != "v" {
			t.Errorf("Entry = %+v, %v", e, err)
		}
	}
}

// The copy is that of one moment, while others write. Req O4
func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	o := postgres.Options{Schema: newSchema()}
	s := openAt(t, srv, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 4)
	begun := make(chan struct{}, 4)
	for range cap(ended) {
		go func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := s.Commit(context.Background(), &store.Batch{
					Appends: []store.Append{{Stream: "s", Expected: store.Any, Events: []store.Event{{}}}},
					Puts:    []store.Put{{Queue: "q"}},
				})
				if err != nil {
					ended <- err
					return
				}
				if n == 20 {
					begun <- struct{}{}
				}
			}
			ended <- nil
		}()
	}
	for range cap(begun) {
		<-begun
	}
	path := filepath.Join(t.TempDir(), "store.backup")
	failed := s.Backup(t.Context(), path)
	cancel()
	for range cap(ended) {
		failed = errors.Join(failed, <-ended)
	}
	to := postgres.Options{Schema: newSchema()}
	if err := errors.Join(failed, postgres.Restore(t.Context(), path, srv.URL(), to)); err != nil {
		t.Fatal(err)
	}
	r := openAt(t, srv, to)
	head, err := r.Head(t.Context(), "s")
	all, err2 := r.QueueStats(t.Context(), store.QueueFilter{})
	if err != nil || err2 != nil || len(all) != 1 || all[0].Ready != int64(head) || head < 80 {
		t.Errorf("%d events and %+v, %v, %v; want as many messages as events", head, all, err, err2)
	}
	if found, err := r.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}

// A backup that is not as it was written restores nothing.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	s := openNew(t)
	fill(t, s)
	dir := t.TempDir()
	path := filepath.Join(dir, "store.backup")
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x10
		return b
	}
	for name, tt := range map[string]struct {
		content []byte
		want    *fault.Error
		says    string
	}{
		"cut":           {good[:len(good)/2], store.ErrDamaged, "end is missing"},
		"end cut":       {good[:len(good)-10], store.ErrDamaged, ""},
		"flipped":       {flipped(len(good) / 2), store.ErrDamaged, ""},
		"flipped early": {flipped(200), store.ErrDamaged, ""},
		"twice":         {append(bytes.Clone(good), good...), store.ErrDamaged, "follows"},
		"text":          {[]byte("to whom it may concern"), store.ErrNotAStore, "not a backup"},
		"empty":         {nil, store.ErrNotAStore, "not a backup"},
		"newer":         {postgres.NewerArchive(), store.ErrNewerSchema, "99"},
		"strange table": {postgres.StrangeArchive(), store.ErrDamaged, "pg_authid"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		schema := newSchema()
		err := postgres.Restore(t.Context(), path, srv.URL(), postgres.Options{Schema: schema})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Restore = %v, want %v that says %q", name, err, tt.want, tt.says)
		}
		if n := beside(t, srv, "SELECT count(*)::int FROM pg_namespace WHERE nspname = '"+schema+"'"); n > 0 {
			t.Errorf("%s: a schema was made", name)
		}
	}
	missing := filepath.Join(dir, "missing")
	if err := postgres.Restore(t.Context(), missing, srv.URL(), postgres.Options{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Restore of nothing = %v", err)
	}
	if _, err := postgres.Check(t.Context(), srv.URL(), postgres.Options{Schema: "nobody"}); !errors.Is(err, store.ErrNotAStore) {
		t.Errorf("Check of nothing = %v", err)
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(postgres.NewerArchive())
	f.Add(postgres.StrangeArchive())
	f.Add(postgres.SmallArchive())
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, frames []byte) {
		postgres.ReadFrames(frames)
	})
}
