// Package storetest is the suite that every engine of package store passes, and
// the tools to try an engine harder: a model with random batches, a check of
// linearizability, a harness that kills a process at random moments, and
// benchmarks.
//
// An engine's test is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, open)
//	}
//
//	func TestKill(t *testing.T) {
//		storetest.Kill(t, storetest.KillOptions{Open: open, Rounds: 20})
//	}
//
//	func BenchmarkStore(b *testing.B) {
//		storetest.Benchmark(b, open)
//	}
//
// with an [Opener] of its own. What is random prints its seed, and the
// environment variable STORETEST_SEED repeats it.
package storetest
