package console

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/actor"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	tree := func(processed uint64, busy time.Duration) actor.Info {
		return actor.Info{Path: "/", Children: []actor.Info{{ID: 7, Path: "/a", Processed: processed, BusyTime: busy, Mailbox: 2, Restarts: 1}}}
	}
	var m meter
	near := func(what string, got, want, within float64) {
		t.Helper()
		if math.Abs(got-want) > within {
			t.Errorf("%s is %v, want %v ± %v", what, got, want, within)
		}
	}
	s := m.sample(tree(500, 5*time.Second), start, start.Add(10*time.Second))
	near("mean of the first ten seconds", s.children[0].rate, 50, 0)
	near("its load", s.children[0].load, 0.5, 0)
	if s.total.Actors != 1 || s.total.Mailbox != 2 || s.total.Restarts != 1 || s.total.Rate != 50 {
		t.Errorf("total is %+v", s.total)
	}
	// A steady 100 a second is reached after a few time constants, whatever
	// the steps.
	now, processed := start.Add(10*time.Second), uint64(500)
	for i := range 120 {
		step := time.Duration(50+(i%5)*50) * time.Millisecond
		now = now.Add(step)
		processed += uint64(step / (10 * time.Millisecond))
		s = m.sample(tree(processed, 5*time.Second), start, now)
	}
	near("a steady rate", s.children[0].rate, 100, 2)
	near("load of an idle handler", s.children[0].load, 0, 0.01)
	// One span of silence leaves 1/e.
	before := s.children[0].rate
	now = now.Add(rateSpan)
	s = m.sample(tree(processed, 5*time.Second), start, now)
	near("after one span", s.children[0].rate, before/math.E, 0.1)
	// The same instant changes nothing.
	if again := m.sample(tree(processed, 5*time.Second), start, now); again.children[0].rate != s.children[0].rate {
		t.Errorf("no time passed, but %v became %v", s.children[0].rate, again.children[0].rate)
	}
	// Counters that go back are not a flood.
	if s = m.sample(tree(0, 0), start, now.Add(time.Second)); s.children[0].rate > before {
		t.Errorf("a counter that went back gives %v", s.children[0].rate)
	}
	// An actor that ended is forgotten.
	m.sample(actor.Info{Path: "/"}, start, now.Add(2*time.Second))
	if len(m.actors) != 1 {
		t.Errorf("%d actors remembered, want the root only", len(m.actors))
	}
}

func TestHandlerTime(t *testing.T) {
	t.Parallel()
	buckets := make([]uint64, len(actor.TimingBounds())+1)
	buckets[2], buckets[3], buckets[10] = 60, 38, 2 // up to 4 µs, 8 µs, 1024 µs
	h := handlerTimeOf(actor.Timing{Count: 100, Sum: time.Millisecond, Buckets: buckets})
	if h.P50Seconds != 4e-6 || h.P99Seconds != 1024e-6 || math.Abs(h.MeanSeconds-10e-6) > 1e-12 {
		t.Errorf("times are %+v", h)
	}
	if len(h.Buckets) != 9 || h.Buckets[0] != (Bucket{FromSeconds: 2e-6, ToSeconds: 4e-6, Count: 60}) || h.Buckets[8].Count != 2 {
		t.Errorf("buckets are %+v", h.Buckets)
	}
	clear(buckets)
	buckets[len(buckets)-1] = 1
	h = handlerTimeOf(actor.Timing{Count: 1, Sum: time.Minute, Buckets: buckets})
	if len(h.Buckets) != 1 || h.Buckets[0].ToSeconds != 0 || h.Buckets[0].FromSeconds == 0 {
		t.Errorf("a bucket without bound is %+v", h.Buckets)
	}
	buckets[0] = 1
	if h = handlerTimeOf(actor.Timing{Count: 2, Sum: time.Minute, Buckets: buckets}); h.Buckets[0].FromSeconds != 0 {
		t.Errorf("the first bucket is %+v", h.Buckets[0])
	}
}

// A tree beyond ActorsMax is cut at its deepest level, and the rest is summed up.
func TestViewIsBounded(t *testing.T) {
	t.Parallel()
	root := actor.Info{Path: "/"}
	id := uint64(0)
	for i := range 100 {
		p := actor.Info{Path: fmt.Sprintf("/p%d", i), ID: 1 + uint64(i)}
		for j := range 100 {
			id++
			p.Children = append(p.Children, actor.Info{Path: fmt.Sprintf("%s/c%d", p.Path, j), ID: 1000 + id, Mailbox: 1})
		}
		root.Children = append(root.Children, p)
	}
	var m meter
	s := m.sample(root, time.Unix(0, 0), time.Unix(1, 0))
	shown, left := 0, 0
	var walk func(a *Actor)
	walk = func(a *Actor) {
		shown++
		if a.More != nil {
			left += a.More.Actors
		}
		for i := range a.Children {
			walk(&a.Children[i])
		}
	}
	view := s.view(window{limit: 100})
	walk(&view)
	if shown != ActorsMax || shown+left != 10_101 {
		t.Errorf("%d shown and %d summed up, want %d and %d in all", shown, left, ActorsMax, 10_101)
	}
	if len(view.Children) != 100 {
		t.Errorf("%d of the first level shown, want all 100", len(view.Children))
	}
	if view.Total.Mailbox != 10_000 || view.Children[99].More.CanShow {
		t.Errorf("total %+v, last %+v", view.Total, view.Children[99].More)
	}
	if found := s.find("/p7/c8"); found == nil || found.info.Path != "/p7/c8" {
		t.Errorf("found %+v", found)
	}
	for _, path := range []string{"/p", "/p7/", "/p7/c", "p7", "/p7/c8/x", ""} {
		if found := s.find(path); found != nil {
			t.Errorf("find(%q) found %s", path, found.info.Path)
		}
	}
}

// A storm of one kind does not push out another.
func TestEventsKeepEachKind(t *testing.T) {
	t.Parallel()
	e := NewEvents(4)
	e.Add(Event{Kind: EventAlert, Text: "the cause"})
	for i := range 1000 {
		e.Add(Event{Kind: EventFailure, Text: fmt.Sprint(i)})
	}
	got := e.Since(0)
	if len(got) != 5 || got[0].Text != "the cause" || got[1].Text != "996" || got[4].Text != "999" {
		t.Errorf("kept %+v", got)
	}
	if c := e.Counts(); c[EventFailure] != 1000 || c[EventAlert] != 1 || c[EventStop] != 0 {
		t.Errorf("counts %v", c)
	}
	if got := e.Since(1000); len(got) != 1 || got[0].Seq != 1001 {
		t.Errorf("since 1000: %+v", got)
	}
	e.Add(Event{Kind: "surprise"})
	if got := e.Since(1001); len(got) != 1 || got[0].Kind != EventAlert {
		t.Errorf("an unknown kind became %+v", got)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "short", strings.Repeat("é", 400), strings.Repeat("a", textMax), strings.Repeat("\xff", 900)} {
		got := clip(text)
		if len(got) > textMax+len("…") || (utf8.ValidString(text) && !utf8.ValidString(got)) {
			t.Errorf("clip of %d bytes gives %d bytes, valid %v", len(text), len(got), utf8.ValidString(got))
		}
		if len(text) <= textMax && got != text {
			t.Errorf("clip changed a short text to %q", got)
		}
	}
}
