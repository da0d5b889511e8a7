package workflow

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// next is the first instant of the schedule after the ones that were dealt with,
// or the zero time. Of a fixed delay there is none while a run is under way.
func (p *schedulePlan) next(s *scheduleState) time.Time {
	if p.timing == timingDelay {
		return p.bounded(p.nextDelay(s))
	}
	return p.after(s.Created, s.After)
}

func (p *schedulePlan) nextDelay(s *scheduleState) time.Time {
	if len(s.Running) > 0 {
		return time.Time{}
	}
	next := s.Created
	if !s.Ended.IsZero() {
		next = s.Ended.Add(time.Duration(p.Delay))
	}
	if next.Before(p.Start) {
		next = p.Start
	}
	if !next.After(s.After) {
		next = s.After.Add(time.Millisecond)
	}
	return next
}

// after is the first instant after another one, or the zero time; of a fixed
// delay there is none.
func (p *schedulePlan) after(created, after time.Time) time.Time {
	if !p.Start.IsZero() && after.Before(p.Start) {
		after = p.Start.Add(-time.Nanosecond)
	}
	switch p.timing {
	case timingCron:
		return p.bounded(p.cron.Next(after, p.zone).UTC())
	case timingEvery:
		return p.bounded(p.everyAfter(created, after))
	case timingAt:
		if after.Before(p.At) {
			return p.bounded(p.At)
		}
	}
	return time.Time{}
}

// anchor is from where on a fixed rate counts.
func (p *schedulePlan) anchor(created time.Time) time.Time {
	if !p.Start.IsZero() {
		return p.Start
	}
	return created
}

func (p *schedulePlan) everyAfter(created, after time.Time) time.Time {
	anchor, every := p.anchor(created), time.Duration(p.Every).Milliseconds()
	past := after.UnixMilli() - anchor.UnixMilli()
	if past < 0 {
		if !p.Start.IsZero() {
			return anchor
		}
		past = 0
	}
	return time.UnixMilli(anchor.UnixMilli() + (past/every+1)*every).UTC()
}

// bounded is an instant if it is within the bounds of the schedule.
func (p *schedulePlan) bounded(instant time.Time) time.Time {
	if instant.IsZero() || !p.End.IsZero() && instant.After(p.End) {
		return time.Time{}
	}
	return instant
}

// due is when an instant is to be dealt with.
func (p *schedulePlan) due(instant time.Time) time.Time {
	if p.Jitter == 0 {
		return instant
	}
	sum := sha256.Sum256(strconv.AppendInt([]byte(p.Name+" "), instant.UnixMilli(), 10))
	part := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return instant.Add(time.Duration(part * float64(p.Jitter)).Truncate(time.Millisecond))
}

// missedCounted bounds how many instants that were missed are counted one by one.
const missedCounted = 100_000

// missed passes over the instants before a limit, and returns how many they are
// and the last of them.
func (p *schedulePlan) missed(s *scheduleState, limit time.Time) (count int64, last time.Time) {
	first := p.next(s)
	if first.IsZero() || !first.Before(limit) || p.timing == timingDelay {
		return 0, time.Time{}
	}
	if !p.End.IsZero() && limit.After(p.End) {
		limit = p.End.Add(time.Nanosecond)
	}
	if p.timing == timingEvery {
		every := time.Duration(p.Every).Milliseconds()
		// The last one is before the limit, not at it.
		count = (limit.Add(-time.Nanosecond).UnixMilli()-first.UnixMilli())/every + 1
		return count, time.UnixMilli(first.UnixMilli() + (count-1)*every).UTC()
	}
	for at := first; !at.IsZero() && at.Before(limit); at = p.after(s.Created, at) {
		count, last = count+1, at
		if count == missedCounted {
			return count, limit.Add(-time.Nanosecond)
		}
	}
	return count, last
}

// instants lists those from one time to another, both included, and stops when
// there are more than a limit.
func (p *schedulePlan) instants(created, from, to time.Time, limit int) []time.Time {
	var out []time.Time
	for at := p.after(created, from.Add(-time.Nanosecond)); !at.IsZero() && !at.After(to) && len(out) <= limit; at = p.after(created, at) {
		out = append(out, at)
	}
	return out
}
