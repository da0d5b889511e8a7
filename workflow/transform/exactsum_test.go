package transform

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestExactSum(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	tests := []struct {
		name string
		in   []float64
		want float64
	}{
		{"nothing", nil, 0},
		{"one", []float64{0.1}, 0.1},
		{"ten tenths", []float64{.1, .1, .1, .1, .1, .1, .1, .1, .1, .1}, 1},
		{"small between large", []float64{1e100, 1, -1e100}, 1},
		{"tie tipped by a further part", []float64{1, 0x1p-53, 0x1p-106}, 1 + 0x1p-52},
		{"tie to even", []float64{1, 0x1p-53}, 1},
		{"all cancels", []float64{0.3, -0.1, -0.3, 0.1}, 0},
		{"infinity wins", []float64{1, inf, 2}, inf},
		{"infinities cancel to NaN", []float64{inf, -inf}, math.NaN()},
		{"overflow", []float64{math.MaxFloat64, math.MaxFloat64}, inf},
		{"subnormal", []float64{5e-324, 5e-324}, 1e-323},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s exactSum
			for _, x := range tt.in {
				s.add(x)
			}
			if got := s.value(); math.Float64bits(got) != math.Float64bits(tt.want) && !(got != got && tt.want != tt.want) {
				t.Errorf("sum of %v = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}

// The sum is the true one rounded once, and therefore the same in any order.
func TestExactSumIsExactInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		values := make([]float64, 1+rnd.IntN(200))
		exact := new(big.Float).SetPrec(4096)
		for i := range values {
			values[i] = math.Ldexp(rnd.Float64()-0.5, rnd.IntN(120)-60)
			exact.Add(exact, new(big.Float).SetFloat64(values[i]))
		}
		want, _ := exact.Float64()
		for range 3 {
			rnd.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
			var s exactSum
			for _, x := range values {
				s.add(x)
			}
			if got := s.value(); got != want {
				t.Fatalf("seed %d: sum = %v, want %v", seed, got, want)
			}
		}
	}
}
