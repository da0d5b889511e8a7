package telemetry

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/actor"
)

// Req T1
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var l labels
	for i := range 3 * MaxTypes {
		name := fmt.Sprintf("type-%d", i)
		want := name
		if i >= MaxTypes {
			want = OtherTypes
		}
		if got := l.of(name); got != want {
			t.Fatalf("label of type %d is %q, want %q", i, got, want)
		}
	}
	if got := l.of("type-0"); got != "type-0" {
		t.Errorf("a type lost its label to %q", got)
	}
}

func TestCleanLabel(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 100) // 200 bytes
	for name, want := range map[string]string{
		"*main.Counter":   "*main.Counter",
		"a\xffb":          "a\uFFFDb",
		long:              long[:128],
		"x" + long:        "x" + long[:126],
		"":                "",
		"\xff\xfe\"\n{}=": "\uFFFD\"\n{}=",
	} {
		got := cleanLabel(name)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("cleanLabel(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestByLabelSumsTypesOfOneLabelUp(t *testing.T) {
	t.Parallel()
	kinds := []actor.KindStats{
		{Type: "b", Actors: 1},
		{Type: "a", Actors: 1, Mailbox: 2, Processed: 3, Restarts: 4, Failures: 5, Timing: actor.Timing{Count: 3, Sum: 6, Buckets: []uint64{1, 2}}},
		{Type: "a", Actors: 10, Mailbox: 20, Processed: 30, Restarts: 40, Failures: 50, Timing: actor.Timing{Count: 4, Sum: 7, Buckets: []uint64{0, 1, 3}}},
	}
	got := byLabel(&labels{}, kinds)
	want := actor.KindStats{
		Type: "a", Actors: 11, Mailbox: 22, Processed: 33, Restarts: 44, Failures: 55,
		Timing: actor.Timing{Count: 7, Sum: 13, Buckets: []uint64{1, 3, 3}},
	}
	if len(got) != 2 || fmt.Sprint(got["a"]) != fmt.Sprint(want) || got["b"].Actors != 1 {
		t.Errorf("got %v, want %v and one b", got, want)
	}
	if fmt.Sprint(kinds[1].Timing.Buckets, kinds[2].Timing.Buckets) != "[1 2] [0 1 3]" {
		t.Error("the input was changed")
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	earlier := actor.Timing{Count: 3, Sum: 5, Buckets: []uint64{1, 2, 0}}
	now := actor.Timing{Count: 9, Sum: 25, Buckets: []uint64{1, 4, 4}}
	if got := since(now, earlier); fmt.Sprint(got) != fmt.Sprint(actor.Timing{Count: 6, Sum: 20, Buckets: []uint64{0, 2, 4}}) {
		t.Errorf("since = %v", got)
	}
	if got := since(now, actor.Timing{}); got.Count != 9 {
		t.Errorf("since nothing = %v", got)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	bounds := []time.Duration{1 * ms, 2 * ms, 4 * ms}
	tests := []struct {
		q       float64
		buckets []uint64
		want    time.Duration
	}{
		{0.99, nil, 0},
		{0.99, []uint64{0, 0, 0, 0}, 0},
		{0.5, []uint64{100, 0, 0, 0}, ms / 2},
		{0.5, []uint64{0, 100, 0, 0}, 3 * ms / 2},
		{1, []uint64{50, 50, 0, 0}, 2 * ms},
		{0.99, []uint64{98, 0, 2, 0}, 3 * ms},
		{0.99, []uint64{0, 0, 0, 5}, 4 * ms}, // above the last bound
		{0.99, []uint64{99, 0, 0, 1}, 1 * ms},
	}
	for _, tt := range tests {
		timing := actor.Timing{Buckets: tt.buckets}
		for _, n := range tt.buckets {
			timing.Count += n
		}
		if got := quantile(tt.q, timing, bounds); math.Abs(float64(got-tt.want)) > 1 {
			t.Errorf("quantile(%v, %v) = %v, want %v", tt.q, tt.buckets, got, tt.want)
		}
	}
}
