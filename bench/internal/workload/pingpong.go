package workload

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
)

// PingPongs is one run of the ping-pong workload: pairs of actors return one
// ball each, all pairs at once. A system starts two actors per pair, whose
// handlers pass every message to their [Player], and calls Play.
type PingPongs struct {
	limits  Limits
	players []*Player // of pair i: 2i and 2i+1
	stop    atomic.Bool
	playing atomic.Int64           // pairs whose ball is in the air
	over    chan struct{}          // the last ball of a phase has come down
	fault   atomic.Pointer[string] // the first violation
	ops     uint64
	cost    measure.Cost
}

// Player is one side of a pair. One goroutine at a time may use it.
type Player struct {
	run     *PingPongs
	expect  uint64 // the number the next ball must carry
	handled uint64
	_       [cacheLines - 24]byte
}

// Return is the handler's work: it gives the message to send to the other
// player, or false when play has ended.
func (p *Player) Return(m Msg) (Msg, bool) {
	if m.N != p.expect {
		p.dropped(m)
	}
	p.expect = m.N + 2
	p.handled++
	if p.run.stop.Load() {
		p.run.ended()
		return Msg{}, false
	}
	m.N++
	return m, true
}

func (p *Player) dropped(m Msg) {
	s := fmt.Sprintf("pair %d: ball %d expected, ball %d came", m.From, p.expect, m.N)
	p.run.fault.CompareAndSwap(nil, &s)
}

func (t *PingPongs) ended() {
	if t.playing.Add(-1) == 0 {
		t.over <- struct{}{}
	}
}

// Pairs is the number of pairs.
func (t *PingPongs) Pairs() int { return len(t.players) / 2 }

// Players are the two sides of pair i; the first one is served to.
func (t *PingPongs) Players(i int) (first, second *Player) {
	return t.players[2*i], t.players[2*i+1]
}

// Play has serve send the first ball of each pair to its first player, lets
// them play, and returns when all balls are down: warm-up first, then the
// measured phase.
func (t *PingPongs) Play(serve func(pair int, ball Msg) error) error {
	if _, err := t.phase(serve, t.limits.Warm); err != nil {
		return err
	}
	meter := measure.Start()
	elapsed, err := t.phase(serve, t.limits.For)
	if err != nil {
		return err
	}
	t.cost = meter.Stop()
	t.cost.Elapsed = elapsed
	for _, p := range t.players {
		t.ops += p.handled
	}
	return nil
}

func (t *PingPongs) phase(serve func(int, Msg) error, d time.Duration) (time.Duration, error) {
	for i, p := range t.players {
		p.expect, p.handled = uint64(i%2), 0
	}
	t.playing.Store(int64(t.Pairs()))
	t.stop.Store(false)
	began := time.Now()
	for i := range t.Pairs() {
		if err := serve(i, Msg{Kind: Count, From: uint32(i)}); err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Until(began.Add(d)))
	t.stop.Store(true)
	patience := time.NewTimer(t.limits.Patience)
	defer patience.Stop()
	select {
	case <-t.over:
	case <-patience.C:
		return 0, miscount("%d of %d pairs lost their ball", t.playing.Load(), t.Pairs())
	}
	elapsed := time.Since(began)
	if s := t.fault.Load(); s != nil {
		return 0, miscount("%s", *s)
	}
	return elapsed, nil
}

// check verifies, once every actor has ended, that both players of a pair
// handled every ball, the first one half of them and the odd one.
func (t *PingPongs) check() error {
	if s := t.fault.Load(); s != nil {
		return miscount("%s", *s)
	}
	for i := range t.Pairs() {
		a, b := t.Players(i)
		if a.handled != b.handled && a.handled != b.handled+1 {
			return miscount("pair %d: one player returned %d balls, the other %d", i, a.handled, b.handled)
		}
	}
	return nil
}

func runPingPong(sys System, limits Limits, res *Result) error {
	t := &PingPongs{limits: limits, over: make(chan struct{}, 1)}
	for range 2 * limits.Pairs {
		t.players = append(t.players, &Player{run: t})
	}
	if err := sys.PingPong(t); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	res.rate(t.ops, t.cost)
	return nil
}
