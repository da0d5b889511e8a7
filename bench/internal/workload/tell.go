package workload

import (
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
)

// InFlight is the most messages that are ever sent and not yet handled in a
// tell workload, over all producers. Systems with a bounded mailbox give it
// this capacity.
const InFlight = 4096

// batch is the number of messages one credit lets a producer send. Credits
// keep the bound at one channel operation in 512 messages, the same for every
// system. Each of eight producers can hold one; a plain channel is as fast with
// them as when its own capacity is the bound, and 15 % slower with 256.
const batch = 512

// Tells is one run of a tell workload. A system starts one receiver that
// passes every message to Receiver.Handle, and calls Produce.
type Tells struct {
	Receiver *Receiver

	limits    Limits
	producers []*Producer
	credits   chan struct{}
	abort     chan struct{} // closed when the run is given up
	end       time.Time     // of the phase, set before its producers start
	ops       uint64
	cost      measure.Cost
}

// Receiver counts messages and checks their order per producer. Handle must be
// called by one goroutine at a time.
type Receiver struct {
	next    []uint64 // per producer: the number its next message must carry
	handled uint64
	fault   string // the first violation
	credits chan<- struct{}
}

// Handle is the handler's work on a message.
func (r *Receiver) Handle(m Msg) {
	if r.next[m.From] != m.N {
		r.outOfOrder(m)
	}
	r.next[m.From] = m.N + 1
	r.handled++
	if r.handled%batch == 0 {
		r.giveCredit()
	}
}

func (r *Receiver) outOfOrder(m Msg) {
	if r.fault == "" {
		r.fault = fmt.Sprintf("from producer %d came message %d where message %d was due", m.From, m.N, r.next[m.From])
	}
}

// giveCredit drops a credit that nobody missed: only a system that repeats
// messages has one, and the count at the end tells.
func (r *Receiver) giveCredit() {
	select {
	case r.credits <- struct{}{}:
	default:
	}
}

// Producer numbers the messages of one sending goroutine and holds it to the
// bound. Its loop is: for p.Next() { send(p.Message()) }.
type Producer struct {
	run  *Tells
	n    uint64 // messages made
	left int    // messages it may send before it needs another credit
	from uint32
	some bool // has sent a batch in this phase
	_    [cacheLines - 32]byte
}

// Next waits until one more message may be sent; false ends the producer,
// after one batch at least.
func (p *Producer) Next() bool {
	if p.left == 0 && !p.refill() {
		return false
	}
	p.left--
	return true
}

// Message is the next message to send. Call it once for each true of Next.
func (p *Producer) Message() Msg {
	n := p.n
	p.n++
	return Msg{Kind: Count, From: p.from, N: n}
}

func (p *Producer) refill() bool {
	if p.some && time.Now().After(p.run.end) {
		return false
	}
	p.some = true
	select {
	case <-p.run.credits:
		p.left = batch
		return true
	case <-p.run.abort:
		return false
	}
}

func newTells(limits Limits, producers int) *Tells {
	credits := make(chan struct{}, InFlight/batch)
	t := &Tells{limits: limits, credits: credits, abort: make(chan struct{})}
	t.Receiver = &Receiver{next: make([]uint64, producers), credits: credits}
	for i := range producers {
		t.producers = append(t.producers, &Producer{run: t, from: uint32(i)})
	}
	for range cap(credits) {
		credits <- struct{}{}
	}
	return t
}

// Produce runs loop once per producer and phase, each on its own goroutine,
// and returns when every message has been handled: warm-up first, then the
// measured phase.
func (t *Tells) Produce(loop func(*Producer) error) error {
	if _, err := t.phase(loop, t.limits.Warm); err != nil {
		return err
	}
	before := t.sent()
	meter := measure.Start()
	done, err := t.phase(loop, t.limits.For)
	if err != nil {
		return err
	}
	t.cost = meter.Stop()
	t.cost.Elapsed = done
	t.ops = t.sent() - before
	return nil
}

func (t *Tells) phase(loop func(*Producer) error, d time.Duration) (time.Duration, error) {
	began := time.Now()
	t.end = began.Add(d)
	patience := time.AfterFunc(d+t.limits.Patience, func() { close(t.abort) })
	defer patience.Stop()

	errs := make(chan error, len(t.producers))
	for _, p := range t.producers {
		p.some = false
		go func() { errs <- loop(p) }()
	}
	for range t.producers {
		select {
		case err := <-errs:
			if err != nil {
				return 0, err
			}
		case <-t.abort:
			return 0, miscount("no room for another batch within %v: messages sent were never handled", d+t.limits.Patience)
		}
	}
	// Every producer stops on a whole batch, so all credits are back exactly
	// when all messages are handled.
	for i := range cap(t.credits) {
		select {
		case <-t.credits:
		case <-t.abort:
			return 0, miscount("%d of %d batches of %d messages were not handled within %v",
				cap(t.credits)-i, cap(t.credits), batch, d+t.limits.Patience)
		}
	}
	elapsed := time.Since(began)
	for range cap(t.credits) {
		t.credits <- struct{}{}
	}
	return elapsed, nil
}

func (t *Tells) sent() (n uint64) {
	for _, p := range t.producers {
		n += p.n
	}
	return n
}

// check compares what was sent with what arrived, once the receiver has ended.
func (t *Tells) check() error {
	if t.Receiver.fault != "" {
		return miscount("%s", t.Receiver.fault)
	}
	if sent := t.sent(); t.Receiver.handled != sent {
		return miscount("%d messages sent, %d handled", sent, t.Receiver.handled)
	}
	for i, p := range t.producers {
		if t.Receiver.next[i] != p.n {
			return miscount("producer %d sent %d messages, of which %d were handled", i, p.n, t.Receiver.next[i])
		}
	}
	return nil
}

func runTell(sys System, limits Limits, producers int, res *Result) error {
	t := newTells(limits, producers)
	if err := sys.Tell(t); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	res.rate(t.ops, t.cost)
	return nil
}

// rate fills in what every throughput workload reports.
func (res *Result) rate(ops uint64, cost measure.Cost) {
	res.Ops, res.Seconds = ops, cost.Elapsed.Seconds()
	res.Values[PerSecond] = float64(ops) / cost.Elapsed.Seconds()
	res.Values[AllocsPerOp] = float64(cost.Allocs) / float64(ops)
	res.Values[BytesPerOp] = float64(cost.Bytes) / float64(ops)
}
