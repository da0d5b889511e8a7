package telemetry

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// Sample is what a [Detector] judges: the figures of a system at one moment.
type Sample struct {
	At    time.Time
	Tree  actor.Info
	Kinds []actor.KindStats

	// CPU is the processor time the process has used so far. Negative if it is
	// not known: then time in a handler counts as processor time.
	CPU time.Duration
	// Mail is what has happened to durable messages on this node since its start.
	Mail MailCounts
	// Cores is how many processors the process may use. Default 1.
	Cores int
}

// Verdict is what a [Detector] decides on one sample.
type Verdict struct {
	Alerts  []Alert  // that began or ended, in order of rule and path
	Isolate []string // paths to isolate now
	Release []string // paths to release now
}

// Detector decides which figures are alarming and which actors to isolate. It is
// pure: the same samples always give the same verdicts. It is for one goroutine
// at a time.
//
// An actor's share of the processors is estimated. The runtime knows the time
// spent in handlers, which may have been spent waiting; so the times of all
// actors are scaled down to what the process has really used. A handler that
// has not returned counts for as long as it is seen to run.
//
// Of nested subtrees above a limit the innermost is blamed, and what it uses no
// longer counts against those around it. The root of the tree is never isolated.
type Detector struct {
	limits  Limits
	bounds  []time.Duration
	labels  labels
	history []mark // the newest last

	usage      map[uint64]usage // by actor, as of the last sample
	spare      map[uint64]usage // to be filled at the next
	lastAt     time.Time
	lastCPU    time.Duration
	conditions map[conditionKey]*condition
}

// mark is what is remembered at one moment.
type mark struct {
	at    time.Time
	mail  MailCounts
	kinds map[string]actor.KindStats
}

// usage is what is remembered of an actor.
type usage struct {
	busy      bool
	processed uint64
	time      time.Duration
}

type conditionKey struct {
	rule Rule
	kind string // for the rules about types
	id   uint64 // for the rules about actors
}

// condition is a rule applied to one type or actor that is, or was a moment ago,
// above the limit.
type condition struct {
	alert Alert
	above int  // samples in a row, before it begins
	calm  int  // samples in a row, afterwards
	seen  bool // in this sample
}

const (
	window = time.Minute
	// A percentile of fewer handlers than this says nothing.
	fewestHandlers = 100
	// A detector that is given samples too often remembers a shorter time.
	longestHistory = 256
)

// NewDetector returns a detector that has seen nothing yet.
func NewDetector(limits Limits) *Detector {
	return &Detector{
		limits:     limits.withDefaults(),
		bounds:     actor.TimingBounds(),
		usage:      map[uint64]usage{},
		spare:      map[uint64]usage{},
		conditions: map[conditionKey]*condition{},
	}
}

// Step judges a sample. Rates need two of them, so the first is judged by
// mailboxes and memory alone. A sample that is not later than the one before is
// ignored.
func (d *Detector) Step(s Sample) Verdict {
	var v Verdict
	if !s.At.After(d.lastAt) {
		return v
	}
	for _, c := range d.conditions {
		c.seen = false
	}
	d.judgeTypes(&s, &v)
	d.judgeActors(&s, &v)
	for _, key := range d.sortedConditions() {
		if c := d.conditions[key]; !c.seen {
			c.alert.Isolated = false // gone, so there is nothing to release
			d.end(key, s.At, &v)
		}
	}
	slices.SortFunc(v.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Type, b.Type))
	})
	d.lastAt, d.lastCPU = s.At, s.CPU
	return v
}

// Active returns the alerts that have begun and not ended, in order of rule and
// path.
func (d *Detector) Active() []Alert {
	var active []Alert
	for _, key := range d.sortedConditions() {
		if c := d.conditions[key]; c.alert.Firing {
			active = append(active, c.alert)
		}
	}
	return active
}

func (d *Detector) sortedConditions() []conditionKey {
	keys := make([]conditionKey, 0, len(d.conditions))
	for key := range d.conditions {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b conditionKey) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(d.conditions[a].alert.Path, d.conditions[b].alert.Path),
			cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	return keys
}

// judgeTypes applies the rules about types.
func (d *Detector) judgeTypes(s *Sample, v *Verdict) {
	now := mark{s.At, s.Mail, byLabel(&d.labels, s.Kinds)}
	base := d.remember(now)
	d.judgeMail(now.mail, base.mail, s.At, v)
	worst := map[string]*standouts{}
	d.findStandouts(&s.Tree, worst)
	for _, label := range sortedKeys(worst) {
		a := worst[label].mailbox
		d.judgeType(Alert{
			Rule: RuleMailbox, Type: label, Path: a.Path,
			Value: float64(a.Mailbox), Limit: float64(d.limits.Mailbox),
		}, s.At, v)
	}
	for _, label := range sortedKeys(now.kinds) {
		k, before := now.kinds[label], base.kinds[label]
		restarted, slowest := worst[label].paths()
		d.judgeType(Alert{
			Rule: RuleRestarts, Type: label, Path: restarted,
			Value: float64(k.Restarts - min(k.Restarts, before.Restarts)), Limit: float64(d.limits.RestartsPerMinute),
		}, s.At, v)
		recent := since(k.Timing, before.Timing)
		if recent.Count < fewestHandlers {
			recent = actor.Timing{}
		}
		d.judgeType(Alert{
			Rule: RuleLatency, Type: label, Path: slowest,
			Value: quantile(0.99, recent, d.bounds).Seconds(), Limit: d.limits.Latency.Seconds(),
		}, s.At, v)
	}
}

// remember adds a mark and returns the one to compare it with: the newest that
// is at least a minute old, or else the oldest.
func (d *Detector) remember(now mark) mark {
	d.history = append(d.history, now)
	first := 0
	for first+1 < len(d.history) && now.at.Sub(d.history[first+1].at) >= window {
		first++
	}
	first = max(first, len(d.history)-longestHistory)
	d.history = slices.Delete(d.history, 0, first)
	return d.history[0]
}

// judgeMail applies the rules about the store.
func (d *Detector) judgeMail(now, before MailCounts, at time.Time, v *Verdict) {
	d.judgeType(Alert{
		Rule: RuleLetters, Type: "dead letters",
		Value: float64(now.Buried - min(now.Buried, before.Buried)), Limit: float64(d.limits.DeadLettersPerMinute),
	}, at, v)
	d.judgeType(Alert{
		Rule: RuleStore, Type: "store",
		Value: float64(now.StoreFailures - min(now.StoreFailures, before.StoreFailures)), Limit: float64(d.limits.StoreFailuresPerMinute),
	}, at, v)
}

// standouts are the actors of a type that an alert names.
type standouts struct {
	mailbox  *actor.Info // the longest
	restarts *actor.Info // the most
	slowest  *actor.Info // per message
}

// paths are those of the actor with the most restarts and of the slowest, empty if
// there is none.
func (s *standouts) paths() (restarted, slowest string) {
	if s == nil {
		return "", ""
	}
	if s.restarts.Restarts > 0 {
		restarted = s.restarts.Path
	}
	if s.slowest.Processed > 0 {
		slowest = s.slowest.Path
	}
	return restarted, slowest
}

func (d *Detector) findStandouts(a *actor.Info, worst map[string]*standouts) {
	label := d.labels.of(a.Type)
	switch w := worst[label]; {
	case w == nil:
		worst[label] = &standouts{a, a, a}
	default:
		if a.Mailbox > w.mailbox.Mailbox {
			w.mailbox = a
		}
		if a.Restarts > w.restarts.Restarts {
			w.restarts = a
		}
		if perMessage(a) > perMessage(w.slowest) {
			w.slowest = a
		}
	}
	for i := range a.Children {
		d.findStandouts(&a.Children[i], worst)
	}
}

// perMessage is the mean time that an actor took for a message.
func perMessage(a *actor.Info) float64 {
	return a.BusyTime.Seconds() / max(1, float64(a.Processed))
}

// judgeType judges a figure of a type: one sample above the limit is an alert.
func (d *Detector) judgeType(a Alert, at time.Time, v *Verdict) {
	d.judge(conditionKey{rule: a.Rule, kind: a.Type}, a, judgement{at: at, samples: 1, calm: a.Limit}, v)
}

// judgement says how a figure is judged.
type judgement struct {
	at       time.Time
	samples  int     // in a row above the limit before the alert begins
	calm     float64 // it ends after limits.Samples in a row of at most this
	isolate  bool    // the actor when the alert begins
	released bool    // the actor takes messages, as seen
}

// judge updates the condition of one figure. It reports whether the figure is
// above its limit, or the alert goes on.
func (d *Detector) judge(key conditionKey, a Alert, j judgement, v *Verdict) bool {
	c, above := d.conditions[key], a.Limit >= 0 && a.Value > a.Limit
	if c == nil {
		if !above {
			return false
		}
		c = &condition{}
		d.conditions[key] = c
	}
	a.At, a.Firing, a.Isolated, a.Since = j.at, c.alert.Firing, c.alert.Isolated, c.alert.Since
	c.alert, c.seen = a, true
	if !a.Firing {
		if !above {
			delete(d.conditions, key)
			return false
		}
		if c.above++; c.above >= j.samples {
			c.alert.Firing, c.alert.Isolated, c.alert.Since = true, j.isolate, j.at
			v.Alerts = append(v.Alerts, c.alert)
			if j.isolate && j.released {
				v.isolate(a.Path)
			}
		}
		return true
	}
	if a.Value > j.calm {
		c.calm = 0
	} else if c.calm++; c.calm >= d.limits.Samples {
		d.end(key, j.at, v)
		return above
	}
	if a.Isolated && j.released { // by the release of a subtree around it
		v.isolate(a.Path)
	}
	return true
}

// end forgets a condition. If it had begun, the alert ends and the actor is
// released, unless another alert holds it.
func (d *Detector) end(key conditionKey, at time.Time, v *Verdict) {
	c := d.conditions[key]
	delete(d.conditions, key)
	if !c.alert.Firing {
		return
	}
	held := c.alert.Isolated
	c.alert.Firing, c.alert.Isolated, c.alert.At = false, false, at
	v.Alerts = append(v.Alerts, c.alert)
	for other, o := range d.conditions {
		if other.id == key.id && o.alert.Isolated {
			return
		}
	}
	if held {
		v.Release = append(v.Release, c.alert.Path)
	}
}

func (v *Verdict) isolate(path string) {
	if !slices.Contains(v.Isolate, path) {
		v.Isolate = append(v.Isolate, path)
	}
}
