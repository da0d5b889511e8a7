package telemetry

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Rule names what is watched.
type Rule string

// The rules of a [Watchdog]. The first three look at all actors of a type
// together and the next two at the node's store; they only raise alerts. The
// others look at actors and subtrees and isolate those that break them.
const (
	RuleMailbox  Rule = "mailbox"      // messages waiting in one mailbox
	RuleRestarts Rule = "restarts"     // restarts within the last minute
	RuleLatency  Rule = "latency"      // 99th percentile of handler times in the last minute, in seconds
	RuleLetters  Rule = "dead letters" // messages that became dead letters within the last minute
	RuleStore    Rule = "store"        // failures of the store met by durable actors within the last minute
	RuleMemory   Rule = "memory"       // bytes held
	RuleCPU      Rule = "cpu"          // processors kept busy, 1 being one core
)

// Limits are the figures above which a [Watchdog] acts. A zero field is the
// default, a negative one switches the rule off.
type Limits struct {
	// Mailbox is how many messages may wait in one mailbox. Default 1000.
	Mailbox int

	// RestartsPerMinute is how often the actors of one type together may be
	// restarted within 60 s. Default 3.
	RestartsPerMinute int

	// Latency is how long the slowest hundredth of the handlers of one type may
	// take, over the last 60 s. Default 1 s. Types with fewer than 100 messages
	// in that time are left alone.
	Latency time.Duration

	// DeadLettersPerMinute is how many durable messages may become dead letters
	// on this node within 60 s. Default 10.
	DeadLettersPerMinute int

	// StoreFailuresPerMinute is how often the store may fail the durable actors
	// of this node within 60 s. Default 1.
	StoreFailuresPerMinute int

	// MemoryBytes is how much an actor, or an actor and all below it, may hold
	// in mailboxes and as its behaviours report. Default 512 MiB.
	MemoryBytes int64

	// CPU is the share of a processor that one actor may use, and the share of
	// all processors that an actor and all below it may use. Default 0.8.
	CPU float64

	// Samples is how many samples in a row must be above a limit of memory or
	// CPU before the actor is isolated, and below half of it before it is
	// released; and how many must be within any other limit before an alert
	// ends. Default 3.
	Samples int

	// NeverIsolate are the paths of actors that are never isolated, nor
	// anything below or around them: they only raise alerts. It is for work
	// that is supposed to use all there is, such as "/runs". Default: none but
	// the root of the tree.
	NeverIsolate []string
}

// mayIsolate reports whether the actor at path, and with it all below it, may be
// cut off.
func (l *Limits) mayIsolate(path string) bool {
	return path != "/" && !slices.ContainsFunc(l.NeverIsolate, func(spared string) bool {
		return within(path, spared) || within(spared, path)
	})
}

func within(path, subtree string) bool {
	rest, ok := strings.CutPrefix(path, subtree)
	return ok && (rest == "" || rest[0] == '/')
}

func (l Limits) withDefaults() Limits {
	if l.Mailbox == 0 {
		l.Mailbox = 1000
	}
	if l.RestartsPerMinute == 0 {
		l.RestartsPerMinute = 3
	}
	if l.Latency == 0 {
		l.Latency = time.Second
	}
	if l.DeadLettersPerMinute == 0 {
		l.DeadLettersPerMinute = 10
	}
	if l.StoreFailuresPerMinute == 0 {
		l.StoreFailuresPerMinute = 1
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 512 << 20
	}
	if l.CPU == 0 {
		l.CPU = 0.8
	}
	if l.Samples <= 0 {
		l.Samples = 3
	}
	return l
}

// Alert says that a figure is above its limit, or no longer is. A [Watchdog]
// publishes it on the system's event stream: once when it begins and once when
// it ends.
type Alert struct {
	Rule     Rule      `json:"rule"`
	Firing   bool      `json:"firing"`         // false: it has ended
	Type     string    `json:"type"`           // of the actors concerned
	Path     string    `json:"path,omitempty"` // of the actor concerned, or the worst of them
	Value    float64   `json:"value"`          // in the rule's unit; of an ended alert the last that was seen
	Limit    float64   `json:"limit"`
	Isolated bool      `json:"isolated"` // the actor at Path and all below it take no new messages
	Since    time.Time `json:"since"`    // when it began
	At       time.Time `json:"at"`       // when the figures were taken
}

// String is the alert in one line: "/demo/worker: 4 restarts a minute, limit 3".
func (a Alert) String() string {
	subject := a.Path
	switch {
	case subject == "":
		subject = a.Type
	case a.Rule == RuleRestarts || a.Rule == RuleLatency:
		subject = a.Type + " (" + a.Path + ")"
	}
	back := ""
	if !a.Firing {
		back = "back to "
	}
	text := fmt.Sprintf("%s: %s%s, limit %s", subject, back, a.Rule.say(a.Value), a.Rule.figure(a.Limit))
	if a.Isolated {
		text += "; isolated"
	}
	return text
}

// say is a figure in words.
func (r Rule) say(v float64) string {
	figure := r.figure(v)
	switch r {
	case RuleMailbox:
		return figure + plural(v, " message waiting", " messages waiting")
	case RuleRestarts:
		return figure + plural(v, " restart a minute", " restarts a minute")
	case RuleLetters:
		return figure + plural(v, " new dead letter a minute", " new dead letters a minute")
	case RuleStore:
		return figure + plural(v, " failure of the store a minute", " failures of the store a minute")
	case RuleLatency:
		return figure + " for the slowest hundredth of messages"
	case RuleMemory:
		return figure + " held"
	case RuleCPU:
		return figure + " of a processor"
	}
	return figure
}

func plural(v float64, one, many string) string {
	if math.Round(v) == 1 {
		return one
	}
	return many
}

// figure is a figure with its unit, if that is not in the words around it.
func (r Rule) figure(v float64) string {
	switch r {
	case RuleLatency:
		return time.Duration(v * float64(time.Second)).Round(time.Microsecond).String()
	case RuleMemory:
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	case RuleCPU:
		return fmt.Sprintf("%.0f %%", v*100)
	case RuleMailbox, RuleRestarts, RuleLetters, RuleStore:
	}
	return fmt.Sprintf("%.0f", v)
}
