package retry_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name string
		p    retry.Policy
		want []time.Duration // for n = 0, 1, 2, …
	}{
		// Req F11
		{"defaults", retry.Policy{}, []time.Duration{0, 1 * s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}},
		{"initial", retry.Policy{Initial: 3 * s}, []time.Duration{0, 3 * s, 6 * s, 10 * s}},
		{"initial above the default cap", retry.Policy{Initial: 20 * s}, []time.Duration{0, 20 * s, 20 * s}},
		{"cap below the default initial", retry.Policy{Cap: 10 * ms}, []time.Duration{0, 10 * ms, 10 * ms}},
		{"constant", retry.Policy{Multiplier: 1}, []time.Duration{0, 1 * s, 1 * s, 1 * s}},
		{"multiplier", retry.Policy{Initial: ms, Multiplier: 10}, []time.Duration{0, ms, 10 * ms, 100 * ms, s, 10 * s, 10 * s}},
		{"largest jitter", retry.Policy{Jitter: 0.25, Rand: func() float64 { return 1 }}, []time.Duration{0, 750 * ms, 1500 * ms, 3 * s}},
		{"no luck", retry.Policy{Jitter: 1, Rand: func() float64 { return 0 }}, []time.Duration{0, 1 * s, 2 * s}},
		{"beyond the limits", retry.Policy{Initial: -s, Cap: -s, Multiplier: 0.5, Jitter: -1}, []time.Duration{0, 1 * s, 1 * s}},
		{"not a number", retry.Policy{Multiplier: math.NaN(), Jitter: math.NaN()}, []time.Duration{0, 1 * s, 2 * s}},
		{"the largest duration", retry.Policy{Initial: math.MaxInt64}, []time.Duration{0, math.MaxInt64, math.MaxInt64}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for n, want := range tt.want {
				if got := tt.p.Delay(n); got != want {
					t.Errorf("Delay(%d) = %v, want %v", n, got, want)
				}
			}
			if got := tt.p.Delay(math.MinInt); got != 0 {
				t.Errorf("Delay(math.MinInt) = %v", got)
			}
		})
	}
}

// For any policy: a delay is within bounds; without jitter it never falls;
// with jitter it is within its share of the one without.
func TestDelayProperties(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		p := retry.Policy{
			Initial:    time.Duration(rnd.Int64() >> rnd.IntN(63)),
			Multiplier: 1 + math.Exp(rnd.NormFloat64()*20),
		}
		p.Cap = p.Initial + min(math.MaxInt64-p.Initial, time.Duration(rnd.Int64()>>rnd.IntN(63)))
		jittered := p
		jittered.Jitter, jittered.Rand = rnd.Float64(), rnd.Float64
		longest := max(p.Cap, p.Initial)
		if longest == 0 {
			longest = retry.DefaultCap
		}
		previous := time.Duration(0)
		for _, n := range []int{1, 2, 3, 10, 64, 1000, math.MaxInt} {
			d, j := p.Delay(n), jittered.Delay(n)
			lowest := float64(d) * (1 - jittered.Jitter) * (1 - 1e-9)
			if d < previous || d > longest || j < 0 || j > longest || float64(j) < lowest-1 || float64(j) > float64(d)*(1+1e-9)+1 {
				t.Fatalf("seed %d: %+v: Delay(%d) = %v after %v, jittered %v", seed, jittered, n, d, previous, j)
			}
			previous = d
		}
	}
}

func TestDelayIsPure(t *testing.T) {
	p := retry.Policy{Jitter: 0.5, Rand: rand.New(rand.NewPCG(1, 2)).Float64}
	q := retry.Policy{Jitter: 0.5, Rand: rand.New(rand.NewPCG(1, 2)).Float64}
	for n := range 10 {
		if a, b := p.Delay(n), q.Delay(n); a != b {
			t.Fatalf("Delay(%d) = %v and %v from the same seed", n, a, b)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { p.Delay(3) }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for maximum, want := range map[int]int{0: 3, 1: 1, -1: 0, math.MinInt: 0, 100: 100, math.MaxInt: retry.MaxRetries} {
		if got := (retry.Policy{Max: maximum}).Retries(); got != want {
			t.Errorf("Max %d: %d retries, want %d", maximum, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		p    retry.Policy
		want string
	}{
		{retry.Policy{}, ""},
		{retry.Policy{Max: retry.MaxRetries, Initial: 1, Cap: 1, Multiplier: 1, Jitter: 1}, ""},
		{retry.Policy{Max: -5}, ""},
		{retry.Policy{Initial: time.Hour}, ""},
		{retry.Policy{Max: 101}, "Max is 101, must be at most 100"},
		{retry.Policy{Initial: -1}, "Initial is -1ns, must not be negative"},
		{retry.Policy{Cap: -1}, "Cap is -1ns, must not be negative"},
		{retry.Policy{Initial: 2, Cap: 1}, "Initial is 2ns, must not exceed Cap, which is 1ns"},
		{retry.Policy{Multiplier: 0.5}, "Multiplier is 0.5"},
		{retry.Policy{Multiplier: math.NaN()}, "Multiplier is NaN"},
		{retry.Policy{Multiplier: math.Inf(1)}, "Multiplier is +Inf"},
		{retry.Policy{Jitter: -0.1}, "Jitter is -0.1, must be between 0 and 1"},
		{retry.Policy{Jitter: 1.1}, "Jitter is 1.1"},
		{retry.Policy{Jitter: math.NaN()}, "Jitter is NaN"},
	}
	for _, tt := range tests {
		err := tt.p.Validate()
		switch {
		case tt.want == "":
			if err != nil {
				t.Errorf("%+v: %v", tt.p, err)
			}
		case !errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%+v: error %v, want INVALID_ARGUMENT and %q", tt.p, err, tt.want)
		}
	}
}

func ExamplePolicy_Delay() {
	var p retry.Policy
	for n := range 6 {
		fmt.Print(p.Delay(n), " ")
	}
	// Output: 0s 1s 2s 4s 8s 10s
}
