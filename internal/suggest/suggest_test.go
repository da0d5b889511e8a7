package suggest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/suggest"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	columns := []string{"date", "precipitation", "temp_max", "temp_min", "wind", "weather"}
	for _, tc := range []struct {
		name       string
		candidates []string
		want       string
	}{
		{"temp_maxx", columns, "temp_max"},
		{"tmep_max", columns, "temp_max"},
		{"TempMax", columns, "temp_max"},
		{"temp", columns, ""}, // the beginning of two
		{"precip", columns, "precipitation"},
		{"wnid", columns, "wind"},
		{"filtr", []string{"filter", "compute"}, "filter"},
		{"source-csv", []string{"source.csv", "sink.csv"}, "source.csv"},
		{"humidity", columns, ""},
		{"date", columns, ""},
		{"", columns, ""},
		{"x", []string{"a", "b"}, ""},
		{"xb", []string{"cb", "ab"}, ""},
		{"abcx", []string{"abcz", "abcy"}, "abcy"},
		{strings.Repeat("a", 200), []string{strings.Repeat("a", 199)}, ""},
		{"größe", []string{"grösse", "Größen"}, "Größen"},
	} {
		got, ok := suggest.Closest(tc.name, tc.candidates)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("Closest(%q) = %q, %t; want %q", tc.name, got, ok, tc.want)
		}
	}
}

// The answer depends on the set of the candidates, not on their order, and is
// always one of them.
func FuzzClosest(f *testing.F) {
	f.Add("temp_maxx", "temp_max", "temp_min", "x")
	f.Add("", "", "\xff", "é")
	f.Fuzz(func(t *testing.T, name, a, b, c string) {
		candidates := []string{a, b, c}
		got, ok := suggest.Closest(name, candidates)
		if ok && (!slices.Contains(candidates, got) || got == name) {
			t.Fatalf("Closest(%q, %q) = %q", name, candidates, got)
		}
		reversed, _ := suggest.Closest(name, []string{c, b, a})
		if got != reversed {
			t.Fatalf("Closest(%q) gives %q or %q by the order of %q", name, got, reversed, candidates)
		}
	})
}

func ExampleDidYouMean() {
	fmt.Println(suggest.DidYouMean("filtr", []string{"filter", "compute", "aggregate"}))
	// Output: did you mean "filter"?
}
