package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// Every earlier version of the schema is migrated, with what is in it, also when
// several processes open it at once.
func TestMigrations(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	for version := range postgres.SchemaVersion() {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			t.Parallel()
			o := postgres.Options{Schema: newSchema()}
			if version > 0 {
				old, err := postgres.OpenVersion(t.Context(), srv.URL(), o, version)
				if err != nil {
					t.Fatal(err)
				}
				commit(t, old, &store.Batch{Sets: []store.Set{{Key: "k", Value: []byte("v")}}})
				sql(t, srv, o.Schema, waiting[version])
				if err := old.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					s, err := postgres.Open(context.Background(), srv.URL(), o)
					if err != nil {
						t.Error(err)
						return
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			s := openAt(t, srv, o)
			e, err := s.Entry(t.Context(), "k")
			if version > 0 && (err != nil || string(e.Value) != "v") {
				t.Errorf("Entry = %+v, %v", e, err)
			}
			commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "q"}}})
			all, err := s.QueueStats(t.Context(), store.QueueFilter{Prefix: "q"})
			if want := int64(1 + min(version, 1)); err != nil || len(all) != 1 || all[0].Ready != want {
				t.Errorf("QueueStats = %+v, %v, want %d messages", all, err, want)
			}
			full := openAt(t, srv, postgres.Options{Schema: o.Schema, Limits: store.Limits{QueueMessages: 1}})
			if _, err := full.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Queue: "q"}}}); !errors.Is(err, store.ErrQueueFull) {
				t.Errorf("Put into a full queue = %v", err)
			}
		})
	}
}

// waiting puts a message into a queue, as software of each version did.
var waiting = map[int]string{
	1: "INSERT INTO queue (name, size) VALUES ('q', 1);" + waitingMessage,
	2: "INSERT INTO queue (name, shard, size) VALUES ('q', 3, 1);" + waitingMessage,
}

const waitingMessage = `INSERT INTO message (id, queue, priority, sender_key, time, due, held, receipt, owner, attempts, last_error, dedup,
		trace_id, span_id, request_id, caller_id, target_id, payload_type, raw_bytes, meta, sum)
	VALUES (nextval('message_id'), 'q', 0, '', 1, 0, false, 0, '', 0, '', 0, '', '', '', '', '', '', '', '', 0)`

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	newer, foreign := newSchema(), newSchema()
	openAt(t, srv, postgres.Options{Schema: newer})
	sql(t, srv, newer, "UPDATE schema_version SET version = 99")
	sql(t, srv, foreign, "CREATE SCHEMA "+foreign+"; CREATE TABLE customer (id int)")
	for _, tt := range []struct {
		name, address string
		options       postgres.Options
		want          *fault.Error
		says          string
	}{
		{"newer schema", srv.URL(), postgres.Options{Schema: newer}, store.ErrNewerSchema, "version 99"},
		{"foreign schema", srv.URL(), postgres.Options{Schema: foreign}, store.ErrNotAStore, "1 tables"},
		{"address", "postgres://u:secret@host:port/", postgres.Options{}, store.ErrInvalid, "want a URL"},
		{"schema name", srv.URL(), postgres.Options{Schema: strings.Repeat("x", 64)}, store.ErrTooLarge, "63"},
		{"names", srv.URL(), postgres.Options{Limits: store.Limits{NameBytes: 4096}}, store.ErrInvalid, "1024"},
		{"nobody there", "postgres://u:secret@127.0.0.1:1/x", postgres.Options{Timeout: time.Second}, postgres.ErrUnavailable, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := postgres.Open(context.Background(), tt.address, tt.options)
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open = %v, want %v that says %q", err, tt.want, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has the password in it: %v", err)
			}
		})
	}
}

func TestServerWithoutSync(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{})
	beside(t, srv, "ALTER SYSTEM SET fsync = off")
	srv.Restart(t, syscall.SIGINT)
	_, err := postgres.Open(t.Context(), srv.URL(), postgres.Options{})
	if !errors.Is(err, postgres.ErrUnsafe) {
		t.Errorf("Open = %v, want ErrUnsafe", err)
	}
	openAt(t, srv, postgres.Options{AllowUnsafe: true})
}

func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	srv := postgrestest.Shared(t)
	commit(t, openAt(t, srv, postgres.Options{Schema: schema}), &store.Batch{Sets: []store.Set{{Key: "k"}}})
	s, err := postgres.Open(t.Context(), srv.URL()+"&default_transaction_read_only=on", postgres.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(t.Context(), &store.Batch{Sets: []store.Set{{Key: "k", Expected: 1}}}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Commit = %v, want ErrReadOnly", err)
	}
	if e, err := s.Entry(t.Context(), "k"); err != nil || e.Version != 1 {
		t.Errorf("Entry = %+v, %v", e, err)
	}
}

// What somebody changed behind the store's back is found when it is read, and by
// Check.
func TestDamage(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	srv := postgrestest.Shared(t)
	s := openAt(t, srv, postgres.Options{Schema: schema})
	events := []store.Event{{Data: []byte("a")}, {Data: []byte("b")}, {Data: []byte("c")}}
	commit(t, s, &store.Batch{
		Appends:    []store.Append{{Stream: "flipped", Events: events}, {Stream: "gap", Events: events}, {Stream: "good", Events: events}},
		Snapshots:  []store.Snapshot{{Stream: "flipped", Position: 1, Data: []byte("s")}},
		Sets:       []store.Set{{Key: "k", Value: []byte("v")}},
		Puts:       []store.Put{{Queue: "q", Envelope: store.Envelope{Data: []byte("m")}}},
		LetterAdds: []store.Letter{{Queue: "q", Envelope: store.Envelope{Data: []byte("l")}}},
	})
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Fatalf("Check = %v, %v", found, err)
	}
	sql(t, srv, schema, `UPDATE event SET data = 'x' WHERE stream = 'flipped' AND position = 2;
		DELETE FROM event WHERE stream = 'gap' AND position = 2; UPDATE snapshot SET position = 2;
		UPDATE entry SET version = 7; UPDATE message SET raw_bytes = 'x'; UPDATE dead_letter_queue SET target_id = 'x'`)
	n := 0
	for _, err := range s.Read(t.Context(), "flipped", 0) {
		if n++; err != nil && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("Read = %v, want ErrDamaged", err)
		}
	}
	_, snapshot := s.Snapshot(t.Context(), "flipped")
	_, entry := s.Entry(t.Context(), "k")
	_, message := s.Receive(t.Context(), store.ReceiveRequest{Queue: "q"})
	for what, err := range map[string]error{"Snapshot": snapshot, "Entry": entry, "Receive": message} {
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s = %v, want ErrDamaged", what, err)
		}
	}
	found, err := s.Check(t.Context())
	if err != nil || len(found) != 6 {
		t.Errorf("Check = %v, %v; want 6 findings", found, err)
	}
}
