package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/store"
)

const (
	// A trigger is the entry wf/trigger/NAME of a store. What it has started is
	// known by the entries wf/request/trigger/NAME/ID.
	triggerPrefix = "wf/trigger/"
	// triggerTrigger begins the trigger of a run, and the request that started it.
	triggerTrigger = "trigger/"
)

// AddTriggers adds types of triggers. It panics if a name is taken, or if the
// type has no documentation: both are mistakes of the program.
func (r *Registry) AddTriggers(kinds ...TriggerKind) {
	for _, k := range kinds {
		info := k.Info()
		switch {
		case !typeName.MatchString(info.Name):
			panic(fmt.Sprintf("workflow: a type of triggers cannot be named %q", info.Name))
		case info.Doc == "":
			panic(fmt.Sprintf("workflow: the trigger type %s has no documentation", info.Name))
		case r.triggers[info.Name] != nil:
			panic(fmt.Sprintf("workflow: the trigger type %s is registered twice", info.Name))
		}
		if r.triggers == nil {
			r.triggers = map[string]TriggerKind{}
		}
		r.triggers[info.Name] = k
	}
}

// TriggerTypes describes all types of triggers by name.
func (r *Registry) TriggerTypes() []TypeInfo {
	infos := make([]TypeInfo, 0, len(r.triggers))
	for _, name := range r.triggerNames() {
		infos = append(infos, r.triggers[name].Info())
	}
	return infos
}

func (r *Registry) triggerNames() []string {
	names := make([]string, 0, len(r.triggers))
	for name := range r.triggers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e *FieldErrors) unknown(field, what, name string, known []string) {
	if name == "" {
		e.add(field, "", "it is missing; expected one of %s", strings.Join(known, ", "))
		return
	}
	e.add(field, suggest.DidYouMean(name, known), "%q is no %s; expected one of %s", cutText(name, 60), what, strings.Join(known, ", "))
}

// triggerMessage is what the actor of the triggers is told.
type triggerMessage interface{ isTriggerMessage() }

type (
	triggersLoaded struct {
		triggers []*liveTrigger
		err      error
	}
	loadTriggers struct{}
	forgetIDs    struct{}
	forgot       struct {
		n   int
		err error
	}
	// changeTrigger has a trigger changed: do gets the present one or nil, and
	// returns the next one or nil.
	changeTrigger struct {
		name  string
		do    func(ctx context.Context, old *liveTrigger) (*liveTrigger, error)
		reply actor.Reply[*liveTrigger]
	}
)

func (triggersLoaded) isTriggerMessage() {}
func (loadTriggers) isTriggerMessage()   {}
func (forgetIDs) isTriggerMessage()      {}
func (forgot) isTriggerMessage()         {}
func (changeTrigger) isTriggerMessage()  {}

// triggerKeeper supervises the sources of triggers, and is the only one that
// writes triggers.
type triggerKeeper struct {
	engine *Engine
	held   []changeTrigger // came before the triggers were read
	loaded bool
}

// Start has the triggers read.
func (k *triggerKeeper) Start(ctx *actor.Context[triggerMessage]) error {
	k.load(ctx)
	return nil
}

func (k *triggerKeeper) load(ctx *actor.Context[triggerMessage]) {
	ctx.Pipe(func(ctx context.Context) triggerMessage {
		k.engine.whenStaffed(ctx)
		triggers, err := k.engine.loadTriggers(ctx)
		return triggersLoaded{triggers, err}
	})
}

// Receive handles one message.
func (k *triggerKeeper) Receive(ctx *actor.Context[triggerMessage], m triggerMessage) error {
	switch m := m.(type) {
	case loadTriggers:
		k.load(ctx)
	case triggersLoaded:
		if m.err != nil {
			k.engine.log.Error("the triggers cannot be read; it is tried again", "error", m.err)
			ctx.After(wakeAgain, loadTriggers{})
			break
		}
		for _, live := range m.triggers {
			k.install(ctx, live)
		}
		k.loaded = true
		ctx.After(0, forgetIDs{}) // or a process that never lives long would forget none
		ctx.Every(forgetEvery, forgetIDs{})
		select {
		case <-k.engine.triggers.ready: // after a failure
		default:
			close(k.engine.triggers.ready)
		}
		for _, held := range k.held {
			k.change(ctx, held)
		}
		k.held = nil
	case forgetIDs:
		ctx.Pipe(func(ctx context.Context) triggerMessage {
			n, err := k.engine.forgetDeliveries(ctx, time.Now())
			return forgot{n, err}
		})
	case forgot:
		if m.err != nil && !k.engine.isClosing() {
			k.engine.log.Warn("old ids of deliveries cannot be forgotten at present", "error", m.err)
		} else if m.n > 0 {
			k.engine.log.Debug("old ids of deliveries were forgotten", "ids", m.n)
		}
	case changeTrigger:
		if !k.loaded {
			k.held = append(k.held, m)
			return nil
		}
		k.change(ctx, m)
	}
	return nil
}

// install has a trigger take in deliveries.
func (k *triggerKeeper) install(ctx *actor.Context[triggerMessage], live *liveTrigger) {
	if live.plan.Source != nil && !live.plan.Paused {
		var err error
		live.source, err = actor.SpawnService(ctx, actor.ServiceSpec{
			Type: "workflow.trigger", Restart: actor.Transient,
			New: func() actor.Service { return &triggerService{k.engine, live} },
		})
		live.serves(err == nil, err)
	}
	k.engine.triggers.set(live.plan.Name, live)
}

func (k *triggerKeeper) change(ctx *actor.Context[triggerMessage], m changeTrigger) {
	old := k.engine.triggers.get(m.name)
	next, err := m.do(ctx, old)
	if err != nil || next == old {
		if err != nil {
			m.reply.Fail(err)
		} else {
			m.reply.Send(old)
		}
		return
	}
	if old != nil && old.plan.Source != nil && old.source != (actor.ServiceRef{}) {
		if err := old.source.Stop(ctx); err != nil {
			k.engine.log.Warn("the source of a trigger does not end", "trigger", m.name, "error", err)
		}
	}
	if next == nil {
		k.engine.triggers.set(m.name, nil)
	} else {
		k.install(ctx, next)
	}
	k.engine.changed(triggerTrigger+m.name, nil)
	m.reply.Send(next)
}

// loadTriggers reads all triggers.
func (e *Engine) loadTriggers(ctx context.Context) ([]*liveTrigger, error) {
	entries, err := e.store.Entries(ctx, store.EntryFilter{Prefix: triggerPrefix, Limit: TriggersMax})
	if err != nil {
		return nil, err
	}
	var out []*liveTrigger
	for _, entry := range entries {
		var t Trigger
		err := json.Unmarshal(entry.Value, &t)
		var plan *triggerPlan
		if err == nil {
			plan, err = e.options.Registry.planTrigger(t)
		}
		if err != nil {
			e.log.Error("a trigger cannot be read", "trigger", strings.TrimPrefix(entry.Key, triggerPrefix), "error", err)
			continue
		}
		out = append(out, &liveTrigger{plan: plan, revision: entry.Version})
	}
	return out, nil
}

func noTrigger(name string) error {
	return &fault.Error{Code: fault.NotFound, Op: "workflow.Engine", Target: name, Message: "there is no such trigger"}
}

// onTrigger has a trigger changed.
func (e *Engine) onTrigger(ctx context.Context, name string, do func(ctx context.Context, old *liveTrigger) (*liveTrigger, error)) (*liveTrigger, error) {
	live, err := actor.Ask(ctx, e.tended, func(r actor.Reply[*liveTrigger]) triggerMessage { return changeTrigger{name, do, r} })
	if errors.Is(err, actor.ErrStopped) {
		return nil, fault.New(fault.Unavailable, "workflow.Engine", "the engine is stopping")
	}
	return live, err
}

// PutTrigger makes a trigger, or changes the one of its name. The revision is as
// for [Engine.PutSchedule].
//
// Errors: [FieldErrors] for what is wrong in the trigger, NOT_FOUND for an unknown
// workflow or version, [store.ErrConflict] for another revision,
// RESOURCE_EXHAUSTED beyond [TriggersMax], FAILED_PRECONDITION for one of a
// definition, those of the store.
func (e *Engine) PutTrigger(ctx context.Context, t Trigger, revision int64) (TriggerInfo, error) {
	if err := refuseDefined("workflow.Engine.PutTrigger", "trigger", t.Name); err != nil {
		return TriggerInfo{}, err
	}
	plan, err := e.options.Registry.planTrigger(t)
	if err != nil {
		return TriggerInfo{}, err
	}
	if err := e.checkTriggered(ctx, plan); err != nil {
		return TriggerInfo{}, err
	}
	live, err := e.onTrigger(ctx, plan.Name, func(ctx context.Context, old *liveTrigger) (*liveTrigger, error) {
		return e.putTrigger(ctx, old, plan, revision)
	})
	if err != nil {
		return TriggerInfo{}, err
	}
	return live.info(), nil
}

// checkTriggered finds out whether the workflow and its inputs are there.
func (e *Engine) checkTriggered(ctx context.Context, p *triggerPlan) error {
	version := p.Version
	if version == 0 {
		var err error
		if version, err = e.active(ctx, p.Workflow); err != nil {
			return err
		}
	}
	record, _, err := e.record(ctx, p.Workflow, version)
	if err != nil {
		return err
	}
	files := fileSet{dir: record.Dir}
	if record.Embedded {
		files.fsys = e.options.Files
	}
	plain := map[string]string{}
	for name, text := range p.Inputs {
		if p.inputs[name] == nil {
			plain[name] = text
		}
	}
	d, err := loadBytes(record.Text, record.File, files, LoadOptions{Registry: e.options.Registry, Inputs: plain, Open: true})
	if err != nil {
		return err
	}
	var names []string
	for _, input := range d.Inputs {
		names = append(names, input.Name)
	}
	var errs FieldErrors
	for name := range p.inputs {
		if !slices.Contains(names, name) {
			errs.unknown("inputs."+name, "input of the workflow", name, names)
		}
	}
	if errs != nil {
		return errs
	}
	return nil
}

func (e *Engine) putTrigger(ctx context.Context, old *liveTrigger, plan *triggerPlan, revision int64) (*liveTrigger, error) {
	actual := store.Absent
	if old != nil {
		actual = old.revision
	}
	expected := actual
	switch {
	case revision != store.AnyVersion && revision != actual:
		return nil, store.EntryConflict(triggerPrefix+plan.Name, revision, actual)
	case old != nil && reflect.DeepEqual(old.plan.Trigger, plan.Trigger):
		return old, nil
	case old == nil:
		expected = revision // one that cannot be read may be there, to be replaced
		entries, err := e.store.Entries(ctx, store.EntryFilter{Prefix: triggerPrefix, Limit: TriggersMax})
		if err != nil {
			return nil, err
		}
		if len(entries) >= TriggersMax {
			return nil, fault.New(fault.ResourceExhausted, "workflow.Engine.PutTrigger", "there are %d triggers; at most %d are allowed", len(entries), TriggersMax)
		}
	}
	value, err := json.Marshal(plan.Trigger)
	if err != nil {
		return nil, err
	}
	result, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{{Key: triggerPrefix + plan.Name, Value: value, Expected: expected}}})
	if err != nil {
		return nil, err
	}
	next := &liveTrigger{plan: plan, revision: result.Versions[0]}
	if old != nil {
		old.mu.Lock()
		next.counts, next.last = old.counts, slices.Clone(old.last)
		old.mu.Unlock()
	}
	return next, nil
}

// Trigger returns a trigger. Errors: NOT_FOUND.
func (e *Engine) Trigger(ctx context.Context, name string) (TriggerInfo, error) {
	if err := e.triggers.wait(ctx, e); err != nil {
		return TriggerInfo{}, err
	}
	live := e.triggers.get(name)
	if live == nil {
		return TriggerInfo{}, noTrigger(name)
	}
	return live.info(), nil
}

// Triggers lists all triggers by name, those of one workflow if it is given.
func (e *Engine) Triggers(ctx context.Context, workflow string) ([]TriggerInfo, error) {
	if err := e.triggers.wait(ctx, e); err != nil {
		return nil, err
	}
	e.triggers.mu.RLock()
	defer e.triggers.mu.RUnlock()
	out := []TriggerInfo{}
	for _, live := range e.triggers.byName {
		if workflow == "" || live.plan.Workflow == workflow {
			out = append(out, live.info())
		}
	}
	slices.SortFunc(out, func(a, b TriggerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// DeleteTrigger removes a trigger. What it has started goes on, and is still known
// should a trigger of the same name be made again. The revision is as for
// [Engine.PutSchedule]. Errors: NOT_FOUND, [store.ErrConflict], FAILED_PRECONDITION
// for one of a definition.
func (e *Engine) DeleteTrigger(ctx context.Context, name string, revision int64) error {
	if err := refuseDefined("workflow.Engine.DeleteTrigger", "trigger", name); err != nil {
		return err
	}
	return e.dropTrigger(ctx, name, revision)
}

func (e *Engine) dropTrigger(ctx context.Context, name string, revision int64) error {
	_, err := e.onTrigger(ctx, name, func(ctx context.Context, old *liveTrigger) (*liveTrigger, error) {
		if old == nil {
			return nil, noTrigger(name)
		}
		if revision != store.AnyVersion && revision != old.revision {
			return nil, store.EntryConflict(triggerPrefix+name, revision, old.revision)
		}
		_, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{{Key: triggerPrefix + name, Expected: old.revision, Delete: true}}})
		return nil, err
	})
	if err != nil {
		return err
	}
	return e.forgetMemories(ctx, triggerMemoryPrefix+name)
}

// PauseTrigger keeps a trigger from taking anything in. The comment, which may be
// empty, says why. Errors: NOT_FOUND.
func (e *Engine) PauseTrigger(ctx context.Context, name, comment string) (TriggerInfo, error) {
	return e.pauseTrigger(ctx, name, comment, true)
}

// ResumeTrigger ends a pause. Errors: NOT_FOUND.
func (e *Engine) ResumeTrigger(ctx context.Context, name, comment string) (TriggerInfo, error) {
	return e.pauseTrigger(ctx, name, comment, false)
}

func (e *Engine) pauseTrigger(ctx context.Context, name, comment string, paused bool) (TriggerInfo, error) {
	live, err := e.onTrigger(ctx, name, func(ctx context.Context, old *liveTrigger) (*liveTrigger, error) {
		if old == nil {
			return nil, noTrigger(name)
		}
		t := old.plan.Trigger
		t.Paused = paused
		if comment != "" {
			t.Comment = comment
		}
		plan, err := e.options.Registry.planTrigger(t)
		if err != nil {
			return nil, err
		}
		return e.putTrigger(ctx, old, plan, store.AnyVersion)
	})
	if err != nil {
		return TriggerInfo{}, err
	}
	return live.info(), nil
}
