package actor

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
)

// maxName is the longest name in bytes. Names stand in paths, logs, metrics and
// addresses, so what can't be read there is refused here.
const maxName = 255

// checkName says what is wrong with an actor's name; the empty one is fine.
func checkName(name string) error {
	wrong := ""
	switch {
	case len(name) > maxName:
		name, wrong = name[:32]+"…", "is longer than 255 bytes"
	case strings.ContainsRune(name, '/'):
		wrong = "contains '/', which separates the parts of a path"
	case strings.HasPrefix(name, "#"):
		wrong = "begins with '#', as only the paths of anonymous actors do"
	case !utf8.ValidString(name):
		wrong = "is not valid UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		wrong = "contains a character that can't be printed"
	default:
		return nil
	}
	return fault.New(fault.InvalidArgument, "actor.Spawn", "name %q %s", name, wrong)
}

// checker collects the first thing that is wrong with the spec of an actor.
type checker struct {
	name string
	err  error
}

func (k *checker) failf(format string, args ...any) {
	if k.err == nil {
		k.err = fault.New(fault.InvalidArgument, "actor.Spawn", "spec %q: "+format, append([]any{k.name}, args...)...)
	}
}

func (k *checker) enum(field string, value, largest uint8) {
	if value > largest {
		k.failf("%s %d is unknown; use one of the constants of its type", field, value)
	}
}

func (k *checker) duration(field string, d time.Duration) {
	if d < 0 {
		k.failf("%s %v is negative; 0 stands for the default", field, d)
	}
}

func (k *checker) mailbox(m Mailbox) {
	if m.Capacity < Unbounded || m.Capacity > maxCapacity {
		k.failf("mailbox capacity %d is out of range; it is 1 to %d, 0 for %d or actor.Unbounded", m.Capacity, maxCapacity, DefaultCapacity)
	}
	k.enum("Mailbox.Overflow", uint8(m.Overflow), uint8(DropOldest))
}

func (k *checker) supervision(s Supervision) {
	k.enum("Supervision.Strategy", uint8(s.Strategy), uint8(RestForOne))
	k.duration("Supervision.Window", s.Window)
	k.duration("Supervision.Backoff.Max", s.Backoff.Max)
	if s.Backoff.Jitter > 1 {
		k.failf("Supervision.Backoff.Jitter %v is out of range; it is a share of 0 to 1", s.Backoff.Jitter)
	}
}
