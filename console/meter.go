package console

import (
	"math"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// rateSpan is the time constant of rates, which are exponentially weighted
// means: what happened one span ago counts 1/e as much as what happens now.
const rateSpan = 3 * time.Second

// meter turns the counters of successive snapshots into rates, per actor id.
type meter struct {
	at     time.Time
	actors map[uint64]*measured
	round  uint64
}

// measured is what is remembered of one actor: its counters at the last
// snapshot, and their rates.
type measured struct {
	processed uint64
	busy      time.Duration
	rate      float64 // messages per second
	load      float64 // share of the time spent in handlers
	round     uint64  // of the last snapshot that held the actor
}

// sampled is an actor of a snapshot with its rates, and the sums over the
// actors below it and itself.
type sampled struct {
	info     actor.Info
	rate     float64
	load     float64
	total    Totals
	children []sampled
}

// Totals are sums over an actor and everything below it.
type Totals struct {
	Actors    int     `json:"actors"`
	Mailbox   int     `json:"mailbox"`   // messages waiting
	Processed uint64  `json:"processed"` // messages handled by the actors that live
	Rate      float64 `json:"rate"`      // messages handled per second
	Restarts  uint64  `json:"restarts"`  // of the actors that live
	Failures  uint64  `json:"failures"`  // of the actors that live
}

func (t *Totals) add(o Totals) {
	t.Actors += o.Actors
	t.Mailbox += o.Mailbox
	t.Processed += o.Processed
	t.Rate += o.Rate
	t.Restarts += o.Restarts
	t.Failures += o.Failures
}

// sample measures a tree. The first snapshot gives means since the system
// started; an actor that is new in a later one started after the one before.
func (m *meter) sample(root actor.Info, started, now time.Time) sampled {
	if m.actors == nil {
		m.actors = map[uint64]*measured{}
		m.at = started
	}
	step := now.Sub(m.at)
	m.at = now
	m.round++
	out := m.walk(root, step)
	// The root is the system itself; its counters are those of all actors that
	// ever lived.
	out.total.Actors--
	out.total.Restarts -= root.Restarts
	out.total.Failures -= root.Failures
	for id, a := range m.actors {
		if a.round != m.round {
			delete(m.actors, id)
		}
	}
	return out
}

func (m *meter) walk(info actor.Info, step time.Duration) sampled {
	a := m.measure(&info, step)
	s := sampled{info: info, rate: round3(a.rate), load: round3(a.load)}
	s.info.Children = nil
	s.total = Totals{Actors: 1, Mailbox: info.Mailbox, Processed: info.Processed, Rate: s.rate, Restarts: info.Restarts, Failures: info.Failures}
	if len(info.Children) > 0 {
		s.children = make([]sampled, len(info.Children))
	}
	for i, child := range info.Children {
		s.children[i] = m.walk(child, step)
		s.total.add(s.children[i].total)
	}
	s.total.Rate = round3(s.total.Rate)
	return s
}

func (m *meter) measure(info *actor.Info, step time.Duration) *measured {
	a := m.actors[info.ID]
	if a == nil {
		a = &measured{}
		m.actors[info.ID] = a
	}
	if step > 0 {
		keep := math.Exp(-step.Seconds() / rateSpan.Seconds())
		if m.round == 1 {
			keep = 0 // a mean over the whole life, not the end of a series
		}
		handled, busy := info.Processed-a.processed, info.BusyTime-a.busy
		if info.Processed < a.processed || info.BusyTime < a.busy {
			handled, busy = 0, 0
		}
		a.rate = a.rate*keep + float64(handled)/step.Seconds()*(1-keep)
		a.load = a.load*keep + min(1, busy.Seconds()/step.Seconds())*(1-keep)
	}
	a.processed, a.busy, a.round = info.Processed, info.BusyTime, m.round
	return a
}

// round3 keeps answers short; a thousandth of a message per second is nothing.
func round3(v float64) float64 { return math.Round(v*1000) / 1000 }
