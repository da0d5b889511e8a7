package workflow

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// scheduleCrash is the address of the store; it makes the process a child.
const scheduleCrash = "TROUPE_SCHEDULE_CRASH_PLACE"

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
	place := os.Getenv(scheduleCrash)
	if place == "" {
		return // not a child
	}
	e := tickEngine(t, place)
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
		fmt.Println("changed")
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
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(crashSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", crashSeed, seed)
	if text := os.Getenv(crashRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestScheduleCrashedProcess$")
		child.Env = append(os.Environ(), scheduleCrash+"="+place)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		said := ""
		lines := bufio.NewScanner(out)
		for n := 1 + random.IntN(200); n > 0 && lines.Scan(); {
			if n--; lines.Text() != "changed" {
				said += lines.Text() + "\n"
			}
		}
		_ = child.Process.Kill() // it may have ended by itself, which is found below
		for lines.Scan() {
			continue
		}
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the process ended by itself: %v\n%s", err, said)
		}
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
	instants := map[time.Time]bool{}
	state := entry.state
	for at := entry.plan.after(state.Created, state.Created); !at.After(state.After); at = entry.plan.after(state.Created, at) {
		instants[at] = true
	}
	waiting := map[time.Time]bool{}
	for _, at := range state.Queue {
		waiting[at] = true
	}
	started := map[time.Time]string{}
	for filter := (RunFilter{Workflow: "tick", Trigger: scheduleTrigger + name, Limit: 1000}); ; {
		runs, err := e.Runs(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range runs {
			at := run.Scheduled.UTC()
			if other := started[at]; other != "" || !instants[at] || waiting[at] {
				t.Errorf("%s: the run %s for %v, beside %q; an instant: %v, waiting: %v", name, run.ID, at, other, instants[at], waiting[at])
			}
			started[at] = run.ID
		}
		if len(runs) == 0 {
			break
		}
		filter.After = runs[len(runs)-1].ID
	}
	c := state.Counts
	if int64(len(started)) != c.Fired || c.Missed != 0 || c.Failed != 0 || int64(len(instants)) != c.Fired+c.Skipped+int64(len(waiting)) {
		t.Errorf("%s: %d instants, %d runs, %d waiting, %+v", name, len(instants), len(started), len(waiting), c)
	}
	if name == "queue" && c.Skipped > 0 && len(instants) < QueueMaxMax {
		t.Errorf("%s: %d skipped, though there was room", name, c.Skipped)
	}
	t.Logf("%s: %d instants, %d runs, %d waiting, %d skipped", name, len(instants), len(started), len(waiting), c.Skipped)
}
