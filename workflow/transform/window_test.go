package transform

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

var eventSchema = workflow.MustSchema(
	workflow.Column{Name: "at", Kind: workflow.KindTime}, workflow.Column{Name: "k", Kind: workflow.KindString}, workflow.Column{Name: "n", Kind: workflow.KindInt},
)

// clock writes minutes of an hour as times.
func clock(rows ...string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		minute, rest, _ := strings.Cut(r, " ")
		out[i] = "2012-01-31T10:" + minute + ":00Z " + rest
	}
	return out
}

func short(rows []string) string {
	return strings.NewReplacer("2012-01-31T", "", ":00Z", "").Replace(strings.Join(rows, "; "))
}

// Req W2, W7: tumbling, sliding and session windows, with late rows.
func TestWindow(t *testing.T) {
	t.Parallel()
	events := clock("01 a 1", "04 a 2", "03 b 3", "11 a 4", "09 a 5", "02 a 6", "25 b 7")
	for _, tt := range []struct{ name, with, rows, late string }{
		{"tumbling", "size: 10m", "10:00 10:10 a 2 3; 10:00 10:10 b 1 3; 10:10 10:20 a 1 4; 10:20 10:30 b 1 7", "10:09 a 5; 10:02 a 6"},
		{"lateness", "size: 10m\nlateness: 5m", "10:00 10:10 a 4 14; 10:00 10:10 b 1 3; 10:10 10:20 a 1 4; 10:20 10:30 b 1 7", ""},
		{"sliding", "size: 10m\nslide: 5m\nlateness: 20m", "09:55 10:05 a 3 9; 09:55 10:05 b 1 3; 10:00 10:10 a 4 14; 10:00 10:10 b 1 3; 10:05 10:15 a 2 9; " +
			"10:10 10:20 a 1 4; 10:20 10:30 b 1 7; 10:25 10:35 b 1 7", ""},
		{"session", "gap: 4m\nlateness: 9m", "10:01 10:08 a 3 9; 10:03 10:07 b 1 3; 10:09 10:15 a 2 9; 10:25 10:29 b 1 7", ""},
		{"late for its session", "gap: 4m", "10:01 10:08 a 2 3; 10:03 10:07 b 1 3; 10:09 10:15 a 2 9; 10:25 10:29 b 1 7", "10:02 a 6"},
	} {
		with := "time: at\n" + tt.with + "\nby: [k]\ncolumns: {rows: count, n: {sum: n}}"
		for _, size := range []int{1, 3, 100} {
			transform, schema := build(t, windowType, eventSchema, with)
			var batches []workflow.Batch
			for part := range slices.Chunk(events, size) {
				batches = append(batches, rowsOf(t, eventSchema, part...))
			}
			r := run(t, transform, schema, batches...)
			slices.Sort(r.rows)
			if got := short(r.rows); got != tt.rows {
				t.Errorf("%s, batches of %d:\n got %s\nwant %s", tt.name, size, got, tt.rows)
			}
			if got := strings.ReplaceAll(short(r.side), "late: ", ""); got != tt.late {
				t.Errorf("%s, batches of %d: late %s, want %s", tt.name, size, got, tt.late)
			}
		}
	}
}

// What leaves does not depend on how the rows are cut into batches, nor, within
// the lateness, on their order.
func TestWindowOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for _, with := range []string{"size: 7m", "size: 9m\nslide: 2m", "gap: 3m"} {
		var rows []string
		for range 40 {
			rows = append(rows, fmt.Sprintf("%02d %c %d", random.IntN(60), 'a'+rune(random.IntN(3)), random.IntN(100)))
		}
		var want string
		for range 20 {
			random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			transform, schema := build(t, windowType, eventSchema, "time: at\n"+with+"\nlateness: 1h\nby: [k]\ncolumns: {rows: count, n: {sum: n}}")
			var batches []workflow.Batch
			for part := range slices.Chunk(clock(rows...), 1+random.IntN(10)) {
				batches = append(batches, rowsOf(t, eventSchema, part...))
			}
			r := run(t, transform, schema, batches...)
			slices.Sort(r.rows)
			got := short(r.rows)
			if want == "" {
				want = got
			}
			if got != want || len(r.side) > 0 {
				t.Fatalf("seed %d, %s:\n got %s\nwant %s\nlate %v", seed, with, got, want, r.side)
			}
		}
	}
}

func TestWindowProblems(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]string{
		"time: n\nsize: 1m":                      `the column "n" is a int; expected a date or time`,
		"time: at":                               "the length of the windows is missing",
		"time: at\ngap: 1m\nsize: 1m":            "a session has no size",
		"time: at\nsize: 1m\nslide: 2m":          "rows between two windows would be lost",
		"time: at\nsize: 1h\nslide: 1s":          "a row would be in 3600 windows",
		"time: at\nsize: -1m":                    "-1m0s is out of range",
		"time: at\nsize: 1m\nby: [window_start]": `unknown column "window_start"`,
	} {
		if _, err := plan(windowType, eventSchema, with+"\ncolumns: {n: count}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", with, err, want)
		}
	}
	transform, _ := build(t, windowType, eventSchema, "time: at\nsize: 1m\nmax_groups: 2\ncolumns: {n: count}")
	if _, err := transform.Apply(t.Context(), rowsOf(t, eventSchema, clock("03 a 1", "03 b 1")...)); err != nil {
		t.Error(err)
	}
	transform, schema := build(t, windowType, eventSchema, "time: at\nsize: 1m\ncolumns: {n: count}")
	if r := run(t, transform, schema, rowsOf(t, eventSchema, "- a 1")); len(r.rejects) != 1 || !strings.Contains(r.rejects[0], "the time is missing") {
		t.Errorf("rejects %v", r.rejects)
	}
	transform, _ = build(t, windowType, eventSchema, "time: at\ngap: 1h\nmax_groups: 2\ncolumns: {n: count}")
	if _, err := transform.Apply(t.Context(), rowsOf(t, eventSchema, clock("01 a 1", "02 a 1", "03 a 1")...)); err == nil || !strings.Contains(err.Error(), "there are more than 2 groups or rows of open windows") {
		t.Errorf("limit: %v", err)
	}
}
