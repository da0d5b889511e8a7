package actortest_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
)

// demoVariable makes TestOverdrawn fail in the processes that the test below starts.
const demoVariable = "ACTORTEST_DEMO"

// TestOverdrawn has a bug that some orders show.
func TestOverdrawn(t *testing.T) {
	if os.Getenv(demoVariable) == "" {
		return // TestFailureReplaysFromItsSeed runs what follows, which fails on purpose
	}
	actortest.Explore(t, 40, func(t *testing.T, sys *actor.System, _ *rand.Rand) {
		balance, log := withdraw(t, sys)
		if balance < 0 {
			t.Errorf("balance %d after: %s", balance, strings.Join(log, "; "))
		}
	})
}

// Req A13: a failure prints its seed, and the seed alone shows the failure again,
// in another process.
func TestFailureReplaysFromItsSeed(t *testing.T) {
	t.Parallel()
	run := func(seed string) (out string, failed bool) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOverdrawn$")
		cmd.Env = append(os.Environ(), demoVariable+"=1", actortest.SeedVariable+"="+seed)
		text, err := cmd.CombinedOutput()
		return string(text), err != nil
	}
	balance := regexp.MustCompile(`balance -?\d+ after: .*`)
	first, failed := run("")
	command := regexp.MustCompile(actortest.SeedVariable + `=(\d+) go test -run '\^TestOverdrawn\$'`).FindStringSubmatch(first)
	if !failed || command == nil {
		t.Fatalf("failed: %v; the output names no seed:\n%s", failed, first)
	}
	again, failed := run(command[1])
	if want := balance.FindString(first); !failed || want == "" || balance.FindString(again) != want {
		t.Errorf("seed %s gave\n%s\nthen\n%s", command[1], first, again)
	}
	if command[1] != "1" { // an earlier seed is one that passed
		if out, failed := run("1"); failed {
			t.Errorf("seed 1 passed in the first run and fails now:\n%s", out)
		}
	}
	if out, failed := run("soon"); !failed || !strings.Contains(out, "it is a whole number") {
		t.Errorf("a seed that is no number: %s", out)
	}
}
