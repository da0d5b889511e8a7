package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// DisruptOptions say how [Disrupt] is done.
type DisruptOptions struct {
	Store  store.Store
	Rounds int              // how often it is disrupted; default 10. STORETEST_ROUNDS goes before it
	Hold   time.Duration    // of messages; default 2 s
	Passes func(error) bool // whether an error says that nothing was applied, and goes by
	Do     func(round int)  // the disruption: it returns when the store's engine, or disk, is there again
}

// Disrupt works on a store with many producers and consumers of one queue, and
// disrupts its engine again and again while they work: a server is killed, its
// connections are cut, its disk is full. Whoever meets an error that passes tries
// again. Afterwards it checks what [Kill] checks: what was acknowledged is there
// and was applied once, every message was handled, its effect happened once and
// in order, nothing is held for ever.
func Disrupt(t *testing.T, o DisruptOptions) {
	t.Helper()
	o.Rounds = rounds(t, o.Rounds)
	if o.Hold == 0 {
		o.Hold = 2 * time.Second
	}
	d := &disrupted{o: o, rnd: seeded(t), progress: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	failed := make(chan error, killProducers+killConsumers)
	for i := range killProducers {
		workers.Go(func() { failed <- d.produce(ctx, i) })
	}
	for range killConsumers {
		seed := d.rnd.Uint64()
		workers.Go(func() { failed <- d.consume(ctx, seed, func() bool { return false }) })
	}
	var broken error
	for round := 0; round < o.Rounds && broken == nil; round++ {
		if broken = d.awaitProgress(failed, int64(5+d.rnd.IntN(100))); broken == nil {
			o.Do(round)
		}
	}
	if broken == nil {
		broken = d.awaitProgress(failed, 20)
	}
	cancel()
	workers.Wait()
	close(failed)
	for err := range failed {
		broken = errors.Join(broken, err)
	}
	if broken != nil {
		t.Fatal(broken)
	}
	d.verify(t)
}

// disrupted is a store whose engine is disrupted.
type disrupted struct {
	o        DisruptOptions
	rnd      *rand.Rand
	acked    [killProducers]atomic.Int64
	all      atomic.Int64
	errors   atomic.Uint64
	progress chan struct{} // has room for one
}

// awaitProgress waits until n more batches have been acknowledged, by a minute at
// most.
func (d *disrupted) awaitProgress(failed <-chan error, n int64) error {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for goal := d.all.Load() + n; d.all.Load() < goal; {
		select {
		case <-d.progress:
		case err := <-failed:
			return fmt.Errorf("a worker has ended: %w", err)
		case <-limit.C:
			return fmt.Errorf("no progress for a minute after %d batches and %d errors", d.all.Load(), d.errors.Load())
		}
	}
	return nil
}

// commit commits a batch until that is decided. A batch that is refused after an
// attempt of unknown outcome was applied by that.
func (d *disrupted) commit(b *store.Batch) error {
	unknown := false
	for {
		_, err := d.o.Store.Commit(context.Background(), b)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrOutcomeUnknown):
			unknown = true
			d.errors.Add(1)
		case unknown && (errors.Is(err, store.ErrWrongPosition) || errors.Is(err, store.ErrReceiptLost)):
			return nil
		case d.o.Passes(err):
			d.errors.Add(1)
		default:
			return err
		}
	}
}

func (d *disrupted) produce(ctx context.Context, producer int) error {
	for n := store.Position(1); ctx.Err() == nil; n++ {
		data := strconv.AppendInt(nil, int64(n), 10)
		err := d.commit(&store.Batch{
			Appends: []store.Append{{Stream: killStream("sent", producer), Expected: n - 1, Events: []store.Event{{Data: data}}}},
			Puts:    []store.Put{{Queue: "work", Key: strconv.Itoa(producer), Envelope: store.Envelope{Data: data}}},
		})
		if err != nil {
			return fmt.Errorf("producer %d at %d: %w", producer, n, err)
		}
		d.acked[producer].Store(int64(n))
		d.all.Add(1)
		select {
		case d.progress <- struct{}{}:
		default:
		}
	}
	return nil
}

// consume handles messages until ctx ends or stop says so. That somebody else has a
// message is no error here: a server may forget in a crash that it gave it out, and
// take longer to come back than it was held. Its receipt is lost then, or what it
// does is done.
func (d *disrupted) consume(ctx context.Context, seed uint64, stop func() bool) error {
	rnd := rand.New(rand.NewPCG(seed, 3))
	for !stop() {
		got, err := store.Receive(ctx, d.o.Store, store.ReceiveRequest{Queue: "work", Max: 1 + rnd.IntN(8), Hold: d.o.Hold, Ordered: true})
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end that was asked for
		case err != nil && (d.o.Passes(err) || errors.Is(err, store.ErrOutcomeUnknown)):
			d.errors.Add(1)
			continue
		case err != nil:
			return err
		}
		for _, m := range got {
			b, err := effect(m)
			if err == nil {
				err = d.commit(b)
			}
			if errors.Is(err, store.ErrReceiptLost) || errors.Is(err, store.ErrWrongPosition) {
				break // what comes behind it may not be handled before it
			}
			if err != nil {
				return fmt.Errorf("message %d of producer %s: %w", m.ID, m.Key, err)
			}
		}
	}
	return nil
}

// verify handles what is left and checks everything.
func (d *disrupted) verify(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := d.consume(ctx, 1, func() bool { return leftIn(ctx, t, d.o.Store) == 0 }); err != nil || ctx.Err() != nil {
		t.Fatalf("handling what is left: %v, %v", err, ctx.Err())
	}
	acked := make([]store.Position, killProducers)
	for i := range acked {
		acked[i] = store.Position(d.acked[i].Load())
	}
	total := verifyStreams(ctx, t, d.o.Store, acked)
	t.Logf("%d batches were acknowledged through %d disruptions, with %d errors that passed", total, d.o.Rounds, d.errors.Load())
}
