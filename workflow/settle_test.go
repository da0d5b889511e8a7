package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// scheduledJob is the workflow of a timetable with schedules and triggers.
func scheduledJob(t *testing.T, s *timetable, defined string) *Definition {
	t.Helper()
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(jobWorkflow + defined)}}, "w.yaml", LoadOptions{Registry: s.engine.options.Registry})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	hourly = `
schedules:
  hourly: {cron: "0 * * * *", inputs: {when: "${{ schedule.local }}"}}
triggers:
  orders: {kind: knock, with: {word: please}, dedup: 'trigger.header["x-id"]', inputs: {when: by delivery}}
`
	halfHourly = `
schedules:
  hourly: {cron: "30 * * * *", inputs: {when: "${{ schedule.local }}"}}
  often: {every: 20m, inputs: {when: often}, paused: true}
`
)

// names lists what is in place.
func (s *timetable) names() string {
	s.t.Helper()
	var names []string
	schedules, err := s.engine.Schedules(context.Background(), ScheduleFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, info := range schedules {
		name := info.Name
		if !info.Defined {
			name += " by hand"
		}
		if info.Paused {
			name += " paused"
		}
		names = append(names, name)
	}
	triggers, err := s.engine.Triggers(context.Background(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, info := range triggers {
		names = append(names, info.Name+" ("+info.Kind+")")
	}
	return strings.Join(names, ", ")
}

// Req W3, W10: the schedules and triggers of a definition are there while its
// version is the active one, and come back with it; those by hand stay.
func TestDefinedSchedulesFollowTheActiveVersion(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.engine.options.Registry.AddTriggers(testTriggers(nil)...)
		s.put(Schedule{Name: "mine", Cron: "15 * * * *"})
		want := func(what, want string) {
			t.Helper()
			if got := s.names(); got != want {
				t.Errorf("%s: got %s; want %s", what, got, want)
			}
		}
		first, err := s.engine.Deploy(ctx, scheduledJob(t, s, hourly), "")
		if err != nil {
			t.Fatal(err)
		}
		want("deployed", "job:hourly, mine by hand, job:orders (knock)")
		if delivered, err := s.engine.Deliver(ctx, "job:orders", knocked("1", "{}")); err != nil || delivered.Repeated {
			t.Errorf("got %v, %v", delivered, err)
		}
		s.pass(61 * time.Minute)
		s.want("by delivery", "00:15:00", "01:00:00")

		// A version that is not the active one has no schedules.
		second, err := s.engine.Stage(ctx, scheduledJob(t, s, halfHourly), "")
		if err != nil {
			t.Fatal(err)
		}
		want("staged", "job:hourly, mine by hand, job:orders (knock)")
		if err := s.engine.Activate(ctx, "job", second.Version); err != nil {
			t.Fatal(err)
		}
		want("activated", "job:hourly, job:often paused, mine by hand")
		s.pass(time.Hour)
		s.want("by delivery", "00:15:00", "01:00:00", "01:15:00", "01:30:00")

		// A pause by hand stays, also in another version; so does the end of one.
		if _, err := s.engine.PauseSchedule(ctx, "job:hourly", "too loud"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.ResumeSchedule(ctx, "job:often", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, strings.Replace(halfHourly, "20m", "25m", 1)), ""); err != nil {
			t.Fatal(err)
		}
		want("paused by hand", "job:hourly paused, job:often, mine by hand")
		if info, err := s.engine.Schedule(ctx, "job:hourly"); err != nil || info.Comment != "too loud" || info.Counts.Fired != 2 {
			t.Errorf("got %+v, %v", info, err)
		}

		if err := s.engine.Activate(ctx, "job", first.Version); err != nil {
			t.Fatal(err)
		}
		want("rolled back", "job:hourly paused, mine by hand, job:orders (knock)")
		if delivered, err := s.engine.Deliver(ctx, "job:orders", knocked("1", "{}")); err != nil || !delivered.Repeated {
			t.Errorf("a delivery that came before the trigger was away: %v, %v", delivered, err)
		}
		if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, "description: none"), ""); err != nil {
			t.Fatal(err)
		}
		want("none", "mine by hand")
		if err := s.engine.Activate(ctx, "job", first.Version); err != nil {
			t.Fatal(err)
		}
		if err := s.engine.DeleteSchedule(ctx, "mine", store.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.DeleteWorkflow(ctx, "job", DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		want("deleted", "")
		if _, err := s.store.Entry(ctx, settlePrefix+"job"); !errors.Is(err, store.ErrNoEntry) {
			t.Errorf("something is still owed: %v", err)
		}
	})
}

// Req W10: while a rollout goes on the schedules are those of the stable version,
// and when it is complete those of the candidate.
func TestDefinedSchedulesOfARollout(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.engine.options.Registry.AddTriggers(testTriggers(nil)...)
		if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, hourly), ""); err != nil {
			t.Fatal(err)
		}
		candidate, err := s.engine.Stage(ctx, scheduledJob(t, s, halfHourly), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.SetRollout(ctx, "job", Rollout{Candidate: candidate.Version, Steps: []int{100}, StepAfter: Duration(time.Minute), MinRuns: 1}); err != nil {
			t.Fatal(err)
		}
		if got := s.names(); got != "job:hourly, job:orders (knock)" {
			t.Errorf("during the rollout: %s", got)
		}
		s.pass(2 * time.Hour) // a run of each hour, by the candidate
		info, err := s.engine.Rollout(ctx, "job")
		if err != nil || info.State != RolloutCompleted {
			t.Fatalf("got %+v, %v", info, err)
		}
		synctest.Wait()
		if got := s.names(); got != "job:hourly, job:often paused" {
			t.Errorf("after the rollout: %s", got)
		}
	})
}

// Req W3: a process that dies between the commit that makes a version the active
// one and the last of its schedules leaves that to the next, and no schedule of the
// version before fires in between.
func TestDefinedSchedulesAfterACrash(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.kinds = testTriggers(nil)
		s.engine.options.Registry.AddTriggers(s.kinds...)
		if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, hourly), ""); err != nil {
			t.Fatal(err)
		}
		away := fault.New(fault.Unavailable, "test", "the store is away")
		for _, dies := range []string{schedulePrefix + "job:hourly", schedulePrefix + "job:often", triggerPrefix + "job:orders", settlePrefix} {
			s.mu.Lock()
			s.commit = func(b *store.Batch) error {
				if len(b.Appends) > 0 {
					return nil
				}
				for _, set := range b.Sets {
					if strings.HasPrefix(set.Key, dies) {
						return away
					}
				}
				return nil
			}
			s.mu.Unlock()
			if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, halfHourly), ""); fault.CodeOf(err) != fault.Unavailable {
				t.Fatalf("%s: got %v", dies, err)
			}
			// The next process, at a time at which the version before had an instant.
			s.close()
			s.mu.Lock()
			s.commit = nil
			before := len(s.started)
			s.mu.Unlock()
			s.pass(time.Hour - time.Duration(time.Now().UnixNano()%int64(time.Hour)))
			s.open()
			synctest.Wait()
			if got := s.names(); got != "job:hourly, job:often paused" {
				t.Errorf("%s: got %s", dies, got)
			}
			s.pass(10 * time.Second)
			s.mu.Lock()
			if len(s.started) != before {
				t.Errorf("%s: started %v", dies, s.started[before:])
			}
			s.mu.Unlock()
			if err := s.engine.Activate(ctx, "job", 2); err != nil {
				t.Fatal(err)
			}
			if got := s.names(); got != "job:hourly, job:orders (knock)" {
				t.Errorf("%s: back again: %s", dies, got)
			}
			if dies != settlePrefix { // the same text is no new version
				if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, hourly+"description: again after "+dies+"\n"), ""); err != nil {
					t.Fatal(err)
				}
				if err := s.engine.Activate(ctx, "job", 2); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// Req W3: what belongs to a definition is changed there; by hand it can be paused,
// resumed and run.
func TestDefinedSchedulesAreNotChangedByHand(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.engine.options.Registry.AddTriggers(testTriggers(nil)...)
		if _, err := s.engine.Deploy(ctx, scheduledJob(t, s, hourly), ""); err != nil {
			t.Fatal(err)
		}
		refused := func(what string, err error) {
			t.Helper()
			if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "belongs to the definition of the workflow job") {
				t.Errorf("%s: got %v", what, err)
			}
		}
		_, err := s.engine.PutSchedule(ctx, Schedule{Name: "job:hourly", Workflow: "job", Cron: "1 * * * *"}, store.AnyVersion)
		refused("put", err)
		_, err = s.engine.PutSchedule(ctx, Schedule{Name: "job:other", Workflow: "job", Cron: "1 * * * *"}, store.AnyVersion)
		refused("a new one", err)
		refused("delete", s.engine.DeleteSchedule(ctx, "job:hourly", store.AnyVersion))
		_, err = s.engine.PutTrigger(ctx, Trigger{Name: "job:orders", Workflow: "job", Kind: "knock", With: json.RawMessage(`{"word": "x"}`)}, store.AnyVersion)
		refused("put trigger", err)
		refused("delete trigger", s.engine.DeleteTrigger(ctx, "job:orders", store.AnyVersion))
		if _, err := s.engine.PauseTrigger(ctx, "job:orders", "no"); err != nil {
			t.Error(err)
		}
		if info, err := s.engine.Trigger(ctx, "job:orders"); err != nil || !info.Defined || !info.Paused {
			t.Errorf("got %+v, %v", info, err)
		}
		run, err := s.engine.RunSchedule(ctx, "job:hourly", "")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := run.Wait(ctx); err != nil || info.Start.Trigger != "schedule/job:hourly" {
			t.Errorf("got %+v, %v", info.Start, err)
		}
		if _, err := s.engine.Backfill(ctx, "job:hourly", time.Now().Add(-3*time.Hour), time.Now(), 0); err != nil {
			t.Error(err)
		}
	})
}

// Req W1: a schedule or trigger of a definition that is not valid is told with its
// place.
func TestDefinedMistakes(t *testing.T) {
	t.Parallel()
	registry := LabRegistry()
	registry.AddTriggers(testTriggers(nil)...)
	_, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(`name: w
inputs:
  n: {type: int}
  s: {type: string, default: a}
nodes: [{id: a, type: value, with: {output: "1"}}]
schedules:
  a: {cron: "61 * * * *", inputs: {n: 1}}
  b: {every: 1h, delay: 1h, inputs: {n: many}}
  c.d: {every: 1h, inputs: {n: 1}}
  e: {every: 1h, overlap: skp, inputs: {n: "${{ schedule.tme }}", m: 1}, evry: 2h}
  f: {every: 1h}
triggers:
  a: {with: {word: x}, inputs: {n: 1}}
  b: {kind: knok, inputs: {n: 1}}
  c: {kind: knock, with: {wrd: x}, inputs: {n: 1}}
  d: {kind: belt, dedup: trigger., inputs: {n: "${{ schedule.x }}"}}
`)}}, "w.yaml", LoadOptions{Registry: registry, Open: true})
	var lines []string
	var problems Problems
	errors.As(err, &problems)
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	got := strings.Join(lines, "\n")
	want := `w.yaml:7:13: schedules.a.cron: "61 * * * *": field minute, position 1: 61 is out of range; expected 0-59
w.yaml:8:6: schedules.b: 2 of cron, every, delay and at are given; expected exactly one
w.yaml:8:41: schedules.b.inputs.n: "many" is not an integer
w.yaml:9:3: schedules."c.d": a schedule cannot be called "c.d"; expected a letter, then at most 62 letters, digits, _ and -
w.yaml:10:27: schedules.e.overlap: "skp" is no policy; expected one of skip, queue, allow, cancel_running; did you mean "skip"?
w.yaml:10:67: schedules.e.inputs.m: unknown input "m"; expected one of n, s
w.yaml:10:74: schedules.e.evry: unknown key "evry"; did you mean "every"?
w.yaml:11:6: schedules.f: the input "n" would have no value; give it here, as inputs: {n: …}, or a default
w.yaml:13:6: triggers.a.kind: the required key "kind" is missing; The type of the trigger, such as webhook or file.
w.yaml:14:13: triggers.b.kind: "knok" is no type of triggers; expected one of belt, knock; did you mean "knock"?
w.yaml:15:32: triggers.c.with.wrd: unknown key "wrd"; did you mean "word"?
w.yaml:16:26: triggers.d.dedup: position 9: not an expression: unexpected "."
w.yaml:16:48: triggers.d.inputs.n: position 5: unknown name "schedule"; the expression sees trigger`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Req W1: schedules and triggers that are written in Go are the same document, and
// mistakes in them are told by their call.
func TestDefinedInGo(t *testing.T) {
	t.Parallel()
	registry := LabRegistry()
	registry.AddTriggers(testTriggers(nil)...)
	b := NewBuilder("w")
	b.Input("when", KindString).Default(String("a"))
	b.Value("a", "1")
	b.Schedule("hourly", Schedule{Cron: "0 * * * *", Inputs: map[string]string{"when": "${{ schedule.local }}"}})
	b.Trigger("orders", Trigger{Kind: "knock", Dedup: `trigger.header["x-id"]`, Inputs: map[string]string{"when": "by delivery"}}, Config(knockConfig{Word: "please"}))
	d, err := b.Build(".", LoadOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	want, err := LoadText("w.yaml", ".", []byte("name: w\ninputs: {when: {type: string, default: a}}\nnodes: [{id: a, type: value, with: {output: \"1\"}}]\n"+hourly), LoadOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	if diff := DiffDefinitions(want, d); !diff.Same() || len(d.Schedules) != 1 || len(d.Triggers) != 1 {
		t.Errorf("got %s", diff.String())
	}
	b.Schedule("hourly", Schedule{Every: Duration(time.Hour)})
	b.Schedule("other", Schedule{Name: "other", Every: -1})
	_, err = b.Build(".", LoadOptions{Registry: registry})
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 || problems[0].Path != "schedules.hourly" || problems[2].Path != "schedules.other.every" ||
		problems[2].Line != problems[0].Line+1 || !strings.HasSuffix(problems[2].File, "settle_test.go") {
		t.Errorf("got %v", err)
	}
}

// Req W1: the JSON Schema knows schedules and triggers.
func TestDefinedSchema(t *testing.T) {
	t.Parallel()
	registry := LabRegistry()
	registry.AddTriggers(testTriggers(nil)...)
	schema := compileSchema(t, registry)
	const base = "name: w\nnodes: [{id: a, type: value, with: {output: \"1\"}}]\n"
	for text, good := range map[string]bool{
		hourly: true, halfHourly: true,
		"schedules: {a: {cron: 1, every: x}}":            false,
		"schedules: {a.b: {cron: '* * * * *'}}":          false,
		"schedules: {a: {name: a, cron: '* * * * *'}}":   false,
		"triggers: {a: {with: {word: x}}}":               false,
		"triggers: {a: {kind: knock}}":                   false,
		"triggers: {a: {kind: knock, with: {wrd: x}}}":   false,
		"triggers: {a: {kind: bell, with: {word: x}}}":   false,
		"triggers: {a: {kind: belt, inputs: {when: 1}}}": true,
	} {
		if err := schemaFinds(t, schema, "w.yaml", []byte(base+text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Req W1: schedules and triggers have a canonical form, and differences.
func TestDefinedDiff(t *testing.T) {
	t.Parallel()
	registry := LabRegistry()
	registry.AddTriggers(testTriggers(nil)...)
	load := func(defined string) *Definition {
		t.Helper()
		d, err := LoadText("w.yaml", ".", []byte("name: w\ninputs: {when: {type: string, default: a}}\nnodes: [{id: a, type: value, with: {output: \"1\"}}]\n"+defined), LoadOptions{Registry: registry})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := load(hourly)
	text, err := a.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), `schedules:
  hourly:
    cron: 0 * * * *
    inputs:
      when: ${{ schedule.local }}
triggers:
  orders:
    kind: knock
    with:
      word: please
    inputs:
      when: by delivery
    dedup: trigger.header["x-id"]
`) {
		t.Errorf("got\n%s", text)
	}
	d := DiffDefinitions(a, load(halfHourly))
	if got, want := d.String(), `w
~ schedules.hourly.cron: "0 * * * *" → "30 * * * *"
+ schedules.often.every: "20m"
+ schedules.often.inputs.when: "often"
+ schedules.often.paused: true
- triggers.orders.kind: "knock"
- triggers.orders.with.word: "please"
- triggers.orders.inputs.when: "by delivery"
- triggers.orders.dedup: "trigger.header[\"x-id\"]"
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
