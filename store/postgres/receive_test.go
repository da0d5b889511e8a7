package postgres_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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
