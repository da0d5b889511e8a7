package workflow

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
)

// Cron is a parsed cron expression. It is immutable, and safe for concurrent
// use. Make one with [ParseCron]; the zero value never fires.
type Cron struct {
	text string
	// Sets of values, one bit for each.
	second, minute, hour, day, month, weekday uint64
	days, weekdays                            []dayRule
	dayStar, weekdayStar                      bool
	elapsed                                   bool // the hour field lets every hour through, or begins with a star
}

// dayRule is a day that depends on the month: its last one, the working day
// nearest to one, the third Monday.
type dayRule struct {
	kind dayRuleKind
	n    int // of the month, or of the week
	nth  int
}

type dayRuleKind uint8

const (
	lastDay        dayRuleKind = iota + 1 // L
	lastWorkingDay                        // LW
	nearestWorking                        // 15W
	lastWeekday                           // 5L
	nthWeekday                            // 5#3
)

// CronError says what is wrong with a cron expression and where. Its code is
// INVALID_ARGUMENT.
type CronError struct {
	Text string // the expression
	// Field is the name of the field, empty if the mistake is not in one.
	Field string
	// Offset counts the bytes before the mistake.
	Offset  int
	Message string // what is wrong, and what was expected
	Hint    string // what to do; may be empty
}

// Error has expression, field, position, mistake and suggestion in one line.
func (e *CronError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cron %q: ", cutText(e.Text, cronTextMax))
	if e.Field != "" {
		fmt.Fprintf(&b, "field %s, ", e.Field)
	}
	fmt.Fprintf(&b, "position %d: %s", e.Offset+1, e.Message)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// FaultCode classifies the error, see [fault.CodeOf].
func (e *CronError) FaultCode() fault.Code { return fault.InvalidArgument }

// cronTextMax bounds an expression, in bytes.
const cronTextMax = 500

// cutText shortens a text for a message.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// cronField is one of the fields of an expression.
type cronField struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var (
	cronMonths   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	cronWeekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	cronFields   = []cronField{
		{"second", 0, 59, nil}, {"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of month", 1, 31, nil},
		{"month", 1, 12, cronMonths}, {"day of week", 0, 7, cronWeekdays},
	}
	cronMacros = map[string]string{
		"@yearly": "0 0 0 1 1 *", "@annually": "0 0 0 1 1 *", "@monthly": "0 0 0 1 * *", "@weekly": "0 0 0 * * 0",
		"@daily": "0 0 0 * * *", "@midnight": "0 0 0 * * *", "@hourly": "0 0 * * * *",
	}
)

const (
	fieldHour     = 2
	fieldDay      = 3
	fieldWeekday  = 5
	sundayAtEnd   = 7 // the other number of Sunday
	weekdayMask   = 1<<7 - 1
	everyHour     = 1<<24 - 1
	cronFieldsMax = 6
)

// ParseCron reads a cron expression: "minute hour day-of-month month
// day-of-week", or the same with the second in front.
//
// A field is * or a list, with commas, of values, ranges (1-5) and steps (*/15,
// 10-40/5, 5/20 from 5 on). Months and days of the week may be names (JAN, MON),
// in any case; Sunday is 0 and 7. The day of the month may be L, the last day,
// LW, the last working day, and 15W, the working day nearest to the 15th; the day
// of the week 5L, the last Friday, and 5#3, the third one. ? is *. Where both
// days are given, one that fits either is meant, as in Vixie cron. Instead of
// fields there may be @yearly, @monthly, @weekly, @daily, @midnight or @hourly.
//
// The error is a [*CronError].
func ParseCron(text string) (Cron, error) {
	fail := func(offset int, hint, format string, args ...any) (Cron, error) {
		return Cron{}, &CronError{Text: text, Offset: offset, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if len(text) > cronTextMax {
		return fail(cronTextMax, "", "the expression has %d bytes; at most %d are allowed", len(text), cronTextMax)
	}
	source, words := text, cronWords(text)
	if len(words) > 0 && strings.HasPrefix(words[0].text, "@") {
		name := words[0].text
		macro, ok := cronMacros[strings.ToLower(name)]
		switch {
		case strings.EqualFold(name, "@every"):
			return fail(words[0].at, `write every: 10m instead of cron`, "@every is no cron expression")
		case !ok || len(words) > 1:
			hint := suggest.DidYouMean(strings.ToLower(name), []string{"@yearly", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
			return fail(words[0].at, hint, "%q is unknown; expected @yearly, @monthly, @weekly, @daily, @midnight or @hourly alone, or fields", cutText(name, 30))
		}
		source, words = macro, cronWords(macro)
	}
	switch {
	case len(words) > 0 && (strings.HasPrefix(words[0].text, "TZ=") || strings.HasPrefix(words[0].text, "CRON_TZ=")):
		return fail(words[0].at, "give the zone as time_zone", "the expression has a time zone")
	case len(words) == cronFieldsMax+1:
		return fail(words[cronFieldsMax].at, "bound the schedule by start and end instead of a year", "there are 7 fields; expected 5 or 6")
	case len(words) < 5 || len(words) > cronFieldsMax:
		return fail(0, `such as "30 6 * * MON-FRI": minute, hour, day, month, day of the week; with a second in front it has 6`,
			"there are %d fields; expected 5 or 6", len(words))
	}
	c := Cron{text: text, second: 1}
	for i, w := range words {
		p := cronParser{text: source, field: cronFields[i+cronFieldsMax-len(words)], index: i + cronFieldsMax - len(words), cron: &c}
		if err := p.parse(w); err != nil {
			return Cron{}, err
		}
	}
	c.weekday = (c.weekday | c.weekday>>sundayAtEnd) & weekdayMask
	c.elapsed = c.elapsed || c.hour == everyHour
	if _, ok := c.from(civilBegin); !ok {
		return fail(0, "compare day of month and month", "the expression never fires: there is no such day")
	}
	return c, nil
}

// String is the expression as it was written.
func (c Cron) String() string { return c.text }

type cronWord struct {
	text string
	at   int
}

// cronWords splits a text at blanks.
func cronWords(text string) []cronWord {
	var words []cronWord
	for at := 0; at < len(text); {
		rest := strings.TrimLeft(text[at:], " \t\r\n")
		at = len(text) - len(rest)
		if rest == "" {
			break
		}
		n := strings.IndexAny(rest, " \t\r\n")
		if n < 0 {
			n = len(rest)
		}
		words = append(words, cronWord{rest[:n], at})
		at += n
	}
	return words
}

// cronParser reads one field.
type cronParser struct {
	text  string
	field cronField
	index int
	cron  *Cron
}

func (p *cronParser) fail(at int, hint, format string, args ...any) error {
	return &CronError{Text: p.text, Field: p.field.name, Offset: at, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (p *cronParser) parse(w cronWord) error {
	star := w.text[0] == '*' || w.text[0] == '?'
	switch p.index {
	case fieldHour:
		p.cron.elapsed = star
	case fieldDay:
		p.cron.dayStar = star
	case fieldWeekday:
		p.cron.weekdayStar = star
	}
	set := []*uint64{&p.cron.second, &p.cron.minute, &p.cron.hour, &p.cron.day, &p.cron.month, &p.cron.weekday}[p.index]
	*set = 0
	at := w.at
	for part := range strings.SplitSeq(w.text, ",") {
		if err := p.part(set, part, at); err != nil {
			return err
		}
		at += len(part) + 1
	}
	return nil
}

// part reads an element of a list.
func (p *cronParser) part(set *uint64, part string, at int) error {
	if part == "" {
		return p.fail(at, "", "a value is missing; expected %s", p.expected())
	}
	if done, err := p.special(part, at); done || err != nil {
		return err
	}
	span, stepText, stepped := strings.Cut(part, "/")
	first, last, err := p.span(span, at, stepped)
	if err != nil {
		return err
	}
	step := 1
	if stepped {
		stepAt := at + len(span) + 1
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || !digits(stepText) {
			return p.fail(stepAt, "", "%q is no step; expected a number above 0", cutText(stepText, 30))
		}
		if step > p.field.max-p.field.min {
			return p.fail(stepAt, "for an interval that is no part of the next larger unit write every: instead of cron", "the step %d is beyond the field; expected 1-%d", step, p.field.max-p.field.min)
		}
	}
	for v := first; v <= last; v += step {
		*set |= 1 << v
	}
	return nil
}

// span reads a star, a value or a range.
func (p *cronParser) span(text string, at int, stepped bool) (first, last int, err error) {
	last = p.field.max
	if p.index == fieldWeekday {
		last = sundayAtEnd - 1
	}
	if text == "*" || text == "?" {
		return p.field.min, last, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if first, err = p.value(from, at); err != nil {
		return 0, 0, err
	}
	if !isRange {
		if !stepped {
			last = first
		} else if p.index == fieldWeekday && first == sundayAtEnd {
			first = 0
		}
		return first, last, nil
	}
	if last, err = p.value(to, at+len(from)+1); err != nil {
		return 0, 0, err
	}
	if p.index == fieldWeekday && first > last {
		if last == 0 {
			last = sundayAtEnd // FRI-SUN
		} else if first == sundayAtEnd {
			first = 0 // 7-2
		}
	}
	if first > last {
		hint := fmt.Sprintf("for both ends of it write %s-%d,%d-%s", from, p.field.max, p.field.min, to)
		return 0, 0, p.fail(at, hint, "the range %s ends before it begins", text)
	}
	return first, last, nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// value reads a number or a name.
func (p *cronParser) value(text string, at int) (int, error) {
	if digits(text) {
		n, err := strconv.Atoi(text)
		if err != nil || n < p.field.min || n > p.field.max {
			hint := ""
			if n == 24 && p.index == fieldHour {
				hint = "midnight is hour 0 of the next day"
			}
			return 0, p.fail(at, hint, "%s is out of range; expected %s", cutText(text, 30), p.expected())
		}
		return n, nil
	}
	for i, name := range p.field.names {
		if strings.EqualFold(text, name) {
			return p.field.min + i, nil
		}
	}
	hint := suggest.DidYouMean(strings.ToUpper(cutText(text, 30)), p.field.names)
	if hint == "" && len(text) > 3 {
		hint = suggest.DidYouMean(strings.ToUpper(text[:3]), append([]string{strings.ToUpper(text[:3]) + "."}, p.field.names...))
		for _, name := range p.field.names {
			if strings.EqualFold(text[:3], name) {
				hint = "did you mean " + strconv.Quote(name) + "?"
			}
		}
	}
	return 0, p.fail(at, hint, "%q is no value; expected %s", cutText(text, 30), p.expected())
}

// expected says what values the field has.
func (p *cronParser) expected() string {
	text := fmt.Sprintf("%d-%d", p.field.min, p.field.max)
	if n := len(p.field.names); n > 0 {
		text += " or " + p.field.names[0] + "-" + p.field.names[n-1]
	}
	return text
}

// special reads L, LW, 15W, 5L and 5#3.
func (p *cronParser) special(part string, at int) (bool, error) {
	upper := strings.ToUpper(part)
	switch {
	case p.index == fieldDay && upper == "L":
		p.cron.days = append(p.cron.days, dayRule{kind: lastDay})
	case p.index == fieldDay && upper == "LW":
		p.cron.days = append(p.cron.days, dayRule{kind: lastWorkingDay})
	case p.index == fieldDay && strings.HasSuffix(upper, "W"):
		n, err := p.value(part[:len(part)-1], at)
		if err != nil {
			return true, err
		}
		p.cron.days = append(p.cron.days, dayRule{kind: nearestWorking, n: n})
	case p.index == fieldWeekday && strings.HasSuffix(upper, "L"):
		n, err := p.value(part[:len(part)-1], at)
		if err != nil {
			return true, err
		}
		p.cron.weekdays = append(p.cron.weekdays, dayRule{kind: lastWeekday, n: n % sundayAtEnd})
	case p.index == fieldWeekday && strings.Contains(part, "#"):
		day, nthText, _ := strings.Cut(part, "#")
		n, err := p.value(day, at)
		if err != nil {
			return true, err
		}
		nth, err := strconv.Atoi(nthText)
		if err != nil || !digits(nthText) || nth < 1 || nth > 5 {
			return true, p.fail(at+len(day)+1, "", "%q is no number of a week in the month; expected 1-5", cutText(nthText, 30))
		}
		p.cron.weekdays = append(p.cron.weekdays, dayRule{kind: nthWeekday, n: n % sundayAtEnd, nth: nth})
	default:
		return false, nil
	}
	return true, nil
}

// matchesDay reports whether the expression fires on a day.
func (c *Cron) matchesDay(year int, month time.Month, day int, weekday time.Weekday) bool {
	ofMonth := c.day>>day&1 == 1
	ofWeek := c.weekday>>weekday&1 == 1
	if len(c.days)+len(c.weekdays) > 0 {
		last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
		for _, r := range c.days {
			ofMonth = ofMonth || r.matches(day, last, weekday)
		}
		for _, r := range c.weekdays {
			ofWeek = ofWeek || r.matches(day, last, weekday)
		}
	}
	if c.dayStar || c.weekdayStar {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}

// matches reports whether a day of a month with so many days is meant.
func (r dayRule) matches(day, last int, weekday time.Weekday) bool {
	switch r.kind {
	case lastDay:
		return day == last
	case lastWorkingDay:
		return r.working(weekday) && day > last-3 && (day == last || weekday == time.Friday)
	case nearestWorking:
		switch weekday {
		case time.Saturday, time.Sunday:
			return false
		case time.Friday: // for the Saturday behind it, or the Sunday if that ends the month
			return r.n <= last && (day == r.n || day+1 == r.n || day+2 == r.n && r.n == last)
		case time.Monday: // for the Sunday before it, or the Saturday if that begins the month
			return r.n <= last && (day == r.n || day-1 == r.n && r.n < last || day-2 == r.n && r.n == 1)
		}
		return day == r.n
	case lastWeekday:
		return int(weekday) == r.n && day > last-7
	case nthWeekday:
		return int(weekday) == r.n && (day-1)/7 == r.nth-1
	}
	return false
}

func (dayRule) working(weekday time.Weekday) bool {
	return weekday != time.Saturday && weekday != time.Sunday
}

// timeFrom finds the first time of a day, in seconds, at or after another.
func (c *Cron) timeFrom(hour, minute, second int) (int64, bool) {
	s, found := nextBit(c.second, second)
	if !found {
		minute++
	}
	m, found := nextBit(c.minute, minute)
	if !found {
		hour++
	}
	h, found := nextBit(c.hour, hour)
	if !found {
		return 0, false
	}
	if h > hour {
		m = bits.TrailingZeros64(c.minute)
	}
	if h > hour || m != minute {
		s = bits.TrailingZeros64(c.second)
	}
	return int64(h*3600 + m*60 + s), true
}

// nextBit finds the first bit of a set that is not below n; if there is none, it
// gives the first of all.
func nextBit(set uint64, n int) (int, bool) {
	if rest := set >> n << n; n < 64 && rest != 0 {
		return bits.TrailingZeros64(rest), true
	}
	return bits.TrailingZeros64(set), false
}
