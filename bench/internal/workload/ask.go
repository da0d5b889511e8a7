package workload

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
)

// lap is the number of asks timed together. One reading of the clock costs
// about as much as the quickest ask, so an ask's latency is the mean of 16 in
// a row, and a quantile is one of those means.
const lap = 16

// Asks is one run of an ask workload. A system starts one actor that answers
// each request with Answerer.Answer, and calls Drive.
type Asks struct {
	Answerer *Answerer

	limits Limits
	ctx    context.Context
	askers []*Asker
	base   time.Time
	end    time.Duration // of the phase, since base
	ops    uint64
	cost   measure.Cost
}

// Answerer is the target's work. One goroutine at a time may use it.
type Answerer struct {
	next    []uint64 // per asker: the number its next request must carry
	handled uint64
	fault   string
}

// Answer is the answer to request n of asker from.
func (a *Answerer) Answer(from uint32, n uint64) uint64 {
	if a.next[from] != n {
		a.outOfOrder(from, n)
	}
	a.next[from] = n + 1
	a.handled++
	return 2*n + 1
}

func (a *Answerer) outOfOrder(from uint32, n uint64) {
	if a.fault == "" {
		a.fault = fmt.Sprintf("request %d of asker %d expected, request %d came", a.next[from], from, n)
	}
}

// Asker is one asking goroutine. Its loop is: for a.Next() { a.Got(ask(a.From,
// a.N())) }.
type Asker struct {
	From uint32 // its number

	n       uint64 // requests made
	got     uint64 // answers
	wrong   uint64 // answers that belong to another request
	run     *Asks
	began   time.Duration // of the current lap, since base
	latency measure.Histogram
}

// Next starts the next request; false ends the asker, after one lap at least.
func (a *Asker) Next() bool {
	if a.n%lap == 0 && !a.lap() {
		return false
	}
	a.n++
	return true
}

// N is the number of the request that Next started.
func (a *Asker) N() uint64 { return a.n - 1 }

// Got checks the answer to the request that Next started.
func (a *Asker) Got(answer uint64) {
	a.got++
	if answer != 2*a.n-1 {
		a.wrong++
	}
}

func (a *Asker) lap() bool {
	now := time.Since(a.run.base)
	first := a.began == 0
	if !first {
		a.latency.Record(now - a.began)
	}
	a.began = now
	return first || now < a.run.end
}

// Context is what every ask is made under: the background, or one context for
// the whole run whose deadline never comes. Making a context for each ask would
// measure package context.
func (t *Asks) Context() context.Context { return t.ctx }

// Askers is the number of asking goroutines.
func (t *Asks) Askers() int { return len(t.askers) }

// Drive runs loop once per asker and phase, each on its own goroutine:
// warm-up first, then the measured phase.
func (t *Asks) Drive(loop func(*Asker) error) error {
	if _, err := t.phase(loop, t.limits.Warm); err != nil {
		return err
	}
	before := t.sent()
	meter := measure.Start()
	elapsed, err := t.phase(loop, t.limits.For)
	if err != nil {
		return err
	}
	t.cost = meter.Stop()
	t.cost.Elapsed = elapsed
	t.ops = t.sent() - before
	return nil
}

func (t *Asks) phase(loop func(*Asker) error, d time.Duration) (time.Duration, error) {
	for _, a := range t.askers {
		a.latency.Reset()
		a.began = 0
	}
	began := time.Now()
	t.end = time.Since(t.base) + d
	errs := make(chan error, len(t.askers))
	for _, a := range t.askers {
		go func() { errs <- loop(a) }()
	}
	patience := time.NewTimer(d + t.limits.Patience)
	defer patience.Stop()
	for range t.askers {
		select {
		case err := <-errs:
			if err != nil {
				return 0, err
			}
		case <-patience.C:
			return 0, miscount("an asker has waited more than %v for an answer", t.limits.Patience)
		}
	}
	return time.Since(began), nil
}

func (t *Asks) sent() (n uint64) {
	for _, a := range t.askers {
		n += a.n
	}
	return n
}

func (t *Asks) check() error {
	if t.Answerer.fault != "" {
		return miscount("%s", t.Answerer.fault)
	}
	for _, a := range t.askers {
		if a.wrong > 0 || a.got != a.n {
			return miscount("asker %d made %d requests and got %d answers, %d of them to another request",
				a.From, a.n, a.got, a.wrong)
		}
	}
	if sent := t.sent(); t.Answerer.handled != sent {
		return miscount("%d requests made, %d handled", sent, t.Answerer.handled)
	}
	return nil
}

func runAsk(sys System, limits Limits, askers int, deadline bool, res *Result) error {
	t := &Asks{limits: limits, ctx: context.Background(), base: time.Now()}
	if deadline {
		ctx, cancel := context.WithTimeout(t.ctx, limits.Warm+limits.For+limits.Patience+time.Minute)
		defer cancel()
		t.ctx = ctx
	}
	t.Answerer = &Answerer{next: make([]uint64, askers)}
	for i := range askers {
		t.askers = append(t.askers, &Asker{From: uint32(i), run: t})
	}
	if err := sys.Ask(t); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	res.rate(t.ops, t.cost)
	var all measure.Histogram
	for _, a := range t.askers {
		all.Merge(&a.latency)
	}
	res.Values[P50] = all.Quantile(0.50) / lap
	res.Values[P99] = all.Quantile(0.99) / lap
	return nil
}
