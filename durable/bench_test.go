package durable_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// BenchmarkTell measures durable tell → handled → acknowledged with fsync: the
// time ends when the queue is empty. Each sender waits for its commit before it
// tells the next.
func BenchmarkTell(b *testing.B) {
	for _, senders := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) { benchmarkTell(b, openSQLite(b), senders) })
	}
}

// payload makes a message of about 200 bytes.
type payload struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

func benchmarkTell(b *testing.B, s store.Store, senders int) {
	box, err := durable.NewMailbox(s, durable.MailboxSpec[payload]{Queue: "bench", Codec: wire.CBOR[payload]("bench.Payload")})
	if err != nil {
		b.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: discard})
	defer func() { _ = sys.Stop(context.Background()) }()
	done := make(chan struct{})
	var handled atomic.Int64
	n := int64(b.N)
	if _, err := durable.Spawn(sys, box, durable.Spec[payload]{New: func() durable.Behavior[payload] {
		return durable.BehaviorFunc[payload](func(ctx *durable.Context[payload], _ payload) error {
			ctx.Then(func() { // acknowledged
				if handled.Add(1) == n {
					close(done)
				}
			})
			return nil
		})
	}}); err != nil {
		b.Fatal(err)
	}
	text := fmt.Sprintf("%0180d", 7)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			ctx := durable.WithSender(context.Background(), fmt.Sprint("sender", i))
			for id := next.Add(1); id <= n; id = next.Add(1) {
				if err := box.Tell(ctx, payload{int(id), text}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	<-done
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}
