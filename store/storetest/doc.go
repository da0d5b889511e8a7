// Package storetest is the suite that every engine of package store passes, and
// the tools to try an engine harder: a model with random batches and a check of
// linearizability.
//
// An engine's test is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, open)
//	}
//
// with an [Opener] of its own. What is random prints its seed, and the
// environment variable STORETEST_SEED repeats it.
package storetest
