package workload_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// transport is a system of channels whose deliveries pass through mangle, which
// returns what arrives in place of a message. It runs as honestly, or as
// faultily, as mangle says.
type transport struct {
	mangle func(seen int, m workload.Msg) []workload.Msg

	amnesia bool // crash: a restart keeps the old behaviour
	deaf    bool // crash: no restart
	alter   bool // ask: the answer is another one
}

func honest(_ int, m workload.Msg) []workload.Msg { return []workload.Msg{m} }

// lose drops message number n, counted over the whole run.
func lose(n int) func(int, workload.Msg) []workload.Msg {
	return func(seen int, m workload.Msg) []workload.Msg {
		if seen == n {
			return nil
		}
		return []workload.Msg{m}
	}
}

func repeat(n int) func(int, workload.Msg) []workload.Msg {
	return func(seen int, m workload.Msg) []workload.Msg {
		if seen == n {
			return []workload.Msg{m, m}
		}
		return []workload.Msg{m}
	}
}

// swap exchanges message n with the next one.
func swap(n int) func(int, workload.Msg) []workload.Msg {
	var held workload.Msg
	return func(seen int, m workload.Msg) []workload.Msg {
		switch seen {
		case n:
			held = m
			return nil
		case n + 1:
			return []workload.Msg{m, held}
		}
		return []workload.Msg{m}
	}
}

func (s *transport) Name() string { return "transport" }

// actor starts a goroutine that handles what mangle leaves of each message; it
// ends, and closes done, when the mailbox is closed.
func (s *transport) actor(handle func(workload.Msg)) (mailbox chan workload.Msg, done chan struct{}) {
	mailbox, done = make(chan workload.Msg, workload.InFlight), make(chan struct{})
	go func() {
		defer close(done)
		seen := 0
		for m := range mailbox {
			for _, arrived := range s.mangle(seen, m) {
				handle(arrived)
			}
			seen++
		}
	}()
	return mailbox, done
}

func (s *transport) Tell(t *workload.Tells) error {
	mailbox, done := s.actor(t.Receiver.Handle)
	err := t.Produce(func(p *workload.Producer) error {
		for p.Next() {
			mailbox <- p.Message()
		}
		return nil
	})
	if err == nil {
		close(mailbox)
		<-done
	}
	return err
}

func (s *transport) PingPong(t *workload.PingPongs) error {
	var mailboxes []chan workload.Msg
	var ends []chan struct{}
	built := make(chan struct{})
	side := func(p *workload.Player, peer int) {
		mailbox, done := s.actor(func(m workload.Msg) {
			<-built
			if reply, ok := p.Return(m); ok {
				mailboxes[peer] <- reply
			}
		})
		mailboxes, ends = append(mailboxes, mailbox), append(ends, done)
	}
	for i := range t.Pairs() {
		first, second := t.Players(i)
		side(first, 2*i+1)
		side(second, 2*i)
	}
	close(built)
	err := t.Play(func(pair int, ball workload.Msg) error {
		mailboxes[2*pair] <- ball
		return nil
	})
	if err != nil {
		return err
	}
	for i, mailbox := range mailboxes {
		close(mailbox)
		<-ends[i]
	}
	return nil
}

func (s *transport) Ask(t *workload.Asks) error {
	mailbox, done := s.actor(func(m workload.Msg) {
		answer := t.Answerer.Answer(m.From, m.N)
		if s.alter && m.N == 40 {
			answer++
		}
		m.Reply <- answer
	})
	err := t.Drive(func(a *workload.Asker) error {
		reply := make(chan uint64, 2)
		for a.Next() {
			mailbox <- workload.Msg{Kind: workload.Answer, From: a.From, N: a.N(), Reply: reply}
			a.Got(<-reply)
		}
		return nil
	})
	if err == nil {
		close(mailbox)
		<-done
	}
	return err
}

type residents struct {
	sys   *transport
	crowd *workload.Crowd
	seen  int
	all   []*workload.Resident
}

func (s *transport) Spawn(c *workload.Crowd) (workload.Residents, error) {
	return &residents{sys: s, crowd: c}, nil
}

func (r *residents) Grow(int) {}

func (r *residents) Spawn(n int) error {
	for range n {
		r.all = append(r.all, &workload.Resident{Crowd: r.crowd})
	}
	return nil
}

func (r *residents) Tell(m workload.Msg) error {
	for _, one := range r.all {
		for _, arrived := range r.sys.mangle(r.seen, m) {
			one.Greet(arrived)
		}
		r.seen++
	}
	return nil
}

func (r *residents) Stop() error  { r.all = nil; return nil }
func (r *residents) Close() error { return nil }

func (s *transport) Crash(t *workload.Crashes) error {
	victim := t.NewVictim()
	dead := false
	attempt := func(m workload.Msg) {
		defer func() {
			if recover() == nil {
				return
			}
			switch {
			case s.deaf:
				dead = true
			case !s.amnesia:
				victim = t.NewVictim()
			}
		}()
		if !dead {
			victim.Handle(m)
		}
	}
	mailbox, done := s.actor(attempt)
	err := t.Drive(func(m workload.Msg) error { mailbox <- m; return nil })
	close(mailbox)
	<-done
	return err
}

func limits(patience time.Duration) workload.Limits {
	l := workload.QuickLimits()
	l.For, l.Patience = 5*time.Millisecond, patience
	return l
}

func TestHonestSystemIsMeasured(t *testing.T) {
	t.Parallel()
	for _, name := range workload.Names() {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			res, err := workload.Run(name, &transport{mangle: honest}, limits(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if res.Ops == 0 || len(res.Values) == 0 {
				t.Errorf("nothing measured: %+v", res)
			}
			for metric, v := range res.Values {
				if v < 0 && name != workload.SpawnMemory {
					t.Errorf("%s = %v", metric, v)
				}
			}
		})
	}
}

// A figure of a system that loses, repeats, reorders or alters messages means
// nothing, so each such fault must turn into an error, and never into a hang.
func TestFaultySystemIsCaught(t *testing.T) {
	t.Parallel()
	const short = 100 * time.Millisecond
	for _, c := range []struct {
		name   string
		w      workload.Name
		system *transport
		want   string // part of the error
	}{
		{"loses one", workload.Tell1, &transport{mangle: lose(300)}, "were not handled"},
		{"loses the last of a batch", workload.Tell1, &transport{mangle: lose(511)}, "were not handled"},
		{"loses one of eight producers", workload.Tell8, &transport{mangle: lose(300)}, "were not handled"},
		{"repeats one", workload.Tell1, &transport{mangle: repeat(300)}, "message 300 where message 301 was due"},
		{"reorders two", workload.Tell1, &transport{mangle: swap(300)}, "from producer 0 came message 301 where message 300 was due"},
		{"loses a ball", workload.PingPong, &transport{mangle: lose(3)}, "lost their ball"},
		{"repeats a ball", workload.PingPong, &transport{mangle: repeat(3)}, "ball"},
		{"loses a request", workload.AskOne, &transport{mangle: lose(40)}, "waited"},
		{"handles a request twice", workload.AskMany, &transport{mangle: repeat(40)}, "expected, request"},
		{"answers wrongly", workload.AskOne, &transport{mangle: honest, alter: true}, "1 of them to another request"},
		{"one actor never hears", workload.SpawnRate, &transport{mangle: lose(1500)}, "actors handled their message"},
		{"one actor hears twice", workload.SpawnMemory, &transport{mangle: repeat(1500)}, "1 handled more"},
		{"does not restart", workload.CrashCycle, &transport{mangle: honest, deaf: true}, "was not handled"},
		{"restarts with the old behaviour", workload.CrashCycle, &transport{mangle: honest, amnesia: true}, "behaviours were made"},
		{"loses the message after a crash", workload.CrashCycle, &transport{mangle: lose(41)}, "was not handled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, err := workload.Run(c.w, c.system, limits(short))
			var count *workload.CountError
			if !errors.As(err, &count) {
				t.Fatalf("no count error: result %+v, error %v", res, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
			if count.System != "transport" || count.Workload != c.w {
				t.Errorf("the error names %s on %s", count.Workload, count.System)
			}
		})
	}
}

func TestUnknownWorkload(t *testing.T) {
	t.Parallel()
	_, err := workload.Run("L9", &transport{mangle: honest}, limits(time.Second))
	if err == nil || !strings.Contains(err.Error(), `"L9" does not exist`) {
		t.Errorf("error %v", err)
	}
}
