package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// NewLogger returns a logger that writes one JSON object a line to w, through
// [NewHandler]. Records below level are dropped; nil means INFO. Give it a
// *[slog.LevelVar] to change the level while the program runs. w must be safe
// for concurrent use only if something else writes to it too.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(NewHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})))
}

// NewHandler returns a handler that passes records on to next and completes
// them on the way:
//
//   - what the record's context tells: actor and actor_type within an actor,
//     trace_id and span_id where there is a trace (see [actor.LogHandler]);
//   - the keys of [fault.Attrs], when the record is a WARN or above and one of
//     its attributes is an error. The first such error counts.
//
// What it adds stands at the top level of the record, even within a group, and
// never repeats a key that the logger or the record has there. An attribute
// that is an error is written as its text.
func NewHandler(next slog.Handler) slog.Handler { return &handler{root: next} }

// handler keeps groups, and attributes given within them, to itself, because
// what it adds must come before the first group.
type handler struct {
	root   slog.Handler // has the attributes that were given before any group
	given  []string     // their keys
	groups []group
}

// group is an open group and the attributes given to the logger within it.
type group struct {
	name  string
	attrs []slog.Attr
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.root.Enabled(ctx, level)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	c := *h
	if len(h.groups) == 0 {
		c.root = h.root.WithAttrs(attrs)
		c.given = slices.Clip(h.given)
		for _, a := range attrs {
			c.given = append(c.given, a.Key)
		}
		return &c
	}
	c.groups = slices.Clone(h.groups)
	last := &c.groups[len(c.groups)-1]
	last.attrs = slices.Concat(last.attrs, attrs)
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.groups = append(slices.Clip(h.groups), group{name: name})
	return &c
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	err := firstError(r)
	more := contextAttrs(ctx)
	if err == nil && len(more) == 0 && len(h.groups) == 0 {
		return h.root.Handle(ctx, r)
	}
	if err != nil && r.Level >= slog.LevelWarn {
		more = append(more, fault.Attrs(err)[1:]...) // the first is the text, which the record has
	}

	attrs := make([]slog.Attr, 0, r.NumAttrs()+len(more))
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, errorAsText(a))
		return true
	})
	attrs = h.nest(attrs)
	for _, a := range more {
		same := func(b slog.Attr) bool { return b.Key == a.Key }
		if !slices.Contains(h.given, a.Key) && !slices.ContainsFunc(attrs, same) {
			attrs = append(attrs, a)
		}
	}
	complete := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	complete.AddAttrs(attrs...)
	return h.root.Handle(ctx, complete)
}

// nest puts a record's attributes into the open groups.
func (h *handler) nest(attrs []slog.Attr) []slog.Attr {
	for _, g := range slices.Backward(h.groups) {
		attrs = []slog.Attr{{Key: g.name, Value: slog.GroupValue(slices.Concat(g.attrs, attrs)...)}}
	}
	return attrs
}

// contextAttrs returns what actor.LogHandler adds to a record for this context.
func contextAttrs(ctx context.Context) []slog.Attr {
	if ctx == nil || ctx == context.Background() {
		return nil
	}
	var c keeper
	_ = actor.LogHandler(&c).Handle(ctx, slog.Record{}) // a keeper does not fail
	return c.attrs
}

// keeper is a handler that keeps the attributes of one record. It has no other
// method than Handle.
type keeper struct {
	slog.Handler
	attrs []slog.Attr
}

func (c *keeper) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		c.attrs = append(c.attrs, a)
		return true
	})
	return nil
}

func firstError(r slog.Record) (found error) {
	r.Attrs(func(a slog.Attr) bool {
		found, _ = a.Value.Any().(error)
		return found == nil
	})
	return found
}

func errorAsText(a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}
