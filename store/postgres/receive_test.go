package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// What a receive costs depends on what it takes, not on how much waits or is held,
// even if its plan was made when the queue was empty, as those of servers that
// have run for a while are. Req F10
func TestReceiveWithPlanForEmptyQueue(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	ctx := t.Context()
	o := postgres.Options{Schema: newSchema()}
	openAt(t, srv, o)
	config, err := pgx.ParseConfig(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, postgres.Settings())
	config.RuntimeParams["search_path"] = o.Schema
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	run := func(text string) {
		t.Helper()
		if _, err := c.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	calls := map[string]string{}
	for name, statement := range postgres.Receives() {
		run("PREPARE " + name + " AS " + statement)
		calls[name] = "EXECUTE " + name + " ('q', 500, 30000, 1, '', 1000000)"
		if strings.Contains(statement, "$7") {
			calls[name] = strings.TrimSuffix(calls[name], ")") + ", 10500)"
		}
		run(calls[name])
	}
	// 4,000 messages are held, then come 2,000 behind some of those, and then 4,000
	// of other senders.
	run(`INSERT INTO message (id, queue, priority, sender_key, time, due, held, receipt, owner, attempts, last_error, dedup,
			trace_id, span_id, request_id, caller_id, target_id, payload_type, raw_bytes, meta, sum)
		SELECT n, 'q', 0, 'sender' || CASE WHEN n < 6000 THEN n % 4000 ELSE n END, 1, CASE WHEN n < 4000 THEN 9000000000000000 ELSE 0 END, n < 4000, 0, '', 0, '', 0,
			'', '', '', '', '', '', 'data', '', 0 FROM generate_series(0, 9999) AS n`)
	for name, call := range calls {
		rows, err := c.Query(ctx, "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) "+call, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		var plans []struct {
			Plan struct {
				Rows int `json:"Actual Rows"`
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) != 1 {
			t.Fatalf("%v in %s", err, text)
		}
		p := plans[0].Plan
		if blocks := p.Hit + p.Read; p.Rows != 500 || blocks > 30_000 {
			t.Errorf("%s: %d messages took %d blocks, want 500 and at most 30,000\n%s", name, p.Rows, blocks, text)
		} else {
			t.Logf("%s: %d blocks for %d messages", name, blocks, p.Rows)
		}
	}
}

// A message that is changed while it is being received, here held by a receipt
// that had run out, is not received, nor is what comes behind it. Req F10
func TestOrderedReceiveMeetsAChange(t *testing.T) {
	t.Parallel()
	srv := postgrestest.Shared(t)
	o := postgres.Options{Schema: newSchema(), Timeout: time.Minute}
	s := openAt(t, srv, o)
	put := commit(t, s, &store.Batch{Puts: []store.Put{{Queue: "q", Key: "a"}, {Queue: "q", Key: "a"}, {Queue: "q", Key: "b"}}})
	c, err := pgx.Connect(t.Context(), srv.URL()+"&search_path="+o.Schema)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE message SET due = 9000000000000000, held = true, receipt = 7 WHERE id = $1", put.Puts[0].ID); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		got []store.Message
		err error
	}
	received := make(chan answer, 1)
	go func() {
		got, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "q", Max: 10, Ordered: true})
		received <- answer{got, err}
	}()
	for waiting := false; !waiting; { // there is no signal for it
		err := tx.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case a := <-received:
			t.Fatalf("received %+v, %v past a message that was being changed", a.got, a.err)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-received; a.err != nil || len(a.got) != 1 || a.got[0].Key != "b" {
		t.Errorf("received %+v, %v, want the message of b", a.got, a.err)
	}
}

// Of a group of acknowledgements some are refused: the messages of those are still
// there, held under their receipts, and those of the others are not. Req F10
func TestRefusedAcknowledgements(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	const n = 100
	puts := make([]store.Put, 3*n)
	for i := range puts {
		puts[i].Queue = "q"
	}
	commit(t, s, &store.Batch{Puts: puts})
	all, err := s.Receive(t.Context(), store.ReceiveRequest{Queue: "q", Max: 3 * n, Hold: time.Hour})
	if err != nil || len(all) != 3*n {
		t.Fatalf("received %d, %v", len(all), err)
	}
	var wg sync.WaitGroup
	var acked atomic.Int64
	try := func(b *store.Batch, refusal error) {
		wg.Go(func() {
			switch _, err := s.Commit(context.Background(), b); {
			case err == nil:
				acked.Add(1)
			case !errors.Is(err, refusal):
				t.Errorf("Commit = %v, want %v", err, refusal)
			}
		})
	}
	for i := range n {
		end := []store.Ack{{Receipt: all[i].Receipt}}
		try(&store.Batch{Acks: end}, store.ErrReceiptLost)
		try(&store.Batch{Acks: end}, store.ErrReceiptLost) // of the two one is refused
		wrong := store.Receipt{ID: all[n+i].ID, Grant: all[n+i].Receipt.Grant + 1}
		try(&store.Batch{Acks: []store.Ack{{Receipt: wrong}}}, store.ErrReceiptLost)
		try(&store.Batch{
			Appends: []store.Append{{Stream: "s", Expected: 5}},
			Acks:    []store.Ack{{Receipt: all[2*n+i].Receipt}},
		}, store.ErrWrongPosition)
	}
	wg.Wait()
	if acked.Load() != n {
		t.Errorf("%d were acknowledged, want %d", acked.Load(), n)
	}
	if q, err := s.QueueStats(t.Context(), store.QueueFilter{}); err != nil || len(q) != 1 || q[0].Held != 2*n {
		t.Errorf("QueueStats = %+v, %v, want %d held", q, err, 2*n)
	}
	rest := &store.Batch{}
	for _, m := range all[n:] {
		rest.Acks = append(rest.Acks, store.Ack{Receipt: m.Receipt})
	}
	commit(t, s, rest)
}
