package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-dev/troupe/store"
)

// Benchmark measures what numbers.md asks of a store: durable appends of 200
// bytes by 1, 64 and 1024 writers, messages that are put, received and
// acknowledged for 1, 64 and 1024 senders, and reading events back. It counts
// what arrived. Run it with -benchtime=3s or more: a fold every few hundred
// milliseconds belongs to the figure.
func Benchmark(b *testing.B, open Opener) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("append/writers=%d", n), func(b *testing.B) { benchmarkAppend(b, open, n) })
	}
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("queue/senders=%d", n), func(b *testing.B) { benchmarkQueue(b, open, n) })
	}
	b.Run("read", func(b *testing.B) { benchmarkRead(b, open) })
}

// share runs f in n goroutines until it was called b.N times, and reports calls
// per second.
func share(b *testing.B, n int, what string, f func(worker int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), what)
	b.ReportMetric(0, "ns/op")
}

func openBench(b *testing.B, open Opener) store.Store {
	b.Helper()
	s := open(b, b.TempDir(), store.Limits{})
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchmarkAppend(b *testing.B, open Opener, writers int) {
	s := openBench(b, open)
	heads := make([]store.Position, writers)
	data := pattern(200)
	share(b, writers, "events/s", func(i int) error {
		r, err := s.Commit(b.Context(), &store.Batch{Appends: []store.Append{{
			Stream: store.Stream(fmt.Sprintf("writer/%d", i)), Expected: heads[i], Events: []store.Event{{Type: "deposited", Data: data}},
		}}})
		if err == nil {
			heads[i] = r.Heads[0]
		}
		return err
	})
	var total store.Position
	for i, want := range heads {
		total += want
		head, err := s.Head(b.Context(), store.Stream(fmt.Sprintf("writer/%d", i)))
		if want > 0 && (err != nil || head != want) {
			b.Errorf("head = %d, %v, want %d", head, err, want)
		}
	}
	if total != store.Position(b.N) {
		b.Errorf("%d events are there, want %d", total, b.N)
	}
}

// benchmarkQueue lets each sender put a message and wait until it was handled:
// put, received and acknowledged, each durable. Messages are received in batches,
// as a mailbox does it.
func benchmarkQueue(b *testing.B, open Opener, senders int) {
	s := openBench(b, open)
	ctx, stop := context.WithCancel(b.Context())
	handled := make([]chan struct{}, senders)
	for i := range handled {
		handled[i] = make(chan struct{}, 1)
	}
	var wg sync.WaitGroup
	const queues = 8
	for q := range queues {
		wg.Go(func() {
			r := store.ReceiveRequest{Queue: store.Queue(fmt.Sprint("mailbox/", q)), Max: 1024}
			for ctx.Err() == nil {
				got, err := store.Receive(ctx, s, r)
				if err != nil {
					return
				}
				batch := store.Batch{Acks: make([]store.Ack, len(got))}
				for i, m := range got {
					batch.Acks[i].Receipt = m.Receipt
				}
				if _, err := s.Commit(b.Context(), &batch); err != nil {
					b.Error(err)
				}
				for _, m := range got {
					var sender int
					if _, err := fmt.Sscan(m.Key, &sender); err != nil {
						b.Error(err)
					}
					handled[sender] <- struct{}{}
				}
			}
		})
	}
	data := pattern(200)
	share(b, senders, "messages/s", func(i int) error {
		_, err := s.Commit(b.Context(), &store.Batch{Puts: []store.Put{{
			Queue: store.Queue(fmt.Sprint("mailbox/", i%queues)), Key: fmt.Sprint(i), Envelope: store.Envelope{Type: "add", Data: data},
		}}})
		if err == nil {
			<-handled[i]
		}
		return err
	})
	stop()
	wg.Wait()
	all, err := s.QueueStats(b.Context(), store.QueueFilter{})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range all {
		if q.Ready+q.Held+q.Delayed > 0 {
			b.Errorf("messages are left: %+v", q)
		}
	}
}

// benchmarkRead writes b.N events into a hundred streams, opens the store again
// and reads all of them.
func benchmarkRead(b *testing.B, open Opener) {
	place := b.TempDir()
	s := open(b, place, store.Limits{})
	const streams = 100
	data := pattern(200)
	var a store.Append
	total := 0
	for total < b.N {
		for i := 0; i < streams && total < b.N; i++ {
			a.Stream, a.Expected, a.Events = store.Stream(fmt.Sprintf("entity/%d", i)), store.Any, a.Events[:0]
			for range min(100, b.N-total) {
				a.Events = append(a.Events, store.Event{Type: "deposited", Data: data})
				total++
			}
			if _, err := s.Commit(b.Context(), &store.Batch{Appends: []store.Append{a}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	s = open(b, place, store.Limits{})
	n := 0
	for i := range min(streams, (b.N+99)/100) {
		for e, err := range s.Read(b.Context(), store.Stream(fmt.Sprintf("entity/%d", i)), 0) {
			if err != nil {
				b.Fatal(err)
			}
			n += len(e.Data) / 200
		}
	}
	b.StopTimer()
	if n != b.N {
		b.Errorf("%d events were read, want %d", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
