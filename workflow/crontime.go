package workflow

import (
	"math"
	"time"
)

// A wall clock, as it shows, is a number of seconds here: what time.Unix(n, 0)
// shows in UTC. It is called civil.

const (
	daySeconds = 24 * 60 * 60
	// offsetMax is more than any zone was ever ahead of UTC, in seconds.
	offsetMax = 16 * 60 * 60
	// cronYears is how far ahead a time is looked for: after it the calendar
	// repeats itself.
	cronYears = 400
	// zonePeriodsMax bounds the changes of a clock that are gone through.
	zonePeriodsMax = 2 * cronYears * 2
)

// civilBegin is the beginning of the year 2000.
const civilBegin = 946_684_800

// Next returns the first instant after another at which the expression fires in
// a time zone, or the zero time if there is none in 400 years.
//
// When clocks are changed, Vixie cron's rule holds:
//
//   - An expression whose hour begins with a star, or has all hours, fires at
//     each instant at which the clock shows a time that matches. A time that the
//     clock leaves out does not occur, one that it shows twice occurs twice: "*/15
//   - * * *" fires every 15 minutes throughout.
//   - Any other expression fires once for each of its times: when the clock shows
//     that time for the first time, or when it jumps over it. "30 2 * * *" fires at
//     03:00 on the day on which the clock goes from 02:00 to 03:00, and at the
//     first 02:30 on the day that has two.
//
// Times that the clock jumps over at once, and that at which it arrives, are one
// instant, at which the expression fires once.
func (c Cron) Next(after time.Time, zone *time.Location) time.Time {
	if c.minute == 0 {
		return time.Time{}
	}
	if c.elapsed {
		return c.nextShown(after.Unix()+1, zone)
	}
	civil, ok := c.from(highWater(after.Unix(), zone) + 1)
	if !ok {
		return time.Time{}
	}
	return reached(civil, zone)
}

// nextShown finds the first instant from one on at which the clock shows a time
// that matches.
func (c *Cron) nextShown(at int64, zone *time.Location) time.Time {
	for range zonePeriodsMax {
		offset, end := zoneAt(at, zone)
		civil, ok := c.from(at + offset)
		if !ok {
			break
		}
		instant := civil - offset
		if instant < end {
			return time.Unix(instant, 0).In(zone)
		}
		at = end
	}
	return time.Time{}
}

// zoneAt is the offset of a zone at an instant, and until when it is that at
// least. Behind the last change that a zone's table lists, Go computes bounds from
// years of 365 days, which may lie before the instant: then it is an hour.
func zoneAt(at int64, zone *time.Location) (offset, end int64) {
	local := time.Unix(at, 0).In(zone)
	_, seconds := local.Zone()
	_, until := local.ZoneBounds()
	switch {
	case until.IsZero():
		return int64(seconds), math.MaxInt64
	case until.Unix() <= at:
		return int64(seconds), at + 3600
	}
	return int64(seconds), until.Unix()
}

// highWater is the latest time that the clock has shown up to an instant.
func highWater(at int64, zone *time.Location) int64 {
	// A clock that was set back shows again what it has shown within the time by
	// which zones can differ.
	passed := at - 2*offsetMax
	offset, end := zoneAt(passed, zone)
	high := passed + offset
	for end <= at {
		high = max(high, end-1+offset)
		passed = end
		offset, end = zoneAt(passed, zone)
	}
	return max(high, at+offset)
}

// reached is the first instant at which the clock shows a time or a later one.
func reached(civil int64, zone *time.Location) time.Time {
	for at := civil - offsetMax; ; {
		offset, end := zoneAt(at, zone)
		instant := max(civil-offset, at) // the clock may have jumped over it
		if instant < end {
			return time.Unix(instant, 0).In(zone)
		}
		at = end
	}
}

// from finds the first civil time from one on that matches.
func (c *Cron) from(civil int64) (int64, bool) {
	t := time.Unix(civil, 0).UTC()
	hour, minute, second := t.Clock()
	year, month, day := t.Date()
	if c.month>>month&1 == 1 && c.matchesDay(year, month, day, t.Weekday()) {
		if s, ok := c.timeFrom(hour, minute, second); ok {
			return civil - civil%daySeconds + s - negativeDay(civil), true
		}
	}
	first, _ := c.timeFrom(0, 0, 0)
	for t = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC); t.Year() <= year+cronYears; {
		y, m, d := t.Date()
		switch {
		case c.month>>m&1 == 0:
			t = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		case c.matchesDay(y, m, d, t.Weekday()):
			return t.Unix() + first, true
		default:
			t = t.AddDate(0, 0, 1)
		}
	}
	return 0, false
}

// negativeDay corrects the remainder of times before 1970.
func negativeDay(civil int64) int64 {
	if civil%daySeconds < 0 {
		return daySeconds
	}
	return 0
}
