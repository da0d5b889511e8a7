package durable_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
	"github.com/troupe-dev/troupe/wire"
)

// BenchmarkTell measures durable tell → handled → acknowledged with fsync: the
// time ends when the queue is empty. Each sender waits for its commit before it
// tells the next.
func BenchmarkTell(b *testing.B) {
	for _, senders := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) { benchmarkTell(b, openSQLite(b), senders, nil) })
	}
}

// BenchmarkTellPostgreSQL is the same on a private server, with fsync.
func BenchmarkTellPostgreSQL(b *testing.B) {
	for _, senders := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint("senders=", senders), func(b *testing.B) {
			s, err := postgres.Open(b.Context(), postgrestest.Start(b), postgres.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			benchmarkTell(b, s, senders, nil)
		})
	}
}

// BenchmarkTellWith is what priorities, request ids and numbers cost, at 256
// senders.
func BenchmarkTellWith(b *testing.B) {
	for _, with := range []struct {
		name string
		post func(sender string, id int, p *durable.Post[payload])
	}{
		{"nothing", nil},
		{"priorities", func(_ string, id int, p *durable.Post[payload]) { p.Priority = store.Priority(id % 2) }},
		{"requests", func(_ string, id int, p *durable.Post[payload]) { p.RequestID = strconv.Itoa(id) }},
		{"numbers", func(sender string, id int, p *durable.Post[payload]) {
			p.Origin = durable.Origin{Producer: store.Producer(sender), Seq: uint64(id)}
		}},
	} {
		b.Run(with.name, func(b *testing.B) { benchmarkTell(b, openSQLite(b), 256, with.post) })
	}
}

// BenchmarkRecovery is how long an entity of 1,000,000 events of about 30 bytes
// takes to its first answer, without a snapshot.
func BenchmarkRecovery(b *testing.B) {
	const total, each = 1_000_000, 5000
	s := openSQLite(b)
	m, err := wire.CBOR[payload]("bench.Payload").Encode(payload{1, "0123456789"})
	if err != nil {
		b.Fatal(err)
	}
	events := make([]store.Event, each)
	for i := range events {
		events[i] = store.Event{Type: m.Codec + ":" + m.Type, Data: m.Data}
	}
	for range total / each {
		if _, err := s.Commit(b.Context(), &store.Batch{Appends: []store.Append{{Stream: "sum/a", Expected: store.Any, Events: events}}}); err != nil {
			b.Fatal(err)
		}
	}
	count := wire.CBOR[int]("bench.Count")
	for b.Loop() {
		sys := actor.NewSystem(actor.Options{Logger: discard})
		sums, err := durable.SpawnEntities(sys, s, durable.EntitySpec[payload, payload]{
			Kind: "sum", New: func(string) durable.Entity[payload, payload] { return &summed{answers: count} },
			Commands: wire.CBOR[payload]("bench.Payload"), Events: wire.CBOR[payload]("bench.Payload"),
		})
		if err != nil {
			b.Fatal(err)
		}
		box, err := sums.Mailbox("a")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := durable.Ask(b.Context(), box, count, durable.Post[payload]{}); err != nil || n != total {
			b.Fatal(n, err)
		}
		if err := sys.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// summed adds up its events.
type summed struct {
	sum     int
	answers wire.Type[int]
}

func (s *summed) Decide(ctx *durable.Context[payload], _ payload) ([]payload, error) {
	return nil, durable.Answer(ctx, s.answers, s.sum)
}

func (s *summed) Apply(p payload) { s.sum += p.ID }

// BenchmarkRedrive is how fast 20,000 letters are brought back, handled and known
// to be.
func BenchmarkRedrive(b *testing.B) {
	const total = 20_000
	for b.Loop() {
		b.StopTimer()
		s := openSQLite(b)
		box, err := durable.NewMailbox(s, durable.MailboxSpec[payload]{Queue: "bench", Codec: wire.CBOR[payload]("bench.Payload")})
		if err != nil {
			b.Fatal(err)
		}
		m, err := wire.CBOR[payload]("bench.Payload").Encode(payload{1, fmt.Sprintf("%0180d", 7)})
		if err != nil {
			b.Fatal(err)
		}
		for n := range total / 1000 {
			batch := &store.Batch{}
			for k := range 1000 {
				batch.LetterAdds = append(batch.LetterAdds, store.Letter{
					Queue: "bench", Key: strconv.Itoa(n*1000 + k), Envelope: store.Envelope{Type: m.Type, Data: m.Data, Meta: []byte(m.Codec)},
				})
			}
			if _, err := s.Commit(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		sys := actor.NewSystem(actor.Options{Logger: discard})
		if _, err := durable.Spawn(sys, box, durable.Spec[payload]{New: func() durable.Behavior[payload] {
			return durable.BehaviorFunc[payload](func(*durable.Context[payload], payload) error { return nil })
		}}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		r, err := durable.NewLetters(s, nil).Redrive(b.Context(), durable.Redrive{Wave: 5000})
		if err != nil || r.Handled != total {
			b.Fatal(r, err)
		}
		b.StopTimer()
		_ = sys.Stop(context.Background())
		b.StartTimer()
	}
	b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "letters/s")
}

// payload makes a message of about 200 bytes.
type payload struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

func benchmarkTell(b *testing.B, s store.Store, senders int, with func(sender string, id int, p *durable.Post[payload])) {
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
			sender := fmt.Sprint("sender", i)
			for id := next.Add(1); id <= n; id = next.Add(1) {
				post := durable.Post[payload]{Message: payload{int(id), text}, Sender: sender}
				if with != nil {
					with(sender, int(id), &post)
				}
				if _, err := box.Send(context.Background(), post); err != nil {
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
