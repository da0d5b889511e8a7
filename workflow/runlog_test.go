package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// logged waits until the log of a run is as it should be, and returns it.
func (s *stage) logged(r *Run, right func(lines []LogLine) bool) []LogLine {
	s.t.Helper()
	changes, stop := r.Changes()
	defer stop()
	for deadline := time.After(hang); ; {
		var lines []LogLine
		for f := (LogFilter{Limit: 5_000}); ; {
			page, next, err := r.Logs(context.Background(), f)
			if err != nil {
				s.t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			lines, f.After = append(lines, page...), next
		}
		if right(lines) {
			return lines
		}
		select {
		case <-changes:
		case <-deadline:
			s.t.Fatalf("the log is not as it should be; there are %d lines", len(lines))
		}
	}
}

// Req T2, W9: what the nodes of a run log is kept with the run, and outlives the
// process.
func TestRunLogs(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		log := task.Log.With("text", text)
		log.Debug("not kept")
		log.WithGroup("msg").Info("working", "level", "high", "n", task.Iteration)
		if task.Attempt == 1 && text == "3" {
			return nil, fault.New(fault.Unavailable, "", "the line is busy")
		}
		log.Error(strings.Repeat("é", logMessageMax), "data", strings.Repeat("x", logAttrsMax)) //nolint:sloglint // a long message is the point
		log.Warn("done")
		return nil, nil
	})
	r := s.start(`
name: logs
nodes:
  - id: all
    type: foreach
    with: {items: "[1, 2, 3]", parallel: 1}
    do:
      - {id: one, type: task.play, retry: {max: 1, initial: 1ms}, with: {text: "${{ item }}"}}
`, StartOptions{})
	if _, err := s.wait(r); err != nil {
		t.Fatal(err)
	}
	lines := s.logged(r, func(lines []LogLine) bool { return len(lines) == 11 })
	var got strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&got, "%d %s %s %s %s\n", l.Seq, l.Level, l.Node, l.Message[:min(len(l.Message), 20)], l.Attrs)
	}
	const cut = `{"left_out":"the attributes are too large"}`
	want := `1 INFO one[0] working {"text":"1","msg":{"level":"high","n":[0]}}
2 ERROR one[0] éééééééééé ` + cut + `
3 WARN one[0] done {"text":"1"}
4 INFO one[1] working {"text":"2","msg":{"level":"high","n":[1]}}
5 ERROR one[1] éééééééééé ` + cut + `
6 WARN one[1] done {"text":"2"}
7 INFO one[2] working {"text":"3","msg":{"level":"high","n":[2]}}
8 WARN one[2] the attempt failed;  `
	if !strings.HasPrefix(got.String(), want) {
		t.Errorf("the log is\n%s\nwant\n%s", got.String(), want)
	}
	if len(lines[1].Message) > logMessageMax+len("…") || !strings.HasSuffix(lines[1].Message, "é…") {
		t.Errorf("a long message has %d bytes", len(lines[1].Message))
	}
	s.close()
	s.open()
	for _, tt := range []struct {
		name   string
		filter LogFilter
		seqs   string
		next   int64
	}{
		{"a page", LogFilter{After: 3, Limit: 2, Level: slog.LevelDebug}, "[4 5]", 5},
		{"the last lines", LogFilter{Tail: 2, Level: slog.LevelDebug}, "[10 11]", 11},
		{"errors", LogFilter{Level: slog.LevelError}, "[2 5 10]", 11},
		{"a node", LogFilter{Node: "one[1]"}, "[4 5 6]", 11},
		{"all iterations of it", LogFilter{Node: "one", Limit: 4}, "[1 2 3 4]", 4},
		{"beyond the end", LogFilter{After: 100}, "[]", 100},
	} {
		again, err := s.engine.Run(context.Background(), r.ID())
		if err != nil {
			t.Fatal(err)
		}
		lines, next, err := again.Logs(context.Background(), tt.filter)
		seqs := []int64{}
		for _, l := range lines {
			seqs = append(seqs, l.Seq)
		}
		if err != nil || fmt.Sprint(seqs) != tt.seqs || next != tt.next {
			t.Errorf("%s: %v, next %d, %v; want %s, next %d", tt.name, seqs, next, err, tt.seqs, tt.next)
		}
	}
}

// Older lines of a long log go; what is left can be read from the beginning.
func TestRunLogsAreBounded(t *testing.T) {
	t.Parallel()
	const lines = LogLinesKept + 3*logTrimStep
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		for i := range lines {
			task.Log.Info("line", "i", i)
		}
		return nil, nil
	})
	r := s.start("name: long\nnodes:\n  - {id: a, type: task.play}\n", StartOptions{})
	if _, err := s.wait(r); err != nil {
		t.Fatal(err)
	}
	kept := s.logged(r, func(kept []LogLine) bool {
		return len(kept) > 0 && kept[len(kept)-1].Seq == lines && len(kept) < LogLinesKept+2*logTrimStep
	})
	if len(kept) < LogLinesKept {
		t.Errorf("only %d lines are kept", len(kept))
	}
	if _, err := s.engine.Prune(context.Background(), "long", 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Logs(context.Background(), LogFilter{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the log of a run that is gone: %v", err)
	}
}

// Req T2: a store that takes nothing keeps no node from working, and the
// program's log has the lines, with the ids of the run.
func TestRunLogsWithoutStore(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	var out bytes.Buffer
	s.engine.log = slog.New(slog.NewJSONHandler(&out, nil))
	s.mu.Lock()
	s.commit = func(b *store.Batch) error {
		if strings.HasPrefix(string(b.Appends[0].Stream), runLogPrefix) {
			return errors.New("no room")
		}
		return nil
	}
	s.mu.Unlock()
	logger := s.engine.runLogger("w", "id", "")
	logger.With("node", "a").Info("hello", "x", 1)
	s.close()
	s.open()
	if text := out.String(); !strings.Contains(text, `"msg":"hello","workflow_id":"w","execution_id":"id","node":"a","x":1`) || !strings.Contains(text, "cannot be kept") {
		t.Error(text)
	}
}
