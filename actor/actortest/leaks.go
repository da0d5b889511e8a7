package actortest

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// Goroutines that are about to end are given time for it: so many looks, a tick or
// more apart. A machine that is too busy to let them run takes its looks more
// seldom, too.
const (
	leakLooks = 2000
	leakTick  = time.Millisecond
)

// leakLabel is the profiler label by which a test's goroutines are known.
const leakLabel = "actortest.test"

// NoLeaks fails the test if goroutines that it has started are still there at
// its end. It is called at the beginning of a test, on the test's goroutine.
//
// A test's goroutines are told from others by a profiler label, which a goroutine
// hands on to those it starts; so tests may run in parallel. What a timer starts
// by time.AfterFunc is not seen: in a bubble, as of [Run], it is.
func NoLeaks(t testing.TB) {
	t.Helper()
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, t.Name()))
	pprof.SetGoroutineLabels(ctx)
	t.Cleanup(func() {
		t.Helper()
		pprof.SetGoroutineLabels(context.Background())
		tick := time.NewTicker(leakTick)
		defer tick.Stop()
		var left []string
		for range leakLooks {
			if left = labelled(t.Name()); len(left) == 0 {
				return
			}
			<-tick.C
		}
		t.Errorf("goroutines of this test are still there:\n\n%s", strings.Join(left, "\n\n"))
	})
}

// labelled are the stacks of the goroutines with a test's label. The profile
// joins equal stacks to one with a number.
func labelled(test string) []string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return nil // a buffer does not fail
	}
	var found []string
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if _, labels, ok := strings.Cut(stack, "# labels: "); ok && strings.Contains(labels, `"`+leakLabel+`":"`+test+`"`) {
			found = append(found, stack)
		}
	}
	return found
}
