package transform

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// lateHandle is where rows leave a window whose windows have closed before.
const lateHandle = "late"

// The columns that tell which window a row is of.
const (
	windowStart = "window_start"
	windowEnd   = "window_end"
)

// windowsPerRow bounds the sliding windows that a row is part of.
const windowsPerRow = 1000

// WindowConfig is the "with" block of a node of the type window.
type WindowConfig struct {
	Time        string                      `yaml:"time,required" doc:"The column, a date or time, that places a row."`
	Size        time.Duration               `yaml:"size" doc:"Length of a window. Windows begin at whole multiples of it since 1970, UTC."`
	Slide       time.Duration               `yaml:"slide" doc:"Time between the beginnings of two windows, which then overlap; without it they follow each other."`
	Gap         time.Duration               `yaml:"gap" doc:"For sessions, in place of size: a window ends when no row has come for so long."`
	Lateness    time.Duration               `yaml:"lateness" doc:"How far behind the latest row so far a row may be. A window closes when the latest row is that far beyond its end."`
	By          Keys                        `yaml:"by" doc:"What to group by within a window: a list of columns, or a mapping of names to expressions."`
	Columns     workflow.Mapping[Aggregate] `yaml:"columns,required" doc:"The aggregates by the name of their column: count for the number of rows, or {FUNCTION: EXPRESSION}."`
	MaxGroups   int                         `yaml:"max_groups" doc:"How many groups of open windows, or rows of open sessions, are held at most; the run fails beyond."`
	MaxDistinct int                         `yaml:"max_distinct" doc:"How many values all count_distinct of the node remember at most, over the whole run."`
}

var windowType = workflow.TransformType[WindowConfig]{
	Name: "window",
	Doc: "Groups rows by time and gives one row for each group when its window closes: tumbling windows (size), sliding ones (size and slide) or sessions (gap). " +
		"A row whose windows have all closed leaves by the output late, and is dropped if nothing takes it. Functions are those of aggregate.",
	Example: "time: at\nsize: 1h\nlateness: 5m\nby: [station]\ncolumns:\n  rain_mm: {sum: mm}",
	Side:    []string{lateHandle},
	Default: WindowConfig{MaxGroups: DefaultMaxGroups, MaxDistinct: DefaultMaxDistinct},
	Plan:    planWindow,
}

func planWindow(c *workflow.Check, config WindowConfig) workflow.TransformPlan {
	at, column, ok := c.Column("time", config.Time)
	if ok && column.Kind != workflow.KindTime && column.Kind != workflow.KindDate {
		c.Errorf("time", "the column %q is a %s; expected a date or time", config.Time, column.Kind)
	}
	switch {
	case config.Gap != 0 && (config.Size != 0 || config.Slide != 0):
		c.Report("gap", "a session has no size", "set gap, or size and slide")
	case config.Gap == 0 && config.Size == 0:
		c.Report("", "the length of the windows is missing", "set size, or gap for sessions")
	}
	for path, d := range map[string]time.Duration{"size": config.Size, "slide": config.Slide, "gap": config.Gap, "lateness": config.Lateness} {
		if d < 0 {
			c.Errorf(path, "%s is out of range; expected 0 or more", d)
		}
	}
	if config.Slide == 0 {
		config.Slide = config.Size
	}
	if config.Slide > config.Size {
		c.Errorf("slide", "%s is more than the size, so that rows between two windows would be lost", config.Slide)
	}
	if config.Slide > 0 && config.Size/config.Slide > windowsPerRow {
		c.Errorf("slide", "a row would be in %d windows; at most %d are allowed", config.Size/config.Slide, windowsPerRow)
	}
	bounds := []key{{name: windowStart, of: operand{column: at}}, {name: windowEnd, of: operand{column: at}}}
	p, ok := planGroups(c, AggregateConfig{By: config.By, Columns: config.Columns, MaxGroups: config.MaxGroups, MaxDistinct: config.MaxDistinct}, bounds,
		workflow.Column{Name: windowStart, Kind: workflow.KindTime}, workflow.Column{Name: windowEnd, Kind: workflow.KindTime})
	if !ok {
		return workflow.TransformPlan{}
	}
	return workflow.TransformPlan{
		Schema: p.schema, Side: map[string]workflow.Schema{lateHandle: c.Input()},
		New: func(*workflow.Env) (workflow.Transform, error) {
			w := &window{
				groups: newAggregate(p), time: at, latest: math.MinInt64,
				size: int64(config.Size), slide: int64(config.Slide), gap: int64(config.Gap), lateness: int64(config.Lateness),
			}
			if config.Gap > 0 {
				w.sessions = map[string][]event{}
			}
			return w, nil
		},
	}
}

// window groups rows by time. Times are nanoseconds since 1970.
type window struct {
	groups                     *aggregate
	time                       int // the column
	size, slide, gap, lateness int64
	latest                     int64 // time of the latest row so far

	// sessions are the rows of those that are open, by their keys. They are
	// folded when their session closes, as a row between two joins them.
	sessions map[string][]event
	events   int
}

// event is a row of a session: its time, keys and operands.
type event struct {
	at    int64
	cells []workflow.Value
}

// watermark is the time up to which windows have closed.
func (w *window) watermark() int64 {
	if w.latest < math.MinInt64+w.lateness {
		return math.MinInt64
	}
	return w.latest - w.lateness
}

// Apply takes the rows of a batch into their windows, and gives those that
// have closed.
func (w *window) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	out := workflow.Output{}
	late := newPick(in)
	for i, row := range in.Rows {
		at, reason := w.timeOf(row[w.time])
		if reason != "" {
			out.Rejects = append(out.Rejects, in.Reject(i, in.Schema.Column(w.time).Name, reason))
			continue
		}
		if column, err := w.groups.evaluate(row); err != nil {
			out.Rejects = append(out.Rejects, in.Reject(i, column, err.Error()))
			continue
		}
		if !w.add(at) {
			late.add(i)
			continue
		}
		w.latest = max(w.latest, at)
		out.Held++
		if n := len(w.groups.groups) + w.events; n > w.groups.groupsMax {
			return out, tooMany("groups or rows of open windows", w.groups.groupsMax, "use shorter windows or less lateness, or raise max_groups")
		}
		if w.groups.distinct > w.groups.distinctMax {
			return out, tooMany("distinct values", w.groups.distinctMax, "count something with fewer values, or raise max_distinct")
		}
	}
	out.Side = map[string]workflow.Batch{lateHandle: late.batch()}
	var err error
	out.Batch, err = w.close(w.watermark())
	out.Made = len(out.Batch.Rows)
	return out, err
}

// timeOf is the time of a row.
func (w *window) timeOf(v workflow.Value) (at int64, reason string) {
	if v.IsNull() {
		return 0, "the time is missing"
	}
	t := v.Time()
	const span = 290 * 365 * 24 * 60 * 60 // seconds that 64 bits of nanoseconds hold, and some less
	if s := t.Unix(); s > span || s < -span {
		return 0, fmt.Sprintf("%s is too far from 1970", v)
	}
	return t.UnixNano(), ""
}

// add takes the row under way into the windows that are open, and returns false
// if none is.
func (w *window) add(at int64) bool {
	closed := w.watermark()
	if w.sessions != nil {
		if at <= closed-w.gap && closed != math.MinInt64 {
			return false
		}
		a := w.groups
		code := a.code[:0]
		for _, v := range a.cells[2:len(a.keys)] {
			code = appendKey(code, v)
		}
		a.code = code
		w.sessions[string(code)] = append(w.sessions[string(code)], event{at: at, cells: slices.Clone(a.cells)})
		w.events++
		return true
	}
	open := false
	for start := floor(at, w.slide); start > at-w.size; start -= w.slide {
		if start+w.size <= closed {
			break
		}
		w.fold(w.groups.cells, start, start+w.size)
		open = true
	}
	return open
}

// fold adds a row to the group of a window.
func (w *window) fold(cells []workflow.Value, start, end int64) {
	a := w.groups
	cells[0], cells[1] = workflow.Time(time.Unix(0, start)), workflow.Time(time.Unix(0, end))
	g := a.groupOf(cells[:len(a.keys)])
	for m, v := range cells[len(a.keys):] {
		if a.measures[m].rows || !v.IsNull() {
			g.fold[m].add(v)
		}
	}
}

// floor is the last multiple of step that is not after at.
func floor(at, step int64) int64 {
	rest := at % step
	if rest < 0 {
		rest += step
	}
	return at - rest
}

// close gives the groups of the windows that end at or before a time.
func (w *window) close(closed int64) (workflow.Batch, error) {
	if w.sessions != nil {
		w.closeSessions(closed)
	}
	end := workflow.Time(time.Unix(0, closed))
	return w.groups.take(func(g *group) bool { return g.key[1].Compare(end) <= 0 })
}

// closeSessions folds the sessions that nothing can join any more.
func (w *window) closeSessions(closed int64) {
	for code, events := range w.sessions {
		slices.SortStableFunc(events, func(a, b event) int {
			switch {
			case a.at < b.at:
				return -1
			case a.at > b.at:
				return 1
			}
			return 0
		})
		first := 0
		for i := range events {
			if i+1 < len(events) && events[i+1].at-events[i].at < w.gap {
				continue
			}
			if events[i].at > closed-w.gap {
				break
			}
			for _, e := range events[first : i+1] {
				w.fold(e.cells, events[first].at, events[i].at+w.gap)
			}
			first = i + 1
		}
		w.events -= first
		if w.sessions[code] = slices.Delete(events, 0, first); len(w.sessions[code]) == 0 {
			delete(w.sessions, code)
		}
	}
}

// Flush gives the windows that are still open.
func (w *window) Flush(context.Context) (workflow.Output, error) {
	batch, err := w.close(math.MaxInt64)
	if err == nil && w.events > 0 {
		err = fault.New(fault.Internal, "window.Flush", "%d rows of sessions are left", w.events)
	}
	return workflow.Output{Batch: batch}, err
}
