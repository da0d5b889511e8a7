package durable_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// simulationRuns is the variable that says how many seeds to run.
const simulationRuns = "TROUPE_SIMULATION_RUNS"

// TestSimulation runs two processes on one store in virtual time. Senders tell
// notes, some of them twice, to a mailbox, whose behaviour sends them on to
// entities, which record each as an event and send it on again. An asker changes
// an entity and reads it. Commits fail before or after they are applied, are slow,
// reads fail, the store is away for a while, handlers fail, take too long, or give
// a note up, which is then redriven; processes die and come back.
//
// Req F9, F10, decisions 8f and 9: what was told is recorded once, in order but for
// what was redriven, by whichever process has the lease; each record has one
// output; each request has one answer, which knows what was answered before.
func TestSimulation(t *testing.T) {
	runs := 40
	if n, err := strconv.Atoi(os.Getenv(simulationRuns)); err == nil {
		runs = n
	}
	actortest.ExploreWith(t, actor.Options{Logger: discard}, runs, func(t *testing.T, sys *actor.System, random *rand.Rand) {
		s := newSimulation(t, sys, random, nil)
		s.run()
		for _, wrong := range s.verify() {
			t.Error(wrong)
		}
	})
}

// simulation is one run.
type simulation struct {
	t       *testing.T
	sys     *actor.System
	store   *memory
	breaks  func(*store.Batch) []*store.Batch // of a mutant: the commits that it makes of one
	inTurns bool                              // the store is a Submitter
	calm    atomic.Bool                       // no more faults
	started int

	mu      sync.Mutex
	random  *rand.Rand
	away    time.Time // until then the store can't be reached
	answers []string  // that were wrong

	processes []*process
}

const (
	simSenders = 4 // the last of them sends what is given up now and then
	simEach    = 20
	simAsks    = 15
)

func newSimulation(t *testing.T, sys *actor.System, random *rand.Rand, breaks func(*store.Batch) []*store.Batch) *simulation {
	s := &simulation{t: t, sys: sys, store: newMemory(), random: random, breaks: breaks}
	s.inTurns = s.intN(2) == 0
	s.store.beforeCommit = func(*store.Batch) error {
		if s.chance(40) {
			return store.ErrDiskFull
		}
		return nil
	}
	s.store.afterCommit = func(*store.Batch) error {
		if s.chance(30) {
			return store.ErrOutcomeUnknown
		}
		return nil
	}
	s.store.beforeReceive = func() error {
		if s.chance(40) {
			return store.ErrDamaged
		}
		return nil
	}
	return s
}

// chance is true once in n times, until the simulation is calm.
func (s *simulation) chance(n int) bool { return !s.calm.Load() && s.intN(n) == 0 }

func (s *simulation) intN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *simulation) seconds(n int) time.Duration {
	return time.Duration(s.intN(n*1000)) * time.Millisecond
}

// process is a store as one process sees it, until the process dies.
type process struct {
	store.Store
	of   *simulation
	dead atomic.Bool
	stop []func(context.Context) error
	in   *durable.Mailbox[note]
	asks *durable.Mailbox[note] // of the entity of the asker
}

// turns is a process whose store is a [store.Submitter].
type turns struct{ *process }

func (p turns) Submit(b *store.Batch) (wait func() (store.Result, error)) {
	slow := p.of.chance(10)
	r, err := p.commit(b)
	return func() (store.Result, error) {
		if slow {
			p.of.pause(3)
		}
		return r, err
	}
}

// pause runs in synctest.
func (s *simulation) pause(seconds int) { time.Sleep(s.seconds(seconds)) }

var errAway = fault.New(fault.Unavailable, "store", "the store is away")

// gate fails what can't reach the store.
func (p *process) gate() error {
	if p.dead.Load() {
		return store.ErrClosed
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if time.Now().Before(p.of.away) {
		return errAway
	}
	return nil
}

func (p *process) commit(b *store.Batch) (r store.Result, err error) {
	if err := p.gate(); err != nil {
		return r, err
	}
	if p.of.breaks != nil {
		return (&mutant{p.Store, p.of.breaks}).Commit(context.Background(), b)
	}
	return p.Store.Commit(context.Background(), b)
}

func (p *process) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if p.of.chance(10) {
		p.of.pause(3)
	}
	r, err := p.commit(b)
	if p.of.chance(10) {
		p.of.pause(3)
	}
	return r, err
}

func (p *process) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	if err := p.gate(); err != nil {
		return nil, err
	}
	return p.Store.Receive(ctx, r)
}

func (p *process) Extend(ctx context.Context, d time.Duration, all ...store.Receipt) error {
	if err := p.gate(); err != nil {
		return err
	}
	return p.Store.Extend(ctx, d, all...)
}

func (p *process) Read(ctx context.Context, name store.Stream, from store.Position) iter.Seq2[store.Event, error] {
	if err := p.gate(); err != nil {
		return func(yield func(store.Event, error) bool) { yield(store.Event{}, err) }
	}
	return p.Store.Read(ctx, name, from)
}

func (p *process) Acquire(ctx context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	if err := p.gate(); err != nil {
		return store.Lease{}, err
	}
	return p.Store.Acquire(ctx, name, owner, ttl)
}

func (p *process) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := p.gate(); err != nil {
		return l, err
	}
	return p.Store.Renew(ctx, l, ttl)
}

func (p *process) Release(ctx context.Context, l store.Lease) error {
	if err := p.gate(); err != nil {
		return err
	}
	return p.Store.Release(ctx, l)
}

// start starts a process.
func (s *simulation) start(name string) *process {
	p := &process{Store: s.store, of: s}
	var seen store.Store = p
	if s.inTurns {
		seen = turns{p}
	}
	box := func(q store.Queue) *durable.Mailbox[note] {
		b, err := durable.NewMailbox(seen, durable.MailboxSpec[note]{Queue: q, Codec: noteType})
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	out := box("out")
	p.in = box("in")
	s.started++
	options := func(kind string) durable.Options {
		return durable.Options{
			Name: fmt.Sprint(name, s.started, kind), Owner: name, Hold: 10 * time.Second, Backoff: actor.Backoff{Jitter: -1},
			Retry: retry.Policy{Max: 100, Initial: 10 * time.Millisecond, Cap: time.Second},
		}
	}
	counters, err := durable.SpawnEntities(s.sys, seen, durable.EntitySpec[note, note]{
		Kind: "count", New: func(string) durable.Entity[note, note] { return &simCounter{s: s, out: out} }, TTL: 5 * time.Second,
		Commands: noteType, Events: noteType, SnapshotEvery: 7, Idle: 3 * time.Second, Options: options("entities"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if p.asks, err = counters.Mailbox("asks"); err != nil {
		s.t.Fatal(err)
	}
	ref, err := durable.Spawn(s.sys, p.in, durable.Spec[note]{Options: options("in"), New: behave(func(ctx *durable.Context[note], n note) error {
		if err := s.trouble(n); err != nil {
			return err
		}
		to, err := counters.Mailbox(n.From)
		if err != nil {
			return err
		}
		return durable.Emit(ctx, to, n)
	})})
	if err != nil {
		s.t.Fatal(err)
	}
	p.stop = []func(context.Context) error{counters.Stop, ref.Stop}
	return p
}

// trouble is what a handler has with a note. It runs in synctest.
func (s *simulation) trouble(n note) error {
	if s.chance(10) {
		s.pause(15) // some outlive their hold or their lease
	}
	switch {
	case s.chance(20):
		return errors.New("not this time")
	case s.chance(40):
		panic("not this time")
	case s.risky(n.From) && s.chance(6):
		return retry.Permanent(errors.New("not before it is mended"))
	}
	return nil
}

func (s *simulation) risky(sender string) bool { return sender == strconv.Itoa(simSenders-1) }

// die ends a process as a crash does: nothing of it reaches the store any more.
func (p *process) die() {
	p.dead.Store(true)
	for _, stop := range p.stop {
		_ = stop(context.Background())
	}
}

// simCounter records the notes of one sender; those of number 0 only ask.
type simCounter struct {
	s    *simulation
	out  *durable.Mailbox[note]
	last int
}

func (c *simCounter) Decide(ctx *durable.Context[note], n note) ([]note, error) {
	if err := c.s.trouble(n); err != nil {
		return nil, err
	}
	if n.N == 0 {
		return nil, durable.Answer(ctx, noteType, note{N: c.last})
	}
	if err := durable.Answer(ctx, noteType, n); err != nil {
		return nil, err
	}
	return []note{n}, durable.Emit(ctx, c.out, n)
}

func (c *simCounter) Apply(n note) { c.last = n.N }

func (c *simCounter) Snapshot() (wire.Message, error) { return noteType.Encode(note{N: c.last}) }

func (c *simCounter) Restore(m wire.Message) error {
	n, err := noteType.Decode(m)
	c.last = n.N
	return err
}

// run runs in synctest.
func (s *simulation) run() {
	s.processes = []*process{s.start("a"), s.start("b")}
	var wg sync.WaitGroup
	for i := range simSenders {
		wg.Go(func() { s.send(strconv.Itoa(i)) })
	}
	wg.Go(s.ask)
	redriven := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(redriven)
		s.redrive(ctx)
	}()
	for range 6 {
		time.Sleep(s.seconds(8))
		if s.chance(3) {
			s.mu.Lock()
			s.away = time.Now().Add(time.Duration(s.random.IntN(12)) * time.Second)
			s.mu.Unlock()
			continue
		}
		i := s.intN(len(s.processes))
		fresh := s.start([]string{"a", "b"}[i])
		s.mu.Lock()
		p := s.processes[i]
		s.processes[i] = fresh
		s.mu.Unlock()
		p.die()
	}
	wg.Wait()
	s.calm.Store(true)
	time.Sleep(15 * time.Minute) // all is retried, redriven and worked off
	cancel()
	<-redriven
	for _, p := range s.processes {
		for _, stop := range p.stop {
			if err := stop(s.t.Context()); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// any returns one of the processes.
func (s *simulation) any() *process {
	i := s.intN(len(s.processes))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[i]
}

// send runs in synctest.
func (s *simulation) send(from string) {
	for n := 1; n <= simEach; {
		post := durable.Post[note]{Message: note{from, n}, Sender: from, RequestID: fmt.Sprint(from, "/", n)}
		if from == "0" || from == "1" {
			post = durable.Post[note]{Message: note{from, n}, Origin: durable.Origin{Producer: store.Producer(from), Seq: uint64(n)}}
		}
		if _, err := s.any().in.Send(s.t.Context(), post); err == nil && !s.chance(10) {
			n++
		}
		s.pause(2)
	}
}

// ask changes an entity and reads it, in turns. It runs in synctest.
func (s *simulation) ask() {
	for n := 1; n <= simAsks; n++ {
		for _, number := range []int{n, 0} {
			var got note
			for tries := 0; ; tries++ {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				post := durable.Post[note]{Message: note{"asks", number}, Sender: "asks", RequestID: fmt.Sprint(n, "/", number)}
				var failed error
				got, failed = durable.Ask(ctx, s.any().asks, noteType, post)
				cancel()
				if failed == nil {
					break
				}
				if tries == 1000 {
					s.wrong("ask %d/%d: %v", n, number, failed)
					return
				}
				s.pause(3)
			}
			if got.N != n {
				s.wrong("ask %d/%d: the answer is %d", n, number, got.N)
			}
		}
		s.pause(3)
	}
}

func (s *simulation) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, fmt.Sprintf(format, args...))
}

// redrive brings dead letters back, now and then. It runs in synctest.
func (s *simulation) redrive(ctx context.Context) {
	letters := durable.NewLetters(&process{Store: s.store, of: s}, nil)
	for ctx.Err() == nil {
		s.pause(20)
		_, _ = letters.Redrive(ctx, durable.Redrive{FailShare: 1, Wave: 1 + s.intN(4), Settle: 5 * time.Second}) // the faults are not its own
	}
}

// verify returns what is not as it should be.
func (s *simulation) verify() (wrong []string) {
	wrong = s.answers
	outputs := map[string][]int{}
	all, _ := s.store.Messages(context.Background(), store.MessageFilter{Queue: "out"})
	for _, m := range all {
		outputs[m.Key] = append(outputs[m.Key], s.number(m.Data))
	}
	each := map[string]int{"asks": simAsks}
	for i := range simSenders {
		each[strconv.Itoa(i)] = simEach
	}
	for _, from := range slices.Sorted(maps.Keys(each)) {
		var want []int
		for n := range each[from] {
			want = append(want, n+1)
		}
		name := store.Stream("count/" + from)
		var events []int
		for e, err := range s.store.Read(context.Background(), name, 0) {
			if err != nil {
				wrong = append(wrong, err.Error())
				continue
			}
			events = append(events, s.number(e.Data))
		}
		sent := outputs[string(name)]
		if !slices.Equal(events, sent) {
			wrong = append(wrong, fmt.Sprintf("sender %s: recorded %v, sent on %v", from, events, sent))
		}
		if s.risky(from) {
			slices.Sort(events)
		}
		if !slices.Equal(events, want) {
			wrong = append(wrong, fmt.Sprintf("sender %s: recorded %v", from, events))
		}
	}
	for q, left := range s.store.queues {
		if q != "out" && len(left) > 0 {
			wrong = append(wrong, fmt.Sprintf("queue %s: %d messages are left, the first %+v", q, len(left), left[0].Message))
		}
	}
	if len(s.store.letters) > 0 {
		wrong = append(wrong, fmt.Sprintf("letters %v", s.store.letters))
	}
	return wrong
}

func (s *simulation) number(data []byte) int {
	n, err := decodeNote(data)
	if err != nil {
		s.wrong("%v", err)
	}
	return n.N
}
