package actor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Req S5: a spec that can't be meant is refused, with what is wrong and what was
// expected.
func TestSpawnRefusesBadSpecs(t *testing.T) {
	sys := actor.NewSystem(actor.Options{Logger: discard()})
	defer func() { _ = sys.Stop(t.Context()) }()
	nothing := func() actor.Behavior[int] {
		return actor.BehaviorFunc[int](func(*actor.Context[int], int) error { return nil })
	}
	for want, spec := range map[string]actor.Spec[int]{
		"has no New":             {Name: "a"},
		"contains '/'":           {Name: "a/b"},
		"begins with '#'":        {Name: "#1"},
		"not valid UTF-8":        {Name: "\xff\xfe"},
		"can't be printed":       {Name: "a\nb"},
		"longer than 255 bytes":  {Name: strings.Repeat("a", 256)},
		"mailbox capacity -7":    {Mailbox: actor.Mailbox{Capacity: -7}},
		"Mailbox.Overflow 9":     {Mailbox: actor.Mailbox{Overflow: 9}},
		"Restart 9":              {Restart: 9},
		"-1 attempts":            {Attempts: -1},
		"256 attempts":           {Attempts: 256},
		"IdleTimeout -1s":        {IdleTimeout: -time.Second},
		"StopTimeout -1s":        {StopTimeout: -time.Second},
		"Supervision.Strategy 9": {Supervision: actor.Supervision{Strategy: 9}},
		"Window -1s":             {Supervision: actor.Supervision{Window: -time.Second}},
		"Jitter 3":               {Supervision: actor.Supervision{Backoff: actor.Backoff{Jitter: 3}}},
	} {
		if want != "has no New" {
			spec.New = nothing
		}
		_, err := actor.Spawn(sys, spec)
		if !errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want INVALID_ARGUMENT with %q", err, want)
		}
	}
	if n := sys.Stats().Actors; n != 0 {
		t.Errorf("%d actors were spawned", n)
	}
	if _, err := actor.Spawn(sys, actor.Spec[int]{Name: "straße-7.β", New: nothing}); err != nil {
		t.Errorf("a readable name was refused: %v", err)
	}
}
