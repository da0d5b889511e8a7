package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// liveTrigger is a trigger that takes in deliveries.
type liveTrigger struct {
	plan     *triggerPlan
	revision int64
	source   actor.ServiceRef // zero if it has none, or is paused

	mu      sync.Mutex
	listens bool
	failure string
	counts  TriggerCounts
	last    []DeliveryInfo
}

// info is what is told of a trigger.
func (t *liveTrigger) info() TriggerInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TriggerInfo{
		Trigger: t.plan.Trigger, Defined: definedBy(t.plan.Name) != "", Revision: t.revision, Listens: t.listens, Error: t.failure, Counts: t.counts,
		Deliveries: append([]DeliveryInfo{}, t.last...),
	}
}

// note counts a delivery.
func (t *liveTrigger) note(d *Delivery, run *Run, outcome DeliveryOutcome, err error) {
	info := DeliveryInfo{Time: d.Time, ID: cutText(d.ID, 200), Outcome: outcome}
	if run != nil {
		info.Run = run.id
	}
	if err != nil {
		info.Reason = cutText(err.Error(), summaryError)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch outcome {
	case DeliveryStarted:
		t.counts.Started++
	case DeliveryRepeated:
		t.counts.Repeated++
	case DeliveryRefused:
		t.counts.Refused++
	case DeliveryFailed:
		t.counts.Failed++
	}
	t.last = slices.Insert(t.last, 0, info)
	t.last = t.last[:min(len(t.last), DeliveriesKept)]
}

// serves notes whether the source works.
func (t *liveTrigger) serves(works bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listens, t.failure = works, ""
	if err != nil {
		t.failure = cutText(err.Error(), summaryError)
	}
}

// triggerTable has the triggers of an engine.
type triggerTable struct {
	ready chan struct{} // closed when they have been read

	mu     sync.RWMutex
	byName map[string]*liveTrigger
}

func newTriggerTable() *triggerTable {
	return &triggerTable{ready: make(chan struct{}), byName: map[string]*liveTrigger{}}
}

// wait waits until the triggers are there.
func (t *triggerTable) wait(ctx context.Context, e *Engine) error {
	select {
	case <-t.ready:
		return nil
	case <-e.Done():
		return fault.New(fault.Unavailable, "workflow.Engine", "the engine has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *triggerTable) get(name string) *liveTrigger {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// set puts a trigger in its place, nil for none.
func (t *triggerTable) set(name string, live *liveTrigger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if live == nil {
		delete(t.byName, name)
		return
	}
	t.byName[name] = live
}

// Deliver hands a delivery to a trigger whose type takes them from outside, such
// as a webhook. When it returns without an error, the start of the run is
// recorded. A delivery that came before gives the run that it started.
//
// Errors: NOT_FOUND for an unknown trigger; FAILED_PRECONDITION for one that is
// paused, or brings its deliveries itself; UNAUTHENTICATED or INVALID_ARGUMENT
// for a delivery that is refused; those of [Engine.Start].
func (e *Engine) Deliver(ctx context.Context, name string, d Delivery) (Delivered, error) {
	const op = "workflow.Engine.Deliver"
	if err := e.triggers.wait(ctx, e); err != nil {
		return Delivered{}, err
	}
	t := e.triggers.get(name)
	switch {
	case t == nil:
		return Delivered{}, noTrigger(name)
	case t.plan.Accept == nil:
		return Delivered{}, fault.New(fault.FailedPrecondition, op, "the trigger %s is of the type %s, which takes no deliveries from outside", name, t.plan.Kind)
	case t.plan.Paused:
		return Delivered{}, fault.New(fault.FailedPrecondition, op, "the trigger %s is paused", name)
	}
	if d.Time.IsZero() {
		d.Time = time.Now()
	}
	err := error(nil)
	if len(d.Body) > DeliveryBytesMax {
		err = fault.New(fault.InvalidArgument, op, "the body has %d bytes; at most %d are allowed", len(d.Body), DeliveryBytesMax)
	} else {
		err = t.plan.Accept(ctx, &d)
	}
	if err != nil {
		t.note(&d, nil, DeliveryRefused, err)
		return Delivered{}, err
	}
	return e.deliver(ctx, t, &d)
}

// DeliverByHand hands a delivery to a trigger of any type as if it had been let in:
// nothing is checked but its size, and it does not matter whether the trigger is
// paused. It is for who may start runs anyway, to try a trigger or to make up for
// a delivery that was lost. Without an id, and if the trigger has no dedup, it
// starts a run each time. Errors: those of [Engine.Deliver], but for refusals.
func (e *Engine) DeliverByHand(ctx context.Context, name string, d Delivery) (Delivered, error) {
	if err := e.triggers.wait(ctx, e); err != nil {
		return Delivered{}, err
	}
	t := e.triggers.get(name)
	if t == nil {
		return Delivered{}, noTrigger(name)
	}
	if len(d.Body) > DeliveryBytesMax {
		return Delivered{}, fault.New(fault.InvalidArgument, "workflow.Engine.DeliverByHand", "the body has %d bytes; at most %d are allowed", len(d.Body), DeliveryBytesMax)
	}
	if d.Time.IsZero() {
		d.Time = time.Now()
	}
	return e.deliver(ctx, t, &d)
}

// deliver starts the run of a delivery, unless it was started.
func (e *Engine) deliver(ctx context.Context, t *liveTrigger, d *Delivery) (Delivered, error) {
	out, err := e.startDelivery(ctx, t.plan, d)
	switch {
	case err != nil:
		if ctx.Err() == nil && !fault.CodeOf(err).Transient() {
			t.note(d, nil, DeliveryFailed, err)
		}
	case out.Repeated:
		t.note(d, out.Run, DeliveryRepeated, nil)
	default:
		t.note(d, out.Run, DeliveryStarted, nil)
	}
	return out, err
}

func (e *Engine) startDelivery(ctx context.Context, p *triggerPlan, d *Delivery) (Delivered, error) {
	variables := p.variables(d)
	request, err := p.request(d, variables)
	if err != nil {
		return Delivered{}, err
	}
	if request != "" {
		run, err := e.started(ctx, request)
		if err == nil {
			return Delivered{Run: run, Repeated: true}, nil
		}
		if !errors.Is(err, store.ErrNoEntry) {
			return Delivered{}, err
		}
	}
	inputs, err := expandTemplates(p.Inputs, p.inputs, variables)
	if err != nil {
		return Delivered{}, err
	}
	key := p.Key
	if p.key != nil {
		if key, err = p.key.expand(variables); err != nil {
			return Delivered{}, &fault.Error{Code: fault.InvalidArgument, Target: "key", Cause: err}
		}
	}
	made := ""
	run, err := e.Start(ctx, p.Workflow, StartOptions{
		Version: p.Version, Inputs: inputs, Key: key, Priority: p.Priority, Trigger: triggerTrigger + p.Name, RequestID: request,
		scheduled: d.Time.UTC(), along: func(runID string) (store.Set, error) {
			made = runID
			return store.Set{}, nil
		},
	})
	if err != nil {
		return Delivered{}, err
	}
	return Delivered{Run: run, Repeated: run.id != made}, nil
}

// plainID is the form of ids that can be part of a key as they are.
var plainID = regexp.MustCompile(`^[A-Za-z0-9._:/@=+-]{1,200}$`)

// request is the id by which the start of a delivery's run is known, empty if
// there is none.
func (p *triggerPlan) request(d *Delivery, v stepVariables) (string, error) {
	id := d.ID
	if p.dedup != nil {
		var err error
		if id, err = p.dedup.text(v); err != nil {
			return "", &fault.Error{Code: fault.InvalidArgument, Target: "dedup", Cause: err}
		}
		if id == "" {
			return "", fault.New(fault.InvalidArgument, "workflow.Engine.Deliver", "dedup gives an empty text: %s", p.Dedup)
		}
		d.ID = id
	}
	if id == "" {
		return "", nil
	}
	if !plainID.MatchString(id) {
		sum := sha256.Sum256([]byte(id))
		id = "sha256=" + hex.EncodeToString(sum[:])
	}
	return triggerTrigger + p.Name + "/" + id, nil
}

// triggerService serves the source of a trigger, again and again.
type triggerService struct {
	engine *Engine
	live   *liveTrigger
}

// sourceHealthy is how long a source must have worked for its failures to be
// counted anew.
const sourceHealthy = time.Minute

// Serve serves the source until ctx ends.
func (s *triggerService) Serve(ctx context.Context) error {
	name := s.live.plan.Name
	env := &TriggerEnv{Trigger: name, Dir: s.engine.options.OutputDir, Log: s.engine.log.With("trigger", name), Memory: s.engine.triggerMemory(name)}
	for attempt := 1; ; attempt++ {
		began := time.Now()
		source, err := s.live.plan.Source(env)
		if err == nil {
			s.live.serves(true, nil)
			err = source.Serve(ctx, s.deliver)
		}
		if ctx.Err() != nil {
			s.live.serves(false, nil)
			return nil //nolint:nilerr // it was stopped
		}
		if err == nil {
			err = fault.New(fault.Unavailable, "workflow.TriggerSource", "it has ended")
		}
		s.live.serves(false, err)
		if time.Since(began) > sourceHealthy {
			attempt = 1
		}
		delay := scheduleRetry.Delay(attempt)
		env.Log.Error("a trigger does not listen at present; it is tried again", "delay", delay, "error", err)
		if err := sleepFor(ctx, delay); err != nil {
			return nil //nolint:nilerr // it was stopped
		}
	}
}

// deliver is the source's [DeliverFunc].
func (s *triggerService) deliver(ctx context.Context, d Delivery) (Delivered, error) {
	if d.Time.IsZero() {
		d.Time = time.Now()
	}
	for attempt := 1; ; attempt++ {
		out, err := s.engine.deliver(ctx, s.live, &d)
		if err == nil || ctx.Err() != nil || !fault.CodeOf(err).Transient() {
			return out, err
		}
		delay := scheduleRetry.Delay(attempt)
		s.engine.log.Error("a delivery cannot be recorded at present; it waits", "trigger", s.live.plan.Name, "delay", delay, "error", err)
		if waited := sleepFor(ctx, delay); waited != nil {
			return Delivered{}, waited
		}
	}
}

// sleepFor waits for a time, or returns ctx's error if that ends first.
func sleepFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
