package actor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
)

// lines keeps a log as JSON, one record a line.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// last is the last record with a message.
func (l *lines) last(t *testing.T, msg string) map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found map[string]any
	for line := range bytes.Lines(l.buf.Bytes()) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		if record["msg"] == msg {
			found = record
		}
	}
	return found
}

// knowing is a behaviour that can say which request it failed with.
type knowing struct {
	err  error // to fail with; nil: panic
	says func(error) error
}

func (k *knowing) Receive(*actor.Context[do], do) error {
	if k.err == nil {
		panic("boom")
	}
	return k.err
}

func (k *knowing) Annotate(err error) error { return k.says(err) }

// Req F7, F13: the log record of a failure has all fields, whatever is known: what
// the runtime knows, and what the behaviour says.
func TestFailureRecord(t *testing.T) {
	t.Parallel()
	trace := actor.Trace{ID: [16]byte{1}, Span: [8]byte{2}}
	request := func(err error) error {
		return &fault.Error{Code: fault.CodeOf(err), RequestID: "r1", CallerID: "till 7", RetryCount: 2, Cause: err}
	}
	for name, tt := range map[string]struct {
		behavior *knowing
		want     map[string]any
	}{
		"a plain error": {
			&knowing{err: errTest, says: func(error) error { return nil }},
			map[string]any{"request_id": "", "caller_id": "/asker", "error_type": "UNKNOWN", "retry_count": 0.0, "error": errTest.Error()},
		},
		"a panic, annotated": {
			&knowing{says: request},
			map[string]any{"request_id": "r1", "caller_id": "till 7", "error_type": "INTERNAL", "retry_count": 2.0, "panic": "boom"},
		},
		"an annotation that panics": {
			&knowing{says: func(error) error { panic("twice") }},
			map[string]any{"request_id": "", "caller_id": "/asker", "error_type": "INTERNAL", "retry_count": 0.0, "panic": "boom"},
		},
		"an error that knows": {
			&knowing{err: &fault.Error{Code: fault.Unavailable, Target: "/other", RequestID: "r2"}, says: func(error) error { return nil }},
			map[string]any{"request_id": "r2", "caller_id": "/asker", "error_type": "UNAVAILABLE", "target_id": "/other"},
		},
	} {
		log := &lines{}
		var reported error
		options := actor.Options{Logger: slog.New(slog.NewJSONHandler(log, nil)), Hooks: []actor.Hooks{{
			Failed: func(_ actor.Address, err error, _ actor.Directive) { reported = err },
		}}}
		actortest.RunWith(t, options, func(t *testing.T, sys *actor.System) {
			failing := spawn(t, sys, actor.Spec[do]{Name: "failing", New: func() actor.Behavior[do] { return tt.behavior }})
			asker := spawnDoer(t, sys, actor.Spec[do]{Name: "asker"})
			_, err := actor.Ask(actor.WithTrace(t.Context(), trace), asker, askTo(failing, answer(1)))
			if fault.CodeOf(err) != fault.Internal {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			got := log.last(t, "actor failed")
			want := map[string]any{"actor": "/failing", "target_id": "/failing", "trace_id": trace.TraceID(), "span_id": trace.SpanID(), "directive": "restart"}
			maps.Copy(want, tt.want)
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s: %s is %v, want %v", name, k, got[k], v)
				}
			}
			if panicked := (*actor.PanicError)(nil); tt.behavior.err == nil && !errors.As(reported, &panicked) {
				t.Errorf("%s: the hook got %v", name, reported)
			}
		})
	}
}
