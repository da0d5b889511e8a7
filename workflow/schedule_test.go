package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// timetable has an engine on a real store in virtual time, which begins at
// midnight UTC of 2000-01-01. Runs of the workflow "job" go on until the test
// lets them end.
type timetable struct {
	t      *testing.T
	path   string
	store  store.Store
	sys    *actor.System
	engine *Engine

	mu      sync.Mutex
	started []string                 // inputs of the runs, in the order of their starts
	held    map[string]chan struct{} // runs that do not end by themselves, by input
	hold    bool
	commit  func(b *store.Batch) error
	kinds   []TriggerKind // of engines to come
}

const jobWorkflow = `
name: job
inputs: {when: {type: string, default: "-"}}
output: steps.work.output
nodes:
  - {id: work, type: task.job, with: {text: "${{ inputs.when }}"}}
`

// inTimetable runs a test in virtual time.
func inTimetable(t *testing.T, test func(t *testing.T, s *timetable)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &timetable{t: t, path: filepath.Join(t.TempDir(), "s.db"), held: map[string]chan struct{}{}}
		s.open()
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(jobWorkflow)}}, "w.yaml", LoadOptions{Registry: s.engine.options.Registry})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.Deploy(context.Background(), d, ""); err != nil {
			t.Fatal(err)
		}
		test(t, s)
		s.close()
	})
}

func (s *timetable) open() {
	s.t.Helper()
	var err error
	if s.store, err = sqlite.Open(context.Background(), s.path, sqlite.Options{}); err != nil {
		s.t.Fatal(err)
	}
	registry := NewRegistry(TaskType[playConfig]{
		Name: "task.job", Doc: "Works until the test lets it end.",
		Run: func(ctx context.Context, _ *Task, c playConfig) (json.RawMessage, error) {
			s.mu.Lock()
			s.started = append(s.started, c.Text)
			var wait chan struct{}
			if s.hold {
				wait = make(chan struct{})
				s.held[c.Text] = wait
			}
			s.mu.Unlock()
			if wait != nil {
				select {
				case <-wait:
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
			return json.Marshal(c.Text)
		},
	})
	registry.AddTriggers(s.kinds...)
	s.sys = actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	s.engine, err = Open(context.Background(), s.sys, timetableStore{s.store, s}, EngineOptions{
		Registry: registry, Files: fstest.MapFS{}, OutputDir: s.t.TempDir(), LeaseTTL: 24 * time.Hour,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

type timetableStore struct {
	store.Store
	s *timetable
}

func (w timetableStore) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	w.s.mu.Lock()
	ask := w.s.commit
	w.s.mu.Unlock()
	if ask != nil {
		if err := ask(b); err != nil {
			return store.Result{}, err
		}
	}
	return w.Store.Commit(ctx, b)
}

func (s *timetable) close() {
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

// down is a time without a process, in the virtual time of synctest.
func (s *timetable) down(d time.Duration) {
	s.close()
	time.Sleep(d)
	s.open()
	synctest.Wait()
}

// pass lets the virtual time of synctest pass, and everything happen that is due
// by then.
func (s *timetable) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *timetable) put(schedule Schedule) ScheduleInfo {
	s.t.Helper()
	schedule.Workflow = "job"
	if schedule.Name == "" {
		schedule.Name = "s"
	}
	if schedule.Inputs == nil {
		schedule.Inputs = map[string]string{"when": "${{ schedule.local }}"}
	}
	info, err := s.engine.PutSchedule(context.Background(), schedule, store.AnyVersion)
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return info
}

func (s *timetable) info() ScheduleInfo {
	s.t.Helper()
	info, err := s.engine.Schedule(context.Background(), "s")
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// want compares the inputs of the runs that were started, without their date.
func (s *timetable) want(times ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, text := range s.started {
		if _, rest, ok := strings.Cut(text, "T"); ok {
			text = strings.TrimSuffix(rest, "Z")
		}
		got = append(got, text)
	}
	if strings.Join(got, " ") != strings.Join(times, " ") {
		s.t.Errorf("runs for %v, want %v", got, times)
	}
}

// end lets held runs end, in any order.
func (s *timetable) end() {
	s.mu.Lock()
	for text, wait := range s.held {
		close(wait)
		delete(s.held, text)
	}
	s.mu.Unlock()
	synctest.Wait()
}

func (s *timetable) counts(fired, skipped, missed, failed int64) {
	s.t.Helper()
	if got, want := s.info().Counts, (ScheduleCounts{fired, skipped, missed, failed}); got != want {
		s.t.Errorf("counts %+v, want %+v", got, want)
	}
}

// Req W3: cron, fixed rate, fixed delay and once start runs at their instants,
// which expressions see.
func TestScheduleTimings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule Schedule
		want     string
	}{
		"cron":          {Schedule{Cron: "*/20 * * * *"}, "00:20:00 00:40:00 01:00:00"},
		"cron in zone":  {Schedule{Cron: "45 5 * * *", TimeZone: "Asia/Kolkata"}, "05:45:00+05:30"},
		"seconds":       {Schedule{Cron: "10,40 3 0 * * *"}, "00:03:10 00:03:40"},
		"every":         {Schedule{Every: Duration(25 * time.Minute)}, "00:25:00 00:50:00"},
		"every, start":  {Schedule{Every: Duration(25 * time.Minute), Start: time.Date(2000, 1, 1, 0, 10, 0, 0, time.UTC)}, "00:10:00 00:35:00 01:00:00"},
		"every, passed": {Schedule{Every: Duration(25 * time.Minute), Start: time.Date(1999, 12, 31, 23, 50, 0, 0, time.UTC)}, "00:15:00 00:40:00 01:05:00"},
		"until":         {Schedule{Every: Duration(25 * time.Minute), End: time.Date(2000, 1, 1, 0, 25, 0, 0, time.UTC)}, "00:25:00"},
		"delay":         {Schedule{Delay: Duration(30 * time.Minute)}, "00:00:00 00:30:00 01:00:00"},
		"once":          {Schedule{At: time.Date(2000, 1, 1, 0, 7, 0, 0, time.UTC)}, "00:07:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTimetable(t, func(_ *testing.T, s *timetable) {
				s.put(c.schedule)
				s.pass(65 * time.Minute)
				s.want(strings.Fields(c.want)...)
				s.counts(int64(len(strings.Fields(c.want))), 0, 0, 0)
			})
		})
	}
}

// Req W3: what becomes of instants that come while a run is under way.
func TestScheduleOverlap(t *testing.T) {
	t.Parallel()
	minute := Duration(time.Minute)
	t.Run("skip", func(t *testing.T) {
		t.Parallel()
		inTimetable(t, func(t *testing.T, s *timetable) {
			s.hold = true
			s.put(Schedule{Every: minute})
			s.pass(3*time.Minute + time.Second)
			s.counts(1, 2, 0, 0)
			s.end()
			s.pass(time.Minute)
			s.want("00:01:00", "00:04:00")
			if f := s.info().Firings; len(f) != 3 || f[1].Outcome != FiringSkipped || f[1].Count != 2 || f[1].Reason != "a run is under way" || f[2].State != StateCompleted {
				t.Errorf("firings %+v", f)
			}
		})
	})
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		inTimetable(t, func(t *testing.T, s *timetable) {
			s.hold = true
			s.put(Schedule{Every: minute, Overlap: OverlapQueue, QueueMax: 2})
			s.pass(5*time.Minute + time.Second)
			s.counts(1, 2, 0, 0)
			if q := s.info().Queued; len(q) != 2 || !q[0].Equal(time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC)) {
				t.Errorf("queued %v", q)
			}
			s.down(time.Second) // what waits is not lost
			s.end()
			s.end()
			s.end()
			s.want("00:01:00", "00:01:00", "00:02:00", "00:03:00") // the first task was interrupted, and began again
			s.counts(3, 2, 0, 0)
		})
	})
	t.Run("allow", func(t *testing.T) {
		t.Parallel()
		inTimetable(t, func(t *testing.T, s *timetable) {
			s.hold = true
			s.put(Schedule{Every: minute, Overlap: OverlapAllow})
			s.pass(3*time.Minute + time.Second)
			s.want("00:01:00", "00:02:00", "00:03:00")
			if n := len(s.info().Running); n != 3 {
				t.Errorf("%d runs are under way", n)
			}
			s.end()
			if n := len(s.info().Running); n != 0 {
				t.Errorf("%d runs are under way after their end", n)
			}
		})
	})
	t.Run("cancel_running", func(t *testing.T) {
		t.Parallel()
		inTimetable(t, func(t *testing.T, s *timetable) {
			s.hold = true
			s.put(Schedule{Every: minute, Overlap: OverlapCancel})
			s.pass(2*time.Minute + time.Second)
			s.want("00:01:00", "00:02:00")
			info := s.info()
			if len(info.Running) != 1 || info.Firings[1].State != StateCancelled || info.Firings[0].State != StateRunning {
				t.Errorf("firings %+v", info.Firings)
			}
		})
	})
	t.Run("delay", func(t *testing.T) {
		t.Parallel()
		inTimetable(t, func(t *testing.T, s *timetable) {
			s.hold = true
			s.put(Schedule{Delay: minute})
			s.pass(10 * time.Minute)
			s.want("00:00:00")
			if next := s.info().Next; len(next) != 0 {
				t.Errorf("next %v while the run is under way", next)
			}
			s.end()
			s.pass(time.Minute + time.Second)
			s.want("00:00:00", "00:11:00")
			s.end()
			s.down(time.Hour)                          // a delay has no instants that could be missed
			s.want("00:00:00", "00:11:00", "00:12:01") // its instant, at which none ran
			s.end()
		})
	})
}

// Req W3: after a time without an engine, what is not too old is caught up on, and
// what is older is counted as missed.
func TestScheduleCatchUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule Schedule
		missed   int64
		want     string
	}{
		"window":  {Schedule{Cron: "*/10 * * * *", Overlap: OverlapAllow, CatchUp: Duration(25 * time.Minute)}, 2, "00:10:00 00:40:00 00:50:00 01:00:00"},
		"default": {Schedule{Cron: "*/10 * * * *"}, 4, "00:10:00 01:00:00"},
		"all":     {Schedule{Every: Duration(10 * time.Minute), Overlap: OverlapQueue, CatchUp: Duration(time.Hour)}, 0, "00:10:00 00:20:00 00:30:00 00:40:00 00:50:00 01:00:00"},
		"every":   {Schedule{Every: Duration(10 * time.Minute), CatchUp: Duration(time.Millisecond)}, 5, "00:10:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTimetable(t, func(_ *testing.T, s *timetable) {
				s.put(c.schedule)
				s.pass(15 * time.Minute)
				s.down(45*time.Minute + 30*time.Second)
				if c.schedule.Overlap == OverlapAllow { // runs that are started together begin in any order
					s.mu.Lock()
					slices.Sort(s.started)
					s.mu.Unlock()
				}
				s.want(strings.Fields(c.want)...)
				s.counts(int64(len(strings.Fields(c.want))), 0, c.missed, 0)
			})
		})
	}
}

// Req W3: a pause lets instants go, and a schedule that is resumed goes on with
// the next one. A run by hand starts all the same.
func TestSchedulePause(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.put(Schedule{Every: Duration(10 * time.Minute)})
		s.pass(15 * time.Minute)
		info, err := s.engine.PauseSchedule(ctx, "s", "maintenance")
		if err != nil || !info.Paused || info.Comment != "maintenance" || info.Revision != 2 || len(info.Next) != 0 {
			t.Fatalf("%+v, %v", info, err)
		}
		s.pass(time.Hour)
		s.down(time.Hour)
		s.want("00:10:00")
		r, err := s.engine.RunSchedule(ctx, "s", "request-1")
		if err != nil {
			t.Fatal(err)
		}
		if same, err := s.engine.RunSchedule(ctx, "s", "request-1"); err != nil || same.ID() != r.ID() {
			t.Fatalf("the same request started %v, %v", same, err)
		}
		if info, err := r.Wait(ctx); err != nil || info.Start.Trigger != "schedule/s" || !info.Start.Scheduled.Equal(time.Date(2000, 1, 1, 2, 15, 0, 0, time.UTC)) {
			t.Fatalf("%+v, %v", info.Start, err)
		}
		if _, err = s.engine.ResumeSchedule(ctx, "s", ""); err != nil {
			t.Fatal(err)
		}
		s.pass(10 * time.Minute)
		s.want("00:10:00", "02:15:00", "02:20:00")
		s.counts(3, 0, 0, 0)
	})
}

// Req W3: a backfill starts the instants of a range once more, bounded.
func TestScheduleBackfill(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		at := func(minute int) time.Time { return time.Date(1999, 12, 1, 6, minute, 0, 0, time.UTC) }
		s.put(Schedule{Cron: "*/10 * * * *"})
		for _, c := range []struct {
			from, to time.Time
			limit    int
			want     string
		}{
			{at(0), at(60), 5, "the schedule has more than 5 instants from 1999-12-01T06:00:00Z to 1999-12-01T07:00:00Z"},
			{at(0), at(60), BackfillMax + 1, "max is 10001; expected 1 to 10000"},
			{at(9), at(0), 0, "the range ends before it begins"},
			{at(1), at(9), 0, "the schedule has no instant"},
		} {
			if _, err := s.engine.Backfill(ctx, "s", c.from, c.to, c.limit); err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.InvalidArgument {
				t.Errorf("backfill from %v: %v, want %q", c.from, err, c.want)
			}
		}
		s.hold = true
		if _, err := s.engine.Backfill(ctx, "s", at(0), at(20), 0); err != nil {
			t.Fatal(err)
		}
		info, err := s.engine.Backfill(ctx, "s", at(0), at(20), 0)
		if err != nil || len(info.Backfills) != 1 {
			t.Fatalf("%+v, %v", info.Backfills, err)
		}
		synctest.Wait()
		if b := s.info().Backfills; len(b) != 1 || b[0].Left != 2 || !b[0].Done.Equal(at(0)) {
			t.Errorf("backfills %+v", b)
		}
		s.pass(10 * time.Minute) // what is due starts beside it
		s.want("06:00:00", "00:10:00")
		s.down(time.Second)
		s.end()
		s.end()
		s.end()
		s.mu.Lock()
		s.started = s.started[4:] // the tasks that were interrupted have begun again
		s.mu.Unlock()
		s.want("06:10:00", "06:20:00")
		if info := s.info(); len(info.Backfills) != 0 || len(info.Running) != 0 || info.Counts.Fired != 4 || info.Firings[0].Reason != "backfill" {
			t.Errorf("%+v", info)
		}
	})
}

// Req W3: what can never start is counted as failed, and the schedule goes on; a
// store that is away is waited for.
func TestScheduleFailures(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		s.put(Schedule{Every: Duration(10 * time.Minute)})
		s.mu.Lock()
		s.commit = func(b *store.Batch) error {
			if len(b.Appends) > 0 {
				return fault.New(fault.InvalidArgument, "test", "too much")
			}
			return nil
		}
		s.mu.Unlock()
		s.pass(15 * time.Minute)
		s.counts(0, 0, 0, 1)
		if f := s.info().Firings; len(f) != 1 || f[0].Outcome != FiringFailed || !strings.Contains(f[0].Reason, "too much") {
			t.Errorf("firings %+v", f)
		}
		var away atomic.Bool
		away.Store(true)
		s.mu.Lock()
		s.commit = func(*store.Batch) error {
			if away.Load() {
				return fault.New(fault.Unavailable, "test", "away")
			}
			return nil
		}
		s.mu.Unlock()
		s.pass(5*time.Minute + 20*time.Second)
		s.want()
		s.mu.Lock()
		away.Store(false)
		s.mu.Unlock()
		s.pass(time.Minute)
		s.want("00:20:00")
		s.counts(1, 0, 0, 1)
	})
}

// Req W3: changes of a schedule, their revisions, and its end.
func TestScheduleChanges(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		first := s.put(Schedule{Every: Duration(10 * time.Minute)})
		if same := s.put(Schedule{Every: Duration(10 * time.Minute)}); same.Revision != first.Revision {
			t.Errorf("a schedule that is as it was has the revision %d after %d", same.Revision, first.Revision)
		}
		s.pass(15 * time.Minute)
		changed := s.put(Schedule{Every: Duration(20 * time.Minute)})
		if changed.Revision != 2 || !changed.Next[0].Equal(time.Date(2000, 1, 1, 0, 35, 0, 0, time.UTC)) || changed.Counts.Fired != 1 {
			t.Errorf("%+v", changed)
		}
		_, err := s.engine.PutSchedule(ctx, Schedule{Name: "s", Workflow: "job", Cron: "* * * * *"}, 1)
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("with an old revision: %v", err)
		}
		if _, err := s.engine.PutSchedule(ctx, Schedule{Name: "s", Workflow: "job", Cron: "* * * * *"}, store.Absent); !errors.Is(err, store.ErrConflict) {
			t.Errorf("as a new one: %v", err)
		}
		if _, err := s.engine.PutSchedule(ctx, Schedule{Name: "x", Workflow: "nobody", Cron: "* * * * *"}, store.Absent); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("of an unknown workflow: %v", err)
		}
		if _, err := s.engine.PutSchedule(ctx, Schedule{Name: "x", Workflow: "job", Cron: "* * * * *", Inputs: map[string]string{"whom": "x"}}, store.Absent); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("with an unknown input: %v", err)
		}
		if _, err := s.engine.PutSchedule(ctx, Schedule{Name: "x", Workflow: "job", At: time.Now().Add(-time.Hour)}, store.Absent); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("of the past: %v", err)
		}
		s.put(Schedule{Name: "a", Cron: "0 0 * * *"})
		list, err := s.engine.Schedules(ctx, ScheduleFilter{Workflow: "job"})
		if err != nil || len(list) != 2 || list[0].Name != "a" || len(list[0].Next) != 5 {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err = s.engine.Schedules(ctx, ScheduleFilter{After: "a", Limit: 1}); err != nil || len(list) != 1 || list[0].Name != "s" {
			t.Errorf("%+v, %v", list, err)
		}
		if err := s.engine.DeleteSchedule(ctx, "s", store.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if err := s.engine.DeleteSchedule(ctx, "s", store.AnyVersion); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("deleted again: %v", err)
		}
		s.down(time.Hour)
		s.want("00:10:00")
	})
}

// Req W3: all mistakes of a schedule at once.
func TestScheduleMistakes(t *testing.T) {
	t.Parallel()
	_, err := planSchedule(Schedule{
		Name: "a/b", Cron: "0 0 25 * * *", TimeZone: "Europe/Berlni", Overlap: "skp", QueueMax: -1, Jitter: -1, CatchUp: -1, Version: -1,
		Inputs: map[string]string{"a": "${{ schedul.time }}"}, Comment: strings.Repeat("x", 1001),
		Start: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	want := `name: "a/b" is no name; expected at most 100 letters, digits, '.', '_' and '-', the first a letter or a digit
workflow: it is missing; expected the name of a workflow
version: -1 is no version; expected 0, for the active one, or a number above
cron: "0 0 25 * * *": field hour, position 5: 25 is out of range; expected 0-23
time_zone: "Europe/Berlni" is no time zone; expected an IANA name such as Europe/Berlin, or UTC; did you mean "Europe/Berlin"?
end: 2026-01-01T00:00:00Z is before the start, 2026-01-02T00:00:00Z
jitter: -1ns is out of range; expected 0 to 24h
overlap: "skp" is no policy; expected one of skip, queue, allow, cancel_running; did you mean "skip"?
queue_max: -1 is out of range; expected 1 to 1000
catch_up: -1ns is out of range; expected a time up to 10 years
comment: it has 1001 bytes; at most 1000 are allowed
inputs.a: position 5: unknown name "schedul"; did you mean "schedule"?`
	if err == nil || err.Error() != want || fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for _, s := range []Schedule{{}, {Cron: "* * * * *", Every: 1}, {Every: Duration(time.Millisecond)}, {Delay: Duration(time.Second + time.Nanosecond)}, {Cron: "* * * * *", TimeZone: "Local"}} {
		s.Name, s.Workflow = "s", "job"
		if _, err := planSchedule(s); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
