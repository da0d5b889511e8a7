package actor

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// DeadLetter is a message that will not be handled, and why. It is an event of
// the event stream and of [Hooks].
type DeadLetter struct {
	Target  Address
	Message any
	Reason  error // never nil
}

// deadLetter accounts for a message that will not be handled.
func (s *System) deadLetter(target *core, message any, why error) {
	s.deadLetters.Add(1)
	if _, ours := message.(DeadLetter); ours {
		return // a listener's own loss must not feed itself
	}
	letter := func() DeadLetter { return DeadLetter{Target: target.address(), Message: message, Reason: why} }
	s.hook(func(h *Hooks) {
		if h.DeadLetter != nil {
			h.DeadLetter(letter())
		}
	})
	publish(s, letter)
	if n, ok := s.logLimit.admit(time.Now()); ok && s.log().Enabled(noContext, slog.LevelWarn) {
		s.logDeadLetter(target, message, why, n)
	}
}

//go:noinline // its frame would make the stack of a young goroutine grow
func (s *System) logDeadLetter(target *core, message any, why error, held int) {
	attrs := append([]slog.Attr{
		slog.String("target", target.path()), slog.String("message_type", fmt.Sprintf("%T", message)), slog.Int("not_logged", held),
	}, fault.Attrs(target.record(why, origin{}))...)
	s.log().LogAttrs(noContext, slog.LevelWarn, "dead letter", attrs...)
}

// deadLetterLog bounds the records on dead letters to 10 a second.
type deadLetterLog struct {
	mu     sync.Mutex
	since  time.Time
	logged int
	held   int
}

// admit reports whether a record may be written, and how many were not before it.
func (l *deadLetterLog) admit(now time.Time) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.logged = now, 0
	}
	if l.logged == 10 {
		l.held++
		return 0, false
	}
	l.logged++
	held, l.held = l.held, 0
	return held, true
}
