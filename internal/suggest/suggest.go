// Package suggest finds the name that a misspelt one was probably meant to be.
package suggest

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lengthMax bounds the names that are compared, in runes: a longer one is not
// a misspelling, and the comparison takes the product of both lengths.
const lengthMax = 128

// Closest returns the candidate that name was probably meant to be. Letter
// case, and the difference between "-", "_", "." and no separator, weigh
// nothing; a letter left out, put in, exchanged, or swapped with its neighbour
// weighs one, of which one in three letters is allowed. Failing that, the only
// candidate that has name as its beginning is meant. Among equals the
// candidate that sorts first wins, so that the answer does not depend on their
// order. The second result is false if nothing is close, or if name itself is
// a candidate.
func Closest(name string, candidates []string) (string, bool) {
	if name == "" || utf8.RuneCountInString(name) > lengthMax || slices.Contains(candidates, name) {
		return "", false
	}
	folded := fold(name)
	best, bestDistance := "", len(folded)/3+1
	var starting []string
	for _, c := range candidates {
		if c == "" || utf8.RuneCountInString(c) > lengthMax {
			continue
		}
		other := fold(c)
		if strings.HasPrefix(string(other), string(folded)) {
			starting = append(starting, c)
		}
		d := distance(folded, other)
		if d >= len(folded) && d > 0 {
			continue // nothing in common
		}
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	if best == "" && len(starting) == 1 {
		best = starting[0]
	}
	return best, best != ""
}

// DidYouMean returns a question such as `did you mean "filter"?`, or "" if no
// candidate is close to name.
func DidYouMean(name string, candidates []string) string {
	closest, ok := Closest(name, candidates)
	if !ok {
		return ""
	}
	return "did you mean " + strconv.Quote(closest) + "?"
}

func fold(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(name)))
}

// distance is the optimal string alignment distance: the least number of
// insertions, deletions, replacements and swaps of neighbours that turn a
// into b, where no part is edited twice.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
