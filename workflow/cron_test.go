package workflow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests hold wherever they run

	"github.com/adhocore/gronx"

	"github.com/troupe-dev/troupe/fault"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// times lists the first n instants after one, as the clock of the zone shows
// them.
func cronTimes(t *testing.T, expression, zoneName, after string, n int) []string {
	t.Helper()
	c, err := ParseCron(expression)
	if err != nil {
		t.Fatal(err)
	}
	z := zone(t, zoneName)
	at, err := time.ParseInLocation("2006-01-02 15:04:05", after, z)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for range n {
		if at = c.Next(at, z); at.IsZero() {
			break
		}
		out = append(out, at.Format("2006-01-02 15:04:05 -0700"))
	}
	return out
}

// Req W3: the rule for changes of the clock.
func TestCronClockChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, zone, after, want string }{
		// Berlin: from 02:00 to 03:00, and from 03:00 to 02:00.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-29 03:00:00 +0200, 2026-03-30 02:30:00 +0200"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", "2026-10-25 02:30:00 +0200, 2026-10-26 02:30:00 +0100"},
		{"0 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-29 03:00:00 +0200, 2026-03-30 02:00:00 +0200"},
		{"0 3 * * *", "Europe/Berlin", "2026-10-24 12:00:00", "2026-10-25 03:00:00 +0100, 2026-10-26 03:00:00 +0100"},
		{"0,30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-29 03:00:00 +0200, 2026-03-29 03:30:00 +0200, 2026-03-30 02:00:00 +0200"},
		{"0 * * * *", "Europe/Berlin", "2026-03-29 00:30:00", "2026-03-29 01:00:00 +0100, 2026-03-29 03:00:00 +0200, 2026-03-29 04:00:00 +0200"},
		{"0 * * * *", "Europe/Berlin", "2026-10-25 00:30:00", "2026-10-25 01:00:00 +0200, 2026-10-25 02:00:00 +0200, 2026-10-25 02:00:00 +0100, 2026-10-25 03:00:00 +0100"},
		{"0 0-23 * * *", "Europe/Berlin", "2026-10-25 01:30:00", "2026-10-25 02:00:00 +0200, 2026-10-25 02:00:00 +0100, 2026-10-25 03:00:00 +0100"},
		{"0 */2 * * *", "Europe/Berlin", "2026-03-28 23:00:00", "2026-03-29 00:00:00 +0100, 2026-03-29 04:00:00 +0200"},
		// New York: from 02:00 to 03:00, and from 02:00 to 01:00.
		{"15 2 * * SUN", "America/New_York", "2026-03-07 12:00:00", "2026-03-08 03:00:00 -0400, 2026-03-15 02:15:00 -0400"},
		{"30 1 * * *", "America/New_York", "2026-10-31 12:00:00", "2026-11-01 01:30:00 -0400, 2026-11-02 01:30:00 -0500"},
		{"30 0 1 * * *", "America/New_York", "2026-10-31 12:00:00", "2026-11-01 01:00:30 -0400, 2026-11-02 01:00:30 -0500"},
		{"*/30 * * * *", "America/New_York", "2026-11-01 00:45:00", "2026-11-01 01:00:00 -0400, 2026-11-01 01:30:00 -0400, 2026-11-01 01:00:00 -0500, 2026-11-01 01:30:00 -0500, 2026-11-01 02:00:00 -0500"},
		// Lord Howe: half an hour, from 02:00 to 02:30, and from 02:00 to 01:30.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00", "2026-10-04 02:30:00 +1100, 2026-10-05 02:15:00 +1100"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00:00", "2026-04-05 01:45:00 +1100, 2026-04-06 01:45:00 +1030"},
		{"*/15 * * * *", "Australia/Lord_Howe", "2026-04-05 01:20:00", "2026-04-05 01:30:00 +1100, 2026-04-05 01:45:00 +1100, 2026-04-05 01:30:00 +1030, 2026-04-05 01:45:00 +1030, 2026-04-05 02:00:00 +1030"},
		// Beirut changes at midnight: the day begins at 01:00.
		{"@daily", "Asia/Beirut", "2025-03-29 12:00:00", "2025-03-30 01:00:00 +0300, 2025-03-31 00:00:00 +0300"},
		// Apia had no 30 December in 2011.
		{"0 12 * * *", "Pacific/Apia", "2011-12-29 11:00:00", "2011-12-29 12:00:00 -1000, 2011-12-31 00:00:00 +1400, 2011-12-31 12:00:00 +1400"},
	} {
		got := strings.Join(cronTimes(t, c.expression, c.zone, c.after, strings.Count(c.want, ",")+1), ", ")
		if got != c.want {
			t.Errorf("%s in %s after %s:\n got %s\nwant %s", c.expression, c.zone, c.after, got, c.want)
		}
	}
}

// randomField makes the text of a field, and the set of its values.
func randomField(r *rand.Rand, low, high int, names []string) (string, []bool) {
	set := make([]bool, high+1)
	if r.IntN(3) == 0 {
		for v := range set {
			set[v] = v >= low
		}
		return "*", set
	}
	var parts []string
	for range 1 + r.IntN(3) {
		first, step := low+r.IntN(high-low+1), 1
		last := first
		text := fmt.Sprint(first)
		if names != nil && r.IntN(2) == 0 {
			text = names[first-low]
		}
		switch r.IntN(4) {
		case 0:
			last = first + r.IntN(high-first+1)
			text += fmt.Sprintf("-%d", last)
			if r.IntN(2) == 0 {
				step = 1 + r.IntN(high-low)
				text += fmt.Sprintf("/%d", step)
			}
		case 1:
			step = 1 + r.IntN(high-low)
			first, last, text = low, high, fmt.Sprintf("*/%d", step)
		}
		for v := first; v <= last; v += step {
			set[v] = true
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ","), set
}

// cronOracle goes through time step by step and asks of each what the clock
// shows. It shares nothing with what it tests.
type cronOracle struct {
	minute, hour, day, month, weekday []bool
	either, shown                     bool
}

func (o *cronOracle) matches(civil time.Time) bool {
	day, weekday := o.day[civil.Day()], o.weekday[civil.Weekday()]
	fits := day && weekday
	if o.either {
		fits = day || weekday
	}
	return o.minute[civil.Minute()] && o.hour[civil.Hour()] && o.month[civil.Month()] && fits
}

func (o *cronOracle) times(from time.Time, minutes int) []int64 {
	civil := func(at time.Time) time.Time {
		_, offset := at.Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	var out []int64
	at, high := from, civil(from)
	for range minutes {
		at = at.Add(time.Minute)
		now := civil(at)
		if o.shown {
			if o.matches(now) {
				out = append(out, at.Unix())
			}
			continue
		}
		fires := false
		for ; high.Before(now); high = high.Add(time.Minute) {
			fires = fires || o.matches(high.Add(time.Minute))
		}
		if fires {
			out = append(out, at.Unix())
		}
	}
	return out
}

// Req W3: the instants are those that going through every minute finds, they
// strictly increase, and none is there twice.
func TestCronAgainstOracle(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	begins := map[string][]string{
		"Europe/Berlin":       {"2026-03-28", "2026-10-24", "2040-03-24", "2040-10-27", "2096-12-30", "2099-12-30"},
		"America/New_York":    {"2026-03-07", "2026-10-31", "2048-12-30"},
		"Australia/Lord_Howe": {"2026-10-03", "2026-04-04"},
		"Asia/Beirut":         {"2025-03-29", "2025-10-25"},
		"Pacific/Apia":        {"2011-12-29"},
		"UTC":                 {"2026-02-27", "2028-02-28"},
	}
	fired := 0
	for range 400 {
		var o cronOracle
		var texts [5]string
		texts[0], o.minute = randomField(r, 0, 59, nil)
		texts[1], o.hour = randomField(r, 0, 23, nil)
		texts[2], o.day = randomField(r, 1, 31, nil)
		texts[3], o.month = "*", slices.Repeat([]bool{true}, 13)
		texts[4], o.weekday = randomField(r, 0, 6, cronWeekdays)
		o.either = texts[2][0] != '*' && texts[4][0] != '*'
		o.shown = texts[1][0] == '*' || !slices.Contains(o.hour, false)
		expression := strings.Join(texts[:], " ")
		c, err := ParseCron(expression)
		if err != nil {
			t.Fatal(expression, err)
		}
		for name, days := range begins {
			z := zone(t, name)
			from, err := time.ParseInLocation("2006-01-02 15:04", days[r.IntN(len(days))]+" 12:00", z)
			if err != nil {
				t.Fatal(err)
			}
			const minutes = 40 * 60
			var got []int64
			for at := c.Next(from, z); !at.IsZero() && at.Sub(from) <= minutes*time.Minute; at = c.Next(at, z) {
				if n := len(got); n > 0 && at.Unix() <= got[n-1] {
					t.Fatalf("%s in %s: %v does not come after %d", expression, name, at, got[n-1])
				}
				got = append(got, at.Unix())
			}
			if want := o.times(from, minutes); !slices.Equal(got, want) {
				t.Fatalf("%s in %s from %v:\n got %v\nwant %v", expression, name, from, got, want)
			}
			fired += len(got)
		}
	}
	if fired == 0 {
		t.Error("nothing fired")
	}
}

// Req W3: between instants, from wherever it is asked, the next one is the same.
func TestCronNextFromAnywhere(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 0))
	for name, text := range map[string]string{"Europe/Berlin": "30 2 * * *", "Australia/Lord_Howe": "*/20 1-3 * * *", "America/New_York": "*/7 * * * *"} {
		c, err := ParseCron(text)
		if err != nil {
			t.Fatal(err)
		}
		z := zone(t, name)
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, z)
		for at.Year() == 2026 {
			next := c.Next(at, z)
			for range 3 {
				between := at.Add(rand.N(next.Sub(at)))
				if got := c.Next(between, z); !got.Equal(next) {
					t.Fatalf("%s in %s after %v: %v, not %v", text, name, between, got, next)
				}
			}
			at = next
			if r.IntN(4) == 0 {
				at = at.Add(rand.N(24 * time.Hour))
			}
		}
	}
}

// An implementation by others agrees where no clock is changed.
func TestCronAgainstGronx(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{
		"*/15 * * * *", "0 6 * * MON-FRI", "5,10 1-5 * * *", "0 0 1 */3 *", "0 9 L * *", "0 9 15W * *", "0 9 * * 5L", "0 9 * * 2#3",
		"0 0 13 * 5", "30 4 1,15 * 5", "0 0 29 2 *", "10-50/20 */6 * 1-6 *", "15 30 8 * * 1-5", "*/20 0 0 1 1 *", "0 12 31 * *",
	} {
		c, err := ParseCron(expression)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC)
		for range 50 {
			want, err := gronx.NextTickAfter(expression, at, false)
			if err != nil {
				break // it gives up early
			}
			got := c.Next(at, time.UTC)
			if !got.Equal(want) {
				t.Fatalf("%s after %v: %v, gronx has %v", expression, at, got, want)
			}
			at = got
		}
	}
}

// Req W3: an error has field, position, what was expected, and a suggestion.
func TestCronErrors(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"":                    `cron "": position 1: there are 0 fields; expected 5 or 6; such as "30 6 * * MON-FRI": minute, hour, day, month, day of the week; with a second in front it has 6`,
		"0 0 25 * * *":        `cron "0 0 25 * * *": field hour, position 5: 25 is out of range; expected 0-23`,
		"0 24 * * *":          `cron "0 24 * * *": field hour, position 3: 24 is out of range; expected 0-23; midnight is hour 0 of the next day`,
		"0 6 * * MONDAY":      `cron "0 6 * * MONDAY": field day of week, position 9: "MONDAY" is no value; expected 0-7 or SUN-SAT; did you mean "MON"?`,
		"0 6 * JNA *":         `cron "0 6 * JNA *": field month, position 7: "JNA" is no value; expected 1-12 or JAN-DEC; did you mean "JAN"?`,
		"0 22-2 * * *":        `cron "0 22-2 * * *": field hour, position 3: the range 22-2 ends before it begins; for both ends of it write 22-23,0-2`,
		"*/90 * * * *":        `cron "*/90 * * * *": field minute, position 3: the step 90 is beyond the field; expected 1-59; for an interval that is no part of the next larger unit write every: instead of cron`,
		"1,,2 * * * *":        `cron "1,,2 * * * *": field minute, position 3: a value is missing; expected 0-59`,
		"*/0 * * * *":         `cron "*/0 * * * *": field minute, position 3: "0" is no step; expected a number above 0`,
		"0 0 30 2 *":          `cron "0 0 30 2 *": position 1: the expression never fires: there is no such day; compare day of month and month`,
		"0 0 1 1 * * 2027":    `cron "0 0 1 1 * * 2027": position 13: there are 7 fields; expected 5 or 6; bound the schedule by start and end instead of a year`,
		"@every 5m":           `cron "@every 5m": position 1: @every is no cron expression; write every: 10m instead of cron`,
		"@dayly":              `cron "@dayly": position 1: "@dayly" is unknown; expected @yearly, @monthly, @weekly, @daily, @midnight or @hourly alone, or fields; did you mean "@daily"?`,
		"TZ=UTC 0 0 * * *":    `cron "TZ=UTC 0 0 * * *": position 1: the expression has a time zone; give the zone as time_zone`,
		"0 0 * * 2#6":         `cron "0 0 * * 2#6": field day of week, position 11: "6" is no number of a week in the month; expected 1-5`,
		"0 0 32W * *":         `cron "0 0 32W * *": field day of month, position 5: 32 is out of range; expected 1-31`,
		"-1 * * * *":          `cron "-1 * * * *": field minute, position 1: "" is no value; expected 0-59`,
		"99999999999 * * * *": `cron "99999999999 * * * *": field minute, position 1: 99999999999 is out of range; expected 0-59`,
	} {
		_, err := ParseCron(expression)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", expression, err, want)
			continue
		}
		if _, ok := errors.AsType[*CronError](err); !ok || fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%q: %T, %v", expression, err, fault.CodeOf(err))
		}
	}
}

// Req W3: whatever the text, the parser ends with an error in the text, or with
// instants that increase.
func FuzzParseCron(f *testing.F) {
	for _, text := range []string{"* * * * *", "0 */5 1-3,7 L,15W JAN-MAR MON#2,5L", "@daily", "0 0 29 2 *", "1/2 3 * * 7-2", "\t*/59 ? * *", "0 0 0 1 1 *"} {
		f.Add(text, int64(1_774_700_000))
	}
	z := zone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		c, err := ParseCron(text)
		if err != nil {
			e, ok := errors.AsType[*CronError](err)
			if !ok || e.Offset < 0 || e.Offset > max(len(text), 12) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseCron(c.String())
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(unix%4_000_000_000, 0)
		for range 5 {
			next := c.Next(at, z)
			if next.IsZero() || !next.After(at) || !again.Next(at, z).Equal(next) {
				t.Fatalf("%q after %v: %v", text, at, next)
			}
			at = next
		}
	})
}
