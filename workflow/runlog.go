package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// What nodes log goes to the log of the program, with the ids of workflow, run
// and node, and from INFO on it is kept with the run: in the stream runlog/ID of
// the store, where an actor of the engine writes it a moment later.

const (
	runLogPrefix = "runlog/"
	runLogType   = "line"
)

// Limits of what is kept of the log of a run.
const (
	// LogLinesKept is how many lines of a run are kept at least; older ones go.
	LogLinesKept = 10_000

	logTrimStep   = 1_000                  // lines are removed so many at a time
	logDelay      = 100 * time.Millisecond // lines of that time are written together
	logPending    = 20_000                 // lines that wait to be written; more are counted only
	logBatch      = 2_000                  // lines of one commit
	logMessageMax = 8 << 10
	logAttrsMax   = 16 << 10
)

// LogLine is a line of the log of a run.
type LogLine struct {
	// Seq is the line's place in the log, from 1. Lines have gaps in their numbers
	// where they are filtered, and begin later where older ones were removed.
	Seq     int64      `json:"seq"`
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Node    string     `json:"node,omitempty"` // with its iteration
	Message string     `json:"message"`
	// Attrs is a JSON object of the other attributes; empty if there are none.
	Attrs json.RawMessage `json:"attrs,omitempty"`
}

// LogFilter says which lines of a log to read. Empty fields let all through.
type LogFilter struct {
	// After is the number of the last line that was read.
	After int64
	// Tail begins with the last lines, so many of them; After is then ignored.
	Tail int
	// Level is the lowest level, Node the only node. Node without an iteration
	// stands for all of its iterations.
	Level slog.Level
	Node  string
	// Limit is how many lines at most. Default 100, at most 10,000.
	Limit int
}

// Logs reads lines of the log of a run, oldest first, and the number to go on
// after. Lines are there about 100 ms after they were logged; [Run.Changes] tells
// when. A crash of the process can lose the lines of that time. At least the
// last [LogLinesKept] lines are kept, as long as the run is.
//
// Errors: NOT_FOUND for an unknown run.
func (r *Run) Logs(ctx context.Context, f LogFilter) (lines []LogLine, next int64, err error) {
	const op = "workflow.Run.Logs"
	limit, err := store.PageLimit(op, f.Limit)
	if err != nil {
		return nil, 0, err
	}
	stream, from := store.Stream(runLogPrefix+r.id), store.Position(max(f.After, 0)+1)
	if f.Tail > 0 {
		head, err := r.engine.store.Head(ctx, stream)
		if err != nil && !errors.Is(err, store.ErrUnknownStream) {
			return nil, 0, err
		}
		from = max(head-store.Position(f.Tail), 0) + 1
	}
	next = int64(from) - 1
	lines = []LogLine{}
	for again := true; again; {
		again = false
		for stored, err := range r.engine.store.Read(ctx, stream, from) {
			switch {
			case errors.Is(err, store.ErrTrimmed) && from > 0:
				from, again = 0, true
			case errors.Is(err, store.ErrUnknownStream):
				return lines, next, r.exists(ctx, op)
			case err != nil:
				return nil, 0, err
			}
			if err != nil {
				break
			}
			next = int64(stored.Position)
			var line LogLine
			if err := json.Unmarshal(stored.Data, &line); err != nil {
				return nil, 0, fault.New(fault.DataLoss, op, "line %d of the log of %s cannot be read: %v", stored.Position, r.id, err)
			}
			if line.Seq, line.Time = next, stored.Time; f.takes(&line) {
				lines = append(lines, line)
			}
			if len(lines) == limit {
				return lines, next, nil
			}
		}
	}
	return lines, next, nil
}

// exists returns NOT_FOUND for a run that is not there.
func (r *Run) exists(ctx context.Context, op string) error {
	_, err := r.engine.store.Head(ctx, store.Stream(runPrefix+r.id))
	if errors.Is(err, store.ErrUnknownStream) {
		return noRun(op, r.id)
	}
	return err
}

func (f *LogFilter) takes(l *LogLine) bool {
	return l.Level >= f.Level && (f.Node == "" || l.Node == f.Node || strings.HasPrefix(l.Node, f.Node+"["))
}

// runLogger is the logger of a run. It costs nothing until something is logged.
func (e *Engine) runLogger(workflow, run, node string) *slog.Logger {
	return slog.New(&runLogHandler{engine: e, workflow: workflow, run: run, node: node})
}

// runLogHandler passes records on to the program's log and keeps them.
type runLogHandler struct {
	engine              *Engine
	workflow, run, node string
	grouped             bool
	with                []func(slog.Handler) slog.Handler // what was added, in order
}

// Enabled implements [slog.Handler].
func (h *runLogHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.engine.log.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler]. The attribute node says which node logs.
func (h *runLogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	var rest []slog.Attr
	for _, a := range attrs {
		if a.Key == "node" && h.node == "" && !h.grouped {
			next.node = a.Value.String()
			continue
		}
		rest = append(rest, a)
	}
	return next.adding(func(to slog.Handler) slog.Handler { return to.WithAttrs(rest) })
}

// WithGroup implements [slog.Handler].
func (h *runLogHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.grouped = true
	return next.adding(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h runLogHandler) adding(f func(slog.Handler) slog.Handler) slog.Handler {
	h.with = append(slices.Clip(h.with), f)
	return &h
}

// on puts what was added on a handler.
func (h *runLogHandler) on(to slog.Handler) slog.Handler {
	for _, f := range h.with {
		to = f(to)
	}
	return to
}

// Handle implements [slog.Handler].
func (h *runLogHandler) Handle(ctx context.Context, record slog.Record) error {
	var err error
	if out := h.engine.log.Handler(); out.Enabled(ctx, record.Level) {
		ids := []slog.Attr{slog.String("workflow_id", h.workflow), slog.String("execution_id", h.run)}
		if h.node != "" {
			ids = append(ids, slog.String("node", h.node))
		}
		err = h.on(out.WithAttrs(ids)).Handle(ctx, record)
	}
	if record.Level >= slog.LevelInfo {
		h.engine.logs.add(h.run, record.Time, h.line(ctx, record))
	}
	return err
}

// line is what is kept of a record.
func (h *runLogHandler) line(ctx context.Context, record slog.Record) LogLine {
	line := LogLine{Level: record.Level, Node: h.node, Message: record.Message}
	if len(line.Message) > logMessageMax {
		line.Message = strings.ToValidUTF8(line.Message[:logMessageMax], "") + "…"
	}
	var text bytes.Buffer
	own := -1 // of the record's own attributes, which JSON has first, the number seen
	attrs := h.on(slog.NewJSONHandler(&text, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if own >= 0 && own < 2 && len(groups) == 0 {
				own++
				return slog.Attr{} // level and message
			}
			return a
		},
	}))
	own = 0
	record.Time = time.Time{}
	if err := attrs.Handle(ctx, record); err != nil {
		return line
	}
	switch object := bytes.TrimSpace(text.Bytes()); {
	case len(object) > logAttrsMax:
		line.Attrs = json.RawMessage(`{"left_out":"the attributes are too large"}`)
	case string(object) != "{}":
		line.Attrs = bytes.Clone(object)
	}
	return line
}

// runLogs are the lines that wait to be written.
type runLogs struct {
	mu      sync.Mutex
	writer  actor.Ref[logMessage]
	pending []pendingLine
	dropped int
	told    bool // the writer knows that there are some
}

type pendingLine struct {
	run   string
	event store.Event
}

func (l *runLogs) startWith(writer actor.Ref[logMessage]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writer = writer
}

func (l *runLogs) add(run string, at time.Time, line LogLine) {
	data, err := json.Marshal(line)
	if err != nil {
		return // of texts and numbers, which does not fail
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= logPending {
		l.dropped++
		return
	}
	l.pending = append(l.pending, pendingLine{run, store.Event{Time: at, Type: runLogType, Data: data}})
	if !l.told {
		l.told = !l.writer.IsZero() && l.writer.TryTell(linesWait{}) == nil
	}
}

// take hands the lines over that wait.
func (l *runLogs) take() (lines []pendingLine, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines, dropped = l.pending, l.dropped
	l.pending, l.dropped, l.told = nil, 0, false
	return lines, dropped
}

type logMessage interface{ isLogMessage() }

type (
	linesWait  struct{}
	writeLines struct{}
)

func (linesWait) isLogMessage()  {}
func (writeLines) isLogMessage() {}

// logWriter is the actor that writes lines to the store.
type logWriter struct {
	engine *Engine
	trims  map[string]store.Position // runs of which older lines are to be removed, and up to where
}

// Receive implements [actor.Behavior].
func (w *logWriter) Receive(ctx *actor.Context[logMessage], m logMessage) error {
	switch m.(type) {
	case linesWait:
		ctx.After(logDelay, writeLines{})
	case writeLines:
		w.write(ctx)
	}
	return nil
}

// Stop writes what is left.
func (w *logWriter) Stop(ctx *actor.Context[logMessage]) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	w.write(last)
	return nil
}

func (w *logWriter) write(ctx context.Context) {
	lines, dropped := w.engine.logs.take()
	if dropped > 0 {
		w.engine.log.Warn("lines of the logs of runs are not kept: more came than could be written", "lines", dropped)
	}
	written := map[string]bool{}
	for len(lines) > 0 {
		n := min(len(lines), logBatch)
		w.commit(ctx, lines[:n], written)
		lines = lines[n:]
	}
	w.trim(ctx)
	for run := range written {
		w.engine.changed(run, nil)
	}
}

// trim removes the older lines of long logs.
func (w *logWriter) trim(ctx context.Context) {
	if len(w.trims) == 0 {
		return
	}
	batch := &store.Batch{Fence: w.engine.fence}
	for run, through := range w.trims {
		batch.Trims = append(batch.Trims, store.Trim{Stream: store.Stream(runLogPrefix + run), Through: through})
	}
	if _, err := w.engine.store.Commit(ctx, batch); err != nil {
		w.engine.log.Warn("old lines of the logs of runs cannot be removed; they go with later ones", "error", err)
		return
	}
	clear(w.trims)
}

// commit writes lines. A store that is away keeps nobody from working: they are
// left out then, as the program's log has them.
func (w *logWriter) commit(ctx context.Context, lines []pendingLine, written map[string]bool) {
	batch := &store.Batch{Fence: w.engine.fence}
	at := map[string]int{}
	for _, line := range lines {
		i, known := at[line.run]
		if !known {
			i = len(batch.Appends)
			at[line.run] = i
			batch.Appends = append(batch.Appends, store.Append{Stream: store.Stream(runLogPrefix + line.run), Expected: store.Any})
		}
		batch.Appends[i].Events = append(batch.Appends[i].Events, line.event)
	}
	result, err := w.engine.store.Commit(ctx, batch)
	if err != nil {
		w.engine.log.Warn("lines of the logs of runs cannot be kept", "lines", len(lines), "error", err)
		return
	}
	for run, i := range at {
		written[run] = true
		head := result.Heads[i]
		if before := head - store.Position(len(batch.Appends[i].Events)); head/logTrimStep > before/logTrimStep && head > LogLinesKept {
			w.trims[run] = head - LogLinesKept
		}
	}
}
