package transform

import "math"

// exactSum adds floats without any rounding error until the end, so that the
// result is the true sum rounded once and does not depend on the order in which
// batches come. It holds the running sum as an expansion: non-overlapping
// floats of increasing magnitude whose exact sum is the value.
//
// The method is from J. R. Shewchuk, "Adaptive Precision Floating-Point
// Arithmetic and Fast Robust Geometric Predicates", 1997. An expansion of
// ordinary data has two or three parts.
type exactSum struct {
	parts []float64
	// special is the sum of what is not finite; it decides the result alone.
	special    float64
	hasSpecial bool
}

func (s *exactSum) add(x float64) {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		s.addSpecial(x)
		return
	}
	kept := 0
	for _, p := range s.parts {
		if math.Abs(x) < math.Abs(p) {
			x, p = p, x
		}
		// Exactly, x + p = high + low.
		high := x + p
		low := p - (high - x)
		if low != 0 {
			s.parts[kept] = low
			kept++
		}
		x = high
	}
	if math.IsInf(x, 0) {
		s.parts = s.parts[:0]
		s.addSpecial(x)
		return
	}
	s.parts = append(s.parts[:kept], x)
}

func (s *exactSum) addSpecial(x float64) {
	s.special += x
	s.hasSpecial = true
}

// value is the sum, rounded to the nearest float, ties to even.
func (s *exactSum) value() float64 {
	if s.hasSpecial {
		return s.special
	}
	n := len(s.parts)
	if n == 0 {
		return 0
	}
	n--
	sum, low := s.parts[n], 0.0
	for n > 0 && low == 0 {
		n--
		x, y := sum, s.parts[n]
		sum = x + y
		low = y - (sum - x)
	}
	// The remainder may be exactly half of the last place, where rounding
	// went to even; a further part of the same sign tips it the other way.
	if n > 0 && (low < 0) == (s.parts[n-1] < 0) && low != 0 {
		twice := 2 * low
		if up := sum + twice; up-sum == twice {
			return up
		}
	}
	return sum
}
