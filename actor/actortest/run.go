package actortest

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// Run runs f with a new system in a bubble of [testing/synctest]: time is
// virtual and moves on when every goroutine of the test waits. After f the
// system is stopped; an actor that does not end or a goroutine that is left
// fails the test.
//
// The system's log goes to the test's own. The rules of synctest apply: channels
// and contexts must be made within f, and t.Parallel and t.Run are not for t.
func Run(t *testing.T, f func(t *testing.T, sys *actor.System)) {
	t.Helper()
	RunWith(t, actor.Options{}, f)
}

// RunWith is [Run] for a system with options. Without a Logger the system's log
// goes to the test's own.
func RunWith(t *testing.T, opts actor.Options, f func(t *testing.T, sys *actor.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { runSystem(t, opts, f) })
}

// runSystem is the life of a test's system; it is called within a bubble.
func runSystem(t *testing.T, opts actor.Options, f func(*testing.T, *actor.System)) {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	sys := actor.NewSystem(opts)
	defer func() { // a test that calls t.FailNow must not leave actors behind either
		end(t, sys)
	}()
	f(t, sys)
}

// settleTime is how long Run waits, in virtual time, for handlers that outlived
// their actors and for goroutines that are about to end.
const settleTime = 24 * time.Hour

// end stops the system and reports what is left of it.
func end(t *testing.T, sys *actor.System) {
	t.Helper()
	// The test's own context ends with f, and may have been what f tested.
	if err := sys.Stop(context.Background()); err != nil && sys.Stats().Runaways > 0 {
		t.Errorf("the system did not stop: %v", err)
	}
	synctest.Wait()
	stats := sys.Stats()
	if stats.Actors != 0 {
		t.Errorf("%d actors are left after the system has stopped:\n%s", stats.Actors, treeText(sys.Tree(), ""))
	}
	if left := bubbleGoroutines(); len(left) > 0 && stats.Runaways == 0 {
		timer := time.NewTimer(settleTime) // they may be asleep
		<-timer.C
		if left = bubbleGoroutines(); len(left) > 0 {
			t.Errorf("%d goroutines are left after the system has stopped:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
	}
}

// treeText is a tree with an actor a line.
func treeText(i actor.Info, indent string) string {
	var b strings.Builder
	b.WriteString(indent + i.Path + " " + string(i.State) + " " + i.Type + "\n")
	for _, k := range i.Children {
		b.WriteString(treeText(k, indent+"  "))
	}
	return b.String()
}

// bubbleGoroutines are the stacks of the other goroutines in the caller's bubble.
func bubbleGoroutines() []string {
	const mark = "synctest bubble "
	all := stacks()
	self, _, _ := strings.Cut(all[0], "\n")
	_, bubble, ok := strings.Cut(self, mark)
	if !ok {
		return nil
	}
	bubble = strings.TrimRight(bubble, "]:")
	var found []string
	for _, g := range all[1:] {
		head, _, _ := strings.Cut(g, "\n")
		_, its, ok := strings.Cut(head, mark)
		// These are part of the bubble until its end: two of synctest, which wait
		// for the test, and the scheduler of Explore.
		ours := strings.Contains(g, "synctest.Run(") || strings.Contains(g, "synctest.testingSynctestTest(") ||
			strings.Contains(g, ".(*scheduler).loop(")
		if ok && !ours && strings.TrimRight(its, "]:") == bubble {
			found = append(found, g)
		}
	}
	return found
}

// stacks are the stacks of all goroutines, the caller's first.
func stacks() []string {
	buf := make([]byte, 1<<16)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
		}
		buf = make([]byte, 2*len(buf))
	}
}
