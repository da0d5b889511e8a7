package actor

import (
	"context"
	"log/slog"
)

type logKey struct{}

// actorLog is an actor's logger, made when it is first used.
type actorLog struct {
	logger *slog.Logger
	attrs  []slog.Attr
}

func (c *core) log() *actorLog {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	if x.log == nil {
		attrs := []slog.Attr{slog.String("actor", c.path()), slog.String("actor_type", c.kind.name)}
		x.log = &actorLog{logger: slog.New(c.sys.log().Handler().WithAttrs(attrs)), attrs: attrs}
	}
	return x.log
}

func (c *core) logger() *slog.Logger { return c.log().logger }

func (c *core) logAttrs() []slog.Attr { return c.log().attrs }

// LogHandler returns a handler that adds the attributes of the actor and of the
// trace to each record logged with a handler's context, as by
// slog.InfoContext(ctx, …), and passes the records on to h.
func LogHandler(h slog.Handler) slog.Handler { return &logHandler{h} }

type logHandler struct{ next slog.Handler }

func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if attrs, ok := ctx.Value(logKey{}).([]slog.Attr); ok {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	if t := traceOf(ctx); t != nil {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", t.TraceID()), slog.String("span_id", t.SpanID()))
	}
	return h.next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.next.WithAttrs(attrs)}
}

func (h *logHandler) WithGroup(name string) slog.Handler { return &logHandler{h.next.WithGroup(name)} }
