package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
)

// Bounds of redrives.
const (
	redrivesActive = 4  // at the same time
	redrivesKept   = 20 // that have ended

	slowWave = 500 // letters under way at a time, of a redrive with a rate
)

// redrives are those that go on and the last that ended.
type redrives struct {
	mu   sync.Mutex
	last int
	all  []*redriving // oldest first
}

// redriving is one redrive: an actor for as long as it goes on.
type redriving struct {
	mail   *Mail
	order  durable.Redrive
	cancel context.CancelFunc
	ctx    context.Context // ends when somebody stops it

	mu    sync.Mutex
	state console.Redrive
}

// list returns the state of all, the newest first.
func (r *redrives) list() []console.Redrive {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]console.Redrive, 0, len(r.all))
	for _, one := range slices.Backward(r.all) {
		list = append(list, one.snapshot())
	}
	return list
}

func (r *redrives) find(id string) *redriving {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one.snapshot().ID == id {
			return one
		}
	}
	return nil
}

// add numbers a redrive and forgets the oldest that have ended.
func (r *redrives) add(one *redriving) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	active := 0
	for _, other := range r.all {
		if s := other.snapshot(); !s.Done() {
			active++
		}
	}
	if active >= redrivesActive {
		return &fault.Error{
			Code: fault.ResourceExhausted, Op: "node.Redrive", Message: fmt.Sprintf("%d redrives go on, as many as are allowed", active),
			Hint: "wait for one to end, or stop one",
		}
	}
	r.last++
	one.state.ID = fmt.Sprintf("redrive-%d", r.last)
	r.all = append(r.all, one)
	for i := 0; len(r.all) > redrivesKept+redrivesActive && i < len(r.all); {
		if s := r.all[i].snapshot(); s.Done() {
			r.all = slices.Delete(r.all, i, i+1)
			continue
		}
		i++
	}
	return nil
}

func (r *redriving) snapshot() console.Redrive {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Redrive implements [console.Mail].
func (m *Mail) Redrive(ctx context.Context, req console.RedriveRequest) (console.Redrive, error) {
	if err := req.Check(); err != nil {
		return console.Redrive{}, err
	}
	one := &redriving{mail: m, order: order(req), state: console.Redrive{Request: req, Started: time.Now()}}
	if err := one.count(ctx); err != nil {
		return console.Redrive{}, err
	}
	if req.DryRun {
		report, err := m.letters.Redrive(ctx, one.order)
		one.state.Take(report)
		one.state.Finished = time.Now()
		return one.state, err
	}
	// A dry run of no letter says what is wrong with the request, before it is
	// somebody's work.
	check := one.order
	check.DryRun, check.IDs, check.Filter.Limit, check.Filter.Before = true, nil, min(1, check.Filter.Limit), time.Unix(1, 0)
	if _, err := m.letters.Redrive(ctx, check); err != nil {
		return console.Redrive{}, err
	}
	one.ctx, one.cancel = context.WithCancel(context.Background())
	if err := m.redrives.add(one); err != nil {
		one.cancel()
		return console.Redrive{}, err
	}
	id := one.snapshot().ID
	_, err := actor.SpawnService(m.parent, actor.ServiceSpec{
		Name: id, Type: "redrive", Restart: actor.Temporary, New: func() actor.Service { return one },
	})
	if err != nil {
		one.end(err)
		return console.Redrive{}, err
	}
	return one.snapshot(), nil
}

// order is a request as package durable takes it.
func order(req console.RedriveRequest) durable.Redrive {
	o := durable.Redrive{
		Filter: req.Filter.Store(), IDs: req.IDs, Rate: req.Rate, Wave: req.Wave, FailShare: req.FailShare,
		Settle: time.Duration(req.SettleSeconds * float64(time.Second)), DryRun: req.DryRun,
	}
	o.Filter.Limit = req.Limit
	if o.Wave == 0 && o.Rate > 0 {
		o.Wave = int(min(max(1, math.Ceil(o.Rate)), slowWave)) // so that there is progress to be seen each second
	}
	return o
}

// count finds out how many letters are chosen.
func (r *redriving) count(ctx context.Context) error {
	n := int64(len(r.order.IDs))
	if n == 0 {
		var err error
		if n, err = r.mail.letters.Count(ctx, r.order.Filter); err != nil {
			return err
		}
	}
	for _, id := range r.order.IDs {
		if _, err := r.mail.store.Letter(ctx, id); err != nil {
			return err
		}
	}
	if most := int64(r.order.Filter.Limit); most > 0 {
		n = min(n, most)
	}
	r.state.Total = n
	return nil
}

// Serve redrives. It is tried once: what has been brought back is where it
// should be, and the rest is still a dead letter.
func (r *redriving) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	r.order.Progress = func(report durable.RedriveReport) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state.Take(report)
		r.mail.figures.changed()
	}
	report, err := r.mail.letters.Redrive(ctx, r.order)
	r.mu.Lock()
	r.state.Take(report)
	r.mu.Unlock()
	r.end(err)
	return nil // its end, whatever it was, is in the state
}

// end writes down that it is over, and why if it was not all.
func (r *redriving) end(err error) {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Finished = time.Now()
	if err != nil && r.state.Stopped == "" {
		r.state.Stopped = err.Error()
		if r.ctx.Err() != nil {
			r.state.Stopped = "stopped by request"
		}
	}
	r.mail.figures.changed()
}

// RedriveOf implements [console.Mail].
func (m *Mail) RedriveOf(_ context.Context, id string) (console.Redrive, error) {
	one := m.redrives.find(id)
	if one == nil {
		return console.Redrive{}, console.NoRedrive(id)
	}
	return one.snapshot(), nil
}

// StopRedrive implements [console.Mail].
func (m *Mail) StopRedrive(_ context.Context, id string) (console.Redrive, error) {
	one := m.redrives.find(id)
	if one == nil {
		return console.Redrive{}, console.NoRedrive(id)
	}
	one.cancel()
	return one.snapshot(), nil
}

var _ console.Mail = (*Mail)(nil)
