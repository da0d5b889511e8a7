package workflow

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crashEvidence is what is left when processes have been killed and the last one
// has ended all runs.
type crashEvidence struct {
	acked    []string // the runs that were acknowledged
	runs     []crashedRun
	children int                    // runs of the sub-workflow
	assigned int64                  // children that the rollout gave a version
	counted  int64                  // children that the figures of the rollout have
	begins   map[string][]time.Time // of tasks, by key, as they noted it outside of the store
}

// crashedRun is a run as it has ended.
type crashedRun struct {
	id      string
	state   State
	output  string
	rowsOut int64
	events  []Event
}

func (f *crashEvidence) String() string {
	steps, begins := 0, 0
	for _, run := range f.runs {
		for _, event := range run.events {
			if event.Type == NodeCompleted {
				steps++
			}
		}
	}
	for _, times := range f.begins {
		begins += len(times)
	}
	return fmt.Sprintf("%d runs, %d of them acknowledged, %d steps, %d begins", len(f.runs), len(f.acked), steps, begins)
}

func (f *crashEvidence) clone() *crashEvidence {
	out := *f
	out.runs, out.begins = slices.Clone(f.runs), maps.Clone(f.begins)
	for i := range out.runs {
		out.runs[i].events = slices.Clone(out.runs[i].events)
	}
	return &out
}

// wrong says what must not be.
func (f *crashEvidence) wrong() (wrong []string) {
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen, completed := map[string]bool{}, map[string]time.Time{}
	for _, run := range f.runs {
		if seen[run.id] {
			add("the run %s is there twice", run.id)
		}
		seen[run.id] = true
		if run.state != StateCompleted || run.output != "7" || run.rowsOut != 20 {
			add("the run %s is %s: %s, %d rows", run.id, run.state, run.output, run.rowsOut)
		}
		for i, event := range run.events {
			if event.Seq != int64(i)+1 {
				add("the run %s: event %d is at place %d", run.id, event.Seq, i+1)
			}
			if event.Type != NodeCompleted {
				continue
			}
			key := taskKey(run.id, event.Node, event.Iteration)
			if _, twice := completed[key]; twice {
				add("%s completed twice", key)
			}
			completed[key] = event.At
		}
	}
	for _, id := range f.acked {
		if !seen[id] {
			add("the run %s is lost", id)
		}
	}
	if f.children != len(f.runs) {
		add("%d children of %d runs", f.children, len(f.runs))
	}
	if f.counted != f.assigned || f.assigned == 0 {
		add("a rollout has counted %d of %d runs", f.counted, f.assigned)
	}
	for key, times := range f.begins {
		for _, at := range times {
			if done, ok := completed[key]; ok && at.UnixMilli() > done.UnixMilli() {
				add("%s began %v after it was completed", key, at.Sub(done))
			}
		}
	}
	return wrong
}

// evidence lets the last process end all runs, and reads what they did.
func (c *crash) evidence() *crashEvidence {
	c.t.Helper()
	log, err := os.OpenFile(c.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute) // a net for what hangs
	defer cancel()
	e, _ := crashEngine(c.t, c.place, log)
	select {
	case <-e.Ready():
	case <-ctx.Done():
		c.t.Fatal("the engine does not take up all runs")
	}
	f := &crashEvidence{acked: slices.Sorted(maps.Keys(c.acked))}
	for _, summary := range allRuns(ctx, c.t, e, "crash") {
		r, err := e.Run(ctx, summary.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		info, _ := r.Wait(ctx) // its state says whether it failed
		run := crashedRun{id: summary.ID, state: info.State, output: string(info.Output), rowsOut: info.RowsOut()}
		for event, err := range r.History(ctx, 0) {
			if err != nil {
				c.t.Fatal(err)
			}
			run.events = append(run.events, event)
		}
		f.runs = append(f.runs, run)
		selfReplay(c.t, e, summary)
	}
	c.children(ctx, e, f)
	f.begins = c.begins()
	return f
}

// allRuns are the runs of a workflow, page by page.
func allRuns(ctx context.Context, t *testing.T, e *Engine, workflow string) (all []RunSummary) {
	t.Helper()
	for filter := (RunFilter{Workflow: workflow, Limit: 1000}); ; {
		page, err := e.Runs(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		filter.After = page[len(page)-1].ID
	}
}

// children reads the runs of the sub-workflow, and the figures of its rollout.
func (c *crash) children(ctx context.Context, e *Engine, f *crashEvidence) {
	c.t.Helper()
	rollout, err := e.Rollout(ctx, "child")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, a := range rollout.Arms {
		f.counted += a.Completed
	}
	for _, summary := range allRuns(ctx, c.t, e, "child") {
		f.children++
		r, err := e.Run(ctx, summary.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		if info, err := r.Info(ctx); err != nil {
			c.t.Fatal(err)
		} else if info.Start.Rollout == rollout.ID {
			f.assigned++
		}
		selfReplay(c.t, e, summary)
	}
}

// begins reads what tasks have noted.
func (c *crash) begins() map[string][]time.Time {
	c.t.Helper()
	text, err := os.ReadFile(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	begins := map[string][]time.Time{}
	for line := range strings.Lines(string(text)) {
		key, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		millis, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			continue // a line that the kill cut short
		}
		begins[key] = append(begins[key], time.UnixMilli(millis))
	}
	return begins
}

// The checker finds what an engine must not do, each in the histories of runs
// that are right.
func TestCrashCheckerFindsMutants(t *testing.T) {
	t.Parallel()
	c := newCrash(t, filepath.Join(t.TempDir(), "s.db"), 1)
	c.kill()
	found := c.evidence()
	if wrong := found.wrong(); len(wrong) > 0 {
		t.Fatal(strings.Join(wrong, "\n"))
	}
	completed := func(f *crashEvidence) (i int) {
		return slices.IndexFunc(f.runs[0].events, func(e Event) bool { return e.Type == NodeCompleted && e.Node == "first" })
	}
	for name, m := range map[string]struct {
		want   string
		mutate func(f *crashEvidence)
	}{
		"an acknowledged run is lost": {"is lost", func(f *crashEvidence) {
			f.runs = slices.DeleteFunc(f.runs, func(r crashedRun) bool { return r.id == f.acked[0] })
		}},
		"a run is there twice": {"is there twice", func(f *crashEvidence) { f.runs = append(f.runs, f.runs[0]) }},
		"a step completes twice": {"completed twice", func(f *crashEvidence) {
			i := completed(f)
			f.runs[0].events = slices.Insert(f.runs[0].events, i, f.runs[0].events[i])
		}},
		"an event is lost": {"is at place", func(f *crashEvidence) {
			f.runs[0].events = slices.Delete(f.runs[0].events, 2, 3)
		}},
		"a completed step is done again": {"after it was completed", func(f *crashEvidence) {
			done := f.runs[0].events[completed(f)]
			key := taskKey(f.runs[0].id, done.Node, done.Iteration)
			f.begins[key] = append(f.begins[key], done.At.Add(time.Second))
		}},
		"a failed run is taken for a completed one": {"is failed", func(f *crashEvidence) { f.runs[0].state = StateFailed }},
		"rows are lost":                    {"19 rows", func(f *crashEvidence) { f.runs[0].rowsOut-- }},
		"a child is started twice":         {"children of", func(f *crashEvidence) { f.children++ }},
		"a rollout counts a run twice":     {"has counted", func(f *crashEvidence) { f.counted++ }},
		"an empty workflow after recovery": {"0 rows", func(f *crashEvidence) { f.runs[0].output, f.runs[0].rowsOut = "", 0 }},
	} {
		f := found.clone()
		m.mutate(f)
		if wrong := f.wrong(); !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, m.want) }) {
			t.Errorf("%s: it has found %q, want %q", name, wrong, m.want)
		}
	}
}
