package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Limits of triggers.
const (
	// TriggersMax bounds the triggers of an engine.
	TriggersMax = 1000
	// DeliveryBytesMax bounds the body of a delivery.
	DeliveryBytesMax = 1 << 20
	// DeliveriesKept is how many of a trigger's last deliveries are kept.
	DeliveriesKept = 20

	triggerWithMax = 16 << 10
)

// Trigger starts a run of a workflow for each delivery: a request, a file, a
// record. A delivery that comes again, by its id or by what Dedup gives, starts
// nothing, however often and whatever died in between: it is answered with the
// run that it started.
type Trigger struct {
	// Name is unique among triggers: letters, digits, '.', '_' and '-'.
	Name string `json:"name" yaml:"name,required" doc:"What the trigger is called."`
	// Workflow is what runs.
	Workflow string `json:"workflow" yaml:"workflow,required" doc:"The workflow that runs."`
	// Version is the version to run; 0: the one that is active at the time.
	Version int64 `json:"version,omitempty" yaml:"version" doc:"The version that runs; 0: the active one."`
	// Kind is the type of the trigger, such as webhook or file. See
	// [Registry.TriggerTypes].
	Kind string `json:"kind" yaml:"kind,required" doc:"The type of the trigger, such as webhook or file."`
	// With is the configuration of the type, a JSON object.
	With json.RawMessage `json:"with,omitempty" yaml:"-"`
	// Inputs are values for the inputs of the workflow. They may have expressions
	// over the delivery, see [Delivery]: ${{ trigger.body.order.id }}.
	Inputs map[string]string `json:"inputs,omitempty" yaml:"inputs" doc:"Values for inputs, with expressions such as ${{ trigger.body.id }}."`
	// Key is that of the runs; it may have expressions too. Priority is theirs.
	Key      string `json:"key,omitempty" yaml:"key" doc:"Whose run it is, with expressions."`
	Priority int    `json:"priority,omitempty" yaml:"priority" doc:"Which runs go first where they compete: the higher number."`
	// Dedup is an expression over the delivery that gives the text by which one
	// that is repeated is known, such as trigger.header["x-request-id"]. Default:
	// what the type says.
	Dedup string `json:"dedup,omitempty" yaml:"dedup" doc:"An expression that gives what a repeated delivery is known by."`
	// Paused: nothing is taken in. Comment says why, or what the trigger is for.
	Paused  bool   `json:"paused,omitempty" yaml:"paused" doc:"Nothing is taken in."`
	Comment string `json:"comment,omitempty" yaml:"comment" doc:"Why it is paused, or what it is for."`
}

// Delivery is what a trigger takes in. Expressions see it as trigger, with
//
//	trigger.name, .kind, .id    texts
//	trigger.time                when it came, a timestamp
//	trigger.body                what the body is as JSON, or its text if it is none
//	trigger.text                the body as a text
//	trigger.header, .query      the first value of each name; names of headers are in
//	                            lower case
//	trigger.attributes          what the type says of it: path, topic, offset, …
type Delivery struct {
	// ID tells it from all others of the trigger; empty if the type knows none.
	ID string
	// Time is when it came. Default: now.
	Time       time.Time
	Body       []byte // at most [DeliveryBytesMax]
	Header     map[string][]string
	Query      map[string][]string
	Attributes map[string]string
}

// Delivered is what became of a delivery.
type Delivered struct {
	// Run is the run that it started, now or the first time.
	Run *Run
	// Repeated: it had come before.
	Repeated bool
}

// TriggerInfo is a trigger and what has become of it. Figures begin with the
// engine.
type TriggerInfo struct {
	Trigger
	// Defined: it comes from the definition of its workflow and changes with that; by
	// hand it can be paused and resumed.
	Defined bool `json:"defined,omitempty"`
	// Revision rises with each change of the trigger.
	Revision int64 `json:"revision"`
	// Listens: it brings deliveries by itself, and does so at present. A webhook
	// never does.
	Listens bool `json:"listens"`
	// Error is why it does not listen, though it should.
	Error  string        `json:"error,omitempty"`
	Counts TriggerCounts `json:"counts"`
	// Deliveries are the last ones, the newest first, at most 20.
	Deliveries []DeliveryInfo `json:"deliveries"`
}

// TriggerCounts count deliveries.
type TriggerCounts struct {
	Started  int64 `json:"started"`
	Repeated int64 `json:"repeated"` // had come before
	Refused  int64 `json:"refused"`  // by the type, such as for a wrong signature
	Failed   int64 `json:"failed"`   // started no run
}

// DeliveryOutcome is what became of a delivery.
type DeliveryOutcome string

// The outcomes of deliveries.
const (
	DeliveryStarted  DeliveryOutcome = "started"
	DeliveryRepeated DeliveryOutcome = "repeated"
	DeliveryRefused  DeliveryOutcome = "refused"
	DeliveryFailed   DeliveryOutcome = "failed"
)

// DeliveryInfo is one of the last deliveries.
type DeliveryInfo struct {
	Time    time.Time       `json:"time"`
	ID      string          `json:"id,omitempty"`
	Outcome DeliveryOutcome `json:"outcome"`
	Run     string          `json:"run,omitempty"`
	Reason  string          `json:"reason,omitempty"`
}

// TriggerSource brings deliveries.
type TriggerSource interface {
	// Serve brings deliveries until ctx ends. When it returns before, with an error
	// or without, it is served again after a while.
	Serve(ctx context.Context, deliver DeliverFunc) error
}

// DeliverFunc takes in a delivery. When it returns without an error, the start of
// the run is recorded and nothing can undo it: only then may a source let go of
// what it delivered. It waits while the store is away. An error is final: it is
// that of ctx, or the delivery starts no run and is noted as failed, and the
// source goes on with the next one.
type DeliverFunc func(ctx context.Context, d Delivery) (Delivered, error)

// TriggerEnv is what the source of a trigger has in hand.
type TriggerEnv struct {
	// Trigger is its name.
	Trigger string
	// Dir is where relative paths begin: the output directory of the engine.
	Dir string
	// Log carries the trigger's name.
	Log *slog.Logger
	// Memory is what the source knows from one process to the next. It goes with the
	// trigger.
	Memory *Memory
}

// TriggerType is a type of triggers. C is the struct that the configuration is
// decoded into, see [SourceType].
type TriggerType[C any] struct {
	Name    string // such as webhook
	Doc     string
	Example string // the YAML of a with block
	Default C      // the configuration before decoding
	// Plan checks a configuration. It reports what is wrong to c, in which case
	// its result is not used, or tells how the trigger works.
	Plan func(c *Check, config C) TriggerPlan
}

// TriggerPlan is how a trigger works. One of Accept and Source is set.
type TriggerPlan struct {
	// Accept looks at a delivery that somebody else brings by [Engine.Deliver],
	// and may complete it. It returns an error for one that is refused, with the
	// code UNAUTHENTICATED or INVALID_ARGUMENT.
	Accept func(ctx context.Context, d *Delivery) error
	// Source makes what brings deliveries.
	Source func(env *TriggerEnv) (TriggerSource, error)
	// ComesAgain: what was delivered comes again with each process, as long as it is
	// there, such as a file in a folder. It is never forgotten that it came, see
	// [EngineOptions].DeliveriesKnown.
	ComesAgain bool
}

// TriggerKind is a type of triggers: a [TriggerType].
type TriggerKind interface {
	// Info describes the type.
	Info() TypeInfo
	// check decodes a configuration and plans the trigger.
	check(c *Check) TriggerPlan
}

// RoleTrigger is that of types of triggers, which are no nodes.
const RoleTrigger Role = "trigger"

// Info describes the type.
func (t TriggerType[C]) Info() TypeInfo {
	return TypeInfo{Name: t.Name, Role: RoleTrigger, Doc: t.Doc, Config: yamldoc.Describe(t.Default), Example: t.Example}
}

func (t TriggerType[C]) check(c *Check) TriggerPlan {
	config := t.Default
	if !c.decode(&config) {
		return TriggerPlan{}
	}
	return t.Plan(c, config)
}

// triggerPlan is a trigger that has been checked.
type triggerPlan struct {
	Trigger
	TriggerPlan
	inputs map[string]*template
	key    *template
	dedup  *stepProgram
}

// planTrigger checks a trigger. The error is a [FieldErrors].
func (r *Registry) planTrigger(t Trigger) (*triggerPlan, error) {
	var errs FieldErrors
	p := &triggerPlan{Trigger: t}
	errs.checkName(t.Name)
	if t.Workflow == "" {
		errs.add("workflow", "", "it is missing; expected the name of a workflow")
	}
	if t.Version < 0 {
		errs.add("version", "", "%d is no version; expected 0, for the active one, or a number above", t.Version)
	}
	if len(t.Comment) > commentBytesMax {
		errs.add("comment", "", "it has %d bytes; at most %d are allowed", len(t.Comment), commentBytesMax)
	}
	if len(p.Inputs) == 0 {
		p.Inputs = nil
	}
	p.inputs = planTemplates(&errs, "inputs", t.Inputs, "trigger")
	if strings.Contains(t.Key, templateOpen) {
		p.key = planTemplate(&errs, "key", newExprEnv([]string{"trigger"}), t.Key)
	}
	if t.Dedup != "" {
		program, mistake := compileStep(newExprEnv([]string{"trigger"}), t.Dedup)
		if mistake != nil {
			errs.add("dedup", mistake.hint, "position %d: %s", mistake.offset+1, mistake.message)
		}
		p.dedup = program
	}
	var compact bytes.Buffer // as the store gives it back
	switch {
	case len(t.With) == 0:
		p.TriggerPlan = r.planKind(&errs, t)
	case json.Compact(&compact, t.With) != nil:
		errs.add("with", "", "it is no JSON")
	default:
		p.With = compact.Bytes()
		p.TriggerPlan = r.planKind(&errs, p.Trigger)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return p, nil
}

// planKind checks the configuration of a trigger's type.
func (r *Registry) planKind(errs *FieldErrors, t Trigger) TriggerPlan {
	kind := r.triggers[t.Kind]
	if kind == nil {
		errs.unknown("kind", "type of triggers", t.Kind, r.triggerNames())
		return TriggerPlan{}
	}
	if len(t.With) > triggerWithMax {
		errs.add("with", "", "it has %d bytes; at most %d are allowed", len(t.With), triggerWithMax)
		return TriggerPlan{}
	}
	text := t.With
	if len(text) == 0 {
		text = json.RawMessage("{}")
	}
	document, err := yamldoc.Parse("with", text, yamldoc.Limits{BytesMax: triggerWithMax})
	if err != nil {
		errs.add("with", "", "%s", err)
		return TriggerPlan{}
	}
	c := &Check{node: t.Name, with: document.Root(), at: document.Root()}
	plan := kind.check(c)
	for _, problem := range c.problems {
		field := "with"
		if problem.Path != "" {
			field += "." + problem.Path
		}
		errs.add(field, problem.Hint, "%s", problem.Message)
	}
	return plan
}

// variables are what expressions see of a delivery.
func (p *triggerPlan) variables(d *Delivery) fixedVariables {
	body := any(string(d.Body))
	if json.Valid(d.Body) {
		body = value(d.Body)
	}
	header, query, attributes := map[string]any{}, map[string]any{}, map[string]any{}
	for name, values := range d.Header {
		if len(values) > 0 {
			header[strings.ToLower(name)] = values[0]
		}
	}
	for name, values := range d.Query {
		if len(values) > 0 {
			query[name] = values[0]
		}
	}
	for name, text := range d.Attributes {
		attributes[name] = text
	}
	return fixedVariables{"trigger": map[string]any{
		"name": p.Name, "kind": p.Kind, "id": d.ID, "time": d.Time, "body": body, "text": string(d.Body),
		"header": header, "query": query, "attributes": attributes,
	}}
}
