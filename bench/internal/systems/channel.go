package systems

import (
	"context"
	"sync"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// Channel is one goroutine that reads one channel: what a Go programmer writes
// without a framework.
type Channel struct{}

// Name is "channel".
func (Channel) Name() string { return "channel" }

// residentCapacity is the channel of an actor in a crowd. A channel holds its
// buffer from the start, so a mailbox's capacity of 4096 would cost 98 kB each.
const residentCapacity = 16

// Tell implements [workload.System].
func (Channel) Tell(t *workload.Tells) error {
	mailbox := make(chan workload.Msg, workload.InFlight)
	var running sync.WaitGroup
	running.Go(func() {
		receiver := t.Receiver
		for m := range mailbox {
			receiver.Handle(m)
		}
	})
	err := t.Produce(func(p *workload.Producer) error {
		for p.Next() {
			mailbox <- p.Message()
		}
		return nil
	})
	if err != nil {
		return err
	}
	close(mailbox)
	running.Wait()
	return nil
}

// PingPong implements [workload.System].
func (Channel) PingPong(t *workload.PingPongs) error {
	var running sync.WaitGroup
	serves := make([]chan workload.Msg, t.Pairs())
	play := func(p *workload.Player, in <-chan workload.Msg, out chan<- workload.Msg) {
		for m := range in {
			if reply, ok := p.Return(m); ok {
				out <- reply
			}
		}
	}
	for i := range serves {
		first, second := t.Players(i)
		toFirst, toSecond := make(chan workload.Msg, 1), make(chan workload.Msg, 1)
		serves[i] = toFirst
		running.Go(func() { play(first, toFirst, toSecond); close(toSecond) })
		running.Go(func() { play(second, toSecond, toFirst) })
	}
	err := t.Play(func(pair int, ball workload.Msg) error {
		serves[pair] <- ball
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range serves {
		close(c)
	}
	running.Wait()
	return nil
}

// Ask implements [workload.System]: every asker has one reply channel that it
// uses again and again.
func (Channel) Ask(t *workload.Asks) error {
	mailbox := make(chan workload.Msg, t.Askers())
	var running sync.WaitGroup
	running.Go(func() {
		answerer := t.Answerer
		for m := range mailbox {
			m.Reply <- answerer.Answer(m.From, m.N)
		}
	})
	ctx := t.Context()
	err := t.Drive(func(a *workload.Asker) error {
		if ctx.Done() != nil {
			return askUntil(ctx, mailbox, a)
		}
		reply := make(chan uint64, 1)
		for a.Next() {
			mailbox <- workload.Msg{Kind: workload.Answer, From: a.From, N: a.N(), Reply: reply}
			a.Got(<-reply)
		}
		return nil
	})
	if err != nil {
		return err
	}
	close(mailbox)
	running.Wait()
	return nil
}

func askUntil(ctx context.Context, mailbox chan<- workload.Msg, a *workload.Asker) error {
	reply := make(chan uint64, 1)
	for a.Next() {
		select {
		case mailbox <- workload.Msg{Kind: workload.Answer, From: a.From, N: a.N(), Reply: reply}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case n := <-reply:
			a.Got(n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Spawn implements [workload.System].
func (Channel) Spawn(c *workload.Crowd) (workload.Residents, error) {
	return &channelResidents{crowd: c}, nil
}

type channelResidents struct {
	crowd     *workload.Crowd
	mailboxes []chan workload.Msg
	running   sync.WaitGroup
}

func (r *channelResidents) Grow(n int) { r.mailboxes = make([]chan workload.Msg, 0, n) }

func (r *channelResidents) Spawn(n int) error {
	r.running.Add(n)
	for range n {
		mailbox := make(chan workload.Msg, residentCapacity)
		go r.live(mailbox)
		r.mailboxes = append(r.mailboxes, mailbox)
	}
	return nil
}

// live is one actor; its state is on its stack.
func (r *channelResidents) live(mailbox <-chan workload.Msg) {
	resident := workload.Resident{Crowd: r.crowd}
	for m := range mailbox {
		resident.Greet(m)
	}
	r.running.Done()
}

func (r *channelResidents) Tell(m workload.Msg) error {
	for _, c := range r.mailboxes {
		c <- m
	}
	return nil
}

func (r *channelResidents) Stop() error {
	for _, c := range r.mailboxes {
		close(c)
	}
	r.running.Wait()
	r.mailboxes = nil
	return nil
}

func (r *channelResidents) Close() error { return nil }

// Crash implements [workload.System].
func (Channel) Crash(*workload.Crashes) error { return workload.ErrNotApplicable }
