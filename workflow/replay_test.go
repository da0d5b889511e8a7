package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// replayAll has the history of every run of a test decided again by the version
// that the run had: nothing may be different, not even the order. Each test of the
// engine thus proves that what follows from a history is always the same.
func (s *stage) replayAll() {
	if s.t.Failed() {
		return
	}
	ctx := context.Background()
	names, err := s.engine.names(ctx)
	if err != nil {
		if !errors.Is(err, store.ErrClosed) {
			s.t.Errorf("replay: %v", err)
		}
		return
	}
	for _, name := range names {
		runs, err := s.engine.Runs(ctx, RunFilter{Workflow: name, Limit: 1000})
		if err != nil {
			s.t.Errorf("replay: %v", err)
		}
		for _, run := range runs {
			selfReplay(s.t, s.engine, run)
		}
	}
}

// selfReplay replays a run by its own version.
func selfReplay(t *testing.T, e *Engine, run RunSummary) {
	t.Helper()
	var history []Event
	for event, err := range (&Run{engine: e, id: run.ID}).History(context.Background(), 0) {
		if err != nil {
			t.Errorf("replay of %s: %v", run.ID, err)
			return
		}
		history = append(history, event)
	}
	if len(history) == 0 {
		return
	}
	d, err := e.definition(context.Background(), run.Workflow, run.Version, history[0].Start.Inputs)
	if err != nil {
		t.Logf("replay of %s: %v", run.ID, err) // such as a source that is gone
		return
	}
	if diff := replayHistory(d, d, run.ID, history, true); diff != nil {
		t.Errorf("the history of the run %s of %s is decided otherwise in a replay: %+v\n%s", run.ID, run.Workflow, *diff, historyText(history))
	}
}

func historyText(history []Event) string {
	var b strings.Builder
	for i := range history {
		fmt.Fprintf(&b, "%d %s\n", history[i].Seq, told(&history[i]))
	}
	return b.String()
}

const replayBase = `
name: w
inputs: {least: {type: int, default: 5}}
output: steps.end.output
nodes:
  - {id: count, type: task.play, with: {text: "${least}"}}
  - {id: pick, type: branch, after: count, with: {cases: {large: "steps.count.output == '7'"}}}
  - {id: big, type: task.play, after: pick.large, with: {text: big}}
  - {id: small, type: task.play, after: pick.else, retry: {max: 2, initial: 1ms}, with: {text: small}}
  - {id: go, type: wait, after: count, with: {signal: go, timeout: 1h}}
  - {id: end, type: value, after: [big, small, go], with: {output: "{'big': steps.big.state, 'said': steps.go.output}"}}
`

// Req W10: before a version gets runs, the histories of those that there were are
// decided by it, and where it leads elsewhere is told.
func TestReplay(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	s := newStage(t, func(_ context.Context, task *Task, text string) (json.RawMessage, error) {
		s, _, _ := strings.Cut(task.Key, "/")
		if text == "small" && !tried[s] {
			tried[s] = true
			return nil, fault.New(fault.Unavailable, "", "not now")
		}
		return json.Marshal(text)
	})
	s.deploy(replayBase)
	ctx := context.Background()
	for _, inputs := range []map[string]string{nil, {"least": "7"}} {
		r, err := s.engine.Start(ctx, "w", StartOptions{Inputs: inputs})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Signal(ctx, "go", json.RawMessage(`"now"`), "request"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.wait(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		replace []string
		want    string // of the newer run, then of the older one
	}{
		{"the same", nil, "both"},
		{"order of nodes, a longer wait, more attempts, another text", []string{"timeout: 1h", "timeout: 9h", "max: 2, initial: 1ms", "max: 5, initial: 1h", "text: big", "text: huge",
			"  - {id: go, type: wait", "  # later\n  - {id: go, type: wait"}, "both"},
		{"a condition", []string{"== '7'", "== '5'"}, "differs NodeCompleted pick by large | NodeCompleted pick by else; differs NodeCompleted pick by else | NodeCompleted pick by large"},
		{"an output", []string{"'said': steps.go.output", "'say': steps.go.output"},
			`differs NodeCompleted end with {"big":"completed","said":"now"} | NodeCompleted end with {"big":"completed","say":"now"}; ` +
				`differs NodeCompleted end with {"big":"skipped","said":"now"} | NodeCompleted end with {"big":"skipped","say":"now"}`},
		{"a step more", []string{"output: steps.end.output\n", "output: steps.end.output\n", "  - {id: end,", "  - {id: more, type: task.play, after: big}\n  - {id: end,"},
			"unknown WorkflowCompleted with {\"big\":\"completed\",\"said\":\"now\"} | NodeStarted more; same"},
		{"fewer attempts", []string{"max: 2, initial: 1ms", "max: -1"}, "same; differs NodeRetried small: not now (UNAVAILABLE) | NodeFailed small: not now (UNAVAILABLE)"},
		{"a step less", []string{"  - {id: small, type: task.play, after: pick.else, retry: {max: 2, initial: 1ms}, with: {text: small}}\n", "", "[big, small, go]", "[big, go]"},
			"same; differs NodeStarted small | "},
		{"another signal", []string{"signal: go", "signal: come"}, "differs NodeCompleted go, signal go"},
		{"an input less", []string{"least: {", "most: {", "${least}", "${most}"}, "differs the run started | its start is refused; same"},
	} {
		text := replayBase
		for i := 0; i < len(tt.replace); i += 2 {
			text = strings.ReplaceAll(text, tt.replace[i], tt.replace[i+1])
		}
		d, err := LoadText("w.yaml", ".", []byte(text), LoadOptions{Registry: s.registry, Open: true})
		if err != nil {
			t.Fatal(err)
		}
		report, err := s.engine.Replay(ctx, "w", d, ReplayOptions{})
		if err != nil || len(report.Runs) != 2 {
			t.Fatalf("%s: %+v, %v", tt.name, report, err)
		}
		var got []string
		for _, r := range report.Runs {
			if r.Outcome == ReplaySame {
				got = append(got, "same")
				continue
			}
			got = append(got, fmt.Sprintf("%s %s | %s", r.Outcome, r.Recorded, r.Replayed))
		}
		ok := len(got) == 2
		for i, want := range strings.Split(strings.Replace(tt.want, "both", "same; same", 1), "; ") {
			ok = ok && strings.HasPrefix(got[i], want)
		}
		if !ok {
			t.Errorf("%s: got\n%s\nwant\n%s\n%s", tt.name, strings.Join(got, "; "), tt.want, report.String())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) != 5 {
		t.Errorf("a replay has run something: %v", s.calls)
	}
}

// Runs under way are replayed as far as they have come, if that is wished.
func TestReplayOpen(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	ctx := context.Background()
	r := s.start("name: w\nnodes:\n  - {id: a, type: task.play}\n  - {id: b, type: wait, after: a, with: {signal: go}}\n", StartOptions{})
	changes, cancel := r.Changes()
	defer cancel()
	for {
		info, err := r.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Waits) > 0 {
			break
		}
		<-changes
	}
	if report, err := s.engine.ReplayVersion(ctx, "w", 0, ReplayOptions{}); err != nil || len(report.Runs) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := s.engine.ReplayVersion(ctx, "w", 0, ReplayOptions{Open: true}); err != nil || report.Same != 1 || report.Version != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	for _, err := range []error{
		func() error { _, err := s.engine.ReplayVersion(ctx, "w", 7, ReplayOptions{}); return err }(),
		func() error { _, err := s.engine.ReplayVersion(ctx, "x", 0, ReplayOptions{}); return err }(),
	} {
		if fault.CodeOf(err) != fault.NotFound {
			t.Errorf("got %v", err)
		}
	}
}

// goldenEvent is an event of a history as a store had it.
type goldenEvent struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`
	Data []byte    `json:"data"`
}

// Req W14: histories that were written by former versions of the program are read,
// and go on as they did. Each testdata/history/*.yaml has one beside it; a new one
// is written with -update, one that is there is never written again.
func TestGoldenHistories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/history/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d definitions: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimSuffix(file, ".yaml") + ".json"
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *update {
				recordGolden(t, string(text), path)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var events []goldenEvent
			if err := json.Unmarshal(data, &events); err != nil {
				t.Fatal(err)
			}
			var history []Event
			for i, e := range events {
				event, err := decodeEvent(store.Event{Type: e.Type, Time: e.Time, Data: e.Data, Position: store.Position(i + 1)})
				if err != nil {
					t.Fatalf("event %d: %v", i+1, err)
				}
				history = append(history, event)
			}
			s := newStage(t, nil)
			d, err := LoadText("w.yaml", ".", text, LoadOptions{Registry: s.registry, Inputs: history[0].Start.Inputs})
			if err != nil {
				t.Fatal(err)
			}
			if diff := replayHistory(d, d, "golden", history, true); diff != nil {
				t.Errorf("%+v\n%s", *diff, historyText(history))
			}
			last := history[len(history)-1].Type
			if last != WorkflowCompleted && last != WorkflowFailed && last != WorkflowCancelled {
				t.Errorf("the history ends with %s", last)
			}
		})
	}
}

// recordGolden runs a definition and writes its history.
func recordGolden(t *testing.T, text, path string) {
	t.Helper()
	tries := 0
	s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
		if tries++; tries == 1 {
			return nil, fault.New(fault.Unavailable, "", "not now")
		}
		if text == "fail" {
			return nil, fault.New(fault.InvalidArgument, "", "no such thing")
		}
		return json.Marshal(text)
	})
	r := s.start(text, StartOptions{Key: "golden"})
	if strings.Contains(text, "signal: go") {
		if err := r.Signal(context.Background(), "go", json.RawMessage(`{"by": "golden"}`), "golden"); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = s.wait(r) // some fail
	var events []goldenEvent
	for stored, err := range s.store.Read(context.Background(), store.Stream(runPrefix+r.ID()), 0) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, goldenEvent{stored.Type, stored.Time, stored.Data})
	}
	data, err := json.MarshalIndent(events, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
