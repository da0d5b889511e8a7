package workflow

import (
	"fmt"
	"slices"
	"time"
)

// scheduleState is where a schedule stands, as it is stored. What follows from it
// is decided by decide, which is pure.
type scheduleState struct {
	// Created is when the schedule was made, from where a fixed rate counts.
	Created time.Time `json:"created"`
	// After: instants up to this one have been dealt with.
	After time.Time `json:"after"`
	// Ended is when its last run ended, for a fixed delay.
	Ended time.Time `json:"ended,omitzero"`
	// Queue are instants that wait for the end of the runs under way.
	Queue   []time.Time `json:"queue,omitempty"`
	Running []string    `json:"running,omitempty"`
	// Backfills are those under way, Filling their runs under way.
	Backfills []backfill     `json:"backfills,omitempty"`
	Filling   []string       `json:"filling,omitempty"`
	Counts    ScheduleCounts `json:"counts"`
	Firings   []Firing       `json:"firings,omitempty"`
	Last      time.Time      `json:"last,omitzero"`
	LastRun   string         `json:"last_run,omitempty"`
}

// backfill is a range of instants that are started once more.
type backfill struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Done  time.Time `json:"done,omitzero"`
	Total int       `json:"total"`
	Count int       `json:"count"` // how many were started
}

// backfillsMax bounds the backfills of a schedule under way.
const backfillsMax = 10

// fillingMax is how many runs of backfills are under way at a time where runs of
// the schedule may overlap. Otherwise it is one.
const fillingMax = 10

func (s *scheduleState) clone() *scheduleState {
	c := *s
	c.Queue, c.Running, c.Backfills = slices.Clone(s.Queue), slices.Clone(s.Running), slices.Clone(s.Backfills)
	c.Filling, c.Firings = slices.Clone(s.Filling), slices.Clone(s.Firings)
	return &c
}

// note adds to the firings. Several in a row that were not started for the same
// reason become one.
func (s *scheduleState) note(f Firing) {
	if len(s.Firings) > 0 && f.Outcome != FiringStarted {
		if last := &s.Firings[0]; last.Outcome == f.Outcome && last.Reason == f.Reason {
			last.Time, last.At = f.Time, f.At
			last.Count += f.Count
			return
		}
	}
	s.Firings = slices.Insert(s.Firings, 0, f)
	s.Firings = s.Firings[:min(len(s.Firings), FiringsKept)]
}

func (s *scheduleState) skip(instant, now time.Time, format string, args ...any) {
	s.Counts.Skipped++
	s.note(Firing{Time: instant, At: now, Outcome: FiringSkipped, Count: 1, Reason: fmt.Sprintf(format, args...)})
}

// ended takes in that a run has ended, and reports whether it was one of these.
func (s *scheduleState) ended(run string, at time.Time) bool {
	is := func(id string) bool { return id == run }
	switch {
	case slices.ContainsFunc(s.Running, is):
		s.Running = slices.DeleteFunc(s.Running, is)
		if at.After(s.Ended) {
			s.Ended = at.Truncate(time.Millisecond).UTC()
		}
	case slices.ContainsFunc(s.Filling, is):
		s.Filling = slices.DeleteFunc(s.Filling, is)
	default:
		return false
	}
	return true
}

// ignition is a run to start.
type ignition struct {
	instant  time.Time
	reason   string
	queued   bool
	backfill bool
	byHand   bool
}

// decision is what to do with a schedule: it begins with its new state, which is
// to be stored, together with the start of a run if there is one.
type decision struct {
	state   *scheduleState
	changed bool
	start   *ignition
	cancel  []string // runs
}

// decisionsMax bounds the instants that one decision deals with.
const decisionsMax = 10_000

// decide says what is to be done at a time, one start at most.
func (p *schedulePlan) decide(old *scheduleState, now time.Time) decision {
	d := decision{state: old.clone()}
	s := d.state
	if p.Paused {
		return d
	}
	if len(s.Queue) > 0 {
		if len(s.Running) == 0 {
			d.start = &ignition{instant: s.Queue[0], reason: "queued", queued: true}
			return d
		}
		if p.Overlap == OverlapCancel {
			d.cancel = s.Running
		}
	}
	if count, last := p.missed(s, now.Add(-time.Duration(p.CatchUp)-time.Duration(p.Jitter))); count > 0 {
		s.After, d.changed = last, true
		s.Counts.Missed += count
		s.note(Firing{Time: last, At: now, Outcome: FiringMissed, Count: count, Reason: fmt.Sprintf("more than %v late", p.CatchUp)})
	}
	for range decisionsMax {
		instant := p.next(s)
		if instant.IsZero() || p.due(instant).After(now) {
			break
		}
		if p.admits(s) {
			d.start = &ignition{instant: instant, reason: "due"}
			if now.Sub(p.due(instant)) > lateAfter {
				d.start.reason = "caught up"
			}
			return d
		}
		s.After, d.changed = instant, true
		switch p.Overlap {
		case OverlapQueue:
			if len(s.Queue) < p.QueueMax {
				s.Queue = append(s.Queue, instant)
			} else {
				s.skip(instant, now, "%d instants wait already", p.QueueMax)
			}
		case OverlapCancel:
			for _, other := range s.Queue {
				s.skip(other, now, "a later instant took its place")
			}
			s.Queue, d.cancel = []time.Time{instant}, s.Running
		case OverlapAllow:
			s.skip(instant, now, "%d runs are under way", RunningMax)
		case OverlapSkip:
			s.skip(instant, now, "a run is under way")
		}
	}
	if instant := p.filling(s); !instant.IsZero() {
		d.start = &ignition{instant: instant, reason: "backfill", backfill: true}
	}
	return d
}

// lateAfter is the lateness from which on an instant counts as caught up.
const lateAfter = time.Second

// admits reports whether a run may begin.
func (p *schedulePlan) admits(s *scheduleState) bool {
	if p.Overlap == OverlapAllow {
		return len(s.Running) < RunningMax
	}
	return len(s.Running) == 0
}

// filling is the next instant of a backfill that can be started now, or zero.
func (p *schedulePlan) filling(s *scheduleState) time.Time {
	limit := 1
	if p.Overlap == OverlapAllow {
		limit = fillingMax
	}
	if len(s.Backfills) == 0 || len(s.Filling) >= limit {
		return time.Time{}
	}
	b := &s.Backfills[0]
	from := b.Done
	if from.IsZero() {
		from = b.From.Add(-time.Nanosecond)
	}
	return p.after(s.Created, from)
}

// started gives the state after a run was started, or could not be.
func (p *schedulePlan) started(s *scheduleState, i *ignition, now time.Time, run string, failed error) *scheduleState {
	s = s.clone()
	switch {
	case i.queued:
		s.Queue = s.Queue[1:]
	case i.backfill:
		b := &s.Backfills[0]
		b.Done = i.instant
		b.Count++
		next := p.after(s.Created, i.instant)
		if b.Count >= b.Total || next.IsZero() || next.After(b.To) {
			s.Backfills = slices.Delete(s.Backfills, 0, 1)
		}
	case !i.byHand:
		s.After = i.instant
	}
	f := Firing{Time: i.instant, At: now, Outcome: FiringStarted, Count: 1, Reason: i.reason, Run: run}
	if failed != nil {
		f.Outcome, f.Reason = FiringFailed, cutText(failed.Error(), summaryError)
		s.Counts.Failed++
		s.Ended = now.Truncate(time.Millisecond).UTC()
		s.note(f)
		return s
	}
	s.Counts.Fired++
	s.Last, s.LastRun = i.instant, run
	if i.backfill {
		s.Filling = append(s.Filling, run)
	} else {
		s.Running = append(s.Running, run)
	}
	s.note(f)
	return s
}

// wake is when there is something to decide, zero if nothing but the end of a run
// or somebody's wish can change anything.
func (p *schedulePlan) wake(s *scheduleState, now time.Time) time.Time {
	if p.Paused {
		return time.Time{}
	}
	if len(s.Queue) > 0 && len(s.Running) == 0 || !p.filling(s).IsZero() {
		return now
	}
	instant := p.next(s)
	if instant.IsZero() {
		return instant
	}
	return p.due(instant)
}
