package workflow

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
)

// Limits and defaults of schedules.
const (
	// SchedulesMax bounds the schedules of an engine.
	SchedulesMax = 10_000
	// ScheduleShortest is the shortest interval, of Every and of Delay.
	ScheduleShortest = 10 * time.Millisecond
	// CatchUpDefault is how late an instant may be dealt with where the schedule
	// says nothing: time for a restart or for another node to take over.
	CatchUpDefault = time.Minute
	// QueueMaxDefault and QueueMaxMax bound the instants that wait for a run to
	// end.
	QueueMaxDefault = 100
	QueueMaxMax     = 1000
	// RunningMax bounds the runs of one schedule under way with OverlapAllow.
	RunningMax = 256
	// BackfillMax bounds the instants of a backfill.
	BackfillMax = 10_000
	// FiringsKept is how many of a schedule's last firings are kept.
	FiringsKept = 20

	intervalMax     = 10 * 365 * 24 * time.Hour
	inputsBytesMax  = 32 << 10
	commentBytesMax = 1000
)

// Overlap says what becomes of an instant that comes while a run of the schedule
// is under way.
type Overlap string

// The policies of [Schedule].Overlap.
const (
	OverlapSkip   Overlap = "skip"           // no run for it; the default
	OverlapQueue  Overlap = "queue"          // it waits for the end of the run, at most QueueMax do
	OverlapAllow  Overlap = "allow"          // a run beside the other, at most [RunningMax]
	OverlapCancel Overlap = "cancel_running" // the run is cancelled; when it has ended, the next one begins
)

var overlaps = []string{string(OverlapSkip), string(OverlapQueue), string(OverlapAllow), string(OverlapCancel)}

// Duration is a time.Duration that JSON and YAML write as a text such as 1m30s.
type Duration time.Duration

// String is the duration as time.Duration writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText gives the duration as a text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a text such as 1m30s. An empty one is 0.
func (d *Duration) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = 0
		return nil
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		e := fault.New(fault.InvalidArgument, "workflow.Duration", "%q is no duration", cutText(string(text), 40))
		e.Hint = "expected a number with a unit, such as 30s, 5m or 1h30m"
		return e
	}
	*d = Duration(parsed)
	return nil
}

// Schedule says when runs of a workflow are started. Exactly one of Cron, Every,
// Delay and At is given. An instant at which the schedule is due is started once,
// whatever dies: the start of the run and the move of the schedule to its next
// instant are one commit.
type Schedule struct {
	// Name is unique in the engine: letters, digits, '.', '_' and '-'.
	Name string `json:"name" yaml:"name,required" doc:"What the schedule is called."`
	// Workflow is what runs.
	Workflow string `json:"workflow" yaml:"workflow,required" doc:"The workflow that runs."`
	// Version is the version to run; 0: the one that is active at the time.
	Version int64 `json:"version,omitempty" yaml:"version" doc:"The version that runs; 0: the active one."`

	// Cron is an expression, see [ParseCron] and [Cron.Next].
	Cron string `json:"cron,omitempty" yaml:"cron" doc:"A cron expression of 5 fields, or 6 with the second in front."`
	// TimeZone is that of Cron, an IANA name. Default UTC.
	TimeZone string `json:"time_zone,omitempty" yaml:"time_zone" doc:"IANA name of the time zone of cron, such as Europe/Berlin. Default UTC."`
	// Every is a fixed rate: the interval from one instant to the next, counted
	// from Start, which is the first one, or else from when the schedule was made.
	Every Duration `json:"every,omitempty" yaml:"every" doc:"Interval between instants, whatever the runs take."`
	// Delay is a fixed delay: the time from the end of a run to the next. The
	// first is due at once, or at Start.
	Delay Duration `json:"delay,omitempty" yaml:"delay" doc:"Time from the end of a run to the next one."`
	// At is one instant.
	At time.Time `json:"at,omitzero" yaml:"at" doc:"One instant."`

	// Start and End bound the instants: none before Start, none after End.
	Start time.Time `json:"start,omitzero" yaml:"start" doc:"No instant before this one."`
	End   time.Time `json:"end,omitzero" yaml:"end" doc:"No instant after this one."`
	// Jitter delays each instant by a part of it that depends on the name and the
	// instant, so that many schedules do not all begin at the full hour. The
	// instant remains what it is, as schedule.time too.
	Jitter Duration `json:"jitter,omitempty" yaml:"jitter" doc:"Each instant is delayed by a part of this."`

	// Inputs are values for the inputs of the workflow. They may have expressions:
	// ${{ schedule.time }}, a timestamp; schedule.date, its day in the schedule's
	// zone as 2006-01-02; schedule.local, RFC 3339 in that zone; schedule.name.
	Inputs map[string]string `json:"inputs,omitempty" yaml:"inputs" doc:"Values for inputs, with expressions such as ${{ schedule.date }}."`
	// Key and Priority are those of the runs.
	Key      string `json:"key,omitempty" yaml:"key" doc:"Whose runs they are."`
	Priority int    `json:"priority,omitempty" yaml:"priority" doc:"Which runs go first where they compete: the higher number."`

	// Overlap is what becomes of an instant that comes while a run of the schedule
	// is under way. Default [OverlapSkip].
	Overlap Overlap `json:"overlap,omitempty" yaml:"overlap" doc:"While a run is under way: skip, queue, allow or cancel_running. Default skip."`
	// QueueMax bounds the instants that wait with [OverlapQueue]; one beyond is
	// skipped. Default 100, at most 1000.
	QueueMax int `json:"queue_max,omitempty" yaml:"queue_max" doc:"How many instants may wait with overlap: queue. Default 100."`
	// CatchUp is how late an instant may be dealt with, such as after a time in
	// which no engine ran. Those that are older are counted as missed, and can be
	// started by a backfill. Default 1 min; a year catches up on everything.
	CatchUp Duration `json:"catch_up,omitempty" yaml:"catch_up" doc:"How late an instant may be started. Default 1m."`

	// Paused: nothing is started. Instants that come meanwhile are let go, and not
	// counted as missed. Comment says why, or what the schedule is for.
	Paused  bool   `json:"paused,omitempty" yaml:"paused" doc:"Nothing is started."`
	Comment string `json:"comment,omitempty" yaml:"comment" doc:"Why it is paused, or what it is for."`
}

// ScheduleInfo is a schedule and what has become of it.
type ScheduleInfo struct {
	Schedule
	// Defined: it comes from the definition of its workflow and changes with that; by
	// hand it can be paused and resumed, run, and filled back.
	Defined bool `json:"defined,omitempty"`
	// Revision rises with each change of the schedule, not with its firings.
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created"`
	// Next are the instants to come, at most 5; of a fixed delay the next one
	// alone, and none while its run is under way.
	Next []time.Time `json:"next"`
	// Last is the instant of the run that was started last, LastRun its id.
	Last    time.Time `json:"last,omitzero"`
	LastRun string    `json:"last_run,omitempty"`
	// Running are the ids of runs under way, the oldest first.
	Running []string `json:"running"`
	// Queued are instants that wait for the end of a run.
	Queued    []time.Time    `json:"queued"`
	Backfills []BackfillInfo `json:"backfills"`
	Counts    ScheduleCounts `json:"counts"`
	// Firings are the last ones, the newest first, at most 20.
	Firings []Firing `json:"firings"`
}

// ScheduleCounts count what became of a schedule's instants.
type ScheduleCounts struct {
	Fired   int64 `json:"fired"`   // a run was started, those of backfills and by hand too
	Skipped int64 `json:"skipped"` // no run, because of one under way
	Missed  int64 `json:"missed"`  // no run, because it was too late
	Failed  int64 `json:"failed"`  // no run could be started
}

// FiringOutcome is what became of an instant.
type FiringOutcome string

// The outcomes of instants.
const (
	FiringStarted FiringOutcome = "started"
	FiringSkipped FiringOutcome = "skipped"
	FiringMissed  FiringOutcome = "missed"
	FiringFailed  FiringOutcome = "failed"
)

// Firing is what became of an instant, or of several in a row that were not
// started for the same reason.
type Firing struct {
	// Time is the instant; of several, the last.
	Time time.Time `json:"time"`
	// At is when it was dealt with.
	At      time.Time     `json:"at"`
	Outcome FiringOutcome `json:"outcome"`
	// Count is how many instants are meant, 1 where a run was started.
	Count int64 `json:"count"`
	// Reason says why: due, caught up, queued, backfill, run now, or why not.
	Reason string `json:"reason"`
	Run    string `json:"run,omitempty"`
	// State is that of the run; it is missing in lists.
	State State `json:"state,omitempty"`
}

// BackfillInfo is a backfill under way.
type BackfillInfo struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Done is the last instant that was started, zero at the beginning.
	Done time.Time `json:"done,omitzero"`
	// Left is how many instants are still to be started.
	Left int `json:"left"`
}

// ScheduleFilter says which schedules to list. Empty fields let everything
// through.
type ScheduleFilter struct {
	Workflow string
	// After is the cursor: the name of the last one of the page before.
	After string
	// Limit is how many at most. Default 100, at most 10,000.
	Limit int
}

// FieldError is a mistake in a field of a schedule or a trigger.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// FieldErrors are all mistakes of a schedule or a trigger. Their code is
// INVALID_ARGUMENT.
type FieldErrors []FieldError

// Error has one line for each mistake.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Field + ": " + f.Message
		if f.Hint != "" {
			lines[i] += "; " + f.Hint
		}
	}
	return strings.Join(lines, "\n")
}

// FaultCode classifies the error, see [fault.CodeOf].
func (FieldErrors) FaultCode() fault.Code { return fault.InvalidArgument }

func (e *FieldErrors) add(field, hint, format string, args ...any) {
	*e = append(*e, FieldError{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// entryName is the form of the names of schedules and triggers.
var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func (e *FieldErrors) checkName(name string) {
	if name == "" {
		e.add("name", "", "it is missing; expected letters, digits, '.', '_' and '-'")
		return
	}
	if workflow, own, defined := strings.Cut(name, definedSeparator); defined && entryName.MatchString(workflow) && definedName.MatchString(own) {
		return
	}
	if !entryName.MatchString(name) {
		e.add("name", "", "%q is no name; expected at most 100 letters, digits, '.', '_' and '-', the first a letter or a digit", cutText(name, 110))
	}
}

// timing is how the instants of a schedule are given.
type timing uint8

const (
	timingCron timing = iota + 1
	timingEvery
	timingDelay
	timingAt
)

// schedulePlan is a schedule that has been checked.
type schedulePlan struct {
	Schedule
	timing timing
	cron   Cron
	zone   *time.Location
	inputs map[string]*template // those that have expressions
}

// planSchedule checks a schedule and fills in its defaults. The error is a
// [FieldErrors].
func planSchedule(s Schedule) (*schedulePlan, error) {
	var errs FieldErrors
	p := &schedulePlan{Schedule: s, zone: time.UTC}
	errs.checkName(s.Name)
	if s.Workflow == "" {
		errs.add("workflow", "", "it is missing; expected the name of a workflow")
	}
	if s.Version < 0 {
		errs.add("version", "", "%d is no version; expected 0, for the active one, or a number above", s.Version)
	}
	p.planTiming(&errs)
	p.planBounds(&errs)
	if len(p.Inputs) == 0 {
		p.Inputs = nil
	}
	if p.inputs = planTemplates(&errs, "inputs", s.Inputs, "schedule"); len(errs) > 0 {
		return nil, errs
	}
	return p, nil
}

func (p *schedulePlan) planTiming(errs *FieldErrors) {
	given := 0
	for _, g := range []struct {
		given  bool
		timing timing
	}{{p.Cron != "", timingCron}, {p.Every != 0, timingEvery}, {p.Delay != 0, timingDelay}, {!p.At.IsZero(), timingAt}} {
		if g.given {
			p.timing = g.timing
			given++
		}
	}
	if given != 1 {
		errs.add("cron", "", "%d of cron, every, delay and at are given; expected exactly one", given)
		return
	}
	var err error
	if p.timing == timingCron {
		if p.cron, err = ParseCron(p.Cron); err != nil {
			errs.add("cron", "", "%s", strings.TrimPrefix(err.Error(), "cron "))
		}
	}
	for field, d := range map[string]Duration{"every": p.Every, "delay": p.Delay} {
		if d != 0 && (time.Duration(d) < ScheduleShortest || time.Duration(d) > intervalMax || time.Duration(d)%time.Millisecond != 0) {
			errs.add(field, "", "%v is no interval; expected whole milliseconds from %v to 10 years", d, ScheduleShortest)
		}
	}
	switch {
	case p.TimeZone == "":
		p.TimeZone = time.UTC.String()
		if p.timing != timingCron {
			break
		}
	case strings.EqualFold(p.TimeZone, "local"):
		errs.add("time_zone", "name the zone, such as Europe/Berlin", "Local is another zone on another machine")
		return
	}
	if p.zone, err = time.LoadLocation(p.TimeZone); err != nil {
		errs.add("time_zone", suggest.DidYouMean(p.TimeZone, zoneExamples), "%q is no time zone; expected an IANA name such as Europe/Berlin, or UTC", cutText(p.TimeZone, 60))
		p.zone = time.UTC
	}
}

// zoneExamples are zones that a misspelt name may have meant.
var zoneExamples = []string{
	"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Vienna", "Europe/Zurich", "Europe/Warsaw",
	"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "America/Toronto",
	"Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata", "Asia/Singapore", "Asia/Dubai", "Australia/Sydney", "Africa/Johannesburg",
}

func (p *schedulePlan) planBounds(errs *FieldErrors) {
	for _, t := range []*time.Time{&p.At, &p.Start, &p.End} {
		if !t.IsZero() {
			*t = t.Truncate(time.Millisecond).UTC()
		}
	}
	if !p.Start.IsZero() && !p.End.IsZero() && p.End.Before(p.Start) {
		errs.add("end", "", "%s is before the start, %s", p.End.Format(time.RFC3339), p.Start.Format(time.RFC3339))
	}
	if p.Jitter < 0 || time.Duration(p.Jitter) > 24*time.Hour {
		errs.add("jitter", "", "%v is out of range; expected 0 to 24h", p.Jitter)
	}
	if p.Every > 0 && p.Jitter >= p.Every {
		errs.add("jitter", "", "%v is not below the interval of %v", p.Jitter, p.Every)
	}
	if p.Overlap == "" {
		p.Overlap = OverlapSkip
	}
	switch p.Overlap {
	case OverlapSkip, OverlapQueue, OverlapAllow, OverlapCancel:
	default:
		errs.add("overlap", suggest.DidYouMean(string(p.Overlap), overlaps), "%q is no policy; expected one of %s", cutText(string(p.Overlap), 40), strings.Join(overlaps, ", "))
	}
	if p.QueueMax == 0 && p.Overlap == OverlapQueue {
		p.QueueMax = QueueMaxDefault
	}
	if p.QueueMax < 0 || p.QueueMax > QueueMaxMax {
		errs.add("queue_max", "", "%d is out of range; expected 1 to %d", p.QueueMax, QueueMaxMax)
	}
	if p.CatchUp == 0 {
		p.CatchUp = Duration(CatchUpDefault)
	}
	if p.CatchUp < 0 || time.Duration(p.CatchUp) > intervalMax {
		errs.add("catch_up", "", "%v is out of range; expected a time up to 10 years", p.CatchUp)
	}
	if len(p.Comment) > commentBytesMax {
		errs.add("comment", "", "it has %d bytes; at most %d are allowed", len(p.Comment), commentBytesMax)
	}
}

// planTemplates compiles the expressions in values; those that have none are
// missing in the result.
func planTemplates(errs *FieldErrors, field string, values map[string]string, names ...string) map[string]*template {
	size := 0
	var out map[string]*template
	env := newExprEnv(names)
	for name, text := range values {
		size += len(name) + len(text)
		if !strings.Contains(text, templateOpen) {
			continue
		}
		t := planTemplate(errs, field+"."+name, env, text)
		if out == nil {
			out = map[string]*template{}
		}
		out[name] = t
	}
	if size > inputsBytesMax {
		errs.add(field, "keep large data elsewhere and its address here", "they have %d bytes; at most %d are allowed", size, inputsBytesMax)
	}
	return out
}

// planTemplate compiles the expressions in a text.
func planTemplate(errs *FieldErrors, field string, env *cel.Env, text string) *template {
	t, mistake := parseTemplate(env, text)
	if mistake != nil {
		errs.add(field, mistake.hint, "position %d: %s", mistake.offset+1, mistake.message)
	}
	return t
}

// expandTemplates fills in the values of expressions.
func expandTemplates(values map[string]string, templates map[string]*template, v stepVariables) (map[string]string, error) {
	if len(templates) == 0 {
		return values, nil
	}
	out := make(map[string]string, len(values))
	for name, text := range values {
		if t := templates[name]; t != nil {
			var err error
			if text, err = t.expand(v); err != nil {
				return nil, &fault.Error{Code: fault.InvalidArgument, Target: "inputs." + name, Cause: err}
			}
		}
		out[name] = text
	}
	return out, nil
}

// inputsAt are the inputs of the run of an instant.
func (p *schedulePlan) inputsAt(instant time.Time) (map[string]string, error) {
	return expandTemplates(p.Inputs, p.inputs, fixedVariables{"schedule": scheduleVariable(p.Name, instant, p.zone)})
}

// scheduleVariable is what expressions know of the instant of a run.
func scheduleVariable(name string, instant time.Time, zone *time.Location) map[string]any {
	local := instant.In(zone)
	return map[string]any{
		"name": name, "time": instant.UTC(), "date": local.Format(time.DateOnly), "local": local.Format(time.RFC3339Nano),
	}
}
