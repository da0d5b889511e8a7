package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/telemetry"
)

var trace = actor.Trace{
	ID:   [16]byte{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
	Span: [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
}

const traceKeys = `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"`

// line returns what the call logs, without the time.
func line(t *testing.T, call func(context.Context, *slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	call(actor.WithTrace(t.Context(), trace), telemetry.NewLogger(&out, nil))
	text := strings.TrimSuffix(out.String(), "\n")
	if text == "" {
		return ""
	}
	if !json.Valid([]byte(text)) {
		t.Errorf("not one JSON object: %s", text)
	}
	rest, ok := strings.CutPrefix(text, `{"time":"`)
	_, rest, found := strings.Cut(rest, `",`)
	if !ok || !found {
		t.Errorf("no time in front: %s", text)
	}
	return "{" + rest
}

// Req T2, F13
func TestLogger(t *testing.T) {
	t.Parallel()
	bg := context.Background()
	failure := &fault.Error{Code: fault.Unavailable, Op: "link.Send", Target: "/b", RequestID: "r1", CallerID: "/a", RetryCount: 2}
	const failureKeys = `"request_id":"r1","caller_id":"/a","target_id":"/b","error_type":"UNAVAILABLE","retry_count":2`
	tests := []struct {
		name string
		call func(context.Context, *slog.Logger)
		want string
	}{
		{"plain", func(_ context.Context, l *slog.Logger) { l.Info("m", "k", 1) },
			`{"level":"INFO","msg":"m","k":1}`},
		{"below the level", func(_ context.Context, l *slog.Logger) { l.Debug("m") }, ""},
		{"trace", func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "k", 1) },
			`{"level":"INFO","msg":"m","k":1,` + traceKeys + `}`},
		{"trace is not repeated", func(ctx context.Context, l *slog.Logger) {
			l.With("trace_id", "x", "span_id", "y").InfoContext(ctx, "m")
		},
			`{"level":"INFO","msg":"m","trace_id":"x","span_id":"y"}`},
		{"error", func(_ context.Context, l *slog.Logger) { l.Error("m", "err", failure) },
			`{"level":"ERROR","msg":"m","err":"link.Send /b (UNAVAILABLE)",` + failureKeys + `,"trace_id":"","span_id":""}`},
		{"error and trace", func(ctx context.Context, l *slog.Logger) {
			l.WarnContext(ctx, "m", "err", fmt.Errorf("x: %w", failure), "k", 1)
		}, `{"level":"WARN","msg":"m","err":"x: link.Send /b (UNAVAILABLE)","k":1,` + traceKeys + `,` + failureKeys + `}`},
		{"an application's error", func(_ context.Context, l *slog.Logger) { l.Error("m", "err", io.EOF, "second", io.ErrNoProgress) },
			`{"level":"ERROR","msg":"m","err":"EOF","second":"multiple Read calls return no data or error",` +
				`"request_id":"","caller_id":"","target_id":"","error_type":"UNKNOWN","retry_count":0,"trace_id":"","span_id":""}`},
		{"an error that is no trouble", func(_ context.Context, l *slog.Logger) { l.Info("m", "err", failure) },
			`{"level":"INFO","msg":"m","err":"link.Send /b (UNAVAILABLE)"}`},
		{"the record's own key wins", func(_ context.Context, l *slog.Logger) {
			l.With("caller_id", "/me").Error("m", "err", failure, "request_id", "mine")
		}, `{"level":"ERROR","msg":"m","caller_id":"/me","err":"link.Send /b (UNAVAILABLE)","request_id":"mine","target_id":"/b","error_type":"UNAVAILABLE","retry_count":2,"trace_id":"","span_id":""}`},
		{"groups", func(ctx context.Context, l *slog.Logger) {
			l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").With().InfoContext(ctx, "m", "c", 3)
		}, `{"level":"INFO","msg":"m","a":1,"g":{"b":2,"h":{"c":3}},` + traceKeys + `}`},
		{"group without a name", func(_ context.Context, l *slog.Logger) { l.WithGroup("").Info("m", "c", 3) },
			`{"level":"INFO","msg":"m","c":3}`},
		{"no context", func(_ context.Context, l *slog.Logger) {
			//nolint:staticcheck // a nil context must not bring the program down
			l.InfoContext(nil, "m")
		}, `{"level":"INFO","msg":"m"}`},
		{"joined error", func(_ context.Context, l *slog.Logger) {
			l.LogAttrs(bg, slog.LevelInfo, "m", slog.Any("err", errors.Join(io.EOF, io.ErrNoProgress)))
		}, `{"level":"INFO","msg":"m","err":"EOF\nmultiple Read calls return no data or error"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := line(t, tt.call); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Loggers made from one logger do not share what they are given later.
func TestLoggersAreIndependent(t *testing.T) {
	t.Parallel()
	got := line(t, func(_ context.Context, l *slog.Logger) {
		l = l.WithGroup("g").With("a", 1)
		one, other := l.With("b", 2), l.With("b", 3)
		other.WithGroup("h")
		one.Info("m")
	})
	if want := `{"level":"INFO","msg":"m","g":{"a":1,"b":2}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Req T2
func TestLevelChangesAtRunTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var level slog.LevelVar
	log := telemetry.NewLogger(&out, &level).With("k", 1)
	log.Debug("dropped")
	level.Set(slog.LevelDebug)
	log.Debug("kept")
	level.Set(slog.LevelError)
	log.Warn("dropped")
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), `"kept"`) {
		t.Errorf("logged %q", out.String())
	}
}

func TestRecordsOfAnActor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	sys := actor.NewSystem(actor.Options{Logger: telemetry.NewLogger(&out, nil)})
	ref, err := actor.Spawn(sys, actor.Spec[string]{Name: "a", Type: "talker", New: func() actor.Behavior[string] {
		return actor.BehaviorFunc[string](func(ctx *actor.Context[string], m string) error {
			ctx.Log().InfoContext(ctx, "got it", "text", m)
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ref.Tell(actor.WithTrace(t.Context(), trace), "hello"); err != nil {
		t.Fatal(err)
	}
	if err := sys.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `"msg":"got it","actor":"/a","actor_type":"talker",` + traceKeys + `,"text":"hello"}`
	if !strings.Contains(out.String(), want) {
		t.Errorf("logged %s\nwant %s in it", out.String(), want)
	}
}

func ExampleNewLogger() {
	var level slog.LevelVar // INFO
	log := slog.New(telemetry.NewHandler(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{
		Level:       &level,
		ReplaceAttr: withoutTime,
	})))
	ctx := actor.WithTrace(context.Background(), actor.Trace{ID: [16]byte{1}, Span: [8]byte{2}})

	log.DebugContext(ctx, "not yet")
	level.Set(slog.LevelDebug)
	log.DebugContext(ctx, "order taken", "order", 7)
	// Output:
	// {"level":"DEBUG","msg":"order taken","order":7,"trace_id":"01000000000000000000000000000000","span_id":"0200000000000000"}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
