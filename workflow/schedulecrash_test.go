package workflow

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

const tickWorkflow = "name: tick\nnodes:\n  - {id: now, type: value, with: {output: schedule.time}}\n"

// tickSchedules start many runs. Nothing is too late for them, so that each of
// their instants is accounted for.
var tickSchedules = []Schedule{
	{Name: "allow", Every: Duration(50 * time.Millisecond), Overlap: OverlapAllow, CatchUp: Duration(24 * time.Hour)},
	{Name: "queue", Every: Duration(40 * time.Millisecond), Overlap: OverlapQueue, QueueMax: QueueMaxMax, CatchUp: Duration(24 * time.Hour)},
	{Name: "skip", Every: Duration(20 * time.Millisecond), CatchUp: Duration(24 * time.Hour)},
	{Name: "cron", Cron: "* * * * * *", TimeZone: "Europe/Berlin", Overlap: OverlapQueue, CatchUp: Duration(24 * time.Hour)},
}

// Req W3: however often the process is killed, each instant of a schedule has
// one run or is counted, and none has two.
func TestScheduleCrashSQLite(t *testing.T) {
	t.Parallel()
	playScheduleCrash(t, filepath.Join(t.TempDir(), "s.db"), 6)
}

// The same on PostgreSQL.
func TestScheduleCrashPostgreSQL(t *testing.T) {
	t.Parallel()
	playScheduleCrash(t, postgrestest.Start(t), 3)
}

// TestScheduleCrashedProcess is the process that is killed. It says when
// something has changed.
func TestScheduleCrashedProcess(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	e := tickEngine(t, child.Args[0])
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(tickWorkflow)}}, "w.yaml", LoadOptions{Registry: e.options.Registry})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Deploy(context.Background(), d, ""); err != nil {
		t.Fatal(err)
	}
	for _, s := range tickSchedules {
		s.Workflow = "tick"
		if _, err := e.PutSchedule(context.Background(), s, store.AnyVersion); err != nil {
			t.Fatal(err)
		}
	}
	changes, cancel := e.Watch("")
	defer cancel()
	for range changes {
		child.Say("changed")
	}
}

func tickEngine(t *testing.T, place string) *Engine {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() }) // nothing reads it
	e, _ := crashEngine(t, place, log)
	return e
}

func playScheduleCrash(t *testing.T, place string, rounds int) {
	t.Helper()
	h := crashtest.New(t, rounds)
	for range h.Rounds {
		p := h.Start("TestScheduleCrashedProcess", place)
		p.Await(1 + h.Random.IntN(200))
		h.Linger(p, 30*time.Millisecond)
		p.Kill()
	}
	e := tickEngine(t, place)
	for _, s := range tickSchedules {
		if info, err := e.PauseSchedule(context.Background(), s.Name, "the end"); err != nil || !info.Paused {
			t.Fatal(err)
		}
		verifyTicks(t, e, s.Name)
	}
}

// verifyTicks compares the runs of a schedule with its instants.
func verifyTicks(t *testing.T, e *Engine, name string) {
	t.Helper()
	ctx := context.Background()
	entry, err := e.onSchedule(ctx, name, func(_ context.Context, entry *scheduleEntry) (*scheduleEntry, error) { return entry, nil })
	if err != nil {
		t.Fatal(err)
	}
	f := tickEvidence{name: name, counts: entry.state.Counts, waiting: entry.state.Queue}
	state := entry.state
	for at := entry.plan.after(state.Created, state.Created); !at.After(state.After); at = entry.plan.after(state.Created, at) {
		f.instants = append(f.instants, at)
	}
	for filter := (RunFilter{Workflow: "tick", Trigger: scheduleTrigger + name, Limit: 1000}); ; {
		runs, err := e.Runs(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) == 0 {
			break
		}
		for _, run := range runs {
			f.started = append(f.started, run.Scheduled.UTC())
		}
		filter.After = runs[len(runs)-1].ID
	}
	for _, wrong := range f.wrong() {
		t.Error(wrong)
	}
	t.Logf("%s: %d instants, %d runs, %d waiting, %d skipped", name, len(f.instants), len(f.started), len(f.waiting), f.counts.Skipped)
}

// tickEvidence is what is left of a schedule when processes have been killed.
type tickEvidence struct {
	name     string
	instants []time.Time // those that have come
	waiting  []time.Time
	started  []time.Time // the instants of the runs
	counts   ScheduleCounts
}

// wrong says what must not be.
func (f *tickEvidence) wrong() (wrong []string) {
	add := func(format string, args ...any) {
		wrong = append(wrong, f.name+": "+fmt.Sprintf(format, args...))
	}
	seen, instants, waiting := map[time.Time]bool{}, map[time.Time]bool{}, map[time.Time]bool{}
	for _, at := range f.instants {
		instants[at] = true
	}
	for _, at := range f.waiting {
		waiting[at] = true
	}
	for _, at := range f.started {
		if seen[at] {
			add("two runs for %v", at)
		}
		seen[at] = true
		if !instants[at] {
			add("a run for %v, which is no instant", at)
		}
		if waiting[at] {
			add("a run for %v, which waits", at)
		}
	}
	c := f.counts
	if int64(len(f.started)) != c.Fired || c.Missed != 0 || c.Failed != 0 || int64(len(f.instants)) != c.Fired+c.Skipped+int64(len(f.waiting)) {
		add("%d instants, %d runs, %d waiting, %+v", len(f.instants), len(f.started), len(f.waiting), c)
	}
	if f.name == "queue" && c.Skipped > 0 && len(f.instants) < QueueMaxMax {
		add("%d skipped, though there was room", c.Skipped)
	}
	return wrong
}

// The checker finds what a scheduler must not do.
func TestScheduleCrashCheckerFindsMutants(t *testing.T) {
	t.Parallel()
	at := func(i int) time.Time { return time.Unix(int64(i), 0).UTC() }
	right := func() *tickEvidence {
		return &tickEvidence{
			name: "queue", instants: []time.Time{at(1), at(2), at(3)}, waiting: []time.Time{at(3)},
			started: []time.Time{at(1), at(2)}, counts: ScheduleCounts{Fired: 2},
		}
	}
	if wrong := right().wrong(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for want, mutate := range map[string]func(f *tickEvidence){
		"two runs for":             func(f *tickEvidence) { f.started[1] = at(1) },
		"which is no instant":      func(f *tickEvidence) { f.started[1] = at(9) },
		"which waits":              func(f *tickEvidence) { f.started[1] = at(3) },
		"3 instants, 1 runs":       func(f *tickEvidence) { f.started = f.started[:1] },
		"though there was room":    func(f *tickEvidence) { f.waiting, f.counts.Skipped = nil, 1 },
		"3 instants, 2 runs, 0 wa": func(f *tickEvidence) { f.waiting = nil },
	} {
		f := right()
		mutate(f)
		if wrong := f.wrong(); !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("it has found %q, want %q", wrong, want)
		}
	}
}
