package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

type retried struct{ error }

func (r retried) RetryCount() int { return 3 }
func (r retried) Unwrap() error   { return r.error }

// Req F13
func TestAttrs(t *testing.T) {
	t.Parallel()
	full := &fault.Error{
		Code: fault.Unavailable, Op: "link.Send", Target: "node-2/orders", RequestID: "r1", CallerID: "/web",
		RetryCount: 2, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7",
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"all", full, "error=link.Send node-2/orders (UNAVAILABLE) request_id=r1 caller_id=/web target_id=node-2/orders error_type=UNAVAILABLE retry_count=2 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7"},
		{"wrapped", fmt.Errorf("x: %w", full), "error=x: link.Send node-2/orders (UNAVAILABLE) request_id=r1 caller_id=/web target_id=node-2/orders error_type=UNAVAILABLE retry_count=2 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7"},
		{"retried", retried{full}, "error=link.Send node-2/orders (UNAVAILABLE) request_id=r1 caller_id=/web target_id=node-2/orders error_type=UNAVAILABLE retry_count=3 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7"},
		{"an application's", io.EOF, "error=EOF request_id= caller_id= target_id= error_type=UNKNOWN retry_count=0 trace_id= span_id="},
		{"nil", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range fault.Attrs(tt.err) {
				got = append(got, a.String())
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// Req F13
func TestLogValue(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Error("tell failed", "err", errFull.WithTarget("/a"))
	var record struct {
		Err map[string]any `json:"err"`
	}
	if err := json.Unmarshal([]byte(out.String()), &record); err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(record.Err))
	want := []string{"caller_id", "error", "error_type", "request_id", "retry_count", "span_id", "target_id", "trace_id"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	if record.Err["error_type"] != "RESOURCE_EXHAUSTED" || record.Err["target_id"] != "/a" {
		t.Errorf("record %v", record.Err)
	}
}

func ExampleAttrs() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Value.Kind() == slog.KindString && a.Value.String() == "" {
				return slog.Attr{}
			}
			return a
		},
	}))
	err := errors.Join(&fault.Error{Code: fault.Unavailable, Target: "/orders", RequestID: "r1"})

	log.LogAttrs(context.Background(), slog.LevelError, "order lost", fault.Attrs(err)...)
	// Output:
	// level=ERROR msg="order lost" error="/orders (UNAVAILABLE)" request_id=r1 target_id=/orders error_type=UNAVAILABLE retry_count=0
}
