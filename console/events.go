package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/actor"
)

// EventKind is what an [Event] tells of.
type EventKind string

// The kinds of events.
const (
	EventFailure    EventKind = "failure"     // an actor failed
	EventRestart    EventKind = "restart"     // an actor was restarted
	EventStop       EventKind = "stop"        // an actor ended for a reason
	EventDeadLetter EventKind = "dead_letter" // a message could not be delivered
	EventAlert      EventKind = "alert"       // a figure is out of its limits
)

// eventKinds are all kinds; the rings are in this order.
var eventKinds = [...]EventKind{EventFailure, EventRestart, EventStop, EventDeadLetter, EventAlert}

// Event is one line of the list of events.
type Event struct {
	// Seq numbers the events of a process from 1; Add sets it.
	Seq uint64 `json:"seq"`
	// Time is when it happened; Add sets it if it is zero.
	Time time.Time `json:"time"`
	// Kind is one of the constants.
	Kind EventKind `json:"kind"`
	// Actor is the path of the actor it is about; may be empty.
	Actor string `json:"actor,omitempty"`
	// Text says what happened, for a person. Longer than 500 bytes, it is cut.
	Text string `json:"text,omitempty"`
}

// EventsDefault is how many events of each kind an [Events] keeps by default.
const EventsDefault = 128

// textMax bounds the texts of events and last errors, in bytes.
const textMax = 500

// Events keeps the last events of each kind: a storm of failures does not push
// out the one alert that explains it. It is safe for concurrent use.
type Events struct {
	mu    sync.Mutex
	seq   uint64
	size  int
	rings [len(eventKinds)]ring
}

// ring keeps the last events of one kind. It grows up to the size, then each
// new event takes the place of the oldest.
type ring struct {
	events []Event
	oldest int
	count  uint64 // of all events there have been
}

// NewEvents makes an empty list that keeps perKind events of each kind;
// 0 means EventsDefault.
func NewEvents(perKind int) *Events {
	if perKind <= 0 {
		perKind = EventsDefault
	}
	return &Events{size: perKind}
}

// Add appends an event. An unknown kind is taken as an alert.
func (e *Events) Add(ev Event) {
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	ev.Text = clip(ev.Text)
	kind := slices.Index(eventKinds[:], ev.Kind)
	if kind < 0 {
		ev.Kind = EventAlert
		kind = slices.Index(eventKinds[:], EventAlert)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	ev.Seq = e.seq
	ring := &e.rings[kind]
	if len(ring.events) < e.size {
		ring.events = append(ring.events, ev)
	} else {
		ring.events[ring.oldest] = ev
		ring.oldest = (ring.oldest + 1) % e.size
	}
	ring.count++
}

// Since returns the events kept whose Seq is greater than seq, oldest first.
func (e *Events) Since(seq uint64) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []Event{}
	if seq >= e.seq {
		return out
	}
	for i := range e.rings {
		for _, ev := range e.rings[i].events {
			if ev.Seq > seq {
				out = append(out, ev)
			}
		}
	}
	slices.SortFunc(out, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Counts returns how many events of each kind there have been, also those no
// longer kept.
func (e *Events) Counts() map[EventKind]uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[EventKind]uint64, len(eventKinds))
	for i, kind := range eventKinds {
		out[kind] = e.rings[i].count
	}
	return out
}

// last is the number of the newest event.
func (e *Events) last() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seq
}

// Hooks returns listeners to install in [actor.Options] that add what happens
// to actors. They keep no message, only its type.
func (e *Events) Hooks() actor.Hooks {
	return actor.Hooks{
		Failed: func(a actor.Address, err error, d actor.Directive) {
			e.Add(Event{Kind: EventFailure, Actor: a.Path, Text: err.Error() + " → " + d.String()})
		},
		Restarted: func(a actor.Address, restarts int, _ error) {
			e.Add(Event{Kind: EventRestart, Actor: a.Path, Text: fmt.Sprintf("restart %d", restarts)})
		},
		Stopped: func(a actor.Address, reason error) {
			if reason == nil || errors.Is(reason, actor.ErrPassivated) {
				return
			}
			e.Add(Event{Kind: EventStop, Actor: a.Path, Text: reason.Error()})
		},
		DeadLetter: func(d actor.DeadLetter) {
			e.Add(Event{Kind: EventDeadLetter, Actor: d.Target.Path, Text: fmt.Sprintf("%T: %v", d.Message, d.Reason)})
		},
	}
}

// clip bounds a text that comes from elsewhere, at a border of a character.
func clip(text string) string {
	if len(text) <= textMax {
		return text
	}
	cut := textMax
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// short is clip for what a client sent and gets back in an error.
func short(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// EventList is the answer of /api/events.
type EventList struct {
	// Reset tells a client of the stream to forget the events it has.
	Reset  bool                 `json:"reset,omitempty"`
	Events []Event              `json:"events"` // oldest first
	Counts map[EventKind]uint64 `json:"counts"` // since the start, by kind
}

func (c *Console) getEvents(w http.ResponseWriter, r *http.Request) {
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fail(w, invalid("after", "after is %q; expected the number of an event", short(text)))
			return
		}
		after = n
	}
	reply(w, http.StatusOK, EventList{Events: c.opts.Events.Since(after), Counts: c.opts.Events.Counts()})
}
