package durable_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
)

// Req F4, F7, F13: each failure of a message has a record with request, caller,
// target, error type, number of retries and trace; a panic's has what it said, and
// that of a message that does not decode its bytes.
func TestFailuresAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		var log bytes.Buffer
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		box := newBox(t, s, "notes")
		handled := 0
		spec := durable.Spec[note]{New: behave(func(ctx *durable.Context[note], n note) error {
			switch {
			case n.N == 1 && ctx.Delivery().Attempt == 1:
				panic("boom")
			case n.N == 2:
				return retry.Permanent(errors.New("never"))
			}
			return nil
		})}
		spec.Hooks.Handled = func(_ store.Queue, n int) { handled += n }
		spawn(t, sys, box, spec)
		trace := actor.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Flags: 1}
		ctx := actor.WithTrace(t.Context(), trace)
		for n := range 3 {
			post := durable.Post[note]{Message: note{N: n + 1}, RequestID: "r" + string(rune('1'+n)), CallerID: "alice", Sender: "a"}
			if _, err := box.Send(ctx, post); err != nil {
				t.Fatal(err)
			}
		}
		put := store.Put{Queue: "notes", Envelope: store.Envelope{
			Type: "test.Note", Meta: []byte("cbor"), Data: []byte{0xff}, RequestID: "r4", CallerID: "alice", TargetID: "notes",
			TraceID: trace.TraceID(), SpanID: trace.SpanID(),
		}}
		if _, err := s.Commit(t.Context(), &store.Batch{Puts: []store.Put{put}}); err != nil {
			t.Fatal(err)
		}
		if at, err := box.Stats(t.Context()); err != nil || at.Queue != "notes" || at.Ready == 0 {
			t.Errorf("stats %+v, %v", at, err)
		}
		time.Sleep(time.Minute)
		_ = sys.Stop(t.Context())
		if at, err := box.Stats(t.Context()); err != nil || at.Ready != 0 || handled != 2 {
			t.Errorf("%+v are left, %d handled, %v", at, handled, err)
		}
		want := map[string][]string{ // by message: request and what the record has
			"a message failed and will be tried again":            {"r1", "INTERNAL", "boom"},
			"a message failed for good and becomes a dead letter": {"r2", "UNKNOWN", "never"},
			"a message does not decode and becomes a dead letter": {"r4", "POISON", `"raw_bytes":"ff"`},
		}
		for line := range strings.Lines(log.String()) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			message, _ := record["msg"].(string)
			has := want[message]
			if has == nil {
				continue
			}
			delete(want, message)
			if record["request_id"] != has[0] || record["error_type"] != has[1] || !strings.Contains(line, has[2]) ||
				record["caller_id"] != "alice" || record["target_id"] != "notes" || record["retry_count"] == nil ||
				record["trace_id"] != trace.TraceID() || record["span_id"] != trace.SpanID() {
				t.Errorf("record %s", line)
			}
		}
		if len(want) > 0 {
			t.Errorf("without a record: %v", want)
		}
	})
}
