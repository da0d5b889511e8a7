package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Req F13: the record of a failure in the log of a node has all fields, whatever
// failed: an actor that panics or returns an error, a durable message that fails
// for good, panics, is tried again, or does not decode.
func TestFailureRecords(t *testing.T) {
	t.Parallel()
	log := &syncBuffer{}
	n := startNode(t, testConfig(t), Options{Log: log, Setup: func(_ context.Context, n *Node) error {
		box, err := durable.NewMailbox(n.Store(), durable.MailboxSpec[string]{Queue: "orders", Codec: wire.JSON[string]("test.Order")})
		if err != nil {
			return err
		}
		_, err = Host(n, n.System(), box, durable.Spec[string]{
			New: func() durable.Behavior[string] {
				return durable.BehaviorFunc[string](func(_ *durable.Context[string], how string) error { return failBy(how) })
			},
			Options: durable.Options{Retry: retry.Policy{Max: 1, Initial: time.Millisecond}},
		})
		return err
	}})
	ref, err := actor.Spawn(n.System(), actor.Spec[string]{
		Name: "plain", New: func() actor.Behavior[string] {
			return actor.BehaviorFunc[string](func(_ *actor.Context[string], how string) error { return failBy(how) })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"panic", "error"} {
		if err := ref.Tell(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	b := &store.Batch{}
	for _, text := range []string{`"panic"`, `"error"`, `"permanent"`, `{"not": "a text"}`} {
		b.Puts = append(b.Puts, store.Put{Queue: "orders", Envelope: store.Envelope{
			Type: "test.Order", Data: []byte(text), Meta: []byte("json"), RequestID: "request " + text, CallerID: "till", TargetID: "shop",
			TraceID: strings.Repeat("ab", 16), SpanID: strings.Repeat("cd", 8),
		}})
	}
	if _, err := n.Store().Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	awaitLetters(t, n.Mail(), 4)

	withRequest := map[string]bool{}
	records := 0
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if _, failed := record["error"]; !failed {
			continue
		}
		records++
		for _, field := range []string{"request_id", "caller_id", "target_id", "error_type", "retry_count", "trace_id", "span_id"} {
			if _, ok := record[field]; !ok {
				t.Errorf("a record without %s: %s", field, line)
			}
		}
		if id, _ := record["request_id"].(string); id != "" {
			withRequest[id] = true
			if record["caller_id"] != "till" || record["trace_id"] != strings.Repeat("ab", 16) || record["span_id"] != strings.Repeat("cd", 8) {
				t.Errorf("a record without what came with the message: %s", line)
			}
		}
	}
	if records < 6 || len(withRequest) != 4 {
		t.Errorf("%d records of failures, of the requests %v:\n%s", records, withRequest, log)
	}
}

// failBy fails in the way that is asked for.
func failBy(how string) error {
	switch how {
	case "panic":
		panic("on purpose")
	case "permanent":
		return retry.Permanent(errNegative)
	}
	return errors.New("on purpose")
}
