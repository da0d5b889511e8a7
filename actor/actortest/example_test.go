package actortest_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// runTest runs a test function as go test would, within an example: once and
// quietly, whatever -count and -v say of the example itself.
func runTest(f func(*testing.T)) {
	defer setFlag("test.count", "1")()
	defer setFlag("test.v", "false")()
	all := func(string, string) (bool, error) { return true, nil }
	ok := testing.RunTests(all, []testing.InternalTest{{Name: "TestExample", F: f}})
	fmt.Println("passed:", ok)
}

func setFlag(name, value string) (restore func()) {
	set := flag.Lookup(name).Value
	before := set.String()
	_ = set.Set(value)
	return func() { _ = set.Set(before) }
}

// echo sends back what it gets, an hour later.
func echo(to actor.Ref[string]) actor.Spec[string] {
	return actor.Spec[string]{New: func() actor.Behavior[string] {
		return actor.BehaviorFunc[string](func(ctx *actor.Context[string], m string) error {
			if back, ok := cutBack(m); ok {
				return to.Tell(ctx, back)
			}
			ctx.After(time.Hour, "back:"+m)
			return nil
		})
	}}
}

func cutBack(m string) (string, bool) {
	if len(m) > 5 && m[:5] == "back:" {
		return m[5:], true
	}
	return "", false
}

// An hour of virtual time takes no time at all.
func ExampleRun() {
	runTest(func(t *testing.T) {
		actortest.Run(t, func(t *testing.T, sys *actor.System) {
			probe := actortest.NewProbe[string](t, sys)
			ref, err := actor.Spawn(sys, echo(probe.Ref()))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := ref.Tell(t.Context(), "hello"); err != nil {
				t.Fatal(err)
			}
			probe.ExpectNone(time.Hour - time.Second)
			probe.Expect("hello")
			fmt.Println("after", time.Since(begin))
		})
	})
	// Output:
	// after 1h0m0s
	// passed: true
}

// A probe stands for an actor that the tested one talks to.
func ExampleProbe() {
	runTest(func(t *testing.T) {
		actortest.Run(t, func(t *testing.T, sys *actor.System) {
			probe := actortest.NewProbe[string](t, sys)
			_ = probe.Ref().Tell(t.Context(), "one")
			_ = probe.Ref().Tell(t.Context(), "two")
			fmt.Println(probe.Next())
			probe.Expect("two")
		})
	})
	// Output:
	// one
	// passed: true
}

// Two actors race to be the first; over a few orders each of them is.
func ExampleExplore() {
	runTest(func(t *testing.T) {
		first := map[string]bool{}
		actortest.Explore(t, 20, func(t *testing.T, sys *actor.System, _ *rand.Rand) {
			probe := actortest.NewProbe[string](t, sys)
			for _, name := range []string{"hare", "tortoise"} {
				runner, err := actor.Spawn(sys, actor.Spec[bool]{New: func() actor.Behavior[bool] {
					return actor.BehaviorFunc[bool](func(ctx *actor.Context[bool], _ bool) error {
						return probe.Ref().Tell(ctx, name)
					})
				}})
				if err != nil {
					t.Fatal(err)
				}
				_ = runner.Tell(t.Context(), true)
			}
			first[probe.Next()] = true
		})
		fmt.Println("winners:", len(first))
	})
	// Output:
	// winners: 2
	// passed: true
}

// The end of an actor and its reason.
func ExampleExpectDown() {
	runTest(func(t *testing.T) {
		actortest.Run(t, func(t *testing.T, sys *actor.System) {
			ref, err := actor.Spawn(sys, actor.Spec[string]{New: func() actor.Behavior[string] {
				return actor.BehaviorFunc[string](func(*actor.Context[string], string) error { return actor.ErrStop })
			}})
			if err != nil {
				t.Fatal(err)
			}
			_ = ref.Tell(t.Context(), "end")
			fmt.Println("normal end:", actortest.ExpectDown(t, sys, ref).Reason == nil)
		})
	})
	// Output:
	// normal end: true
	// passed: true
}

// A test that starts goroutines says so in its first line.
func ExampleNoLeaks() {
	runTest(func(t *testing.T) {
		actortest.NoLeaks(t)
		done := make(chan struct{})
		go func() { <-done }()
		close(done) // without this the test fails and shows the goroutine
	})
	// Output: passed: true
}
