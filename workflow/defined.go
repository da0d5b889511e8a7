package workflow

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// A definition may carry schedules and triggers of its own. They are those of its
// active version, see settle.go. Their names lie below that of the workflow, as
// WORKFLOW:NAME, which no name that is given by hand does.

const (
	// DefinedMax bounds the schedules of a definition, and its triggers.
	DefinedMax = 100

	definedSeparator = ":"
)

// definedName is the form of the name of a schedule or trigger in its definition.
var definedName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// definedBy is the workflow whose definition a schedule or trigger comes from,
// empty for one that was made by hand.
func definedBy(name string) string {
	workflow, _, ok := strings.Cut(name, definedSeparator)
	if !ok {
		return ""
	}
	return workflow
}

// scalarText is any single value as a text.
type scalarText string

// UnmarshalNode reads a value, which need not be quoted.
func (t *scalarText) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() || n.IsList() || n.IsNull() {
		return yamldoc.Errors{n.Errorf("expected a text, a number or a boolean")}
	}
	*t = scalarText(n.Text())
	return nil
}

// YAMLType names the type in documentation.
func (scalarText) YAMLType() string { return "value" }

// The shape of the schedules and triggers of a definition.
type (
	scheduleText struct {
		Cron     string              `yaml:"cron" doc:"A cron expression of 5 fields, or 6 with the second in front."`
		TimeZone string              `yaml:"time_zone" doc:"IANA name of the time zone of cron, such as Europe/Berlin. Default UTC."`
		Every    time.Duration       `yaml:"every" doc:"Interval between instants, whatever the runs take."`
		Delay    time.Duration       `yaml:"delay" doc:"Time from the end of a run to the next one."`
		At       time.Time           `yaml:"at" doc:"One instant."`
		Start    time.Time           `yaml:"start" doc:"No instant before this one."`
		End      time.Time           `yaml:"end" doc:"No instant after this one."`
		Jitter   time.Duration       `yaml:"jitter" doc:"Each instant is delayed by a part of this."`
		Inputs   Mapping[scalarText] `yaml:"inputs" doc:"Values for inputs, with expressions such as ${{ schedule.date }}."`
		Key      string              `yaml:"key" doc:"Whose runs they are."`
		Priority int                 `yaml:"priority" doc:"Which runs go first where they compete: the higher number."`
		Overlap  Overlap             `yaml:"overlap" doc:"While a run is under way: skip, queue, allow or cancel_running. Default skip."`
		QueueMax int                 `yaml:"queue_max" doc:"How many instants may wait with overlap: queue. Default 100."`
		CatchUp  time.Duration       `yaml:"catch_up" doc:"How late an instant may be started. Default 1m."`
		Paused   bool                `yaml:"paused" doc:"It begins paused."`
		Comment  string              `yaml:"comment" doc:"What it is for."`
	}
	triggerText struct {
		Kind     string              `yaml:"kind,required" doc:"The type of the trigger, such as webhook or file."`
		With     yamldoc.Node        `yaml:"with" doc:"The configuration of the type."`
		Inputs   Mapping[scalarText] `yaml:"inputs" doc:"Values for inputs, with expressions such as ${{ trigger.body.id }}."`
		Key      string              `yaml:"key" doc:"Whose run it is, with expressions."`
		Priority int                 `yaml:"priority" doc:"Which runs go first where they compete: the higher number."`
		Dedup    string              `yaml:"dedup" doc:"An expression that gives what a repeated delivery is known by."`
		Paused   bool                `yaml:"paused" doc:"It begins paused."`
		Comment  string              `yaml:"comment" doc:"What it is for."`
	}
)

func (t *scheduleText) schedule(workflow, name string) Schedule {
	return Schedule{
		Name: workflow + definedSeparator + name, Workflow: workflow, Cron: t.Cron, TimeZone: t.TimeZone, Every: Duration(t.Every), Delay: Duration(t.Delay),
		At: t.At, Start: t.Start, End: t.End, Jitter: Duration(t.Jitter), Inputs: plainInputs(t.Inputs), Key: t.Key, Priority: t.Priority,
		Overlap: t.Overlap, QueueMax: t.QueueMax, CatchUp: Duration(t.CatchUp), Paused: t.Paused, Comment: t.Comment,
	}
}

// scheduleTextOf is the inverse of scheduleText.schedule.
func scheduleTextOf(s *Schedule) scheduleText {
	return scheduleText{
		Cron: s.Cron, TimeZone: s.TimeZone, Every: time.Duration(s.Every), Delay: time.Duration(s.Delay), At: s.At, Start: s.Start, End: s.End,
		Jitter: time.Duration(s.Jitter), Inputs: textInputs(s.Inputs), Key: s.Key, Priority: s.Priority, Overlap: s.Overlap, QueueMax: s.QueueMax,
		CatchUp: time.Duration(s.CatchUp), Paused: s.Paused, Comment: s.Comment,
	}
}

func (t *triggerText) trigger(workflow, name string) (Trigger, error) {
	out := Trigger{
		Name: workflow + definedSeparator + name, Workflow: workflow, Kind: t.Kind, Inputs: plainInputs(t.Inputs), Key: t.Key, Priority: t.Priority,
		Dedup: t.Dedup, Paused: t.Paused, Comment: t.Comment,
	}
	if t.With.IsZero() || t.With.IsNull() {
		return out, nil
	}
	with, err := t.With.Tree().MarshalJSON()
	if err != nil {
		return out, err
	}
	var compact bytes.Buffer // as the store gives it back
	err = json.Compact(&compact, with)
	out.With = compact.Bytes()
	return out, err
}

func plainInputs(inputs Mapping[scalarText]) map[string]string {
	if len(inputs) == 0 {
		return nil
	}
	out := make(map[string]string, len(inputs))
	for _, in := range inputs {
		out[in.Key] = string(in.Value)
	}
	return out
}

func textInputs(inputs map[string]string) Mapping[scalarText] {
	var out Mapping[scalarText]
	for name, text := range inputs {
		out = append(out, yamldoc.Item[scalarText]{Key: name, Value: scalarText(text)})
	}
	slices.SortFunc(out, func(a, b yamldoc.Item[scalarText]) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// loadDefined checks the schedules and triggers of the definition.
func (l *loader) loadDefined() {
	d := l.definition
	for _, item := range l.text.Schedules {
		path := KeyPath("schedules", item.Key)
		s := item.Value.schedule(d.Name, item.Key)
		if l.checkDefined("schedules", "schedule", item.Key, len(l.text.Schedules)) {
			_, err := planSchedule(s)
			l.takeFields(path, err)
			l.checkDefinedInputs(path, item.Value.Inputs)
		}
		d.Schedules = append(d.Schedules, s)
	}
	for _, item := range l.text.Triggers {
		path := KeyPath("triggers", item.Key)
		t, err := item.Value.trigger(d.Name, item.Key)
		if err != nil {
			l.report(l.root.At(KeyPath(path, "with")), "", "%s", err)
		} else if item.Value.Kind != "" && l.checkDefined("triggers", "trigger", item.Key, len(l.text.Triggers)) {
			_, err := l.options.Registry.planTrigger(t)
			l.takeFields(path, err)
			l.checkDefinedInputs(path, item.Value.Inputs)
		}
		d.Triggers = append(d.Triggers, t)
	}
}

// checkDefined checks the name of a schedule or trigger.
func (l *loader) checkDefined(list, what, name string, n int) bool {
	key, _ := l.root.At(list).Key(name)
	switch {
	case l.definition.Name == "": // which is reported
	case n > DefinedMax:
		if first, _ := l.root.Key(list); !l.reported(first) {
			l.report(first, "", "there are %d; at most %d are allowed", n, DefinedMax)
		}
	case !definedName.MatchString(name):
		l.report(key, "", "a %s cannot be called %q; expected a letter, then at most 62 letters, digits, _ and -", what, name)
	case !entryName.MatchString(l.definition.Name):
		if first, _ := l.root.Key(list); !l.reported(first) {
			l.report(first, "give the workflow a name of letters, digits, '.', '_' and '-'", "the name of the workflow, %q, cannot be part of that of a %s", cutText(l.definition.Name, 110), what)
		}
	default:
		return true
	}
	return false
}

// takeFields reports mistakes in fields where these stand.
func (l *loader) takeFields(path string, err error) {
	errs, ok := err.(FieldErrors) //nolint:errorlint // which is what plans give
	if !ok {
		return
	}
	for _, e := range errs {
		if at := l.root.At(path + "." + e.Field); !l.reported(at) {
			l.report(at, e.Hint, "%s", e.Message)
		}
	}
}

// checkDefinedInputs checks the values that runs will get.
func (l *loader) checkDefinedInputs(path string, given Mapping[scalarText]) {
	for _, g := range given {
		key, _ := l.root.At(KeyPath(path, "inputs")).Key(g.Key)
		i := slices.IndexFunc(l.definition.Inputs, func(in Input) bool { return in.Name == g.Key })
		if i < 0 {
			l.problems = append(l.problems, key.Unknown("input", g.Key, l.inputNames()))
			continue
		}
		if kind := l.definition.Inputs[i].Kind; kind != KindNull && !strings.Contains(string(g.Value), templateOpen) {
			if _, err := ParseValue(kind, string(g.Value)); err != nil {
				l.report(l.root.At(KeyPath(KeyPath(path, "inputs"), g.Key)), "", "%s", err)
			}
		}
	}
	for _, in := range l.text.Inputs {
		if in.Value.Default.IsZero() && !slices.ContainsFunc(given, func(g yamldoc.Item[scalarText]) bool { return g.Key == in.Key }) {
			l.report(l.root.At(path), "give it here, as inputs: {"+in.Key+": …}, or a default", "the input %q would have no value", in.Key)
		}
	}
}
