package telemetry

import (
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// judgeActors applies the rules about actors and subtrees.
func (d *Detector) judgeActors(s *Sample, v *Verdict) {
	b := blame{d: d, v: v, s: s, cores: float64(max(1, s.Cores))}
	b.shares, b.rated = d.cpuShares(s)
	b.subtree(&s.Tree)
}

// blame finds out which actors to hold responsible.
type blame struct {
	d      *Detector
	v      *Verdict
	s      *Sample
	cores  float64
	shares map[uint64]float64 // of one processor, by actor
	rated  bool               // there are shares
}

// subtree judges an actor and all below it and returns what they use that nobody
// is blamed for yet.
func (b *blame) subtree(a *actor.Info) (memory, cpu float64) {
	memory = float64(a.Memory)
	for i := range a.Children {
		m, c := b.subtree(&a.Children[i])
		memory, cpu = memory+m, cpu+c
	}
	if b.judge(RuleMemory, a, memory, float64(b.d.limits.MemoryBytes)) {
		memory = 0
	}
	if !b.rated {
		return memory, 0
	}
	// An actor alone can use one processor, a subtree can use them all. Whichever
	// is closer to its limit counts.
	own := b.shares[a.ID]
	cpu += own
	value, limit := own, b.d.limits.CPU
	if cpu/b.cores > own && limit > 0 {
		value, limit = cpu, limit*b.cores
	}
	if b.judge(RuleCPU, a, value, limit) {
		cpu = 0
	}
	return memory, cpu
}

// judge reports whether the actor is held responsible for the figure.
func (b *blame) judge(rule Rule, a *actor.Info, value, limit float64) bool {
	key := conditionKey{rule: rule, id: a.ID}
	if value <= limit || limit < 0 { // as nearly always
		if _, going := b.d.conditions[key]; !going {
			return false
		}
	}
	alert := Alert{Rule: rule, Type: b.d.labels.of(a.Type), Path: a.Path, Value: value, Limit: limit}
	return b.d.judge(key, alert, judgement{
		at: b.s.At, samples: b.d.limits.Samples, calm: limit / 2,
		isolate: b.d.limits.mayIsolate(a.Path), released: a.State == actor.StateRunning,
	}, b.v)
}

// cpuShares estimates which share of one processor each actor used since the
// last sample. It reports false if there was none.
func (d *Detector) cpuShares(s *Sample) (map[uint64]float64, bool) {
	first, elapsed := d.lastAt.IsZero(), s.At.Sub(d.lastAt)
	now := d.spare
	clear(now)
	shares := map[uint64]float64{}
	total := 0.0
	var walk func(a *actor.Info)
	walk = func(a *actor.Info) {
		if a.Busy || a.BusyTime > 0 { // most actors of a large tree have not been used
			u := usage{busy: a.Busy, processed: a.Processed, time: a.BusyTime}
			now[a.ID] = u
			if spent := u.since(d.usage[a.ID], elapsed); spent > 0 && !first {
				shares[a.ID] = float64(spent) / float64(elapsed)
				total += shares[a.ID]
			}
		}
		for i := range a.Children {
			walk(&a.Children[i])
		}
	}
	walk(&s.Tree)
	d.usage, d.spare = now, d.usage
	if first {
		return nil, false
	}
	if s.CPU >= 0 && d.lastCPU >= 0 {
		used := max(0, float64(s.CPU-d.lastCPU)/float64(elapsed))
		if used < total {
			for id := range shares {
				shares[id] *= used / total
			}
		}
	}
	return shares, true
}

// since is the time spent in handlers since an earlier sample: at most what has
// elapsed, and all of it for a handler that ran at both and has not returned.
func (u usage) since(earlier usage, elapsed time.Duration) time.Duration {
	if u.busy && earlier.busy && u.processed == earlier.processed {
		return elapsed
	}
	return min(u.time-earlier.time, elapsed)
}
