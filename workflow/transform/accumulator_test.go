package transform

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

// A sum of integers is right, or an error where it does not fit, whatever
// overflows on the way.
func TestIntSumEqualsBigInt(t *testing.T) {
	t.Parallel()
	overflows := 0
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		exact := new(big.Int)
		var sum intSum
		for range 1 + rnd.IntN(12) {
			x := int64(rnd.Uint64()) >> rnd.IntN(8)
			exact.Add(exact, big.NewInt(x))
			sum.add(workflow.Int(x))
		}
		got, err := sum.value()
		switch {
		case !exact.IsInt64():
			overflows++
			if err == nil {
				t.Fatalf("seed %d: sum = %v, want an error, as it is %v", seed, got, exact)
			}
			about, _ := new(big.Float).SetInt(exact).Float64()
			if f := sum.float(); f < about-about*1e-9 && about > 0 || f > about-about*1e-9 && about < 0 {
				t.Fatalf("seed %d: about %v, want %v", seed, f, about)
			}
		case err != nil || got.Int() != exact.Int64():
			t.Fatalf("seed %d: sum = %v, %v, want %v", seed, got, err, exact)
		}
	}
	if overflows < 50 || overflows > 450 {
		t.Errorf("%d of 500 sums overflow: the test shows too little", overflows)
	}
}
