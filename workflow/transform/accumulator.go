package transform

import (
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// accumulator folds the values of one aggregate column in one group. No
// accumulator is ever given a null: as in SQL, nulls are left out.
type accumulator interface {
	add(v workflow.Value)
	// value is the result so far. Without any value added it is null, or 0
	// for the counts.
	value() (workflow.Value, error)
}

// count counts the values, or the rows where there is no expression.
type count struct{ n int64 }

func (c *count) add(workflow.Value)             { c.n++ }
func (c *count) value() (workflow.Value, error) { return workflow.Int(c.n), nil }

// countIf counts how often the value is true.
type countIf struct{ n int64 }

func (c *countIf) add(v workflow.Value) {
	if v.Bool() {
		c.n++
	}
}

func (c *countIf) value() (workflow.Value, error) { return workflow.Int(c.n), nil }

// intSum adds integers without losing any, so that only the result can
// overflow and the order of the values does not matter. The sum is low plus
// wraps times 2 to the 64.
type intSum struct {
	n     int64
	low   int64
	wraps int64
}

func (s *intSum) add(v workflow.Value) {
	x, before := v.Int(), s.low
	s.low += x
	switch {
	case x > 0 && s.low < before:
		s.wraps++
	case x < 0 && s.low > before:
		s.wraps--
	}
	s.n++
}

func (s *intSum) value() (workflow.Value, error) {
	switch {
	case s.n == 0:
		return workflow.Null(), nil
	case s.wraps != 0:
		return workflow.Value{}, fmt.Errorf("the sum of %d integers, about %.4g, does not fit into 64 bits; sum double(…) instead", s.n, s.float())
	}
	return workflow.Int(s.low), nil
}

func (s *intSum) float() float64 { return float64(s.wraps)*0x1p64 + float64(s.low) }

// intAvg is the mean of integers.
type intAvg struct{ sum intSum }

func (a *intAvg) add(v workflow.Value) { a.sum.add(v) }

func (a *intAvg) value() (workflow.Value, error) {
	if a.sum.n == 0 {
		return workflow.Null(), nil
	}
	const exact = 1 << 53 // integers up to it are floats
	sum, n := a.sum.low, a.sum.n
	switch {
	case a.sum.wraps != 0:
		return workflow.Float(a.sum.float() / float64(n)), nil
	case sum > exact || sum < -exact:
		return workflow.Float(float64(sum/n) + float64(sum%n)/float64(n)), nil
	}
	return workflow.Float(float64(sum) / float64(n)), nil
}

// floatSum is the exact sum of floats, rounded once.
type floatSum struct {
	n   int64
	sum exactSum
}

func (s *floatSum) add(v workflow.Value) {
	s.sum.add(v.Float())
	s.n++
}

func (s *floatSum) value() (workflow.Value, error) {
	if s.n == 0 {
		return workflow.Null(), nil
	}
	return workflow.Float(s.sum.value()), nil
}

// floatAvg is the mean of floats.
type floatAvg struct{ sum floatSum }

func (a *floatAvg) add(v workflow.Value) { a.sum.add(v) }

func (a *floatAvg) value() (workflow.Value, error) {
	if a.sum.n == 0 {
		return workflow.Null(), nil
	}
	return workflow.Float(a.sum.sum.value() / float64(a.sum.n)), nil
}

// extreme keeps the value that comes first, by [workflow.Value.Compare]
// multiplied by sign: 1 for the least, -1 for the greatest.
type extreme struct {
	sign int
	best workflow.Value
}

func (e *extreme) add(v workflow.Value) {
	if e.best.IsNull() || v.Compare(e.best)*e.sign < 0 {
		e.best = own(v)
	}
}

func (e *extreme) value() (workflow.Value, error) { return e.best, nil }

// first keeps the first value, in the order of arrival.
type first struct{ kept workflow.Value }

func (f *first) add(v workflow.Value) {
	if f.kept.IsNull() {
		f.kept = own(v)
	}
}

func (f *first) value() (workflow.Value, error) { return f.kept, nil }

// last keeps the last value, in the order of arrival.
type last struct{ kept workflow.Value }

func (l *last) add(v workflow.Value) {
	if v != l.kept {
		l.kept = own(v)
	}
}

func (l *last) value() (workflow.Value, error) { return l.kept, nil }

// countDistinct counts how many different values there are.
type countDistinct struct {
	seen map[workflow.Value]struct{}
	// kept counts the values that all of the aggregate's groups remember.
	kept *int
}

func (c *countDistinct) add(v workflow.Value) {
	if _, old := c.seen[v]; old {
		return
	}
	if c.seen == nil {
		c.seen = make(map[workflow.Value]struct{})
	}
	c.seen[own(v)] = struct{}{}
	*c.kept++
}

func (c *countDistinct) value() (workflow.Value, error) { return workflow.Int(int64(len(c.seen))), nil }

// own copies a text out of its batch: what an aggregate remembers must not
// keep whole rows in memory.
func own(v workflow.Value) workflow.Value {
	if v.Kind() == workflow.KindString {
		return workflow.String(strings.Clone(v.Text()))
	}
	return v
}
